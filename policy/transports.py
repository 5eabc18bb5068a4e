"""What of a packet is not an address: family, protocol, ports with their names, ICMP message; by columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from policy import objects

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.integer]

Names = Mapping[tuple[int, int], frozenset[str]]
"""The names that an endpoint's ports have, by protocol and number."""

NO_NAMES: Names = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """What a rule says about the port of one side; the alternatives of `objects.Peer` are already apart."""

    ports: tuple[objects.PortRange, ...] = ()
    names: tuple[str, ...] = ()
    not_ports: tuple[objects.PortRange, ...] = ()
    not_names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Transport:
    """What a rule says about all that is not an address."""

    protocol: int | None = None
    not_protocol: int | None = None
    ip_version: int | None = None
    icmp: objects.Icmp | None = None
    not_icmp: objects.Icmp | None = None
    source: Side = Side()
    destination: Side = Side()


ANY = Transport()


@dataclasses.dataclass(frozen=True, slots=True)
class Packets:
    """Columns of one length.

    Attributes:
        src_names: Numbers of name sets, as `NameSets` gives them; and ``dst_names``.
    """

    family: Numbers
    protocol: Numbers
    src_port: Numbers
    dst_port: Numbers
    icmp_type: Numbers
    icmp_code: Numbers
    src_names: Codes
    dst_names: Codes

    def take(self, rows: npt.NDArray[np.int64]) -> Packets:
        """Some of the rows."""
        return Packets(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


class NameSets:
    """Which names the ports of endpoints have.

    Args:
        tables: The names of each different table of ports.
    """

    def __init__(self, tables: Sequence[Names]) -> None:
        known: dict[frozenset[str], int] = {frozenset(): 0}
        keys, sets = [], []
        for number, table in enumerate(tables):
            for (protocol, port), names in table.items():
                keys.append(number << 24 | protocol << 16 | port)
                sets.append(known.setdefault(names, len(known)))
        order = np.argsort(np.array(keys, np.int64), kind="stable")
        self._keys, self._sets = np.array(keys, np.int64)[order], np.array(sets, np.int32)[order]
        self._known = list(known)

    def __len__(self) -> int:
        return len(self._known)

    def find(self, tables: Numbers, protocols: Numbers, ports: Numbers) -> Codes:
        """The number of each port's set of names; 0 for none.

        Args:
            tables: The number of each endpoint's table.
            protocols: IP protocol numbers.
            ports: Port numbers.
        """
        if not len(self._keys):
            return np.zeros(len(ports), np.int32)
        keys = tables.astype(np.int64) << 24 | protocols.astype(np.int64) << 16 | ports.astype(np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._sets[at], np.int32(0))

    def having(self, names: Iterable[str]) -> Mask:
        """Which sets have at least one of some names."""
        wanted = frozenset(names)
        return np.array([not wanted.isdisjoint(one) for one in self._known], bool)


def cuts(transports: Iterable[Transport]) -> npt.NDArray[np.int64]:
    """Where the space of port numbers has to be cut, so that ports in one piece are in the same ranges."""
    bounds = {0}
    for one in transports:
        for side in (one.source, one.destination):
            for span in (*side.ports, *side.not_ports):
                bounds |= {span.first, span.last + 1}
    return np.array(sorted(bounds), np.int64)


def matching(transport: Transport, packets: Packets, names: NameSets) -> Mask:
    """Which packets a transport matches (felix/rules/policy.go, as the kernel does)."""
    found = np.ones(len(packets.protocol), bool)
    if transport.protocol is not None:
        found &= packets.protocol == transport.protocol
    if transport.not_protocol is not None:
        found &= packets.protocol != transport.not_protocol
    if transport.ip_version is not None:
        found &= packets.family == transport.ip_version
    if transport.icmp:
        found &= _icmp(transport.icmp, packets)
    if transport.not_icmp:
        found &= ~_icmp(transport.not_icmp, packets)
    for side, ports, sets in (
        (transport.source, packets.src_port, packets.src_names),
        (transport.destination, packets.dst_port, packets.dst_names),
    ):
        if side.ports:
            found &= _within(side.ports, ports)
        if side.names:
            found &= names.having(side.names)[sets]
        if side.not_ports or side.not_names:
            found &= ~(_within(side.not_ports, ports) | names.having(side.not_names)[sets])
    return found


def _icmp(message: objects.Icmp, packets: Packets) -> Mask:
    found: Mask = packets.icmp_type == message.type
    return found if message.code is None else found & (packets.icmp_code == message.code)


def _within(ranges: Iterable[objects.PortRange], ports: Numbers) -> Mask:
    found = np.zeros(len(ports), bool)
    for span in ranges:
        found |= (ports >= span.first) & (ports <= span.last)
    return found
