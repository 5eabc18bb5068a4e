"""Files of the spool: what a name says, and that what was appended is there, however a file ends."""

from __future__ import annotations

import contextlib
import pathlib
import resource
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from model import columns
from store import spoolfile

Build = Callable[..., pa.RecordBatch]
NAME = spoolfile.Name(sequence=7, table="flows")
PLAIN = pa.schema([pa.field("n", pa.int32()), pa.field("s", pa.string())])


Limit = Callable[[int], contextlib.AbstractContextManager[None]]


@pytest.fixture
def smallest() -> Limit:
    """Lets no file of this process grow beyond some bytes: a disk that is full, without root."""

    @contextlib.contextmanager
    def limit(most: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


def plain(*numbers: int) -> pa.RecordBatch:
    return columns.batch(PLAIN, {"n": list(numbers), "s": [f"text {n}" for n in numbers]})


def grow(folder: pathlib.Path, *batches: pa.RecordBatch) -> spoolfile.Growing:
    file = spoolfile.Growing(folder, NAME, batches[0].schema, "node/boot/7", 0.0)
    for batch in batches:
        file.append(file.encode(batch), batch)
    return file


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("0000000000000007-flows-12.arrow", (7, "flows", 12), id="sealed"),
        pytest.param("0000000000000007-policy_hits.open", (7, "policy_hits", None), id="growing"),
        pytest.param("1234567890123456-label_sets-0.arrow", (1234567890123456, "label_sets", 0), id="empty"),
    ],
)
def test_name_says_what_is_in_it(text: str, name: tuple[int, str, int | None]) -> None:
    parsed = spoolfile.parse(text)
    assert (parsed.sequence, parsed.table, parsed.rows) == name
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "flowledger.lock", "rejected", "7-flows-1.arrow", "0000000000000007-flows.arrow",
        "0000000000000007-flows-1.open", "0000000000000007-Flows-1.arrow",
        "0000000000000007-flows-1.arrow.gz", "0000000000000007-../x-1.arrow",
        "0000000000000007-flows--1.arrow", "٠000000000000007-flows-1.arrow",
    ],
)  # fmt: skip
def test_other_names_are_not_ours(text: str) -> None:
    assert spoolfile.parse(text) is None


def test_rows_come_back_with_token_and_table(tmp_path: pathlib.Path, flows: Build) -> None:
    first, second = flows({"node": "a"}, {"node": "b"}), flows({"node": "c", "src_address": "2001:db8::1"})
    content = spoolfile.read(grow(tmp_path, first, second).seal())
    assert (content.table, content.token) == ("flows", "node/boot/7")
    expected = pa.Table.from_batches([first, second]).unify_dictionaries()
    assert content.rows.to_pydict() == expected.to_pydict()
    assert content.rows.schema == first.schema
    assert content.rows.schema.metadata is None
    assert {column.num_chunks for column in content.rows.columns} == {1}


def test_file_is_an_arrow_stream_for_anybody(tmp_path: pathlib.Path) -> None:
    with pa.ipc.open_stream(grow(tmp_path, plain(1), plain(2)).seal()) as stream:
        assert stream.read_all().column("n").to_pylist() == [1, 2]


def test_growing_file_can_be_read(tmp_path: pathlib.Path) -> None:
    file = grow(tmp_path, plain(1, 2))
    assert spoolfile.read(file.path).rows.num_rows == 2
    assert (file.rows, file.bytes) == (2, file.path.stat().st_size)
    file.close()


def test_sealed_file_says_its_rows(tmp_path: pathlib.Path) -> None:
    assert grow(tmp_path, plain(1, 2), plain(3)).seal().name == "0000000000000007-flows-3.arrow"
    assert [path.name for path in tmp_path.iterdir()] == ["0000000000000007-flows-3.arrow"]


def test_file_that_breaks_off_anywhere_is_whole_up_to_there(tmp_path: pathlib.Path) -> None:
    """A kill or a power cut may end it after any byte."""
    ends = []
    file = grow(tmp_path, plain(0))
    for batch in (plain(1, 2), plain(3)):
        ends.append(file.bytes)
        file.append(file.encode(batch), batch)
    ends.append(file.bytes)
    whole = file.seal().read_bytes()
    torn = tmp_path / "torn"
    for length in range(len(whole) + 1):
        torn.write_bytes(whole[:length])
        complete = [1, 3, 4][sum(end <= length for end in ends) - 1] if length >= ends[0] else 0
        try:
            found = spoolfile.read(torn).rows.column("n").to_pylist()
        except pa.ArrowInvalid:
            assert complete == 0, length
        else:
            assert found == list(range(complete)), length


@pytest.mark.parametrize("rest", [bytes(4096), b"\xff" * 4096, b"PAR1" * 100], ids=["zeros", "ones", "text"])
def test_rest_that_was_never_written_is_cut_off(tmp_path: pathlib.Path, rest: bytes) -> None:
    path = grow(tmp_path, plain(1, 2)).seal()
    path.write_bytes(path.read_bytes() + rest)
    assert spoolfile.read(path).rows.column("n").to_pylist() == [1, 2]


@pytest.mark.parametrize("content", [b"", b"thesis", bytes(100)], ids=["empty", "text", "zeros"])
def test_what_is_no_stream_is_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(pa.ArrowInvalid):
        spoolfile.read(tmp_path / "x")


def test_stream_of_others_has_no_token(tmp_path: pathlib.Path) -> None:
    with pa.ipc.new_stream(tmp_path / "x", PLAIN) as stream:
        stream.write_batch(plain(1))
    assert spoolfile.read(tmp_path / "x").token == ""


def test_disk_that_refuses_leaves_what_was_there(tmp_path: pathlib.Path, smallest: Limit) -> None:
    file = grow(tmp_path, plain(1))
    more, before = plain(*range(1000)), file.bytes
    encoded = file.encode(more)
    with smallest(before + 100), pytest.raises(OSError, match="File too large"):
        file.append(encoded, more)
    assert file.path.stat().st_size == before
    assert spoolfile.read(file.seal()).rows.column("n").to_pylist() == [1]


def test_disk_that_refuses_the_first_rows_keeps_no_file(tmp_path: pathlib.Path, smallest: Limit) -> None:
    file = spoolfile.Growing(tmp_path, NAME, PLAIN, "t", 0.0)
    encoded = file.encode(plain(1))
    with smallest(100), pytest.raises(OSError, match="File too large"):
        file.append(encoded, plain(1))
    assert list(tmp_path.iterdir()) == []


def test_file_that_cannot_be_made_leaves_nothing(tmp_path: pathlib.Path) -> None:
    file = spoolfile.Growing(tmp_path / "gone", NAME, PLAIN, "t", 0.0)
    with pytest.raises(FileNotFoundError):
        file.append(file.encode(plain(1)), plain(1))
    assert file.rows == 0
    file.close()
