"""Whether one rule matches all that another one matches, whatever the cluster is."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from policy import fields, objects


def covers(wide: objects.Rule, narrow: objects.Rule) -> bool:
    """Whether whatever ``narrow`` matches is matched by ``wide``; false where nobody can tell."""
    return (
        wide.protocol in (None, narrow.protocol)
        and wide.not_protocol in (None, narrow.not_protocol)
        and wide.ip_version in (None, narrow.ip_version)
        and wide.icmp in (None, narrow.icmp)
        and wide.not_icmp in (None, narrow.not_icmp)
        and _peer(wide.source, narrow.source)
        and _peer(wide.destination, narrow.destination)
    )


def _peer(wide: objects.Peer, narrow: objects.Peer) -> bool:
    if wide == narrow:
        return True
    named = bool(wide.port_names) and not wide.ports
    return (
        wide.service in (None, narrow.service)
        and (wide.members is None or (wide.members == narrow.members and not named))
        and wide.not_members in (None, narrow.not_members)
        and _nets(wide.nets, narrow.nets)
        and (not wide.not_nets or wide.not_nets == narrow.not_nets)
        and _ports(wide, narrow)
        and (not wide.not_ports or wide.not_ports == narrow.not_ports)
        and (not wide.not_port_names or wide.not_port_names == narrow.not_port_names)
    )


def _nets(wide: Sequence[objects.Network], narrow: Sequence[objects.Network]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(any(_within(net, one) for one in wide) for net in narrow)


def _within(inner: objects.Network, outer: objects.Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _ports(wide: objects.Peer, narrow: objects.Peer) -> bool:
    if not wide.ports and not wide.port_names:
        return True
    if not narrow.ports and not narrow.port_names:
        return False
    spans = fields.merge(wide.ports)
    inside = all(any(a.first <= one.first and one.last <= a.last for a in spans) for one in narrow.ports)
    return inside and set(narrow.port_names) <= set(wide.port_names)
