"""What a group of pods needs: its accepted edges as rules, peer by peer and port by port."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from model import address, cluster, enums
from policy import aggregation, drafting, objects, record, stable, subjects

_INGRESS = enums.Direction.INGRESS
_WITH_PORTS = (enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP)
"""Those of which policies know ports; of UDPLite they do not."""
_ICMP = (enums.Protocol.ICMP, enums.Protocol.ICMPV6)
_NAMED = 5
_MANY_PORTS = 32
"""More ports of one protocol between one pair are written as one range."""

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
            seen.packed[at].tobytes(): seen.names[at]
            for at, kind in enumerate(seen.kinds) if kind == enums.EndpointKind.NODE
        }  # fmt: skip
        self._names = _PortNames(seen, self._of)

    def group(self, variant: int) -> stable.Group:
        """The group of a variant."""
        return self._of[self._seen.variants[variant].workload]

    def needed(self, direction: enums.Direction, edges: Sequence[int]) -> Needed:
        """The rules that some edges of one group need."""
        pods: dict[stable.Group, _Ports] = {}
        sets: dict[_Set, _Ports] = {}
        hosts: dict[bytes, _Ports] = {}
        far = self._seen.src if direction is _INGRESS else self._seen.dst
        for edge in edges:
            end = int(far[edge])
            if end >= 0:
                place = pods.setdefault(self.group(end), {})
            else:
                owner, packed = self._set_of(-1 - end), self._seen.packed[-1 - end].tobytes()
                place = sets.setdefault(owner, {}) if owner else hosts.setdefault(packed, {})
            place.setdefault(self._port(edge), []).append(edge)
        addresses, crowd = self._addresses(hosts)
        return Needed((*self._of_pods(pods), *self._of_sets(sets), *addresses), tuple(sorted(crowd)))

    def _port(self, edge: int) -> drafting.Port:
        protocol, number = int(self._seen.protocol[edge]), int(self._seen.port[edge])
        if protocol in _ICMP:
            return drafting.Port(protocol, icmp_type=int(self._seen.icmp_type[edge]))
        if protocol not in _WITH_PORTS:
            return drafting.Port(protocol)
        if name := self._names.name(int(self._seen.dst[edge]), protocol, number):
            return drafting.Port(protocol, name)
        return drafting.Port(protocol, "", number, number)

    def _of_pods(self, pods: Mapping[stable.Group, _Ports]) -> list[drafting.Rule]:
        """Pods by the ports that they have in common."""
        alike: dict[tuple[drafting.Port, ...], list[drafting.Part]] = {}
        for group, ports in sorted(pods.items(), key=lambda item: (item[0].namespace, item[0].name)):
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

    def _set_of(self, at: int) -> _Set | None:
        """The network set that an address was known by, if it has the address still."""
        owner = (self._seen.namespaces[at], self._seen.names[at])
        if self._seen.kinds[at] != enums.EndpointKind.NETWORK_SET or owner not in self._sets:
            return None
        one = ipaddress.ip_address(address.render(self._seen.packed[at].tobytes()))
        return owner if any(one in net for net in self._nets[owner]) else None

    def _of_sets(self, sets: Mapping[_Set, _Ports]) -> list[drafting.Rule]:
        found = []
        for owner, ports in sorted(sets.items()):
            ports = _ranged(ports)
            one, edges = self._sets[owner], _edges(ports)
            used = self._texts(edges)
            inside = _narrowest(self._nets[owner], used)
            labels = tuple(sorted(one.labels.items())) if self._is_alone(one) else ()
            more = aggregation.widened(inside, used)
            note = f"{len(used)} of its addresses were seen, {more:,} were not" if more else ""
            note = _notes(note, *self._gaps(ports, edges))
            peer = drafting.Peer(networks=inside, network_set=owner, labels=labels, note=note)
            found.append(drafting.Rule((drafting.Part(peer, edges),), tuple(sorted(ports))))
        return found

    def _texts(self, edges: Iterable[int]) -> set[subjects.Address]:
        """The addresses at the ends of edges that are no pods."""
        ends = {int(end) for edge in edges for end in (self._seen.src[edge], self._seen.dst[edge]) if end < 0}
        return {ipaddress.ip_address(address.render(self._seen.packed[-1 - end].tobytes())) for end in ends}

    def _is_alone(self, one: cluster.NetworkSet) -> bool:
        """Whether its labels select it, and nothing else that a selector finds there."""
        sets = [(other.namespace, other.labels) for other in self._sets.values() if other is not one]
        return bool(one.labels) and not any(
            namespace == one.namespace and one.labels.items() <= labels.items()
            for namespace, labels in (*sets, *self._others)
        )

    def _addresses(self, hosts: Mapping[bytes, _Ports]) -> tuple[list[drafting.Rule], list[int]]:
        """Addresses by the ports that they have in common, as few prefixes as may be."""
        alike: dict[frozenset[drafting.Port], dict[bytes, _Ports]] = {}
        for packed, ports in hosts.items():
            ports = _ranged(ports)
            alike.setdefault(frozenset(ports), {})[packed] = ports
        rules: list[drafting.Rule] = []
        crowd: list[int] = []
        for ports_in_common, those in alike.items():
            edges = tuple(sorted({edge for ports in those.values() for edge in _edges(ports)}))
            used = [ipaddress.ip_address(address.render(packed)) for packed in those]
            nets = aggregation.prefixes(used, self._bounds.widening)
            note = ""
            if more := aggregation.widened(nets, used):
                note = f"{len(used)} addresses were seen there, {more:,} were not"
            if len(nets) > self._bounds.prefixes:
                if not self._bounds.everywhere:
                    crowd += edges
                    continue
                versions = {one.version for one in used}
                nets = tuple(net for net in _EVERYWHERE if net.version in versions)
                note = f"all there are: {len(used):,} were seen"
            if nodes := sorted({self._nodes[packed] for packed in those if packed in self._nodes}):
                names = ", ".join(nodes[:_NAMED]) + (" …" if len(nodes) > _NAMED else "")
                note = _notes(note, f"addresses of nodes, which come and go: {names}")
            peer = drafting.Peer(networks=nets, note=_notes(note, *self._gaps(ports_in_common, edges)))
            rules.append(drafting.Rule((drafting.Part(peer, edges),), tuple(sorted(ports_in_common))))
        return _needed(sorted(rules, key=_order)), crowd


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


def _order(one: drafting.Rule) -> tuple[str, tuple[drafting.Port, ...]]:
    return str(one.parts[0].peer), one.ports


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
