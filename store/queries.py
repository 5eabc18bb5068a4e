"""What the app and the command line ask the ledger.

Totals leave out whatever would stand twice, as the views ``flows_counted`` and the like do. `flows` and
`since` show the reports themselves, `newly_denied` asks those of both ends, and `nodes` counts what each
node reported.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names; values are bound)
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pyarrow as pa

from model import enums
from store import counting, ddl, filters, losses, transport


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


Span = counting.Span

_SECOND = 1_000_000_000
_WORST = 50
"""How many places of loss an answer names, at most."""

_LONG_SECONDS = 86_400
"""From how many seconds on nobody asks at which moment exactly a span begins."""

_MOST_BUSIEST = 1000
"""How many edges are handed back to the ledger by their hashes."""

_STATEMENTS_BY_HOUR = 3 * 3600
"""Seconds of a span from which on the hours of completeness are worth it."""

_AFTER = counting.MOMENT.format(name="after")
_WITHIN = f"time >= {counting.START} AND time < {counting.END}"
_ID = (
    "lower(hex(sipHash64(started, node, src_address, src_port, dst_address, dst_port, protocol, icmp_type)))"
)
_PROTOCOL = "transform(protocol, [{}], [{}], toString(protocol))".format(
    ", ".join(str(p.value) for p in enums.Protocol),
    ", ".join(f"'{enums.protocol_name(p.value)}'" for p in enums.Protocol),
)
_CONNECTIONS = "sum(connections_started) AS connections"
_VOLUME = ("verdict", "connections_started", "connections_ended", "forward_bytes", "reverse_bytes")
_PACKETS = "sum(forward_packets + reverse_packets) AS packets"
_BYTES = "sum(forward_bytes + reverse_bytes) AS bytes"
_LEFT = "HAVING connections != 0 OR bytes != 0 OR sum(connections_ended) != 0"
"""Not what has all been taken back; packets have bytes."""
_PENDING_RULE = (
    "arrayLast(hit -> splitByChar('|', hit)[4] IN ('allow', 'deny'), "
    "splitByChar(' ', toString(pending_trace)))"
)
_SHOWN = f"correction != '{ddl.TAKEN_BACK}'"
"""The rows that stand for something by themselves."""


def summary(
    ledger: transport.Transport, span: Span, condition: filters.Condition = filters.EVERYTHING
) -> Summary:
    """How much there was in a span, and how complete the record of it is.

    Raises:
        StoreError: If the ledger does not answer, here and in every function below. On a cluster all of its
            shards must: there are no answers from the rest of them.
    """
    of = "sumIf(connections_started, verdict = '{0}') AS {0}"
    verdicts = ", ".join(of.format(verdict.value) for verdict in enums.Verdict)
    rows = counting.counted(ledger, span, condition)
    sql = f"SELECT sum(connections_started) AS flows, {verdicts}, {_BYTES} FROM ({rows.select(*_VOLUME)})"
    volume = _row(counting.ask(ledger, sql, rows.parameters))
    complete = completeness(ledger, span, condition)
    return Summary(**volume, completeness=complete.share, lost=complete.lost, discarded=complete.discarded)


def completeness(
    ledger: transport.Transport,
    span: Span,
    condition: filters.Condition = filters.EVERYTHING,
    bucket_seconds: int = 0,
    *,
    rows: bool = False,
) -> losses.Completeness:
    """How complete the record of a span is, for whoever asks with this condition.

    What is lost has no columns to filter by. But what retention has dropped is missing from those answers
    alone that need the table it was in.

    Args:
        ledger: Where to ask.
        span: Which stretch of time.
        condition: Which flows.
        bucket_seconds: As for `parts`.
        rows: Whether it is the rows themselves that are asked for.
    """
    # what rules have counted and what was written is the same once more: only what is missing there adds up
    said = _statements(span)
    missed = _missed([("flows", span)] if rows else counting.parts(span, condition, bucket_seconds))
    by_source = (
        "SELECT node, source, sumIf(observed, source NOT IN ('counters', 'store')) AS seen, "
        "sum(lost) AS overrun, sum(discarded) AS shed, max(note) AS said, "
        "toUInt64(greatest(toInt64(sum(lost) + sum(discarded)) - toInt64(sum(incomplete)), 0)) AS gone "
        f"FROM ({said.sql}) WHERE source != 'retention' OR {missed.sql} GROUP BY node, source"
    )
    sql = (
        "SELECT toString(node) AS node, toString(source) AS source, overrun AS lost, shed AS discarded, "
        "toString(said) AS note, sum(seen) OVER () AS observed_in_all, sum(gone) OVER () AS missing_in_all, "
        "sum(overrun) OVER () AS lost_in_all, sum(shed) OVER () AS discarded_in_all "
        f"FROM ({by_source}) ORDER BY overrun + shed DESC, node, source LIMIT {_WORST}"
    )
    found = counting.ask(ledger, sql, {**said.parameters, **missed.parameters}).to_pylist()
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
    bucket = int(wanted.get("bucket_seconds", 60)) if ask is timeline else 0
    complete = completeness(ledger, span, condition, bucket, rows=ask is flows)
    return losses.attach(ask(ledger, span, condition, **wanted), complete)


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
    rows = counting.counted(ledger, span, condition, bucket_seconds)
    sql = (
        f"SELECT {bucket} AS bucket, toString(verdict) AS verdict_text, {_CONNECTIONS}, {_BYTES} "
        f"FROM ({rows.select('time', *_VOLUME)}) GROUP BY bucket, verdict_text {_LEFT} "
        "ORDER BY bucket, verdict_text"
    )
    return counting.ask(ledger, sql, {**rows.parameters, "bucket": bucket_seconds * _SECOND}).rename_columns(
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
    rows = counting.counted(ledger, span, condition)
    keys = "dst_port, protocol, verdict, direction, deciding_rule, attribution"
    chosen = _busiest(ledger, rows, limit)
    inner = (
        f"SELECT {_END_KEYS}, {keys}, {_CONNECTIONS}, {_PACKETS}, {_BYTES}, "
        "min(first_seen) AS first, max(last_seen) AS last "
        f"FROM ({rows.select(*_EDGE)}) WHERE {chosen.sql} GROUP BY {_END_NAMES}, {keys} {_LEFT} "
        f"ORDER BY connections DESC, last DESC, {_END_NAMES}, {keys} LIMIT {{limit:UInt64}}"
    )
    sql = (
        f"SELECT {_name('src', 'src_end')} AS src, {_name('dst', 'dst_end')} AS dst, src_kind, dst_kind, "
        f"src_namespace, dst_namespace, dst_port, {_PROTOCOL} AS protocol_text, verdict, direction, "
        "deciding_rule, attribution, connections, packets, bytes, first AS first_seen, last AS last_seen "
        f"FROM ({inner}) ORDER BY connections DESC, last_seen DESC, src, dst, {keys}"
    )
    table = counting.ask(ledger, sql, {**rows.parameters, **chosen.parameters, "limit": limit})
    return table.rename_columns(["protocol" if n == "protocol_text" else n for n in table.column_names])


def newly_denied(ledger: transport.Transport, span: Span, limit: int = 1000) -> pa.Table:
    """What was allowed and would be denied if the staged policies were in force: most connections first.

    The rollups do not know it, so that the rows themselves are read. And both reports of a connection are:
    each node says what the policies of its own end would do, so that the rule tells them apart.

    Columns ``src``, ``dst``, ``src_kind``, ``dst_kind``, ``src_namespace``, ``dst_namespace``, ``dst_port``,
    ``protocol`` (its name), ``verdict``, ``pending_verdict``, ``direction`` (whose policy would deny it),
    ``pending_rule`` (the last allow or deny of ``pending_trace``), ``connections``, ``first_seen``,
    ``last_seen``.
    """
    denied, allowed = enums.Verdict.DENIED.value, enums.Verdict.ALLOWED.value
    keys = "dst_port, protocol, pending_rule"
    inner = (
        f"SELECT {_END_KEYS}, dst_port, protocol, {_PENDING_RULE} AS pending_rule, {_CONNECTIONS}, {_BYTES}, "
        f"min(time) AS first, max(time) AS last FROM flows WHERE {_WITHIN} "
        f"AND pending_verdict = '{denied}' AND verdict = '{allowed}' GROUP BY {_END_NAMES}, {keys} {_LEFT} "
        f"ORDER BY connections DESC, last DESC, {_END_NAMES}, {keys} LIMIT {{limit:UInt64}}"
    )
    sql = (
        f"SELECT {_name('src', 'src_end')} AS src, {_name('dst', 'dst_end')} AS dst, src_kind, dst_kind, "
        f"src_namespace, dst_namespace, dst_port, {_PROTOCOL} AS protocol_text, '{allowed}' AS verdict, "
        f"'{denied}' AS pending_verdict, splitByChar('|', pending_rule)[1] AS direction, pending_rule, "
        f"connections, first AS first_seen, last AS last_seen FROM ({inner}) "
        f"ORDER BY connections DESC, last_seen DESC, src, dst, {keys}"
    )
    table = counting.ask(ledger, sql, {**counting.bindings(span), "limit": limit})
    return table.rename_columns(["protocol" if n == "protocol_text" else n for n in table.column_names])


def rules(ledger: transport.Transport, span: Span) -> pa.Table:
    """Which policy rules connections met, in the rows themselves: the rollups have the last one alone.

    Columns ``hit`` (as in ``policy_trace``; empty for connections of which no rule is known),
    ``connections``, ``last_seen``.
    """
    traces = (
        "SELECT toString(policy_trace) AS trace, sum(connections_started) AS started, max(time) AS last "
        f"FROM flows WHERE {_WITHIN} GROUP BY trace"
    )
    sql = (
        "SELECT hit, sum(started) AS connections, max(last) AS last_seen FROM "
        f"(SELECT arrayJoin(arrayDistinct(splitByChar(' ', trace))) AS hit, started, last FROM ({traces})) "
        "GROUP BY hit ORDER BY connections DESC, hit"
    )
    return counting.ask(ledger, sql, {"start": span.start, "end": span.end})


def judged(ledger: transport.Transport, span: Span, limit: int = 100_000) -> pa.Table:
    """What was done to connections that began in a span: the most frequent first.

    Columns ``src_namespace``, ``src_pod``, ``src_address``, the same of ``dst``, ``dst_port``, ``protocol``,
    ``icmp_type``, ``icmp_code``, ``reporter``, ``verdict``, ``egress_action``, ``ingress_action``,
    ``deciding_rule``, ``attribution``, ``connections``, ``last_seen``; addresses have 16 bytes.
    """
    ends = ", ".join(
        f"toString({side}_{name}) AS {side}_{name}_text"
        for side in ("src", "dst") for name in ("namespace", "pod")
    )  # fmt: skip
    texts = ("reporter", "verdict", "egress_action", "ingress_action", "deciding_rule", "attribution")
    listed = ", ".join(f"toString({name}) AS {name}_text" for name in texts)
    groups = (
        "src_namespace_text, src_pod_text, dst_namespace_text, dst_pod_text, src_address, dst_address, "
        f"dst_port, protocol, icmp_type, icmp_code, {', '.join(f'{name}_text' for name in texts)}"
    )
    moments = " AND ".join(
        f"{column} >= {counting.START} AND {column} < {counting.END}" for column in ("time", "started")
    )
    sql = (
        f"SELECT {ends}, src_address, dst_address, dst_port, protocol, icmp_type, icmp_code, {listed}, "
        f"sum(connections_started) AS connections, max(time) AS last_seen FROM flows WHERE {moments} "
        f"GROUP BY {groups} HAVING connections > 0 ORDER BY connections DESC, {groups} LIMIT {{limit:UInt64}}"
    )
    found = counting.ask(ledger, sql, {"start": span.start, "end": span.end, "limit": limit})
    return found.rename_columns([name.removesuffix("_text") for name in found.column_names])


def _busiest(ledger: transport.Transport, rows: counting.Rows, limit: int) -> counting.Sql:
    """The test for the edges that get into an answer.

    To add up by all the texts takes long, so that it is done for these alone. Which ones they are is told by
    their hash; where two have the same, both get in.
    """
    if limit > _MOST_BUSIEST:
        return counting.Sql("1", {})
    sql = (
        f"SELECT edge, {_CONNECTIONS}, {_BYTES}, max(last_seen) AS last "
        f"FROM ({rows.select('edge', *_VOLUME, 'last_seen')}) GROUP BY edge {_LEFT} "
        "ORDER BY connections DESC, last DESC, edge LIMIT {limit:UInt64}"
    )
    found = counting.ask(ledger, sql, {**rows.parameters, "limit": limit}).column("edge").to_pylist()
    return counting.Sql(f"edge IN ({', '.join(map(str, found)) or '0'})", {})


def graph(
    ledger: transport.Transport, span: Span, condition: filters.Condition = filters.EVERYTHING
) -> pa.Table:
    """Who talked to whom, whatever the port; those without a name are one for each kind, as in ``public``.

    Columns ``src``, ``dst``, ``src_namespace``, ``dst_namespace``, ``src_kind``, ``dst_kind``, ``verdict``,
    ``connections``, ``bytes``; most connections first.
    """
    rows = counting.counted(ledger, span, condition)
    known = ", ".join(f"{_known(side)} AS {side}_known" for side in ("src", "dst"))
    names = ", ".join(f"{side}_{part}" for side in ("src", "dst") for part in ("kind", "namespace", "known"))
    inner = (
        f"SELECT src_kind, src_namespace, dst_kind, dst_namespace, {known}, verdict, {_CONNECTIONS}, "
        f"{_BYTES} FROM ({rows.select(*_ENDS, *_VOLUME)}) GROUP BY {names}, verdict {_LEFT}"
    )
    sql = (
        f"SELECT {_owned('src', 'src_kind')} AS src, {_owned('dst', 'dst_kind')} AS dst, src_namespace, "
        f"dst_namespace, src_kind, dst_kind, verdict, connections, bytes FROM ({inner}) "
        "ORDER BY connections DESC, src, dst, verdict"
    )
    return counting.ask(ledger, sql, rows.parameters)


def flows(
    ledger: transport.Transport,
    span: Span,
    condition: filters.Condition = filters.EVERYTHING,
    limit: int = 1000,
    *,
    descending: bool = True,
) -> pa.Table:
    """The rows as nodes reported them: every column of the registry, ``src``, ``dst`` and ``id``.

    ``id`` is that of the connection or attempt as one node saw it: the same in all its rows.

    Args:
        ledger: Where to ask.
        span: Which rows, by ``time``.
        condition: Which of them.
        limit: How many at most.
        descending: Newest first, and so the newest ones where there are more than ``limit``.
    """
    order = "DESC" if descending else "ASC"
    # The rows lie by five minutes: so asked, reading ends with those that fill the limit. Times alone come
    # first: to read all columns of five minutes for a few rows of them takes many times as long.
    by = f"toStartOfFiveMinutes(time) {order}, time {order}"
    last = "min(time)" if descending else "max(time)"
    times = (
        f"SELECT time FROM flows WHERE {_WITHIN} AND {_SHOWN} AND ({condition.sql}) "
        f"ORDER BY {by} LIMIT {{limit:UInt64}}"
    )
    chosen = f"{_WITHIN} AND time {'>=' if descending else '<='} (SELECT {last} FROM ({times}))"
    sql = f"{_rows(chosen, condition)} ORDER BY {by} LIMIT {{limit:UInt64}}"
    return counting.ask(ledger, sql, {**counting.bindings(span, condition), "limit": limit})


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
    return counting.ask(ledger, sql, {**condition.parameters, "after": after, "limit": limit})


def flow(ledger: transport.Transport, span: Span, id_: str) -> pa.Table:
    """The last row of the connection with this ``id``, with the columns of `flows`; none if there is none."""
    found = filters.Condition(f"{_ID} = {{id:String}}", {"id": id_})
    return counting.ask(
        ledger, f"{_rows(_WITHIN, found)} ORDER BY time DESC LIMIT 1", counting.bindings(span, found)
    )


def bounds(ledger: transport.Transport, *, rows: bool = False) -> Span | None:
    """The span that holds every row there is, or that a rollup still knows of; None for an empty ledger.

    Args:
        ledger: Where to ask.
        rows: Whether it is the rows themselves that are asked for, whatever rollups know.
    """
    of = (
        "SELECT '{0}' AS table, count() AS rows, toUnixTimestamp64Nano(min(time)) AS first, "
        "toUnixTimestamp64Nano(max({1})) AS last FROM {0}"
    )
    seen = {"flows": "time"} | ({} if rows else {"flows_hour": "last_seen", "flows_day": "last_seen"})
    each = " UNION ALL ".join(of.format(table, column) for table, column in seen.items())
    found = counting.ask(ledger, f"SELECT * FROM ({each}) WHERE rows > 0", {}).to_pylist()
    if not found:
        return None
    first = {row["table"]: row["first"] for row in found}
    start = first.get("flows", max(first.values()))
    for table in ("flows_hour", "flows_day"):
        # an hour begins before its first row does: where that row is still there, it is the beginning
        if start - first.get(table, start) >= ddl.ROLLUPS[table] * _SECOND:
            start = first[table]
    return Span(start, max(row["last"] for row in found) + 1)


def nodes(ledger: transport.Transport, span: Span) -> pa.Table:
    """What each node reported in a span; what an import has stated under no node's name is left out.

    Columns ``node``, ``last_seen`` (its last statement of completeness), ``observed``, ``lost``,
    ``discarded``.
    """
    said = _statements(span)
    sql = (
        "SELECT node, max(last_seen) AS last, sum(observed) AS heard, sum(lost) AS missed, "
        f"sum(discarded) AS shed FROM ({said.sql}) WHERE source != 'retention' AND node != '' "
        "GROUP BY node ORDER BY node"
    )
    return counting.ask(ledger, sql, said.parameters).rename_columns(
        ["node", "last_seen", "observed", "lost", "discarded"]
    )


def from_full_hour(span: Span) -> Span:
    """A long span from the full hour before it on, which spares its answers the search for a beginning."""
    unit = 3600 * _SECOND
    long = span.end - span.start >= _LONG_SECONDS * _SECOND
    return Span(span.start // unit * unit, span.end) if long else span


def _statements(span: Span) -> counting.Sql:
    """What was stated about the completeness of a span."""
    long = span.end - span.start >= _STATEMENTS_BY_HOUR * _SECOND
    found = counting.split(span, {"completeness_hour": 3600} if long else {}, "completeness")
    selected, bound = [], counting.bindings(span)
    common = "time, node, source, note, observed, lost, discarded, incomplete"
    for (table, _), within in zip(found, counting.stretches(found), strict=True):
        bound |= within.parameters
        seen = "time AS last_seen" if table == "completeness" else "last_seen"
        selected.append(f"SELECT {common}, {seen} FROM {table} WHERE {within.sql}")
    if not selected:
        selected.append(f"SELECT {common}, time AS last_seen FROM completeness WHERE 0")
    return counting.Sql(" UNION ALL ".join(selected), bound)


def _missed(found: Sequence[tuple[str, Span]]) -> counting.Sql:
    """The test for statements that what was needed has been dropped."""
    tests, bound = ["0"], dict[str, str | int]()
    for (number, (table, _)), within in zip(
        enumerate(found), counting.stretches(found, "needed"), strict=True
    ):
        tests.append(f"(note = {{table{number}:String}} AND {within.sql})")
        bound |= {**within.parameters, f"table{number}": table}
    return counting.Sql(f"({' OR '.join(tests)})", bound)


def _rows(moment: str, condition: filters.Condition) -> str:
    names = f"{_name('src', 'src_address')} AS src, {_name('dst', 'dst_address')} AS dst"
    return f"SELECT *, {names}, {_ID} AS id FROM flows WHERE {moment} AND {_SHOWN} AND ({condition.sql})"


def _known(side: str) -> str:
    return f"if({side}_workload != '', toString({side}_workload), toString({side}_pod))"


def _end(side: str) -> str:
    """What groups the rows of one end: its address only where it has no name of its own."""
    return (
        f"{_known(side)} AS {side}_known, if({side}_known = '', {side}_address, toIPv6('::')) AS {side}_end"
    )


def _name(side: str, address: str) -> str:
    text = f"toString({address})"
    mapped = f"if(match({text}, '^::ffff:[0-9]+[.]'), substring({text}, 8), {text})"
    return _owned(side, mapped, _known(side) if address == f"{side}_address" else f"{side}_known")


def _owned(side: str, else_: str, known: str = "") -> str:
    """The name of an end, with its namespace, or else something else."""
    known = known or f"{side}_known"
    owner = f"if({side}_kind = 'pod', concat(toString({side}_namespace), '/', {known}), {known})"
    return f"if({known} = '', toString({else_}), {owner})"


_ENDS = [f"{side}_{part}" for side in ("src", "dst") for part in ("kind", "namespace", "workload", "pod")]
_EDGE = (
    "edge", *_ENDS, "src_address", "dst_address", "dst_port", "protocol", "direction", "deciding_rule",
    "attribution", *_VOLUME, "forward_packets", "reverse_packets", "first_seen", "last_seen",
)  # fmt: skip
"""What an edge is made of."""
_END_KEYS = ", ".join(f"{side}_kind, {side}_namespace, {_end(side)}" for side in ("src", "dst"))
_END_NAMES = ", ".join(
    f"{side}_{part}" for side in ("src", "dst") for part in ("kind", "namespace", "known", "end")
)


def _row(table: pa.Table) -> dict[str, int]:
    return {name: table.column(name)[0].as_py() for name in table.column_names}
