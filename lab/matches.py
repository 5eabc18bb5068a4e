"""The matches of one policy rule in nftables, and the sets that they look into.

Names of sets and the order of matches are those of felix/rules/policy.go and felix/calc/rule_scanner.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from lab import chains, tables
from model import chainnames, enums
from policy import fields, objects, program, selector, subjects

_TRANSPORTS = {name: int(enums.Protocol[name.upper()]) for name in ("tcp", "udp", "sctp")}
_SET_NAME_LIMIT = 31  # ipset's, which Felix keeps in nftables too


class Sets:
    """The sets that a node's rules need, filled from the endpoints that there are."""

    def __init__(self, found: subjects.Subjects, family: int, behind: program.Services | None = None) -> None:
        self._subjects, self._services = found, behind or {}
        self.family = family
        self._types: dict[str, str] = {}
        self._elements: dict[str, list[str]] = {}

    def members(self, members: selector.Selector) -> str:
        """Name of the set of all addresses that a selector matches."""
        name = self._name(_selector_id(members))
        if name not in self._types:
            self._types[name] = f"type {self._address_type}; flags interval;"
            self._elements[name] = [_plain(net) for net in self._subjects.networks(members, self.family)]
        return name

    def named_port(self, port: str, protocol: int | None, members: selector.Selector | None) -> str:
        """Name of the set of address, protocol and number where a port name means something.

        Without a protocol it means whatever protocol the pod declares for it.
        """
        words = _TRANSPORTS if protocol is None else {enums.Protocol(protocol).name.lower(): protocol}
        of = _selector_id(members or selector.All())
        name = self._name(_unique_id("n", f"{of},{'+'.join(words)},{port}"))
        if name not in self._types:
            self._types[name] = f"type {self._address_type} . inet_proto . inet_service;"
            self._elements[name] = [
                f"{address} . {word} . {number}"
                for word, number_of in words.items()
                for address, number in self._subjects.named_ports(port, number_of, members, self.family)
            ]
        return name

    def service(self, service: tuple[str, str], *, ports: bool) -> str:
        """Name of the set of the addresses behind a service; with ``ports`` of protocol and number too."""
        name = self._name(_unique_id("svc" if ports else "svcnoport", "/".join(service)))
        if name not in self._types:
            found = [
                (_plain(net), enums.Protocol(protocol).name.lower(), port)
                for net, protocol, port in self._services.get(service, ()) if net.version == self.family
            ]  # fmt: skip
            if ports:
                self._types[name] = f"type {self._address_type} . inet_proto . inet_service;"
                self._elements[name] = sorted(f"{net} . {word} . {port}" for net, word, port in found)
            else:
                self._types[name] = f"type {self._address_type}; flags interval;"
                self._elements[name] = sorted({net for net, _, _ in found})
        return name

    def all(self) -> list[tables.Set]:
        """Each set that was asked for."""
        return [
            tables.Set(name, "set", spec, tuple(self._elements[name]))
            for name, spec in sorted(self._types.items())
        ]

    @property
    def _address_type(self) -> str:
        return "ipv4_addr" if self.family == 4 else "ipv6_addr"

    def _name(self, identity: str) -> str:
        return f"cali{self.family}0{identity}"[:_SET_NAME_LIMIT].replace(":", "-")


def _unique_id(prefix: str, text: str) -> str:
    return f"{prefix}:{chainnames.encode(hashlib.sha224(f'{prefix}:{text}'.encode()).digest())}"


def _selector_id(members: selector.Selector) -> str:
    return _unique_id("s", members.render())


def _plain(net: objects.Network) -> str:
    return str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)


def compile_rule(rule: objects.Rule, sets: Sets) -> tuple[list[chains.Line], str] | None:
    """Rules to put first, if any, and the match of the rule itself.

    Returns None where no packet of the family can match; Felix then leaves the rule out.
    """
    if not rule.allows_family(sets.family) or not _icmp_fits(rule, sets.family):
        return None
    blocks: list[list[str]] = []
    clauses = [f"meta l4proto {_protocol(rule.protocol)}"] if rule.protocol is not None else []
    for side, peer in (("s", rule.source), ("d", rule.destination)):
        clauses += _wanted(side, peer, sets)
        alternatives = _port_alternatives(rule, side, peer, sets)
        if len(alternatives) == 1:
            clauses += alternatives
        elif alternatives:
            blocks.append(alternatives)
    clauses += _icmp(rule.icmp, sets.family)
    clauses += _not_icmp(rule.not_icmp, sets.family)
    if rule.not_protocol is not None:
        clauses.append(f"meta l4proto != {_protocol(rule.not_protocol)}")
    for side, peer in (("s", rule.source), ("d", rule.destination)):
        clauses += _unwanted(rule, side, peer, sets)
    if blocks:
        clauses.append(chains.is_set(chains.SCRATCH_ALL))
    return _block_lines(blocks, clauses[0] if blocks else ""), " ".join(clauses)


def _protocol(number: int) -> str:
    names = {int(protocol): protocol.name.lower() for protocol in enums.Protocol}
    return names.get(number, str(number))


def _icmp_fits(rule: objects.Rule, family: int) -> bool:
    """A type of the other family's ICMP matches nothing, and nft would not load it."""
    expected = enums.Protocol.ICMP if family == 4 else enums.Protocol.ICMPV6
    return (rule.icmp is None and rule.not_icmp is None) or rule.protocol == expected


def _icmp(message: objects.Icmp | None, family: int) -> list[str]:
    if message is None:
        return []
    word = "icmp" if family == 4 else "icmpv6"
    code = [] if message.code is None else [f"{word} code {message.code}"]
    return [f"{word} type {message.type}", *code]


def _not_icmp(message: objects.Icmp | None, family: int) -> list[str]:
    if message is None:
        return []
    word = "icmp" if family == 4 else "icmpv6"
    if message.code is None:
        return [f"{word} type != {message.type}"]
    return [f"{word} type . {word} code != {{ {message.type} . {message.code} }}"]


def _ip(sets: Sets) -> str:
    return "ip" if sets.family == 4 else "ip6"


def _wanted(side: str, peer: objects.Peer, sets: Sets) -> list[str]:
    found = []
    if peer.nets:
        found.append(f"{_ip(sets)} {side}addr {_nets(peer.nets, sets.family)}")
    # With port names alone the selector is already in their sets, and Felix leaves it out here.
    if peer.members and (peer.ports or not peer.port_names):
        found.append(f"{_ip(sets)} {side}addr @{sets.members(peer.members)}")
    if peer.service:
        port = f" . meta l4proto . th {side}port" if side == "d" else ""
        found.append(f"{_ip(sets)} {side}addr{port} @{sets.service(peer.service, ports=side == 'd')}")
    return found


def _unwanted(rule: objects.Rule, side: str, peer: objects.Peer, sets: Sets) -> list[str]:
    found = []
    if peer.not_nets:
        found.append(f"{_ip(sets)} {side}addr != {_apart(_nets(peer.not_nets, sets.family))}")
    if peer.not_members:
        found.append(f"{_ip(sets)} {side}addr != @{sets.members(peer.not_members)}")
    if peer.not_ports and rule.protocol is not None:
        found.append(f"{_protocol(rule.protocol)} {side}port != {_apart(_ports(peer.not_ports))}")
    if rule.protocol is not None:
        for name in peer.not_port_names:
            members = sets.named_port(name, rule.protocol, None)
            found.append(f"{_ip(sets)} {side}addr . meta l4proto . th {side}port != @{members}")
    return found


def _port_alternatives(rule: objects.Rule, side: str, peer: objects.Peer, sets: Sets) -> list[str]:
    """The matches one of which has to hold: the numbers together, and each name for itself."""
    found = []
    if peer.ports and rule.protocol is not None:
        found.append(f"{_protocol(rule.protocol)} {side}port {_ports(peer.ports)}")
    for name in peer.port_names:
        members = sets.named_port(name, rule.protocol, peer.members)
        found.append(f"{_ip(sets)} {side}addr . meta l4proto . th {side}port @{members}")
    return found


def _block_lines(blocks: list[list[str]], transport: str) -> list[chains.Line]:
    """Rules that leave the first scratch bit set if each block has an alternative that matches.

    ``transport`` is the match on the protocol, without which ports mean nothing.
    """
    lines: list[chains.Line] = []
    for i, alternatives in enumerate(blocks):
        bit = chains.SCRATCH_ONE if i else chains.SCRATCH_ALL
        cleared = chains.SCRATCH_ONE if i else chains.SCRATCH_ALL | chains.SCRATCH_ONE
        lines.append(chains.Line("", chains.clear_mark(cleared)))
        lines += [chains.Line(f"{transport} {match}", chains.set_mark(bit)) for match in alternatives]
        if i:
            missed = chains.is_clear(chains.SCRATCH_ONE)
            lines.append(chains.Line(missed, chains.clear_mark(chains.SCRATCH_ALL)))
    return lines


def _nets(nets: Iterable[objects.Network], family: int) -> str:
    mine = subjects.collapse(net for net in nets if net.version == family)
    return _one_or_set([_plain(net) if len(mine) > 1 else str(net) for net in mine])


def _ports(ranges: Iterable[objects.PortRange]) -> str:
    spans = fields.merge(ranges)
    listed = ", ".join(f"{r.first}" if r.first == r.last else f"{r.first}-{r.last}" for r in spans)
    return f"{{ {listed} }}"


def _apart(value: str) -> str:
    """One value as a range of one.

    Of two inequalities side by side, such as of both ports, nft 1.0.6 makes one of both together, which
    holds already where one of them does.
    """
    one = value.strip("{ }").removesuffix("/32").removesuffix("/128")
    return value if any(mark in one for mark in ",-/") else f"{one}-{one}"


def _one_or_set(elements: list[str]) -> str:
    return elements[0] if len(elements) == 1 else f"{{ {', '.join(elements)} }}"
