"""Suggestions: from what was recorded to the least that keeps it working.

Workloads are taken by what selectors can tell apart. A direction of such a group that no policy decides
about yet gets rules for all that was accepted; one that is isolated already gets what its policies lack. What
exists is changed as little as can be: a policy about the same pods gets more rules, and a new one has the
workload's name. So a second run, with the first one's policies in force, suggests nothing.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from model import cluster, enums, errors, manifest, policyhit
from policy import (
    acceptance,
    drafting,
    edits,
    names,
    needs,
    objects,
    parse,
    record,
    replay,
    stable,
)
from policy.record import Codes, Mask

Body = dict[str, object]

_BOTH = (enums.Direction.INGRESS, enums.Direction.EGRESS)
_MINUTE = 60 * 1_000_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes:
        kind: Which kind of policy.
        tier: In which tier, of Calico's.
        directions: About which directions.
        admitted: Reasons to leave something out that do not count.
        bounds: How far rules about addresses may go.
        least: For how long pods have to be known, in ns, before anything is suggested about them.
    """

    kind: drafting.Kind = drafting.Kind.KUBERNETES
    tier: str = objects.DEFAULT_TIER
    directions: tuple[enums.Direction, ...] = _BOTH
    admitted: tuple[acceptance.Reason, ...] = ()
    bounds: needs.Bounds = dataclasses.field(default_factory=needs.Bounds)
    least: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Suggested:
    """A policy that is suggested.

    Attributes:
        group: Whose.
        body: The whole manifest.
        before: What it was; None for a new one.
        rules: For each direction the new rules, in order, behind those that were there.
        decides: The directions that it decides about and that nothing decided about before.
    """

    group: stable.Group
    body: Body
    before: Body | None
    rules: Mapping[enums.Direction, tuple[drafting.Rule, ...]]
    decides: tuple[enums.Direction, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is suggested about some pods, or one direction of theirs."""

    group: stable.Group
    direction: enums.Direction | None
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Suggestion:
    """What is suggested.

    Attributes:
        policies: New ones and changed ones, by namespace and name.
        refusals: What nothing is suggested about, and why.
        accepted: Which edges were learned from.
        groups: The groups that it is about.
    """

    policies: tuple[Suggested, ...]
    refusals: tuple[Refusal, ...]
    accepted: acceptance.Accepted
    groups: tuple[stable.Group, ...]


class Suggester:
    """Suggests policies for a record.

    Args:
        seen: The record.
        until: When it ends, in ns since 1970.
        documents: The policies that there are, and what they speak of.
        around: The nodes of the cluster, and its pods on their networks.
        wanted: What is asked for.

    Attributes:
        replay: The record, as it is replayed.
        engine: The policies that there are.
        before: What they do to the record.
        groups: All groups, by namespace and name.
        group_of: The number of each variant's group.

    Raises:
        ManifestError: If a policy is not understood.
        SetupError: If policies in the wanted tier would close nothing.
    """

    def __init__(
        self, seen: record.Record, until: int, documents: Sequence[manifest.Document],
        around: cluster.Cluster, wanted: Wanted,
    ) -> None:  # fmt: skip
        self._seen, self._until, self._wanted = seen, until, wanted
        found = cluster.read(one for one in documents if one.kind not in ("Pod", "Node"))
        known = dataclasses.replace(found, nodes=around.nodes, pods=around.pods)
        self.replay = replay.Replay(seen, known)
        policies = parse.parse(documents)
        if wanted.kind is drafting.Kind.STAGED:
            policies = policies.pending()
        _require_closing(policies, wanted.tier)
        self.engine = self.replay.engine(policies)
        self.before = self.replay.judge(self.engine)
        self._word = drafting.WORD[wanted.kind]
        self._bodies = {
            name: edits.plain(one.body) for name, one in edits.by_identity(documents).items()
            if name.startswith(f"{self._word}/")
        }  # fmt: skip
        self._existing = [one for one in policies.policies if one.identity in self._bodies]
        self.groups = stable.groups(seen.variants)
        self._needs = needs.Needs(seen, self.groups, known, wanted.bounds)
        number = {one: i for i, group in enumerate(self.groups) for one in group.workloads}
        self._names, self._taken_names = names.Names(self.groups), self._taken()
        self._by_pods = self._selecting()
        self.group_of = np.array([number[one.workload] for one in seen.variants], np.int32)

    def suggest(
        self, chosen: Callable[[stable.Group], bool] = lambda _: True,
        told: Callable[[int, int], None] | None = None,
    ) -> Suggestion:  # fmt: skip
        """What is suggested for some groups.

        Args:
            chosen: Which of them.
            told: Called with how many are done, of how many.
        """
        express = () if acceptance.Reason.INEXPRESSIBLE in self._wanted.admitted else (
            drafting.EXPRESSIBLE[self._wanted.kind]
        )  # fmt: skip
        accepted = acceptance.accepted(self._seen, self._until, self._wanted.admitted, express, self.group_of)
        members = self._members()
        ours = [i for i, group in enumerate(self.groups) if chosen(group) and self._is_there(members[i])]
        edges = {direction: self._edges(direction, accepted.mask) for direction in self._wanted.directions}
        lacking = {direction: self._lacking(direction) for direction in self._wanted.directions}
        reaching = {direction: self._reaching(direction) for direction in self._wanted.directions}
        policies: list[Suggested] = []
        refusals: list[Refusal] = []
        crowds = np.zeros(len(self._seen), bool)
        for done, i in enumerate(ours):
            if told:
                told(done, len(ours))
            group = self.groups[i]
            reason = self._refused(group, members[i], [edges[one].get(i, []) for one in edges])
            if reason:
                refusals.append(Refusal(group, None, reason))
                continue
            rules: dict[enums.Direction, tuple[drafting.Rule, ...]] = {}
            decides = []
            for direction in self._wanted.directions:
                mine = np.array(edges[direction].get(i, []), np.int64)
                isolated = self._is_isolated(members[i], direction)
                mine = mine[(lacking if isolated else reaching)[direction][mine]]
                found = self._needs.needed(direction, mine)
                if found.crowd:
                    crowds[list(found.crowd)] = True
                    refusals.append(Refusal(group, direction, self._crowd(found.crowd)))
                    if not isolated:
                        continue
                if not isolated:
                    decides.append(direction)
                if found.rules or not isolated:
                    rules[direction] = tuple(drafting.said(self._wanted.kind, found.rules, self._seen))
            if rules:
                policies.append(self._policy(group, members[i], rules, tuple(decides)))
        return Suggestion(
            tuple(policies), tuple(refusals), accepted.without(crowds, acceptance.Reason.CROWD),
            tuple(self.groups[i] for i in ours),
        )  # fmt: skip

    def _members(self) -> list[list[int]]:
        """The variants of each group."""
        found: list[list[int]] = [[] for _ in self.groups]
        for variant, group in enumerate(self.group_of.tolist()):
            found[group].append(variant)
        return found

    def _is_there(self, members: Sequence[int]) -> bool:
        """Whether there is a pod, or was one within a day, or may be one again."""
        mine = [self._seen.variants[i] for i in members]
        return any(
            one.workload.kind == "CronJob" or not one.last or one.last >= self._until - acceptance.DAY
            for one in mine if not acceptance.is_one_off(one)
        )  # fmt: skip

    def _edges(self, direction: enums.Direction, which: Mask) -> dict[int, list[int]]:
        """Some edges by the group whose rules of a direction are asked about them."""
        near = self._seen.dst if direction is enums.Direction.INGRESS else self._seen.src
        rows = np.flatnonzero(which & (near >= 0))
        found: dict[int, list[int]] = {}
        for row, group in zip(rows.tolist(), self.group_of[near[rows]].tolist(), strict=True):
            found.setdefault(group, []).append(row)
        return found

    def _deciders(self, direction: enums.Direction) -> tuple[list[policyhit.PolicyHit | None], Codes]:
        """What decides about edges in one direction, and which of it about each."""
        traces = self.before.into if direction is enums.Direction.INGRESS else self.before.out
        numbers, of = np.unique(traces, return_inverse=True)
        return [replay.decider(self.engine, number) for number in numbers.tolist()], of.astype(np.int32)

    def _reaching(self, direction: enums.Direction) -> Mask:
        """Edges about which no policy of an earlier tier decides."""
        order = [tier.name for tier in self.engine.policies.tiers]
        earlier = set(order[: order.index(self._wanted.tier)])
        hits, of = self._deciders(direction)
        found: Mask = np.array([hit is None or hit.tier not in earlier for hit in hits], bool)[of]
        return found

    def _lacking(self, direction: enums.Direction) -> Mask:
        """Edges that are denied since no policy of the tier allows them: what another rule can change."""
        denied = self.before.ingress if direction is enums.Direction.INGRESS else self.before.egress
        hits, of = self._deciders(direction)
        at_end = [
            hit is not None and hit.kind == policyhit.END_OF_TIER and hit.tier == self._wanted.tier
            for hit in hits
        ]
        found: Mask = denied & np.array(at_end, bool)[of]
        return found

    def _is_isolated(self, members: Sequence[int], direction: enums.Direction) -> bool:
        """Whether policies of the tier decide already about all pods of a group."""
        return all(
            any(one.tier == self._wanted.tier for one in self.engine.selecting(variant, direction))
            for variant in members
        )

    def _refused(self, group: stable.Group, members: Sequence[int], edges: Collection[Sequence[int]]) -> str:
        """Why nothing can be suggested about a group; empty where something can."""
        if not group.labels:
            return group.warning
        firsts = [self._seen.variants[i].first for i in members]
        if self._wanted.least and all(firsts) and self._until - min(firsts) < self._wanted.least:
            minutes = max(self._until - min(firsts), 0) // _MINUTE
            return f"its pods have been there for {minutes} minutes: too short a time to learn from"
        if not any(edges):
            return "nothing was seen of it that could be learned from"
        return ""

    def _crowd(self, edges: Sequence[int]) -> str:
        ends = {int(end) for edge in edges for end in (self._seen.src[edge], self._seen.dst[edge]) if end < 0}
        return (
            f"{len(ends):,} addresses without a name do not fit into {self._wanted.bounds.prefixes} "
            "prefixes: make a network set of them, allow wider prefixes, or allow them all"
        )

    def _policy(
        self, group: stable.Group, members: Sequence[int],
        rules: dict[enums.Direction, tuple[drafting.Rule, ...]], decides: tuple[enums.Direction, ...],
    ) -> Suggested:  # fmt: skip
        """A policy about the same pods with more rules, or a new one."""
        kind, tier = self._wanted.kind, self._wanted.tier
        bodies = {
            direction: [drafting.rule(kind, group.namespace, direction, one) for one in some]
            for direction, some in rules.items()
        }
        before = self._about(group, members)
        if before is None:
            name = self._names.free(group, self._taken_names[group.namespace])
            body = drafting.policy(kind, tier, group, name, bodies)
        else:
            body = _extended(before, kind, bodies)
        return Suggested(group, body, before, rules, decides)

    def _selecting(self) -> dict[tuple[str, bytes], str]:
        """The policies of the wanted kind and tier, by their namespace and the pods that they select."""
        labels, count = self.engine.world.labels, len(self._seen.variants)
        found: dict[tuple[str, bytes], str] = {}
        for policy in sorted(self._existing, key=lambda one: one.name):
            if policy.tier == self._wanted.tier:
                matched = np.flatnonzero(labels.matching(policy.subjects)[labels.codes[:count]])
                found.setdefault((policy.namespace, matched.tobytes()), policy.identity)
        return found

    def _about(self, group: stable.Group, members: Sequence[int]) -> Body | None:
        """A policy of the wanted kind and tier that selects the pods of a group and no others."""
        identity = self._by_pods.get((group.namespace, np.array(members, np.int64).tobytes()))
        return self._bodies[identity] if identity else None

    def _taken(self) -> dict[str, set[str]]:
        """The names of policies, by namespace; a staged one is to take its namesake's place."""
        words = {self._word, objects.STAGED.get(self._word)}
        found: dict[str, set[str]] = collections.defaultdict(set)
        for one in self.engine.policies.policies:
            if one.kind in words:
                found[one.namespace] |= {one.name, one.name.removeprefix(f"{self._wanted.tier}.")}
        return found


def _require_closing(policies: objects.PolicySet, tier: str) -> None:
    """Make sure that a tier is there, and denies what its policies do not decide.

    Raises:
        SetupError: If it is not so.
    """
    found = next((one for one in policies.tiers if one.name == tier), None)
    if found is None:
        raise errors.SetupError(f"there is no tier {tier}: make one, or suggest for the default one")
    if found.default_action is enums.Action.PASS:
        raise errors.SetupError(
            f"tier {tier} passes on what its policies do not decide: policies there would close nothing"
        )


def _extended(before: Body, kind: drafting.Kind, rules: Mapping[enums.Direction, Sequence[Body]]) -> Body:
    """A manifest with more rules, and with the directions that they are of."""
    body: dict[str, object] = copy.deepcopy(before)
    spec = body["spec"]
    assert isinstance(spec, dict)  # noqa: S101  # it was read as a policy
    types = "policyTypes" if kind is drafting.Kind.KUBERNETES else "types"
    spec[types] = _types(before, rules)
    for direction, more in rules.items():
        spec[str(direction)] = [*(spec.get(str(direction)) or []), *more]
    return body


def _types(before: Body, rules: Mapping[enums.Direction, Sequence[Body]]) -> list[str]:
    """The directions that a policy decides about, with some more."""
    document = manifest.Document("", 1, dict(before))
    (policy,) = parse.parse([document]).everything()
    return [str(one).capitalize() for one in _BOTH if one in policy.types or one in rules]
