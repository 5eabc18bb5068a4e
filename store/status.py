"""What a ledger holds, how large it is, and what it will let go of, and what waits to get into it."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time

import pyarrow as pa

from model import errors
from store import cluster, ddl, losses, migrations, queries, retention, spool, spoolfile, transport


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
        shards: Those of the cluster that it is on, all of which answer; none for a ledger on one server.
    """

    schema: int
    bytes: int
    tables: pa.Table
    columns: pa.Table
    span: queries.Span | None
    summary: queries.Summary | None
    completeness: losses.Completeness
    next_drops: list[retention.Drop]
    shards: list[cluster.Shard]


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
        StoreError: If the ledger does not answer, a shard of it is away, or its schema is not ours.
    """
    shards = cluster.shards(ledger)
    if lost := cluster.lost(shards):
        raise errors.StoreError(f"{lost}: there is no status without it", temporary=True)
    migrations.check(ledger)
    span, stored = queries.bounds(ledger), cluster.stored(ledger)
    return Status(
        schema=ddl.SCHEMA_VERSION,
        bytes=retention.size(stored),
        tables=stored.query(_TABLES, {}),
        columns=stored.query(_COLUMNS, {}),
        span=span,
        summary=queries.summary(ledger, span) if span else None,
        completeness=queries.completeness(ledger, span) if span else losses.Completeness(),
        next_drops=retention.next_drops(stored, most_bytes),
        shards=shards,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A spool as it looks from outside.

    Attributes:
        files: How many wait, the growing ones too.
        bytes: What those take.
        oldest_seconds: How long ago rows were last added to the first of them; 0 if none waits.
        rejected_files: How many are set aside.
        rejected_bytes: What those take.
    """

    files: int
    bytes: int
    oldest_seconds: float
    rejected_files: int
    rejected_bytes: int


def spooled(folder: pathlib.Path) -> Spooled | None:
    """What waits in a spool, which may be another process's and go on; None where there is no spool.

    Raises:
        OSError: If it cannot be read.
    """
    if not (folder / spool.LOCK).exists():
        return None
    waiting, aside = _sizes(folder), _sizes(folder / spool.REJECTED)
    first = waiting[min(waiting)][1] if waiting else time.time()
    return Spooled(
        files=len(waiting), bytes=sum(size for size, _ in waiting.values()),
        oldest_seconds=max(time.time() - first, 0.0),
        rejected_files=len(aside), rejected_bytes=sum(size for size, _ in aside.values()),
    )  # fmt: skip


def _sizes(folder: pathlib.Path) -> dict[str, tuple[int, float]]:
    """Size and age of the spool's files in a folder, by name; one may be gone before it is looked at."""
    found = {}
    for path in folder.iterdir() if folder.exists() else ():
        if spoolfile.parse(path.name):
            with contextlib.suppress(FileNotFoundError):
                there = path.stat()
                found[path.name] = there.st_size, there.st_mtime
    return found
