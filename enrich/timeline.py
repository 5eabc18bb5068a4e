"""The timeline: which identity an address had at a time, for millions of look-ups at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from enrich import identities, identity, networks, spans
from model import address, asof

Codes = spans.Codes


class Timeline:
    """An immutable index over claims, networks and the rest of the internet.

    Args:
        claims: Who had which address when; `spans` says what becomes of claims that contradict.
        names: Names for CIDRs, used where nobody claims the address; the longest prefix wins.
    """

    def __init__(self, claims: Iterable[identity.Claim], names: Sequence[identity.NetworkName] = ()) -> None:
        known = identities.Identities()
        self._ambiguous = known.code(identity.AMBIGUOUS)
        self._private, self._public = known.code(identity.PRIVATE), known.code(identity.PUBLIC)
        claims = list(claims)
        packed = np.frombuffer(b"".join(one.address for one in claims), np.uint8).reshape(-1, 16)
        self._spans = spans.Spans(spans.Claimed(
            keys=_keys(packed),
            owners=np.array([known.code(one.identity) for one in claims], np.int32),
            valid_from=np.array([one.valid_from for one in claims], np.int64),
            sure_from=np.array([one.sure_from for one in claims], np.int64),
            sure_to=np.array([one.sure_to for one in claims], np.int64),
            valid_to=np.array([one.valid_to for one in claims], np.int64),
        ))  # fmt: skip
        self._networks = networks.Networks(names, [known.code(name.identity) for name in names])
        self.identities = known
        """The identity of each code."""

    def find(self, packed: address.Packed, times: asof.Times) -> Codes:
        """The code of each address's identity at its time.

        Args:
            packed: Addresses, shape (n, 16).
            times: Nanoseconds since 1970, shape (n,).
        """
        codes = self._spans.find(_keys(packed), times)
        unclaimed = np.flatnonzero(codes == spans.NOBODY)
        codes[unclaimed] = self._unclaimed(packed[unclaimed], times[unclaimed])
        codes[codes == spans.AMBIGUOUS] = self._ambiguous
        return codes

    def _unclaimed(self, packed: address.Packed, times: asof.Times) -> Codes:
        codes = self._networks.find(packed, times)
        nameless = np.flatnonzero(codes == spans.NOBODY)
        codes[nameless] = np.where(address.is_private(packed[nameless]), self._private, self._public)
        return codes


def _keys(packed: address.Packed) -> asof.Keys:
    return spans.keys(*address.words(packed))
