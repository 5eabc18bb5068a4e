"""The address space cut at every network that matters: addresses in one cell are in the same networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from model import address
from policy import objects

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

_MAPPED = 0xFFFF << 32
"""Where IPv4 begins among IPv6 addresses (RFC 4291 §2.5.5.2)."""


class Cells:
    """Cells, each under a number.

    Args:
        networks: The networks that matter, in any order.

    Attributes:
        families: The address family (4 or 6) of each cell.
    """

    def __init__(self, networks: Iterable[objects.Network]) -> None:
        bounds = {0, _MAPPED, _MAPPED + 2**32}
        for network in set(networks):
            bounds |= set(_span(network))
        starts = sorted(bounds - {2**128})
        self._place = {bound: i for i, bound in enumerate(starts)} | {2**128: len(starts)}
        self._starts = np.frombuffer(b"".join(start.to_bytes(16) for start in starts), "S16")
        mapped = slice(self._place[_MAPPED], self._place[_MAPPED + 2**32])
        self.families = np.full(len(starts), 6, np.uint8)
        self.families[mapped] = 4
        self._asked: dict[tuple[objects.Network, ...], Mask] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, packed: address.Packed) -> Codes:
        """The cell of each address, of shape (n, 16)."""
        texts = np.ascontiguousarray(packed).view("S16").ravel()
        return (np.searchsorted(self._starts, texts, side="right") - 1).astype(np.int32)

    def within(self, networks: tuple[objects.Network, ...]) -> Mask:
        """Which cells lie in one of some networks, all of which have to be among those that matter."""
        found = self._asked.get(networks)
        if found is None:
            found = self._asked[networks] = np.zeros(len(self), bool)
            for network in networks:
                first, end = _span(network)
                within = slice(self._place[first], self._place[end])
                found[within] |= self.families[within] == network.version
        return found


def _span(network: objects.Network) -> tuple[int, int]:
    first = int(network.network_address)
    if isinstance(network, ipaddress.IPv4Network):
        first += _MAPPED
    return first, first + network.num_addresses
