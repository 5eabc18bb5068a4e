"""Answers of the ledger as plain values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from model import address

Row = dict[str, Any]
"""One row of an answer: text, numbers, moments in nanoseconds, addresses as text."""


def read(table: pa.Table) -> list[Row]:
    """The rows of an answer, in order."""
    plain = table.from_arrays([_plain(column) for column in table.columns], table.column_names)
    rows: list[Row] = plain.to_pylist()
    return rows


def values(column: pa.ChunkedArray[Any]) -> list[Any]:
    """The values of a column; no column of the ledger has nulls."""
    return column.to_pylist()


def texts(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Packed addresses as text; empty for ``::``."""
    return pa.array([address.render(packed) for packed in values(column)], pa.string())


def is_address(kind: pa.DataType) -> bool:
    """Whether columns of a type hold packed addresses."""
    return bool(pa.types.is_fixed_size_binary(kind))


def _plain(column: pa.ChunkedArray[Any]) -> Any:
    if is_address(column.type):
        return texts(column)
    # Python's own moments end at the microsecond.
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
