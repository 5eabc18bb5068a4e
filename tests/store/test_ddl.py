from __future__ import annotations

import pathlib
from collections.abc import Callable

import pyarrow as pa
import pytest

from model import columns
from store import ddl, transport

Build = Callable[..., pa.RecordBatch]
MINUTE = 60_000_000_000

SUMS = ", ".join(f"sum({c.name}) AS {c.name}" for c in columns.COLUMNS if c.rollup is columns.Rollup.SUM)


def test_schema_text_is_the_golden_one() -> None:
    """Whoever changes it raises SCHEMA_VERSION, writes a migration, and writes the golden file anew."""
    golden = (pathlib.Path(__file__).parent / "ddl.sql").read_text()
    assert ";\n\n".join(ddl.statements()) + ";\n" == golden


def test_every_column_of_the_registry_is_stored() -> None:
    flows = ddl.statements()[0]
    for column in columns.COLUMNS:
        assert f"    {column.name} {column.clickhouse} CODEC({column.codec})" in flows


@pytest.mark.parametrize("at", [1, 2, 3, 4], ids=[*ddl.ROLLUPS, "flows_hour_mirrored"])
def test_rollups_keep_what_the_registry_says(at: int) -> None:
    rollup = ddl.statements()[at]
    for column in columns.COLUMNS:
        kept = column.rollup is not columns.Rollup.DROPPED or column.name == "time"
        kept |= at == 4 and column.name == "peer_node"
        assert (f"\n    {column.name} " in rollup) == kept


def test_every_table_keeps_inserts_and_remembers_tokens() -> None:
    made = [s for s in ddl.statements() if s.startswith("CREATE TABLE")]
    assert len(made) == len(ddl.STORED) + 1
    for statement in made:
        assert "fsync_after_insert = 1, fsync_part_directory = 1" in statement
        assert f"non_replicated_deduplication_window = {ddl.TOKENS}" in statement


def test_retention_of_zero_days_keeps_for_ever() -> None:
    assert "TTL" not in "".join(ddl.statements(ddl.ages(0)))
    assert "toIntervalDay(7)" in ddl.statements(ddl.ages(7))[0]
    assert "toIntervalDay(317)" in ddl.statements(ddl.ages(7))[2]


@pytest.mark.parametrize("table", ddl.ROLLUPS)
def test_rollup_adds_up_what_has_the_same_keys(
    owner: transport.Transport, flows: Build, hour: int, table: str
) -> None:
    owner.insert("flows", flows({"src_pod": "web-1"}, {"src_pod": "web-2", "time": hour + 5}))
    owner.insert("flows", flows({"src_port": 1, "src_address": "10.0.0.7"}, {"dst_port": 443}))
    asked = (
        "SELECT dst_port, sum(forward_bytes) AS bytes, toUnixTimestamp64Nano(min(time)) AS time, "
        "toUnixTimestamp64Nano(min(first_seen)) AS first, toUnixTimestamp64Nano(max(last_seen)) AS last, "
        f"any(src_pod) AS pod, any(src_address) AS address FROM {table} GROUP BY dst_port ORDER BY dst_port"
    )
    rows = [tuple(row.values()) for row in owner.query(asked, {}).to_pylist()]
    assert rows == [
        (80, 300, hour, hour + 1, hour + 5, "", bytes(16)),
        (443, 100, hour, hour + 1, hour + 1, "", bytes(16)),
    ]


def test_rollup_names_an_end_as_well_as_it_can(owner: transport.Transport, flows: Build) -> None:
    bare = {"dst_workload": "", "dst_pod": "bare"}
    stranger = {"dst_workload": "", "dst_pod": "", "dst_address": "192.0.2.1"}
    owner.insert("flows", flows({}, bare, stranger))
    asked = "SELECT dst_workload, dst_pod, toString(dst_address) AS a FROM flows_minute ORDER BY a, dst_pod"
    rows = [tuple(row.values()) for row in owner.query(asked, {}).to_pylist()]
    assert rows == [("cart", "", "::"), ("", "bare", "::"), ("", "", "::ffff:192.0.2.1")]


def test_minutes_and_hours_begin_where_they_should(
    owner: transport.Transport, flows: Build, hour: int
) -> None:
    owner.insert("flows", flows({"time": hour + MINUTE - 1}, {"time": hour + MINUTE}, {"time": hour - 1}))
    asked = "SELECT DISTINCT toUnixTimestamp64Nano(time) AS t FROM {} ORDER BY t"
    minutes = owner.query(asked.format("flows_minute"), {}).column("t").to_pylist()
    hours = owner.query(asked.format("flows_hour"), {}).column("t").to_pylist()
    assert minutes == [hour - MINUTE, hour, hour + MINUTE]
    assert hours == [hour - 60 * MINUTE, hour]


def test_same_token_counts_once_everywhere(owner: transport.Transport, flows: Build) -> None:
    """A batch over two days: a token is remembered for each partition."""
    batch = flows(*({"time": 1_767_225_600_000_000_000 + n * 60 * MINUTE, "dst_port": n} for n in range(48)))
    for _ in range(3):
        owner.insert("flows", batch, token="node-1/boot/7")
    for table in ("flows", *ddl.ROLLUPS):
        assert owner.query(f"SELECT {SUMS} FROM {table}", {}).to_pylist()[0]["connections_started"] == 48
    owner.insert("flows", batch, token="node-1/boot/8")
    owner.insert("flows", batch)
    for table in ("flows", *ddl.ROLLUPS):
        assert owner.query(f"SELECT {SUMS} FROM {table}", {}).to_pylist()[0]["connections_started"] == 144


def test_views_count_nothing_twice(
    owner: transport.Transport, flows: Build, completeness: Build, hour: int
) -> None:
    noon = hour + 12 * 60 * MINUTE
    over = {"node": "a", "reporter": "src", "dst_node": "b", "time": noon + 1}
    back = {"node": "b", "reporter": "dst", "src_node": "a", "time": noon + 1}
    owner.insert("flows", flows(over, back, {**over, "verdict": "denied"}, {**over, "dst_node": "silent"}))
    midnight = {"node": "silent", "time": hour + 1}  # and in no other hour of the day
    owner.insert("completeness", completeness({"node": "b", "time": noon + 9 * MINUTE}, midnight))
    for table in ("flows", *ddl.ROLLUPS):
        asked = f"SELECT sum(connections_started) AS c FROM {table}_counted"
        assert owner.query(asked, {}).column("c").to_pylist() == [3]
