"""From what was seen of a pod to what it claimed, case by case; random histories are in test_history."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import identity, lives
from model import enums

S = lives.SECOND
EVER = identity.FOREVER
ONE, TWO = b"\1" * 16, b"\2" * 16
POD = identity.Identity(kind=enums.EndpointKind.POD, namespace="shop", pod="web", labels_id=1)
RELABELLED = dataclasses.replace(POD, labels_id=2)
LAX = lives.Clock(tolerance=S // 2)
STRICT = lives.Clock()
EXACT = lives.Clock(exact=True)


def seen(at: int, *addresses: bytes, **more: Any) -> lives.Seen:
    given = {"at": at * S, "addresses": addresses or (ONE,), "who": POD, "started": 10 * S}
    return lives.Seen(**(given | more))


def gone(at: int, alive: int = 0) -> lives.Gone:
    return lives.Gone(alive=alive * S, at=at * S)


Spans = list[tuple[bytes, int, float, float, float, float]]
CASES: dict[str, tuple[lives.Clock, list[lives.Seen], lives.Gone | None, Spans]] = {
    "running, seen soon": (STRICT, [seen(12)], None, [(ONE, 1, 10, 12, EVER, EVER)]),
    "running, its kubelet tells since when": (
        STRICT, [seen(15, ready=11 * S)], None, [(ONE, 1, 10, 12, EVER, EVER)]
    ),
    "no address yet": (STRICT, [lives.Seen(at=S, addresses=(), who=POD)], None, []),
    "both families": (
        STRICT, [seen(12, ONE, TWO)], None, [(ONE, 1, 10, 12, EVER, EVER), (TWO, 1, 10, 12, EVER, EVER)]
    ),
    "clocks may differ": (
        LAX, [seen(12)], gone(20, alive=18), [(ONE, 1, 9.5, 12.5, 17.5, 50.5)]
    ),
    "asked to end": (STRICT, [seen(12), seen(20, asked=19 * S)], None, [(ONE, 1, 10, 12, 19, EVER)]),
    "ended as asked": (
        STRICT, [seen(12), seen(20, asked=19 * S, finished=21 * S)], gone(23), [(ONE, 1, 10, 12, 19, 23)]
    ),
    "removed by force": (STRICT, [seen(12), seen(20, asked=20 * S)], gone(20), [(ONE, 1, 10, 12, 20, 50)]),
    "finished Job": (
        STRICT, [seen(12), seen(33, ended=True, finished=30 * S)], None, [(ONE, 1, 10, 12, 30, 61)]
    ),
    "evicted, and nobody says when": (
        STRICT, [seen(12, ready=11 * S), seen(33, ready=11 * S, ended=True)], None, [(ONE, 1, 10, 12, 11, 63)]
    ),
    "vanished unseen": (STRICT, [seen(12)], gone(40, alive=25), [(ONE, 1, 10, 12, 25, 70)]),
    "address changed": (
        STRICT, [seen(12, ready=11 * S), seen(40, TWO)], None,
        [(ONE, 1, 10, 12, 11, 40), (TWO, 1, 10, 40, EVER, EVER)],
    ),
    "labels changed": (
        STRICT, [seen(12), seen(20, who=RELABELLED, updated=18 * S)], None,
        [(ONE, 1, 10, 12, 18, 18), (ONE, 2, 18, 18, EVER, EVER)],
    ),
    "labels changed, nobody says when": (
        STRICT, [seen(12), seen(20, who=RELABELLED)], None,
        [(ONE, 1, 10, 12, 20, 20), (ONE, 2, 20, 20, EVER, EVER)],
    ),
    "as a manifest writes it": (EXACT, [seen(99)], None, [(ONE, 1, 10, 10, EVER, EVER)]),
    "as a manifest writes its end": (
        EXACT, [seen(99), seen(99, ended=True, finished=20 * S)], None, [(ONE, 1, 10, 10, 20, 20)]
    ),
    "its manifest is gone": (EXACT, [seen(12)], gone(30, alive=28), [(ONE, 1, 10, 10, 28, 30)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_life_makes_claims(name: str) -> None:
    clock, sightings, end, spans = CASES[name]
    found = lives.claims("u", sightings, end, clock)
    assert [
        (c.address, c.identity.labels_id, c.valid_from, c.sure_from, c.sure_to, c.valid_to) for c in found
    ] == [(a, labels, *(t if t == EVER else int(t * S) for t in times)) for a, labels, *times in spans]


def test_container_that_starts_again_tells_nothing_new() -> None:
    before, after = seen(12, ready=11 * S), seen(90, ready=80 * S)
    assert before.until(after) == before
    assert after.until(seen(95, ready=11 * S)) == dataclasses.replace(after, ready=11 * S)
    assert before.until(seen(90, TWO)) is None


@st.composite
def lasting(draw: st.DrawFn) -> list[lives.Seen]:
    """A pod that goes on, or is asked to end; its labels change now and then."""
    at, found = 12, []
    addresses = draw(st.sampled_from([(ONE,), (ONE, TWO)]))
    for number in range(draw(st.integers(1, 4))):
        at += draw(st.integers(1, 5))
        who = dataclasses.replace(POD, labels_id=number + 1)
        found.append(seen(at, *addresses, who=who))
    if draw(st.booleans()):
        found.append(dataclasses.replace(found[-1], at=(at + 3) * S, asked=(at + 2) * S))
    return found


@given(lasting(), st.sampled_from([LAX, STRICT, EXACT]))
def test_claims_that_alone_are_left_are_made_again(sightings: list[lives.Seen], clock: lives.Clock) -> None:
    said = lives.claims("u", sightings, None, clock)
    assert lives.claims("u", lives.remembered(said, clock), None, clock) == said
