"""The tables of the ledger, made from the column registry."""

from __future__ import annotations

import pyarrow as pa

from model import columns

SCHEMA_VERSION = 2
"""Raised by every change to a table or view; a folder of another version is refused."""

RETENTION_DAYS = 90


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

TABLES = {
    "flows": columns.schema(columns.Stage.IDENTITY),
    "label_sets": LABEL_SETS,
    "completeness": COMPLETENESS,
    "policy_hits": POLICY_HITS,
}
"""The tables that take rows, and what a row of each holds."""

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
ORDER BY (toStartOfHour(time), node, source, time){ttl}
SETTINGS ttl_only_drop_parts = 1"""

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
SETTINGS ttl_only_drop_parts = 1"""

_MIGRATIONS = """\
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    applied DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY version"""

# The destination's report wins, where its node does report. A denial on egress is the source's alone: the
# packet never got to the destination.
_COUNTED = """\
CREATE OR REPLACE VIEW flows_counted AS
SELECT *
FROM flows
WHERE NOT (
    reporter = 'src' AND verdict != 'denied' AND peer_node != ''
    AND (peer_node, toStartOfHour(time)) IN (SELECT node, toStartOfHour(time) FROM completeness)
)"""


def statements(retention_days: int = RETENTION_DAYS) -> list[str]:
    """What makes the whole schema, in order; running it again changes nothing.

    Args:
        retention_days: How many days flows and statements of completeness are kept; 0 keeps them for ever.
            Whole days are dropped, and rows that are older already when they come in.
    """
    by_day = [table.format(ttl=_ttl(retention_days)) for table in (_COMPLETENESS, _POLICY_HITS)]
    return [_flows(retention_days), _LABEL_SETS, *by_day, _MIGRATIONS, _COUNTED]


def _ttl(retention_days: int) -> str:
    return f"\nTTL toDate(time) + toIntervalDay({retention_days})" if retention_days else ""


def _flows(retention_days: int) -> str:
    """The flows themselves.

    Nearly every question is about the last minutes or hours of one or a few namespaces, so the hour comes
    first in the order and the namespaces second: a look at the last hour touches no other, and inside an
    hour the rows of an edge lie together, where they compress best.
    """
    listed = ",\n".join(f"    {c.name} {c.clickhouse} CODEC({c.codec})" for c in columns.COLUMNS)
    return (
        f"CREATE TABLE IF NOT EXISTS flows\n(\n{listed}\n)\n"
        "ENGINE = MergeTree\n"
        "PARTITION BY toDate(time)\n"
        "ORDER BY (toStartOfHour(time), src_namespace, dst_namespace, verdict, time)"
        f"{_ttl(retention_days)}\n"
        "SETTINGS ttl_only_drop_parts = 1"
    )
