"""Policies compiled: for each kind of subject the rules that judge it, one after the other.

A program is a list of steps that a packet goes through until one decides: the rules of each policy that
applies, tier by tier, then what happens at the end of a tier, and at last the profile of the namespace
(felix/rules/endpoints.go renders the same as chains).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from model import enums, policyhit
from policy import objects, prefixes, transports, world

Codes = npt.NDArray[np.int32]

DENY, ALLOW, PASS = 0, 1, 2
_ACTIONS = {enums.Action.DENY: DENY, enums.Action.ALLOW: ALLOW, enums.Action.PASS: PASS}

NO_PROGRAM = -1
"""Where an end is no subject of policies."""

Services = Mapping[tuple[str, str], frozenset[tuple[objects.Network, int, int]]]
"""Namespace and name of a service to the addresses behind it, each with protocol and port."""

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
        actions: What becomes of a packet that has all of that: `DENY`, `ALLOW` or `PASS`.
        hits: The number of the hit that it makes.
        jumps: Where a packet goes on that it passes.
        starts: For each label set the first step of its program; `NO_PROGRAM` for those of no pod.
        selecting: For each label set the policies that select it.
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

    def programs(
        self, policies: objects.PolicySet, direction: enums.Direction, whole: world.World
    ) -> Programs:
        """The programs of all pods in one direction."""
        judging = [one for one in policies.policies if direction in one.types and not one.early]
        selected = np.array([whole.labels.matching(one.subjects) for one in judging], bool)
        selected = selected.reshape(len(judging), len(whole.labels))
        packed = np.packbits(selected, axis=0).T
        assembled: dict[tuple[bytes, str], tuple[int, tuple[objects.Policy, ...]]] = {}
        parts: list[Codes] = []
        jumps: list[Codes] = []
        length = 0
        starts = np.full(len(whole.labels), NO_PROGRAM, np.int32)
        selecting: list[tuple[objects.Policy, ...]] = [()] * len(whole.labels)
        for label, namespace in whole.namespaces().items():
            key = packed[label].tobytes(), namespace
            if key not in assembled:
                mine = tuple(judging[i] for i in np.flatnonzero(selected[:, label]))
                steps, ends = self._program(policies, mine, direction, namespace)
                parts.append(steps)
                jumps.append(ends + np.int32(length))
                assembled[key] = length, mine
                length += len(steps)
            starts[label], selecting[label] = assembled[key]
        of = np.concatenate([np.zeros(0, np.int32), *parts])
        columns = np.array(self._steps, np.int32).reshape(-1, 5)
        return Programs(
            sources=columns[of, 0], destinations=columns[of, 1], transports=columns[of, 2],
            actions=columns[of, 3].astype(np.uint8), hits=columns[of, 4], starts=starts,
            jumps=np.concatenate([np.zeros(0, np.int32), *jumps]), selecting=selecting,
        )  # fmt: skip

    def _program(
        self, policies: objects.PolicySet, mine: tuple[objects.Policy, ...], direction: enums.Direction,
        namespace: str,
    ) -> tuple[Codes, Codes]:  # fmt: skip
        """The steps of a subject, and for each where it goes on after a pass."""
        by_tier: dict[str, list[Codes]] = {}
        for policy in mine:
            by_tier.setdefault(policy.tier, []).append(self._block(policy, direction))
        parts: list[Codes] = []
        lengths = []
        for tier in policies.tiers:
            if tier.name in by_tier:
                end = prefixes.end_of_tier(tier.name, direction, tier.default_action)
                block = np.concatenate([*by_tier[tier.name], self._always(end)])
                parts.append(block)
                lengths.append(len(block))
        parts.append(self._always(prefixes.profile_hit(namespace, direction)))
        lengths.append(1)
        return np.concatenate(parts), np.repeat(np.cumsum(lengths), lengths).astype(np.int32)

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


def _whom(peer: objects.Peer, *, own: bool) -> world.Whom:
    return world.Whom(peer.members, peer.not_members, peer.nets, peer.not_nets, own)
