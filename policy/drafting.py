"""Rules that are suggested, and how each kind of policy says them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from model import enums, policyhit
from policy import kubernetes, objects, record, stable

Body = dict[str, Any]

_INGRESS = enums.Direction.INGRESS
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_ANY_POD = f"{kubernetes.ORCHESTRATOR_LABEL} == 'k8s'"
_CALICO_NAMESPACE = "projectcalico.org/name"


class Kind(enum.StrEnum):
    """The kinds of policies that are suggested."""

    KUBERNETES = "kubernetes"
    CALICO = "calico"
    STAGED = "staged"


WORD = {Kind.KUBERNETES: "knp", Kind.CALICO: "np", Kind.STAGED: "snp"}
"""How Calico spells each; see `objects.KIND_NAMES`."""
EXPRESSIBLE = {
    Kind.KUBERNETES: frozenset({enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP}),
    Kind.CALICO: frozenset(range(1, 256)),
    Kind.STAGED: frozenset(range(1, 256)),
}
"""The protocols that each can allow by themselves."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Port:
    """What a rule allows of a protocol.

    Attributes:
        name: The name of a container's port, in place of a number.
        first: The first port number; 0 for all there is of the protocol.
        last: The last one.
        icmp_type: Which messages; -1 where the protocol has none.
    """

    protocol: int
    name: str = ""
    first: int = 0
    last: int = 0
    icmp_type: int = -1


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end; one of the three.

    Attributes:
        group: Pods.
        networks: Addresses.
        network_set: Namespace and name of a network set, whose addresses ``networks`` are.
        labels: The labels that find the network set and nothing else; empty where none do.
        note: What there is to say about it; empty for nothing.
    """

    group: stable.Group | None = None
    networks: tuple[objects.Network, ...] = ()
    network_set: tuple[str, str] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def __str__(self) -> str:
        if self.group:
            return str(self.group)
        if self.network_set:
            return "network set " + "/".join(filter(None, self.network_set))
        return ", ".join(map(str, self.networks))


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A peer of a rule, and the edges of the record that it was made for."""

    peer: Peer
    edges: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """Peers that may have the same ports, in the order in which they are written.

    In a Calico policy there is one peer, and one protocol.
    """

    parts: tuple[Part, ...]
    ports: tuple[Port, ...]


def said(kind: Kind, rules: Iterable[Rule], seen: record.Record) -> list[Rule]:
    """Rules as one kind of policy can say them, in order; each part with the edges that it is about."""
    if kind is Kind.KUBERNETES:
        return [_of_kubernetes(rule) for rule in rules]
    found = [
        Rule((_narrowed(seen, part, networks, ports),), ports)
        for rule in rules for part in rule.parts
        for networks in _by_family(part.peer) for ports in _by_protocol(rule.ports, networks)
    ]  # fmt: skip
    return [rule for rule in found if rule.parts[0].edges]  # not all are of each protocol in each family


def _of_kubernetes(one: Rule) -> Rule:
    """The rule; without ports, which is all there is, where a protocol cannot be said by itself."""
    protocols = {port.protocol for port in one.ports} - EXPRESSIBLE[Kind.KUBERNETES]
    if not protocols:
        return one
    names = " and ".join(enums.protocol_name(protocol) for protocol in sorted(protocols))
    note = f"all protocols and ports are allowed, as {names} cannot be by itself"
    return Rule(tuple(_noted(part, note) for part in one.parts), ())


def _noted(part: Part, note: str) -> Part:
    """A part with more to say about its peer."""
    said_before = part.peer.note
    peer = dataclasses.replace(part.peer, note=f"{said_before}; {note}" if said_before else note)
    return Part(peer, part.edges)


def _narrowed(
    seen: record.Record, part: Part, networks: tuple[objects.Network, ...], ports: Sequence[Port]
) -> Part:
    """A peer with some of its networks alone, and with the edges that these and some ports are about."""
    edges = np.array(part.edges, np.int64)
    kept = seen.protocol[edges] == ports[0].protocol
    if ports[0].icmp_type >= 0:
        kept &= seen.icmp_type[edges] == ports[0].icmp_type
    if networks:
        kept &= np.isin(seen.family[edges], list({net.version for net in networks}))
    return Part(dataclasses.replace(part.peer, networks=networks), tuple(edges[kept].tolist()))


def _by_family(peer: Peer) -> Iterator[tuple[objects.Network, ...]]:
    """The networks of a peer, those of each family by themselves, as Calico wants them."""
    if not peer.networks or peer.labels:
        yield peer.networks
        return
    for version in (4, 6):
        if found := tuple(net for net in peer.networks if net.version == version):
            yield found


def _by_protocol(ports: Sequence[Port], networks: Sequence[objects.Network]) -> Iterator[tuple[Port, ...]]:
    """Ports of one protocol each, and each ICMP type by itself; without ICMP of the other family."""
    families = {net.version for net in networks}
    for protocol in sorted({port.protocol for port in ports}):
        mine = [port for port in ports if port.protocol == protocol]
        if protocol not in enums.PINGS:
            yield tuple(mine)
        elif not families or (6 if protocol == enums.Protocol.ICMPV6 else 4) in families:
            yield from ((port,) for port in mine)


def rule(kind: Kind, namespace: str, direction: enums.Direction, one: Rule) -> Body:
    """A rule as it is written in a policy of a namespace."""
    if kind is Kind.KUBERNETES:
        peers = [peer for part in one.parts for peer in _kubernetes_peers(part.peer, namespace)]
        ports = [_kubernetes_port(port) for port in one.ports]
        return {"from" if direction is _INGRESS else "to": peers, **({"ports": ports} if ports else {})}
    (part,), port = one.parts, one.ports[0]
    found: Body = {"action": "Allow", "protocol": _calico_protocol(port.protocol)}
    if port.icmp_type >= 0:
        found["icmp"] = {"type": port.icmp_type}
    found["source" if direction is _INGRESS else "destination"] = _calico_peer(part.peer, namespace)
    if numbers := [_calico_port(port) for port in one.ports if port.name or port.first]:
        found.setdefault("destination", {})["ports"] = numbers
    return found


def policy(
    kind: Kind, tier: str, group: stable.Group, name: str, rules: dict[enums.Direction, list[Body]]
) -> Body:
    """A whole policy about the pods of a group.

    Args:
        kind: Which kind.
        tier: In which tier, of Calico's.
        group: Whose.
        name: What it is called.
        rules: What is allowed, for each direction that it decides about.
    """
    metadata = {"name": full_name(kind, tier, name), "namespace": group.namespace}
    types = [str(one).capitalize() for one in enums.Direction if one in rules]
    allowed = {str(one): rules[one] for one in enums.Direction if one in rules}
    if kind is Kind.KUBERNETES:
        spec: Body = {"podSelector": {"matchLabels": dict(group.labels)}, "policyTypes": types, **allowed}
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": spec,
        }
    spec = {"tier": tier, "selector": _selector(group.labels), "types": types, **allowed}
    if kind is Kind.STAGED:
        spec = {"stagedAction": "Set", **spec}
    name = "StagedNetworkPolicy" if kind is Kind.STAGED else "NetworkPolicy"
    return {"apiVersion": "projectcalico.org/v3", "kind": name, "metadata": metadata, "spec": spec}


def full_name(kind: Kind, tier: str, name: str) -> str:
    """The name that a policy has in its manifest.

    Calico wants the tier before it; the default one only where the name has a dot (ValidateTieredPolicyName).
    """
    if kind is Kind.KUBERNETES or (tier == objects.DEFAULT_TIER and "." not in name):
        return name
    return policyhit.in_tier(name, tier)


def _kubernetes_peers(peer: Peer, namespace: str) -> list[Body]:
    if peer.group is None:
        return [{"ipBlock": {"cidr": str(net)}} for net in peer.networks]
    found: Body = {}
    if peer.group.namespace != namespace:
        found["namespaceSelector"] = {"matchLabels": {_NAMESPACE_NAME: peer.group.namespace}}
    return [{**found, "podSelector": {"matchLabels": dict(peer.group.labels)}}]


def _kubernetes_port(port: Port) -> Body:
    found: Body = {"protocol": enums.protocol_name(port.protocol), "port": port.name or port.first}
    return found | ({"endPort": port.last} if port.last > port.first else {})


def _calico_peer(peer: Peer, namespace: str) -> Body:
    if peer.group:
        found: Body = {"selector": _selector(peer.group.labels)}
        if peer.group.namespace != namespace:
            found["namespaceSelector"] = f"{_CALICO_NAMESPACE} == '{peer.group.namespace}'"
        return found
    if peer.network_set and peer.labels:
        owner = peer.network_set[0]
        where = {} if owner == namespace else {
            "namespaceSelector": f"{_CALICO_NAMESPACE} == '{owner}'" if owner else "global()"
        }  # fmt: skip
        return {"selector": _selector(peer.labels), **where}
    return {"nets": [str(net) for net in peer.networks]}


def _calico_protocol(number: int) -> str | int:
    name = enums.protocol_name(number)
    return int(name) if name.isdecimal() else name


def _calico_port(port: Port) -> str | int:
    if port.name:
        return port.name
    return port.first if port.first == port.last else f"{port.first}:{port.last}"


def _selector(labels: Iterable[tuple[str, str]]) -> str:
    """Labels as Calico asks for them; without any it is all pods, and no network set or anybody outside."""
    return " && ".join(f"{label} == '{value}'" for label, value in labels) or _ANY_POD
