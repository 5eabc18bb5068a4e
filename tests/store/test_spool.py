"""The spool: a real folder, what an earlier life left in it, and what goes when there is no room."""

from __future__ import annotations

import collections
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from model import columns, errors
from runtime import settings
from store import spool, spoolfile

PLAIN = pa.schema([pa.field("n", pa.int64())])
OTHER = pa.schema([pa.field("m", pa.int64())])
ROW_BYTES = 8
ROWS = 1000
"""Rows of a batch, so many that what surrounds them in a file matters little."""


def plain(start: int, count: int = ROWS, schema: pa.Schema = PLAIN) -> pa.RecordBatch:
    """Numbers that nothing can compress; ``numbers`` gives back the first of them."""
    values = [start, *(int.from_bytes(os.urandom(7), "big") for _ in range(count - 1))]
    return columns.batch(schema, {schema.names[0]: values})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Folder:
    """A folder, the spool that is open in it, and what that has discarded."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.clock = path, Clock()
        self.discarded: collections.Counter[tuple[str, str]] = collections.Counter()
        self.spool = self._new()

    def _new(self, **options: int) -> spool.Spool:
        return spool.Spool(
            self.path, **{"most_bytes": 1 << 30, "batch_rows": 10 * ROWS, **options}, node="node-1",
            discarded=self._discard, clock=self.clock,
        )  # fmt: skip

    def _discard(self, table: str, reason: str, rows: int) -> None:
        self.discarded[table, reason] += rows

    def open(self, **options: int) -> spool.Spool:
        """Another life, whatever became of the one before."""
        self.spool.close()
        self.spool = self._new(**options)
        self.spool.open()
        return self.spool

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir() if path.name not in ("rejected", spool.LOCK))

    def rejected(self) -> list[str]:
        return sorted(path.name for path in (self.path / "rejected").iterdir())

    def take(self) -> list[tuple[str, int, int]]:
        """Table, first number and count of rows of each file, in their order; all are acknowledged."""
        found = []
        self.spool.cut()
        while (file := self.spool.oldest()) is not None:
            rows = spoolfile.read(file.path).rows
            found.append((file.name.table, rows.column(0)[0].as_py(), rows.num_rows))
            assert rows.num_rows == file.rows
            self.spool.acknowledge(file)
        return found

    def tokens(self) -> list[str]:
        return [spoolfile.read(self.path / name).token for name in self.names()]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "deep" / "spool")
    made.open()
    yield made
    made.spool.close()


def test_rows_are_on_the_disk_when_append_returns(folder: Folder) -> None:
    assert folder.spool.append("flows", plain(1))
    assert spoolfile.read(folder.path / folder.names()[0]).rows.num_rows == ROWS


def test_folder_outlives_a_power_cut(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder that was made is put on the disk in the one above it."""
    synced = []
    monkeypatch.setattr(spoolfile, "sync", synced.append)
    Folder(tmp_path / "a" / "b").open()
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_appends_share_a_file_until_it_is_full(folder: Folder) -> None:
    spooled = folder.open(batch_rows=2500)
    for start in range(5):
        spooled.append("flows", plain(start))
    assert folder.take() == [("flows", 0, 2000), ("flows", 2, 2000), ("flows", 4, 1000)]


def test_exactly_full_file_is_ended(folder: Folder) -> None:
    spooled = folder.open(batch_rows=ROWS)
    spooled.append("flows", plain(1))
    assert folder.names() == ["0000000000000001-flows-1000.arrow"]


def test_large_batch_is_split(folder: Folder) -> None:
    spooled = folder.open(batch_rows=400)
    spooled.append("flows", plain(7))
    assert [rows for _, _, rows in folder.take()] == [400, 400, 200]


def test_long_texts_end_a_batch_early(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_BATCH_BYTES", 1500 * ROW_BYTES)
    for start in range(3):
        folder.spool.append("flows", plain(start))
    assert [rows for _, _, rows in folder.take()] == [2000, 1000]


def test_order_is_that_of_arrival_among_all_tables(folder: Folder) -> None:
    spooled = folder.open(batch_rows=1500)
    spooled.append("label_sets", plain(1, 10))
    spooled.append("flows", plain(2))
    spooled.append("completeness", plain(3, 10))
    spooled.append("flows", plain(4))
    assert folder.take() == [
        ("label_sets", 1, 10), ("flows", 2, 1000), ("completeness", 3, 10), ("flows", 4, 1000),
    ]  # fmt: skip


def test_other_columns_begin_another_file(folder: Folder) -> None:
    folder.spool.append("flows", plain(1))
    folder.spool.append("flows", plain(2, schema=OTHER))
    assert folder.take() == [("flows", 1, 1000), ("flows", 2, 1000)]


def test_no_rows_make_no_file(folder: Folder) -> None:
    assert folder.spool.append("flows", plain(1).slice(0, 0))
    assert folder.names() == []
    assert folder.spool.growing_since() is None


def test_state_counts_bytes_files_and_age(folder: Folder) -> None:
    assert folder.spool.state() == spool.State(bytes=0, files=0, oldest_seconds=0.0)
    folder.spool.append("flows", plain(1))
    folder.clock.now += 3
    folder.spool.append("completeness", plain(1))
    assert folder.spool.growing_since() == 100.0
    folder.spool.cut()
    assert folder.spool.growing_since() is None
    folder.clock.now += 4
    size = sum((folder.path / name).stat().st_size for name in folder.names())
    assert folder.spool.state() == spool.State(bytes=size, files=2, oldest_seconds=7.0)
    folder.take()
    assert folder.spool.state() == spool.State(bytes=0, files=0, oldest_seconds=0.0)


def test_acknowledged_file_is_gone_and_released_one_comes_again(folder: Folder) -> None:
    folder.spool.append("flows", plain(1))
    folder.spool.cut()
    file = folder.spool.oldest()
    folder.spool.release()
    assert folder.spool.oldest() == file
    folder.spool.acknowledge(file)
    assert folder.spool.oldest() is None
    assert folder.names() == []


def test_next_life_finds_rows_order_and_tokens(folder: Folder) -> None:
    spooled = folder.open(batch_rows=ROWS)
    spooled.append("flows", plain(1))
    spooled.append("completeness", plain(2, 10))
    before = folder.tokens()
    folder.open()
    assert folder.tokens() == before
    folder.spool.append("flows", plain(3))
    assert folder.take() == [("flows", 1, 1000), ("completeness", 2, 10), ("flows", 3, 1000)]


def test_lives_share_no_token_and_no_name(folder: Folder) -> None:
    tokens = set()
    for life in range(3):
        folder.open(batch_rows=ROWS)
        folder.spool.append("flows", plain(life))
        tokens |= set(folder.tokens())
    assert len(tokens) == 3
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert all(token.startswith(f"node-1/{boot}/") for token in tokens)
    folder.take()
    folder.open(batch_rows=ROWS)
    folder.spool.append("flows", plain(1))
    assert not tokens & set(folder.tokens())


def test_file_of_a_killed_life_is_offered_up_to_where_it_breaks_off(folder: Folder) -> None:
    folder.spool.append("flows", plain(1))
    folder.spool.append("flows", plain(2))
    growing = folder.path / folder.names()[0]
    left = growing.read_bytes()
    folder.spool.close()
    sealed = folder.path / folder.names()[0]
    sealed.unlink()
    growing.write_bytes(left[:-1])
    folder.open()
    assert folder.take() == [("flows", 1, 1000)]
    assert folder.discarded == {}


def test_age_of_what_was_left_is_that_of_the_file(folder: Folder) -> None:
    folder.spool.append("flows", plain(1))
    folder.spool.close()
    file = folder.path / folder.names()[0]
    os.utime(file, (time.time() - 3600, time.time() - 3600))
    folder.open()
    assert folder.spool.state().oldest_seconds == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("notes.txt", b"mine", id="foreign"),
        pytest.param("0000000000000001-flows.open", b"", id="begun"),
        pytest.param("0000000000000001-flows.open", b"\xff\xff\xff\xff\x10", id="torn at once"),
        pytest.param("0000000000000001-flows-0.arrow", b"", id="sealed without rows"),
    ],
)
def test_what_holds_no_rows_is_set_aside(folder: Folder, name: str, content: bytes) -> None:
    folder.spool.close()
    (folder.path / name).write_bytes(content)
    folder.open()
    assert (folder.names(), folder.rejected()) == ([], [name])
    folder.spool.append("flows", plain(5))
    assert folder.take() == [("flows", 5, 1000)]


def test_folders_inside_are_left_alone(folder: Folder) -> None:
    (folder.path / "sub").mkdir()
    (folder.path / "sub" / "x").touch()
    folder.open()
    assert (folder.path / "sub" / "x").exists()


def test_refused_rows_are_set_aside_and_counted(folder: Folder) -> None:
    folder.spool.append("flows", plain(1))
    folder.spool.cut()
    folder.spool.set_aside(folder.spool.oldest(), spool.REFUSED)
    assert folder.rejected() == ["0000000000000001-flows-1000.arrow"]
    assert folder.discarded == {("flows", spool.REFUSED): 1000}
    assert folder.spool.state().files == 0
    assert folder.spool.state().bytes > ROWS * ROW_BYTES / 2


def test_what_is_moved_back_is_offered_first(folder: Folder) -> None:
    test_refused_rows_are_set_aside_and_counted(folder)
    folder.open()  # an empty spool begins after what was set aside, so that names stay apart
    folder.spool.append("flows", plain(2))
    folder.spool.close()
    name = folder.rejected()[0]
    (folder.path / "rejected" / name).rename(folder.path / name)
    folder.open()
    assert folder.take() == [("flows", 1, 1000), ("flows", 2, 1000)]


ROOM = 4 * ROWS * ROW_BYTES
"""Room for three batches, and what surrounds them."""


def test_oldest_rows_go_where_there_is_no_room(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROOM, batch_rows=ROWS)
    for start in range(6):
        assert spooled.append("flows", plain(start))
        assert spooled.state().bytes <= ROOM
    taken = folder.take()
    assert [start for _, start, _ in taken] == list(range(6 - len(taken), 6))
    assert len(taken) >= 3
    assert folder.discarded == {("flows", spool.FULL): (6 - len(taken)) * ROWS}


def test_growing_file_makes_room_too(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROOM)
    for start in range(12):
        assert spooled.append("flows", plain(start))
        assert spooled.state().bytes <= ROOM
    taken = folder.take()
    left = sum(rows for _, _, rows in taken)
    assert left > 0
    assert left + folder.discarded["flows", spool.FULL] == 12 * ROWS


def test_offered_rows_stay(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROOM, batch_rows=ROWS)
    spooled.append("flows", plain(0))
    offered = spooled.oldest()
    for start in range(1, 9):
        spooled.append("flows", plain(start))
    assert offered.path.exists()
    assert spooled.oldest() == offered
    taken = [start for _, start, _ in folder.take()]
    assert taken[0] == 0
    assert taken[1:] == list(range(10 - len(taken), 9))


def test_rows_that_were_sent_without_an_answer_go_last(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROOM, batch_rows=ROWS)
    spooled.append("flows", plain(0))
    in_doubt = spooled.oldest()
    spooled.release(sent=True)
    for start in range(1, 9):
        spooled.append("flows", plain(start))
        spooled.oldest()
        spooled.release()  # an offer that came to nothing settles no doubt
    assert spooled.oldest() == in_doubt
    assert [start for _, start, _ in folder.take()][:2] == [0, 7]


def test_rows_that_were_sent_without_an_answer_keep_no_others_out(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROOM)
    spooled.append("flows", plain(0))
    spooled.cut()
    spooled.oldest()
    spooled.release(sent=True)
    assert spooled.append("flows", plain(1, 3 * ROWS))
    assert spooled.append("flows", plain(2, 3 * ROWS))
    assert folder.take() == [("flows", 2, 3 * ROWS)]


def test_tables_that_explain_the_others_go_last(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROOM, batch_rows=ROWS)
    spooled.append("label_sets", plain(0, 100))
    spooled.append("completeness", plain(1, 100))
    for start in range(2, 9):
        spooled.append("flows", plain(start))
    assert [table for table, _, _ in folder.take()][:2] == ["label_sets", "completeness"]
    assert set(folder.discarded) == {("flows", spool.FULL)}


def test_what_was_set_aside_goes_first_and_is_not_counted_again(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROOM, batch_rows=ROWS)
    spooled.append("flows", plain(0))
    spooled.set_aside(spooled.oldest(), spool.REFUSED)
    for start in range(1, 4):
        spooled.append("flows", plain(start))
    assert folder.rejected() == []
    assert [start for _, start, _ in folder.take()] == [1, 2, 3]
    assert folder.discarded == {("flows", spool.REFUSED): 1000}


def test_batch_larger_than_all_room_is_discarded(folder: Folder) -> None:
    spooled = folder.open(most_bytes=ROWS)
    assert not spooled.append("flows", plain(1))
    assert folder.names() == []
    assert folder.discarded == {("flows", spool.FULL): 1000}
    assert spooled.append("flows", plain(2, 10))
    assert folder.take() == [("flows", 2, 10)]


def test_bound_holds_for_what_was_left_too(folder: Folder) -> None:
    spooled = folder.open(batch_rows=ROWS)
    for start in range(6):
        spooled.append("flows", plain(start))
    folder.open(most_bytes=ROOM, batch_rows=ROWS).append("flows", plain(6))
    assert folder.spool.state().bytes <= ROOM


def test_folder_that_is_gone_costs_rows_until_it_is_back(folder: Folder) -> None:
    folder.spool.append("flows", plain(1))
    away = folder.path.with_name("away")
    folder.path.rename(away)
    assert not folder.spool.append("flows", plain(2, 20_000))  # too much for the file that grows
    assert not folder.spool.append("completeness", plain(3, 10))
    away.rename(folder.path)
    assert folder.spool.append("flows", plain(4))
    assert folder.take() == [("flows", 1, 1000), ("flows", 4, 1000)]
    assert folder.discarded == {("flows", spool.DISK): 20_000, ("completeness", spool.DISK): 10}


SECOND = """
import pathlib, sys
from store import spool
one = spool.Spool(pathlib.Path(sys.argv[1]), most_bytes=1, batch_rows=1, node="n", discarded=print)
one.open()
"""


def test_second_process_is_refused(folder: Folder) -> None:
    done = subprocess.run([sys.executable, "-c", SECOND, str(folder.path)], capture_output=True, text=True)
    assert f"SetupError: the spool {folder.path} is in use by another process" in done.stderr
    folder.spool.close()
    subprocess.run([sys.executable, "-c", SECOND, str(folder.path)], check=True)


def test_folder_with_other_things_is_left_untouched(tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(errors.SetupError, match="holds other things"):
        Folder(tmp_path).open()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_new_file_system_may_hold_its_own_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lost+found").mkdir()
    Folder(tmp_path).open().close()


def test_file_in_the_way_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.SetupError, match=r"cannot be used: .*; choose another with store\.spool"):
        Folder(tmp_path / "file").open()


def test_closed_spool_takes_nothing(folder: Folder) -> None:
    folder.spool.close()
    with pytest.raises(errors.StoreError, match="closed"):
        folder.spool.append("flows", plain(1))


@pytest.mark.parametrize(
    ("configured", "folder"),
    [
        pytest.param(settings.Store(url="chdb:///data/a%20b"), "/data/a b/spool", id="embedded"),
        pytest.param(
            settings.Store(url="clickhouse://u:p@host:9000/db"), "/var/lib/flowledger/spool", id="server"
        ),
        pytest.param(settings.Store(url="http://host:8123"), "/var/lib/flowledger/spool", id="HTTP"),
        pytest.param(settings.Store(url="chdb:///data", spool="/mnt/spool"), "/mnt/spool", id="chosen"),
    ],
)
def test_spool_has_its_place(configured: settings.Store, folder: str) -> None:
    assert str(spool.place(configured)) == folder
