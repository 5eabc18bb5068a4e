"""What holds from when until when."""

from __future__ import annotations

import pytest

from enrich import identity, terms

WEB = ("", "Service", "shop", "web")
EVER = identity.FOREVER


def _said(known: terms.Terms[str, int]) -> list[tuple[str, int, int, int]]:
    return [(term.key, term.value, term.valid_from, term.valid_to) for term in known.news()]


@pytest.fixture
def known() -> terms.Terms[str, int]:
    made: terms.Terms[str, int] = terms.Terms()
    made.say(WEB, {"a": 1, "b": 2}, at=100, updated=0, since=40)
    return made


def test_it_holds_since_it_was_made(known: terms.Terms[str, int]) -> None:
    assert _said(known) == [("a", 1, 40, EVER), ("b", 2, 40, EVER)]
    assert _said(known) == []


@pytest.mark.parametrize(
    ("updated", "began"),
    [
        pytest.param(150, 150, id="since it was written"),
        pytest.param(0, 200, id="since it was seen"),
        pytest.param(90, 200, id="not before it was seen otherwise"),
        pytest.param(250, 200, id="not later than it was seen"),
    ],
)
def test_what_is_said_otherwise_ends_what_held(
    known: terms.Terms[str, int], updated: int, began: int
) -> None:
    _said(known)
    known.say(WEB, {"a": 1, "b": 3, "c": 4}, at=200, updated=updated, since=40)
    assert _said(known) == [("b", 2, 40, began), ("b", 3, began, EVER), ("c", 4, began, EVER)]
    assert sorted(term.key for term in known.said()) == ["a", "b", "b", "c"]


def test_what_is_gone_has_ended(known: terms.Terms[str, int]) -> None:
    _said(known)
    known.gone_others(("", "Service"), [("shop", "web")], 300)
    known.gone_others(("", "Pod"), [], 300)
    assert _said(known) == []
    known.gone_others(("", "Service"), [], 300)
    known.gone(WEB, 400)
    assert _said(known) == [("a", 1, 40, 300), ("b", 2, 40, 300)]
    known.forget(300)
    assert known.said() == []


def test_what_is_primed_goes_on_since_when_it_did() -> None:
    known: terms.Terms[str, int] = terms.Terms()
    known.prime(WEB, terms.Term("a", 1, 5))
    known.prime(WEB, terms.Term("b", 1, 5))
    known.prime(WEB, terms.Term("c", 1, 2, 3))
    known.say(WEB, {"a": 1, "b": 2}, at=100, updated=0, since=40)
    assert _said(known) == [("b", 1, 5, 100), ("b", 2, 100, EVER)]
