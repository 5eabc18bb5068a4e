"""Policies compiled: for each kind of subject the rules that judge it, one after the other.

A program is a list of steps that a packet goes through until one decides: the rules of each policy that
applies, tier by tier, then what happens at the end of a tier, and at last the profile of the namespace
(felix/rules/endpoints.go renders the same as chains).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from model import enums, policyhit
from policy import objects, prefixes, subjects, transports, world

Codes = npt.NDArray[np.int32]

DENY, ALLOW, PASS, LEAVE = 0, 1, 2, 3
"""What becomes of a packet; `LEAVE` is the end of a program that has not decided."""
_ACTIONS = {enums.Action.DENY: DENY, enums.Action.ALLOW: ALLOW, enums.Action.PASS: PASS}

NO_PROGRAM = -1
"""Where an end is no subject of policies."""
NO_HIT = -1
"""Of a step that is no rule of anybody's."""

_TCP, _UDP = enums.Protocol.TCP, enums.Protocol.UDP
_FAILSAFE = {
    enums.Direction.INGRESS: {_TCP: (22, 179, 2379, 2380, 5473, 6443, 6666, 6667), _UDP: (68,)},
    enums.Direction.EGRESS: {_TCP: (179, 2379, 2380, 5473, 6443, 6666, 6667), _UDP: (53, 67)},
}
"""Ports of hosts that no policy can close: Felix's own defaults (felix/config/config_params.go)."""
_ALLOW_ALL = "projectcalico-default-allow"
"""The profile of host endpoints that Calico makes by itself."""


class Chain(enum.StrEnum):
    """Where on its way a connection is judged (felix/rules/endpoints.go).

    An endpoint's own connections are judged in the chain ``normal``; a host endpoint has others for what it
    passes on (``forward``), for what is not tracked, and for what it judges before service translation.
    """

    NORMAL = "normal"
    FORWARD = "forward"
    UNTRACKED = "doNotTrack"
    PRE_DNAT = "preDNAT"


Services = Mapping[tuple[str, str], frozenset[tuple[objects.Network, int, int]]]
"""Namespace and name of a service to the addresses behind it, each with protocol and port."""

_Part = tuple[Codes, Codes]
"""The steps of a program, and for each where it goes on after a pass."""

_Item = TypeVar("_Item", bound=Hashable)


class Table(Generic[_Item]):
    """Different things, each under a number.

    Args:
        first: What gets the first numbers.
    """

    def __init__(self, *first: _Item) -> None:
        self._known: dict[_Item, int] = {item: i for i, item in enumerate(first)}

    def code(self, item: _Item) -> int:
        """The number of a thing, a new one if it was not there."""
        return self._known.setdefault(item, len(self._known))

    def __iter__(self) -> Iterator[_Item]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """All programs of one direction, one after the other, as columns of one length.

    Attributes:
        sources: The number of the source that a step asks for; and ``destinations``.
        transports: The number of the transport that it asks for.
        actions: What becomes of a packet that has all of that: `DENY`, `ALLOW`, `PASS` or `LEAVE`.
        hits: The number of the hit that it makes, or `NO_HIT`.
        jumps: Where a packet goes on that it passes.
        starts: For each label set the first step of its program, `NO_PROGRAM` for those of no pod; for
            each host endpoint, if these are theirs.
        selecting: The policies that select each of these.
    """

    sources: Codes
    destinations: Codes
    transports: Codes
    actions: npt.NDArray[np.uint8]
    hits: Codes
    jumps: Codes
    starts: Codes
    selecting: list[tuple[objects.Policy, ...]]


class Compiler:
    """Numbers for all that rules ask for, and for what they answer.

    Args:
        services: What stands behind each service.

    Attributes:
        whoms: What rules say about addresses; the first is anybody.
        transports: What they say about the rest of a packet; the first is anything.
        hits: What deciding rules there are.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.whoms = Table(world.ANYBODY)
        self.transports = Table(transports.ANY)
        self.hits: Table[policyhit.PolicyHit] = Table()
        self._steps: list[tuple[int, int, int, int, int]] = []
        self._blocks: dict[tuple[str, enums.Direction], Codes] = {}
        self._singles: dict[policyhit.PolicyHit, Codes] = {}
        self._failsafes: dict[tuple[enums.Direction, int], Codes] = {}
        self._left: Codes | None = None

    def programs(
        self, policies: objects.PolicySet, direction: enums.Direction, whole: world.World
    ) -> Programs:
        """The programs of all pods in one direction."""
        judging = [one for one in policies.policies if direction in one.types and not one.early]
        selected = _selected(judging, whole)
        packed = np.packbits(selected, axis=0).T
        assembled: dict[tuple[bytes, str], int] = {}
        parts: list[_Part] = []
        mine: list[tuple[objects.Policy, ...]] = []
        of = np.full(len(whole.labels), NO_PROGRAM, np.int32)
        for label, namespace in whole.namespaces().items():
            key = packed[label].tobytes(), namespace
            if key not in assembled:
                assembled[key] = len(parts)
                mine.append(tuple(judging[i] for i in np.flatnonzero(selected[:, label])))
                last = self._always(prefixes.profile_hit(namespace, direction))
                parts.append(_joined([*self._tiers(policies, mine[-1], direction, ends=True), last]))
            of[label] = assembled[key]
        return self._programs(parts, mine, of)

    def of_hosts(
        self, policies: objects.PolicySet, direction: enums.Direction, whole: world.World, chain: Chain
    ) -> Programs:
        """The programs of all host endpoints in one direction and chain."""
        judging = [one for one in policies.policies if direction in one.types and _is_in(one, chain)]
        selected = _selected(judging, whole)[:, whole.host_labels]
        mine: list[tuple[objects.Policy, ...]] = []
        assembled: dict[tuple[bytes, tuple[str, ...]], int] = {}
        parts: list[_Part] = []
        of = np.zeros(len(whole.hosts), np.int32)
        for number, end in enumerate(whole.hosts.endpoints):
            key = selected[:, number].tobytes(), end.profiles
            if key not in assembled:
                assembled[key] = len(parts)
                mine.append(tuple(judging[i] for i in np.flatnonzero(selected[:, number])))
                parts.append(self._of_host(policies, end, mine[-1], direction, chain))
            of[number] = assembled[key]
        return self._programs(parts, mine, of)

    def _of_host(
        self, policies: objects.PolicySet, end: subjects.Endpoint, mine: tuple[objects.Policy, ...],
        direction: enums.Direction, chain: Chain,
    ) -> _Part:  # fmt: skip
        early = chain in (Chain.UNTRACKED, Chain.PRE_DNAT)
        blocks = list(self._tiers(policies, mine, direction, ends=not early))
        if chain is not Chain.FORWARD:
            blocks.insert(0, self._failsafe(direction, LEAVE if early else ALLOW))
        if chain is Chain.NORMAL:
            blocks += [self._profile(policies, name, direction) for name in end.profiles]
            blocks.append(self._always(prefixes.no_profile(direction)))
        return _joined([*blocks, self._leave()])

    def _programs(
        self, parts: Sequence[_Part], selecting: Sequence[tuple[objects.Policy, ...]], of: Codes
    ) -> Programs:
        """Programs one after the other.

        Args:
            parts: The steps of each, and where it goes on after a pass.
            selecting: The policies in each.
            of: For each subject which of them it has, or `NO_PROGRAM`.
        """
        begins = np.cumsum([0, *(len(steps) for steps, _ in parts)]).astype(np.int32)
        steps = np.concatenate([np.zeros(0, np.int32), *(steps for steps, _ in parts)])
        jumps = [ends + begin for (_, ends), begin in zip(parts, begins[:-1], strict=True)]
        columns = np.array(self._steps, np.int32).reshape(-1, 5)
        return Programs(
            sources=columns[steps, 0], destinations=columns[steps, 1], transports=columns[steps, 2],
            actions=columns[steps, 3].astype(np.uint8), hits=columns[steps, 4],
            starts=np.where(of == NO_PROGRAM, np.int32(NO_PROGRAM), begins[of]),
            jumps=np.concatenate([np.zeros(0, np.int32), *jumps]),
            selecting=[selecting[i] if i != NO_PROGRAM else () for i in of.tolist()],
        )  # fmt: skip

    def _tiers(
        self, policies: objects.PolicySet, mine: tuple[objects.Policy, ...], direction: enums.Direction,
        *, ends: bool,
    ) -> Iterator[Codes]:  # fmt: skip
        """The steps of each tier that has a policy for the subject; and of its end, where it has one."""
        by_tier: dict[str, list[Codes]] = {}
        for policy in mine:
            by_tier.setdefault(policy.tier, []).append(self._block(policy, direction))
        for tier in policies.tiers:
            if tier.name in by_tier:
                end = prefixes.end_of_tier(tier.name, direction, tier.default_action)
                yield np.concatenate([*by_tier[tier.name], *([self._always(end)] if ends else [])])

    def _profile(self, policies: objects.PolicySet, name: str, direction: enums.Direction) -> Codes:
        """The steps of a profile that a host endpoint names; one that is not there denies (felix/calc)."""
        if name == _ALLOW_ALL or name.startswith("kns."):
            return self._always(prefixes.in_profile(name, direction, enums.Action.ALLOW, 0))
        key = f"profile {name}", direction
        if key in self._blocks:
            return self._blocks[key]
        found = [one for one in policies.profiles if one.name == name]
        if not found:
            return self._always(prefixes.in_profile(name, direction, enums.Action.DENY, 0))
        first = len(self._steps)
        for profile in found:
            rules = profile.ingress if direction is enums.Direction.INGRESS else profile.egress
            for index, rule in enumerate(rules):
                action = prefixes.verdict(rule)
                if action is not None:
                    self._rule(rule, prefixes.in_profile(name, direction, action, index))
        self._blocks[key] = np.arange(first, len(self._steps), dtype=np.int32)
        return self._blocks[key]

    def _failsafe(self, direction: enums.Direction, action: int) -> Codes:
        """The steps that keep a host's own ports open; in an early chain they only go past that chain."""
        key = direction, action
        if key not in self._failsafes:
            first = len(self._steps)
            for protocol, ports in _FAILSAFE[direction].items():
                side = transports.Side(tuple(objects.PortRange(port, port) for port in ports))
                transport = transports.Transport(protocol=protocol, destination=side)
                self._steps.append((0, 0, self.transports.code(transport), action, NO_HIT))
            self._failsafes[key] = np.arange(first, len(self._steps), dtype=np.int32)
        return self._failsafes[key]

    def _leave(self) -> Codes:
        """The step at which nothing is decided."""
        if self._left is None:
            self._left = np.array([len(self._steps)], np.int32)
            self._steps.append((0, 0, 0, LEAVE, NO_HIT))
        return self._left

    def _always(self, hit: policyhit.PolicyHit) -> Codes:
        """A step that every packet has."""
        if hit not in self._singles:
            self._singles[hit] = np.array([len(self._steps)], np.int32)
            self._steps.append((0, 0, 0, _ACTIONS[hit.action], self.hits.code(hit)))
        return self._singles[hit]

    def _block(self, policy: objects.Policy, direction: enums.Direction) -> Codes:
        """The steps of a policy's rules."""
        key = policy.identity, direction
        if key not in self._blocks:
            first = len(self._steps)
            for index, rule in enumerate(policy.rules(direction)):
                hit = prefixes.rule_hit(policy, direction, index)
                if hit is not None:  # a log rule decides nothing
                    self._rule(rule, hit)
            self._blocks[key] = np.arange(first, len(self._steps), dtype=np.int32)
        return self._blocks[key]

    def _rule(self, rule: objects.Rule, hit: policyhit.PolicyHit) -> None:
        action, number = _ACTIONS[hit.action], self.hits.code(hit)
        for source, source_port, _ in self._sides(rule.source, ports=False):
            for destination, port, protocol in self._sides(rule.destination, ports=True):
                if None not in (protocol, rule.protocol) and protocol != rule.protocol:
                    continue
                transport = transports.Transport(
                    rule.protocol if protocol is None else protocol, rule.not_protocol, rule.ip_version,
                    rule.icmp, rule.not_icmp, source_port, port,
                )  # fmt: skip
                self._steps.append((
                    self.whoms.code(source), self.whoms.code(destination), self.transports.code(transport),
                    action, number,
                ))  # fmt: skip

    def _sides(
        self, peer: objects.Peer, *, ports: bool
    ) -> Iterator[tuple[world.Whom, transports.Side, int | None]]:
        """The alternatives of one side of a rule: whom, at which port, by which protocol."""
        if peer.service:
            yield from self._behind(peer, ports=ports)
            return
        ruled_out = peer.not_ports, peer.not_port_names
        if peer.ports or not peer.port_names:
            yield _whom(peer, own=False), transports.Side(peer.ports, (), *ruled_out), None
        if peer.port_names:
            yield _whom(peer, own=True), transports.Side((), peer.port_names, *ruled_out), None

    def _behind(
        self, peer: objects.Peer, *, ports: bool
    ) -> Iterator[tuple[world.Whom, transports.Side, int | None]]:
        behind = self._services.get(peer.service or ("", ""), frozenset())
        by_port: dict[tuple[int, int] | None, list[objects.Network]] = {}
        for network, protocol, port in sorted(behind, key=str):
            by_port.setdefault((protocol, port) if ports else None, []).append(network)
        for at, networks in by_port.items():
            whom = world.Whom(nets=tuple(dict.fromkeys(networks)))
            if at is None:
                yield whom, transports.Side(peer.ports, (), peer.not_ports, peer.not_port_names), None
            else:
                yield whom, transports.Side((objects.PortRange(at[1], at[1]),)), at[0]


def _is_in(policy: objects.Policy, chain: Chain) -> bool:
    if chain in (Chain.UNTRACKED, Chain.PRE_DNAT):
        return policy.early == chain
    return not policy.early and (policy.forward or chain is Chain.NORMAL)


def _selected(policies: Sequence[objects.Policy], whole: world.World) -> npt.NDArray[np.bool_]:
    """Which label sets each policy selects, of shape (policies, label sets)."""
    selected = np.array([whole.labels.matching(one.subjects) for one in policies], bool)
    return selected.reshape(len(policies), len(whole.labels))


def _joined(blocks: Sequence[Codes]) -> _Part:
    """Steps, and for each where it goes on after a pass: behind its block."""
    lengths = [len(block) for block in blocks]
    return np.concatenate(blocks), np.repeat(np.cumsum(lengths), lengths).astype(np.int32)


def _whom(peer: objects.Peer, *, own: bool) -> world.Whom:
    return world.Whom(peer.members, peer.not_members, peer.nets, peer.not_nets, own)
