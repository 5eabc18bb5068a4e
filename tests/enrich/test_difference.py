"""What has to be written by who goes on where another has ended."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

from hypothesis import given

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import told

from enrich import changes, difference, identity
from model import address, enums

EVER = identity.FOREVER
POD = identity.Identity(kind=enums.EndpointKind.POD, pod="web")


def _claim(uid: str = "u", start: int = 10, end: int = EVER) -> identity.Claim:
    return identity.Claim(
        address=address.pack("10.0.0.1"),
        uid=uid,
        identity=POD,
        valid_from=start,
        sure_from=start,
        sure_to=end,
        valid_to=end,
    )


def _difference(said: list[identity.Claim], written: list[identity.Claim]) -> list[identity.Claim]:
    made = [changes.Changes(claims=tuple(claims)) for claims in (said, written)]
    return list(difference.difference(*made, alive=50, at=60).claims)


def test_what_is_written_as_it_is_known_is_not_written_again() -> None:
    assert _difference([_claim()], [_claim()]) == []


def test_what_is_known_otherwise_is_written() -> None:
    assert _difference([_claim(end=40), _claim("v")], [_claim()]) == [_claim(end=40), _claim("v")]


def test_what_nobody_knows_any_more_has_ended() -> None:
    assert _difference([], [_claim()]) == [dataclasses.replace(_claim(), sure_to=50, valid_to=60)]


def test_what_is_known_since_another_time_is_taken_back() -> None:
    assert _difference([_claim(start=11)], [_claim()]) == [
        dataclasses.replace(_claim(), sure_to=10, valid_to=10),
        _claim(start=11),
    ]


def test_what_is_written_as_ended_stays() -> None:
    assert _difference([], [_claim(end=30)]) == []
    assert _difference([_claim(start=30)], [_claim(end=30)]) == [_claim(start=30)]


@given(told.CHANGES, told.CHANGES)
def test_then_what_is_written_says_what_is_known(said: changes.Changes, written: changes.Changes) -> None:
    """All that is known is there, but for ends that others knew better; and of all else nothing lasts."""
    more = difference.difference(said, written, alive=45, at=60)
    for before, now, known, key in (
        (written.claims, more.claims, said.claims, told.claim_key),
        (written.ports, more.ports, said.ports, told.port_key),
        (written.revisions, more.revisions, said.revisions, told.revision_key),
    ):
        kept = {key(one): one for one in (*before, *now)}
        ended = {key(one) for one in before if one.valid_to != EVER}
        mine = {key(one): one for one in known if one.valid_to == EVER or key(one) not in ended}
        assert mine.items() <= kept.items()
        others = [one for which, one in kept.items() if which not in {key(one) for one in known}]
        assert all(one.valid_to != EVER for one in others)
        assert difference.difference(said, _after(written, more), alive=45, at=60) == changes.Changes()


def _after(written: changes.Changes, more: changes.Changes) -> changes.Changes:
    claims = {told.claim_key(one): one for one in (*written.claims, *more.claims)}
    ports = {told.port_key(one): one for one in (*written.ports, *more.ports)}
    revisions = {told.revision_key(one): one for one in (*written.revisions, *more.revisions)}
    return changes.Changes(
        claims=tuple(claims.values()), ports=tuple(ports.values()), revisions=tuple(revisions.values())
    )


def test_end_that_is_written_is_known_better_than_one_that_was_found_later() -> None:
    assert _difference([_claim(end=45)], [_claim(end=30)]) == []
    assert _difference([_claim()], [_claim(end=30)]) == [_claim()]


def test_what_is_affected_is_what_is_said_otherwise_than_before() -> None:
    one, other = address.pack("10.0.0.1"), address.pack("10.0.0.2")
    elsewhere = dataclasses.replace(_claim("w", start=7), address=other)
    assert difference.affected([_claim()], [_claim()], {one}) == {}
    assert difference.affected([_claim()], [_claim(end=40)], {one}) == {one: 40}
    assert difference.affected([_claim()], [_claim(), _claim("v", 20), elsewhere], {one}) == {one: 20}
    assert difference.affected([], [elsewhere], {one, other}) == {other: 7}
