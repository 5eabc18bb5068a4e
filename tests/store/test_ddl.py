from __future__ import annotations

import pathlib

from model import columns
from store import ddl


def test_schema_text_is_the_golden_one() -> None:
    """Whoever changes it raises SCHEMA_VERSION and writes the golden file anew."""
    golden = (pathlib.Path(__file__).parent / "ddl.sql").read_text()
    assert ";\n\n".join(ddl.statements()) + ";\n" == golden


def test_every_column_of_the_registry_is_stored() -> None:
    flows = ddl.statements()[0]
    for column in columns.COLUMNS:
        assert f"    {column.name} {column.clickhouse} CODEC({column.codec})" in flows


def test_retention_of_zero_days_keeps_for_ever() -> None:
    assert "TTL" not in "".join(ddl.statements(0))
    assert "toIntervalDay(7)" in ddl.statements(7)[0]
