"""The tables of the ledger, made from the column registry.

Rows come into the tables of `TABLES` alone; materialized views make the others from them. Every table keeps
the tokens of its last inserts, so that the same insert twice is one, in the tables that views fill too.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names)
from __future__ import annotations

import dataclasses

import pyarrow as pa

from model import columns

SCHEMA_VERSION = 3
"""Raised by every change to a table or view; `migrations` brings older ledgers up to it."""

RETENTION_DAYS = 90
ROLLUP_RETENTION_DAYS = 400
"""A year can be compared with the year before it."""

DEDUPLICATED_INSERTS = 10_000
"""How many inserts back the same token is known again, in each table: with 1,000 nodes that write every five
seconds that is fifty seconds for a spool to offer a batch again; on a node of its own it is half a day."""


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

ENDPOINTS = _schema(
    address=columns.ADDRESS, kind=pa.string(), namespace=pa.string(), workload_kind=pa.string(),
    workload=pa.string(), pod=pa.string(), node=pa.string(), labels_id=pa.uint64(),
    valid_from=columns.TIME, valid_to=columns.TIME, written=columns.TIME,
)  # fmt: skip
"""What `endpoints` takes: who had an address from when until before when; 1970 for an end not yet known.

What is written later about the same beginning replaces what was written before, here and in the next two.
"""

SERVICES = _schema(
    address=columns.ADDRESS, port=pa.uint16(), protocol=pa.uint8(), namespace=pa.string(),
    service=pa.string(), port_name=pa.string(),
    valid_from=columns.TIME, valid_to=columns.TIME, written=columns.TIME,
)  # fmt: skip
"""What `services` takes: which port of which service an address and port stood for."""

POLICIES = _schema(
    kind=pa.string(), namespace=pa.string(), name=pa.string(), tier=pa.string(), revision=pa.string(),
    document=pa.string(), valid_from=columns.TIME, valid_to=columns.TIME, written=columns.TIME,
)  # fmt: skip
"""What `policies` takes: each revision of each policy, tier, network set and profile, as JSON."""

TABLES = {
    "flows": columns.schema(columns.Stage.IDENTITY),
    "label_sets": LABEL_SETS,
    "completeness": COMPLETENESS,
    "policy_hits": POLICY_HITS,
    "endpoints": ENDPOINTS,
    "services": SERVICES,
    "policies": POLICIES,
}
"""The tables that take rows, and what a row of each holds."""

ROLLUPS = {"flows_minute": 60, "flows_hour": 3600}
"""The rollups, and how many seconds a row of each stands for."""

STORED = (*TABLES, *ROLLUPS, "reporting")
"""All tables with rows that can be lost."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How many days rows are kept; 0 keeps them for ever.

    Whole days are dropped, and rows that are older already when they come in.

    Attributes:
        flows: `flows`, `flows_minute` and `policy_hits`.
        rollups: `flows_hour`, and `completeness` and `reporting`, without which it could not be read.
    """

    flows: int = RETENTION_DAYS
    rollups: int = ROLLUP_RETENTION_DAYS


def ages(retention_days: int = RETENTION_DAYS) -> Ages:
    """The ages that go with flows of some age: rollups live a year longer, or for ever where flows do."""
    beyond = ROLLUP_RETENTION_DAYS - RETENTION_DAYS
    return Ages(flows=retention_days, rollups=retention_days + beyond if retention_days else 0)


_DEDUPLICATED = f"non_replicated_deduplication_window = {DEDUPLICATED_INSERTS}"
_SETTINGS = f"SETTINGS ttl_only_drop_parts = 1, {_DEDUPLICATED}"
_MOMENT = "DateTime64(9, 'UTC')"

_LABEL_SETS = f"""\
CREATE TABLE IF NOT EXISTS label_sets
(
    labels_id UInt64,
    labels Map(LowCardinality(String), String)
)
ENGINE = ReplacingMergeTree
ORDER BY labels_id
SETTINGS {_DEDUPLICATED}"""

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
ORDER BY (toStartOfHour(time), node, source, time){ttl}
{settings}"""

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
ORDER BY (toStartOfHour(time), namespace, name, direction, rule, node, time){ttl}
{settings}"""

# Which node reported at all in which hour, which is what counting only once has to know: a thousandth of the
# rows of `completeness`.
_REPORTING = """\
CREATE TABLE IF NOT EXISTS reporting
(
    hour DateTime('UTC'),
    node LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, node){ttl}
{settings}"""

REPORTING = "SELECT DISTINCT toStartOfHour(time) AS hour, node FROM completeness"
"""What fills `reporting`; doing it again changes nothing."""

_REPORTING_FILLED = f"CREATE MATERIALIZED VIEW IF NOT EXISTS reporting_filled TO reporting AS\n{REPORTING}"

_ENDPOINTS = f"""\
CREATE TABLE IF NOT EXISTS endpoints
(
    address IPv6,
    kind LowCardinality(String),
    namespace LowCardinality(String),
    workload_kind LowCardinality(String),
    workload LowCardinality(String),
    pod String CODEC(ZSTD(1)),
    node LowCardinality(String),
    labels_id UInt64,
    valid_from {_MOMENT} CODEC(ZSTD(1)),
    valid_to {_MOMENT} CODEC(ZSTD(1)),
    written {_MOMENT} CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (address, valid_from, kind, namespace, workload, pod)
SETTINGS {_DEDUPLICATED}"""

_SERVICES = f"""\
CREATE TABLE IF NOT EXISTS services
(
    address IPv6,
    port UInt16,
    protocol UInt8,
    namespace LowCardinality(String),
    service LowCardinality(String),
    port_name LowCardinality(String),
    valid_from {_MOMENT} CODEC(ZSTD(1)),
    valid_to {_MOMENT} CODEC(ZSTD(1)),
    written {_MOMENT} CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (address, port, protocol, valid_from, namespace, service)
SETTINGS {_DEDUPLICATED}"""

_POLICIES = f"""\
CREATE TABLE IF NOT EXISTS policies
(
    kind LowCardinality(String),
    namespace LowCardinality(String),
    name String CODEC(ZSTD(1)),
    tier LowCardinality(String),
    revision String CODEC(ZSTD(1)),
    document String CODEC(ZSTD(3)),
    valid_from {_MOMENT} CODEC(ZSTD(1)),
    valid_to {_MOMENT} CODEC(ZSTD(1)),
    written {_MOMENT} CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (kind, namespace, name, valid_from)
SETTINGS {_DEDUPLICATED}"""

MIGRATIONS = f"""\
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    applied DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY version
SETTINGS {_DEDUPLICATED}"""
"""Which versions a ledger has been brought to, and when."""

_NAMED_BY = {"pod": "{side}_workload = ''", "address": "{side}_workload = '' AND {side}_pod = ''"}
"""When the rollups keep the name of an end."""
_BLANK = {"pod": "''", "address": "toIPv6('::')"}


def statements(ages: Ages | None = None) -> list[str]:
    """What makes the whole schema, in order; running it again changes nothing.

    Args:
        ages: How long rows are kept.
    """
    ages = ages or Ages()
    short, long = (_ttl("time", days) for days in (ages.flows, ages.rollups))
    made = [
        _flows(short), _rollup("flows_minute", short), _rollup("flows_hour", long), _LABEL_SETS,
        _COMPLETENESS.format(ttl=long, settings=_SETTINGS),
        _POLICY_HITS.format(ttl=short, settings=_SETTINGS),
        _REPORTING.format(ttl=_ttl("hour", ages.rollups), settings=_SETTINGS),
        _ENDPOINTS, _SERVICES, _POLICIES,
        MIGRATIONS, _REPORTING_FILLED, _filled_minute(), _filled_hour(),
    ]  # fmt: skip
    return made + [
        f"CREATE OR REPLACE VIEW {table}_counted AS\nSELECT *\nFROM {table}\nWHERE {counted()}"
        for table in ("flows", *ROLLUPS)
    ]


def counted(within: str = "1") -> str:
    """The test that leaves each connection in the rows of `flows` or a rollup once.

    The destination's report wins, where its node does report. A denial on egress is the source's alone: the
    packet never got to the destination.

    Args:
        within: Which hours of `reporting` the rows can lie in, in SQL; fewer are faster.
    """
    return (
        "NOT (\n    reporter = 'src' AND verdict != 'denied' AND peer_node != ''\n"
        f"    AND (peer_node, toStartOfHour(time)) IN (SELECT node, hour FROM reporting WHERE {within})\n)"
    )


def modify_deduplication(table: str) -> str:
    """What makes a table of an older schema know its last inserts again."""
    return f"ALTER TABLE {table} MODIFY SETTING {_DEDUPLICATED}"


def _ttl(column: str, days: int) -> str:
    return f"\nTTL toDate({column}) + toIntervalDay({days})" if days else ""


def _flows(ttl: str) -> str:
    """The flows themselves.

    Nearly every question is about the last minutes or hours of one or a few namespaces, so the hour and the
    namespaces come first. Then comes the time, so that batches lie one after the other and are merged in long
    runs; and at one time the rows of an edge lie together, where they compress best. Measured with two
    million rows: in the order of edges alone they take 13 bytes instead of 18, but their merges twice the CPU
    of the inserts, since ClickHouse then merges row by row.
    """
    listed = _lines([f"    {c.name} {c.clickhouse} CODEC({c.codec})" for c in columns.COLUMNS])
    return (
        f"CREATE TABLE IF NOT EXISTS flows\n(\n{listed}\n)\n"
        "ENGINE = MergeTree\n"
        "PARTITION BY toDate(time)\n"
        "ORDER BY (toStartOfHour(time), src_namespace, dst_namespace, time, dst_workload, dst_port, "
        f"dst_address, src_address, src_port){ttl}\n{_SETTINGS}"
    )


def _rollup(table: str, ttl: str) -> str:
    """The flows of a minute or hour, summed over whatever their keys have in common."""
    keys, sums = _of(columns.Rollup.KEY, columns.Rollup.NAME), _of(columns.Rollup.SUM)
    listed = [
        f"    time {_MOMENT} CODEC(ZSTD(1))",
        *(f"    {c.name} {c.clickhouse} CODEC({c.codec})" for c in keys),
        *(f"    {c.name} SimpleAggregateFunction(sum, {c.clickhouse}) CODEC({c.codec})" for c in sums),
        f"    first_seen SimpleAggregateFunction(min, {_MOMENT}) CODEC(ZSTD(1))",
        f"    last_seen SimpleAggregateFunction(max, {_MOMENT}) CODEC(ZSTD(1))",
    ]
    first = ["time", "src_namespace", "dst_namespace", "dst_workload", "src_workload"]
    rest = [c.name for c in keys if c.name not in first]
    day = "toDate(time)" if table == "flows_minute" else "toYYYYMM(time)"
    return (
        f"CREATE TABLE IF NOT EXISTS {table}\n(\n{_lines(listed)}\n)\n"
        f"ENGINE = AggregatingMergeTree\nPARTITION BY {day}\n"
        f"PRIMARY KEY ({', '.join(first)})\nORDER BY ({', '.join([*first, *rest])}){ttl}\n{_SETTINGS}"
    )


def _filled_minute() -> str:
    """The view that fills the minutes, from the flows."""
    keys, names, sums = (_of(role) for role in (columns.Rollup.KEY, columns.Rollup.NAME, columns.Rollup.SUM))
    # A name of its own for what is made here: an alias must not capture the column that it is made of.
    made = {
        "time": ("bucket", "toDateTime64(toStartOfMinute(time), 9, 'UTC')"),
        **{c.name: (f"{c.name}_kept", _kept(c.name)) for c in names},
        **{c.name: (f"{c.name}_sum", f"sum({c.name})") for c in sums},
        "first_seen": ("earliest", "min(time)"),
        "last_seen": ("latest", "max(time)"),
    }
    chosen = [*(f"    {c.name}" for c in keys), *(f"    {text} AS {alias}" for alias, text in made.values())]
    renamed = [
        *(f"    {c.name}" for c in keys),
        *(f"    {alias} AS {name}" for name, (alias, _) in made.items()),
    ]
    grouped = ["bucket", *(c.name for c in keys), *(made[c.name][0] for c in names)]
    return (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS flows_minute_filled TO flows_minute AS\n"
        f"SELECT\n{_lines(renamed)}\nFROM\n(\nSELECT\n{_lines(chosen)}\nFROM flows\n"
        f"GROUP BY {', '.join(grouped)}\n)"
    )


def _filled_hour() -> str:
    """The view that fills the hours, from the minutes of each insert: half the work of asking the flows."""
    keys = [c.name for c in _of(columns.Rollup.KEY, columns.Rollup.NAME)]
    sums = [c.name for c in _of(columns.Rollup.SUM)]
    chosen = [
        "    toDateTime64(toStartOfHour(time), 9, 'UTC') AS bucket", *(f"    {name}" for name in keys),
        *(f"    sum({name}) AS {name}_sum" for name in sums),
        "    min(first_seen) AS earliest", "    max(last_seen) AS latest",
    ]  # fmt: skip
    renamed = [
        "    bucket AS time", *(f"    {name}" for name in keys),
        *(f"    {name}_sum AS {name}" for name in sums),
        "    earliest AS first_seen", "    latest AS last_seen",
    ]  # fmt: skip
    return (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS flows_hour_filled TO flows_hour AS\n"
        f"SELECT\n{_lines(renamed)}\nFROM\n(\nSELECT\n{_lines(chosen)}\nFROM flows_minute\n"
        f"GROUP BY {', '.join(['bucket', *keys])}\n)"
    )


def _lines(parts: list[str]) -> str:
    return ",\n".join(parts)


def _kept(name: str) -> str:
    side, _, what = name.partition("_")
    return f"if({_NAMED_BY[what].format(side=side)}, {name}, {_BLANK[what]})"


def _of(*roles: columns.Rollup) -> list[columns.Column]:
    return [c for c in columns.COLUMNS if c.rollup in roles]
