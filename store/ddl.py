"""The tables of the ledger, made from the column registry.

Rows come into the tables of `TABLES` alone; materialized views make the others from them. Every table keeps
the tokens of its last inserts, so that the same insert twice is one, in the tables that views fill too. And
an insert that is answered is on the disk: whoever offered it forgets it then.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names)
from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from model import columns

SCHEMA_VERSION = 5
"""Raised by every change to a table or view; `migrations` brings older ledgers up to it."""

RETENTION_DAYS = 90
ROLLUP_RETENTION_DAYS = 400
"""A year can be compared with the year before it."""

TOKENS = 300_000
"""How many inserts back the same token is known again, in each table of a ledger that many nodes write.

A node that was away offers its last batch again: 20 nodes that write every five seconds leave it 21 hours for
that, 1,000 nodes 25 minutes, or 5 hours if they write every minute. Measured on ClickHouse 26.7: each token
that there is takes 240 bytes of memory, 100,000 in each of three tables 0.16 s of a server's start, and a
million 5 s and 700 MB.
"""

OWN_TOKENS = 10_000
"""The same where one process alone writes: what it offers again comes next."""


def _schema(**fields: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields.items()])


LABEL_SETS = _schema(labels_id=pa.uint64(), labels=pa.map_(pa.string(), pa.string()))
"""What `label_sets` takes: each set of Kubernetes labels once, under the number that flows carry."""

COMPLETENESS = _schema(
    time=columns.TIME, node=pa.string(), source=pa.string(), observed=pa.uint64(), lost=pa.uint64(),
    discarded=pa.uint64(), incomplete=pa.uint64(), note=pa.string(),
)  # fmt: skip
"""What `completeness` takes: for each interval, node and source how much came and how much did not."""

POLICY_HITS = _schema(
    time=columns.TIME, node=pa.string(), direction=pa.string(), tier=pa.string(), kind=pa.string(),
    namespace=pa.string(), name=pa.string(), action=pa.string(), rule=pa.int32(), exact=pa.bool_(),
    packets=pa.uint64(), bytes=pa.uint64(),
)  # fmt: skip
"""What `policy_hits` takes: for each interval, node and policy rule what the rule itself has counted."""

_LIFE = dict.fromkeys(("valid_from", "sure_from", "sure_to", "valid_to", "written"), columns.TIME)
"""From when on it may have been so, and was so for certain; until when for certain, and at the latest."""

ENDPOINTS = _schema(
    address=columns.ADDRESS, uid=pa.string(), kind=pa.string(), namespace=pa.string(),
    workload_kind=pa.string(), workload=pa.string(), pod=pa.string(), node=pa.string(), zone=pa.string(),
    labels_id=pa.uint64(), service_account=pa.string(), ports=pa.string(), probe_ports=pa.string(), **_LIFE,
)  # fmt: skip
"""What `endpoints` takes: who had an address from when until before when.

1970 is an end not yet known; a claim that is taken back ends where it begins. One uid may have an address
several times, one after the other, as its labels change. What is written later about the same address, uid
and beginning replaces what was written before, and so in the next two by their keys.
"""

SERVICES = _schema(
    address=columns.ADDRESS, port=pa.uint16(), protocol=pa.uint8(), namespace=pa.string(),
    service=pa.string(), port_name=pa.string(), **_LIFE,
)  # fmt: skip
"""What `services` takes: which port of which service an address and port stood for; ``::`` is any node's."""

POLICIES = _schema(
    kind=pa.string(), api_group=pa.string(), namespace=pa.string(), name=pa.string(), tier=pa.string(),
    revision=pa.string(), document=pa.string(), valid_from=columns.TIME, valid_to=columns.TIME,
    written=columns.TIME,
)  # fmt: skip
"""What `policies` takes: each revision of CronJobs and of what policies are read from, as JSON."""

WATCHED = _schema(
    source=pa.string(), cluster=pa.string(), since=columns.TIME, as_of=columns.TIME, written=columns.TIME
)
"""What `watched` takes: from when until when `endpoints`, `services` and `policies` are complete.

The cluster is known by the uid of its namespace kube-system; empty where nobody knows that.
"""

TABLES = {
    "flows": columns.schema(columns.Stage.IDENTITY),
    "label_sets": LABEL_SETS,
    "completeness": COMPLETENESS,
    "policy_hits": POLICY_HITS,
    "endpoints": ENDPOINTS,
    "services": SERVICES,
    "policies": POLICIES,
    "watched": WATCHED,
}
"""The tables that take rows, and what a row of each holds."""

ROLLUPS = {"flows_minute": 60, "flows_hour": 3600, "flows_day": 86_400}
"""The rollups, and how many seconds a row of each stands for."""

STORED = (*TABLES, *ROLLUPS, "flows_hour_mirrored", "peers", "completeness_hour")
"""All tables with rows that can be lost."""

MIRRORED = "reporter = 'src' AND verdict != 'denied' AND dst_node != ''"
"""The test for what the destination's node should have reported too.

A denial on egress is the source's alone: the packet never got to the destination.
"""

TAKEN_BACK, NAMED_AGAIN = "taken_back", "named_again"
"""What `flows` has as ``correction``, in rows that late news has made."""

NEVER = 9_214_646_400_000_000_000
"""2262-01-01, in nanoseconds since 1970: when an edge was first seen of which nothing is left."""

DIRECTION = (
    "multiIf(egress_action = 'deny', 'egress', ingress_action != '', 'ingress', "
    "egress_action != '', 'egress', '')"
)
"""Whose policy decided: ``ingress``, ``egress``, or empty where none was asked."""


def _hashes(side: str) -> list[str]:
    """What tells one end from another, as numbers; of a text with few values it takes next to no time."""
    return [
        f"cityHash64({side}_kind)", f"cityHash64({side}_namespace)",
        f"if({side}_workload = '', cityHash64({side}_pod), cityHash64({side}_workload))",
        f"if({side}_workload = '' AND {side}_pod = '', cityHash64({side}_address), 0)",
    ]  # fmt: skip


def _edge(direction: str) -> str:
    """A hash of what an edge is: both ends, and what was said of them."""
    parts = [
        *_hashes("src"), *_hashes("dst"), "dst_port", "protocol", "cityHash64(verdict)",
        f"cityHash64({direction})", "cityHash64(deciding_rule)", "cityHash64(attribution)",
    ]  # fmt: skip
    return f"cityHash64({', '.join(parts)})"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How many days rows are kept; 0 keeps them for ever. And for how many inserts tokens are.

    Whole days are dropped, and rows that are older already when they come in.

    Attributes:
        flows: `flows`, `flows_minute`, `policy_hits` and `completeness`.
        rollups: Hours and days, and what is needed to read them.
        tokens: How many inserts back each table knows a token again.
    """

    flows: int = RETENTION_DAYS
    rollups: int = ROLLUP_RETENTION_DAYS
    tokens: int = TOKENS


def ages(retention_days: int = RETENTION_DAYS, tokens: int = TOKENS) -> Ages:
    """The ages that go with flows of some age: rollups live a year longer, or for ever where flows do."""
    beyond = ROLLUP_RETENTION_DAYS - RETENTION_DAYS
    rollups = retention_days + beyond if retention_days else 0
    return Ages(flows=retention_days, rollups=rollups, tokens=tokens)


_MOMENT = "DateTime64(9, 'UTC')"

_LABEL_SETS = """\
CREATE TABLE IF NOT EXISTS label_sets
(
    labels_id UInt64,
    labels Map(LowCardinality(String), String)
)
ENGINE = ReplacingMergeTree
ORDER BY labels_id"""

_COMPLETENESS = """\
CREATE TABLE IF NOT EXISTS completeness
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    node LowCardinality(String),
    source LowCardinality(String),
    observed UInt64 CODEC(T64, ZSTD(1)),
    lost UInt64 CODEC(T64, ZSTD(1)),
    discarded UInt64 CODEC(T64, ZSTD(1)),
    incomplete UInt64 CODEC(T64, ZSTD(1)),
    note LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (toStartOfHour(time), node, source, time)"""

_POLICY_HITS = """\
CREATE TABLE IF NOT EXISTS policy_hits
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    node LowCardinality(String),
    direction LowCardinality(String),
    tier LowCardinality(String),
    kind LowCardinality(String),
    namespace LowCardinality(String),
    name LowCardinality(String),
    action LowCardinality(String),
    rule Int32 CODEC(T64, ZSTD(1)),
    exact Bool,
    packets UInt64 CODEC(T64, ZSTD(1)),
    bytes UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (toStartOfHour(time), namespace, name, direction, rule, node, time)"""

# Who reported at all in which hour, and what of it is missing: a thousandth of the rows of `completeness`.
_COMPLETENESS_HOUR = """\
CREATE TABLE IF NOT EXISTS completeness_hour
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    node LowCardinality(String),
    source LowCardinality(String),
    note LowCardinality(String),
    observed SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    lost SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    discarded SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    incomplete SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, node, source, note)"""

# Whom mirrored reports are about, by the hour: where such a node itself said nothing, they count after all.
_PEERS = """\
CREATE TABLE IF NOT EXISTS peers
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    node LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, node)"""

PEERS = "SELECT DISTINCT time, peer_node AS node FROM flows_hour_mirrored"
"""What fills `peers`; doing it again changes nothing."""

COMPLETENESS_HOUR = """\
SELECT bucket AS time, node, source, note, seen AS observed, missed AS lost, shed AS discarded,
    unfinished AS incomplete, latest AS last_seen
FROM
(
SELECT toDateTime64(toStartOfHour(time), 9, 'UTC') AS bucket, node, source, note, sum(observed) AS seen,
    sum(lost) AS missed, sum(discarded) AS shed, sum(incomplete) AS unfinished, max(time) AS latest
FROM completeness
GROUP BY bucket, node, source, note
)"""
"""What fills `completeness_hour`."""

_LIVED = """\
    valid_from DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    sure_from DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    sure_to DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    valid_to DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    written DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    INDEX written written TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)"""

_ENDPOINTS = f"""\
CREATE TABLE IF NOT EXISTS endpoints
(
    address IPv6,
    uid String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    namespace LowCardinality(String),
    workload_kind LowCardinality(String),
    workload LowCardinality(String),
    pod String CODEC(ZSTD(1)),
    node LowCardinality(String),
    zone LowCardinality(String),
    labels_id UInt64,
    service_account LowCardinality(String),
    ports LowCardinality(String),
    probe_ports LowCardinality(String),
{_LIVED}
ORDER BY (address, uid, valid_from)"""

_SERVICES = f"""\
CREATE TABLE IF NOT EXISTS services
(
    address IPv6,
    port UInt16,
    protocol UInt8,
    namespace LowCardinality(String),
    service LowCardinality(String),
    port_name LowCardinality(String),
{_LIVED}
ORDER BY (address, port, protocol, namespace, service, port_name, valid_from)"""

_POLICIES = """\
CREATE TABLE IF NOT EXISTS policies
(
    kind LowCardinality(String),
    api_group LowCardinality(String),
    namespace LowCardinality(String),
    name String CODEC(ZSTD(1)),
    tier LowCardinality(String),
    revision String CODEC(ZSTD(1)),
    document String CODEC(ZSTD(3)),
    valid_from DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    valid_to DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    written DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    INDEX written written TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (kind, api_group, namespace, name, valid_from)"""

_WATCHED = """\
CREATE TABLE IF NOT EXISTS watched
(
    source LowCardinality(String),
    cluster String CODEC(ZSTD(1)),
    since DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    as_of DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    written DateTime64(9, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(written)
ORDER BY source"""

MIGRATIONS = """\
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    applied DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY version"""
"""Which versions a ledger has been brought to, and when."""

SIDES_OF_PEER = {
    "src_node": "multiIf(reporter = 'dst', peer_node, reporter IN ('src', 'both'), node, '')",
    "dst_node": "multiIf(reporter = 'src', peer_node, reporter IN ('dst', 'both'), node, '')",
}
"""The nodes of both ends, of a row as older schemas had it."""

ADDED_IN_5 = ("origin", "pending_verdict", "pending_trace")
"""Columns that older schemas do not have: empty in their rows."""

VIEWS = {"flows_minute_filled": "flows_minute", "flows_hour_mirrored_filled": "flows_hour_mirrored"}
"""The views that are filled from `flows`, and where they put it."""

_NAMED_BY = {"pod": "{side}_workload = ''", "address": "{side}_workload = '' AND {side}_pod = ''"}
"""When the rollups keep the name of an end."""
_BLANK = {"pod": "''", "address": "toIPv6('::')"}


def statements(ages: Ages | None = None) -> list[str]:
    """What makes the whole schema, in order; running it again changes nothing.

    Args:
        ages: How long rows are kept.
    """
    ages = ages or Ages()
    safe = _safe(ages)
    dropped = f"ttl_only_drop_parts = 1, {safe}"
    short, long = (f"{_ttl(days)}\nSETTINGS {dropped}" for days in (ages.flows, ages.rollups))
    claims = f"\n{forgotten(ages.rollups)}\nSETTINGS {_MERGED}, {safe}"
    return [
        _flows(short), _rollup("flows_minute", short), _rollup("flows_hour", long),
        _rollup("flows_day", long), _rollup("flows_hour_mirrored", long),
        f"{_LABEL_SETS}\nSETTINGS {safe}", _COMPLETENESS + short, _POLICY_HITS + short,
        _COMPLETENESS_HOUR + long, _PEERS + long,
        *(table + claims for table in (_ENDPOINTS, _SERVICES, _POLICIES)),
        *(f"{table}\nSETTINGS {safe}" for table in (_WATCHED, MIGRATIONS)),
        *(_view(f"{table}_filled", table, sql) for table, sql in (
            ("completeness_hour", COMPLETENESS_HOUR), ("peers", PEERS),
            ("flows_day", _coarser("toStartOfDay(time)", "flows_hour")),
            ("flows_hour", _coarser("toStartOfHour(time)", "flows_minute")),
            ("flows_hour_mirrored", _mirrored()), ("flows_minute", _minutes()),
        )),
        *(f"CREATE OR REPLACE VIEW {table}_counted AS\n{sql}" for table, sql in _counted_views().items()),
    ]  # fmt: skip


def counted(within: str = "1") -> str:
    """The test that leaves each connection in the rows of `flows` once.

    The destination's report wins, where its node does report. GLOBAL matters on a cluster, where a shard has
    but some of `completeness_hour`: the server that is asked collects it from all and hands it round.

    Args:
        within: Which hours the rows can lie in, in SQL, by ``time``; fewer are faster.
    """
    return (
        f"NOT (\n    {MIRRORED}\n    AND (dst_node, toStartOfHour(time)) GLOBAL IN "
        f"(SELECT node, toStartOfHour(time) FROM completeness_hour WHERE {within})\n)"
    )


def silent(within: str = "1") -> str:
    """The hours and nodes for which mirrored reports count, since the node itself said nothing: a SELECT.

    Args:
        within: As for `counted`.
    """
    return (
        f"SELECT toStartOfHour(time) AS hour, node FROM peers WHERE {within} AND (time, node) GLOBAL NOT IN "
        f"(SELECT time, node FROM completeness_hour WHERE {within})"
    )


def unreported(within: str = "1", node: str = "peer_node") -> str:
    """The test for mirrored reports that count.

    Args:
        within: As for `counted`.
        node: Who should have reported: ``peer_node`` in `flows_hour_mirrored`, ``dst_node`` in `flows`.
    """
    return f"(toStartOfHour(time), {node}) GLOBAL IN (\n    {silent(within)}\n)"


def rollup_columns() -> list[str]:
    """What a row of a rollup has, in order."""
    return [
        "time",
        "edge",
        *_rollup_keys(),
        *(c.name for c in _of(columns.Rollup.SUM)),
        "first_seen",
        "last_seen",
    ]


def as_rollup(names: Sequence[str]) -> str:
    """A row of `flows` with columns of a rollup, but not summed: what stands after SELECT."""
    made = {
        "edge": _edge(DIRECTION), "direction": DIRECTION, "first_seen": "time", "last_seen": "time",
    }  # fmt: skip
    return ", ".join(f"{made[name]} AS {name}" if name in made else name for name in names)


def make_safe(table: str, ages: Ages) -> str:
    """What makes a table of an older schema keep inserts, and know the last ones again, as today's do."""
    return f"ALTER TABLE {table} MODIFY SETTING {_safe(ages)}"


def _safe(ages: Ages) -> str:
    """The settings by which each insert is there once it is answered, whatever happens, and is there once.

    Measured, chDB on an ext4 disk: 20 ms more for a small insert, and nothing to be seen for 50,000 rows.
    What merges write is not awaited: what it was made of stays for eight minutes.
    """
    return (
        "fsync_after_insert = 1, fsync_part_directory = 1, "
        f"non_replicated_deduplication_window = {ages.tokens}"
    )


def _ttl(days: int) -> str:
    return f"\nTTL toDate(time) + toIntervalDay({days})" if days else ""


_MERGED = "min_age_to_force_merge_seconds = 86400"
"""After a day the words about a claim lie together, so that the last is not forgotten before the others."""


def forgotten(days: int) -> str:
    """Claims that have ended are kept as long as what they gave names to; open ones for ever.

    The word that a claim of long ago has ended, or never was, must not go before the word that it takes the
    place of.
    """
    return (
        f"TTL toDate(greatest(valid_to, written)) + toIntervalDay({days}) "
        "DELETE WHERE toUnixTimestamp64Nano(valid_to) > 0"
        if days
        else ""
    )


def filled(table: str) -> str:
    """What fills `flows_minute` or `flows_hour_mirrored`, from the flows."""
    return _minutes() if table == "flows_minute" else _mirrored()


def column(name: str) -> str:
    """A column of `flows`, as its table is made with it."""
    found = columns.BY_NAME[name]
    return f"{found.name} {found.clickhouse} CODEC({found.codec})"


def _flows(ending: str) -> str:
    """The flows themselves.

    Nearly every question is about the last minutes or hours of one or a few namespaces, so five minutes and
    the namespaces come first. Then come workloads and port, so that the rows of an edge lie together, where
    they compress best. Measured with traffic of 2,000 pods, in bytes a row at 20,000 and at 40 rows a second:
    17.4 and 23.3; with the time directly behind the namespaces 18.5 and 25.9; in the order of edges alone
    15.1 and 19.9, but then merges cost twice the CPU of the inserts, since ClickHouse merges row by row.
    """
    listed = _lines([f"    {column(c.name)}" for c in columns.COLUMNS])
    return (
        f"CREATE TABLE IF NOT EXISTS flows\n(\n{listed}\n)\n"
        "ENGINE = MergeTree\n"
        "PARTITION BY toDate(time)\n"
        "ORDER BY (toStartOfFiveMinutes(time), src_namespace, dst_namespace, dst_workload, dst_port, "
        f"src_workload, time, dst_address, src_address, src_port){ending}"
    )


def _rollup(table: str, ending: str) -> str:
    """The flows of a minute, hour or day, summed over whatever their keys have in common.

    Mirrored reports are in a table of their own, which is hardly ever read: half the rows, and the only ones
    that have to be known by node.
    """
    mirrored = table == "flows_hour_mirrored"
    stored = {c.name: (c.clickhouse, c.codec) for c in columns.COLUMNS}
    stored |= dict.fromkeys(("direction", "peer_node"), ("LowCardinality(String)", "ZSTD(1)"))
    keys = [*(["peer_node"] if mirrored else []), *_rollup_keys()]
    made = _edge("direction")
    # minutes are many and hardly ever added up by edge
    edge = f"ALIAS {made}" if table == "flows_minute" else f"MATERIALIZED {made} CODEC(ZSTD(1))"
    listed = [
        f"    time {_MOMENT} CODEC(ZSTD(1))",
        f"    edge UInt64 {edge}",
        *(f"    {name} {stored[name][0]} CODEC({stored[name][1]})" for name in keys),
        *(
            f"    {c.name} SimpleAggregateFunction(sum, {c.clickhouse}) CODEC({c.codec})"
            for c in _of(columns.Rollup.SUM)
        ),
        f"    first_seen SimpleAggregateFunction(min, {_MOMENT}) CODEC(ZSTD(1))",
        f"    last_seen SimpleAggregateFunction(max, {_MOMENT}) CODEC(ZSTD(1))",
    ]
    first = ["time", *(["peer_node"] if mirrored else []),
             "src_namespace", "dst_namespace", "dst_workload", "src_workload"]  # fmt: skip
    # days are asked by the month, and then for the busiest edges
    first = ["edge", "time"] if table == "flows_day" else first
    rest = [name for name in keys if name not in first]
    rest += ["edge"] if table in ("flows_hour", "flows_hour_mirrored") else []
    day = "toDate(time)" if table == "flows_minute" else "toYYYYMM(time)"
    return (
        f"CREATE TABLE IF NOT EXISTS {table}\n(\n{_lines(listed)}\n)\n"
        f"ENGINE = AggregatingMergeTree\nPARTITION BY {day}\n"
        f"PRIMARY KEY ({', '.join(first)})\nORDER BY ({', '.join([*first, *rest])}){ending}"
        f"{', index_granularity = 1024' if table == 'flows_day' else ''}"
    )


def _minutes() -> str:
    """What fills the minutes, from the flows."""
    return _summed("toStartOfMinute(time)", f"FROM flows\nWHERE NOT ({MIRRORED})", _from_flows())


def _mirrored() -> str:
    """What fills the hours of mirrored reports, from the flows."""
    return _summed("toStartOfHour(time)", f"FROM flows\nWHERE {MIRRORED}", _from_flows(peer_node="dst_node"))


def _coarser(bucket: str, finer: str) -> str:
    """What fills a rollup, from a finer one's rows of each insert: half the work of asking the flows."""
    of = {name: name for name in _rollup_keys()}
    return _summed(bucket, f"FROM {finer}", of, ("min(first_seen)", "max(last_seen)"))


def _from_flows(**more: str) -> dict[str, str]:
    """The keys of a rollup, as they are made from a row of the flows."""
    keys = {**more, **{c.name: c.name for c in _of(columns.Rollup.KEY)}}
    return keys | {c.name: _kept(c.name) for c in _of(columns.Rollup.NAME)} | {"direction": DIRECTION}


def level(table: str) -> tuple[str, str, dict[str, str]]:
    """How a rollup's rows are told apart.

    Returns:
        The beginning of its stretch of time, of a row of `flows`; the test for the flows that get into it;
        and each of its keys, as it is made of such a row.
    """
    bucket = {"flows_minute": "toStartOfMinute(time)", "flows_day": "toStartOfDay(time)"}
    mirrored = table == "flows_hour_mirrored"
    keys = _from_flows(**({"peer_node": "dst_node"} if mirrored else {}))
    return (
        f"toDateTime64({bucket.get(table, 'toStartOfHour(time)')}, 9, 'UTC')",
        MIRRORED if mirrored else f"NOT ({MIRRORED})",
        keys,
    )


def _summed(
    bucket: str, source: str, keys: dict[str, str], seen: tuple[str, str] = ("min(time)", "max(time)")
) -> str:
    """Rows of a rollup.

    Args:
        bucket: The beginning of its minute or hour.
        source: Where from.
        keys: What rows are told apart by, and how it is made there.
        seen: When the first and the last of the summed rows was.
    """
    # A name of its own for what is made here: an alias must not capture the column that it is made of.
    made = {
        "time": ("bucket", f"toDateTime64({bucket}, 9, 'UTC')"),
        **{name: (f"{name}_kept" if name != how else name, how) for name, how in keys.items()},
    }
    sums = {c.name: (f"{c.name}_sum", f"sum({c.name})") for c in _of(columns.Rollup.SUM)}
    sums |= {"first_seen": ("earliest", seen[0]), "last_seen": ("latest", seen[1])}
    inner = [how if how == alias else f"{how} AS {alias}" for alias, how in (made | sums).values()]
    outer = [name if name == alias else f"{alias} AS {name}" for name, (alias, _) in (made | sums).items()]
    indent = "    "
    return (
        f"SELECT\n{_lines([indent + text for text in outer])}\nFROM\n(\n"
        f"SELECT\n{_lines([indent + text for text in inner])}\n{source}\n"
        f"GROUP BY {', '.join(alias for alias, _ in made.values())}\n)"
    )


def _view(name: str, table: str, sql: str) -> str:
    return f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO {table} AS\n{sql}"


def _counted_views() -> dict[str, str]:
    """The tables without what would count twice, for whoever asks in SQL and sums what he gets.

    A single row of them may be one half of a pair that comes to nothing: what late news has taken back.
    """
    listed = ", ".join(rollup_columns())
    minute = listed.replace("time", "toDateTime64(toStartOfMinute(first_seen), 9, 'UTC') AS time", 1)
    day = listed.replace("time", "toDateTime64(toStartOfDay(first_seen), 9, 'UTC') AS time", 1)
    mirrored = (
        f"SELECT {as_rollup(rollup_columns())} FROM flows WHERE {MIRRORED} AND {unreported(node='dst_node')}"
    )
    return {
        "flows": f"SELECT *\nFROM flows\nWHERE {counted()}",
        "flows_minute": f"SELECT {listed}\nFROM flows_minute\nUNION ALL\nSELECT {minute}\nFROM ({mirrored})",
        "flows_hour": _with_mirrored("flows_hour", listed, listed),
        "flows_day": _with_mirrored("flows_day", listed, day),
    }


def _with_mirrored(table: str, listed: str, mirrored: str) -> str:
    return (
        f"SELECT {listed}\nFROM {table}\nUNION ALL\n"
        f"SELECT {mirrored}\nFROM (SELECT *, edge FROM flows_hour_mirrored WHERE {unreported()})"
    )


def _lines(parts: list[str]) -> str:
    return ",\n".join(parts)


def _kept(name: str) -> str:
    side, _, what = name.partition("_")
    return f"if({_NAMED_BY[what].format(side=side)}, {name}, {_BLANK[what]})"


def _rollup_keys() -> list[str]:
    return [*(c.name for c in _of(columns.Rollup.KEY, columns.Rollup.NAME)), "direction"]


def _of(*roles: columns.Rollup) -> list[columns.Column]:
    return [c for c in columns.COLUMNS if c.rollup in roles]
