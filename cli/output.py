"""Tables for people and for programs."""

from __future__ import annotations

import contextlib
import csv
import datetime
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import rich.box
import rich.console
import rich.padding
import rich.table
import rich.text
import yaml

from model import address, enums, policyhit

FORMATS = ("table", "json", "jsonl", "csv", "parquet", "yaml")
STREAMED = ("table", "jsonl", "csv")
"""Formats in which a table can go on."""
_WIDE = 160
_SHORT = {"dst_port": "port", "protocol": "proto", "forward_bytes": "sent", "reverse_bytes": "received",
          "deciding_rule": "decided by", "pending_verdict": "if staged"}  # fmt: skip
_SENTENCES = ("deciding_rule", "because", "improve", "note")
"""Columns that may take several lines, so that the others need not."""
_COLOURS = {"allowed": "green", "denied": "bold red", "unknown": "yellow"}


def console(*, stderr: bool = False) -> rich.console.Console:
    """A terminal, or whatever stands in its place, which is taken to be wide."""
    stream = sys.stderr if stderr else sys.stdout
    wide = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return rich.console.Console(stderr=stderr, highlight=False, soft_wrap=stderr, width=wide)


def printable(text: str) -> str:
    """Text in one line without control characters, whatever somebody has called himself."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def plain(table: pa.Table) -> list[dict[str, Any]]:
    """Rows with every value as text or number: addresses as people write them, times as RFC 3339 in UTC."""
    columns = {name: _plain_column(table.column(name)) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain_column(column: pa.ChunkedArray[Any]) -> list[Any]:
    if pa.types.is_fixed_size_binary(column.type):
        return _rendered(column)
    if pa.types.is_timestamp(column.type):
        return [_moment(value) for value in column.cast(pa.int64()).to_pylist()]
    return column.to_pylist()


def _rendered(column: pa.ChunkedArray[Any]) -> list[str]:
    """Addresses as text; a table has few that are not the same."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = [address.render(value or b"") for value in encoded.dictionary.to_pylist()]
    return ["" if code is None else texts[code] for code in encoded.indices.to_pylist()]


def _moment(nanoseconds: int | None) -> str | None:
    if not nanoseconds:
        return None
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def write(
    table: pa.Table, form: str, stream: IO[str], shown: Sequence[str] = (), *, header: bool = True
) -> None:
    """Write a table in one of ``FORMATS``.

    Args:
        table: The rows.
        form: One of ``FORMATS``.
        stream: Where to; a terminal's table goes to standard output.
        shown: The columns that a terminal shows; all where none are named.
        header: Whether to name the columns, where the format does that; not when going on with a table.
    """
    if form == "parquet":
        import pyarrow.parquet  # 10 MB that a collector does not need

        pyarrow.parquet.write_table(table, stream.buffer)  # type: ignore[attr-defined]  # stdout has one
    elif form == "table":
        console().print(_rich(plain(table), shown or table.column_names, header=header))
    elif form == "csv":
        writer = csv.DictWriter(stream, table.column_names)
        if header:
            writer.writeheader()
        writer.writerows(plain(table))
    else:
        _WRITERS[form](plain(table), stream)


def _write_json(rows: list[dict[str, Any]], stream: IO[str]) -> None:
    stream.write(json.dumps(rows, indent=2) + "\n")


def _write_jsonl(rows: list[dict[str, Any]], stream: IO[str]) -> None:
    stream.writelines(json.dumps(row) + "\n" for row in rows)


def _write_yaml(rows: list[dict[str, Any]], stream: IO[str]) -> None:
    yaml.safe_dump(rows, stream, sort_keys=False, allow_unicode=True)


_WRITERS = {"json": _write_json, "jsonl": _write_jsonl, "yaml": _write_yaml}


def _rich(rows: list[dict[str, Any]], shown: Sequence[str], *, header: bool) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD if header else None, pad_edge=False, show_header=header)
    for name in shown:
        number = bool(rows) and isinstance(rows[0].get(name), int | float) and name != "protocol"
        table.add_column(
            _SHORT.get(name, name.replace("_", " ")), justify="right" if number else "left", overflow="fold",
            no_wrap=name not in _SENTENCES, min_width=16 if name in _SENTENCES else None,
        )  # fmt: skip
    for row in rows:
        table.add_row(*(_cell(name, row.get(name)) for name in shown))
    return table


def _cell(name: str, value: Any) -> rich.text.Text:
    """One cell; names from the cluster are text and never markup."""
    if name == "protocol" and isinstance(value, int):
        return rich.text.Text(enums.protocol_name(value))
    if name == "deciding_rule" and value:
        return rich.text.Text(policyhit.parse(value).describe())
    if name in ("time", "started", "ended", "first_seen", "last_seen") and value:
        return rich.text.Text(value[11:23])
    if isinstance(value, float):
        return rich.text.Text(f"{value:,.2f}")
    if isinstance(value, int) and not isinstance(value, bool):
        return rich.text.Text(f"{value:,}" if "port" not in name else str(value))
    return rich.text.Text(str(value if value is not None else ""), style=_COLOURS.get(str(value), ""))


def print_diff(screen: rich.console.Console, diff: str, indent: int) -> None:
    """A change, in the colours that people know."""
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in diff.splitlines():
        text = rich.text.Text(line, style=styles.get(line[:1], ""))
        screen.print(rich.padding.Padding(text, (0, 0, 0, indent)))


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something goes on."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    with screen.status(f"{what} …"):
        yield


def fail(message: str) -> None:
    """Say what went wrong, in one line, where logs go."""
    sys.stderr.write(f"error: {message}\n")
