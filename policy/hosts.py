"""Host endpoints: which of them stands between a host, or its pods, and the network.

An endpoint of a named interface counts before one of all interfaces (felix/calc, felix/dataplane/linux). What
pods of a host have with others than that host goes through the same interface, as long as it is not put into
packets of the host's own on its way to another node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model import address, cluster
from policy import subjects

Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

NONE = -1
"""Instead of a number, where there is none."""

_ALL_INTERFACES = "*"


class Addresses:
    """Single addresses, each with the number of whose it is.

    Args:
        owners: The numbers, by the address's 16 bytes.
    """

    def __init__(self, owners: Mapping[bytes, int]) -> None:
        self._texts = np.frombuffer(b"".join(sorted(owners)), "S16")
        self._numbers = np.array([owners[one] for one in sorted(owners)], np.int32)

    def find(self, packed: address.Packed) -> Codes:
        """The number for each address; `NONE` where it is nobody's."""
        if not len(self._texts):
            return np.full(len(packed), NONE, np.int32)
        texts = np.ascontiguousarray(packed).view("S16").ravel()
        at = np.minimum(np.searchsorted(self._texts, texts), len(self._texts) - 1)
        return np.where(self._texts[at] == texts, self._numbers[at], np.int32(NONE))


class Hosts:
    """The host endpoints of a cluster, under the numbers of their order.

    Args:
        found: The cluster.
        endpoints: Its host endpoints.
        nodes: The number of each node.

    Attributes:
        endpoints: The host endpoints, as selectors see them.
    """

    def __init__(
        self, found: cluster.Cluster, endpoints: Sequence[subjects.Endpoint], nodes: Mapping[str, int]
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._is_named = np.array([one.interface != _ALL_INTERFACES for one in found.host_endpoints], bool)
        self._pools = tuple(pool.network for pool in found.pools if pool.encapsulated)
        addresses = {node.name: node.addresses for node in found.nodes}
        by_node: dict[str, list[int]] = {}
        for number, one in enumerate(found.host_endpoints):
            by_node.setdefault(one.node, []).append(number)
        self._in_front, self._of_all = (np.full(len(nodes) + 1, NONE, np.int32) for _ in range(2))
        for node, numbers in by_node.items():
            named = [one for one in numbers if self._is_named[one]]
            every = [one for one in numbers if not self._is_named[one]]
            self._of_all[nodes[node]] = every[0] if every else NONE
            self._in_front[nodes[node]] = _in_front(found, named, every, addresses.get(node, ()))
        owners: dict[bytes, int] = {}
        for number in sorted(range(len(self)), key=lambda one: not self._is_named[one]):
            for text in found.host_endpoints[number].addresses:
                owners.setdefault(address.pack(text), number)
        self._owners = Addresses(owners)

    def __len__(self) -> int:
        return len(self.endpoints)

    def having(self, packed: address.Packed) -> Codes:
        """The host endpoint that is expected to have each address, one of a name before others; or `NONE`."""
        return self._owners.find(packed)

    def in_front(self, nodes: Codes) -> Codes:
        """The host endpoint through which a node, or its pods, reach others; `NONE` for none."""
        found: Codes = self._in_front[nodes]
        return found

    def at(self, packed: address.Packed, nodes: Codes) -> Codes:
        """The host endpoint of a host's own address; `NONE` for none."""
        having = self.having(packed)
        return np.where(having == NONE, self.in_front(nodes), having)

    def of_all_interfaces(self, nodes: Codes) -> Codes:
        """The host endpoint of all of a node's interfaces, those of its pods included; `NONE` for none."""
        found: Codes = self._of_all[nodes]
        return found

    def named(self, numbers: Codes) -> Codes:
        """These host endpoints, but `NONE` for those of all interfaces."""
        return np.where(np.append(self._is_named, False)[numbers], numbers, np.int32(NONE))

    def unseen(self, numbers: Codes, packed: address.Packed) -> Mask:
        """Whether these interfaces do not show what goes from node to node to pods at these addresses."""
        hidden = np.zeros(len(packed), bool)
        for network in self._pools:
            hidden |= address.within(packed, network)
        hidden &= np.append(self._is_named, False)[numbers]
        return hidden


def _in_front(
    found: cluster.Cluster, named: Sequence[int], every: Sequence[int], addresses: Iterable[str]
) -> int:
    own = set(addresses)
    having = [one for one in named if own & set(found.host_endpoints[one].addresses)]
    if having or every:
        return (having or every)[0]
    return named[0] if len(named) == 1 else NONE
