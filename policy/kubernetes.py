"""Kubernetes NetworkPolicy in compiled form, converted as Calico converts it.

One rule of the manifest becomes one rule for each protocol (sorted as text) and each peer, so the index in
an NFLOG prefix counts expanded rules (libcalico-go/lib/backend/k8s/conversion/conversion.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from model import enums, manifest
from policy import calico, fields, objects, selector

ORDER = 1000.0
"""Where Kubernetes policies stand in the default tier."""

ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
_IS_POD = selector.equals(ORCHESTRATOR_LABEL, "k8s")  # network sets do not have it, so they never match
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")  # RFC 6335


def network_policy(document: manifest.Document) -> objects.Policy:
    """A NetworkPolicy of networking.k8s.io/v1.

    Raises:
        ManifestError: If the API server would refuse it.
    """
    namespace, name = fields.metadata(document, "default")
    spec = document.field().require("spec").only("podSelector", "policyTypes", "ingress", "egress")
    pods = selector.from_kubernetes(spec.get("podSelector"), _IS_POD)
    ingress, egress = fields.items(spec.get("ingress")), fields.items(spec.get("egress"))
    return objects.Policy(
        kind="knp", namespace=namespace, name=name, order=ORDER,
        subjects=selector.And((pods, selector.equals(selector.NAMESPACE_LABEL, namespace))),
        types=_types(spec.get("policyTypes"), bool(egress)),
        ingress=tuple(rule for item in ingress for rule in _rules(item, "from", namespace)),
        egress=tuple(rule for item in egress for rule in _rules(item, "to", namespace)),
    )  # fmt: skip


def _types(field: manifest.Field | None, has_egress: bool) -> frozenset[enums.Direction]:
    """The directions written, or else what the API server fills in: egress only if it has rules."""
    words = [item.one_of("Ingress", "Egress") for item in fields.items(field)]
    if not words:
        words = ["Ingress", "Egress"] if has_egress else ["Ingress"]
    return frozenset(enums.Direction(word.lower()) for word in words)


def _rules(field: manifest.Field, peers: str, namespace: str) -> Iterator[objects.Rule]:
    field.only(peers, "ports")
    ends = [_peer(item, namespace) for item in fields.items(field.get(peers))] or [objects.Peer()]
    for protocol, port in _ports(field.get("ports")):
        for end in ends:
            if peers == "from":
                yield _allow(protocol, end, port)
            else:
                target = objects.Peer(
                    members=end.members, nets=end.nets, not_nets=end.not_nets, ports=port.ports,
                    port_names=port.port_names,
                )  # fmt: skip
                yield _allow(protocol, objects.Peer(), target)


def _allow(protocol: int | None, source: objects.Peer, destination: objects.Peer) -> objects.Rule:
    return objects.Rule(
        action=objects.RuleAction.ALLOW, protocol=protocol, source=source, destination=destination
    )


def _ports(field: manifest.Field | None) -> list[tuple[int | None, objects.Peer]]:
    """For each protocol the ports that are allowed; a port without number opens its whole protocol."""
    found: dict[str, list[objects.PortRange | str] | None] = {}
    for item in fields.items(field):
        protocol, port = _port(item)
        so_far = found.setdefault(protocol, [])
        found[protocol] = None if port is None or so_far is None else [*so_far, port]
    if not found:
        return [(None, objects.Peer())]
    result: list[tuple[int | None, objects.Peer]] = []
    for protocol in sorted(found):
        given = found[protocol] or []
        ranges = fields.merge(port for port in given if isinstance(port, objects.PortRange))
        names = tuple(dict.fromkeys(port for port in given if isinstance(port, str)))
        result.append((enums.Protocol[protocol], objects.Peer(ports=ranges, port_names=names)))
    return result


def _port(field: manifest.Field) -> tuple[str, objects.PortRange | str | None]:
    field.only("protocol", "port", "endPort")
    word, port, end = field.get("protocol"), field.get("port"), field.get("endPort")
    protocol = word.one_of("TCP", "UDP", "SCTP") if word else "TCP"
    if end and (port is None or isinstance(port.value, str)):
        raise end.error("needs a port that is a number")
    if port is None:
        return protocol, None
    if isinstance(port.value, str):
        if not _PORT_NAME.fullmatch(port.value):
            raise port.error(f"must be a number or a port name, is {port.value!r}")
        return protocol, port.value
    first = port.integer(1, 65535)
    return protocol, fields.port_range(end or port, first, end.integer(1, 65535) if end else first)


def _peer(field: manifest.Field, namespace: str) -> objects.Peer:
    field.only("podSelector", "namespaceSelector", "ipBlock")
    pods, namespaces, block = (field.get(name) for name in ("podSelector", "namespaceSelector", "ipBlock"))
    if block:
        if pods or namespaces:
            raise block.error("cannot stand beside podSelector or namespaceSelector")
        return _block(block)
    if pods is None and namespaces is None:
        raise field.error("must have podSelector, namespaceSelector or ipBlock")
    scope = calico.scoped(namespace, selector.from_kubernetes(namespaces) if namespaces else None)
    return objects.Peer(members=selector.both(scope, selector.from_kubernetes(pods, _IS_POD)))


def _block(field: manifest.Field) -> objects.Peer:
    field.only("cidr", "except")
    cidr = field.require("cidr")
    net = fields.network(cidr)
    if "/" not in cidr.text():
        raise cidr.error(f"must have a prefix length, such as {net}")
    excluded = []
    for item in fields.items(field.get("except")):
        hole = fields.network(item)
        if hole.version != net.version or hole.prefixlen <= net.prefixlen or hole.network_address not in net:
            raise item.error(f"must lie within {net} and be smaller")
        excluded.append(hole)
    return objects.Peer(nets=(net,), not_nets=tuple(excluded))
