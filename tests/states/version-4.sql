-- A ledger of schema version 4 (flowledger 0.1.0), as it stood in the embedded engine.

CREATE TABLE IF NOT EXISTS flows
(
    time DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    started DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    ended DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    node LowCardinality(String) CODEC(ZSTD(1)),
    src_address IPv6 CODEC(ZSTD(1)),
    src_port UInt16 CODEC(ZSTD(1)),
    dst_address IPv6 CODEC(ZSTD(1)),
    dst_port UInt16 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    icmp_type UInt8 CODEC(ZSTD(1)),
    icmp_code UInt8 CODEC(ZSTD(1)),
    service_address IPv6 CODEC(ZSTD(1)),
    service_port UInt16 CODEC(ZSTD(1)),
    snat_address IPv6 CODEC(ZSTD(1)),
    snat_port UInt16 CODEC(ZSTD(1)),
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
    src_node LowCardinality(String) CODEC(ZSTD(1)),
    dst_node LowCardinality(String) CODEC(ZSTD(1)),
    src_zone LowCardinality(String) CODEC(ZSTD(1)),
    dst_zone LowCardinality(String) CODEC(ZSTD(1)),
    node_traffic LowCardinality(String) CODEC(ZSTD(1)),
    correction LowCardinality(String) CODEC(ZSTD(1)),
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
ORDER BY (toStartOfFiveMinutes(time), src_namespace, dst_namespace, dst_workload, dst_port, src_workload, time, dst_address, src_address, src_port)
TTL toDate(time) + toIntervalDay(36500)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS flows_minute
(
    time DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    edge UInt64 ALIAS cityHash64(cityHash64(src_kind), cityHash64(src_namespace), if(src_workload = '', cityHash64(src_pod), cityHash64(src_workload)), if(src_workload = '' AND src_pod = '', cityHash64(src_address), 0), cityHash64(dst_kind), cityHash64(dst_namespace), if(dst_workload = '', cityHash64(dst_pod), cityHash64(dst_workload)), if(dst_workload = '' AND dst_pod = '', cityHash64(dst_address), 0), dst_port, protocol, cityHash64(verdict), cityHash64(direction), cityHash64(deciding_rule), cityHash64(attribution)),
    src_address IPv6 CODEC(ZSTD(1)),
    dst_address IPv6 CODEC(ZSTD(1)),
    dst_port UInt16 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    verdict LowCardinality(String) CODEC(ZSTD(1)),
    deciding_rule LowCardinality(String) CODEC(ZSTD(1)),
    attribution LowCardinality(String) CODEC(ZSTD(1)),
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
    direction LowCardinality(String) CODEC(ZSTD(1)),
    forward_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    forward_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_started SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_ended SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
PRIMARY KEY (time, src_namespace, dst_namespace, dst_workload, src_workload)
ORDER BY (time, src_namespace, dst_namespace, dst_workload, src_workload, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_workload_kind, src_pod, src_labels_id, dst_kind, dst_workload_kind, dst_pod, dst_labels_id, direction)
TTL toDate(time) + toIntervalDay(36500)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS flows_hour
(
    time DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    edge UInt64 MATERIALIZED cityHash64(cityHash64(src_kind), cityHash64(src_namespace), if(src_workload = '', cityHash64(src_pod), cityHash64(src_workload)), if(src_workload = '' AND src_pod = '', cityHash64(src_address), 0), cityHash64(dst_kind), cityHash64(dst_namespace), if(dst_workload = '', cityHash64(dst_pod), cityHash64(dst_workload)), if(dst_workload = '' AND dst_pod = '', cityHash64(dst_address), 0), dst_port, protocol, cityHash64(verdict), cityHash64(direction), cityHash64(deciding_rule), cityHash64(attribution)) CODEC(ZSTD(1)),
    src_address IPv6 CODEC(ZSTD(1)),
    dst_address IPv6 CODEC(ZSTD(1)),
    dst_port UInt16 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    verdict LowCardinality(String) CODEC(ZSTD(1)),
    deciding_rule LowCardinality(String) CODEC(ZSTD(1)),
    attribution LowCardinality(String) CODEC(ZSTD(1)),
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
    direction LowCardinality(String) CODEC(ZSTD(1)),
    forward_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    forward_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_started SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_ended SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
PRIMARY KEY (time, src_namespace, dst_namespace, dst_workload, src_workload)
ORDER BY (time, src_namespace, dst_namespace, dst_workload, src_workload, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_workload_kind, src_pod, src_labels_id, dst_kind, dst_workload_kind, dst_pod, dst_labels_id, direction, edge)
TTL toDate(time) + toIntervalDay(36810)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS flows_day
(
    time DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    edge UInt64 MATERIALIZED cityHash64(cityHash64(src_kind), cityHash64(src_namespace), if(src_workload = '', cityHash64(src_pod), cityHash64(src_workload)), if(src_workload = '' AND src_pod = '', cityHash64(src_address), 0), cityHash64(dst_kind), cityHash64(dst_namespace), if(dst_workload = '', cityHash64(dst_pod), cityHash64(dst_workload)), if(dst_workload = '' AND dst_pod = '', cityHash64(dst_address), 0), dst_port, protocol, cityHash64(verdict), cityHash64(direction), cityHash64(deciding_rule), cityHash64(attribution)) CODEC(ZSTD(1)),
    src_address IPv6 CODEC(ZSTD(1)),
    dst_address IPv6 CODEC(ZSTD(1)),
    dst_port UInt16 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    verdict LowCardinality(String) CODEC(ZSTD(1)),
    deciding_rule LowCardinality(String) CODEC(ZSTD(1)),
    attribution LowCardinality(String) CODEC(ZSTD(1)),
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
    direction LowCardinality(String) CODEC(ZSTD(1)),
    forward_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    forward_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_started SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_ended SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
PRIMARY KEY (edge, time)
ORDER BY (edge, time, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction)
TTL toDate(time) + toIntervalDay(36810)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000, index_granularity = 1024;

CREATE TABLE IF NOT EXISTS flows_hour_mirrored
(
    time DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    edge UInt64 MATERIALIZED cityHash64(cityHash64(src_kind), cityHash64(src_namespace), if(src_workload = '', cityHash64(src_pod), cityHash64(src_workload)), if(src_workload = '' AND src_pod = '', cityHash64(src_address), 0), cityHash64(dst_kind), cityHash64(dst_namespace), if(dst_workload = '', cityHash64(dst_pod), cityHash64(dst_workload)), if(dst_workload = '' AND dst_pod = '', cityHash64(dst_address), 0), dst_port, protocol, cityHash64(verdict), cityHash64(direction), cityHash64(deciding_rule), cityHash64(attribution)) CODEC(ZSTD(1)),
    peer_node LowCardinality(String) CODEC(ZSTD(1)),
    src_address IPv6 CODEC(ZSTD(1)),
    dst_address IPv6 CODEC(ZSTD(1)),
    dst_port UInt16 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    verdict LowCardinality(String) CODEC(ZSTD(1)),
    deciding_rule LowCardinality(String) CODEC(ZSTD(1)),
    attribution LowCardinality(String) CODEC(ZSTD(1)),
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
    direction LowCardinality(String) CODEC(ZSTD(1)),
    forward_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    forward_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reverse_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_started SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    connections_ended SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
PRIMARY KEY (time, peer_node, src_namespace, dst_namespace, dst_workload, src_workload)
ORDER BY (time, peer_node, src_namespace, dst_namespace, dst_workload, src_workload, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_workload_kind, src_pod, src_labels_id, dst_kind, dst_workload_kind, dst_pod, dst_labels_id, direction, edge)
TTL toDate(time) + toIntervalDay(36810)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS label_sets
(
    labels_id UInt64,
    labels Map(LowCardinality(String), String)
)
ENGINE = ReplacingMergeTree
ORDER BY labels_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

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
TTL toDate(time) + toIntervalDay(36500)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

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
TTL toDate(time) + toIntervalDay(36500)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

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
ORDER BY (time, node, source, note)
TTL toDate(time) + toIntervalDay(36810)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS peers
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    node LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, node)
TTL toDate(time) + toIntervalDay(36810)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

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
    valid_from DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    sure_from DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    sure_to DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    valid_to DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    written DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    INDEX written written TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (address, uid, valid_from)
TTL toDate(greatest(valid_to, written)) + toIntervalDay(36810) DELETE WHERE toUnixTimestamp64Nano(valid_to) > 0
SETTINGS min_age_to_force_merge_seconds = 86400, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS services
(
    address IPv6,
    port UInt16,
    protocol UInt8,
    namespace LowCardinality(String),
    service LowCardinality(String),
    port_name LowCardinality(String),
    valid_from DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    sure_from DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    sure_to DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    valid_to DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    written DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    INDEX written written TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (address, port, protocol, namespace, service, port_name, valid_from)
TTL toDate(greatest(valid_to, written)) + toIntervalDay(36810) DELETE WHERE toUnixTimestamp64Nano(valid_to) > 0
SETTINGS min_age_to_force_merge_seconds = 86400, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

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
ORDER BY (kind, api_group, namespace, name, valid_from)
TTL toDate(greatest(valid_to, written)) + toIntervalDay(36810) DELETE WHERE toUnixTimestamp64Nano(valid_to) > 0
SETTINGS min_age_to_force_merge_seconds = 86400, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS watched
(
    source LowCardinality(String),
    cluster String CODEC(ZSTD(1)),
    since DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    as_of DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    written DateTime64(9, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(written)
ORDER BY source
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    applied DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

INSERT INTO flows (`time`, `started`, `ended`, `node`, `src_address`, `src_port`, `dst_address`, `dst_port`, `protocol`, `icmp_type`, `icmp_code`, `service_address`, `service_port`, `snat_address`, `snat_port`, `forward_packets`, `forward_bytes`, `reverse_packets`, `reverse_bytes`, `connections_started`, `connections_ended`, `tcp_state`, `verdict`, `egress_action`, `ingress_action`, `policy_trace`, `deciding_rule`, `attribution`, `drop_reason`, `reporter`, `src_node`, `dst_node`, `src_zone`, `dst_zone`, `node_traffic`, `correction`, `src_kind`, `src_namespace`, `src_workload_kind`, `src_workload`, `src_pod`, `src_labels_id`, `dst_kind`, `dst_namespace`, `dst_workload_kind`, `dst_workload`, `dst_pod`, `dst_labels_id`, `service_namespace`, `service`, `service_port_name`) VALUES ('2026-01-01 00:30:05.021734751','2026-01-01 00:29:55.947766783','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.26',55330,'::ffff:10.65.2.16',8080,6,0,0,'::ffff:10.96.0.1',80,'::',0,3,516,3,6699,1,0,'established','allowed','allow','','egress|default|knp:team-2/service-2|allow|2','egress|default|knp:team-2/service-2|allow|2','nflog','','src','node-1','node-2','','','','','pod','team-2','Deployment','service-2','service-2-baa0bc16',6751565475823168779,'pod','team-0','Deployment','service-0','service-0-6a26e2c0',8587119078048172282,'team-0','service-0','http'), ('2026-01-01 00:30:05.021734751','2026-01-01 00:30:01.249409616','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.13',38857,'::ffff:10.65.1.3',53,17,0,0,'::',0,'::',0,1,121,1,180,1,0,'','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-1','node-1','','','','','pod','team-0','Deployment','service-0','service-0-3af17fd2',8587119078048172282,'pod','team-0','Deployment','service-0','service-0-9a8fd343',8587119078048172282,'','',''), ('2026-01-01 00:30:05.021734751','2026-01-01 00:30:01.719028034','2026-01-01 00:30:01.812636364','node-1','::ffff:10.65.0.21',54719,'::ffff:10.65.1.22',80,6,0,0,'::',0,'::',0,10,1830,10,3170,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','dst','node-0','node-1','','','','','pod','team-1','Deployment','service-1','service-1-eca9fa69',373645360768508649,'pod','team-1','Deployment','service-1','service-1-ee9b76af',373645360768508649,'','',''), ('2026-01-01 00:30:05.144299487','2026-01-01 00:29:56.098278860','2026-01-01 00:29:56.504177093','node-0','::ffff:10.0.0.12',37569,'::ffff:10.65.0.21',80,6,0,0,'::',0,'::',0,3,312,3,645,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','dst','node-2','node-0','','','','','node','','','node-2','',0,'pod','team-1','Deployment','service-1','service-1-eca9fa69',373645360768508649,'','',''), ('2026-01-01 00:30:05.144299487','2026-01-01 00:30:00.358989295','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.0.29',40359,'::ffff:10.65.2.15',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,121,1,181,1,0,'','allowed','allow','','egress|default|knp:team-2/service-2|allow|2','egress|default|knp:team-2/service-2|allow|2','nflog','','src','node-0','node-2','','','','','pod','team-2','Deployment','service-2','service-2-ab11d8d7',6751565475823168779,'pod','team-0','Deployment','service-0','service-0-13e4bf4d',8587119078048172282,'team-0','service-0','http'), ('2026-01-01 00:30:05.144299487','2026-01-01 00:30:01.719028034','2026-01-01 00:30:01.812636364','node-0','::ffff:10.65.0.21',54719,'::ffff:10.65.1.22',80,6,0,0,'::ffff:10.96.0.2',80,'::',0,10,1830,10,3170,1,1,'time_wait','allowed','allow','','egress|default|knp:team-1/service-1|allow|1','egress|default|knp:team-1/service-1|allow|1','nflog','','src','node-0','node-1','','','','','pod','team-1','Deployment','service-1','service-1-eca9fa69',373645360768508649,'pod','team-1','Deployment','service-1','service-1-ee9b76af',373645360768508649,'team-1','service-1','http'), ('2026-01-01 00:30:05.210293837','2026-01-01 00:29:55.947766783','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.1.26',55330,'::ffff:10.65.2.16',8080,6,0,0,'::',0,'::',0,3,516,3,6699,1,0,'established','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-1','node-2','','','','','pod','team-2','Deployment','service-2','service-2-baa0bc16',6751565475823168779,'pod','team-0','Deployment','service-0','service-0-6a26e2c0',8587119078048172282,'','',''), ('2026-01-01 00:30:05.210293837','2026-01-01 00:29:56.098278860','2026-01-01 00:29:56.504177093','node-2','::ffff:10.0.0.12',37569,'::ffff:10.65.0.21',80,6,0,0,'::',0,'::',0,3,312,3,645,1,1,'time_wait','allowed','allow','','','','none','','src','node-2','node-0','','','','','node','','','node-2','',0,'pod','team-1','Deployment','service-1','service-1-eca9fa69',373645360768508649,'','',''), ('2026-01-01 00:30:05.210293837','2026-01-01 00:30:00.358989295','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.0.29',40359,'::ffff:10.65.2.15',53,17,0,0,'::',0,'::',0,1,121,1,181,1,0,'','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-0','node-2','','','','','pod','team-2','Deployment','service-2','service-2-ab11d8d7',6751565475823168779,'pod','team-0','Deployment','service-0','service-0-13e4bf4d',8587119078048172282,'','',''), ('2026-01-01 00:30:05.210293837','2026-01-01 00:30:02.604865986','2026-01-01 00:30:02.954516911','node-2','::ffff:10.65.2.32',38090,'::ffff:10.65.2.20',80,6,0,0,'::ffff:10.96.0.2',80,'::',0,5,770,5,4025,1,1,'time_wait','allowed','allow','allow','egress|default|knp:team-3/service-3|allow|3 ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','both','node-2','node-2','','','','','pod','team-0','StatefulSet','service-3','service-3-03c3cada',5666593026101050354,'pod','team-1','Deployment','service-1','service-1-b60d75ab',373645360768508649,'team-1','service-1','http'), ('2026-01-01 00:30:15.054124183','2026-01-01 00:30:05.674237204','2026-01-01 00:30:05.953453735','node-0','::ffff:10.65.0.18',38896,'::ffff:10.65.1.26',443,6,0,0,'::ffff:10.96.0.3',443,'::',0,3,525,3,411,1,1,'time_wait','allowed','allow','','egress|default|knp:team-1/service-1|allow|1','egress|default|knp:team-1/service-1|allow|1','nflog','','src','node-0','node-1','','','','','pod','team-1','Deployment','service-1','service-1-bc071d88',373645360768508649,'pod','team-2','Deployment','service-2','service-2-baa0bc16',6751565475823168779,'team-2','service-2','http'), ('2026-01-01 00:30:15.054124183','2026-01-01 00:30:06.918171481','2026-01-01 00:30:07.036702425','node-0','::ffff:10.0.0.10',53650,'::ffff:10.65.2.2',8080,6,0,0,'::',0,'::',0,9,2493,9,3861,1,1,'time_wait','allowed','allow','','','','none','','src','node-0','node-2','','','','','node','','','node-0','',0,'pod','team-0','Deployment','service-0','service-0-febea502',8587119078048172282,'','',''), ('2026-01-01 00:30:15.054124183','2026-01-01 00:30:10.510449957','2026-01-01 00:30:10.713829285','node-0','::ffff:10.65.2.32',37176,'::ffff:10.65.0.28',443,6,0,0,'::',0,'::',0,30,5400,30,4320,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-2/service-2|allow|2','ingress|default|knp:team-2/service-2|allow|2','nflog','','dst','node-2','node-0','','','','','pod','team-0','StatefulSet','service-3','service-3-03c3cada',5666593026101050354,'pod','team-2','Deployment','service-2','service-2-ed6ba792',6751565475823168779,'','',''), ('2026-01-01 00:30:15.054124183','2026-01-01 00:30:12.732645980','2026-01-01 00:30:13.032490880','node-0','::ffff:10.65.0.10',42337,'::ffff:10.65.2.8',8080,6,0,0,'::ffff:10.96.0.1',80,'::',0,1,265,1,407,1,1,'time_wait','allowed','allow','','egress|default|knp:team-0/service-0|allow|0','egress|default|knp:team-0/service-0|allow|0','nflog','','src','node-0','node-2','','','','','pod','team-0','Deployment','service-0','service-0-7f571801',8587119078048172282,'pod','team-0','Deployment','service-0','service-0-c1fa8481',8587119078048172282,'team-0','service-0','http'), ('2026-01-01 00:30:15.054124183','2026-01-01 00:30:13.212266060','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.2.49',34889,'::ffff:10.65.0.14',53,17,0,0,'::',0,'::',0,1,121,1,181,1,0,'','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-2','node-0','','','','','pod','team-2','Job','service-5','service-5-53ac338e',6633631541043201677,'pod','team-0','Deployment','service-0','service-0-c929406e',8587119078048172282,'','',''), ('2026-01-01 00:30:15.136437219','2026-01-01 00:30:05.674237204','2026-01-01 00:30:05.953453735','node-1','::ffff:10.65.0.18',38896,'::ffff:10.65.1.26',443,6,0,0,'::',0,'::',0,3,525,3,411,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-2/service-2|allow|2','ingress|default|knp:team-2/service-2|allow|2','nflog','','dst','node-0','node-1','','','','','pod','team-1','Deployment','service-1','service-1-bc071d88',373645360768508649,'pod','team-2','Deployment','service-2','service-2-baa0bc16',6751565475823168779,'','',''), ('2026-01-01 00:30:15.136437219','2026-01-01 00:30:12.116205788','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.27',41752,'::ffff:10.65.1.3',8080,6,0,0,'::',0,'::',0,12,2784,12,18672,1,0,'established','allowed','allow','allow','egress|default|knp:team-2/service-2|allow|2 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-1','node-1','','','','','pod','team-2','Deployment','service-2','service-2-f8671ba5',6751565475823168779,'pod','team-0','Deployment','service-0','service-0-9a8fd343',8587119078048172282,'','',''), ('2026-01-01 00:30:15.247179161','2026-01-01 00:30:06.918171481','2026-01-01 00:30:07.036702425','node-2','::ffff:10.0.0.10',53650,'::ffff:10.65.2.2',8080,6,0,0,'::',0,'::',0,9,2493,9,3861,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-0','node-2','','','','','node','','','node-0','',0,'pod','team-0','Deployment','service-0','service-0-febea502',8587119078048172282,'','',''), ('2026-01-01 00:30:15.247179161','2026-01-01 00:30:10.510449957','2026-01-01 00:30:10.713829285','node-2','::ffff:10.65.2.32',37176,'::ffff:10.65.0.28',443,6,0,0,'::ffff:10.96.0.3',443,'::',0,30,5400,30,4320,1,1,'time_wait','allowed','allow','','egress|default|knp:team-3/service-3|allow|3','egress|default|knp:team-3/service-3|allow|3','nflog','','src','node-2','node-0','','','','','pod','team-0','StatefulSet','service-3','service-3-03c3cada',5666593026101050354,'pod','team-2','Deployment','service-2','service-2-ed6ba792',6751565475823168779,'team-2','service-2','http'), ('2026-01-01 00:30:15.247179161','2026-01-01 00:30:13.212266060','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.2.49',34889,'::ffff:10.65.0.14',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,121,1,181,1,0,'','allowed','allow','','egress|default|knp:team-5/service-5|allow|1','egress|default|knp:team-5/service-5|allow|1','nflog','','src','node-2','node-0','','','','','pod','team-2','Job','service-5','service-5-53ac338e',6633631541043201677,'pod','team-0','Deployment','service-0','service-0-c929406e',8587119078048172282,'team-0','service-0','http'), ('2026-01-02 00:00:00.000000000','2026-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000','node-9','::ffff:10.0.0.1',40000,'::ffff:10.0.0.2',80,6,0,0,'::',0,'::',0,3,100,2,50,1,0,'','allowed','','allow','','','nflog','','none','','','','','','','node','shop','','web','web-1',0,'pod','shop','','cart','cart-1',0,'','',''), ('2026-01-02 00:00:00.000000001','2026-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000','node-1','::ffff:10.0.0.1',40000,'::ffff:10.0.0.2',80,6,0,0,'::',0,'::',0,3,100,2,50,1,0,'','allowed','','allow','','','nflog','','src','node-1','silent','','','','','pod','shop','','web','web-1',0,'pod','shop','','cart','cart-1',0,'','',''), ('2026-01-02 00:00:00.000000002','2026-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000','node-1','::ffff:10.0.0.1',40000,'::ffff:10.0.0.2',80,6,0,0,'::',0,'::',0,3,100,2,50,1,0,'','allowed','','allow','','','nflog','','dst','node-2','node-1','','','','','pod','shop','','web','web-1',0,'pod','shop','','cart','cart-1',0,'','',''), ('2026-01-02 00:00:00.000000003','2026-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000','node-1','::ffff:10.0.0.1',40000,'::ffff:10.0.0.2',80,6,0,0,'::',0,'::',0,3,100,2,50,1,0,'','allowed','','allow','','','nflog','','both','node-1','node-1','','','','','pod','shop','','web','web-1',0,'pod','shop','','cart','cart-1',0,'','',''), ('2026-01-02 00:30:05.096003854','2026-01-02 00:29:58.533507781','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.2.43',50620,'::ffff:10.65.1.10',8080,6,0,0,'::',0,'::',0,1,60,0,0,1,1,'syn_sent','unknown','allow','','egress|default|knp:team-3/service-3|allow|3','egress|default|knp:team-3/service-3|allow|3','nflog','','src','node-2','node-1','','','','','pod','team-0','StatefulSet','service-3','service-3-c470021a',2369184214400170208,'pod','team-0','Deployment','service-0','service-0-3edc836d',1810519201089111232,'','',''), ('2026-01-02 00:30:05.096003854','2026-01-02 00:29:59.276510512','2026-01-02 00:29:59.342098781','node-2','::ffff:10.65.1.55',43528,'::ffff:10.65.2.46',6379,6,0,0,'::',0,'::',0,11,1738,11,1452,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-4/service-4|allow|0','ingress|default|knp:team-4/service-4|allow|0','nflog','','dst','node-1','node-2','','','','','pod','team-0','Deployment','service-6','service-6-158a6e6a',7038618367592841172,'pod','team-1','DaemonSet','service-4','service-4-b9acdd10',675059267066213286,'','',''), ('2026-01-02 00:30:05.096003854','2026-01-02 00:30:00.433134112','2026-01-02 00:30:00.454369111','node-2','::ffff:10.65.0.1',59687,'::ffff:10.65.2.36',5432,6,0,0,'::',0,'::',0,7,840,7,7868,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-3/service-3|allow|3','ingress|default|knp:team-3/service-3|allow|3','nflog','','dst','node-0','node-2','','','','','pod','team-0','Deployment','service-0','service-0-73fb2d31',1810519201089111232,'pod','team-0','StatefulSet','service-3','service-3-4332da7e',2369184214400170208,'','',''), ('2026-01-02 00:30:05.144982448','2026-01-02 00:29:58.533507781','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.2.43',50620,'::ffff:10.65.1.10',8080,6,0,0,'::',0,'::',0,1,60,0,0,1,1,'syn_sent','denied','','deny','ingress|default|knp:team-0/service-0|deny|-1','ingress|default|knp:team-0/service-0|deny|-1','nflog','','dst','node-2','node-1','','','','','pod','team-0','StatefulSet','service-3','service-3-c470021a',2369184214400170208,'pod','team-0','Deployment','service-0','service-0-3edc836d',1810519201089111232,'','',''), ('2026-01-02 00:30:05.144982448','2026-01-02 00:29:59.276510512','2026-01-02 00:29:59.342098781','node-1','::ffff:10.65.1.55',43528,'::ffff:10.65.2.46',6379,6,0,0,'::ffff:10.96.0.5',6379,'::',0,11,1738,11,1452,1,1,'time_wait','allowed','allow','','egress|default|knp:team-6/service-6|allow|2','egress|default|knp:team-6/service-6|allow|2','nflog','','src','node-1','node-2','','','','','pod','team-0','Deployment','service-6','service-6-158a6e6a',7038618367592841172,'pod','team-1','DaemonSet','service-4','service-4-b9acdd10',675059267066213286,'team-1','service-4','http'), ('2026-01-02 00:30:05.144982448','2026-01-02 00:30:02.785803681','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.0.33',45501,'::ffff:10.65.1.18',80,6,0,0,'::',0,'::',0,7,574,7,5103,1,0,'established','allowed','','allow','ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','dst','node-0','node-1','','','','','pod','team-2','Deployment','service-2','service-2-804ff7c1',2243266712413628758,'pod','team-1','Deployment','service-1','service-1-100e4822',9187780797699389890,'','',''), ('2026-01-02 00:30:05.168919521','2026-01-02 00:29:56.225256507','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.0.42',45505,'::ffff:10.65.0.6',8080,6,0,0,'::',0,'::',0,1,60,0,0,1,1,'syn_sent','denied','allow','deny','egress|default|knp:team-3/service-3|allow|3 ingress|default|knp:team-0/service-0|deny|-1','ingress|default|knp:team-0/service-0|deny|-1','nflog','','both','node-0','node-0','','','','','pod','team-0','StatefulSet','service-3','service-3-a216c52d',2369184214400170208,'pod','team-0','Deployment','service-0','service-0-e2b174c9',1810519201089111232,'','',''), ('2026-01-02 00:30:05.168919521','2026-01-02 00:29:57.039073800','2026-01-02 00:29:57.423978455','node-0','::ffff:10.65.0.1',36207,'::ffff:10.65.0.29',80,6,0,0,'::ffff:10.96.0.2',80,'::',0,2,372,2,488,1,1,'time_wait','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','both','node-0','node-0','','','','','pod','team-0','Deployment','service-0','service-0-73fb2d31',1810519201089111232,'pod','team-1','Deployment','service-1','service-1-be8576c2',9187780797699389890,'team-1','service-1','http'), ('2026-01-02 00:30:05.168919521','2026-01-02 00:30:00.433134112','2026-01-02 00:30:00.454369111','node-0','::ffff:10.65.0.1',59687,'::ffff:10.65.2.36',5432,6,0,0,'::ffff:10.96.0.4',5432,'::',0,7,840,7,7868,1,1,'time_wait','allowed','allow','','egress|default|knp:team-0/service-0|allow|0','egress|default|knp:team-0/service-0|allow|0','nflog','','src','node-0','node-2','','','','','pod','team-0','Deployment','service-0','service-0-73fb2d31',1810519201089111232,'pod','team-0','StatefulSet','service-3','service-3-4332da7e',2369184214400170208,'team-0','service-3','http'), ('2026-01-02 00:30:05.168919521','2026-01-02 00:30:02.785803681','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.0.33',45501,'::ffff:10.65.1.18',80,6,0,0,'::ffff:10.96.0.2',80,'::',0,7,574,7,5103,1,0,'established','allowed','allow','','egress|default|knp:team-2/service-2|allow|2','egress|default|knp:team-2/service-2|allow|2','nflog','','src','node-0','node-1','','','','','pod','team-2','Deployment','service-2','service-2-804ff7c1',2243266712413628758,'pod','team-1','Deployment','service-1','service-1-100e4822',9187780797699389890,'team-1','service-1','http'), ('2026-01-02 00:30:15.006261502','2026-01-02 00:30:05.494837846','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.2.58',55745,'::ffff:10.65.0.33',443,6,0,0,'::',0,'::',0,1,60,0,0,1,1,'syn_sent','denied','','deny','ingress|default|knp:team-2/service-2|deny|-1','ingress|default|knp:team-2/service-2|deny|-1','nflog','','dst','node-2','node-0','','','','','pod','team-1','Deployment','service-7','service-7-577fdbe9',6436932044539064378,'pod','team-2','Deployment','service-2','service-2-804ff7c1',2243266712413628758,'','',''), ('2026-01-02 00:30:15.006261502','2026-01-02 00:30:09.164199485','2026-01-02 00:30:09.250024493','node-0','::ffff:10.65.0.16',44329,'::ffff:10.65.1.31',443,6,0,0,'::ffff:10.96.0.3',443,'::',0,7,1344,7,3486,1,1,'time_wait','allowed','allow','','egress|default|knp:team-0/service-0|allow|0','egress|default|knp:team-0/service-0|allow|0','nflog','','src','node-0','node-1','','','','','pod','team-0','Deployment','service-0','service-0-d4ce6d74',1810519201089111232,'pod','team-2','Deployment','service-2','service-2-8f78347c',2243266712413628758,'team-2','service-2','http'), ('2026-01-02 00:30:15.006261502','2026-01-02 00:30:09.399364794','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.0.5',53276,'::ffff:10.65.0.1',53,17,0,0,'::',0,'::',0,1,121,1,181,1,0,'','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-0','node-0','','','','','pod','team-0','Deployment','service-0','service-0-76e4295e',1810519201089111232,'pod','team-0','Deployment','service-0','service-0-73fb2d31',1810519201089111232,'','',''), ('2026-01-02 00:30:15.006261502','2026-01-02 00:30:09.666898030','1970-01-01 00:00:00.000000000','node-0','::ffff:10.0.0.10',35250,'::ffff:10.65.0.49',9090,6,0,0,'::',0,'::',0,3,420,3,4233,1,0,'established','allowed','allow','allow','ingress|default|knp:team-5/service-5|allow|1','ingress|default|knp:team-5/service-5|allow|1','nflog','','both','node-0','node-0','','','','','node','','','node-0','',0,'pod','team-2','Job','service-5','service-5-28cc5373',2377814078768445293,'','',''), ('2026-01-02 00:30:15.006261502','2026-01-02 00:30:11.814384526','2026-01-02 00:30:11.926055274','node-0','::ffff:10.65.0.5',46658,'::ffff:10.65.1.31',443,6,0,0,'::ffff:10.96.0.3',443,'::',0,7,1232,7,3122,1,1,'time_wait','allowed','allow','','egress|default|knp:team-0/service-0|allow|0','egress|default|knp:team-0/service-0|allow|0','nflog','','src','node-0','node-1','','','','','pod','team-0','Deployment','service-0','service-0-76e4295e',1810519201089111232,'pod','team-2','Deployment','service-2','service-2-8f78347c',2243266712413628758,'team-2','service-2','http'), ('2026-01-02 00:30:15.098431303','2026-01-02 00:30:09.164199485','2026-01-02 00:30:09.250024493','node-1','::ffff:10.65.0.16',44329,'::ffff:10.65.1.31',443,6,0,0,'::',0,'::',0,7,1344,7,3486,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-2/service-2|allow|2','ingress|default|knp:team-2/service-2|allow|2','nflog','','dst','node-0','node-1','','','','','pod','team-0','Deployment','service-0','service-0-d4ce6d74',1810519201089111232,'pod','team-2','Deployment','service-2','service-2-8f78347c',2243266712413628758,'','',''), ('2026-01-02 00:30:15.098431303','2026-01-02 00:30:11.814384526','2026-01-02 00:30:11.926055274','node-1','::ffff:10.65.0.5',46658,'::ffff:10.65.1.31',443,6,0,0,'::',0,'::',0,7,1232,7,3122,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-2/service-2|allow|2','ingress|default|knp:team-2/service-2|allow|2','nflog','','dst','node-0','node-1','','','','','pod','team-0','Deployment','service-0','service-0-76e4295e',1810519201089111232,'pod','team-2','Deployment','service-2','service-2-8f78347c',2243266712413628758,'','',''), ('2026-01-02 00:30:15.098431303','2026-01-02 00:30:12.082547942','2026-01-02 00:30:12.124023053','node-1','::ffff:10.65.1.2',57274,'::ffff:10.65.1.52',9090,6,0,0,'::ffff:10.96.0.6',9090,'::',0,7,1561,7,1960,1,1,'time_wait','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-5/service-5|allow|1','ingress|default|knp:team-5/service-5|allow|1','nflog','','both','node-1','node-1','','','','','pod','team-0','Deployment','service-0','service-0-eb49644b',1810519201089111232,'pod','team-2','Job','service-5','service-5-de08b776',2377814078768445293,'team-2','service-5','http'), ('2026-01-02 00:30:15.114550854','2026-01-02 00:30:05.494837846','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.2.58',55745,'::ffff:10.65.0.33',443,6,0,0,'::',0,'::',0,1,60,0,0,1,1,'syn_sent','unknown','allow','','egress|default|knp:team-7/service-7|allow|3','egress|default|knp:team-7/service-7|allow|3','nflog','','src','node-2','node-0','','','','','pod','team-1','Deployment','service-7','service-7-577fdbe9',6436932044539064378,'pod','team-2','Deployment','service-2','service-2-804ff7c1',2243266712413628758,'','',''), ('2026-01-02 00:30:25.241056417','2026-01-02 00:30:22.094140359','2026-01-02 00:30:22.106825181','node-0','::ffff:10.65.0.5',40222,'::ffff:10.65.0.26',80,6,0,0,'::ffff:10.96.0.2',80,'::',0,3,525,3,681,1,1,'time_wait','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','both','node-0','node-0','','','','','pod','team-0','Deployment','service-0','service-0-76e4295e',1810519201089111232,'pod','team-1','Deployment','service-1','service-1-5115c0a2',9187780797699389890,'team-1','service-1','http'), ('2026-01-03 00:30:05.003840180','2026-01-03 00:29:55.372830024','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.2.37',39939,'::ffff:10.65.2.1',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,120,1,178,1,0,'','allowed','allow','allow','egress|default|knp:team-3/service-3|allow|3 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-2','node-2','','','','','pod','team-0','StatefulSet','service-3','service-3-ffe2d928',590519304878419840,'pod','team-0','Deployment','service-0','service-0-8c78af3f',1928235567686747264,'team-0','service-0','http'), ('2026-01-03 00:30:05.003840180','2026-01-03 00:29:58.724030413','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.0.2',42616,'::ffff:10.65.2.32',443,6,0,0,'::',0,'::',0,2,386,2,1510,1,0,'established','allowed','','allow','ingress|default|knp:team-2/service-2|allow|2','ingress|default|knp:team-2/service-2|allow|2','nflog','','dst','node-0','node-2','','','','','pod','team-0','Deployment','service-0','service-0-3a042a6a',1928235567686747264,'pod','team-2','Deployment','service-2','service-2-5182341e',7108086010538621945,'','',''), ('2026-01-03 00:30:05.003840180','2026-01-03 00:30:02.075413068','1970-01-01 00:00:00.000000000','node-2','::ffff:10.65.2.1',43378,'::ffff:10.65.2.1',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,121,1,180,1,0,'','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-2','node-2','','','','','pod','team-0','Deployment','service-0','service-0-8c78af3f',1928235567686747264,'pod','team-0','Deployment','service-0','service-0-8c78af3f',1928235567686747264,'team-0','service-0','http'), ('2026-01-03 00:30:05.069231492','2026-01-03 00:29:57.799097465','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.24',52592,'::ffff:10.65.1.12',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,120,1,179,1,0,'','allowed','allow','allow','egress|default|knp:team-2/service-2|allow|2 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-1','node-1','','','','','pod','team-2','Deployment','service-2','service-2-1c410cef',7108086010538621945,'pod','team-0','Deployment','service-0','service-0-ed5acff1',1928235567686747264,'team-0','service-0','http'), ('2026-01-03 00:30:05.069231492','2026-01-03 00:30:02.316835255','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.30',55301,'::ffff:10.65.0.5',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,120,1,179,1,0,'','allowed','allow','','egress|default|knp:team-2/service-2|allow|2','egress|default|knp:team-2/service-2|allow|2','nflog','','src','node-1','node-0','','','','','pod','team-2','Deployment','service-2','service-2-72248746',7108086010538621945,'pod','team-0','Deployment','service-0','service-0-fc0b181e',1928235567686747264,'team-0','service-0','http'), ('2026-01-03 00:30:05.249390182','2026-01-03 00:29:58.724030413','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.0.2',42616,'::ffff:10.65.2.32',443,6,0,0,'::ffff:10.96.0.3',443,'::',0,2,386,2,1510,1,0,'established','allowed','allow','','egress|default|knp:team-0/service-0|allow|0','egress|default|knp:team-0/service-0|allow|0','nflog','','src','node-0','node-2','','','','','pod','team-0','Deployment','service-0','service-0-3a042a6a',1928235567686747264,'pod','team-2','Deployment','service-2','service-2-5182341e',7108086010538621945,'team-2','service-2','http'), ('2026-01-03 00:30:05.249390182','2026-01-03 00:29:59.231494085','2026-01-03 00:29:59.235850563','node-0','::ffff:10.65.0.5',37684,'::ffff:10.65.0.5',8080,6,0,0,'::ffff:10.96.0.1',80,'::',0,2,772,2,202,1,1,'time_wait','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-0','node-0','','','','','pod','team-0','Deployment','service-0','service-0-fc0b181e',1928235567686747264,'pod','team-0','Deployment','service-0','service-0-fc0b181e',1928235567686747264,'team-0','service-0','http'), ('2026-01-03 00:30:05.249390182','2026-01-03 00:30:02.316835255','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.1.30',55301,'::ffff:10.65.0.5',53,17,0,0,'::',0,'::',0,1,120,1,179,1,0,'','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-1','node-0','','','','','pod','team-2','Deployment','service-2','service-2-72248746',7108086010538621945,'pod','team-0','Deployment','service-0','service-0-fc0b181e',1928235567686747264,'','',''), ('2026-01-03 00:30:15.104576162','2026-01-03 00:30:05.961473078','2026-01-03 00:30:06.078718085','node-1','::ffff:10.65.2.15',55678,'::ffff:10.65.1.59',5672,6,0,0,'::',0,'::',0,1,207,1,535,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-7/service-7|allow|3','ingress|default|knp:team-7/service-7|allow|3','nflog','','dst','node-2','node-1','','','','','pod','team-1','Deployment','service-1','service-1-15be4b36',5192972284543502344,'pod','team-1','Deployment','service-7','service-7-4a13a066',8331729541898597698,'','',''), ('2026-01-03 00:30:15.104576162','2026-01-03 00:30:07.879728601','2026-01-03 00:30:07.927663582','node-1','::ffff:10.0.0.11',40684,'::ffff:10.65.2.1',8080,6,0,0,'::',0,'::',0,7,847,7,2758,1,1,'time_wait','allowed','allow','','','','none','','src','node-1','node-2','','','','','node','','','node-1','',0,'pod','team-0','Deployment','service-0','service-0-8c78af3f',1928235567686747264,'','',''), ('2026-01-03 00:30:15.104576162','2026-01-03 00:30:09.066163540','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.57',57136,'::ffff:10.65.0.2',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,122,1,182,1,0,'','allowed','allow','','egress|default|knp:team-6/service-6|allow|2','egress|default|knp:team-6/service-6|allow|2','nflog','','src','node-1','node-0','','','','','pod','team-0','Deployment','service-6','service-6-7733445e',6167583643714877944,'pod','team-0','Deployment','service-0','service-0-3a042a6a',1928235567686747264,'team-0','service-0','http'), ('2026-01-03 00:30:15.151121800','2026-01-03 00:30:08.212168246','2026-01-03 00:30:08.220850470','node-0','::ffff:10.65.0.48',58810,'::ffff:10.65.2.13',8080,6,0,0,'::ffff:10.96.0.1',80,'::',0,5,765,5,2040,1,1,'time_wait','allowed','allow','','egress|default|knp:team-5/service-5|allow|1','egress|default|knp:team-5/service-5|allow|1','nflog','','src','node-0','node-2','','','','','pod','team-2','Job','service-5','service-5-70c4e775',4212499599070814012,'pod','team-0','Deployment','service-0','service-0-40b45efc',1928235567686747264,'team-0','service-0','http'), ('2026-01-03 00:30:15.151121800','2026-01-03 00:30:09.066163540','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.1.57',57136,'::ffff:10.65.0.2',53,17,0,0,'::',0,'::',0,1,122,1,182,1,0,'','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-1','node-0','','','','','pod','team-0','Deployment','service-6','service-6-7733445e',6167583643714877944,'pod','team-0','Deployment','service-0','service-0-3a042a6a',1928235567686747264,'','',''), ('2026-01-03 00:30:15.151121800','2026-01-03 00:30:11.923851508','2026-01-03 00:30:12.043422576','node-0','::ffff:10.65.2.52',35471,'::ffff:10.65.0.9',8080,6,0,0,'::',0,'::',0,27,9369,27,7506,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-2','node-0','','','','','pod','team-0','Deployment','service-6','service-6-9d030ae8',6167583643714877944,'pod','team-0','Deployment','service-0','service-0-c8133b19',1928235567686747264,'','',''), ('2026-01-03 00:30:15.151121800','2026-01-03 00:30:14.718287068','2026-01-03 00:30:14.755484034','node-0','::ffff:10.0.0.12',43270,'::ffff:10.65.0.10',8080,6,0,0,'::',0,'::',0,7,840,7,2716,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-2','node-0','','','','','node','','','node-2','',0,'pod','team-0','Deployment','service-0','service-0-4bd07c83',1928235567686747264,'','',''), ('2026-01-03 00:30:15.225464253','2026-01-03 00:30:05.961473078','2026-01-03 00:30:06.078718085','node-2','::ffff:10.65.2.15',55678,'::ffff:10.65.1.59',5672,6,0,0,'::ffff:10.96.0.8',5672,'::',0,1,207,1,535,1,1,'time_wait','allowed','allow','','egress|default|knp:team-1/service-1|allow|1','egress|default|knp:team-1/service-1|allow|1','nflog','','src','node-2','node-1','','','','','pod','team-1','Deployment','service-1','service-1-15be4b36',5192972284543502344,'pod','team-1','Deployment','service-7','service-7-4a13a066',8331729541898597698,'team-1','service-7','http'), ('2026-01-03 00:30:15.225464253','2026-01-03 00:30:07.879728601','2026-01-03 00:30:07.927663582','node-2','::ffff:10.0.0.11',40684,'::ffff:10.65.2.1',8080,6,0,0,'::',0,'::',0,7,847,7,2758,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-1','node-2','','','','','node','','','node-1','',0,'pod','team-0','Deployment','service-0','service-0-8c78af3f',1928235567686747264,'','',''), ('2026-01-03 00:30:15.225464253','2026-01-03 00:30:08.212168246','2026-01-03 00:30:08.220850470','node-2','::ffff:10.65.0.48',58810,'::ffff:10.65.2.13',8080,6,0,0,'::',0,'::',0,5,765,5,2040,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','dst','node-0','node-2','','','','','pod','team-2','Job','service-5','service-5-70c4e775',4212499599070814012,'pod','team-0','Deployment','service-0','service-0-40b45efc',1928235567686747264,'','',''), ('2026-01-03 00:30:15.225464253','2026-01-03 00:30:11.923851508','2026-01-03 00:30:12.043422576','node-2','::ffff:10.65.2.52',35471,'::ffff:10.65.0.9',8080,6,0,0,'::',0,'::',0,27,9369,27,7506,1,1,'time_wait','allowed','allow','','egress|default|knp:team-6/service-6|allow|2','egress|default|knp:team-6/service-6|allow|2','nflog','','src','node-2','node-0','','','','','pod','team-0','Deployment','service-6','service-6-9d030ae8',6167583643714877944,'pod','team-0','Deployment','service-0','service-0-c8133b19',1928235567686747264,'','',''), ('2026-01-03 00:30:15.225464253','2026-01-03 00:30:14.718287068','2026-01-03 00:30:14.755484034','node-2','::ffff:10.0.0.12',43270,'::ffff:10.65.0.10',8080,6,0,0,'::',0,'::',0,7,840,7,2716,1,1,'time_wait','allowed','allow','','','','none','','src','node-2','node-0','','','','','node','','','node-2','',0,'pod','team-0','Deployment','service-0','service-0-4bd07c83',1928235567686747264,'','',''), ('2026-01-04 00:30:05.000000000','2026-01-04 00:30:03.000000000','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.26',55330,'::ffff:10.65.2.16',8080,6,0,0,'::ffff:10.96.0.1',80,'::',0,3,516,3,6699,1,0,'established','allowed','allow','','egress|default|knp:team-2/service-2|allow|2','egress|default|knp:team-2/service-2|allow|2','nflog','','src','node-1','node-2','zone-a','zone-b','','','pod','team-2','Deployment','service-2','service-2-baa0bc16',6751565475823168779,'pod','team-0','Deployment','service-0','service-0-6a26e2c0',8587119078048172282,'team-0','service-0','http'), ('2026-01-04 00:30:05.001000001','2026-01-04 00:30:03.001000001','1970-01-01 00:00:00.000000000','node-0','::ffff:10.65.0.29',40359,'::ffff:10.65.2.15',53,17,0,0,'::ffff:10.96.0.1',53,'::',0,1,121,1,181,1,0,'','allowed','allow','','egress|default|knp:team-2/service-2|allow|2','egress|default|knp:team-2/service-2|allow|2','nflog','','src','node-0','node-2','zone-a','zone-b','','','pod','team-2','Deployment','service-2','service-2-ab11d8d7',6751565475823168779,'pod','team-0','Deployment','service-0','service-0-13e4bf4d',8587119078048172282,'team-0','service-0','http'), ('2026-01-04 00:30:05.002000002','2026-01-04 00:30:03.002000002','2026-01-01 00:30:01.812636364','node-1','::ffff:10.65.0.21',54719,'::ffff:10.65.1.22',80,6,0,0,'::',0,'::',0,10,1830,10,3170,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','dst','node-0','node-1','zone-a','zone-b','','named_again','pod','team-1','Deployment','service-1','service-1-eca9fa69',373645360768508649,'pod','team-1','Deployment','late-1','service-1-ee9b76af',373645360768508649,'','',''), ('2026-01-04 00:30:05.003000003','2026-01-04 00:30:03.003000003','2026-01-01 00:29:56.504177093','node-0','::ffff:10.0.0.12',37569,'::ffff:10.65.0.21',80,6,0,0,'::',0,'::',0,18446744073709551613,18446744073709551304,18446744073709551613,18446744073709550971,18446744073709551615,18446744073709551615,'time_wait','allowed','','allow','ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','dst','node-2','node-0','zone-a','zone-b','','taken_back','node','','','node-2','',0,'pod','team-1','Deployment','service-1','service-1-eca9fa69',373645360768508649,'','',''), ('2026-01-04 00:30:05.003000003','2026-01-04 00:30:03.003000003','2026-01-01 00:29:56.504177093','node-0','::ffff:10.0.0.12',37569,'::ffff:10.65.0.21',80,6,0,0,'::',0,'::',0,3,312,3,645,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','dst','node-2','node-0','zone-a','zone-b','','','node','','','node-2','',0,'pod','team-1','Deployment','service-1','service-1-eca9fa69',373645360768508649,'','',''), ('2026-01-04 00:30:05.003000003','2026-01-04 00:30:03.003000003','2026-01-01 00:29:56.504177093','node-0','::ffff:10.0.0.12',37569,'::ffff:10.65.0.21',80,6,0,0,'::',0,'::',0,3,312,3,645,1,1,'time_wait','allowed','','allow','ingress|default|knp:team-1/service-1|allow|1','ingress|default|knp:team-1/service-1|allow|1','nflog','','dst','node-2','node-0','zone-a','zone-b','','named_again','node','','','node-2','',0,'pod','team-1','Deployment','late-2','service-1-eca9fa69',373645360768508649,'','',''), ('2026-01-04 00:30:05.004000004','2026-01-04 00:30:03.004000004','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.1.13',38857,'::ffff:10.65.1.3',53,17,0,0,'::',0,'::',0,1,121,1,180,1,0,'','allowed','allow','allow','egress|default|knp:team-0/service-0|allow|0 ingress|default|knp:team-0/service-0|allow|0','ingress|default|knp:team-0/service-0|allow|0','nflog','','both','node-1','node-1','zone-a','zone-b','probe','','pod','team-0','Deployment','service-0','service-0-3af17fd2',8587119078048172282,'pod','team-0','Deployment','service-0','service-0-9a8fd343',8587119078048172282,'','',''), ('2026-01-04 00:30:05.005000005','2026-01-04 00:30:03.005000005','1970-01-01 00:00:00.000000000','node-1','::ffff:10.65.2.43',50620,'::ffff:10.65.1.10',8080,6,0,0,'::',0,'::',0,1,60,0,0,1,1,'syn_sent','denied','','deny','ingress|default|knp:team-0/service-0|deny|-1','ingress|default|knp:team-0/service-0|deny|-1','nflog','','dst','node-2','node-1','zone-a','zone-b','','','pod','team-0','StatefulSet','service-3','service-3-c470021a',2369184214400170208,'pod','team-0','Deployment','service-0','service-0-3edc836d',1810519201089111232,'','','');

INSERT INTO flows_minute (`time`, `src_address`, `dst_address`, `dst_port`, `protocol`, `verdict`, `deciding_rule`, `attribution`, `src_kind`, `src_namespace`, `src_workload_kind`, `src_workload`, `src_pod`, `src_labels_id`, `dst_kind`, `dst_namespace`, `dst_workload_kind`, `dst_workload`, `dst_pod`, `dst_labels_id`, `direction`, `forward_packets`, `forward_bytes`, `reverse_packets`, `reverse_bytes`, `connections_started`, `connections_ended`, `first_seen`, `last_seen`) VALUES ('2026-01-01 00:30:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','StatefulSet','service-3','',5666593026101050354,'pod','team-2','Deployment','service-2','',6751565475823168779,'ingress',30,5400,30,4320,1,1,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:30:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-2','Deployment','service-2','',6751565475823168779,'ingress',3,525,3,411,1,1,'2026-01-01 00:30:15.136437219','2026-01-01 00:30:15.136437219'), ('2026-01-01 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',8587119078048172282,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,180,1,0,'2026-01-01 00:30:05.021734751','2026-01-01 00:30:05.021734751'), ('2026-01-01 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,181,1,0,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:05.210293837'), ('2026-01-01 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Job','service-5','',6633631541043201677,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,181,1,0,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-01 00:30:05.144299487','2026-01-01 00:30:05.144299487'), ('2026-01-01 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-0','StatefulSet','service-3','',5666593026101050354,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',5,770,5,4025,1,1,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:05.210293837'), ('2026-01-01 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2026-01-01 00:30:05.021734751','2026-01-01 00:30:05.021734751'), ('2026-01-01 00:30:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-0','',0,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',9,2493,9,3861,1,1,'2026-01-01 00:30:15.247179161','2026-01-01 00:30:15.247179161'), ('2026-01-01 00:30:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',15,3300,15,25371,2,0,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:15.136437219'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','','nflog','node','shop','','web','',0,'pod','shop','','cart','',0,'ingress',3,100,2,50,1,0,'2026-01-02 00:00:00.000000000','2026-01-02 00:00:00.000000000'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','','nflog','pod','shop','','web','',0,'pod','shop','','cart','',0,'ingress',6,200,4,100,2,0,'2026-01-02 00:00:00.000000002','2026-01-02 00:00:00.000000003'), ('2026-01-02 00:30:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-2','Deployment','service-2','',2243266712413628758,'ingress',14,2576,14,6608,2,2,'2026-01-02 00:30:15.098431303','2026-01-02 00:30:15.098431303'), ('2026-01-02 00:30:00.000000000','::','::',443,6,'denied','ingress|default|knp:team-2/service-2|deny|-1','nflog','pod','team-1','Deployment','service-7','',6436932044539064378,'pod','team-2','Deployment','service-2','',2243266712413628758,'ingress',1,60,0,0,1,1,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',1,121,1,181,1,0,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:30:00.000000000','::','::',5432,6,'allowed','ingress|default|knp:team-3/service-3|allow|3','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-0','StatefulSet','service-3','',2369184214400170208,'ingress',7,840,7,7868,1,1,'2026-01-02 00:30:05.096003854','2026-01-02 00:30:05.096003854'), ('2026-01-02 00:30:00.000000000','::','::',6379,6,'allowed','ingress|default|knp:team-4/service-4|allow|0','nflog','pod','team-0','Deployment','service-6','',7038618367592841172,'pod','team-1','DaemonSet','service-4','',675059267066213286,'ingress',11,1738,11,1452,1,1,'2026-01-02 00:30:05.096003854','2026-01-02 00:30:05.096003854'), ('2026-01-02 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-1','Deployment','service-1','',9187780797699389890,'ingress',5,897,5,1169,2,2,'2026-01-02 00:30:05.168919521','2026-01-02 00:30:25.241056417'), ('2026-01-02 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-2','Deployment','service-2','',2243266712413628758,'pod','team-1','Deployment','service-1','',9187780797699389890,'ingress',7,574,7,5103,1,0,'2026-01-02 00:30:05.144982448','2026-01-02 00:30:05.144982448'), ('2026-01-02 00:30:00.000000000','::','::',8080,6,'denied','ingress|default|knp:team-0/service-0|deny|-1','nflog','pod','team-0','StatefulSet','service-3','',2369184214400170208,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',2,120,0,0,2,2,'2026-01-02 00:30:05.144982448','2026-01-02 00:30:05.168919521'), ('2026-01-02 00:30:00.000000000','::','::',9090,6,'allowed','ingress|default|knp:team-5/service-5|allow|1','nflog','node','','','node-0','',0,'pod','team-2','Job','service-5','',2377814078768445293,'ingress',3,420,3,4233,1,0,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:30:00.000000000','::','::',9090,6,'allowed','ingress|default|knp:team-5/service-5|allow|1','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-2','Job','service-5','',2377814078768445293,'ingress',7,1561,7,1960,1,1,'2026-01-02 00:30:15.098431303','2026-01-02 00:30:15.098431303'), ('2026-01-03 00:30:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-2','Deployment','service-2','',7108086010538621945,'ingress',2,386,2,1510,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,121,1,180,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,122,1,182,1,0,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','StatefulSet','service-3','',590519304878419840,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,120,1,178,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',7108086010538621945,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',2,240,2,358,2,0,'2026-01-03 00:30:05.069231492','2026-01-03 00:30:05.249390182'), ('2026-01-03 00:30:00.000000000','::','::',5672,6,'allowed','ingress|default|knp:team-7/service-7|allow|3','nflog','pod','team-1','Deployment','service-1','',5192972284543502344,'pod','team-1','Deployment','service-7','',8331729541898597698,'ingress',1,207,1,535,1,1,'2026-01-03 00:30:15.104576162','2026-01-03 00:30:15.104576162'), ('2026-01-03 00:30:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-1','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',7,847,7,2758,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-03 00:30:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-2','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',7,840,7,2716,1,1,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:30:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',2,772,2,202,1,1,'2026-01-03 00:30:05.249390182','2026-01-03 00:30:05.249390182'), ('2026-01-03 00:30:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',27,9369,27,7506,1,1,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:30:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Job','service-5','',4212499599070814012,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',5,765,5,2040,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-04 00:30:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',8587119078048172282,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,180,1,0,'2026-01-04 00:30:05.004000004','2026-01-04 00:30:05.004000004'), ('2026-01-04 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','late-2','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',18446744073709551613,18446744073709551304,18446744073709551613,18446744073709550971,18446744073709551615,18446744073709551615,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','late-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2026-01-04 00:30:05.002000002','2026-01-04 00:30:05.002000002'), ('2026-01-04 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2262-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000'), ('2026-01-04 00:30:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',18446744073709551606,18446744073709549786,18446744073709551606,18446744073709548446,18446744073709551615,18446744073709551615,'2262-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000'), ('2026-01-04 00:30:00.000000000','::','::',8080,6,'denied','ingress|default|knp:team-0/service-0|deny|-1','nflog','pod','team-0','StatefulSet','service-3','',2369184214400170208,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',1,60,0,0,1,1,'2026-01-04 00:30:05.005000005','2026-01-04 00:30:05.005000005');

INSERT INTO flows_hour (`time`, `src_address`, `dst_address`, `dst_port`, `protocol`, `verdict`, `deciding_rule`, `attribution`, `src_kind`, `src_namespace`, `src_workload_kind`, `src_workload`, `src_pod`, `src_labels_id`, `dst_kind`, `dst_namespace`, `dst_workload_kind`, `dst_workload`, `dst_pod`, `dst_labels_id`, `direction`, `forward_packets`, `forward_bytes`, `reverse_packets`, `reverse_bytes`, `connections_started`, `connections_ended`, `first_seen`, `last_seen`) VALUES ('2026-01-01 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','StatefulSet','service-3','',5666593026101050354,'pod','team-2','Deployment','service-2','',6751565475823168779,'ingress',30,5400,30,4320,1,1,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-2','Deployment','service-2','',6751565475823168779,'ingress',3,525,3,411,1,1,'2026-01-01 00:30:15.136437219','2026-01-01 00:30:15.136437219'), ('2026-01-01 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',8587119078048172282,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,180,1,0,'2026-01-01 00:30:05.021734751','2026-01-01 00:30:05.021734751'), ('2026-01-01 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,181,1,0,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:05.210293837'), ('2026-01-01 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Job','service-5','',6633631541043201677,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,181,1,0,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-01 00:30:05.144299487','2026-01-01 00:30:05.144299487'), ('2026-01-01 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-0','StatefulSet','service-3','',5666593026101050354,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',5,770,5,4025,1,1,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:05.210293837'), ('2026-01-01 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2026-01-01 00:30:05.021734751','2026-01-01 00:30:05.021734751'), ('2026-01-01 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-0','',0,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',9,2493,9,3861,1,1,'2026-01-01 00:30:15.247179161','2026-01-01 00:30:15.247179161'), ('2026-01-01 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',15,3300,15,25371,2,0,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:15.136437219'), ('2026-01-02 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-2','Deployment','service-2','',2243266712413628758,'ingress',14,2576,14,6608,2,2,'2026-01-02 00:30:15.098431303','2026-01-02 00:30:15.098431303'), ('2026-01-02 00:00:00.000000000','::','::',443,6,'denied','ingress|default|knp:team-2/service-2|deny|-1','nflog','pod','team-1','Deployment','service-7','',6436932044539064378,'pod','team-2','Deployment','service-2','',2243266712413628758,'ingress',1,60,0,0,1,1,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',1,121,1,181,1,0,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:00:00.000000000','::','::',5432,6,'allowed','ingress|default|knp:team-3/service-3|allow|3','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-0','StatefulSet','service-3','',2369184214400170208,'ingress',7,840,7,7868,1,1,'2026-01-02 00:30:05.096003854','2026-01-02 00:30:05.096003854'), ('2026-01-02 00:00:00.000000000','::','::',6379,6,'allowed','ingress|default|knp:team-4/service-4|allow|0','nflog','pod','team-0','Deployment','service-6','',7038618367592841172,'pod','team-1','DaemonSet','service-4','',675059267066213286,'ingress',11,1738,11,1452,1,1,'2026-01-02 00:30:05.096003854','2026-01-02 00:30:05.096003854'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','','nflog','node','shop','','web','',0,'pod','shop','','cart','',0,'ingress',3,100,2,50,1,0,'2026-01-02 00:00:00.000000000','2026-01-02 00:00:00.000000000'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','','nflog','pod','shop','','web','',0,'pod','shop','','cart','',0,'ingress',6,200,4,100,2,0,'2026-01-02 00:00:00.000000002','2026-01-02 00:00:00.000000003'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-1','Deployment','service-1','',9187780797699389890,'ingress',5,897,5,1169,2,2,'2026-01-02 00:30:05.168919521','2026-01-02 00:30:25.241056417'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-2','Deployment','service-2','',2243266712413628758,'pod','team-1','Deployment','service-1','',9187780797699389890,'ingress',7,574,7,5103,1,0,'2026-01-02 00:30:05.144982448','2026-01-02 00:30:05.144982448'), ('2026-01-02 00:00:00.000000000','::','::',8080,6,'denied','ingress|default|knp:team-0/service-0|deny|-1','nflog','pod','team-0','StatefulSet','service-3','',2369184214400170208,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',2,120,0,0,2,2,'2026-01-02 00:30:05.144982448','2026-01-02 00:30:05.168919521'), ('2026-01-02 00:00:00.000000000','::','::',9090,6,'allowed','ingress|default|knp:team-5/service-5|allow|1','nflog','node','','','node-0','',0,'pod','team-2','Job','service-5','',2377814078768445293,'ingress',3,420,3,4233,1,0,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:00:00.000000000','::','::',9090,6,'allowed','ingress|default|knp:team-5/service-5|allow|1','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-2','Job','service-5','',2377814078768445293,'ingress',7,1561,7,1960,1,1,'2026-01-02 00:30:15.098431303','2026-01-02 00:30:15.098431303'), ('2026-01-03 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-2','Deployment','service-2','',7108086010538621945,'ingress',2,386,2,1510,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,121,1,180,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,122,1,182,1,0,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','StatefulSet','service-3','',590519304878419840,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,120,1,178,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',7108086010538621945,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',2,240,2,358,2,0,'2026-01-03 00:30:05.069231492','2026-01-03 00:30:05.249390182'), ('2026-01-03 00:00:00.000000000','::','::',5672,6,'allowed','ingress|default|knp:team-7/service-7|allow|3','nflog','pod','team-1','Deployment','service-1','',5192972284543502344,'pod','team-1','Deployment','service-7','',8331729541898597698,'ingress',1,207,1,535,1,1,'2026-01-03 00:30:15.104576162','2026-01-03 00:30:15.104576162'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-1','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',7,847,7,2758,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-2','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',7,840,7,2716,1,1,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',2,772,2,202,1,1,'2026-01-03 00:30:05.249390182','2026-01-03 00:30:05.249390182'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',27,9369,27,7506,1,1,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Job','service-5','',4212499599070814012,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',5,765,5,2040,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-04 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',8587119078048172282,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,180,1,0,'2026-01-04 00:30:05.004000004','2026-01-04 00:30:05.004000004'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','late-2','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',18446744073709551613,18446744073709551304,18446744073709551613,18446744073709550971,18446744073709551615,18446744073709551615,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','late-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2026-01-04 00:30:05.002000002','2026-01-04 00:30:05.002000002'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2262-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',18446744073709551606,18446744073709549786,18446744073709551606,18446744073709548446,18446744073709551615,18446744073709551615,'2262-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000'), ('2026-01-04 00:00:00.000000000','::','::',8080,6,'denied','ingress|default|knp:team-0/service-0|deny|-1','nflog','pod','team-0','StatefulSet','service-3','',2369184214400170208,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',1,60,0,0,1,1,'2026-01-04 00:30:05.005000005','2026-01-04 00:30:05.005000005');

INSERT INTO flows_day (`time`, `src_address`, `dst_address`, `dst_port`, `protocol`, `verdict`, `deciding_rule`, `attribution`, `src_kind`, `src_namespace`, `src_workload_kind`, `src_workload`, `src_pod`, `src_labels_id`, `dst_kind`, `dst_namespace`, `dst_workload_kind`, `dst_workload`, `dst_pod`, `dst_labels_id`, `direction`, `forward_packets`, `forward_bytes`, `reverse_packets`, `reverse_bytes`, `connections_started`, `connections_ended`, `first_seen`, `last_seen`) VALUES ('2026-01-01 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','StatefulSet','service-3','',5666593026101050354,'pod','team-2','Deployment','service-2','',6751565475823168779,'ingress',30,5400,30,4320,1,1,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-2','Deployment','service-2','',6751565475823168779,'ingress',3,525,3,411,1,1,'2026-01-01 00:30:15.136437219','2026-01-01 00:30:15.136437219'), ('2026-01-01 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',8587119078048172282,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,180,1,0,'2026-01-01 00:30:05.021734751','2026-01-01 00:30:05.021734751'), ('2026-01-01 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,181,1,0,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:05.210293837'), ('2026-01-01 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Job','service-5','',6633631541043201677,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,181,1,0,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-01 00:30:05.144299487','2026-01-01 00:30:05.144299487'), ('2026-01-01 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-0','StatefulSet','service-3','',5666593026101050354,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',5,770,5,4025,1,1,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:05.210293837'), ('2026-01-01 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2026-01-01 00:30:05.021734751','2026-01-01 00:30:05.021734751'), ('2026-01-01 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-0','',0,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',9,2493,9,3861,1,1,'2026-01-01 00:30:15.247179161','2026-01-01 00:30:15.247179161'), ('2026-01-01 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',15,3300,15,25371,2,0,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:15.136437219'), ('2026-01-02 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-2','Deployment','service-2','',2243266712413628758,'ingress',14,2576,14,6608,2,2,'2026-01-02 00:30:15.098431303','2026-01-02 00:30:15.098431303'), ('2026-01-02 00:00:00.000000000','::','::',443,6,'denied','ingress|default|knp:team-2/service-2|deny|-1','nflog','pod','team-1','Deployment','service-7','',6436932044539064378,'pod','team-2','Deployment','service-2','',2243266712413628758,'ingress',1,60,0,0,1,1,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',1,121,1,181,1,0,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:00:00.000000000','::','::',5432,6,'allowed','ingress|default|knp:team-3/service-3|allow|3','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-0','StatefulSet','service-3','',2369184214400170208,'ingress',7,840,7,7868,1,1,'2026-01-02 00:30:05.096003854','2026-01-02 00:30:05.096003854'), ('2026-01-02 00:00:00.000000000','::','::',6379,6,'allowed','ingress|default|knp:team-4/service-4|allow|0','nflog','pod','team-0','Deployment','service-6','',7038618367592841172,'pod','team-1','DaemonSet','service-4','',675059267066213286,'ingress',11,1738,11,1452,1,1,'2026-01-02 00:30:05.096003854','2026-01-02 00:30:05.096003854'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','','nflog','node','shop','','web','',0,'pod','shop','','cart','',0,'ingress',3,100,2,50,1,0,'2026-01-02 00:00:00.000000000','2026-01-02 00:00:00.000000000'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','','nflog','pod','shop','','web','',0,'pod','shop','','cart','',0,'ingress',6,200,4,100,2,0,'2026-01-02 00:00:00.000000002','2026-01-02 00:00:00.000000003'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-1','Deployment','service-1','',9187780797699389890,'ingress',5,897,5,1169,2,2,'2026-01-02 00:30:05.168919521','2026-01-02 00:30:25.241056417'), ('2026-01-02 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-2','Deployment','service-2','',2243266712413628758,'pod','team-1','Deployment','service-1','',9187780797699389890,'ingress',7,574,7,5103,1,0,'2026-01-02 00:30:05.144982448','2026-01-02 00:30:05.144982448'), ('2026-01-02 00:00:00.000000000','::','::',8080,6,'denied','ingress|default|knp:team-0/service-0|deny|-1','nflog','pod','team-0','StatefulSet','service-3','',2369184214400170208,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',2,120,0,0,2,2,'2026-01-02 00:30:05.144982448','2026-01-02 00:30:05.168919521'), ('2026-01-02 00:00:00.000000000','::','::',9090,6,'allowed','ingress|default|knp:team-5/service-5|allow|1','nflog','node','','','node-0','',0,'pod','team-2','Job','service-5','',2377814078768445293,'ingress',3,420,3,4233,1,0,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:00:00.000000000','::','::',9090,6,'allowed','ingress|default|knp:team-5/service-5|allow|1','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-2','Job','service-5','',2377814078768445293,'ingress',7,1561,7,1960,1,1,'2026-01-02 00:30:15.098431303','2026-01-02 00:30:15.098431303'), ('2026-01-03 00:00:00.000000000','::','::',443,6,'allowed','ingress|default|knp:team-2/service-2|allow|2','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-2','Deployment','service-2','',7108086010538621945,'ingress',2,386,2,1510,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,121,1,180,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,122,1,182,1,0,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','StatefulSet','service-3','',590519304878419840,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',1,120,1,178,1,0,'2026-01-03 00:30:05.003840180','2026-01-03 00:30:05.003840180'), ('2026-01-03 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Deployment','service-2','',7108086010538621945,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',2,240,2,358,2,0,'2026-01-03 00:30:05.069231492','2026-01-03 00:30:05.249390182'), ('2026-01-03 00:00:00.000000000','::','::',5672,6,'allowed','ingress|default|knp:team-7/service-7|allow|3','nflog','pod','team-1','Deployment','service-1','',5192972284543502344,'pod','team-1','Deployment','service-7','',8331729541898597698,'ingress',1,207,1,535,1,1,'2026-01-03 00:30:15.104576162','2026-01-03 00:30:15.104576162'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-1','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',7,847,7,2758,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','node','','','node-2','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',7,840,7,2716,1,1,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',2,772,2,202,1,1,'2026-01-03 00:30:05.249390182','2026-01-03 00:30:05.249390182'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',27,9369,27,7506,1,1,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-03 00:00:00.000000000','::','::',8080,6,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-2','Job','service-5','',4212499599070814012,'pod','team-0','Deployment','service-0','',1928235567686747264,'ingress',5,765,5,2040,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-04 00:00:00.000000000','::','::',53,17,'allowed','ingress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',8587119078048172282,'pod','team-0','Deployment','service-0','',8587119078048172282,'ingress',1,121,1,180,1,0,'2026-01-04 00:30:05.004000004','2026-01-04 00:30:05.004000004'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','late-2','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',18446744073709551613,18446744073709551304,18446744073709551613,18446744073709550971,18446744073709551615,18446744073709551615,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',3,312,3,645,1,1,'2026-01-04 00:30:05.003000003','2026-01-04 00:30:05.003000003'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','late-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2026-01-04 00:30:05.002000002','2026-01-04 00:30:05.002000002'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',10,1830,10,3170,1,1,'2262-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000'), ('2026-01-04 00:00:00.000000000','::','::',80,6,'allowed','ingress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'ingress',18446744073709551606,18446744073709549786,18446744073709551606,18446744073709548446,18446744073709551615,18446744073709551615,'2262-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000'), ('2026-01-04 00:00:00.000000000','::','::',8080,6,'denied','ingress|default|knp:team-0/service-0|deny|-1','nflog','pod','team-0','StatefulSet','service-3','',2369184214400170208,'pod','team-0','Deployment','service-0','',1810519201089111232,'ingress',1,60,0,0,1,1,'2026-01-04 00:30:05.005000005','2026-01-04 00:30:05.005000005');

INSERT INTO flows_hour_mirrored (`time`, `peer_node`, `src_address`, `dst_address`, `dst_port`, `protocol`, `verdict`, `deciding_rule`, `attribution`, `src_kind`, `src_namespace`, `src_workload_kind`, `src_workload`, `src_pod`, `src_labels_id`, `dst_kind`, `dst_namespace`, `dst_workload_kind`, `dst_workload`, `dst_pod`, `dst_labels_id`, `direction`, `forward_packets`, `forward_bytes`, `reverse_packets`, `reverse_bytes`, `connections_started`, `connections_ended`, `first_seen`, `last_seen`) VALUES ('2026-01-01 00:00:00.000000000','node-0','::','::',443,6,'allowed','egress|default|knp:team-3/service-3|allow|3','nflog','pod','team-0','StatefulSet','service-3','',5666593026101050354,'pod','team-2','Deployment','service-2','',6751565475823168779,'egress',30,5400,30,4320,1,1,'2026-01-01 00:30:15.247179161','2026-01-01 00:30:15.247179161'), ('2026-01-01 00:00:00.000000000','node-0','::','::',53,17,'allowed','egress|default|knp:team-5/service-5|allow|1','nflog','pod','team-2','Job','service-5','',6633631541043201677,'pod','team-0','Deployment','service-0','',8587119078048172282,'egress',1,121,1,181,1,0,'2026-01-01 00:30:15.247179161','2026-01-01 00:30:15.247179161'), ('2026-01-01 00:00:00.000000000','node-0','::','::',80,6,'allowed','','none','node','','','node-2','',0,'pod','team-1','Deployment','service-1','',373645360768508649,'egress',3,312,3,645,1,1,'2026-01-01 00:30:05.210293837','2026-01-01 00:30:05.210293837'), ('2026-01-01 00:00:00.000000000','node-1','::','::',443,6,'allowed','egress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-2','Deployment','service-2','',6751565475823168779,'egress',3,525,3,411,1,1,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','node-1','::','::',80,6,'allowed','egress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',373645360768508649,'pod','team-1','Deployment','service-1','',373645360768508649,'egress',10,1830,10,3170,1,1,'2026-01-01 00:30:05.144299487','2026-01-01 00:30:05.144299487'), ('2026-01-01 00:00:00.000000000','node-2','::','::',53,17,'allowed','egress|default|knp:team-2/service-2|allow|2','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'egress',1,121,1,181,1,0,'2026-01-01 00:30:05.144299487','2026-01-01 00:30:05.144299487'), ('2026-01-01 00:00:00.000000000','node-2','::','::',8080,6,'allowed','','none','node','','','node-0','',0,'pod','team-0','Deployment','service-0','',8587119078048172282,'egress',9,2493,9,3861,1,1,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','node-2','::','::',8080,6,'allowed','egress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',8587119078048172282,'pod','team-0','Deployment','service-0','',8587119078048172282,'egress',1,265,1,407,1,1,'2026-01-01 00:30:15.054124183','2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','node-2','::','::',8080,6,'allowed','egress|default|knp:team-2/service-2|allow|2','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'egress',3,516,3,6699,1,0,'2026-01-01 00:30:05.021734751','2026-01-01 00:30:05.021734751'), ('2026-01-02 00:00:00.000000000','node-0','::','::',443,6,'unknown','egress|default|knp:team-7/service-7|allow|3','nflog','pod','team-1','Deployment','service-7','',6436932044539064378,'pod','team-2','Deployment','service-2','',2243266712413628758,'egress',1,60,0,0,1,1,'2026-01-02 00:30:15.114550854','2026-01-02 00:30:15.114550854'), ('2026-01-02 00:00:00.000000000','node-1','::','::',443,6,'allowed','egress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-2','Deployment','service-2','',2243266712413628758,'egress',14,2576,14,6608,2,2,'2026-01-02 00:30:15.006261502','2026-01-02 00:30:15.006261502'), ('2026-01-02 00:00:00.000000000','node-1','::','::',80,6,'allowed','egress|default|knp:team-2/service-2|allow|2','nflog','pod','team-2','Deployment','service-2','',2243266712413628758,'pod','team-1','Deployment','service-1','',9187780797699389890,'egress',7,574,7,5103,1,0,'2026-01-02 00:30:05.168919521','2026-01-02 00:30:05.168919521'), ('2026-01-02 00:00:00.000000000','node-1','::','::',8080,6,'unknown','egress|default|knp:team-3/service-3|allow|3','nflog','pod','team-0','StatefulSet','service-3','',2369184214400170208,'pod','team-0','Deployment','service-0','',1810519201089111232,'egress',1,60,0,0,1,1,'2026-01-02 00:30:05.096003854','2026-01-02 00:30:05.096003854'), ('2026-01-02 00:00:00.000000000','node-2','::','::',5432,6,'allowed','egress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1810519201089111232,'pod','team-0','StatefulSet','service-3','',2369184214400170208,'egress',7,840,7,7868,1,1,'2026-01-02 00:30:05.168919521','2026-01-02 00:30:05.168919521'), ('2026-01-02 00:00:00.000000000','node-2','::','::',6379,6,'allowed','egress|default|knp:team-6/service-6|allow|2','nflog','pod','team-0','Deployment','service-6','',7038618367592841172,'pod','team-1','DaemonSet','service-4','',675059267066213286,'egress',11,1738,11,1452,1,1,'2026-01-02 00:30:05.144982448','2026-01-02 00:30:05.144982448'), ('2026-01-02 00:00:00.000000000','silent','::','::',80,6,'allowed','','nflog','pod','shop','','web','',0,'pod','shop','','cart','',0,'ingress',3,100,2,50,1,0,'2026-01-02 00:00:00.000000001','2026-01-02 00:00:00.000000001'), ('2026-01-03 00:00:00.000000000','node-0','::','::',53,17,'allowed','egress|default|knp:team-2/service-2|allow|2','nflog','pod','team-2','Deployment','service-2','',7108086010538621945,'pod','team-0','Deployment','service-0','',1928235567686747264,'egress',1,120,1,179,1,0,'2026-01-03 00:30:05.069231492','2026-01-03 00:30:05.069231492'), ('2026-01-03 00:00:00.000000000','node-0','::','::',53,17,'allowed','egress|default|knp:team-6/service-6|allow|2','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'egress',1,122,1,182,1,0,'2026-01-03 00:30:15.104576162','2026-01-03 00:30:15.104576162'), ('2026-01-03 00:00:00.000000000','node-0','::','::',8080,6,'allowed','','none','node','','','node-2','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'egress',7,840,7,2716,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-03 00:00:00.000000000','node-0','::','::',8080,6,'allowed','egress|default|knp:team-6/service-6|allow|2','nflog','pod','team-0','Deployment','service-6','',6167583643714877944,'pod','team-0','Deployment','service-0','',1928235567686747264,'egress',27,9369,27,7506,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-03 00:00:00.000000000','node-1','::','::',5672,6,'allowed','egress|default|knp:team-1/service-1|allow|1','nflog','pod','team-1','Deployment','service-1','',5192972284543502344,'pod','team-1','Deployment','service-7','',8331729541898597698,'egress',1,207,1,535,1,1,'2026-01-03 00:30:15.225464253','2026-01-03 00:30:15.225464253'), ('2026-01-03 00:00:00.000000000','node-2','::','::',443,6,'allowed','egress|default|knp:team-0/service-0|allow|0','nflog','pod','team-0','Deployment','service-0','',1928235567686747264,'pod','team-2','Deployment','service-2','',7108086010538621945,'egress',2,386,2,1510,1,0,'2026-01-03 00:30:05.249390182','2026-01-03 00:30:05.249390182'), ('2026-01-03 00:00:00.000000000','node-2','::','::',8080,6,'allowed','','none','node','','','node-1','',0,'pod','team-0','Deployment','service-0','',1928235567686747264,'egress',7,847,7,2758,1,1,'2026-01-03 00:30:15.104576162','2026-01-03 00:30:15.104576162'), ('2026-01-03 00:00:00.000000000','node-2','::','::',8080,6,'allowed','egress|default|knp:team-5/service-5|allow|1','nflog','pod','team-2','Job','service-5','',4212499599070814012,'pod','team-0','Deployment','service-0','',1928235567686747264,'egress',5,765,5,2040,1,1,'2026-01-03 00:30:15.151121800','2026-01-03 00:30:15.151121800'), ('2026-01-04 00:00:00.000000000','node-2','::','::',53,17,'allowed','egress|default|knp:team-2/service-2|allow|2','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'egress',1,121,1,181,1,0,'2026-01-04 00:30:05.001000001','2026-01-04 00:30:05.001000001'), ('2026-01-04 00:00:00.000000000','node-2','::','::',8080,6,'allowed','egress|default|knp:team-2/service-2|allow|2','nflog','pod','team-2','Deployment','service-2','',6751565475823168779,'pod','team-0','Deployment','service-0','',8587119078048172282,'egress',3,516,3,6699,1,0,'2026-01-04 00:30:05.000000000','2026-01-04 00:30:05.000000000');

INSERT INTO label_sets (`labels_id`, `labels`) VALUES (17,{'app':'web'}), (18,{'app':'cart','tier':'back'});

INSERT INTO completeness (`time`, `node`, `source`, `observed`, `lost`, `discarded`, `incomplete`, `note`) VALUES ('2026-01-01 00:30:05.021734751','node-1','conntrack',10,1,0,0,''), ('2026-01-01 00:30:05.144299487','node-0','conntrack',10,1,0,0,''), ('2026-01-01 00:30:15.054124183','node-0','conntrack',10,1,0,0,''), ('2026-01-01 00:30:15.136437219','node-1','conntrack',10,1,0,0,''), ('2026-01-02 00:30:05.144982448','node-1','conntrack',10,1,0,0,''), ('2026-01-02 00:30:05.168919521','node-0','conntrack',10,1,0,0,''), ('2026-01-02 00:30:15.006261502','node-0','conntrack',10,1,0,0,''), ('2026-01-02 00:30:15.098431303','node-1','conntrack',10,1,0,0,''), ('2026-01-02 00:30:25.241056417','node-0','conntrack',10,1,0,0,''), ('2026-01-03 00:30:05.069231492','node-1','conntrack',10,1,0,0,''), ('2026-01-03 00:30:05.249390182','node-0','conntrack',10,1,0,0,''), ('2026-01-03 00:30:15.104576162','node-1','conntrack',10,1,0,0,''), ('2026-01-03 00:30:15.151121800','node-0','conntrack',10,1,0,0,''), ('2026-01-04 00:30:05.000000000','node-0','conntrack',10,1,0,0,''), ('2026-01-04 00:30:05.000000000','node-1','conntrack',10,1,0,0,'');

INSERT INTO policy_hits (`time`, `node`, `direction`, `tier`, `kind`, `namespace`, `name`, `action`, `rule`, `exact`, `packets`, `bytes`) VALUES ('2026-01-01 00:30:00.000000000','node-0','ingress','default','knp','team-0','service-0','allow',0,true,7,700);

INSERT INTO completeness_hour (`time`, `node`, `source`, `note`, `observed`, `lost`, `discarded`, `incomplete`, `last_seen`) VALUES ('2026-01-01 00:00:00.000000000','node-0','conntrack','',20,2,0,0,'2026-01-01 00:30:15.054124183'), ('2026-01-01 00:00:00.000000000','node-1','conntrack','',20,2,0,0,'2026-01-01 00:30:15.136437219'), ('2026-01-02 00:00:00.000000000','node-0','conntrack','',30,3,0,0,'2026-01-02 00:30:25.241056417'), ('2026-01-02 00:00:00.000000000','node-1','conntrack','',20,2,0,0,'2026-01-02 00:30:15.098431303'), ('2026-01-03 00:00:00.000000000','node-0','conntrack','',20,2,0,0,'2026-01-03 00:30:15.151121800'), ('2026-01-03 00:00:00.000000000','node-1','conntrack','',20,2,0,0,'2026-01-03 00:30:15.104576162'), ('2026-01-04 00:00:00.000000000','node-0','conntrack','',10,1,0,0,'2026-01-04 00:30:05.000000000'), ('2026-01-04 00:00:00.000000000','node-1','conntrack','',10,1,0,0,'2026-01-04 00:30:05.000000000');

INSERT INTO peers (`time`, `node`) VALUES ('2026-01-01 00:00:00.000000000','node-0'), ('2026-01-01 00:00:00.000000000','node-1'), ('2026-01-01 00:00:00.000000000','node-2'), ('2026-01-02 00:00:00.000000000','node-0'), ('2026-01-02 00:00:00.000000000','node-1'), ('2026-01-02 00:00:00.000000000','node-2'), ('2026-01-02 00:00:00.000000000','silent'), ('2026-01-03 00:00:00.000000000','node-0'), ('2026-01-03 00:00:00.000000000','node-1'), ('2026-01-03 00:00:00.000000000','node-2'), ('2026-01-04 00:00:00.000000000','node-2');

INSERT INTO endpoints (`address`, `uid`, `kind`, `namespace`, `workload_kind`, `workload`, `pod`, `node`, `zone`, `labels_id`, `service_account`, `ports`, `probe_ports`, `valid_from`, `sure_from`, `sure_to`, `valid_to`, `written`) VALUES ('::ffff:10.65.1.26','u-1','pod','team-2','Deployment','service-2','service-2-baa0bc16','node-1','zone-a',17,'default','http=TCP/8080','8080','2026-01-04 00:00:00.100000000','2026-01-04 00:00:01.000000000','1970-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000','2026-01-04 00:00:02.000000000'), ('::ffff:10.65.2.16','u-2','pod','team-0','Deployment','service-0','service-0-6a26e2c0','node-2','zone-b',18,'default','','','2026-01-04 00:00:00.100000000','2026-01-04 00:00:01.000000000','2026-01-04 00:20:00.000000000','2026-01-04 00:20:01.000000000','2026-01-04 00:20:02.000000000');

INSERT INTO services (`address`, `port`, `protocol`, `namespace`, `service`, `port_name`, `valid_from`, `sure_from`, `sure_to`, `valid_to`, `written`) VALUES ('::ffff:10.96.0.1',80,6,'team-0','service-0','http','2026-01-04 00:00:00.100000000','2026-01-04 00:00:01.000000000','1970-01-01 00:00:00.000000000','1970-01-01 00:00:00.000000000','2026-01-04 00:00:02.000000000');

INSERT INTO policies (`kind`, `api_group`, `namespace`, `name`, `tier`, `revision`, `document`, `valid_from`, `valid_to`, `written`) VALUES ('NetworkPolicy','networking.k8s.io','team-0','service-0','default','1','{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "service-0", "namespace": "team-0"}, "spec": {"podSelector": {"matchLabels": {"app": "it\'s cart"}}, "ingress": [{}]}}','2026-01-04 00:00:00.100000000','1970-01-01 00:00:00.000000000','2026-01-04 00:00:02.000000000');

INSERT INTO watched (`source`, `cluster`, `since`, `as_of`, `written`) VALUES ('kubernetes','c-1','2026-01-04 00:00:00.100000000','2026-01-04 00:31:00.000000000','2026-01-04 00:31:00.000000000');

INSERT INTO schema_migrations (`version`, `applied`) VALUES (2,'2026-01-01 00:00:00.000'), (3,'2026-01-02 00:00:00.000'), (4,'2026-01-03 00:00:00.000');

CREATE MATERIALIZED VIEW IF NOT EXISTS completeness_hour_filled TO completeness_hour AS
SELECT bucket AS time, node, source, note, seen AS observed, missed AS lost, shed AS discarded,
    unfinished AS incomplete, latest AS last_seen
FROM
(
SELECT toDateTime64(toStartOfHour(time), 9, 'UTC') AS bucket, node, source, note, sum(observed) AS seen,
    sum(lost) AS missed, sum(discarded) AS shed, sum(incomplete) AS unfinished, max(time) AS latest
FROM completeness
GROUP BY bucket, node, source, note
);

CREATE MATERIALIZED VIEW IF NOT EXISTS peers_filled TO peers AS
SELECT DISTINCT time, peer_node AS node FROM flows_hour_mirrored;

CREATE MATERIALIZED VIEW IF NOT EXISTS flows_day_filled TO flows_day AS
SELECT
    bucket AS time,
    src_address,
    dst_address,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_pod,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_pod,
    dst_labels_id,
    direction,
    forward_packets_sum AS forward_packets,
    forward_bytes_sum AS forward_bytes,
    reverse_packets_sum AS reverse_packets,
    reverse_bytes_sum AS reverse_bytes,
    connections_started_sum AS connections_started,
    connections_ended_sum AS connections_ended,
    earliest AS first_seen,
    latest AS last_seen
FROM
(
SELECT
    toDateTime64(toStartOfDay(time), 9, 'UTC') AS bucket,
    src_address,
    dst_address,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_pod,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_pod,
    dst_labels_id,
    direction,
    sum(forward_packets) AS forward_packets_sum,
    sum(forward_bytes) AS forward_bytes_sum,
    sum(reverse_packets) AS reverse_packets_sum,
    sum(reverse_bytes) AS reverse_bytes_sum,
    sum(connections_started) AS connections_started_sum,
    sum(connections_ended) AS connections_ended_sum,
    min(first_seen) AS earliest,
    max(last_seen) AS latest
FROM flows_hour
GROUP BY bucket, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction
);

CREATE MATERIALIZED VIEW IF NOT EXISTS flows_hour_filled TO flows_hour AS
SELECT
    bucket AS time,
    src_address,
    dst_address,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_pod,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_pod,
    dst_labels_id,
    direction,
    forward_packets_sum AS forward_packets,
    forward_bytes_sum AS forward_bytes,
    reverse_packets_sum AS reverse_packets,
    reverse_bytes_sum AS reverse_bytes,
    connections_started_sum AS connections_started,
    connections_ended_sum AS connections_ended,
    earliest AS first_seen,
    latest AS last_seen
FROM
(
SELECT
    toDateTime64(toStartOfHour(time), 9, 'UTC') AS bucket,
    src_address,
    dst_address,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_pod,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_pod,
    dst_labels_id,
    direction,
    sum(forward_packets) AS forward_packets_sum,
    sum(forward_bytes) AS forward_bytes_sum,
    sum(reverse_packets) AS reverse_packets_sum,
    sum(reverse_bytes) AS reverse_bytes_sum,
    sum(connections_started) AS connections_started_sum,
    sum(connections_ended) AS connections_ended_sum,
    min(first_seen) AS earliest,
    max(last_seen) AS latest
FROM flows_minute
GROUP BY bucket, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction
);

CREATE MATERIALIZED VIEW IF NOT EXISTS flows_hour_mirrored_filled TO flows_hour_mirrored AS
SELECT
    bucket AS time,
    peer_node_kept AS peer_node,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_labels_id,
    src_address_kept AS src_address,
    dst_address_kept AS dst_address,
    src_pod_kept AS src_pod,
    dst_pod_kept AS dst_pod,
    direction_kept AS direction,
    forward_packets_sum AS forward_packets,
    forward_bytes_sum AS forward_bytes,
    reverse_packets_sum AS reverse_packets,
    reverse_bytes_sum AS reverse_bytes,
    connections_started_sum AS connections_started,
    connections_ended_sum AS connections_ended,
    earliest AS first_seen,
    latest AS last_seen
FROM
(
SELECT
    toDateTime64(toStartOfHour(time), 9, 'UTC') AS bucket,
    dst_node AS peer_node_kept,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_labels_id,
    if(src_workload = '' AND src_pod = '', src_address, toIPv6('::')) AS src_address_kept,
    if(dst_workload = '' AND dst_pod = '', dst_address, toIPv6('::')) AS dst_address_kept,
    if(src_workload = '', src_pod, '') AS src_pod_kept,
    if(dst_workload = '', dst_pod, '') AS dst_pod_kept,
    multiIf(egress_action = 'deny', 'egress', ingress_action != '', 'ingress', egress_action != '', 'egress', '') AS direction_kept,
    sum(forward_packets) AS forward_packets_sum,
    sum(forward_bytes) AS forward_bytes_sum,
    sum(reverse_packets) AS reverse_packets_sum,
    sum(reverse_bytes) AS reverse_bytes_sum,
    sum(connections_started) AS connections_started_sum,
    sum(connections_ended) AS connections_ended_sum,
    min(time) AS earliest,
    max(time) AS latest
FROM flows
WHERE reporter = 'src' AND verdict != 'denied' AND dst_node != ''
GROUP BY bucket, peer_node_kept, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_labels_id, src_address_kept, dst_address_kept, src_pod_kept, dst_pod_kept, direction_kept
);

CREATE MATERIALIZED VIEW IF NOT EXISTS flows_minute_filled TO flows_minute AS
SELECT
    bucket AS time,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_labels_id,
    src_address_kept AS src_address,
    dst_address_kept AS dst_address,
    src_pod_kept AS src_pod,
    dst_pod_kept AS dst_pod,
    direction_kept AS direction,
    forward_packets_sum AS forward_packets,
    forward_bytes_sum AS forward_bytes,
    reverse_packets_sum AS reverse_packets,
    reverse_bytes_sum AS reverse_bytes,
    connections_started_sum AS connections_started,
    connections_ended_sum AS connections_ended,
    earliest AS first_seen,
    latest AS last_seen
FROM
(
SELECT
    toDateTime64(toStartOfMinute(time), 9, 'UTC') AS bucket,
    dst_port,
    protocol,
    verdict,
    deciding_rule,
    attribution,
    src_kind,
    src_namespace,
    src_workload_kind,
    src_workload,
    src_labels_id,
    dst_kind,
    dst_namespace,
    dst_workload_kind,
    dst_workload,
    dst_labels_id,
    if(src_workload = '' AND src_pod = '', src_address, toIPv6('::')) AS src_address_kept,
    if(dst_workload = '' AND dst_pod = '', dst_address, toIPv6('::')) AS dst_address_kept,
    if(src_workload = '', src_pod, '') AS src_pod_kept,
    if(dst_workload = '', dst_pod, '') AS dst_pod_kept,
    multiIf(egress_action = 'deny', 'egress', ingress_action != '', 'ingress', egress_action != '', 'egress', '') AS direction_kept,
    sum(forward_packets) AS forward_packets_sum,
    sum(forward_bytes) AS forward_bytes_sum,
    sum(reverse_packets) AS reverse_packets_sum,
    sum(reverse_bytes) AS reverse_bytes_sum,
    sum(connections_started) AS connections_started_sum,
    sum(connections_ended) AS connections_ended_sum,
    min(time) AS earliest,
    max(time) AS latest
FROM flows
WHERE NOT (reporter = 'src' AND verdict != 'denied' AND dst_node != '')
GROUP BY bucket, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_labels_id, src_address_kept, dst_address_kept, src_pod_kept, dst_pod_kept, direction_kept
);

CREATE OR REPLACE VIEW flows_counted AS
SELECT *
FROM flows
WHERE NOT (
    reporter = 'src' AND verdict != 'denied' AND dst_node != ''
    AND (dst_node, toStartOfHour(time)) GLOBAL IN (SELECT node, toStartOfHour(time) FROM completeness_hour WHERE 1)
);

CREATE OR REPLACE VIEW flows_minute_counted AS
SELECT time, edge, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction, forward_packets, forward_bytes, reverse_packets, reverse_bytes, connections_started, connections_ended, first_seen, last_seen
FROM flows_minute
UNION ALL
SELECT toDateTime64(toStartOfMinute(first_seen), 9, 'UTC') AS time, edge, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction, forward_packets, forward_bytes, reverse_packets, reverse_bytes, connections_started, connections_ended, first_seen, last_seen
FROM (SELECT time, cityHash64(cityHash64(src_kind), cityHash64(src_namespace), if(src_workload = '', cityHash64(src_pod), cityHash64(src_workload)), if(src_workload = '' AND src_pod = '', cityHash64(src_address), 0), cityHash64(dst_kind), cityHash64(dst_namespace), if(dst_workload = '', cityHash64(dst_pod), cityHash64(dst_workload)), if(dst_workload = '' AND dst_pod = '', cityHash64(dst_address), 0), dst_port, protocol, cityHash64(verdict), cityHash64(multiIf(egress_action = 'deny', 'egress', ingress_action != '', 'ingress', egress_action != '', 'egress', '')), cityHash64(deciding_rule), cityHash64(attribution)) AS edge, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, multiIf(egress_action = 'deny', 'egress', ingress_action != '', 'ingress', egress_action != '', 'egress', '') AS direction, forward_packets, forward_bytes, reverse_packets, reverse_bytes, connections_started, connections_ended, time AS first_seen, time AS last_seen FROM flows WHERE reporter = 'src' AND verdict != 'denied' AND dst_node != '' AND (toStartOfHour(time), dst_node) GLOBAL IN (
    SELECT toStartOfHour(time) AS hour, node FROM peers WHERE 1 AND (time, node) GLOBAL NOT IN (SELECT time, node FROM completeness_hour WHERE 1)
));

CREATE OR REPLACE VIEW flows_hour_counted AS
SELECT time, edge, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction, forward_packets, forward_bytes, reverse_packets, reverse_bytes, connections_started, connections_ended, first_seen, last_seen
FROM flows_hour
UNION ALL
SELECT time, edge, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction, forward_packets, forward_bytes, reverse_packets, reverse_bytes, connections_started, connections_ended, first_seen, last_seen
FROM (SELECT *, edge FROM flows_hour_mirrored WHERE (toStartOfHour(time), peer_node) GLOBAL IN (
    SELECT toStartOfHour(time) AS hour, node FROM peers WHERE 1 AND (time, node) GLOBAL NOT IN (SELECT time, node FROM completeness_hour WHERE 1)
));

CREATE OR REPLACE VIEW flows_day_counted AS
SELECT time, edge, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction, forward_packets, forward_bytes, reverse_packets, reverse_bytes, connections_started, connections_ended, first_seen, last_seen
FROM flows_day
UNION ALL
SELECT toDateTime64(toStartOfDay(first_seen), 9, 'UTC') AS time, edge, src_address, dst_address, dst_port, protocol, verdict, deciding_rule, attribution, src_kind, src_namespace, src_workload_kind, src_workload, src_pod, src_labels_id, dst_kind, dst_namespace, dst_workload_kind, dst_workload, dst_pod, dst_labels_id, direction, forward_packets, forward_bytes, reverse_packets, reverse_bytes, connections_started, connections_ended, first_seen, last_seen
FROM (SELECT *, edge FROM flows_hour_mirrored WHERE (toStartOfHour(time), peer_node) GLOBAL IN (
    SELECT toStartOfHour(time) AS hour, node FROM peers WHERE 1 AND (time, node) GLOBAL NOT IN (SELECT time, node FROM completeness_hour WHERE 1)
));
