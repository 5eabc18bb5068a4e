from __future__ import annotations

import pytest

from model import errors
from store import chdb, limits

MOST = limits.Limits(statement_seconds=10, statement_bytes=1000, answer_rows=100, answer_bytes=200)
AS_THEY_ARE = {
    "max_execution_time": 10, "max_memory_usage": 1000, "max_result_rows": 100, "max_result_bytes": 200,
    "result_overflow_mode": "throw",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"max_execution_time": "5"}, {"max_execution_time": 5}, id="less"),
        pytest.param({"max_execution_time": "0.5"}, {"max_execution_time": 1}, id="less than a second"),
        pytest.param({"max_execution_time": "11", "max_result_rows": "9" * 20}, {}, id="more"),
        pytest.param({"max_execution_time": "0", "max_memory_usage": ""}, {}, id="no limit"),
        pytest.param({"join_use_nulls": "1"}, {"join_use_nulls": "1"}, id="free"),
        pytest.param({"result_overflow_mode": "break"}, {"result_overflow_mode": "break"}, id="how it ends"),
        pytest.param({"query_id": "x", "param_x": "1", "wait_end_of_query": "1"}, {}, id="no settings"),
        pytest.param({"readonly": "2"}, {}, id="only reading"),
        pytest.param({"max_rows_to_group_by": "0"}, {}, id="as it is"),
    ],
)
def test_client_chooses_within_limits(
    ledger: chdb.Embedded, fields: dict[str, str], changed: dict[str, object]
) -> None:
    assert limits.settings(ledger, fields, MOST) == {**AS_THEY_ARE, **changed}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"nope": "1"}, 115, id="unknown"),
        pytest.param({"max_rows_to_group_by": "7"}, 164, id="not the client's"),
        pytest.param({"readonly": "0"}, 164, id="writing"),
        pytest.param({"format_template_row": "/etc/passwd"}, 164, id="a file"),
        pytest.param({"max_result_rows": "many"}, 72, id="no number"),
        pytest.param({"max_result_rows": "-1"}, 72, id="below zero"),
        pytest.param({"max_result_rows": "٣"}, 72, id="a digit of another script"),
    ],
)
def test_other_settings_are_refused(ledger: chdb.Embedded, fields: dict[str, str], code: int) -> None:
    with pytest.raises(errors.StoreError) as caught:
        limits.settings(ledger, fields, MOST)
    assert caught.value.code == code


def test_every_choice_is_a_setting_of_the_engine(ledger: chdb.Embedded) -> None:
    known = ledger.query("SELECT name FROM system.settings", {}).column("name").to_pylist()
    assert set(known) >= limits.CHOSEN
