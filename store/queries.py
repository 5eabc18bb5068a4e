"""What the app and the command line ask the ledger.

Totals leave out whatever would stand twice, as the views ``flows_counted`` and the like do. `flows` and
`since` show the reports themselves, and `nodes` counts what each node reported.

Where a condition asks for nothing that the rollups do not have, a long span is answered from them: whole
hours or minutes from theirs, what remains at both ends from finer ones. The answer is the same to the last
byte.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names; values are bound)
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pyarrow as pa

from model import columns, enums
from store import ddl, filters, losses, parameters, transport


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in nanoseconds since 1970: from ``start`` up to but not including ``end``."""

    start: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Totals of a span.

    Attributes:
        flows: Connections and denied attempts that began in it.
        allowed: Those of them that were allowed.
        denied: Those that were denied.
        unknown: Those whose fate is not known.
        bytes: Bytes both ways.
        completeness: The share of what happened that is recorded, from 0 to 1, over all nodes and whatever
            the condition: what is lost has no columns to filter by. 1 where there is no report.
        lost: Reports that the kernel could not hand over.
        discarded: Reports that we left out on purpose.
    """

    flows: int
    allowed: int
    denied: int
    unknown: int
    bytes: int
    completeness: float
    lost: int
    discarded: int


_SECOND = 1_000_000_000
_LEVELS = (("flows_hour", 12 * 3600), ("flows_minute", 3 * 3600))
"""Rollups, and how many seconds a span must have at least to be worth looking there; the coarsest first."""

_WORST = 50
"""How many places of loss an answer names, at most."""

_KEYS = frozenset(c.name for c in columns.COLUMNS if c.rollup is columns.Rollup.KEY)
"""What a condition may ask of a rollup."""
_TOTALLED = ", ".join(["time", *(c.name for c in columns.COLUMNS if c.rollup is not columns.Rollup.DROPPED)])
_RAW_SEEN = "time AS first_seen, time AS last_seen"
_ROLLUP_SEEN = "first_seen, last_seen"

_MOMENT = "fromUnixTimestamp64Nano({{{name}:Int64}}, 'UTC')"
_START, _END, _AFTER = (_MOMENT.format(name=name) for name in ("start", "end", "after"))
_WITHIN = f"time >= {_START} AND time < {_END}"
_HOURS = f"hour >= toStartOfHour({_START}) AND hour < {_END}"
_DIRECTION = (
    "multiIf(egress_action = 'deny', 'egress', ingress_action != '', 'ingress', "
    "egress_action != '', 'egress', '')"
)
_PROTOCOL = "transform(protocol, [{}], [{}], toString(protocol))".format(
    ", ".join(str(p.value) for p in enums.Protocol),
    ", ".join(f"'{enums.protocol_name(p.value)}'" for p in enums.Protocol),
)
_CONNECTIONS = "sum(connections_started) AS connections"
_PACKETS = "sum(forward_packets + reverse_packets) AS packets"
_BYTES = "sum(forward_bytes + reverse_bytes) AS bytes"


def summary(
    ledger: transport.Transport, span: Span, condition: filters.Condition = filters.EVERYTHING
) -> Summary:
    """How much there was in a span, and how complete the record of it is.

    Raises:
        StoreError: If the ledger does not answer, here and in every function below.
    """
    of = "sumIf(connections_started, verdict = '{0}') AS {0}"
    verdicts = ", ".join(of.format(verdict.value) for verdict in enums.Verdict)
    rows = _counted(span, condition)
    sql = f"SELECT sum(connections_started) AS flows, {verdicts}, {_BYTES} FROM ({rows.sql})"
    volume = _row(ledger.query(sql, rows.parameters))
    complete = completeness(ledger, span, condition)
    return Summary(**volume, completeness=complete.share, lost=complete.lost, discarded=complete.discarded)


def completeness(
    ledger: transport.Transport, span: Span, condition: filters.Condition = filters.EVERYTHING
) -> losses.Completeness:
    """How complete the record of a span is, for whoever asks with this condition.

    The condition says which tables are needed; what is lost has no columns to filter by.
    """
    # what rules have counted and what was written is the same once more: only what is missing there adds up
    by_source = (
        "SELECT node, source, sumIf(observed, source NOT IN ('counters', 'store')) AS seen, "
        "sum(lost) AS overrun, sum(discarded) AS shed, max(note) AS said, "
        "toUInt64(greatest(toInt64(sum(lost) + sum(discarded)) - toInt64(sum(incomplete)), 0)) AS gone "
        f"FROM completeness WHERE {_WITHIN} AND (source != 'retention' OR note = {{asked:String}}) "
        "GROUP BY node, source"
    )
    sql = (
        "SELECT toString(node) AS node, toString(source) AS source, overrun AS lost, shed AS discarded, "
        "toString(said) AS note, sum(seen) OVER () AS observed_in_all, sum(gone) OVER () AS missing_in_all, "
        "sum(overrun) OVER () AS lost_in_all, sum(shed) OVER () AS discarded_in_all "
        f"FROM ({by_source}) ORDER BY overrun + shed DESC, node, source LIMIT {_WORST}"
    )
    # what retention has dropped is missing from an answer that needs just that table
    asked = max(parts(span, condition), key=lambda part: part[1].end - part[1].start, default=("", span))
    found = ledger.query(sql, {**_parameters(span), "asked": asked[0]}).to_pylist()
    if not found:
        return losses.Completeness()
    totals = {name: int(found[0][f"{name}_in_all"]) for name in ("observed", "missing", "lost", "discarded")}
    names = [field.name for field in dataclasses.fields(losses.Loss)]
    worst = (
        losses.Loss(**{name: row[name] for name in names}) for row in found if row["lost"] + row["discarded"]
    )
    return losses.Completeness(**totals, losses=tuple(worst))


def stated(
    ask: Callable[..., pa.Table],
    ledger: transport.Transport,
    span: Span,
    condition: filters.Condition = filters.EVERYTHING,
    **wanted: int | bool,
) -> pa.Table:
    """An answer that carries its completeness, for `losses.attached` to read.

    Args:
        ask: `timeline`, `edges`, `graph` or `flows`.
        ledger: Where to ask.
        span: Which stretch of time.
        condition: Which flows.
        wanted: What else that function takes.
    """
    return losses.attach(ask(ledger, span, condition, **wanted), completeness(ledger, span, condition))


def timeline(
    ledger: transport.Transport,
    span: Span,
    condition: filters.Condition = filters.EVERYTHING,
    bucket_seconds: int = 60,
) -> pa.Table:
    """Columns ``time`` (start of the bucket), ``verdict``, ``connections``, ``bytes``, in the order of time.

    Buckets are aligned to 1970, so that the first may begin before the span; empty ones have no row.
    """
    bucket = (
        "fromUnixTimestamp64Nano(intDiv(toUnixTimestamp64Nano(time), {bucket:Int64}) * {bucket:Int64}, 'UTC')"
    )
    rows = _counted(span, condition, bucket_seconds)
    sql = (
        f"SELECT {bucket} AS bucket, toString(verdict) AS verdict_text, {_CONNECTIONS}, {_BYTES} "
        f"FROM ({rows.sql}) GROUP BY bucket, verdict_text ORDER BY bucket, verdict_text"
    )
    return ledger.query(sql, {**rows.parameters, "bucket": bucket_seconds * _SECOND}).rename_columns(
        ["time", "verdict", "connections", "bytes"]
    )


def edges(
    ledger: transport.Transport,
    span: Span,
    condition: filters.Condition = filters.EVERYTHING,
    limit: int = 1000,
) -> pa.Table:
    """Who talked to whom, on which port, by which rule: the edges with most connections first.

    Columns ``src``, ``dst``, ``src_kind``, ``dst_kind``, ``src_namespace``, ``dst_namespace``, ``dst_port``,
    ``protocol`` (its name), ``verdict``, ``direction`` (whose policy decided: ``ingress``, ``egress`` or
    empty), ``deciding_rule``, ``attribution``, ``connections``, ``packets``, ``bytes`` (both ways),
    ``first_seen``, ``last_seen``.
    """
    rows = _counted(span, condition)
    keys = "dst_port, protocol, verdict, direction, deciding_rule, attribution"
    inner = (
        f"SELECT {_END_KEYS}, dst_port, protocol, verdict, {_DIRECTION} AS direction, deciding_rule, "
        f"attribution, {_CONNECTIONS}, {_PACKETS}, {_BYTES}, "
        "min(first_seen) AS first, max(last_seen) AS last "
        f"FROM ({rows.sql}) GROUP BY {_END_NAMES}, {keys} "
        f"ORDER BY connections DESC, last DESC, {_END_NAMES}, {keys} LIMIT {{limit:UInt64}}"
    )
    sql = (
        f"SELECT {_name('src', 'src_end')} AS src, {_name('dst', 'dst_end')} AS dst, src_kind, dst_kind, "
        f"src_namespace, dst_namespace, dst_port, {_PROTOCOL} AS protocol_text, verdict, direction, "
        "deciding_rule, attribution, connections, packets, bytes, first AS first_seen, last AS last_seen "
        f"FROM ({inner}) ORDER BY connections DESC, last_seen DESC, src, dst, {keys}"
    )
    table = ledger.query(sql, {**rows.parameters, "limit": limit})
    return table.rename_columns(["protocol" if n == "protocol_text" else n for n in table.column_names])


def graph(
    ledger: transport.Transport, span: Span, condition: filters.Condition = filters.EVERYTHING
) -> pa.Table:
    """Who talked to whom, whatever the port.

    Columns ``src``, ``dst``, ``src_namespace``, ``dst_namespace``, ``src_kind``, ``dst_kind``, ``verdict``,
    ``connections``, ``bytes``; most connections first.
    """
    rows = _counted(span, condition)
    inner = (
        f"SELECT {_END_KEYS}, verdict, {_CONNECTIONS}, {_BYTES} "
        f"FROM ({rows.sql}) GROUP BY {_END_NAMES}, verdict"
    )
    sql = (
        f"SELECT {_name('src', 'src_end')} AS src, {_name('dst', 'dst_end')} AS dst, src_namespace, "
        f"dst_namespace, src_kind, dst_kind, verdict, connections, bytes FROM ({inner}) "
        "ORDER BY connections DESC, src, dst, verdict"
    )
    return ledger.query(sql, rows.parameters)


def flows(
    ledger: transport.Transport,
    span: Span,
    condition: filters.Condition = filters.EVERYTHING,
    limit: int = 1000,
    *,
    descending: bool = True,
) -> pa.Table:
    """The rows themselves, as the nodes reported them: every column of the registry, ``src`` and ``dst``.

    Args:
        ledger: Where to ask.
        span: Which rows, by ``time``.
        condition: Which of them.
        limit: How many at most.
        descending: Newest first, and so the newest ones where there are more than ``limit``.
    """
    order = "DESC" if descending else "ASC"
    # the rows lie by hour: so asked, reading ends with the hour that fills the limit
    by = f"toStartOfHour(time) {order}, time {order}"
    sql = f"{_rows(_WITHIN, condition)} ORDER BY {by} LIMIT {{limit:UInt64}}"
    return ledger.query(sql, {**_parameters(span, condition), "limit": limit})


def since(
    ledger: transport.Transport,
    after: int,
    condition: filters.Condition = filters.EVERYTHING,
    limit: int = 1000,
) -> pa.Table:
    """Rows later than a moment (nanoseconds since 1970), oldest first; the columns are those of `flows`.

    More than ``limit`` come where several rows share the last one's time, so that asking again after that
    time leaves none out.
    """
    sql = f"{_rows(f'time > {_AFTER}', condition)} ORDER BY time LIMIT {{limit:UInt64}} WITH TIES"
    return ledger.query(sql, {**condition.parameters, "after": after, "limit": limit})


def bounds(ledger: transport.Transport) -> Span | None:
    """The span that holds every row there is, or that a rollup still knows of; None for an empty ledger."""
    of = (
        "SELECT count() AS rows, toUnixTimestamp64Nano(min(time)) AS first, "
        "toUnixTimestamp64Nano(max(time)) AS last FROM {}"
    )
    sql = f"SELECT * FROM ({of.format('flows')} UNION ALL {of.format('flows_hour')}) WHERE rows > 0"
    found = ledger.query(
        f"SELECT min(first) AS early, max(first) AS late, max(last) AS last FROM ({sql})", {}
    )
    early, late, last = (found.column(name)[0].as_py() for name in ("early", "late", "last"))
    if not last:
        return None
    # an hour begins before its first row does: where that row is still there, it is the beginning
    return Span(late if late - early < 3600 * _SECOND else early, last + 1)


def nodes(ledger: transport.Transport, span: Span) -> pa.Table:
    """What each node reported in a span.

    Columns ``node``, ``last_seen`` (its last row or statement of completeness), ``flows`` (connections it
    reported, whether or not another node did so too), ``observed``, ``lost``, ``discarded``.
    """
    rows = _reported(span)
    sql = (
        "SELECT node, max(seen) AS last_seen, sum(began) AS flows, sum(heard) AS observed, "
        "sum(missed) AS lost, sum(shed) AS discarded FROM ("
        "SELECT node, max(last_seen) AS seen, sum(connections_started) AS began, toUInt64(0) AS heard, "
        f"toUInt64(0) AS missed, toUInt64(0) AS shed FROM ({rows.sql}) GROUP BY node "
        "UNION ALL SELECT node, max(time), toUInt64(0), sum(observed), sum(lost), sum(discarded) "
        f"FROM completeness WHERE {_WITHIN} AND source != 'retention' GROUP BY node) "
        "GROUP BY node ORDER BY node"
    )
    return ledger.query(sql, rows.parameters)


def parts(
    span: Span, condition: filters.Condition = filters.EVERYTHING, bucket_seconds: int = 3600
) -> list[tuple[str, Span]]:
    """Which table answers for which part of a span.

    Args:
        span: The span.
        condition: What is asked of the rows; only the raw ones have all columns.
        bucket_seconds: The stretches into which the answer will be divided.
    """
    if not condition.columns <= _KEYS:
        return [("flows", span)]
    length = (span.end - span.start) // _SECOND
    levels = [
        table for table, least in _LEVELS if length >= least and not bucket_seconds % ddl.ROLLUPS[table]
    ]
    if levels:  # once it is worth looking at a rollup, the finer ones may have the ends
        levels = [table for table, _ in _LEVELS if ddl.ROLLUPS[table] <= ddl.ROLLUPS[levels[0]]]
    return _split(span, levels)


def _split(span: Span, levels: list[str]) -> list[tuple[str, Span]]:
    if span.start >= span.end:
        return []
    if not levels:
        return [("flows", span)]
    unit = ddl.ROLLUPS[levels[0]] * _SECOND
    first, last = -(-span.start // unit) * unit, span.end // unit * unit
    if first >= last:
        return _split(span, levels[1:])
    before, after = Span(span.start, first), Span(last, span.end)
    return [*_split(before, levels[1:]), (levels[0], Span(first, last)), *_split(after, levels[1:])]


@dataclasses.dataclass(frozen=True, slots=True)
class _Rows:
    """Rows to make totals of, as a query of their own: an alias must not capture a column here."""

    sql: str
    parameters: parameters.Parameters


def _counted(span: Span, condition: filters.Condition, bucket_seconds: int = 3600) -> _Rows:
    """The rows of a span that fulfil a condition, and no connection twice."""
    return _reported(span, condition, f"({condition.sql}) AND {ddl.counted(_HOURS)}", bucket_seconds)


def _reported(
    span: Span,
    condition: filters.Condition = filters.EVERYTHING,
    test: str = "1",
    bucket_seconds: int = 3600,
) -> _Rows:
    selected, bound = [], _parameters(span, condition)
    for number, (table, part) in enumerate(parts(span, condition, bucket_seconds)):
        start, end = f"start{number}", f"end{number}"
        bound |= {start: part.start, end: part.end}
        seen = _RAW_SEEN if table == "flows" else _ROLLUP_SEEN
        within = f"time >= {_MOMENT.format(name=start)} AND time < {_MOMENT.format(name=end)}"
        selected.append(f"SELECT {_TOTALLED}, {seen} FROM {table} WHERE {within} AND {test}")
    if not selected:  # an empty span
        selected.append(f"SELECT {_TOTALLED}, {_RAW_SEEN} FROM flows WHERE 0")
    return _Rows(" UNION ALL ".join(selected), bound)


def _rows(moment: str, condition: filters.Condition) -> str:
    names = f"{_name('src', 'src_address')} AS src, {_name('dst', 'dst_address')} AS dst"
    return f"SELECT *, {names} FROM flows WHERE {moment} AND ({condition.sql})"


def _end(side: str) -> str:
    """What groups the rows of one end: its address only where it has no name of its own."""
    return (
        f"if({side}_workload != '', toString({side}_workload), toString({side}_pod)) AS {side}_known, "
        f"if({side}_known = '', {side}_address, toIPv6('::')) AS {side}_end"
    )


def _name(side: str, address: str) -> str:
    text = f"toString({address})"
    mapped = f"if(match({text}, '^::ffff:[0-9]+[.]'), substring({text}, 8), {text})"
    known = f"if({side}_workload != '', toString({side}_workload), toString({side}_pod))"
    if address != f"{side}_address":
        known = f"{side}_known"
    owner = f"if({side}_kind = 'pod', concat(toString({side}_namespace), '/', {known}), {known})"
    return f"if({known} = '', {mapped}, {owner})"


_END_KEYS = ", ".join(f"{side}_kind, {side}_namespace, {_end(side)}" for side in ("src", "dst"))
_END_NAMES = ", ".join(
    f"{side}_{part}" for side in ("src", "dst") for part in ("kind", "namespace", "known", "end")
)


def _parameters(span: Span, condition: filters.Condition = filters.EVERYTHING) -> dict[str, str | int]:
    return {**condition.parameters, "start": span.start, "end": span.end}


def _row(table: pa.Table) -> dict[str, int]:
    return {name: table.column(name)[0].as_py() for name in table.column_names}
