from __future__ import annotations

import pickle

import pytest

from store import chdb, exceptions


def test_codes_have_clickhouse_s_own_names(ledger: chdb.Embedded) -> None:
    listed = ", ".join(map(str, exceptions.TEMPORARY))
    named = ledger.query(f"SELECT arrayJoin([{listed}]) AS code, errorCodeToName(code) AS name", {})
    assert {row["code"]: row["name"] for row in named.to_pylist()} == exceptions.TEMPORARY


@pytest.mark.parametrize(
    ("words", "given", "code", "temporary", "text"),
    [
        pytest.param(
            "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS) (version 26.7 (official build))\n",
            0, 252, True, "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", id="HTTP",
        ),
        pytest.param(
            "DB::Exception: default: readonly. Stack trace:\n\n0. ? @ 0x1\n", 164, 164, True,
            "Code: 164. DB::Exception: default: readonly (READONLY)", id="native",
        ),
        pytest.param("Code: 62. DB::Exception: Syntax error", 0, 62, False,
                     "Code: 62. DB::Exception: Syntax error", id="the statement's own fault"),
        pytest.param("no engine", 0, 0, False, "no engine", id="no code"),
    ],
)  # fmt: skip
def test_words_become_an_error(words: str, given: int, code: int, temporary: bool, text: str) -> None:
    error = exceptions.refusal(words, given)
    assert (str(error), error.code, error.temporary) == (text, code, temporary)


def test_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(exceptions.unreachable("away")))
    assert (str(error), error.code, error.temporary) == ("away", 0, True)
