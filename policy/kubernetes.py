"""Kubernetes NetworkPolicy in compiled form, converted as Calico converts it.

One rule of the manifest becomes one rule for each protocol (sorted as text) and each peer, so the index in
an NFLOG prefix counts expanded rules (libcalico-go/lib/backend/k8s/conversion/conversion.go).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from model import enums, manifest
from policy import calico, fields, objects, selector

ORDER = 1000.0
"""Where Kubernetes policies stand in the default tier."""

_FIELDS = ("podSelector", "policyTypes", "ingress", "egress")

ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
IS_POD = selector.equals(ORCHESTRATOR_LABEL, "k8s")
"""Network sets do not have that label, so they never match."""
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")  # RFC 6335


def network_policy(document: manifest.Document) -> objects.Policy:
    """A NetworkPolicy of networking.k8s.io/v1.

    Raises:
        ManifestError: If the API server would refuse it.
    """
    return _policy(document, "knp", document.field().require("spec").only(*_FIELDS))


def staged_network_policy(document: manifest.Document) -> objects.Policy | None:
    """Calico's StagedKubernetesNetworkPolicy; None if it is about the end of its namesake.

    Raises:
        ManifestError: If Calico would refuse it.
    """
    spec = document.field().require("spec").only("stagedAction", *_FIELDS)
    policy = _policy(document, "sknp", spec)
    return policy if fields.is_set(spec) else None


def _policy(document: manifest.Document, kind: str, spec: manifest.Field) -> objects.Policy:
    namespace, name = fields.metadata(document, "default")
    pods = selector.from_kubernetes(spec.get("podSelector"), IS_POD)
    ingress, egress = fields.items(spec.get("ingress")), fields.items(spec.get("egress"))
    return objects.Policy(
        kind=kind, namespace=namespace, name=name, order=ORDER,
        subjects=selector.And((pods, selector.equals(selector.NAMESPACE_LABEL, namespace))),
        types=_types(spec.get("policyTypes"), bool(egress)),
        ingress=tuple(
            rule for i, item in enumerate(ingress) for rule in _rules(item, "from", namespace, i)
        ),
        egress=tuple(rule for i, item in enumerate(egress) for rule in _rules(item, "to", namespace, i)),
    )  # fmt: skip


def _types(field: manifest.Field | None, has_egress: bool) -> frozenset[enums.Direction]:
    """The directions written, or else what the API server fills in: egress only if it has rules."""
    words = [item.one_of("Ingress", "Egress") for item in fields.items(field)]
    if not words:
        words = ["Ingress", "Egress"] if has_egress else ["Ingress"]
    return frozenset(enums.Direction(word.lower()) for word in words)


def _rules(field: manifest.Field, peers: str, namespace: str, written: int) -> Iterator[objects.Rule]:
    field.only(peers, "ports")
    listed = fields.items(field.get(peers))
    ends = [end for item in listed if (end := _peer(item, namespace))] if listed else [objects.Peer()]
    for protocol, port in grouped(_port(item) for item in fields.items(field.get("ports"))):
        for end in ends:
            yield rule(objects.RuleAction.ALLOW, protocol, peers, end, port, written)


def rule(
    action: objects.RuleAction, protocol: int | None, peers: str, end: objects.Peer, port: objects.Peer,
    written: int,
) -> objects.Rule:  # fmt: skip
    """One rule about a peer and about ports, which always are the destination's.

    Args:
        action: What it does.
        protocol: Its protocol; None is any.
        peers: ``from`` or ``to``.
        end: The peer.
        port: A peer with nothing but ports.
        written: Which rule of the manifest it comes from.
    """
    source, target = (end, port) if peers == "from" else (objects.Peer(), dataclasses.replace(
        end, ports=port.ports, port_names=port.port_names
    ))  # fmt: skip
    return objects.Rule(action=action, protocol=protocol, written=written, source=source, destination=target)


def grouped(
    ports: Iterable[tuple[str, objects.PortRange | str | None]],
) -> list[tuple[int | None, objects.Peer]]:
    """For each protocol its ports, as a peer of nothing but ports; no ports at all are any protocol.

    Args:
        ports: Protocols, the empty one for a name that brings its own, each with a range of ports, with the
            name of one, or with None for all of the protocol.
    """
    found: dict[str, list[objects.PortRange | str] | None] = {}
    for protocol, port in ports:
        so_far = found.setdefault(protocol, [])
        found[protocol] = None if port is None or so_far is None else [*so_far, port]
    if not found:
        return [(None, objects.Peer())]
    result: list[tuple[int | None, objects.Peer]] = []
    for protocol in sorted(found):
        given = found[protocol] or []
        ranges = fields.merge(port for port in given if isinstance(port, objects.PortRange))
        names = tuple(dict.fromkeys(port for port in given if isinstance(port, str)))
        number = enums.Protocol[protocol] if protocol else None
        result.append((number, objects.Peer(ports=ranges, port_names=names)))
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
        return protocol, port_name(port)
    first = port.integer(1, 65535)
    return protocol, fields.port_range(end or port, first, end.integer(1, 65535) if end else first)


def port_name(field: manifest.Field) -> str:
    """The name of a port.

    Raises:
        ManifestError: If it is none.
    """
    if not _PORT_NAME.fullmatch(field.text()):
        raise field.error(f"must be a number or a port name, is {field.value!r}")
    return field.text()


def _peer(field: manifest.Field, namespace: str) -> objects.Peer | None:
    """Whom a peer names; None for one that names nothing, which is nobody."""
    field.only("podSelector", "namespaceSelector", "ipBlock")
    pods, namespaces, block = (field.get(name) for name in ("podSelector", "namespaceSelector", "ipBlock"))
    if block:
        if pods or namespaces:
            raise block.error("cannot stand beside podSelector or namespaceSelector")
        return _block(block)
    if pods is None and namespaces is None:
        return None
    scope = calico.scoped(namespace, selector.from_kubernetes(namespaces) if namespaces else None)
    return objects.Peer(members=selector.both(scope, selector.from_kubernetes(pods, IS_POD)))


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
