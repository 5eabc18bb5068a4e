"""The timeline: which identity an address had at a time, for millions of look-ups at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from enrich import identity
from model import address, asof

Codes = npt.NDArray[np.int32]


class Timeline:
    """An immutable index over claims, networks and the rest of the internet.

    Args:
        claims: Who had which address when; they may overlap, which makes the overlap ambiguous.
        networks: Names for CIDRs, used where nobody claims the address; the longest prefix wins.
    """

    def __init__(
        self, claims: Iterable[identity.Claim], networks: Sequence[identity.NetworkName] = ()
    ) -> None:
        self._codes: dict[identity.Identity, int] = {}
        self._private, self._public = self._code(identity.PRIVATE), self._code(identity.PUBLIC)
        spans = list(itertools.chain.from_iterable(
            self._untangle(list(group)) for _, group in itertools.groupby(
                sorted(claims, key=lambda c: (c.address, c.start, c.end)), key=lambda c: c.address
            )
        ))  # fmt: skip
        keys = _keys(np.frombuffer(b"".join(s[0] for s in spans), np.uint8).reshape(-1, 16))
        self._index = asof.AsOf(keys, np.array([s[1] for s in spans], np.int64))
        self._ends = np.array([s[2] for s in spans], np.int64)
        self._owners = np.array([s[3] for s in spans], np.int32)
        longest_last = sorted(networks, key=lambda n: address.prefix(n.network)[1])
        self._networks = [(name.network, self._code(name.identity)) for name in longest_last]

    @property
    def identities(self) -> list[identity.Identity]:
        """The identity of each code."""
        return list(self._codes)

    def find(self, packed: address.Packed, times: npt.NDArray[np.int64]) -> Codes:
        """The code of each address's identity at its time.

        Args:
            packed: Addresses, shape (n, 16).
            times: Nanoseconds since 1970, shape (n,).
        """
        found = self._index.find(_keys(packed), times)
        if not len(self._ends):
            return self._unclaimed(packed)
        claimed = (found >= 0) & (times < self._ends[found])
        codes = self._owners[found]
        codes[~claimed] = self._unclaimed(packed[~claimed])
        return codes

    def _unclaimed(self, packed: address.Packed) -> Codes:
        codes = np.where(address.is_private(packed), self._private, self._public).astype(np.int32)
        mapped = address.within(packed, "0.0.0.0/0")  # ``::/0`` means IPv6, not our form of IPv4 as well
        for network, code in self._networks:
            inside = address.within(packed, network)
            codes[inside & ~mapped if ":" in network else inside] = code
        return codes

    def _code(self, who: identity.Identity) -> int:
        return self._codes.setdefault(who, len(self._codes))

    def _untangle(self, claims: list[identity.Claim]) -> list[tuple[bytes, int, int, int]]:
        """Claims of one address as spans that do not overlap; where two did, the span is ambiguous."""
        moments = sorted({m for c in claims for m in (c.start, c.end)})
        spans: list[tuple[bytes, int, int, int]] = []
        for start, end in itertools.pairwise(moments):
            owners = {c.identity for c in claims if c.start <= start and end <= c.end}
            if owners:
                who = owners.pop() if len(owners) == 1 else identity.AMBIGUOUS
                spans.append((claims[0].address, start, end, self._code(who)))
        return spans


def _keys(packed: address.Packed) -> asof.Keys:
    high, low = address.words(packed)
    return asof.mix(high, low)
