from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from model import columns
from store import ddl, status, transport

Build = Callable[..., pa.RecordBatch]
DAY = 86_400_000_000_000


def test_empty_ledger_has_a_status(asker: transport.Transport) -> None:
    found = status.read(asker)
    assert (found.schema, found.span, found.summary) == (ddl.SCHEMA_VERSION, None, None)
    assert found.tables.column("table").to_pylist() in ([], ["schema_migrations"])


def test_status_says_what_is_there(
    ledger: transport.Transport, url: str, flows: Build, completeness: Build, hour: int
) -> None:
    ledger.command("ALTER TABLE flows MODIFY SETTING min_bytes_for_wide_part = 0", {})
    ledger.insert("flows", flows({}, {"time": hour + DAY}, {"verdict": "denied"}))
    ledger.command("ALTER TABLE flows RESET SETTING min_bytes_for_wide_part", {})
    ledger.insert("completeness", completeness({"observed": 99, "lost": 1, "time": hour + 5}))
    found = status.read(transport.open(url))
    tables = {row["table"]: row for row in found.tables.to_pylist()}
    assert tables["flows"]["rows"] == 3
    assert (tables["flows"]["oldest"], tables["flows"]["newest"]) == ("2026-01-01", "2026-01-02")
    assert (tables["flows_hour"]["oldest"], tables["flows"]["partitions"]) == ("202601", 2)
    assert found.bytes == sum(row["bytes"] for row in tables.values())
    assert sorted(found.columns.column("column").to_pylist()) == sorted(c.name for c in columns.COLUMNS)
    assert found.span is not None
    assert found.summary is not None
    assert (found.span.start, found.span.end) == (hour + 1, hour + DAY + 1)
    assert (found.summary.denied, found.summary.completeness) == (1, 0.99)
    assert str(found.completeness) == "99.00 % complete: 1 event lost on n"


@pytest.mark.parametrize("table", ["schema_migrations"])
def test_ledger_of_another_version_is_refused(ledger: transport.Transport, table: str) -> None:
    ledger.command(f"INSERT INTO {table} VALUES (999, now64(3))", {})
    try:
        with pytest.raises(status.migrations.errors.StoreError, match="999"):
            status.read(ledger)
    finally:
        ledger.command(f"ALTER TABLE {table} DELETE WHERE version = 999 SETTINGS mutations_sync = 1", {})
