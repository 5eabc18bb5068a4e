CREATE TABLE IF NOT EXISTS flows
(
    time DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    started DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    ended DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    node LowCardinality(String) CODEC(ZSTD(1)),
    origin LowCardinality(String) CODEC(ZSTD(1)),
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
    pending_verdict LowCardinality(String) CODEC(ZSTD(1)),
    pending_trace LowCardinality(String) CODEC(ZSTD(1)),
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
TTL toDate(time) + toIntervalDay(90)
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
TTL toDate(time) + toIntervalDay(90)
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
TTL toDate(time) + toIntervalDay(400)
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
TTL toDate(time) + toIntervalDay(400)
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
TTL toDate(time) + toIntervalDay(400)
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
TTL toDate(time) + toIntervalDay(90)
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
TTL toDate(time) + toIntervalDay(90)
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
TTL toDate(time) + toIntervalDay(400)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 300000;

CREATE TABLE IF NOT EXISTS peers
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    node LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, node)
TTL toDate(time) + toIntervalDay(400)
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
TTL toDate(greatest(valid_to, written)) + toIntervalDay(400) DELETE WHERE toUnixTimestamp64Nano(valid_to) > 0
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
TTL toDate(greatest(valid_to, written)) + toIntervalDay(400) DELETE WHERE toUnixTimestamp64Nano(valid_to) > 0
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
TTL toDate(greatest(valid_to, written)) + toIntervalDay(400) DELETE WHERE toUnixTimestamp64Nano(valid_to) > 0
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
