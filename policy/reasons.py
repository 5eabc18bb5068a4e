"""Why a rule does not match a connection, in words."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence

from model import enums
from policy import calico, kubernetes, objects, program, selector, subjects

_NAME_LABEL = "kubernetes.io/metadata.name"


class Part(enum.StrEnum):
    """What of a connection a rule does not match."""

    PROTOCOL = "protocol"
    PORT = "port"
    SOURCE = "source"
    DESTINATION = "destination"


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """One end of a connection.

    Attributes:
        name: What people call it: ``namespace/name`` of a pod, or the address.
        pod: The pod; None if it is none.
        sets: The network sets that have its address.
        host: The host endpoint that is expected to have it.
    """

    name: str
    address: subjects.Address
    pod: subjects.Endpoint | None = None
    sets: tuple[subjects.Endpoint, ...] = ()
    host: subjects.Endpoint | None = None

    @property
    def itself(self) -> subjects.Endpoint | None:
        """What labels and port names are of: the pod, or the host endpoint."""
        return self.pod or self.host

    def port_names(self, protocol: int, port: int) -> set[str]:
        """What it calls a port of its own."""
        ports = self.itself.ports if self.itself else ()
        return {one.name for one in ports if (one.protocol, one.number) == (protocol, port)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What rules are asked about."""

    source: End
    destination: End
    protocol: int
    source_port: int = 0
    port: int = 0
    icmp: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One thing that does not fit."""

    part: Part
    sentence: str


def reasons(rule: objects.Rule, asked: Connection, behind: program.Services) -> list[Reason]:
    """All that keeps a rule from matching; nothing if it matches.

    Args:
        rule: The rule.
        asked: The connection.
        behind: What stands behind services.
    """
    source, destination = rule.source, rule.destination
    return [
        *(Reason(Part.PROTOCOL, text) for text in _protocol(rule, asked)),
        *(Reason(Part.SOURCE, text) for text in _addresses(source, asked.source)),
        *(Reason(Part.SOURCE, text) for text in _service(source, asked.source, behind)),
        *(Reason(Part.DESTINATION, text) for text in _addresses(destination, asked.destination)),
        *(
            Reason(Part.DESTINATION, text)
            for text in _service(destination, asked.destination, behind, (asked.protocol, asked.port))
        ),
        *(Reason(Part.PORT, text) for text in _ports(rule, asked)),
    ]


def _service(
    peer: objects.Peer, end: End, behind: program.Services, at: tuple[int, int] | None = None
) -> Iterator[str]:
    if peer.service is None:
        return
    found = [one for one in behind.get(peer.service, ()) if end.address in one[0]]
    name = "/".join(peer.service)
    if not found:
        yield f"{end.name} is not behind service {name}"
    elif at and at not in {(protocol, port) for _, protocol, port in found}:
        yield f"service {name} does not go to port {at[1]} there"


def _protocol(rule: objects.Rule, asked: Connection) -> Iterator[str]:
    is_now = enums.protocol_name(asked.protocol)
    if rule.protocol not in (None, asked.protocol):
        yield f"it is for {enums.protocol_name(rule.protocol or 0)}, not for {is_now}"
    elif rule.not_protocol == asked.protocol:
        yield f"it is for all but {is_now}"
    elif rule.icmp and not _is_message(rule.icmp, asked):
        yield f"it is for {_message(rule.icmp)}, not for type {asked.icmp[0]}"
    elif rule.not_icmp and _is_message(rule.not_icmp, asked):
        yield f"it is for all ICMP messages but {_message(rule.not_icmp)}"
    if rule.ip_version not in (None, asked.destination.address.version):
        yield f"it is for IPv{rule.ip_version}, not for IPv{asked.destination.address.version}"


def _is_message(message: objects.Icmp, asked: Connection) -> bool:
    return message.type == asked.icmp[0] and message.code in (None, asked.icmp[1])


def _message(message: objects.Icmp) -> str:
    return f"ICMP type {message.type}" + ("" if message.code is None else f" code {message.code}")


def _addresses(peer: objects.Peer, end: End) -> Iterator[str]:
    if peer.nets and not any(end.address in net for net in peer.nets):
        yield f"{end.name} is not in {_listed(peer.nets)}"
    excluded = [net for net in peer.not_nets if end.address in net]
    if excluded:
        yield f"{end.name} is in {excluded[0]}, which the rule leaves out"
    elif peer.not_nets and not any(net.version == end.address.version for net in peer.not_nets):
        yield f"it says nothing of IPv{end.address.version}"
    if peer.not_members and _is_member(peer.not_members, end):
        yield f"it leaves out {_who(peer.not_members)}, and {end.name} is one of these"
    by_name_alone = bool(peer.port_names) and not peer.ports
    if peer.members and not _is_member(peer.members, end, itself=by_name_alone):
        yield from _not_a_member(peer.members, end)


def _is_member(members: selector.Selector, end: End, *, itself: bool = False) -> bool:
    """Whether a selector matches the end itself or, where that is enough, a network set around it."""
    around = () if itself else end.sets
    return any(members.matches(one.labels) for one in (*((end.itself,) if end.itself else ()), *around))


def _not_a_member(members: selector.Selector, end: End) -> Iterator[str]:
    if end.itself:
        yield from (f"{end.name} {text}" for text in missing(members, end.itself.labels))
    elif end.sets:
        for one in end.sets:
            lacks = " and ".join(missing(members, one.labels))
            yield f"{end.name} is in the network set {one.name}, which {lacks}"
    else:
        yield f"{end.name} is no pod and in no network set; it is for {_who(members)}"


def missing(node: selector.Selector, labels: Mapping[str, str]) -> list[str]:
    """What labels lack for a selector, each as the end of a sentence about who has them."""
    if node.matches(labels):
        return []
    match node:
        case selector.And(operands):
            return list(dict.fromkeys(text for operand in operands for text in missing(operand, labels)))
        case selector.Or(operands):
            return [" and ".join(text for operand in operands for text in missing(operand, labels))]
        case selector.Test(label, selector.Operator.EQUAL, value):
            return [_other(label, labels, f"not {value}", f"no label {label} (it would have to be {value})")]
        case selector.Member(label, values, True):
            wanted = " or ".join(values)
            return [
                _other(label, labels, f"not {wanted}", f"no label {label} (it would have to be {wanted})")
            ]
        case selector.Has(selector.NAMESPACE_LABEL):
            return ["is in no namespace"]
        case selector.Has(label):
            return [f"has no label {_label(label)}"]
        case selector.Not(selector.Has(label)):
            return [f"has a label {_label(label)}"]
        case selector.Test(label, selector.Operator.NOT_EQUAL, _) | selector.Member(label):
            return [_other(label, labels, "which the rule leaves out", "")]
    return [f"is not {_who(node)}"]


def _other(label: str, labels: Mapping[str, str], rest: str, absent: str) -> str:
    """That a label is something else than it would have to be."""
    value = labels.get(label)
    if label == kubernetes.ORCHESTRATOR_LABEL:
        return "is no pod of Kubernetes"
    if label == selector.NAMESPACE_LABEL or label == calico.NAMESPACE_PREFIX + _NAME_LABEL:
        return f"is in namespace {value}, {rest}" if value else f"is in no namespace ({rest})"
    if label == calico.ACCOUNT_LABEL:
        return f"has service account {value}, {rest}"
    if label.startswith(calico.NAMESPACE_PREFIX):
        of = f"is in namespace {labels.get(selector.NAMESPACE_LABEL, '')}, whose label"
        name = label.removeprefix(calico.NAMESPACE_PREFIX)
        return f"{of} {name} is {value}, {rest}" if value is not None else f"{of} {name} is missing ({rest})"
    return f"has {_label(label)} = {value}, {rest}" if value is not None else f"has {absent or rest}"


def _label(label: str) -> str:
    for prefix, whose in ((calico.NAMESPACE_PREFIX, "namespace's "), (calico.ACCOUNT_PREFIX, "account's ")):
        if label.startswith(prefix):
            return whose + label.removeprefix(prefix)
    return label


def _who(node: selector.Selector) -> str:
    """Whom a selector is about, in short."""
    match node:
        case selector.All():
            return "anybody"
        case selector.Test(label, selector.Operator.EQUAL, value):
            if label == selector.NAMESPACE_LABEL:
                return f"whatever is in namespace {value}"
            return "pods" if label == kubernetes.ORCHESTRATOR_LABEL else f"{_label(label)} = {value}"
        case selector.Has(selector.NAMESPACE_LABEL):
            return "whatever is in a namespace"
        case selector.Test(label, selector.Operator.NOT_EQUAL, value):
            return f"whatever has no {_label(label)} = {value}"
        case selector.Not(selector.Test(label, selector.Operator.EQUAL, value)):
            return f"whatever has no {_label(label)} = {value}"
        case selector.Has(label):
            return f"whatever has a label {_label(label)}"
        case selector.Not(selector.Has(label)):
            return f"whatever has no label {_label(label)}"
        case selector.And(operands):
            return " and ".join(_who(operand) for operand in operands)
    return node.render()


def _listed(nets: Sequence[objects.Network]) -> str:
    texts = [str(net) for net in nets]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _ports(rule: objects.Rule, asked: Connection) -> Iterator[str]:
    sides = (
        (rule.source, asked.source, asked.source_port, "source port"),
        (rule.destination, asked.destination, asked.port, "port"),
    )
    for peer, end, port, word in sides:
        names = end.port_names(asked.protocol, port)
        wanted = bool(peer.ports or peer.port_names)
        if wanted and not (_within(peer.ports, port) or names & set(peer.port_names)):
            several = len(peer.ports) + len(peer.port_names) > 1 or any(s.first < s.last for s in peer.ports)
            plural = "s" if several else ""
            got = f"not {port}" if port else f"and {enums.protocol_name(asked.protocol)} has none"
            yield f"it is for {word}{plural} {_ranges(peer)}, {got}{_named(peer, end, asked.protocol)}"
        if _within(peer.not_ports, port) or names & set(peer.not_port_names):
            yield f"it leaves {word} {port} out"


def _within(ranges: Sequence[objects.PortRange], port: int) -> bool:
    return any(span.first <= port <= span.last for span in ranges)


def _ranges(peer: objects.Peer) -> str:
    texts = [
        str(span.first) if span.first == span.last else f"{span.first} to {span.last}" for span in peer.ports
    ] + list(peer.port_names)
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _named(peer: objects.Peer, end: End, protocol: int) -> str:
    """What the names mean there."""
    if not peer.port_names:
        return ""
    ports = end.itself.ports if end.itself else ()
    found = [one for one in ports if one.name in peer.port_names]
    if not found:
        return f" ({end.name} has no port of that name)"
    said = ", ".join(f"{one.name} is {enums.protocol_name(one.protocol)} {one.number}" for one in found)
    return f" ({said} there)" if any(one.protocol == protocol for one in found) else f" ({said})"
