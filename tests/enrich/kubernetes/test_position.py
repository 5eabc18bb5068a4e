"""Where in the history of a kind we are."""

from __future__ import annotations

import pytest

from enrich.kubernetes import discovery, position

PLACE = discovery.Place("/api/v1/pods", "v1")


@pytest.mark.parametrize(
    ("revision", "known", "beyond"),
    [
        pytest.param("9", True, True, id="earlier, fewer digits"),
        pytest.param("10", True, False, id="ours"),
        pytest.param("11", False, False, id="later"),
        pytest.param("10/5", False, False, id="no number"),
        pytest.param("٩", False, False, id="digits of another script"),
    ],
)
def test_numbers_are_compared(revision: str, known: bool, beyond: bool) -> None:
    here = position.Position(PLACE, "10", {})
    assert (here.is_known("u", revision), here.is_beyond(revision)) == (known, beyond)


def test_goes_only_forward() -> None:
    here = position.Position(PLACE, "10", {})
    for revision in ("12", "11"):
        here.advance(revision, "u")
    assert here.revision == "12"


def test_texts_are_remembered_for_each_object() -> None:
    here = position.Position(PLACE, "1/", {"u": "1/2"})
    assert here.is_known("u", "1/2")
    here.advance("1/3", "u")
    assert (here.is_known("u", "1/2"), here.is_known("u", "1/3"), here.revision) == (False, True, "1/3")
    here.forget("u")
    assert not here.is_known("u", "1/3")
