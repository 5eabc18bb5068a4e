"""Calico's chains: which rule's counter belongs to which policy rule.

A policy rule is a match that sets a mark bit, and behind it one rule that logs what has the bit and one that
lets it go; older versions drop at once, and know no logging. Before the match there can be rules which only
prepare it with scratch bits ("match blocks"). What counts is the match. See felix/rules/policy.go and
felix/rules/endpoints.go. Which bit means what is configurable, and is learnt from the rules themselves.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from collector.counters import rules
from model import chainnames, enums, policyhit

_TIER_STARTS = re.compile(r"Start of tier (\S+)")
_TIER_ENDS = re.compile(r"End of tier (\S+?)\. (?:Drop|Reject) if no policies passed packet")
_ONLY_TIER_ENDS = re.compile(r"(?:Drop|Reject) if no policies passed packet")
"""Before 3.30 there are no words about the tier."""
_NO_PROFILE = re.compile(r"(?:Drop|Reject) if no profiles matched")
_UNFILTERED = ("raw", "nat")
"""Layers whose chains decide nothing that a flow would show."""

_Known = Mapping[str, policyhit.PolicyHit]
_Owners = Mapping[str, chainnames.Owner]


@dataclasses.dataclass(frozen=True, slots=True)
class _Chain:
    """A chain of Calico's by its name without layer."""

    name: str
    rules: Sequence[rules.Rule]

    def direction(self, *kinds: Mapping[enums.Direction, str | tuple[str, ...]]) -> enums.Direction | None:
        """The direction, if it is of one of these kinds."""
        found = (d for kind in kinds for d in enums.Direction if self.name.startswith(kind[d]))
        return next(found, None)


def attribute(chains: rules.Chains, prefixes: _Known, owners: _Owners) -> list[rules.Counted]:
    """The counted rules of policies, profiles, ends of tiers and ends of profiles in Calico's chains."""
    named = [(chainnames.layer(chain), chain_rules) for (_, chain), chain_rules in chains.items()]
    mine = [
        _Chain(name, chain_rules)
        for (layer, name), chain_rules in named
        if name.startswith("cali-") and layer not in _UNFILTERED
    ]
    return _Attribution(mine, prefixes, owners).run()


class _Attribution:
    def __init__(self, chains: list[_Chain], prefixes: _Known, owners: _Owners) -> None:
        self._prefixes, self._owners = prefixes, owners
        self._endpoints = _of_kind(chains, chainnames.ENDPOINT, chainnames.HOST_ENDPOINT)
        self._policies = _of_kind(chains, chainnames.POLICY, chainnames.PROFILE)
        self._marks = _learn_marks(self._endpoints, self._policies)
        self._tiers = _tiers(self._endpoints, _of_kind(chains, chainnames.GROUP))

    def run(self) -> list[rules.Counted]:
        found: list[rules.Counted] = []
        for chain, direction in self._endpoints:
            found += self._ends(chain, direction)
        for chain, direction in self._policies:
            found += self._policy(chain, direction)
        return found

    def _hit(self, prefix: str) -> policyhit.PolicyHit | None:
        return (self._prefixes.get(prefix) or policyhit.parse_prefix(prefix)) if prefix else None

    def _ends(self, chain: _Chain, direction: enums.Direction) -> Iterator[rules.Counted]:
        """What no policy of a tier decided, and what no profile let through."""
        before: rules.Rule | None = None
        for rule, after in zip(chain.rules, [*chain.rules[1:], None], strict=True):
            said = _end_of(rule, direction)
            if said:
                log = before if before and _logs_for(before, rule) else rule
                # the prefix knows the whole name, which the comment may have lost
                told = self._hit(log.prefix)
                chosen = told if told and told.kind == said.kind else said
                yield rules.Counted(rule=rule, hit=chosen, exact=True, group=log.group)
            elif not (after and _logs_for(rule, after) and _end_of(after, direction)):
                hit = self._hit(rule.prefix)
                if hit and rule.group != rules.NO_GROUP:
                    yield rules.Counted(rule=rule, hit=hit, exact=True, group=rule.group)
            before = rule

    def _policy(self, chain: _Chain, direction: enums.Direction) -> Iterator[rules.Counted]:
        found = list(self._marks.decisions(chain.rules))
        owner = self._owner(chain, direction)
        indexes = _indexes(found, owner.listed(chain.rules[0].family))
        for decision, (index, exact) in zip(found, indexes, strict=True):
            if decision.action is None:
                continue
            hit = self._hit(decision.prefix)
            if hit is None:
                hit = owner.hit(decision.action, index)
            else:
                exact = True
                if hit.kind == policyhit.UNRECOGNISED and owner.kind != policyhit.UNRECOGNISED:
                    hit = owner.hit(hit.action, hit.rule)  # the prefix is hashed, and the chain is not
            yield rules.Counted(rule=decision.rule, hit=hit, exact=exact, group=decision.group)

    def _owner(self, chain: _Chain, direction: enums.Direction) -> chainnames.Owner:
        """Whose the chain is: by its name, if nothing in it says otherwise, or else by its own words."""
        told = (chainnames.read_comment(text) for text in chain.rules[0].comments)
        said = next((owner for owner in told if owner), None)
        known = self._owners.get(chain.name)
        if known and (said is None or known.agrees(said)):
            return known
        owner = said or chainnames.read_name(chain.name)
        if owner is None:
            return chainnames.Owner(direction=direction, kind=policyhit.UNRECOGNISED, name=chain.name)
        return owner if owner.tier else dataclasses.replace(owner, tier=self._tiers.get(chain.name, ""))


def _of_kind(
    chains: list[_Chain], *kinds: Mapping[enums.Direction, str | tuple[str, ...]]
) -> list[tuple[_Chain, enums.Direction]]:
    found = [(chain, chain.direction(*kinds)) for chain in chains]
    return [(chain, direction) for chain, direction in found if direction]


def _end_of(rule: rules.Rule, direction: enums.Direction) -> policyhit.PolicyHit | None:
    """What a rule's comment says of the packets that it drops."""
    if rule.action not in ("drop", "reject"):
        return None
    hit = policyhit.PolicyHit(direction=direction, kind=policyhit.END_OF_TIER, action=enums.Action.DENY)
    for comment in rule.comments:
        if found := _TIER_ENDS.fullmatch(comment):
            return dataclasses.replace(hit, tier=found[1])
        if _ONLY_TIER_ENDS.fullmatch(comment):
            return dataclasses.replace(hit, tier=policyhit.DEFAULT_TIER)
        if _NO_PROFILE.fullmatch(comment):
            return dataclasses.replace(hit, tier=policyhit.PROFILE_TIER, kind=policyhit.NO_PROFILE)
    return None


def _logs_for(rule: rules.Rule, after: rules.Rule) -> bool:
    """Whether a rule logs the packets that the next one drops."""
    return rule.group != rules.NO_GROUP and rule.test == after.test


def _tiers(
    endpoints: list[tuple[_Chain, enums.Direction]], groups: list[tuple[_Chain, enums.Direction]]
) -> dict[str, str]:
    """The tier in which each chain of a policy is asked; in none of the versions before 3.29."""
    found: dict[str, str] = {}
    for chain, _ in endpoints:
        tier = ""
        for rule in chain.rules:
            starts = (_TIER_STARTS.fullmatch(comment) for comment in rule.comments)
            tier = next((start[1] for start in starts if start), tier)
            if rule.action == "jump":
                found.setdefault(chainnames.layer(rule.target)[1], tier)
    for chain, _ in groups:
        for rule in chain.rules:
            if rule.action == "jump":
                found.setdefault(chainnames.layer(rule.target)[1], found.get(chain.name, ""))
    return found


def _indexes(found: list[_Decision], listed: tuple[chainnames.Listed, ...] | None) -> list[tuple[int, bool]]:
    """The rule index of each decision, and whether it is known to be right."""
    if listed is None:
        return [(place, False) for place in range(len(found))]
    if [decision.action for decision in found] == [rule.action for rule in listed]:
        return [(rule.index, True) for rule in listed]
    return [(policyhit.NO_RULE, False)] * len(found)


@dataclasses.dataclass(slots=True)
class _Decision:
    """One policy rule, as its chain has it; without an action it only logs to the kernel's own log."""

    rule: rules.Rule
    action: enums.Action | None
    prefix: str = ""
    group: int = rules.NO_GROUP


@dataclasses.dataclass(frozen=True, slots=True)
class _Marks:
    """What mark bits mean; 0 for one that was not found."""

    accept: int
    pass_: int
    drop: int

    def decisions(self, chain: Sequence[rules.Rule]) -> Iterator[_Decision]:
        """The policy rules of a chain, in their order."""
        last: _Decision | None = None
        for rule in chain:
            if last and rule.required and rule.required == last.rule.sets:
                if rule.group != rules.NO_GROUP:
                    last.prefix, last.group = rule.prefix, rule.group
                continue
            decides, action = self._action(rule)
            if decides:
                if last:
                    yield last
                last = _Decision(rule, action)
        if last:
            yield last

    def _action(self, rule: rules.Rule) -> tuple[bool, enums.Action | None]:
        if rule.sets & self.accept or rule.action == "accept":
            return True, enums.Action.ALLOW
        if rule.sets & self.pass_:
            return True, enums.Action.PASS
        if rule.sets & self.drop or rule.action in ("drop", "reject"):
            return True, enums.Action.DENY
        return rule.action == "log", None


def _learn_marks(
    endpoints: list[tuple[_Chain, enums.Direction]],
    policies: list[tuple[_Chain, enums.Direction]],
) -> _Marks:
    """The bits by what is done with them; the drop bit is the one that is left in chains of policies."""
    accept = pass_ = drop = 0
    for chain, _ in endpoints:
        for rule in chain.rules:
            accept |= rule.required if rule.action == "return" else 0
            target = chainnames.layer(rule.target)[1]
            if rule.test and target.startswith(("cali-pi-", "cali-po-", "cali-gi-", "cali-go-")):
                pass_ |= rule.test.refused
    in_policies = [rule for chain, _ in policies for rule in chain.rules]
    for rule in in_policies:
        hit = policyhit.parse_prefix(rule.prefix) if rule.prefix and rule.required else None
        if hit:
            accept |= rule.required if hit.action == enums.Action.ALLOW else 0
            pass_ |= rule.required if hit.action == enums.Action.PASS else 0
            drop |= rule.required if hit.action == enums.Action.DENY else 0
    scratch = rules.bits(rule.clears for rule in in_policies)
    dropped = rules.bits(rule.required for rule in in_policies if rule.action in ("drop", "reject"))
    drop |= dropped & rules.bits(rule.sets for rule in in_policies) & ~(accept | pass_ | scratch)
    return _Marks(accept, pass_ & ~accept, drop)
