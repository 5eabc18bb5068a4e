"""What is written of a cluster against what is known of it: for who goes on where another has ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import TypeVar

from enrich import changes, endpoints, identity

_Lasting = TypeVar("_Lasting", identity.Claim, identity.ServicePort, changes.Revision)


def difference(said: changes.Changes, written: changes.Changes, alive: int, at: int) -> changes.Changes:
    """What has to be written so that what is written says what is known.

    What is written as lasting, and is not known, has ended meanwhile; where the same is known since another
    time, it is taken back. What is written as ended stays: who wrote it knew more of the past.

    Args:
        said: All that is known.
        written: All that is written and lasts, at least.
        alive: Up to when who wrote it knew all, in ns since 1970.
        at: When what is known was so.
    """
    return changes.Changes(
        claims=tuple(_other(said.claims, written.claims, _claim, lambda claim: claim.uid, alive, at)),
        ports=tuple(_other(said.ports, written.ports, _port, _port, alive, at)),
        revisions=tuple(_other(said.revisions, written.revisions, _revision, _revision, alive, at)),
        labels=said.labels,
    )


def affected(
    before: Iterable[identity.Claim], now: Iterable[identity.Claim], among: Collection[bytes]
) -> dict[bytes, int]:
    """Since when each of some addresses is answered for in another way than before, in ns since 1970.

    Args:
        before: All that was said of these addresses, at least.
        now: All that is said of them, at least.
        among: The addresses.
    """
    old, new = (
        {(one.address, one.uid, one.valid_from): one for one in claims if one.address in among}
        for claims in (before, now)
    )
    found: dict[bytes, int] = {}
    for key in old.keys() | new.keys():
        was, is_now = old.get(key), new.get(key)
        if was != is_now:
            since = endpoints.differs_from(was, is_now) if was and is_now else key[2]
            found[key[0]] = min(since, found.get(key[0], since))
    return found


def _other(
    said: Iterable[_Lasting], written: Iterable[_Lasting], what: Callable[[_Lasting], Hashable],
    whose: Callable[[_Lasting], Hashable], alive: int, at: int,
) -> Iterator[_Lasting]:  # fmt: skip
    known = {(what(one), one.valid_from): one for one in said}
    owners = {whose(one) for one in known.values()}
    for one in written:
        key = what(one), one.valid_from
        mine = known.get(key)
        if mine == one or (mine and identity.FOREVER not in (mine.valid_to, one.valid_to)):
            del known[key]
        elif mine is None and one.valid_to == identity.FOREVER:
            yield (
                _until(one, one.valid_from, one.valid_from)
                if whose(one) in owners
                else _until(one, alive, at)
            )
    yield from known.values()


def _until(one: _Lasting, sure: int, at: int) -> _Lasting:
    end = max(at, one.valid_from)
    if isinstance(one, identity.Claim):
        return dataclasses.replace(one, sure_to=min(one.sure_to, max(sure, one.valid_from)), valid_to=end)
    return dataclasses.replace(one, valid_to=end)


def _claim(one: identity.Claim) -> Hashable:
    return one.address, one.uid


def _port(one: identity.ServicePort) -> Hashable:
    return one.address, one.port, one.protocol, one.namespace, one.service, one.port_name


def _revision(one: changes.Revision) -> Hashable:
    return one.kind, one.api_group, one.namespace, one.name
