"""A selection as a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from app.widgets import rows

Encoder = Callable[[pa.Table], bytes]


def plain(flows: pa.Table) -> pa.Table:
    """The columns with addresses as text, which every program reads."""
    return pa.table({name: _readable(flows.column(name)) for name in flows.column_names})


def csv(flows: pa.Table) -> bytes:
    """As CSV, with a line of names at the top."""
    out = io.BytesIO()
    pyarrow.csv.write_csv(plain(flows), out)
    return out.getvalue()


def parquet(flows: pa.Table) -> bytes:
    """As Parquet."""
    out = io.BytesIO()
    pyarrow.parquet.write_table(plain(flows), out, compression="zstd")
    return out.getvalue()


def _readable(column: pa.ChunkedArray[Any]) -> Any:
    if rows.is_address(column.type):
        return rows.texts(column)
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
