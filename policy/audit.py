"""What is wrong, superfluous or open in a set of policies; and what of it is used, where that is known."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model import enums, manifest, policyhit
from policy import (
    covering,
    edits,
    evaluate,
    explanation,
    granted,
    kubernetes,
    objects,
    prefixes,
    queries,
    selector,
)
from policy import (
    world as worlds,
)

_INGRESS, _EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
_MOST_NAMED = 20
"""Pods that are named where a change would close them."""
_PASSED_ON = "a default deny would not help: policies of its tier pass on what it would deny"
_STRANGERS = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Addresses that nobody has (RFC 5737, RFC 3849)."""
_ODD_PORT = 1
"""That of tcpmux (RFC 1078), about which nobody writes a rule."""


class Severity(enum.StrEnum):
    """How much a finding matters."""

    HIGH = "high"
    """Something is open, or not as it seems."""
    MEDIUM = "medium"
    LOW = "low"
    """Nothing would change without it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to look at.

    Attributes:
        check: Which check found it, a key of `CHECKS`.
        subject: What it is about: a policy's identity, a namespace, a workload.
        rule: Which rule of the manifest, from 0 in its direction; -1 for none.
        evidence: What it rests on.
        fix: The change, as ``diff -u`` would show it; empty where people have to decide.
    """

    check: str
    severity: Severity
    subject: str
    direction: str = ""
    rule: int = -1
    sentence: str
    evidence: tuple[str, ...] = ()
    fix: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Met:
    """How often a hit was met.

    Attributes:
        connections: By how many.
        last: When at last, in ns since 1970.
    """

    connections: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What connections have met.

    Attributes:
        hits: The hits that were met, by their text form.
        rules: What was used of those that decided, by their text form; all of it.
        since: When each policy got its present content, by identity; in ns since 1970.
        start: From when on connections were looked at, in ns since 1970.
        evidence: Over which span, and how complete the record of it is.
    """

    hits: Mapping[str, Met]
    rules: Mapping[str, granted.Used] = dataclasses.field(default_factory=dict)
    since: Mapping[str, int]
    start: int
    evidence: str


class Auditor:
    """Looks at the policies of one cluster.

    Args:
        engine: The policies, compiled.
        documents: Their manifests.
        use: What connections have met; None where nobody knows.
    """

    def __init__(
        self, engine: evaluate.Engine, documents: Sequence[manifest.Document], use: Use | None = None
    ) -> None:
        self._engine, self._use = engine, use
        self._policies = engine.policies.everything()
        self._of = edits.by_identity(documents)
        labels = engine.world.labels
        self._codes = labels.codes[: len(engine.world.pods)]

    def findings(self) -> list[Finding]:
        """All of them, the worst first."""
        found = [one for check in CHECKS.values() for one in check(self)]
        worst = list(Severity)
        return sorted(found, key=lambda one: (worst.index(one.severity), one.check, one.subject, one.rule))

    def selects_nothing(self) -> Iterator[Finding]:
        """Policies that select no pod and no host, nor have had any in the time that is recorded."""
        for policy in self._policies:
            if self._is_for_nobody(policy):
                whom = "no host endpoint" if policy.early else "no pod"
                yield Finding(
                    check="selects-nothing", severity=Severity.MEDIUM, subject=policy.identity,
                    sentence=f"{explanation.name(policy)} selects {whom}.",
                    evidence=(f"its selector is {_readable(policy.subjects)}",), fix=self._removed(policy),
                )  # fmt: skip

    def missing_tiers(self) -> Iterator[Finding]:
        """Policies of a tier that nobody has declared: it is judged last, and denies at its end."""
        undeclared = {tier.name for tier in self._engine.policies.tiers if not tier.declared}
        for policy in self._policies:
            if policy.tier in undeclared:
                yield Finding(
                    check="missing-tier", severity=Severity.HIGH, subject=policy.identity,
                    sentence=f"{explanation.name(policy)} names tier {policy.tier}, which there is not: it "
                    "is judged after all others, and what it does not decide is denied.",
                    evidence=("tiers: " + ", ".join(
                        tier.name for tier in self._engine.policies.tiers if tier.declared),),
                )  # fmt: skip

    def allow_all(self) -> Iterator[Finding]:
        """Rules that let everybody in, or out to anywhere."""
        said = set()
        for policy, direction, rule in self._rules():
            open_ = rule.action is objects.RuleAction.ALLOW and rule.protocol is rule.not_protocol is None
            place = (policy.identity, direction, rule.written)
            if open_ and _anybody(rule.source) and _anybody(rule.destination) and place not in said:
                said.add(place)
                whom = "everybody in" if direction is _INGRESS else "everything out"
                yield Finding(
                    check="allow-all", severity=Severity.HIGH if direction is _INGRESS else Severity.MEDIUM,
                    subject=policy.identity, direction=direction, rule=rule.written,
                    sentence=f"{self._place(policy, direction, rule)} lets {whom}, at every port.",
                    evidence=(self._pods(policy.subjects),),
                )  # fmt: skip

    def shadowed(self) -> Iterator[Finding]:
        """Rules behind one in the same policy that decides all that they match."""
        for policy in self._policies:
            for direction in enums.Direction:
                rules = policy.rules(direction)
                for written, mine in itertools.groupby(rules, key=lambda rule: rule.written):
                    before = [one for one in rules if one.written < written and _decides(one)]
                    covered = [next((a for a in before if covering.covers(a, one)), None) for one in mine]
                    if covered and all(covered):
                        first = covered[0]
                        assert first  # noqa: S101  # all are there
                        yield self._superfluous(policy, direction, written, first.written)

    def _superfluous(
        self, policy: objects.Policy, direction: enums.Direction, written: int, by: int
    ) -> Finding:
        ordinal = explanation.ordinal
        return Finding(
            check="shadowed-rule", severity=Severity.LOW, subject=policy.identity, direction=direction,
            rule=written,
            sentence=f"The {ordinal(written)} {direction} rule of {explanation.name(policy)} never decides: "
            f"the {ordinal(by)} one matches all that it matches.",
            fix=self._without(policy, direction, written),
        )  # fmt: skip

    def duplicates(self) -> Iterator[Finding]:
        """Policies that say the same as another one."""
        seen: dict[tuple[object, ...], objects.Policy] = {}
        for policy in self._policies:
            said = (
                policy.kind, policy.namespace, policy.tier, policy.subjects, policy.types, policy.ingress,
                policy.egress, policy.forward, policy.early,
            )  # fmt: skip
            first = seen.setdefault(said, policy)
            if first is not policy:
                yield Finding(
                    check="duplicate", severity=Severity.LOW, subject=policy.identity,
                    sentence=f"{explanation.name(policy)} says the same as {explanation.name(first)}.",
                    fix=self._removed(policy),
                )  # fmt: skip

    def missing_peers(self) -> Iterator[Finding]:
        """Rules about somebody whom there is not; not those of policies that select nothing."""
        of = self._engine.cluster
        known = {(one.namespace, one.name) for one in of.services}
        known |= {(one.namespace, one.service) for one in of.slices if one.made_by_hand}
        nobody = {policy.identity for policy in self._policies if self._is_for_nobody(policy)}
        for policy, direction, rule in self._rules():
            missing = None if policy.identity in nobody else self._missing(rule, direction, known)
            if missing:
                whom, evidence = missing
                yield Finding(
                    check="missing-peer", severity=Severity.LOW, subject=policy.identity, direction=direction,
                    rule=rule.written, sentence=f"{self._place(policy, direction, rule)} is about {whom}.",
                    evidence=(evidence,),
                )  # fmt: skip

    def _missing(
        self, rule: objects.Rule, direction: enums.Direction, known: Collection[tuple[str, str]]
    ) -> tuple[str, str] | None:
        """Whom a rule is about and is not there, and how that is known; None if it is about others.

        Args:
            rule: The rule.
            direction: Which way it is about.
            known: Namespace and name of each service; where there are none, they may just not be told.
        """
        peer = getattr(rule, granted.PEERS[direction])
        if peer.members is not None and not self._engine.world.labels.matching(peer.members).any():
            return (
                "pods or network sets of which there are none",
                f"nothing matches {_readable(peer.members)}",
            )
        if peer.service and known and peer.service not in known:
            namespace, name = peer.service
            others = sorted(one for space, one in known if space == namespace)
            return (
                f"service {namespace}/{name}, which there is not",
                f"services of that namespace: {granted.listed(others) or 'none'}",
            )
        return None

    def missing_ports(self) -> Iterator[Finding]:
        """Rules about names of ports that no pod has that they are about."""
        pods = self._engine.world.pods
        for policy, direction, rule in self._rules():
            of = policy.subjects if direction is _INGRESS else rule.destination.members
            there = self._selected(of) if of is not None else np.ones(len(pods), bool)
            known = {
                port.name for i in np.flatnonzero(there) for port in pods[i].ports
                if rule.protocol in (None, port.protocol)
            }  # fmt: skip
            for name in rule.destination.port_names:
                if name not in known and there.any():
                    yield Finding(
                        check="missing-port", severity=Severity.MEDIUM, subject=policy.identity,
                        direction=direction, rule=rule.written,
                        sentence=f"{self._place(policy, direction, rule)} is about port {name}, a name that "
                        f"no pod's {_protocol(rule)}port has there.",
                        evidence=(f"names there: {', '.join(sorted(known)) or 'none'}",),
                    )  # fmt: skip

    def not_isolated(self) -> Iterator[Finding]:
        """Pods about whose ingress no policy decides: everybody reaches them."""
        found: dict[tuple[str, bool], list[int]] = {}
        pods = self._engine.world.pods
        for i in self._open():
            selected = bool(self._engine.selecting(i, _INGRESS))
            found.setdefault((pods[i].namespace, selected), []).append(i)
        for (namespace, selected), mine in sorted(found.items()):
            some = f"{len(mine)} pod{'s' if len(mine) != 1 else ''} of namespace {namespace}"
            what = (
                f"No policy that selects {some} decides about strangers" if selected
                else f"No policy selects {some} for ingress"
            )  # fmt: skip
            names = (granted.listed([pods[i].name for i in mine]),) if selected else ()
            closed = self._closed(namespace)
            helps = not closed.isdisjoint(mine)
            yield Finding(
                check="not-isolated", severity=Severity.MEDIUM, subject=namespace, direction=_INGRESS,
                sentence=f"{what}: everybody reaches them.",
                evidence=(*names, *(self._closing(namespace, closed) if helps else (_PASSED_ON,))),
                fix=self._default_deny(namespace) if helps else "",
            )  # fmt: skip

    def _open(self) -> Iterator[int]:
        """The pods that a stranger from outside reaches at any port because no policy decides about it."""
        there = [(i, pod) for i, pod in enumerate(self._engine.world.pods) if pod.nets]
        asked = [
            queries.Query(src=_STRANGERS[min(worlds.addresses(pod))], dst=f"{pod.namespace}/{pod.name}",
                          port=_ODD_PORT)
            for _, pod in there
        ]  # fmt: skip
        answers = queries.Asker(self._engine).ask(asked) if asked else []
        for (i, _), answer in zip(there, answers, strict=True):
            if answer.ingress and answer.ingress[-1].kind == policyhit.PROFILE:
                yield i

    def no_default_deny(self) -> Iterator[Finding]:
        """Namespaces in which a new pod would be open, though some pods are isolated."""
        by_namespace: dict[str, set[int]] = {}
        for i, pod in enumerate(self._engine.world.pods):
            by_namespace.setdefault(pod.namespace, set()).add(i)
        for namespace, mine in sorted(by_namespace.items()):
            anybody = {
                selector.NAMESPACE_LABEL: namespace,
                "projectcalico.org/orchestrator": "k8s",
                **self._inherited(namespace),
            }
            isolated = any(self._engine.selecting(i, _INGRESS) for i in mine)
            if isolated and not any(
                _INGRESS in one.types and not one.early and one.subjects.matches(anybody)
                for one in self._engine.policies.policies
            ):
                yield Finding(
                    check="no-default-deny", severity=Severity.MEDIUM, subject=namespace, direction=_INGRESS,
                    sentence=f"Namespace {namespace} has no policy for all of its pods: a new workload there "
                    "is open to everybody until somebody writes one.",
                    evidence=self._closing(namespace, self._closed(namespace)),
                    fix=self._default_deny(namespace),
                )  # fmt: skip

    def _closed(self, namespace: str) -> set[int]:
        """The pods to which less would get with a default deny for their namespace."""
        pods = enumerate(self._engine.world.pods)
        return {i for i, pod in pods if pod.namespace == namespace and self._is_open_to_default(i)}

    def _is_open_to_default(self, pod: int) -> bool:
        """Whether something gets as far as the default tier, and no policy there has its end deny it."""
        mine = self._engine.selecting(pod, _INGRESS)
        tiers = itertools.takewhile(
            lambda tier: tier.name != objects.DEFAULT_TIER, self._engine.policies.tiers
        )
        return not any(one.tier == objects.DEFAULT_TIER for one in mine) and all(
            _passes_on(tier, [one for one in mine if one.tier == tier.name]) for tier in tiers
        )

    def _closing(self, namespace: str, closed: Collection[int]) -> tuple[str, ...]:
        """What a default deny for a namespace would break, in words.

        Args:
            namespace: Its name.
            closed: The pods to which less would get, by their numbers.
        """
        if not closed:
            return ("all pods there are isolated already: the fix changes nothing for them",)
        pods = self._engine.world.pods
        selected: dict[bool, list[str]] = {}
        for i in sorted(closed):
            selected.setdefault(bool(self._engine.selecting(i, _INGRESS)), []).append(pods[i].name)
        told = {
            False: "open now, and closed by the fix to all that no policy allows",
            True: "the fix denies what policies of other tiers pass on to",
        }
        said = [f"{told[of]}: {granted.listed(names, _MOST_NAMED)}" for of, names in sorted(selected.items())]
        return (*said, *self._undecided(namespace))

    def _undecided(self, namespace: str) -> Iterator[str]:
        """How many connections into a namespace no policy has decided about, where that is recorded."""
        hit = prefixes.profile_hit(namespace, _INGRESS).render()
        if self._use and hit in self._use.hits:
            count = self._use.hits[hit].connections
            what = "connection was" if count == 1 else "connections were"
            told = f"{count:,} {what} let into namespace {namespace} as no policy decides"
            yield f"{told}, which the fix denies ({self._use.evidence})"

    def _default_deny(self, namespace: str) -> str:
        """A new policy that isolates all pods of a namespace, under a name that is free."""
        names = itertools.chain(
            ("default-deny", "default-deny-ingress"), (f"default-deny-{i}" for i in itertools.count(2))
        )
        name = next(one for one in names if f"knp/{namespace}/{one}" not in self._of)
        return edits.diff(None, {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        })  # fmt: skip

    def _inherited(self, namespace: str) -> Mapping[str, str]:
        """What any pod of a namespace inherits."""
        pod = next(one for one in self._engine.world.pods if one.namespace == namespace)
        return {label: value for label, value in pod.labels.items() if label.startswith("pcns.")}

    def unused(self) -> Iterator[Finding]:
        """Policies and rules that no connection has met."""
        if self._use is None:
            return
        for policy in self._engine.policies.policies:
            if not self._is_to_be_met(policy):
                continue
            unmet = [one for direction in enums.Direction for one in self._unmet(policy, direction)]
            rules = {
                (direction, rule.written) for direction in policy.types for rule in policy.rules(direction)
                if _decides(rule)
            }  # fmt: skip
            if rules and len(unmet) == len(rules):
                yield self._unused(
                    f"No rule of {explanation.name(policy)} was met by any connection.", policy,
                    self._removed(policy),
                )  # fmt: skip
                continue
            for direction, written in unmet:
                place = f"The {explanation.ordinal(written)} {direction} rule of {explanation.name(policy)}"
                without = self._without(policy, direction, written)
                found = self._unused(f"{place} was met by no connection.", policy, without)
                yield dataclasses.replace(found, direction=direction, rule=written)

    def _is_to_be_met(self, policy: objects.Policy) -> bool:
        """Whether connections that met it would have told: not of hosts alone, and there all the time."""
        assert self._use  # noqa: S101  # asked for by those who have it
        if policy.early or self._use.since.get(policy.identity, 0) > self._use.start:
            return False
        return bool(self._selected(policy.subjects).any()) or not self._selects_hosts(policy)

    def _unmet(
        self, policy: objects.Policy, direction: enums.Direction
    ) -> Iterator[tuple[enums.Direction, int]]:
        """The rules of a manifest none of whose parts was met."""
        assert self._use  # noqa: S101  # asked for by `unused` alone
        rules = policy.rules(direction) if direction in policy.types else ()
        numbered = enumerate(rules)
        for written, mine in itertools.groupby(numbered, key=lambda pair: pair[1].written):
            hits = [prefixes.rule_hit(policy, direction, index) for index, _ in mine]
            decided = [hit.render() for hit in hits if hit]
            if decided and self._use.hits.keys().isdisjoint(decided):
                yield direction, written

    def _unused(self, sentence: str, policy: objects.Policy, fix: str) -> Finding:
        assert self._use  # noqa: S101  # asked for by `unused` alone
        return Finding(
            check="unused", severity=Severity.LOW, subject=policy.identity, sentence=sentence,
            evidence=(self._use.evidence,), fix=fix,
        )  # fmt: skip

    def wide(self) -> Iterator[Finding]:
        """Rules that allow more than is used: ports, or networks."""
        if self._use is None:
            return
        for policy in self._engine.policies.policies:
            if not self._is_to_be_met(policy):
                continue
            for direction in policy.types:
                numbered = enumerate(policy.rules(direction))
                for written, mine in itertools.groupby(numbered, key=lambda pair: pair[1].written):
                    yield from self._wide(policy, direction, written, list(mine))

    def _wide(
        self, policy: objects.Policy, direction: enums.Direction, written: int,
        mine: Sequence[tuple[int, objects.Rule]],
    ) -> Iterator[Finding]:  # fmt: skip
        assert self._use  # noqa: S101  # asked for by `wide` alone
        used = granted.Used()
        for index, rule in mine:
            hit = prefixes.rule_hit(policy, direction, index)
            one = self._use.rules.get(hit.render()) if hit else None
            if one and rule.action is objects.RuleAction.ALLOW:
                used.ports |= one.ports
                used.addresses |= one.addresses
                used.pods |= one.pods
        rules = [rule for _, rule in mine]
        place = f"The {explanation.ordinal(written)} {direction} rule of {explanation.name(policy)} allows"
        wide = granted.wide_ports(rules, used), granted.wide_nets(rules, direction, used)
        for allowed, only in filter(None, wide):
            yield Finding(
                check="wide", severity=Severity.LOW, subject=policy.identity, direction=direction,
                rule=written, sentence=f"{place} {allowed}, and only {only} used.",
                evidence=(self._use.evidence,),
            )  # fmt: skip

    def same_priority(self) -> Iterator[Finding]:
        """Administrators' policies of one priority for the same pods: which comes first is not said."""
        admins = [one for one in self._policies if one.kind in ("kcnp", "kanp")]
        for one, other in itertools.combinations(admins, 2):
            if (one.tier, one.order) != (other.tier, other.order) or not one.types & other.types:
                continue
            if (self._selected(one.subjects) & self._selected(other.subjects)).any():
                yield Finding(
                    check="same-priority", severity=Severity.MEDIUM, subject=other.identity,
                    sentence=f"{explanation.name(one)} and {explanation.name(other)} have priority "
                    f"{one.order:.0f} for the same pods: which of them decides is not defined. Calico goes "
                    "by name.",
                )  # fmt: skip

    def _rules(self) -> Iterator[tuple[objects.Policy, enums.Direction, objects.Rule]]:
        for policy in self._policies:
            for direction in enums.Direction:
                if direction in policy.types:
                    for rule in policy.rules(direction):
                        yield policy, direction, rule

    def _selected(self, subjects: selector.Selector) -> npt.NDArray[np.bool_]:
        """Which pods a selector matches."""
        found: npt.NDArray[np.bool_] = self._engine.world.labels.matching(subjects)[self._codes]
        return found

    def _is_for_nobody(self, policy: objects.Policy) -> bool:
        pods = not policy.early and bool(self._selected(policy.subjects).any())
        return not pods and not self._selects_hosts(policy) and not self._was_met(policy)

    def _was_met(self, policy: objects.Policy) -> bool:
        """Whether a connection has met it as it is now: then it had pods, though they may have ended."""
        if self._use is None:
            return False
        since = self._use.since.get(policy.identity, 0)
        hits = (
            prefixes.rule_hit(policy, direction, index)
            for direction in policy.types for index in range(len(policy.rules(direction)))
        )  # fmt: skip
        met = (self._use.hits.get(hit.render()) for hit in hits if hit)
        return any(one.last > since for one in met if one)

    def _selects_hosts(self, policy: objects.Policy) -> bool:
        world = self._engine.world
        return bool(world.labels.matching(policy.subjects)[world.host_labels].any())

    def _pods(self, subjects: selector.Selector) -> str:
        pods = self._engine.world.pods
        names = [f"{pods[i].namespace}/{pods[i].name}" for i in np.flatnonzero(self._selected(subjects))]
        return f"it selects {granted.listed(names)}" if names else "it selects no pod"

    def _place(self, policy: objects.Policy, direction: enums.Direction, rule: objects.Rule) -> str:
        return f"The {explanation.ordinal(rule.written)} {direction} rule of {explanation.name(policy)}"

    def _removed(self, policy: objects.Policy) -> str:
        document = self._of.get(policy.identity)
        return edits.diff(edits.plain(document.body), None) if document else ""

    def _without(self, policy: objects.Policy, direction: enums.Direction, written: int) -> str:
        document = self._of.get(policy.identity)
        if document is None:
            return ""
        return edits.diff(edits.plain(document.body), edits.without(document, direction, written))


def _anybody(peer: objects.Peer) -> bool:
    """Whether a side of a rule is everybody, of one address family at least."""
    whole = any(net.prefixlen == 0 for net in peer.nets)
    return (dataclasses.replace(peer, nets=()) if whole else peer) == objects.Peer()


def _passes_on(tier: objects.Tier, policies: Sequence[objects.Policy]) -> bool:
    """Whether a tier with these policies for a pod leaves anything that comes in to later tiers."""
    rules = (rule for one in policies for rule in one.ingress)
    return (
        not policies
        or tier.default_action is enums.Action.PASS
        or any(rule.action is objects.RuleAction.PASS for rule in rules)
    )


def _protocol(rule: objects.Rule) -> str:
    return f"{enums.protocol_name(rule.protocol)} " if rule.protocol is not None else ""


def _decides(rule: objects.Rule) -> bool:
    return rule.action is not objects.RuleAction.LOG


def _readable(node: selector.Selector) -> str:
    """A selector without what Calico's conversion of Kubernetes policies has put into it."""
    return _written(node).render()


def _written(node: selector.Selector) -> selector.Selector:
    match node:
        case selector.Or(operands):
            return selector.Or(tuple(map(_written, operands)))
        case selector.And(operands):
            claims = [_written(one) for one in operands]
            return selector.both(*(one for one in claims if one != selector.All())) or selector.All()
    return selector.All() if node == kubernetes.IS_POD else node


CHECKS = {
    "missing-tier": Auditor.missing_tiers, "allow-all": Auditor.allow_all,
    "not-isolated": Auditor.not_isolated,
    "no-default-deny": Auditor.no_default_deny, "selects-nothing": Auditor.selects_nothing,
    "missing-port": Auditor.missing_ports, "same-priority": Auditor.same_priority,
    "unused": Auditor.unused, "wide": Auditor.wide,
    "missing-peer": Auditor.missing_peers, "shadowed-rule": Auditor.shadowed, "duplicate": Auditor.duplicates,
}  # fmt: skip
"""What is looked for, and what finds it."""
