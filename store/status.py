"""What a ledger holds, how large it is, and what it will let go of: for ``flowledger store status``."""

from __future__ import annotations

import dataclasses

import pyarrow as pa

from store import ddl, losses, migrations, queries, retention, transport


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A ledger as it stands.

    Attributes:
        schema: Version of the schema.
        bytes: What all rows take on disk.
        tables: Columns ``table``, ``rows``, ``bytes``, ``bytes_a_row``, ``partitions``, ``oldest`` and
            ``newest`` of these.
        columns: Of `flows`: ``column``, ``bytes``, ``bytes_a_row``, ``raw_bytes_a_row``; the largest first.
            ClickHouse knows this of parts from 10 MB on; a ledger without one has no rows here.
        span: When the first and the last row is; None for an empty ledger.
        summary: Totals of that span.
        completeness: How complete the record of it is.
        next_drops: What retention will drop next.
    """

    schema: int
    bytes: int
    tables: pa.Table
    columns: pa.Table
    span: queries.Span | None
    summary: queries.Summary | None
    completeness: losses.Completeness
    next_drops: list[retention.Drop]


# `p.` keeps an alias from being taken for the column of the same name.
_TABLES = (
    "SELECT p.table AS table, sum(p.rows) AS rows, sum(p.bytes_on_disk) AS bytes, "
    "round(sum(p.bytes_on_disk) / sum(p.rows), 2) AS bytes_a_row, uniqExact(p.partition) AS partitions, "
    "if(min(p.partition) = 'tuple()', '', min(p.partition)) AS oldest, "
    "if(max(p.partition) = 'tuple()', '', max(p.partition)) AS newest "
    "FROM system.parts AS p WHERE p.active AND p.rows > 0 AND p.database = currentDatabase() "
    "GROUP BY p.table ORDER BY bytes DESC, table"
)
_COLUMNS = (
    "SELECT p.column AS column, sum(p.column_data_compressed_bytes) AS bytes, "
    "round(sum(p.column_data_compressed_bytes) / sum(p.rows), 3) AS bytes_a_row, "
    "round(sum(p.column_data_uncompressed_bytes) / sum(p.rows), 3) AS raw_bytes_a_row "
    "FROM system.parts_columns AS p "
    "WHERE p.active AND p.part_type = 'Wide' AND p.table = 'flows' AND p.database = currentDatabase() "
    "GROUP BY p.column ORDER BY bytes DESC, column"
)


def read(ledger: transport.Transport, most_bytes: int = 0) -> Status:
    """The status of a ledger.

    Args:
        ledger: Which one.
        most_bytes: How large it may get; 0 for no bound.

    Raises:
        StoreError: If the ledger does not answer, or has a schema that is not ours.
    """
    migrations.check(ledger)
    span = queries.bounds(ledger)
    return Status(
        schema=ddl.SCHEMA_VERSION,
        bytes=retention.size(ledger),
        tables=ledger.query(_TABLES, {}),
        columns=ledger.query(_COLUMNS, {}),
        span=span,
        summary=queries.summary(ledger, span) if span else None,
        completeness=queries.completeness(ledger, span) if span else losses.Completeness(),
        next_drops=retention.next_drops(ledger, most_bytes),
    )
