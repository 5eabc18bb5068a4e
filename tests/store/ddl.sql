CREATE TABLE IF NOT EXISTS flows
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    started DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    ended DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    node LowCardinality(String) CODEC(ZSTD(1)),
    src_address IPv6 CODEC(ZSTD(1)),
    src_port UInt16 CODEC(T64, ZSTD(1)),
    dst_address IPv6 CODEC(ZSTD(1)),
    dst_port UInt16 CODEC(T64, ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    icmp_type UInt8 CODEC(ZSTD(1)),
    icmp_code UInt8 CODEC(ZSTD(1)),
    service_address IPv6 CODEC(ZSTD(1)),
    service_port UInt16 CODEC(T64, ZSTD(1)),
    snat_address IPv6 CODEC(ZSTD(1)),
    snat_port UInt16 CODEC(T64, ZSTD(1)),
    forward_packets UInt64 CODEC(T64, ZSTD(1)),
    forward_bytes UInt64 CODEC(T64, ZSTD(1)),
    reverse_packets UInt64 CODEC(T64, ZSTD(1)),
    reverse_bytes UInt64 CODEC(T64, ZSTD(1)),
    connections_started UInt64 CODEC(T64, ZSTD(1)),
    connections_ended UInt64 CODEC(T64, ZSTD(1)),
    tcp_state LowCardinality(String) CODEC(ZSTD(1)),
    verdict LowCardinality(String) CODEC(ZSTD(1)),
    egress_action LowCardinality(String) CODEC(ZSTD(1)),
    ingress_action LowCardinality(String) CODEC(ZSTD(1)),
    policy_trace LowCardinality(String) CODEC(ZSTD(1)),
    deciding_rule LowCardinality(String) CODEC(ZSTD(1)),
    attribution LowCardinality(String) CODEC(ZSTD(1)),
    drop_reason LowCardinality(String) CODEC(ZSTD(1)),
    reporter LowCardinality(String) CODEC(ZSTD(1)),
    peer_node LowCardinality(String) CODEC(ZSTD(1)),
    src_kind LowCardinality(String) CODEC(ZSTD(1)),
    src_namespace LowCardinality(String) CODEC(ZSTD(1)),
    src_workload_kind LowCardinality(String) CODEC(ZSTD(1)),
    src_workload LowCardinality(String) CODEC(ZSTD(1)),
    src_pod LowCardinality(String) CODEC(ZSTD(1)),
    src_labels_id UInt64 CODEC(ZSTD(1)),
    dst_kind LowCardinality(String) CODEC(ZSTD(1)),
    dst_namespace LowCardinality(String) CODEC(ZSTD(1)),
    dst_workload_kind LowCardinality(String) CODEC(ZSTD(1)),
    dst_workload LowCardinality(String) CODEC(ZSTD(1)),
    dst_pod LowCardinality(String) CODEC(ZSTD(1)),
    dst_labels_id UInt64 CODEC(ZSTD(1)),
    service_namespace LowCardinality(String) CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    service_port_name LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (toStartOfHour(time), src_namespace, dst_namespace, verdict, time)
TTL toDate(time) + toIntervalDay(90)
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS label_sets
(
    labels_id UInt64,
    labels Map(LowCardinality(String), String)
)
ENGINE = ReplacingMergeTree
ORDER BY labels_id;

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
ORDER BY (toStartOfHour(time), node, source, time)
TTL toDate(time) + toIntervalDay(90)
SETTINGS ttl_only_drop_parts = 1;

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
ORDER BY (toStartOfHour(time), namespace, name, direction, rule, node, time)
TTL toDate(time) + toIntervalDay(90)
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    applied DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY version;

CREATE OR REPLACE VIEW flows_counted AS
SELECT *
FROM flows
WHERE NOT (
    reporter = 'src' AND verdict != 'denied' AND peer_node != ''
    AND (peer_node, toStartOfHour(time)) IN (SELECT node, toStartOfHour(time) FROM completeness)
);
