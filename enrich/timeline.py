"""The timeline: which identity an address had at a time, for millions of look-ups at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from enrich import claims, identities, identity, networks, spans
from model import address, asof, keyindex

Codes = spans.Codes

_FEW = 1_000
_SHARE = 32
"""Once more than a few addresses, and more than this part of the claims, have news, all is indexed anew."""


class Timeline:
    """An index over claims, networks and the rest of the internet.

    To index all claims of a large cluster takes seconds, so that what is new is kept in a second, small index
    for a while, which is asked first. One thread at a time may change it, and nobody asks meanwhile.

    Args:
        said: Who had which address when; `spans` says what becomes of claims that contradict.
        names: Names for CIDRs, used where nobody claims the address; the longest prefix wins.
    """

    def __init__(
        self, said: Iterable[identity.Claim] = (), names: Sequence[identity.NetworkName] = ()
    ) -> None:
        self._claims = claims.NONE
        self._know(identities.Identities())
        self._index(claims.rows(said, self.identities))
        self.name(names)

    def __len__(self) -> int:
        return len(self._claims)

    def update(self, said: Iterable[identity.Claim]) -> None:
        """What is said of a claim takes the place of what was said of it before."""
        news = claims.rows(said, self.identities)
        self._claims = claims.updated(self._claims, news)
        recent = np.union1d(self._recent_keys, claims.keys(news))
        if len(recent) > max(_FEW, len(self._claims) // _SHARE):
            self._index(self._claims)
        else:
            self._add(recent)

    def forget(self, before: int) -> None:
        """Let go of claims that had ended by then, in ns since 1970, and of their identities."""
        kept = self._claims[self._claims["valid_to"] > before]
        known, used = self.identities, np.unique(kept["owner"])
        self._know(identities.Identities())
        codes = np.zeros(len(known), np.int32)
        codes[used] = [self.identities.code(who) for who in known.some(used.tolist())]
        kept["owner"] = codes[kept["owner"]]
        self._index(kept)
        self.name(self._names)

    def name(self, names: Sequence[identity.NetworkName]) -> None:
        """Use these names for CIDRs from now on."""
        self._names = names
        self._networks = networks.Networks(names, [self.identities.code(name.identity) for name in names])

    def find(self, packed: address.Packed, times: asof.Times) -> Codes:
        """The code of each address's identity at its time.

        Args:
            packed: Addresses, shape (n, 16).
            times: Nanoseconds since 1970, shape (n,).
        """
        codes = self.claimed(packed, times)
        unclaimed = np.flatnonzero(codes == spans.NOBODY)
        codes[unclaimed] = self._unclaimed(packed[unclaimed], times[unclaimed])
        codes[codes == spans.AMBIGUOUS] = self._ambiguous
        return codes

    def claimed(self, packed: address.Packed, times: asof.Times) -> Codes:
        """As `find`, but `spans.NOBODY` where nobody claims it and `spans.AMBIGUOUS` where several do."""
        keys = spans.keys(*address.words(packed))
        codes = self._spans.find(keys, times)
        if len(self._recent_keys):
            here = np.flatnonzero(self._recent_index.find(keys) >= 0)
            codes[here] = self._recent.find(keys[here], times[here])
        return codes

    def _know(self, known: identities.Identities) -> None:
        self.identities = known
        """The identity of each code."""
        self._ambiguous = known.code(identity.AMBIGUOUS)
        self._private, self._public = known.code(identity.PRIVATE), known.code(identity.PUBLIC)

    def _index(self, said: claims.Rows) -> None:
        self._claims = said
        self._spans = spans.Spans(claims.claimed(said))
        self._add(np.zeros(0, np.uint64))

    def _add(self, recent: asof.Keys) -> None:
        self._recent_keys = recent
        self._recent_index = keyindex.KeyIndex(recent)
        here = self._recent_index.find(claims.keys(self._claims)) >= 0
        self._recent = spans.Spans(claims.claimed(self._claims[here]))

    def _unclaimed(self, packed: address.Packed, times: asof.Times) -> Codes:
        codes = self._networks.find(packed, times)
        nameless = np.flatnonzero(codes == spans.NOBODY)
        codes[nameless] = np.where(address.is_private(packed[nameless]), self._private, self._public)
        return codes
