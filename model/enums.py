"""The closed sets of words that appear in a flow, each with what it means."""

from __future__ import annotations

import enum


class Verdict(enum.StrEnum):
    """What finally happened to a flow, as far as the reporting node can know it."""

    ALLOWED = "allowed"
    """It was answered, or this node's own ingress policy let it in."""
    DENIED = "denied"
    """A policy of this node dropped it."""
    UNKNOWN = "unknown"
    """It left this node and nobody answered: dropped further on, or nobody is there."""


class Action(enum.StrEnum):
    """What one rule says."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"  # noqa: S105  # an action, not a password


class Direction(enum.StrEnum):
    """The side of the workload that a policy decision belongs to."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Attribution(enum.StrEnum):
    """How the deciding rule is known."""

    FELIX = "felix"
    """Felix told its verdict and the rules that it met, by its socket or by Goldmane."""
    NFLOG = "nflog"
    """The rule itself logged the packet."""
    PROBE = "probe"
    """No rule is known: packets were counted on their way in and not on their way on."""
    EVALUATED = "evaluated"
    """No source told, and the policies as they were say so."""
    IMPORTED = "imported"
    """Whoever exported the record told; its origin says who that was."""
    NONE = "none"
    """No rule is known: nothing polices this flow here, or its messages were lost."""


class DropReason(enum.StrEnum):
    """What dropped a packet that no rule told of, as far as the place tells where it was last seen.

    Empty where it was not the probe that told of it.
    """

    POLICY = "policy"
    """A rule of the dataplane: the packet got to where rules stand, and not beyond."""
    ROUTING = "routing"
    """The kernel's own routing: no route, reverse path filter, hop limit, forwarding is off."""
    UNKNOWN = "unknown"


class Origin(enum.StrEnum):
    """Who recorded a flow."""

    COLLECTOR = ""
    """A collector on the node."""
    GOLDMANE = "goldmane"
    """Calico's Goldmane, as it streamed, or as an export of its flows says."""
    CALICO_ENTERPRISE = "calico-enterprise"
    """Flow logs of Calico Enterprise or Cloud, imported."""
    HUBBLE = "hubble"
    """Cilium's Hubble, imported."""
    NETOBSERV = "netobserv"
    """NetObserv, imported."""


class Reporter(enum.StrEnum):
    """Which ends of the flow live on the node that reports it."""

    SRC = "src"
    DST = "dst"
    BOTH = "both"
    NONE = "none"


class EndpointKind(enum.StrEnum):
    """What an address stood for at the time of the flow."""

    POD = "pod"
    NODE = "node"
    HOST_ENDPOINT = "host_endpoint"
    """A host that Calico protects and that is no node of the cluster."""
    NETWORK_SET = "network_set"
    """Addresses that somebody has given a name, by a network set or by a service's hand-made endpoints."""
    PRIVATE = "private"
    """An address from private space (RFC 1918, RFC 4193, link-local) that nobody claims."""
    PUBLIC = "public"
    AMBIGUOUS = "ambiguous"
    """Two claims to the address overlap at that time: a wrong name is worse than none."""


class Protocol(enum.IntEnum):
    """IP protocol numbers (IANA) that have a name here."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132
    UDPLITE = 136


PINGS = (Protocol.ICMP, Protocol.ICMPV6)
"""Those with types in place of ports."""
WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
"""Those of which policies know ports; of UDPLite they do not."""


def protocol_name(number: int) -> str:
    """The usual spelling of a protocol number: ``TCP``, ``ICMPv6``, or the number itself."""
    try:
        name = Protocol(number).name
    except ValueError:
        return str(number)
    return {"ICMPV6": "ICMPv6", "UDPLITE": "UDPLite"}.get(name, name)


TCP_STATES = (
    "", "syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait",
    "close", "syn_sent2",
)  # fmt: skip
"""Kernel TCP state number to word (linux/netfilter/nf_conntrack_tcp.h); empty where there is none."""
