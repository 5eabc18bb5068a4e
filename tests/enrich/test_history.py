"""Random histories of pods and addresses, and what becomes of them by late, lost and reordered news."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enrich import history, identity, lives, names
from model import address, enums, manifest

MILLI = 1_000_000
SECOND = 1_000 * MILLI
EPOCH = 1_767_225_600 * SECOND  # 2026-01-01
TOLERANCE = 400 * MILLI
ADDRESSES = ("10.0.0.1", "10.0.0.2", "fd00::1")


@dataclasses.dataclass(frozen=True)
class Owner:
    """What was really so, by the node's clock: a pod had an address from ``begin`` to ``end``.

    Times are in ms since ``EPOCH``.
    """

    name: str
    address: str
    begin: int
    end: int
    started: int
    how: str
    asked: int
    finished: int
    removed: int

    @property
    def alive(self) -> bool:
        return self.how == "alive"


@dataclasses.dataclass(frozen=True)
class Heard:
    """A piece of news, and when it came, by our clock."""

    at: int
    owner: Owner
    version: int
    body: dict[str, Any] | None
    """None where a list no longer has it."""
    deleted: bool = False


ALIVE = 10**9


@st.composite
def owners(draw: st.DrawFn, text: str) -> list[Owner]:
    """Whose an address was, one after the other, often without a gap."""
    found, at = [], draw(st.integers(0, 3000))
    for number in range(draw(st.integers(0, 4))):
        begin = at + draw(st.just(0) | st.integers(0, 4000))
        length = draw(st.integers(1, 500) | st.integers(1, 60_000))
        how = draw(st.sampled_from(["asked", "forced", "finished", "alive"]))
        end = ALIVE if how == "alive" else begin + length
        asked = end - draw(st.integers(0, min(length, 5000)))
        finished = (
            draw(st.integers(asked, end))
            if how == "asked"
            else end - draw(st.integers(0, min(length, 29_000)))
        )
        removed = {
            "asked": end + draw(st.integers(0, 3000)),
            "forced": end - draw(st.integers(0, min(length, 29_000))),
            "finished": end + draw(st.integers(0, 20_000)),
            "alive": ALIVE,
        }[how]  # fmt: skip
        found.append(Owner(
            name=f"{text}-{number}", address=text, begin=begin, end=end, how=how, finished=finished,
            started=begin - draw(st.integers(0, 2000)), removed=removed,
            asked=removed if how == "forced" else asked,
        ))  # fmt: skip
        if how == "alive":
            break
        at = end
    return found


def _stamp(milliseconds: int) -> str:
    """As Kubernetes writes a time: seconds, what is beyond them cut off."""
    seconds = milliseconds // 1000
    return f"2026-01-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


BASE = 60_000
"""Milliseconds that all is moved by, so that no time is before the day."""


def _pod(owner: Owner, version: int, label: str, api: int, **wanted: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": owner.name, "namespace": "shop", "uid": owner.name, "resourceVersion": str(version),
        "labels": {"v": label}, "creationTimestamp": _stamp(BASE + owner.started - 1500 + api),
    }  # fmt: skip
    status: dict[str, Any] = {"phase": "Pending"}
    if wanted.get("running") or wanted.get("known"):
        status = {"phase": "Running", "podIPs": [{"ip": owner.address}],
                  "startTime": _stamp(BASE + owner.started)}  # fmt: skip
    if wanted.get("running"):
        status["containerStatuses"] = [{"state": {"running": {"startedAt": _stamp(BASE + owner.begin)}}}]
    if wanted.get("asked"):
        grace = 0 if owner.how == "forced" else 30
        metadata |= {"deletionTimestamp": _stamp(BASE + owner.asked + api + grace * 1000),
                     "deletionGracePeriodSeconds": grace}  # fmt: skip
    if wanted.get("finished"):
        ended = {"state": {"terminated": {"finishedAt": _stamp(BASE + owner.finished)}}}
        status |= {"containerStatuses": [ended]}
        if owner.how == "finished":
            status["phase"] = "Succeeded"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}


@st.composite
def told(draw: st.DrawFn, owner: Owner, number: int, api: int, ours: int) -> list[Heard]:
    """What is heard of a pod: later than it was, not all of it, and perhaps something twice."""
    version = number * 100
    said: list[tuple[int, dict[str, Any], bool]] = [
        (owner.started, _pod(owner, version, "a", api), False),
        (owner.begin, _pod(owner, version + 1, "a", api, known=True), False),
        (owner.begin, _pod(owner, version + 2, "a", api, running=True), False),
        (owner.begin, _pod(owner, version + 3, draw(st.sampled_from("ab")), api, running=True), False),
    ]
    label = said[-1][1]["metadata"]["labels"]["v"]
    if owner.how == "asked":
        said.append((owner.asked, _pod(owner, version + 4, label, api, running=True, asked=True), False))
    if owner.how in ("asked", "finished") and draw(st.booleans()):
        last = _pod(owner, version + 5, label, api, running=True, finished=True, asked=owner.how == "asked")
        said.append((owner.finished, last, False))
    if not owner.alive:
        ended = owner.how == "finished" or said[-1][1]["metadata"]["resourceVersion"] == str(version + 5)
        asked = owner.how in ("asked", "forced")
        final = _pod(owner, version + 6, label, api, running=True, asked=asked, finished=ended)
        said.append((owner.removed, final, True))
    heard, at = [], 0
    for place, (moment, body, deleted) in enumerate(said):
        at = max(at, moment + draw(st.just(0) | st.integers(0, 10_000)))
        when = EPOCH + (BASE + at + ours) * MILLI
        revision = int(body["metadata"]["resourceVersion"])
        if deleted and draw(st.booleans()):
            heard.append(Heard(when, owner, revision, None))
        elif deleted or place == 2 or draw(st.booleans()):
            heard.append(Heard(when, owner, revision, body, deleted))
    return heard


@dataclasses.dataclass(frozen=True)
class World:
    owners: tuple[Owner, ...]
    heard: tuple[Heard, ...]
    learned: frozenset[int]
    """After which pieces of news names are learned, so that what follows is late."""


@st.composite
def worlds(draw: st.DrawFn) -> World:
    api, ours = (draw(st.integers(-TOLERANCE // MILLI // 2, TOLERANCE // MILLI // 2)) for _ in range(2))
    everybody = [owner for text in ADDRESSES for owner in draw(owners(text))]
    heard = [
        piece for number, owner in enumerate(everybody) for piece in draw(told(owner, number, api, ours))
    ]
    heard.sort(key=lambda piece: piece.at)
    # old states come again, as from a list that began before
    again = [draw(st.sampled_from(heard)) for _ in range(draw(st.integers(0, 3)))] if heard else []
    for piece in again:
        if piece.body and not piece.deleted:
            place = draw(st.integers(heard.index(piece), len(heard)))
            late = max(piece.at, heard[place - 1].at) if place else piece.at
            heard.insert(place, dataclasses.replace(piece, at=late))
    return World(tuple(everybody), tuple(heard), frozenset(draw(st.sets(st.integers(0, 60)))))


def _document(body: dict[str, Any]) -> manifest.Document:
    return manifest.Document("pods", 1, body)


def _played(world: World) -> tuple[history.History, names.Names]:
    """What is known once all news have come."""
    known, learned = history.History(lives.Clock(tolerance=TOLERANCE)), names.Names()
    present: dict[str, tuple[str, str, str]] = {}
    for place, piece in enumerate(world.heard):
        name = piece.owner.name
        if piece.body is None:
            present.pop(name, None)
            known.listed("", "Pod", list(present.values()), 0, piece.at)
        elif piece.deleted:
            present.pop(name, None)
            known.gone(_document(piece.body), piece.at)
        else:
            present[name] = ("shop", name, name)
            known.changed(_document(piece.body), piece.at)
        if place in world.learned:
            learned.take(known.news())
    learned.take(known.news())
    return known, learned


def _asked(learned: names.Names, text: str, moments: Sequence[int]) -> list[identity.Identity]:
    packed = np.frombuffer(address.pack(text) * len(moments), np.uint8).reshape(-1, 16)
    who = learned.enricher.who
    return list(who.identities.some(who.find(packed, np.array(moments, np.int64))))


def _moments(world: World) -> list[int]:
    marks = {
        mark for owner in world.owners for mark in (owner.begin, owner.end, owner.removed) if mark < ALIVE
    }
    near = {mark + by for mark in marks for by in (-5000, -700, -1, 0, 1, 700, 1600, 5000)}
    return [EPOCH + (BASE + moment) * MILLI for moment in sorted(near)]


@given(worlds())
def test_no_name_is_wrong(world: World) -> None:
    _, learned = _played(world)
    for text in ADDRESSES:
        chain = [owner for owner in world.owners if owner.address == text]
        moments = _moments(world)
        for moment, found in zip(moments, _asked(learned, text, moments), strict=True):
            at = (moment - EPOCH) // MILLI - BASE
            had = next((owner for owner in chain if owner.begin <= at < owner.end), None)
            if had and found.kind is enums.EndpointKind.POD:
                assert found.pod == had.name
            if had and _certain(world, had, at):
                assert found.pod == had.name


def _certain(world: World, owner: Owner, at: int) -> bool:
    """Whether a pod is so far from its beginning and its end that nothing else may be said of it.

    Its end must have been told: of one that has vanished it is not known when it did.
    """
    slack = 2 * TOLERANCE // MILLI + 1000
    ends = any(
        piece.owner == owner and piece.body and "deletionTimestamp" in piece.body["metadata"]
        for piece in world.heard
    )
    return owner.begin + slack <= at and (owner.alive or (ends and at < owner.asked - slack))


@given(worlds())
def test_what_is_learned_bit_by_bit_is_what_is_said_in_the_end(world: World) -> None:
    known, learned = _played(world)
    at_once = names.Names()
    at_once.take(known.said())
    for text in ADDRESSES:
        moments = _moments(world)
        expected = [_slowly(known.said().claims, address.pack(text), moment) for moment in moments]
        assert _asked(learned, text, moments) == _asked(at_once, text, moments) == expected


def _slowly(claims: Sequence[identity.Claim], packed: bytes, moment: int) -> identity.Identity:
    """Who had an address, by asking every claim."""
    here = [claim for claim in claims if claim.address == packed]
    sure = {c.identity for c in here if c.sure_from <= moment < c.sure_to}
    maybe = {c.identity for c in here if c.valid_from <= moment < c.valid_to}
    for candidates in (sure, maybe):
        if candidates:
            return candidates.pop() if len(candidates) == 1 else identity.AMBIGUOUS
    return identity.PRIVATE
