from __future__ import annotations

import pytest

from model import errors
from store import chdb, exceptions, refusals

Meaning = refusals.Meaning


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        pytest.param("Code: 252. DB::Exception: Too many parts (TOO_MANY_PARTS)", Meaning.WAIT, id="parts"),
        pytest.param("Code: 241. DB::Exception: Memory limit exceeded", Meaning.WAIT, id="memory"),
        pytest.param("Code: 60. DB::Exception: Table x does not exist", Meaning.WAIT, id="not migrated"),
        pytest.param("Code: 516.\nDB::Exception: Authentication failed", Meaning.WAIT, id="password"),
        pytest.param("Code: 75. DB::ErrnoException: No space left on device", Meaning.WAIT, id="its disk"),
        pytest.param("Code: 16. DB::Exception: No such column x in table", Meaning.GIVE_UP, id="column"),
        pytest.param("Code: 47. DB::Exception: Unknown identifier", Meaning.GIVE_UP, id="identifier"),
        pytest.param("Code: 53. DB::Exception: Type mismatch", Meaning.GIVE_UP, id="type"),
        pytest.param("Code: 469. DB::Exception: Constraint is violated", Meaning.GIVE_UP, id="constraint"),
        pytest.param("Code: 49. DB::Exception: Logical error", Meaning.UNCLEAR, id="engine's own mistake"),
        pytest.param("the ledger has been closed", Meaning.UNCLEAR, id="no number"),
    ],
)
def test_meaning_follows_the_number(words: str, meaning: Meaning) -> None:
    assert refusals.meaning(exceptions.refusal(words)) is meaning


def test_ledger_that_is_away_is_waited_for() -> None:
    assert refusals.meaning(exceptions.unreachable("Connection refused")) is Meaning.WAIT


def test_what_says_that_it_is_temporary_is() -> None:
    assert refusals.meaning(errors.StoreError("x", code=16, temporary=True)) is Meaning.WAIT


def test_lists_are_apart() -> None:
    assert not refusals.GIVE_UP.keys() & exceptions.TEMPORARY.keys()


def test_codes_have_clickhouse_s_own_names(ledger: chdb.Embedded) -> None:
    listed = ", ".join(map(str, refusals.GIVE_UP))
    named = ledger.query(f"SELECT arrayJoin([{listed}]) AS code, errorCodeToName(code) AS name", {})
    assert {row["code"]: row["name"] for row in named.to_pylist()} == refusals.GIVE_UP
