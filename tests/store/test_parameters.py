from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import chdb, parameters


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.text(st.characters(codec="utf-8")))
def test_value_arrives_as_it_was(ledger: chdb.Embedded, value: str) -> None:
    found = ledger.query("SELECT hex({p:String}) AS h", {"p": value})
    assert bytes.fromhex(found.column("h")[0].as_py()) == value.encode()


def test_what_a_client_has_written_stays_so() -> None:
    assert parameters.encode({"p": parameters.Written("['a\\'b']")}) == {"p": "['a\\'b']"}


@pytest.mark.parametrize("value", ["lz4", "it's", "\\'; DROP TABLE flows", "\\"])
def test_assigned_setting_is_one_value(ledger: chdb.Embedded, value: str) -> None:
    assigned = parameters.assigned({"log_comment": value})
    with chdb._borrowed(ledger._writers) as writer:  # readers refuse settings
        sql = f"SELECT getSetting('log_comment') AS v SETTINGS {assigned}"
        assert writer.query(sql, "ArrowTable").column("v")[0].as_py() == value


@pytest.mark.parametrize("name", ["", "a b", "readonly = 0, x", "ü", "A"])
def test_name_that_is_no_setting_s_is_not_pasted(name: str) -> None:
    with pytest.raises(ValueError, match="is no setting"):
        parameters.assigned({name: "1"})


def test_numbers_are_written_as_text() -> None:
    assert parameters.encode({"p": 7}) == {"p": "7"}
