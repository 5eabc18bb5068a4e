"""What rules grant, against what connections have used of it."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Sequence

from model import enums
from policy import objects, subjects

PEERS = {enums.Direction.INGRESS: "source", enums.Direction.EGRESS: "destination"}
"""Where a rule of each direction says who is at the other end."""

_SHOWN = 5


@dataclasses.dataclass(slots=True)
class Used:
    """What of a rule was used.

    Attributes:
        ports: Protocols and ports.
        addresses: Those at the far end that belong to no pod.
        pods: Whether there were pods at the far end.
    """

    ports: set[tuple[int, int]] = dataclasses.field(default_factory=set)
    addresses: set[subjects.Address] = dataclasses.field(default_factory=set)
    pods: bool = False


_FEW_PORTS = 8
"""So many ports that are used can be written down; and a range that is wider by as many is wide."""
_FEW_NETS = 4
_WITHOUT_PORTS = frozenset({enums.Protocol.ICMP, enums.Protocol.ICMPV6})


def wide_ports(rules: Sequence[objects.Rule], used: Used) -> tuple[str, str] | None:
    """The ports that a rule allows, and those that are used, where these are far fewer."""
    if not 0 < len(used.ports) <= _FEW_PORTS:
        return None
    spans = [span for rule in rules for span in rule.destination.ports]
    open_ = [
        rule.destination for rule in rules
        if rule.protocol not in _WITHOUT_PORTS
        and not rule.destination.ports and not rule.destination.port_names
    ]  # fmt: skip
    granted = sum(span.last - span.first + 1 for span in spans)
    if not open_ and granted <= len(used.ports) + _FEW_PORTS:
        return None
    texts = [
        f"{enums.protocol_name(protocol)} {port}" if port else enums.protocol_name(protocol)
        for protocol, port in sorted(used.ports)
    ]
    verb = "was" if len(texts) == 1 else "were"
    every = f"every port{_except(_ports_left_out(open_))}" if open_ else f"{granted:,} ports"
    return every, f"{' and '.join(texts)} {verb}"


def _ports_left_out(open_: Sequence[objects.Peer]) -> list[str]:
    """The ports that none of some rules about every port allows."""
    ranges = set.intersection(*(set(peer.not_ports) for peer in open_))
    names = set.intersection(*(set(peer.not_port_names) for peer in open_))
    texts = [str(one.first) if one.first == one.last else f"{one.first}-{one.last}" for one in sorted(ranges)]
    return [*texts, *sorted(names)]


def wide_nets(
    rules: Sequence[objects.Rule], direction: enums.Direction, used: Used
) -> tuple[str, str] | None:
    """The networks that a rule allows, and those that are used, where these are far smaller."""
    granted = [one for rule in rules for one in _granted(getattr(rule, PEERS[direction]))]
    if not granted or not used.addresses or used.pods:
        return None
    inside = subjects.collapse(ipaddress.ip_network(one) for one in used.addresses)
    size = sum(net.num_addresses - sum(hole.num_addresses for hole in holes) for net, holes in granted)
    if len(inside) > _FEW_NETS or size <= 16 * len(used.addresses):
        return None
    texts = [str(net.network_address if net.num_addresses == 1 else net) for net in inside]
    verb = "was" if len(texts) == 1 else "were"
    networks = dict.fromkeys(f"{net}{_except(list(map(str, holes)))}" for net, holes in granted)
    return ", ".join(networks), f"{' and '.join(texts)} {verb}"


def _granted(peer: objects.Peer) -> Iterator[tuple[objects.Network, list[objects.Network]]]:
    """The networks of one side of a rule, each with those inside that it leaves out."""
    left_out = subjects.collapse(peer.not_nets)
    for net in peer.nets:
        # of two networks that overlap one holds the other
        holes = [one for one in left_out if one.overlaps(net)]
        if not any(one.prefixlen <= net.prefixlen for one in holes):
            yield net, holes


def _except(texts: Sequence[str]) -> str:
    return f" (except {listed(texts)})" if texts else ""


def listed(names: Sequence[str], most: int = _SHOWN) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
