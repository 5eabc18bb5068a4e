"""Which rows an answer is made of: from which tables, and no connection twice.

Where a condition asks for nothing that the rollups do not have, a long span is answered from them: whole
days, hours or minutes from theirs, what remains at both ends from finer ones. The answer is the same to the
last byte.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names; values are bound)
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from model import columns
from store import cluster, ddl, filters, parameters, transport


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in nanoseconds since 1970: from ``start`` up to but not including ``end``."""

    start: int
    end: int


_SECOND = 1_000_000_000

LEVELS = (("flows_day", 4 * 86_400), ("flows_hour", 12 * 3600), ("flows_minute", 3 * 3600))
"""Rollups, and how many seconds a span must have at least to be worth looking there; the coarsest first."""

_KEYS = frozenset(c.name for c in columns.COLUMNS if c.rollup is columns.Rollup.KEY)
"""What a condition may ask of a rollup."""
MOMENT = "fromUnixTimestamp64Nano({{{name}:Int64}}, 'UTC')"
"""A time in a statement, by the name of the value that it is bound to."""
START, END = (MOMENT.format(name=name) for name in ("start", "end"))
"""The bounds of a span in SQL; `bindings` has their values."""
HOURS = f"time >= toStartOfHour({START}) AND time < {END}"
"""The hours that a span touches."""
_TWIN = {"flows_day": "flows_hour_mirrored", "flows_hour": "flows_hour_mirrored", "flows_minute": "flows"}
"""Where the mirrored reports are that a rollup does not have."""


def parts(
    span: Span, condition: filters.Condition = filters.EVERYTHING, bucket_seconds: int = 0
) -> list[tuple[str, Span]]:
    """Which table answers for which part of a span.

    Args:
        span: The span.
        condition: What is asked of the rows; only the raw ones have all columns.
        bucket_seconds: The stretches into which the answer will be divided; 0 for none.
    """
    if not condition.columns <= _KEYS:
        return [("flows", span)]
    length = (span.end - span.start) // _SECOND
    levels = [table for table, least in LEVELS if length >= least and not bucket_seconds % ddl.ROLLUPS[table]]
    if levels:  # once it is worth looking at a rollup, the finer ones may have the ends
        levels = [table for table, _ in LEVELS if ddl.ROLLUPS[table] <= ddl.ROLLUPS[levels[0]]]
    return split(span, {table: ddl.ROLLUPS[table] for table in levels}, "flows")


def split(span: Span, levels: Mapping[str, int], finest: str) -> list[tuple[str, Span]]:
    """A span in parts, each for the coarsest table that can have it.

    Args:
        span: The span.
        levels: Tables and how many seconds a row of each stands for, the coarsest first.
        finest: The table that can have any part.
    """
    if span.start >= span.end:
        return []
    if not levels:
        return [(finest, span)]
    (table, seconds), *rest = levels.items()
    unit = seconds * _SECOND
    first, last = -(-span.start // unit) * unit, span.end // unit * unit
    if first >= last:
        return split(span, dict(rest), finest)
    before, after = Span(span.start, first), Span(last, span.end)
    return [
        *split(before, dict(rest), finest), (table, Span(first, last)), *split(after, dict(rest), finest)
    ]  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Sql:
    """A piece of a statement, and the values for it."""

    sql: str
    parameters: parameters.Parameters


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """The rows that an answer is made of, no connection twice.

    Attributes:
        found: Tables, and the test for their rows.
        parameters: The values for the tests.
    """

    found: Sequence[tuple[str, str]]
    parameters: parameters.Parameters

    def select(self, *names: str) -> str:
        """Some of `ddl.rollup_columns`, as a query of its own: an alias must not capture a column there."""
        rollup, raw = ", ".join(names), ddl.as_rollup(names)
        return " UNION ALL ".join(
            f"SELECT {raw if table == 'flows' else rollup} FROM {table} WHERE {test}"
            for table, test in self.found
        )


def counted(
    ledger: transport.Transport, span: Span, condition: filters.Condition, bucket_seconds: int = 0
) -> Rows:
    """The rows of a span that fulfil a condition.

    Args:
        ledger: Where to ask.
        span: Which stretch of time.
        condition: Which flows.
        bucket_seconds: As for `parts`.
    """
    asked = parts(span, condition, bucket_seconds)
    found, bound = [], bindings(span, condition)
    silent = _is_any_silent(ledger, span)
    for (table, _), within in zip(asked, stretches(asked), strict=True):
        bound |= within.parameters
        test = f"{within.sql} AND ({condition.sql})"
        if table == "flows":
            once = ddl.counted(HOURS) if silent else f"NOT ({ddl.MIRRORED})"
            found.append((table, f"{test} AND {once}"))
            continue
        found.append((table, test))
        if silent:
            raw = f"{ddl.MIRRORED} AND {ddl.unreported(HOURS, 'dst_node')}"
            unheard = raw if _TWIN[table] == "flows" else ddl.unreported(HOURS)
            found.append((_TWIN[table], f"{test} AND {unheard}"))
    return Rows(found or [("flows", "0")], bound)  # of an empty span there are none


def _is_any_silent(ledger: transport.Transport, span: Span) -> bool:
    """Whether there is an hour for which mirrored reports count; without one, they need not be read."""
    sql = f"SELECT count() AS hours FROM ({ddl.silent(HOURS)})"
    return bool(ask(ledger, sql, bindings(span)).column("hours")[0].as_py())


def stretches(found: Sequence[tuple[str, Span]], name: str = "") -> Iterator[Sql]:
    """For each part of a span the test for its rows; a name tells apart what is asked at once."""
    for number, (_, part) in enumerate(found):
        start, end = f"{name}start{number}", f"{name}end{number}"
        sql = f"time >= {MOMENT.format(name=start)} AND time < {MOMENT.format(name=end)}"
        yield Sql(sql, {start: part.start, end: part.end})


def ask(ledger: transport.Transport, sql: str, values: parameters.Parameters) -> pa.Table:
    """The answer to a statement; on a cluster all of its shards must be there.

    Raises:
        StoreError: If the ledger does not answer.
    """
    with cluster.whole(ledger):
        return ledger.query(sql, values)


def bindings(span: Span, condition: filters.Condition = filters.EVERYTHING) -> dict[str, str | int]:
    """The values that every such statement needs."""
    return {**condition.parameters, "start": span.start, "end": span.end}
