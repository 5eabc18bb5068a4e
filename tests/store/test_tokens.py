"""The log of tokens, as a kill between its line and the part leaves it."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable

import pyarrow as pa
import pytest
from clickhouse_server import Server

from store import ddl, migrations, native, tokens

Build = Callable[..., pa.RecordBatch]
KILLED = "1\t20260101_7_7_0\t20260101_1_2\n"
OLDER = "1\t20260101_6_6_0\t20260101_3_4\n"


@pytest.mark.parametrize("table", ["flows", "flows_minute", "flows_hour"])
def test_rows_whose_part_was_not_yet_there_are_taken_again(mortal: Server, flows: Build, table: str) -> None:
    ledger = native.Server(mortal.native_url)
    migrations.bring_up_to_date(ledger, ddl.ages(0))
    ledger.insert("flows", flows({}), token="1")
    sql = f"SELECT path AS p FROM system.parts WHERE table = '{table}' AND active AND database = 'default'"
    (part,) = ledger.query(sql, {}).column("p").to_pylist()
    mortal.kill()
    shutil.rmtree(part)
    assert tokens.mend(mortal.data) == [
        pathlib.Path(part).parent / "deduplication_logs" / "deduplication_log_1.txt"
    ]
    assert tokens.mend(mortal.data) == []
    mortal.start()
    ledger.insert("flows", flows({}), token="1")
    for one in ("flows", "flows_minute", "flows_hour"):
        count = ledger.query(f"SELECT sum(connections_started) AS c FROM {one}", {}).column("c").to_pylist()
        assert count == [1], one
    ledger.close()


@pytest.mark.parametrize(
    ("last", "parts", "left"),
    [
        pytest.param(KILLED, [], OLDER, id="no part"),
        pytest.param(KILLED, ["tmp_insert_20260101_7_7_0", "20260102_7_7_0", "20260101_1_6_2"], OLDER,
                     id="parts of others"),
        pytest.param(KILLED, ["20260101_7_7_0"], OLDER + KILLED, id="the part"),
        pytest.param(KILLED, ["20260101_1_9_2_11"], OLDER + KILLED, id="merged and mutated"),
        pytest.param("2\t20260101_7_7_0\t20260101_1_2\n", [], OLDER + "2\t20260101_7_7_0\t20260101_1_2\n",
                     id="taken out already"),
        pytest.param("nonsense\n", [], OLDER + "nonsense\n", id="not understood"),
    ],
)  # fmt: skip
def test_last_token_is_taken_out_where_its_rows_are_missing(
    tmp_path: pathlib.Path, last: str, parts: list[str], left: str
) -> None:
    table = tmp_path / "store" / "abc" / "abcdef"
    logs = table / "deduplication_logs"
    logs.mkdir(parents=True)
    (logs / "deduplication_log_9.txt").write_text("1\t20260101_5_5_0\t20260101_5_6\n")
    (logs / "deduplication_log_10.txt").write_text(OLDER + last)
    (logs / "deduplication_log_11.txt").touch()
    for part in parts:
        (table / part).mkdir()
    tokens.mend(tmp_path)
    assert (logs / "deduplication_log_10.txt").read_text() == left
