"""The writer: what it offers, when, and what becomes of rows that the ledger or the disk does not take."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import prometheus_client
import pyarrow as pa
import pytest

from model import columns, errors
from runtime import metrics, settings
from store import ddl, writer

Build = Callable[..., pa.RecordBatch]
PLAIN = pa.schema([pa.field("n", pa.int64())])
AWAY = errors.StoreError("Connection refused", temporary=True)
WRONG = errors.StoreError("Code: 16. No such column", code=16)
STRANGE = errors.StoreError("Code: 49. Logical error", code=49)


def plain(*numbers: int) -> pa.RecordBatch:
    return columns.batch(PLAIN, {"n": list(numbers)})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ledger:
    """A recording transport: takes rows, once for each token, unless it was told to refuse."""

    takes_rows = True

    def __init__(self) -> None:
        self.refuse: BaseException | None = None
        self.answers = True
        self.schema = ddl.SCHEMA_VERSION
        self.offers: list[tuple[str, str]] = []
        self.taken: dict[str, tuple[str, pa.Table]] = {}

    def query(self, sql: str, parameters: object) -> pa.Table:
        if not self.answers:
            raise AWAY
        return pa.table({"1": [self.schema]})

    def query_bytes(self, sql: str, parameters: object, output_format: str, settings: object = None) -> bytes:
        return b""

    def command(self, sql: str, parameters: object) -> None: ...

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table, *, token: str = "") -> None:
        self.offers.append((table, token))
        if self.refuse is not None:
            raise self.refuse
        self.taken.setdefault(token, (table, batch))

    def close(self) -> None: ...

    def numbers(self, table: str = "flows") -> list[int]:
        return [n for name, rows in self.taken.values() if name == table for n in rows.column(0).to_pylist()]


class Node:
    """A writer without its thread, on a folder, before a ledger; time goes on when it is told to."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.ledger, self.clock = folder, Ledger(), Clock()
        self.new()

    def new(self, **options: float) -> writer.Writer:
        """A writer of another life."""
        self.registry = prometheus_client.CollectorRegistry()
        configured = settings.Store(**{"batch_rows": 4, "batch_seconds": 5.0, **options})
        self.writer = writer.Writer(
            self.ledger, self.folder, configured, "node-1", metrics.Metrics(self.registry),
            clock=self.clock, chance=lambda: 1.0,
        )  # fmt: skip
        return self.writer

    def open(self) -> writer.Writer:
        self.writer._spool.open()
        return self.writer

    def step(self, seconds: float = 0.0) -> float:
        """Let time pass, and the writer do one thing; when it wants to do the next."""
        self.clock.now += seconds
        return self.writer._step()

    def files(self, folder: str = "") -> list[str]:
        return sorted(path.name for path in (self.folder / folder).iterdir() if path.suffix != ".lock")

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"flowledger_store_{name}", labels)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Iterator[Node]:
    made = Node(tmp_path / "spool")
    made.open()
    yield made
    made.writer._spool.close()


def test_rows_are_offered_when_they_are_old_enough(node: Node) -> None:
    assert node.step() == float("inf")
    node.writer.insert("flows", plain(1))
    assert node.step(2.0) == 3.0
    node.writer.insert("flows", plain(2))
    assert node.ledger.taken == {}
    assert node.step(3.0) == 0.0
    assert node.step() == 0.0
    assert node.ledger.numbers() == [1, 2]
    assert node.files() == ["rejected"]


def test_rows_are_offered_when_they_are_many(node: Node) -> None:
    node.writer.insert("flows", plain(1, 2, 3, 4, 5))
    assert node.step() == 0.0
    assert node.ledger.numbers() == [1, 2, 3, 4]


def test_table_of_several_chunks_is_taken_whole(node: Node) -> None:
    node.writer.insert("flows", pa.Table.from_batches([plain(1, 2), plain(3, 4)]))
    node.step()
    assert node.ledger.numbers() == [1, 2, 3, 4]


def test_batch_is_one_block_with_one_dictionary_a_column(node: Node, flows: Build) -> None:
    node.writer.insert("flows", flows({"node": "a"}, {"node": "b"}))
    node.writer.insert("flows", flows({"node": "b"}, {"node": "c"}))
    node.step()
    ((_, rows),) = node.ledger.taken.values()
    assert rows.column("node").num_chunks == 1
    assert rows.column("node").to_pylist() == ["a", "b", "b", "c"]
    assert rows.schema == columns.schema(columns.Stage.IDENTITY)


def test_ledger_that_is_away_is_tried_again_with_the_same_token(node: Node) -> None:
    node.ledger.refuse = AWAY
    node.writer.insert("flows", plain(1, 2, 3, 4))
    waits = []
    for _ in range(9):
        waits.append(node.step())
        node.clock.now += waits[-1]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert node.writer.check() == "Connection refused"
    assert node.metric("retries_total") == 9
    node.ledger.refuse = None
    assert node.step() == 0.0
    assert len(node.ledger.offers) == 10
    assert len(set(node.ledger.offers)) == 1
    assert node.ledger.numbers() == [1, 2, 3, 4]
    assert node.writer.check() == ""


def test_nodes_do_not_come_back_at_once(node: Node) -> None:
    node.ledger.refuse = AWAY
    node.writer._chance = random.Random(0).random
    node.writer.insert("flows", plain(1, 2, 3, 4))
    waits = []
    for _ in range(50):
        waits.append(node.step())
        node.clock.now += waits[-1]
    late = waits[10:]
    assert 15 <= min(late) < 17 < 28 < max(late) <= 30


def test_new_rows_do_not_shorten_the_wait(node: Node) -> None:
    node.ledger.refuse = AWAY
    node.writer.insert("flows", plain(1, 2, 3, 4))
    assert node.step() == 0.5
    node.writer.insert("flows", plain(5, 6, 7, 8))
    assert node.step(0.25) == 0.25
    assert len(node.ledger.offers) == 1


def test_rows_that_come_while_it_is_away_are_larger_batches(node: Node) -> None:
    """Age alone ends no batch while others wait before it."""
    node.ledger.refuse = AWAY
    node.writer.insert("flows", plain(1, 2, 3, 4))
    for number in (5, 6, 7):
        node.writer.insert("flows", plain(number))
        node.step(60.0)
    assert len(node.files()) == 3


def test_rows_that_the_ledger_took_without_saying_so_are_not_discarded(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke after the ledger had them, and then there was no room."""
    node.writer._spool.close()
    node.new(spool_bytes=4096)
    node.open()
    node.writer.insert("flows", plain(0, 1, 2, 3))
    taking = node.ledger.insert

    def broken(table: str, batch: pa.RecordBatch, *, token: str = "") -> None:
        taking(table, batch, token=token)
        raise AWAY

    monkeypatch.setattr(node.ledger, "insert", broken)
    node.step()
    monkeypatch.undo()
    for number in range(4, 80, 4):
        node.writer.insert("flows", plain(*range(number, number + 4)))
    while node.step(60.0) != float("inf"):
        pass
    discarded = node.metric("discarded_rows_total", table="flows", reason="full")
    assert discarded > 0
    assert len(node.ledger.numbers()) == node.metric("delivered_rows_total", table="flows") == 80 - discarded


def test_order_is_kept_over_refusals(node: Node) -> None:
    node.ledger.refuse = AWAY
    for number in range(0, 40, 4):
        node.writer.insert("flows", plain(*range(number, number + 4)))
        node.step(1.0)
    node.ledger.refuse = None
    node.step(60.0)
    while node.step(60.0) == 0.0:
        pass
    assert node.ledger.numbers() == list(range(40))


def test_wrong_rows_are_set_aside_and_the_next_go_on(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.ledger.refuse = WRONG
    node.writer.insert("flows", plain(1, 2, 3, 4))
    assert node.step() == 0.0
    node.ledger.refuse = None
    node.writer.insert("flows", plain(5, 6, 7, 8))
    assert node.step() == 0.0
    assert node.ledger.numbers() == [5, 6, 7, 8]
    assert node.files("rejected") == ["0000000000000001-flows-4.arrow"]
    assert node.metric("discarded_rows_total", table="flows", reason="refused") == 4
    assert node.metric("delivered_rows_total", table="flows") == 4
    assert node.metric("retries_total") == 0


@pytest.mark.parametrize(
    "error",
    [KeyError("no such table"), TypeError("no such type"), pa.ArrowInvalid("no such thing")],
    ids=repr,
)
def test_transport_s_own_mistake_costs_one_batch(node: Node, error: Exception) -> None:
    node.ledger.refuse = error
    node.writer.insert("flows", plain(1, 2, 3, 4))
    assert node.step() == 0.0
    assert node.files("rejected") == ["0000000000000001-flows-4.arrow"]


@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")], ids=repr)
def test_node_s_own_trouble_costs_nothing(node: Node, error: Exception) -> None:
    node.ledger.refuse = error
    node.writer.insert("flows", plain(1, 2, 3, 4))
    assert node.step() == 0.5
    assert node.files("rejected") == []


def test_strange_refusal_of_a_ledger_that_answers_is_the_rows_in_the_end(node: Node) -> None:
    node.ledger.refuse = STRANGE
    node.writer.insert("flows", plain(1, 2, 3, 4))
    for _ in range(writer.DOUBTS - 1):
        assert node.step(60.0) > 0
    assert node.step(60.0) == 0.0
    assert len(node.files("rejected")) == 1


def test_strange_refusal_of_a_ledger_that_does_not_answer_is_waited_out(node: Node) -> None:
    node.ledger.refuse, node.ledger.answers = STRANGE, False
    node.writer.insert("flows", plain(1, 2, 3, 4))
    for _ in range(3 * writer.DOUBTS):
        assert node.step(60.0) > 0
    assert node.files("rejected") == []


@pytest.mark.parametrize(
    ("schema", "because"),
    [
        (0, "flowledger store init"),
        (2, "run `flowledger store migrate`"),
        (ddl.SCHEMA_VERSION + 1, "run the Flowledger that"),
    ],
    ids=["none", "older", "newer"],
)
def test_ledger_of_another_schema_gets_no_rows(node: Node, schema: int, because: str) -> None:
    node.ledger.schema = schema
    node.writer.insert("flows", plain(1, 2, 3, 4))
    for _ in range(3 * writer.DOUBTS):
        assert node.step(60.0) > 0
    assert node.ledger.offers == []
    assert because in node.writer.check()
    node.ledger.schema = ddl.SCHEMA_VERSION
    assert node.step(60.0) == 0.0
    assert node.ledger.numbers() == [1, 2, 3, 4]
    assert node.writer.check() == ""


def test_ledger_that_was_migrated_meanwhile_gets_no_more_rows(node: Node) -> None:
    """It refuses a column that it had; that is not the fault of the rows."""
    node.writer.insert("flows", plain(1, 2, 3, 4))
    node.step()
    node.ledger.schema, node.ledger.refuse = ddl.SCHEMA_VERSION + 1, WRONG
    node.writer.insert("flows", plain(5, 6, 7, 8))
    for _ in range(3):
        assert node.step(60.0) > 0
    assert len(node.ledger.offers) == 2
    assert f"schema version {ddl.SCHEMA_VERSION + 1}" in node.writer.check()
    assert node.files("rejected") == []


def test_schema_is_asked_once_while_all_goes_well(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    version = pa.table({"1": [ddl.SCHEMA_VERSION]})
    monkeypatch.setattr(node.ledger, "query", lambda sql, _: asked.append(sql) or version)
    for number in range(0, 20, 4):
        node.writer.insert("flows", plain(*range(number, number + 4)))
        node.step()
    assert len(node.ledger.taken) == 5
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("cut", [0, 10, -1], ids=["emptied", "no stream", "last byte"])
def test_file_that_was_damaged_is_set_aside(node: Node, cut: int) -> None:
    node.writer.insert("flows", plain(1, 2, 3, 4))
    node.writer.insert("flows", plain(5, 6, 7, 8))
    first = node.folder / node.files()[0]
    first.write_bytes(first.read_bytes()[:cut])
    node.step()
    node.step()
    assert node.ledger.numbers() == [5, 6, 7, 8]
    assert node.files("rejected") == [first.name]
    assert node.metric("discarded_rows_total", table="flows", reason="damaged") == 4


def test_file_that_vanished_is_counted(node: Node) -> None:
    node.writer.insert("flows", plain(1, 2, 3, 4))
    (node.folder / node.files()[0]).unlink()
    assert node.step() == 0.0
    assert node.step() == float("inf")
    assert node.metric("discarded_rows_total", table="flows", reason="damaged") == 4


def test_stream_of_others_is_not_offered(node: Node) -> None:
    """One that bears a name of ours, but no token: offering it twice would count it twice."""
    node.writer._spool.close()
    with pa.ipc.new_stream(node.folder / "0000000000000003-flows-4.arrow", PLAIN) as stream:
        stream.write_batch(plain(1, 2, 3, 4))
    node.new()
    node.open()
    node.step()
    assert node.ledger.offers == []
    assert node.files("rejected") == ["0000000000000003-flows-4.arrow"]


def test_next_life_offers_what_is_left_first_under_its_token(node: Node) -> None:
    node.ledger.refuse = AWAY
    node.writer.insert("flows", plain(1, 2, 3, 4))
    node.step()
    node.writer.insert("flows", plain(5))
    node.writer._spool.close()
    node.new()
    node.ledger.refuse = None
    node.open().insert("flows", plain(6, 7, 8, 9))
    while node.step() == 0.0:
        pass
    assert node.ledger.numbers() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert node.ledger.offers[0] == node.ledger.offers[1]


def test_statement_of_completeness_has_ours_beside_it(node: Node) -> None:
    node.writer.insert("flows", plain(1, 2, 3, 4))
    node.step()
    node.ledger.refuse = WRONG
    node.writer.insert("flows", plain(5, 6))
    node.writer.insert("policy_hits", plain(7))
    node.writer._spool.cut()
    node.step()
    node.step()
    node.ledger.refuse = None
    why = "flows: the ledger refuses them; policy_hits: the ledger refuses them"
    assert _statements(node) == [("node-1", 77, 4, 2, why)]
    assert _statements(node) == [("node-1", 77, 0, 0, "")]


def test_statements_of_several_collectors_add_up(node: Node) -> None:
    """Each of them says of the rows that were delivered what no other has said."""
    node.writer.insert("flows", plain(1, 2, 3, 4))
    node.step()
    interval, together = sys.getswitchinterval(), threading.Barrier(8)

    def state() -> None:
        together.wait()
        node.writer._state_own(77, "node-1")

    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            threads = [threading.Thread(target=state) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            node.writer._delivered += 1
    finally:
        sys.setswitchinterval(interval)
    said = [(time, observed) for _, time, observed, _, _ in _statements(node)]
    assert sum(observed for time, observed in said if time == 77) == 4 + 30


def test_statement_that_finds_no_room_is_made_the_next_time(node: Node) -> None:
    away = node.folder.with_name("away")
    node.folder.rename(away)
    node.writer.insert("flows", plain(1, 2))
    assert _statements(node) == []
    away.rename(node.folder)
    assert _statements(node) == [
        ("node-1", 77, 0, 2, "completeness: the disk takes no rows; flows: the disk takes no rows")
    ]


def _statements(node: Node) -> list[tuple[str, int, int, int, str]]:
    """What the writer says of itself beside a collector's statement, once the ledger has it."""
    node.ledger.taken.clear()
    row = {"time": 77, "node": "node-1", "source": "nflog", "observed": 9, "lost": 0, "discarded": 0,
           "incomplete": 0, "note": ""}  # fmt: skip
    node.writer.insert("completeness", columns.batch(ddl.COMPLETENESS, {k: [v] for k, v in row.items()}))
    node.writer._spool.cut()
    while node.step() == 0.0:
        pass
    rows = [row for _, rows in node.ledger.taken.values()
            for row in rows.cast(_without_time(rows.schema)).to_pylist()]  # fmt: skip
    return [
        (row["node"], row["time"], row["observed"], row["discarded"], row["note"])
        for row in rows if row["source"] == writer.SOURCE
    ]  # fmt: skip


def _without_time(schema: pa.Schema) -> pa.Schema:
    return schema.set(schema.get_field_index("time"), pa.field("time", pa.int64(), nullable=False))


def test_metrics_show_what_waits(tmp_path: pathlib.Path) -> None:
    node = Node(tmp_path)
    node.ledger.refuse = AWAY
    node.writer.start()
    node.writer.insert("flows", plain(1, 2, 3, 4))
    node.clock.now += 7
    assert node.metric("spool_files") == 1
    assert node.metric("spool_bytes") == (tmp_path / node.files()[0]).stat().st_size
    assert node.metric("spool_oldest_seconds") == 7
    node.ledger.refuse = None
    node.writer.stop()


def test_insert_seconds_count_each_offer(node: Node) -> None:
    node.writer.insert("flows", plain(1, 2, 3, 4))
    node.ledger.refuse = AWAY
    node.step()
    node.ledger.refuse = None
    node.step(60.0)
    assert node.metric("insert_seconds_count") == 2


def test_stop_delivers_what_is_there(tmp_path: pathlib.Path) -> None:
    node = Node(tmp_path)
    node.writer.start()
    for number in range(10):
        node.writer.insert("flows", plain(number))
    node.writer.stop()
    assert node.ledger.numbers() == list(range(10))
    assert node.files() == ["rejected"]


def test_stop_leaves_what_the_ledger_does_not_take(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_FIRST_WAIT_SECONDS", 0.001)
    node = Node(tmp_path)
    node.ledger.refuse = AWAY
    node.writer.start()
    node.writer.insert("flows", plain(1))
    node.writer.stop()
    assert len(node.ledger.offers) == 4
    assert node.files() == ["0000000000000001-flows-1.arrow", "rejected"]
    assert "rows left in the spool" in caplog.messages
    assert "Connection refused" in str(caplog.records[-1].fields)


def test_stop_does_not_wait_for_a_ledger_that_hangs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "STOP_SECONDS", 0.2)
    hanging, leave = threading.Event(), threading.Event()

    class Hanging(Ledger):
        def insert(self, table: str, batch: pa.RecordBatch | pa.Table, *, token: str = "") -> None:
            hanging.set()
            leave.wait(30)
            super().insert(table, batch, token=token)

    node = Node(tmp_path)
    node.ledger = Hanging()
    node.new().start()
    node.writer.insert("flows", plain(1, 2, 3, 4))
    assert hanging.wait(30)
    node.writer.stop()
    assert node.files() == ["0000000000000001-flows-4.arrow", "rejected"]
    again = Node(tmp_path)
    again.open()._step()
    leave.set()
    node.writer._thread.join(30)
    assert {token for _, token in (*again.ledger.offers, *node.ledger.offers)} == set(again.ledger.taken)
    again.writer._spool.close()


def test_writer_that_never_started_stops(tmp_path: pathlib.Path) -> None:
    Node(tmp_path / "spool").writer.stop()
    assert list(tmp_path.iterdir()) == []


def test_spool_of_another_process_is_refused(node: Node) -> None:
    with pytest.raises(errors.SetupError, match="in use by another process"):
        Node(node.folder).writer.start()


def test_threads_share_a_writer(tmp_path: pathlib.Path) -> None:
    node = Node(tmp_path)
    node.writer.start()

    def insert(first: int) -> None:
        for number in range(first, first + 50):
            node.writer.insert("flows", plain(number))

    threads = [threading.Thread(target=insert, args=(first,)) for first in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    node.writer.stop()
    assert sorted(node.ledger.numbers()) == list(range(200))


@pytest.mark.net
def test_full_disk_costs_rows_until_there_is_room(tmp_path: pathlib.Path) -> None:
    """A file system of 256 KiB, filled by somebody else and freed again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        node = Node(disk / "spool")
        node.ledger.refuse = AWAY
        node.open().insert("flows", plain(1, 2))
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(bytes(1 << 20))
        rows = plain(*(int.from_bytes(os.urandom(7), "big") for _ in range(2000)))
        node.writer._spool._batch_rows = 10_000
        node.writer.insert("flows", rows)
        assert node.metric("discarded_rows_total", table="flows", reason="disk") == 2000
        (disk / "filler").unlink()
        node.writer.insert("flows", plain(3))
        node.ledger.refuse = None
        node.writer._spool.cut()
        while node.step(60.0) == 0.0:
            pass
        assert node.ledger.numbers() == [1, 2, 3]
        node.writer._spool.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


LIFE = """
import os, pathlib, random, sys, time
import prometheus_client
import pyarrow as pa
from model import columns, errors
from runtime import metrics, settings
from store import ddl, transport, writer

folder, url, life, ends = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "ends"


class File:
    # Speaks the transport's interface, and appends what it takes to a file. It may die before it can say so.
    takes_rows = True

    def query(self, sql, parameters):
        return pa.table({"": [ddl.SCHEMA_VERSION]})

    def insert(self, table, batch, *, token=""):
        if random.random() < 0.2 and not ends:
            raise errors.StoreError("busy", temporary=True)
        numbers = columns.numbers(batch.column("observed").chunk(0)).tolist()
        with open(url, "a") as file:
            file.write(f"{token} {table} {numbers}\\n")
        time.sleep(random.random() / 100)

    def close(self):
        pass


ledger = transport.open(url, 0) if "://" in url else File()
measured = metrics.Metrics(prometheus_client.CollectorRegistry())
one = writer.Writer(ledger, folder, settings.Store(batch_rows=7, batch_seconds=0.1), "node-1", measured)
writer._FIRST_WAIT_SECONDS, writer._LONGEST_WAIT_SECONDS = 0.01, 0.02
one.start()
for count in range(3 if ends else 1_000_000):
    number = life * 1_000_000 + count
    row = {"time": 1_767_225_600_000_000_000 + number, "node": "node-1", "source": "nflog",
           "observed": number, "lost": 0, "discarded": 0, "incomplete": 0, "note": ""}
    one._spool.append("completeness", columns.batch(ddl.COMPLETENESS, {k: [v] for k, v in row.items()}))
    one._wake.set()
    os.write(1, f"{number}\\n".encode())
    time.sleep(random.random() / 200)
one.stop()
ledger.close()
"""
"""A process that writes numbered rows, each of which it says when it is told that the row is safe."""


def _live(folder: pathlib.Path, url: str, lives: int, chance: random.Random) -> list[int]:
    """Several lives on one spool, all but the last killed at a random moment; what they were told is safe."""
    safe: list[int] = []
    for life in range(lives):
        last = life == lives - 1
        arguments = [str(folder), url, str(life), "ends" if last else "goes on"]
        with subprocess.Popen(
            [sys.executable, "-c", LIFE, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            lines = iter(process.stdout.readline, "")
            safe.append(int(next(lines)))
            if not last:
                threading.Timer(chance.random() / 2, process.send_signal, [signal.SIGKILL]).start()
            safe += [int(line) for line in lines]
        assert process.returncode == (0 if last else -signal.SIGKILL)
    return safe


@pytest.mark.e2e
def test_rows_that_were_safe_outlive_kills_and_count_once(tmp_path: pathlib.Path) -> None:
    """The ledger is a recording fake, which dies between taking rows and saying so again and again."""
    seed = random.randrange(1 << 32)
    safe = _live(tmp_path / "spool", str(tmp_path / "ledger"), 8, random.Random(seed))
    taken: dict[str, list[int]] = {}
    lines = (tmp_path / "ledger").read_text().splitlines()
    for line in lines:
        token, table, numbers = line.split(" ", 2)
        rows = [int(number) for number in numbers.strip("[]").split(",")]
        assert table == "completeness"
        assert taken.setdefault(token, rows) == rows, f"seed {seed}"
    stored = [number for rows in taken.values() for number in rows]
    assert len(stored) == len(set(stored)), f"seed {seed}"
    assert set(safe) <= set(stored), f"seed {seed}"
    assert len(set(stored) - set(safe)) <= 7, f"seed {seed}: one for each kill, at most"
    assert stored == sorted(stored), f"seed {seed}"
    assert not list((tmp_path / "spool").glob("*.arrow"))


@pytest.mark.e2e
def test_rows_that_the_embedded_ledger_has_taken_outlive_kills(tmp_path: pathlib.Path) -> None:
    """The ledger dies with the process: what it has acknowledged is no longer in the spool."""
    seed = random.randrange(1 << 32)
    url = f"chdb://{tmp_path}/ledger"
    safe = _live(tmp_path / "spool", url, 6, random.Random(seed))
    asked = (
        "import contextlib, sys; from store import transport\n"
        "with contextlib.closing(transport.open(sys.argv[1], 0)) as ledger:\n"
        "    found = ledger.query('SELECT observed FROM completeness ORDER BY observed', {})\n"
        "    print(*found.column('observed').to_pylist())"
    )
    done = subprocess.run([sys.executable, "-c", asked, url], capture_output=True, text=True, check=True)
    stored = [int(number) for number in done.stdout.split()]
    assert len(stored) == len(set(stored)), f"seed {seed}"
    assert set(safe) <= set(stored), f"seed {seed}"
