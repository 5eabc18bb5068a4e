"""Rows on their way into a table, in the form that every way to a ledger takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model import columns, errors
from store import ddl


def fitting(table: str, batch: pa.RecordBatch | pa.Table) -> pa.Table:
    """The columns of a table in its order, each in one piece, no word twice in a dictionary.

    What ClickHouse does with a column that is missing or has another type depends on the way to it, and some
    ways put a zero there; hence this is looked at before.

    Args:
        table: One of `ddl.TABLES`.
        batch: Its columns, in any order; more are left out. Text may be a dictionary or not.

    Raises:
        StoreError: If a column is missing, has another type or has nulls, with ClickHouse's code for it.
    """
    schema = ddl.TABLES[table]
    rows = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    if table == "flows" and "peer_node" in rows.schema.names:
        rows = _of_schema_3(rows)
    if table == "flows" and not set(ddl.ADDED_IN_5) & set(rows.schema.names):
        rows = _with_blank(rows, ddl.ADDED_IN_5)  # an older Flowledger has spooled them
    if missing := [name for name in schema.names if name not in rows.schema.names]:
        raise errors.StoreError(f"Code: 8. {table} needs a column {missing[0]} (THERE_IS_NO_COLUMN)", code=8)
    rows = rows.select(schema.names).unify_dictionaries().combine_chunks()
    for position, field in enumerate(schema):
        column = rows.column(position)
        _check(table, field, column)
        if isinstance(column.type, pa.DictionaryType) and column.num_chunks:
            rows = _distinct(rows, position, column)
    return rows


def _of_schema_3(rows: pa.Table) -> pa.Table:
    """Flows as an older Flowledger has spooled them, with the columns of today."""
    reporter, node, peer = (rows.column(name).cast(pa.string()) for name in ("reporter", "node", "peer_node"))
    for side, other in (("src", "dst"), ("dst", "src")):
        said = {word: pc.equal(reporter, pa.scalar(word)) for word in (side, other, "both")}
        end = pc.if_else(pc.or_(said[side], said["both"]), node, pc.if_else(said[other], peer, ""))
        rows = rows.append_column(ddl.TABLES["flows"].field(f"{side}_node"), end.dictionary_encode())
    return _with_blank(rows, ("src_zone", "dst_zone", "node_traffic", "correction"))


def _with_blank(rows: pa.Table, names: Iterable[str]) -> pa.Table:
    for name in names:
        blank = columns.blank(columns.TEXT, rows.num_rows)
        rows = rows.append_column(ddl.TABLES["flows"].field(name), blank)
    return rows


def _check(table: str, field: pa.Field[Any], column: pa.ChunkedArray[Any]) -> None:
    if _plain(column.type) != _plain(field.type):
        raise errors.StoreError(
            f"Code: 53. {table}.{field.name} takes {field.type}, not {column.type} (TYPE_MISMATCH)", code=53
        )
    if column.null_count:
        raise errors.StoreError(
            f"Code: 349. {table}.{field.name} takes no nulls (CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN)",
            code=349,
        )


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def _distinct(rows: pa.Table, position: int, column: Any) -> pa.Table:
    """The same rows; ClickHouse refuses a dictionary that holds a value twice, which Arrow allows."""
    words = column.chunk(0).dictionary
    if len(words) < 2 or len(words.unique()) == len(words):
        return rows
    encoded = column.cast(column.type.value_type).dictionary_encode().cast(column.type)
    return rows.set_column(position, rows.schema.field(position), encoded)
