"""Cluster administrators' kinds of policy.networking.k8s.io, in compiled form.

ClusterNetworkPolicy (v1alpha2) is converted as in
libcalico-go/lib/backend/k8s/conversion/clusternetworkpolicy.go; AdminNetworkPolicy and
BaselineAdminNetworkPolicy (v1alpha1) as Calico 3.29 to 3.31 did. One rule of the manifest becomes one rule
for each protocol (sorted as text) and each peer.

What nobody can evaluate fails closed: such a rule admits nothing if it would allow, and denies everything if
it would not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from model import enums, manifest
from policy import calico, fields, kubernetes, objects, selector

_Item = Callable[[manifest.Field], tuple[str, objects.PortRange | str | None]]
"""Reads one port: its protocol, empty for a name that brings its own, and which ports of it."""

_TIERS = {"Admin": "kube-admin", "Baseline": "kube-baseline"}
_UNEVALUATED = ("nodes", "domainNames")
"""Peers that Calico does not support either."""


def cluster_network_policy(document: manifest.Document) -> objects.Policy:
    """A ClusterNetworkPolicy.

    Raises:
        ManifestError: If the API server would refuse it.
    """
    spec = _spec(document, "tier", "priority")
    tier = _TIERS[spec.require("tier").one_of(*_TIERS)]
    return _policy(document, "kcnp", tier, _priority(spec), _Rules(("Accept", "Deny", "Pass"), "protocols"))


def admin_network_policy(document: manifest.Document) -> objects.Policy:
    """An AdminNetworkPolicy.

    Raises:
        ManifestError: If the API server would refuse it.
    """
    priority = _priority(_spec(document, "priority"))
    return _policy(
        document, "kanp", "adminnetworkpolicy", priority, _Rules(("Allow", "Deny", "Pass"), "ports")
    )


def baseline_admin_network_policy(document: manifest.Document) -> objects.Policy:
    """A BaselineAdminNetworkPolicy, of which there is but one.

    Raises:
        ManifestError: If the API server would refuse it.
    """
    _spec(document)
    document.field().require("metadata").require("name").one_of("default")
    return _policy(document, "kbanp", "baselineadminnetworkpolicy", 0, _Rules(("Allow", "Deny"), "ports"))


def _spec(document: manifest.Document, *more: str) -> manifest.Field:
    return document.field().require("spec").only("subject", "ingress", "egress", *more)


def _priority(spec: manifest.Field) -> int:
    return spec.require("priority").integer(0, 1000)


def _policy(
    document: manifest.Document, kind: str, tier: str, priority: int, rules: _Rules
) -> objects.Policy:
    _, name = fields.metadata(document, "")
    spec = document.field().require("spec")
    ingress, egress = fields.items(spec.get("ingress")), fields.items(spec.get("egress"))
    types = ((enums.Direction.INGRESS, ingress), (enums.Direction.EGRESS, egress))
    return objects.Policy(
        kind=kind, name=name, tier=tier, order=float(priority), subjects=_subjects(spec.require("subject")),
        types=frozenset(direction for direction, written in types if written),
        ingress=tuple(rule for i, item in enumerate(ingress) for rule in rules.read(item, "from", i)),
        egress=tuple(rule for i, item in enumerate(egress) for rule in rules.read(item, "to", i)),
    )  # fmt: skip


def _subjects(field: manifest.Field) -> selector.Selector:
    found = _members(field.only("namespaces", "pods"))
    if found is None:
        raise field.error("must have namespaces or pods")
    return found


def _members(field: manifest.Field) -> selector.Selector | None:
    """The pods that a subject or a peer names; None where it names none."""
    namespaces, pods = field.get("namespaces"), field.get("pods")
    if namespaces and pods:
        raise field.error("must have either namespaces or pods")
    if namespaces:
        return _pods(namespaces, None)
    if pods:
        pods.only("namespaceSelector", "namespaces", "podSelector")
        # a field that is mandatory counts as empty where it is null
        of = pods.get("namespaceSelector") or pods.get("namespaces")
        return _pods(of, pods.get("podSelector"))
    return None


def _pods(namespaces: manifest.Field | None, pods: manifest.Field | None) -> selector.Selector:
    if namespaces and isinstance(namespaces.value, dict) and "namespaceSelector" in namespaces.value:
        namespaces = namespaces.only("namespaceSelector").get("namespaceSelector")  # as up to v0.1.1
    of = calico.scoped("", selector.from_kubernetes(namespaces))
    return selector.both(of, selector.from_kubernetes(pods, kubernetes.IS_POD)) or selector.All()


class _Rules:
    """How one kind writes its rules.

    Args:
        actions: The words for what a rule does.
        ports: The name of the list of ports.
    """

    def __init__(self, actions: tuple[str, ...], ports: str) -> None:
        self._actions, self._ports = actions, ports

    def read(self, field: manifest.Field, peers: str, written: int) -> Iterator[objects.Rule]:
        """What one rule of a manifest becomes."""
        field.only("name", "action", peers, self._ports)
        word = field.require("action").one_of(*self._actions)
        action = objects.RuleAction("allow" if word == "Accept" else word.lower())
        listed = field.require(peers)
        if not listed.items():
            raise listed.error("needs at least one peer")
        ends = [_peer(item, peers) for item in listed.items()]
        ports = kubernetes.grouped(_PORTS[self._ports](item) for item in fields.items(field.get(self._ports)))
        if None in ends:
            yield from _closed(action, written)
            return
        for protocol, port in ports:
            for end in ends:
                if end is not None:
                    yield kubernetes.rule(action, protocol, peers, end, port, written)


def _closed(action: objects.RuleAction, written: int) -> Iterator[objects.Rule]:
    if action is not objects.RuleAction.ALLOW:
        yield objects.Rule(action=objects.RuleAction.DENY, written=written, closed=True)


def _peer(field: manifest.Field, peers: str) -> objects.Peer | None:
    """Whom a peer names; None where nobody can tell."""
    known = ("namespaces", "pods", *(("networks", *_UNEVALUATED) if peers == "to" else ()))
    field.only(*known)
    if len([name for name in known if field.get(name)]) > 1:
        raise field.error(f"must have one of {', '.join(known)}")
    if networks := field.get("networks"):
        nets = tuple(fields.network(net) for net in networks.items())
        if not nets:
            raise networks.error("needs at least one CIDR")
        return objects.Peer(nets=nets)
    members = _members(field)
    return objects.Peer(members=members) if members else None


def _port(field: manifest.Field) -> tuple[str, objects.PortRange | str | None]:
    """An item of ``ports``, of v1alpha1."""
    field.only("portNumber", "portRange", "namedPort")
    number, span, name = (field.get(key) for key in ("portNumber", "portRange", "namedPort"))
    if len([one for one in (number, span, name) if one]) != 1:
        raise field.error("must have one of portNumber, portRange, namedPort")
    if name:
        return "", kubernetes.port_name(name)
    if span:
        span.only("protocol", "start", "end")
        return _protocol(span), _range(span)
    assert number  # noqa: S101  # one of the three
    number.only("protocol", "port")
    port = number.require("port").integer(1, 65535)
    return _protocol(number), objects.PortRange(port, port)


def _protocol(field: manifest.Field) -> str:
    word = field.get("protocol")
    return word.one_of("TCP", "UDP", "SCTP") if word else "TCP"


def _range(field: manifest.Field) -> objects.PortRange:
    first, last = (field.require(name).integer(1, 65535) for name in ("start", "end"))
    return fields.port_range(field, first, last)


def _transport(field: manifest.Field) -> tuple[str, objects.PortRange | str | None]:
    """An item of ``protocols``, of v1alpha2; without a port Calico reads it as all of that protocol."""
    known = ("tcp", "udp", "sctp", "destinationNamedPort")
    field.only(*known)
    (word, *more) = [name for name in known if field.get(name)] or [""]
    if not word or more:
        raise field.error(f"must have one of {', '.join(known)}")
    found = field.require(word)
    if word == "destinationNamedPort":
        return "", kubernetes.port_name(found)
    port = found.only("destinationPort").get("destinationPort")
    if port is None:
        return word.upper(), None
    port.only("number", "range")
    number, span = port.get("number"), port.get("range")
    if (number is None) == (span is None):
        raise port.error("must have one of number, range")
    if span:
        return word.upper(), _range(span.only("start", "end"))
    assert number  # noqa: S101  # one of the two
    first = number.integer(1, 65535)
    return word.upper(), objects.PortRange(first, first)


_PORTS: dict[str, _Item] = {"ports": _port, "protocols": _transport}
