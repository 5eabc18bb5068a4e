from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from store import parameters


@given(st.text())
def test_decode_undoes_encode(value: str) -> None:
    assert parameters.decode(parameters.encode({"p": value})["p"]) == value


def test_numbers_are_written_as_text() -> None:
    assert parameters.encode({"p": 7}) == {"p": "7"}
