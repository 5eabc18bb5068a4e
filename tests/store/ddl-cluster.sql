CREATE OR REPLACE TABLE flows AS `ledger_local`.flows
ENGINE = Distributed('flowledger', 'ledger_local', 'flows', cityHash64(src_address, src_port, dst_address, dst_port, protocol));

CREATE OR REPLACE TABLE label_sets AS `ledger_local`.label_sets
ENGINE = Distributed('flowledger', 'ledger_local', 'label_sets', cityHash64(labels_id));

CREATE OR REPLACE TABLE completeness AS `ledger_local`.completeness
ENGINE = Distributed('flowledger', 'ledger_local', 'completeness', cityHash64(node));

CREATE OR REPLACE TABLE policy_hits AS `ledger_local`.policy_hits
ENGINE = Distributed('flowledger', 'ledger_local', 'policy_hits', cityHash64(node));

CREATE OR REPLACE TABLE endpoints AS `ledger_local`.endpoints
ENGINE = Distributed('flowledger', 'ledger_local', 'endpoints', cityHash64(address));

CREATE OR REPLACE TABLE services AS `ledger_local`.services
ENGINE = Distributed('flowledger', 'ledger_local', 'services', cityHash64(address));

CREATE OR REPLACE TABLE policies AS `ledger_local`.policies
ENGINE = Distributed('flowledger', 'ledger_local', 'policies', cityHash64(kind, api_group, namespace, name));

CREATE OR REPLACE TABLE watched AS `ledger_local`.watched
ENGINE = Distributed('flowledger', 'ledger_local', 'watched', cityHash64(source));

CREATE OR REPLACE TABLE flows_minute AS `ledger_local`.flows_minute
ENGINE = Distributed('flowledger', 'ledger_local', 'flows_minute');

CREATE OR REPLACE TABLE flows_hour AS `ledger_local`.flows_hour
ENGINE = Distributed('flowledger', 'ledger_local', 'flows_hour');

CREATE OR REPLACE TABLE flows_day AS `ledger_local`.flows_day
ENGINE = Distributed('flowledger', 'ledger_local', 'flows_day');

CREATE OR REPLACE TABLE flows_hour_mirrored AS `ledger_local`.flows_hour_mirrored
ENGINE = Distributed('flowledger', 'ledger_local', 'flows_hour_mirrored');

CREATE OR REPLACE TABLE peers AS `ledger_local`.peers
ENGINE = Distributed('flowledger', 'ledger_local', 'peers');

CREATE OR REPLACE TABLE completeness_hour AS `ledger_local`.completeness_hour
ENGINE = Distributed('flowledger', 'ledger_local', 'completeness_hour');

CREATE OR REPLACE TABLE schema_migrations AS `ledger_local`.schema_migrations
ENGINE = Distributed('flowledger', 'ledger_local', 'schema_migrations');

CREATE OR REPLACE TABLE shards (dummy UInt8)
ENGINE = Distributed('flowledger', 'system', 'one')
SETTINGS skip_unavailable_shards = 1;
