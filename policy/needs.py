"""What a group of pods needs: its accepted edges as rules, peer by peer and port by port."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from model import address, cluster, enums
from policy import aggregation, drafting, objects, record, stable, subjects
from policy.record import Rows

_INGRESS = enums.Direction.INGRESS
_NAMELESS = (
    enums.EndpointKind.NETWORK_SET, enums.EndpointKind.PRIVATE, enums.EndpointKind.PUBLIC
)  # fmt: skip
"""Ends that network sets may be about."""
_NAMED = 5
_MANY_PORTS = 32
"""More ports of one protocol between one pair are written as one range."""

_COUNTLESS = 1_000_000

_EVERYWHERE = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))

_Ports = dict[drafting.Port, list[int]]
"""The edges behind each port."""
_Set = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far a rule about addresses may go beyond what was seen.

    Attributes:
        widening: How many addresses a prefix may have for each that was seen.
        prefixes: How many prefixes a rule may list.
        everywhere: Whether more of them become all addresses there are; else they are left out.
    """

    widening: float = 1.0
    prefixes: int = 64
    everywhere: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Needed:
    """What one direction of a group needs.

    Attributes:
        rules: What to allow, in order.
        crowd: Edges of addresses that are too many to list.
    """

    rules: tuple[drafting.Rule, ...]
    crowd: tuple[int, ...]


class Needs:
    """Makes rules of edges.

    Args:
        seen: The record.
        groups: All groups.
        around: The network sets and host endpoints that there are.
        bounds: How far rules may go.
    """

    def __init__(
        self, seen: record.Record, groups: Iterable[stable.Group], around: cluster.Cluster, bounds: Bounds
    ) -> None:  # fmt: skip
        self._seen, self._bounds = seen, bounds
        self._of = {one: group for group in groups for one in group.workloads}
        self._sets = {(one.namespace, one.name): one for one in around.network_sets}
        self._nets = {
            owner: tuple(ipaddress.ip_network(text) for text in one.networks)
            for owner, one in self._sets.items()
        }
        self._others = [("", one.labels) for one in around.host_endpoints]
        self._others += [(one.workload.namespace, dict(one.labels)) for one in seen.variants]
        self._nodes = {
            at: seen.names[at] for at, kind in enumerate(seen.kinds) if kind == enums.EndpointKind.NODE
        }
        self._texts = [ipaddress.ip_address(address.render(one.tobytes()) or "::") for one in seen.packed]
        self._owner = self._owners()
        self._in_set = np.array([one is not None for one in self._owner], bool)
        self._names = _PortNames(seen, self._of)

    def group(self, variant: int) -> stable.Group:
        """The group of a variant."""
        return self._of[self._seen.variants[variant].workload]

    def needed(self, direction: enums.Direction, edges: Sequence[int] | Rows) -> Needed:
        """The rules that some edges of one group need."""
        pods: dict[stable.Group, _Ports] = {}
        sets: dict[_Set, _Ports] = {}
        rows = np.asarray(edges, np.int64)
        far = (self._seen.src if direction is _INGRESS else self._seen.dst)[rows]
        is_host = np.append(~self._in_set, False)[np.where(far < 0, -1 - far, len(self._in_set))]
        for edge, end in zip(rows[~is_host].tolist(), far[~is_host].tolist(), strict=True):
            owner = self._owner[-1 - end] if end < 0 else None
            place = sets.setdefault(owner, {}) if owner else pods.setdefault(self.group(end), {})
            place.setdefault(self._port(edge), []).append(edge)
        addresses, crowd = self._addresses(rows[is_host], -1 - far[is_host])
        return Needed((*self._of_pods(pods), *self._of_sets(sets), *addresses), tuple(sorted(crowd)))

    def _port(self, edge: int) -> drafting.Port:
        protocol, number = int(self._seen.protocol[edge]), int(self._seen.port[edge])
        if protocol in enums.PINGS:
            return drafting.Port(protocol, icmp_type=int(self._seen.icmp_type[edge]))
        if protocol not in enums.WITH_PORTS:
            return drafting.Port(protocol)
        if name := self._names.name(int(self._seen.dst[edge]), protocol, number):
            return drafting.Port(protocol, name)
        return drafting.Port(protocol, "", number, number)

    def _of_pods(self, pods: Mapping[stable.Group, _Ports]) -> list[drafting.Rule]:
        """Pods by the ports that they have in common."""
        alike: dict[tuple[drafting.Port, ...], list[drafting.Part]] = {}
        for group, ports in sorted(pods.items(), key=lambda item: _place(item[0])):
            ports = _ranged(ports)
            edges = _edges(ports)
            all_of_them = f"no label names its pods: all pods of namespace {group.namespace} are meant"
            note = _notes("" if group.labels else all_of_them, *self._gaps(ports, edges))
            part = drafting.Part(drafting.Peer(group=group, note=note), edges)
            alike.setdefault(tuple(sorted(ports)), []).append(part)
        return sorted((drafting.Rule(tuple(parts), ports) for ports, parts in alike.items()), key=_order)

    def _gaps(self, ports: Iterable[drafting.Port], edges: Sequence[int]) -> Iterator[str]:
        """What ranges of ports allow besides those that were seen."""
        number = self._seen.port[list(edges)]
        protocol = self._seen.protocol[list(edges)]
        for one in sorted(ports):
            inside = (protocol == one.protocol) & (number >= one.first) & (number <= one.last)
            count = len(np.unique(number[inside]))
            if one.last > one.first and (more := one.last - one.first + 1 - count):
                yield (
                    f"{count:,} ports of {enums.protocol_name(one.protocol)} from {one.first} to {one.last} "
                    f"were seen, {more:,} were not"
                )

    def _owners(self) -> list[_Set | None]:
        """The network set that each address is in: as it was known, or as sets are now.

        Of several the one with the smallest network. One that has all addresses says nothing of any.
        """
        seen = self._seen
        found: list[_Set | None] = [None] * len(seen.kinds)
        nets = [(owner, net) for owner, some in self._nets.items() for net in some if net.prefixlen]
        for owner, net in sorted(nets, key=lambda one: one[1].prefixlen - one[1].max_prefixlen):
            for at in np.flatnonzero(address.within(seen.packed, str(net))).tolist():
                known = (seen.namespaces[at], seen.names[at])
                if seen.kinds[at] in _NAMELESS and (
                    found[at] is None or found[at] != known or owner == known
                ):
                    found[at] = owner
        return found

    def _of_sets(self, sets: Mapping[_Set, _Ports]) -> list[drafting.Rule]:
        found = []
        for owner, ports in sorted(sets.items()):
            ports = _ranged(ports)
            one, edges = self._sets[owner], _edges(ports)
            used = self._used(edges)
            inside = _narrowest(self._nets[owner], used)
            labels = tuple(sorted(one.labels.items())) if self._is_alone(one) else ()
            more = aggregation.widened(inside, used)
            note = f"{len(used)} of its addresses were seen, {_counted(more)} were not" if more else ""
            note = _notes(note, *self._gaps(ports, edges))
            peer = drafting.Peer(networks=inside, network_set=owner, labels=labels, note=note)
            found.append(drafting.Rule((drafting.Part(peer, edges),), tuple(sorted(ports))))
        return found

    def _used(self, edges: Iterable[int]) -> set[subjects.Address]:
        """The addresses at the ends of edges that are no pods."""
        ends = {int(end) for edge in edges for end in (self._seen.src[edge], self._seen.dst[edge]) if end < 0}
        return {self._texts[-1 - end] for end in ends}

    def _is_alone(self, one: cluster.NetworkSet) -> bool:
        """Whether its labels select it, and nothing else that a selector finds there."""
        sets = [(other.namespace, other.labels) for other in self._sets.values() if other is not one]
        return bool(one.labels) and not any(
            namespace == one.namespace and one.labels.items() <= labels.items()
            for namespace, labels in (*sets, *self._others)
        )

    def _addresses(self, edges: Rows, ends: Rows) -> tuple[list[drafting.Rule], list[int]]:
        """Addresses by the ports that they have in common, as few prefixes as may be.

        Args:
            edges: The edges.
            ends: The number of each one's address.
        """
        rules: list[drafting.Rule] = []
        crowd: list[int] = []
        for ports, (those, rows) in self._alike(edges, ends).items():
            used = [self._texts[at] for at in those]
            bounds = self._bounds
            nets = aggregation.prefixes(used, bounds.widening, bounds.prefixes)
            if len(nets) > bounds.prefixes and not bounds.everywhere:
                crowd += rows
                continue
            note = ""
            if len(nets) > bounds.prefixes:
                versions = {one.version for one in used}
                nets = tuple(net for net in _EVERYWHERE if net.version in versions)
                note = f"all there are: {len(used):,} were seen"
            elif more := aggregation.widened(nets, used):
                note = f"{len(used)} addresses were seen there, {_counted(more)} were not"
            if nodes := sorted({self._nodes[at] for at in those if at in self._nodes}):
                names = ", ".join(nodes[:_NAMED]) + (" …" if len(nodes) > _NAMED else "")
                note = _notes(note, f"addresses of nodes, which come and go: {names}")
            if any(self._seen.kinds[at] == enums.EndpointKind.AMBIGUOUS for at in those):
                note = _notes(note, "nobody knows for certain whose these addresses were")
            peer = drafting.Peer(networks=nets, note=_notes(note, *self._gaps(ports, rows)))
            rules.append(drafting.Rule((drafting.Part(peer, tuple(rows)),), ports))
        return _needed(sorted(rules, key=_order)), crowd

    def _alike(self, edges: Rows, ends: Rows) -> dict[tuple[drafting.Port, ...], tuple[list[int], list[int]]]:
        """By the ports that they have in common: the addresses, and their edges in order."""
        found: dict[tuple[drafting.Port, ...], tuple[list[int], list[int]]] = {}
        if not len(edges):
            return found
        ports, codes = self._ports(edges)
        there, of = np.unique(ends, return_inverse=True)
        pairs = np.unique(of * len(ports) + codes)
        starts = np.searchsorted(pairs // len(ports), np.arange(len(there) + 1))
        numbers: dict[tuple[int, ...], int] = {}
        said = (pairs % len(ports)).tolist()
        sets = np.array([
            numbers.setdefault(tuple(said[start:stop]), len(numbers))
            for start, stop in itertools.pairwise(starts.tolist())
        ])  # fmt: skip
        for mine, number in numbers.items():
            key = tuple(sorted(_ranged({ports[code]: [] for code in mine})))
            those, rows = found.setdefault(key, ([], []))
            those += there[sets == number].tolist()
            rows += edges[sets[of] == number].tolist()
        return {key: (those, sorted(rows)) for key, (those, rows) in found.items()}

    def _ports(self, edges: Rows) -> tuple[list[drafting.Port], Rows]:
        """The different ports of some edges, and which of them each has."""
        seen = self._seen
        told = seen.dst[edges], seen.protocol[edges], seen.port[edges], seen.icmp_type[edges]
        key = np.maximum(told[0], -1).astype(np.int64) + 1 << 32
        key |= told[1].astype(np.int64) << 24 | told[2].astype(np.int64) << 8 | told[3]
        _, first, of = np.unique(key, return_index=True, return_inverse=True)
        numbers: dict[drafting.Port, int] = {}
        codes = [numbers.setdefault(self._port(edge), len(numbers)) for edge in edges[first].tolist()]
        return list(numbers), np.array(codes, np.int64)[of]


def _counted(addresses: int) -> str:
    """How many, as far as people can read it: a prefix of IPv6 has numbers of 25 digits."""
    return f"{addresses:,}" if addresses < _COUNTLESS else "more than a million"


class _PortNames:
    """The names of ports that all pods of a group have, so that a rule need not know the number."""

    def __init__(self, seen: record.Record, of: Mapping[record.Workload, stable.Group]) -> None:
        self._variants = seen.variants
        common: dict[stable.Group, set[tuple[int, str]]] = {}
        for one in seen.variants:
            names = {(int(port.protocol), port.name) for port in one.ports if port.name}
            group = of[one.workload]
            common[group] = common[group] & names if group in common else names
        self._common, self._of = common, of

    def name(self, variant: int, protocol: int, number: int) -> str:
        """The name that a variant has for a port, if all pods of its group have one of that name."""
        if variant < 0:
            return ""
        one = self._variants[variant]
        common = self._common[self._of[one.workload]]
        names = {
            port.name for port in one.ports
            if (port.protocol, port.number) == (protocol, number) and (protocol, port.name) in common
        }  # fmt: skip
        return min(names, default="")


def _narrowest(
    nets: Sequence[objects.Network], used: Iterable[subjects.Address]
) -> tuple[objects.Network, ...]:
    """For each address the smallest network that has it."""
    chosen = {max((net for net in nets if one in net), key=lambda net: net.prefixlen) for one in used}
    return tuple(sorted(chosen, key=lambda net: (net.version, net)))


def _notes(*some: str) -> str:
    return "; ".join(filter(None, some))


def _order(one: drafting.Rule) -> tuple[object, ...]:
    peer = one.parts[0].peer
    return str(peer), _place(peer.group) if peer.group else (), one.ports


def _place(group: stable.Group) -> tuple[str, ...]:
    """The order of groups; there may be workloads of one name and several kinds."""
    return group.namespace, group.name, group.workloads[0].kind


def _edges(ports: _Ports) -> tuple[int, ...]:
    return tuple(sorted({edge for edges in ports.values() for edge in edges}))


def _ranged(ports: _Ports) -> _Ports:
    """The same, where there are many numbers of one protocol with one range for them."""
    found: _Ports = {}
    for protocol in sorted({port.protocol for port in ports}):
        mine = {port: edges for port, edges in ports.items() if port.protocol == protocol}
        numbered = [port for port in mine if port.first]
        if len(numbered) > _MANY_PORTS:
            span = drafting.Port(
                protocol, "", min(one.first for one in numbered), max(one.last for one in numbered)
            )
            found[span] = [edge for port in numbered for edge in mine.pop(port)]
        found |= mine
    return found


def _needed(rules: Sequence[drafting.Rule]) -> list[drafting.Rule]:
    """Rules about addresses without those whose addresses and ports others have as well."""
    kept = list(rules)
    for one in sorted(rules, key=lambda rule: len(rule.ports)):
        others = [rule for rule in kept if rule is not one]
        nets = [net for part in one.parts for net in part.peer.networks]
        if nets and all(any(_has(rule, net, one.ports) for rule in others) for net in nets):
            kept.remove(one)
    return kept


def _has(one: drafting.Rule, net: object, ports: Iterable[drafting.Port]) -> bool:
    held = [other for part in one.parts for other in part.peer.networks]
    inside = any(net.version == other.version and net.subnet_of(other) for other in held)  # type: ignore[attr-defined]  # of one family
    return inside and set(ports) <= set(one.ports)
