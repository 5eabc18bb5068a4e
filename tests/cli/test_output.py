"""Rows as text: every format, and what a terminal shows."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet
import pytest
import rich.console
import yaml

from cli import output
from model import address, columns

TABLE = pa.table({
    "src": ["shop/web", "größer", None],
    "address": pa.array([address.pack(a) for a in ("10.0.0.1", "fd00::1", "::")], columns.ADDRESS),
    "ended": pa.array([1_767_225_600_000_000_001, 0, None], columns.TIME),
    "verdict": pa.array(["allowed", "denied", "unknown"]).dictionary_encode(),
    "bytes": pa.array([2**64 - 1, 0, 7], pa.uint64()),
})  # fmt: skip
PLAIN = [
    {"src": "shop/web", "address": "10.0.0.1", "ended": "2026-01-01T00:00:00.000000001Z",
     "verdict": "allowed", "bytes": 2**64 - 1},
    {"src": "größer", "address": "fd00::1", "ended": None, "verdict": "denied", "bytes": 0},
    {"src": None, "address": "", "ended": None, "verdict": "unknown", "bytes": 7},
]  # fmt: skip
READERS: dict[str, Callable[[str], list[dict[str, object]]]] = {
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
    "yaml": yaml.safe_load,
}


def _written(table: pa.Table, form: str, **how: bool) -> str:
    stream = io.StringIO()
    output.write(table, form, stream, **how)
    return stream.getvalue()


def test_plain_rows_are_text_and_numbers() -> None:
    assert output.plain(TABLE) == PLAIN


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("rows", [3, 0], ids=["rows", "no rows"])
def test_format_reads_back_as_plain_rows(form: str, rows: int) -> None:
    assert READERS[form](_written(TABLE.slice(0, rows), form)) == PLAIN[:rows]


def test_csv_reads_back_as_text() -> None:
    texts = [{name: "" if v is None else str(v) for name, v in row.items()} for row in PLAIN]
    assert list(csv.DictReader(io.StringIO(_written(TABLE, "csv"), newline=""))) == texts


def test_csv_goes_on_without_header() -> None:
    whole = _written(TABLE, "csv").splitlines(keepends=True)
    assert _written(TABLE.slice(0, 1), "csv") + _written(TABLE.slice(1), "csv", header=False) == "".join(
        whole
    )


def test_parquet_keeps_values_and_types() -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    output.write(TABLE, "parquet", stream)
    assert pyarrow.parquet.read_table(stream.buffer).equals(TABLE)


def test_every_format_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    for form in output.FORMATS:
        stream = io.TextIOWrapper(io.BytesIO())
        output.write(TABLE, form, stream)
        stream.flush()
        assert stream.buffer.getvalue() or capsys.readouterr().out, form


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        pytest.param("protocol", 17, "UDP", id="protocol by its name"),
        pytest.param("protocol", 253, "253", id="protocol without a name"),
        pytest.param("dst_port", 50051, "50051", id="port as it is"),
        pytest.param("bytes", 1234567, "1,234,567", id="number in groups"),
        pytest.param("time", "2026-01-31T12:34:56.789000000Z", "12:34:56.789", id="time of day"),
        pytest.param("ended", None, "", id="no time"),
        pytest.param("deciding_rule", "ingress|default|np:shop/cart|allow|0",
                     "ingress: Calico NetworkPolicy shop/cart of tier default, rule 0", id="rule in words"),
        pytest.param("deciding_rule", "", "", id="no rule"),
        pytest.param("src", "[red]shop[/red]/:bomb:", "[red]shop[/red]/:bomb:", id="markup as it is"),
        pytest.param("src", None, "", id="nothing"),
    ],
)  # fmt: skip
def test_cell_is_written_for_people(column: str, value: object, shown: str) -> None:
    assert output._cell(column, value).plain == shown


def test_terminal_shows_the_columns_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output.write(
        TABLE.rename_columns({"bytes": "forward_bytes"}), "table", io.StringIO(), ["verdict", "forward_bytes"]
    )
    header, line, *rows = [text.split() for text in capsys.readouterr().out.splitlines() if text.strip()]
    assert (header, len(line)) == (["verdict", "sent"], 1)
    assert rows == [["allowed", f"{2**64 - 1:,}"], ["denied", "0"], ["unknown", "7"]]


def test_table_goes_on_without_header(capsys: pytest.CaptureFixture[str]) -> None:
    output.write(TABLE.slice(2), "table", io.StringIO(), ["verdict", "bytes"], header=False)
    assert capsys.readouterr().out.split() == ["unknown", "7"]


@pytest.mark.parametrize(
    ("columns_variable", "width"), [(None, 160), ("100", 100)], ids=["wide", "as the variable says"]
)
def test_pipe_is_taken_to_be_wide(
    monkeypatch: pytest.MonkeyPatch, columns_variable: str | None, width: int
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns_variable:
        monkeypatch.setenv("COLUMNS", columns_variable)
    assert output.console().width == width


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stderr", [False, True], ids=["output is a terminal", "reports go to one"])
def test_each_stream_has_its_own_width(monkeypatch: pytest.MonkeyPatch, stderr: bool) -> None:
    """As where a file is written, and what there is to say of it goes to a terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stderr" if stderr else "stdout", _Terminal())
    of_terminal = rich.console.Console(stderr=stderr).width
    assert output.console(stderr=stderr).width == of_terminal
    assert output.console(stderr=not stderr).width == 160


def test_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail("port 1 is taken [red]")
    assert capsys.readouterr() == ("", "error: port 1 is taken [red]\n")


def test_fractions_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    output.write(pa.table({"size": [1307.0, 0.5]}), "table", sys.stdout)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()[-3:]] == ["1,307.00", "0.50", ""]
