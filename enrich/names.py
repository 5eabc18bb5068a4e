"""Names: all that a feed has said so far, in the form in which flows are named by it.

For an address at a time there are three answers: it was somebody's (found); it was nobody's that the feed
knows of (not found); or the feed does not know that time (declined), so that its silence means nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from enrich import changes, enricher, identity, networknames, services, spans, timeline
from model import address, asof

FOUND, NOT_FOUND, DECLINED = range(3)
ANSWERS = ("found", "not_found", "declined")
"""What an answer is called."""

_Lasting = TypeVar("_Lasting", identity.ServicePort, changes.Revision)
_FORGET_EVERY = 3600 * 1_000_000_000


class Feed(Protocol):
    """Who knows the cluster."""

    @property
    def names(self) -> Names:
        """All that it has said."""

    def refresh(self) -> changes.Changes:
        """Find out what is new; `names` knows it then."""

    def said(self) -> changes.Changes:
        """All that it has found out by itself and remembers, label sets apart."""

    def label_sets(self, ids: Collection[int]) -> Mapping[int, dict[str, str]]:
        """Label sets by their numbers, as far as they are known.

        Raises:
            StoreError: If they are in a ledger that does not answer.
        """


class Names:
    """What is known of a cluster's names. One thread at a time changes it, and nobody asks meanwhile.

    Args:
        remember: For how long what has ended is remembered, in ns.
    """

    def __init__(self, remember: int = 86_400 * 1_000_000_000) -> None:
        self._timeline = timeline.Timeline()
        self.enricher = enricher.Enricher(self._timeline, services.Services(()))
        """Names flows by all that is known now."""
        self.since, self.as_of = identity.FOREVER, 0
        """What is known is complete from when until when, in ns since 1970."""
        self._past = identity.FOREVER
        self.labels: dict[int, dict[str, str]] = {}
        """Label sets by number, where the feed has them."""
        self._remember = remember
        self._forgotten = self._before = 0
        self._ports: dict[object, identity.ServicePort] = {}
        self._revisions: dict[object, changes.Revision] = {}

    def cover(self, since: int, as_of: int) -> None:
        """From when until when what is known is complete, in ns since 1970."""
        self.since, self.as_of = since, as_of

    def take(self, news: changes.Changes) -> None:
        """Learn what is new."""
        if news.claims:
            self.learn(news.claims)
        self.labels |= news.labels
        for port in news.ports:
            _put(self._ports, dataclasses.replace(port, valid_to=0), port)
        named = [one for one in news.revisions if one.kind in networknames.KINDS]
        for one in named:
            _put(self._revisions, (one.kind, one.api_group, one.namespace, one.name, one.valid_from), one)
        if named:
            self._timeline.name(list(self._networks()))
        if news.ports:
            self._dial()

    @property
    def horizon(self) -> int:
        """Who had an address before then may have been forgotten, or never been known; in ns since 1970."""
        return max(self._before, min(self.since, self._past))

    def recall(self, claims: Iterable[identity.Claim], past: changes.Changes, since: int) -> None:
        """Learn what was said before, by whoever knew the cluster until now.

        Args:
            claims: Claims, which need not all be there at once.
            past: Service ports and revisions.
            since: From when on all of it is there, in ns since 1970.
        """
        self.learn(claims)
        self.take(past)
        self._past = since

    def learn(self, claims: Iterable[identity.Claim]) -> None:
        """Learn claims, which need not all be there at once."""
        self._timeline.update(claims)

    def label_sets(self, ids: Collection[int]) -> Mapping[int, dict[str, str]]:
        """Label sets by their numbers, as far as the feed has said them."""
        return {one: self.labels[one] for one in ids if one in self.labels}

    def forget(self, now: int) -> None:
        """Let go of what has ended too long ago, now and then."""
        self._forgotten = self._forgotten or now
        if now < self._forgotten + _FORGET_EVERY:
            return
        self._forgotten = now
        self._before = before = now - self._remember
        self._ports = {key: one for key, one in self._ports.items() if one.valid_to > before}
        self._revisions = {key: one for key, one in self._revisions.items() if one.valid_to > before}
        self._timeline.forget(before)
        self._timeline.name(list(self._networks()))
        self._dial()

    def answers(self, packed: address.Packed, times: asof.Times) -> npt.NDArray[np.uint8]:
        """How each address is answered for: ``FOUND``, ``NOT_FOUND`` or ``DECLINED``.

        Args:
            packed: Addresses, shape (n, 16).
            times: Nanoseconds since 1970, shape (n,).
        """
        somebody = self._timeline.claimed(packed, times) != spans.NOBODY
        known = (times >= max(self.since, self._before)) & (times < self.as_of)
        return np.where(somebody, FOUND, np.where(known, NOT_FOUND, DECLINED)).astype(np.uint8)

    def _dial(self) -> None:
        self.enricher = enricher.Enricher(self._timeline, services.Services(list(self._ports.values())))

    def _networks(self) -> Iterable[identity.NetworkName]:
        for one in self._revisions.values():
            yield from networknames.names(one.document, one.valid_from, one.valid_to)


def _put(known: dict[object, _Lasting], key: object, one: _Lasting) -> None:
    known.pop(key, None)
    if one.valid_from < one.valid_to:
        known[key] = one
