"""The life of something that has addresses: from what was seen of it to claims.

A pod's address is older than the API server's word of it, and may be somebody else's before the API server
knows that the pod is gone. So each sighting narrows down what must have been so before it and after it; what
stays open is said by a claim's two spans (`identity.Claim`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from enrich import identity

SECOND = 1_000_000_000
LINGER = 30 * SECOND
"""How long a pod whose end was not seen may still have its address: kubelet's usual grace."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What it was for a while. Times are in ns since 1970, 0 where unknown.

    What is heard may be old: that a pod had an address when we heard so is not sure. But it had it before.

    Attributes:
        at: When it was first seen so, by our clock.
        updated: When it was made so, by the API server's clock.
        addresses: What it had, 16 bytes each.
        who: What it was.
        started: Since when it may have had its addresses.
        ready: Since when it surely had.
        asked: When it was asked to end.
        ended: Whether it has ended, and gives its addresses up.
        finished: When it ended.
    """

    at: int
    updated: int = 0
    addresses: tuple[bytes, ...]
    who: identity.Identity
    started: int = 0
    ready: int = 0
    asked: int = 0
    ended: bool = False
    finished: int = 0

    def until(self, later: Seen) -> Seen | None:
        """Both sightings as one; None where they differ.

        A container that starts again is no difference: its pod had its addresses all the time.
        """
        ready = min((one for one in (self.ready, later.ready) if one), default=0)
        both = dataclasses.replace(self, ready=ready)
        return (
            both
            if both == dataclasses.replace(later, at=self.at, updated=self.updated, ready=ready)
            else None
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """It is not there any more.

    Attributes:
        alive: When it surely still was there, in ns since 1970.
        at: When that it is gone was known.
    """

    alive: int
    at: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How exact times are.

    Attributes:
        exact: Whether each time is meant as it is written, to the nanosecond.
        tolerance: How far clocks may be apart, in ns.
    """

    exact: bool = False
    tolerance: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Spans:
    valid_from: int
    sure_from: int
    sure_to: int
    valid_to: int

    def within(self, start: int, end: int) -> _Spans:
        return _Spans(
            max(self.valid_from, start), max(self.sure_from, start),
            min(self.sure_to, end), min(self.valid_to, end),
        )  # fmt: skip


def claims(uid: str, seen: Sequence[Seen], gone: Gone | None, clock: Clock) -> list[identity.Claim]:
    """All that it ever claimed.

    Args:
        uid: Whose life it is.
        seen: The sightings, oldest first; one at least.
        gone: Its end, if it is known.
        clock: How exact times are.
    """
    found = []
    for address in dict.fromkeys(address for one in seen for address in one.addresses):
        spans = _spans(address, seen, gone, clock)
        for who, start, end in _names(seen):
            part = spans.within(start, end)
            if part.valid_from < part.valid_to:
                found.append(identity.Claim(
                    address=address, uid=uid, identity=who, valid_from=part.valid_from,
                    sure_from=part.sure_from, sure_to=part.sure_to, valid_to=part.valid_to,
                ))  # fmt: skip
    return found


def remembered(said: Sequence[identity.Claim], clock: Clock) -> list[Seen]:
    """Sightings that make the same claims again, where these alone are left.

    Args:
        said: Claims of one, none of which has ended but for having other labels; one at least.
        clock: As it was when they were made.
    """
    slack = 0 if clock.exact else clock.tolerance
    ordered = sorted(said, key=lambda claim: claim.valid_from)
    found = [
        Seen(
            at=start if start > ordered[0].valid_from else these[0].sure_from - slack,
            addresses=tuple(claim.address for claim in these), who=these[-1].identity,
            started=ordered[0].valid_from + slack,
        )
        for start, these in ((start, list(group)) for start, group in itertools.groupby(
            ordered, key=lambda claim: claim.valid_from))
    ]  # fmt: skip
    if ordered[-1].sure_to != identity.FOREVER:
        found[-1] = dataclasses.replace(found[-1], asked=ordered[-1].sure_to + slack)
    return found


def _spans(address: bytes, seen: Sequence[Seen], gone: Gone | None, clock: Clock) -> _Spans:
    having = [place for place, one in enumerate(seen) if address in one.addresses]
    valid_from, sure_from = _beginning(seen, having[0], clock)
    sure_to, valid_to = _end(seen, having[-1], gone, clock)
    if not clock.exact:
        valid_from, sure_from = max(valid_from - clock.tolerance, 0), sure_from + clock.tolerance
        sure_to, valid_to = _later(sure_to, -clock.tolerance), _later(valid_to, clock.tolerance)
    return _Spans(valid_from, max(sure_from, valid_from), min(sure_to, valid_to), valid_to)


def _later(end: int, by: int) -> int:
    return end if end == identity.FOREVER else end + by


def _beginning(seen: Sequence[Seen], place: int, clock: Clock) -> tuple[int, int]:
    """Since when it may have had an address that it was first seen with there, and since when surely."""
    here = seen[place]
    started = next((one.started for one in seen if one.started), 0 if clock.exact else here.at)
    if clock.exact:
        return started, started
    had_another = place > 0 and bool(seen[place - 1].addresses)
    ready = min((_after(one.ready) for one in seen[place:] if one.ready and not had_another), default=here.at)
    return min(started, here.at), min(ready, here.at)


def _end(seen: Sequence[Seen], place: int, gone: Gone | None, clock: Clock) -> tuple[int, int]:
    """Until when it surely had an address that it was last seen with there, and until when perhaps."""
    final = seen[place]
    if place + 1 < len(seen):  # it was seen without it
        without = seen[place + 1].at
        return (without if clock.exact else final.ready), without
    sure_to = valid_to = identity.FOREVER
    if final.asked:
        sure_to = final.asked
    if final.ended:
        sure_to = min(sure_to, final.finished or final.ready)
        valid_to = _ended(seen, final, clock)
    if gone:
        # where kubelet has told of the end, nothing lingers
        lingers = 0 if clock.exact or final.finished else LINGER
        sure_to = min(sure_to, final.asked or final.finished or gone.alive)
        valid_to = min(valid_to, gone.at + lingers)
    return sure_to, valid_to


def _ended(seen: Sequence[Seen], final: Seen, clock: Clock) -> int:
    """Until when it may have had its addresses."""
    heard = next(one.at for one in seen if one.ended)
    if clock.exact:
        return final.finished or heard
    return (_after(final.finished) if final.finished else heard) + LINGER


def _after(moment: int) -> int:
    """When a moment has surely come that is told to the second, as Kubernetes does."""
    return moment if moment % SECOND else moment + SECOND


def _names(seen: Sequence[Seen]) -> Iterator[tuple[identity.Identity, int, int]]:
    """What it was from when to when: its labels change with time, all else is as it was seen last."""
    last = seen[-1].who
    began, labels = 0, seen[0].who.labels_id
    for before, one in itertools.pairwise(seen):
        if one.who.labels_id != labels:
            changed = one.updated if before.at < one.updated <= one.at else one.at
            yield _labelled(last, labels), began, changed
            began, labels = changed, one.who.labels_id
    yield _labelled(last, labels), began, identity.FOREVER


def _labelled(who: identity.Identity, labels: int) -> identity.Identity:
    """An identity with that label set; itself if it has it: there are as many as there are pods."""
    return who if who.labels_id == labels else dataclasses.replace(who, labels_id=labels)
