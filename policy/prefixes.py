"""Every NFLOG prefix that a set of policies can make the dataplane emit, and the policy hit it stands for.

A prefix by itself does not name the tier, and a long one is hashed or cut; this table knows better. It has
the prefixes of every version of Calico, and of K3s, as the ruleset may be of any.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from model import enums, kuberouter, policyhit
from policy import objects

_VERDICTS = {
    objects.RuleAction.ALLOW: enums.Action.ALLOW,
    objects.RuleAction.DENY: enums.Action.DENY,
    objects.RuleAction.PASS: enums.Action.PASS,
}  # a log rule has its index, but no prefix


def verdict(rule: objects.Rule) -> enums.Action | None:
    """What a rule decides; None for a log rule."""
    return _VERDICTS.get(rule.action)


def rule_hit(policy: objects.Policy, direction: enums.Direction, index: int) -> policyhit.PolicyHit | None:
    """The hit of one rule; None for a log rule, which decides nothing and logs elsewhere."""
    action = verdict(policy.rules(direction)[index])
    if action is None:
        return None
    return policyhit.PolicyHit(
        direction=direction, tier=policy.tier, kind=policy.kind, namespace=policy.namespace,
        name=policy.name, action=action, rule=index,
    )  # fmt: skip


def end_of_tier(tier: str, direction: enums.Direction, action: enums.Action) -> policyhit.PolicyHit:
    """The hit of a packet that no policy of the tier decided."""
    return policyhit.PolicyHit(direction=direction, tier=tier, kind=policyhit.END_OF_TIER, action=action)


def profile_hit(namespace: str, direction: enums.Direction) -> policyhit.PolicyHit:
    """The hit of a packet that the namespace's profile let through."""
    return in_profile(f"kns.{namespace}", direction, enums.Action.ALLOW, 0)


def in_profile(name: str, direction: enums.Direction, action: enums.Action, rule: int) -> policyhit.PolicyHit:
    """The hit of a profile's rule."""
    return policyhit.PolicyHit(
        direction=direction, tier=policyhit.PROFILE_TIER, kind=policyhit.PROFILE, name=name, action=action,
        rule=rule,
    )  # fmt: skip


def no_profile(direction: enums.Direction) -> policyhit.PolicyHit:
    """The hit of a packet that fell through all profiles."""
    return policyhit.PolicyHit(
        direction=direction, tier=policyhit.PROFILE_TIER, kind=policyhit.NO_PROFILE, action=enums.Action.DENY
    )


def table(policies: objects.PolicySet, namespaces: Iterable[str]) -> dict[str, policyhit.PolicyHit]:
    """Prefix, as the kernel sends it, to its hit with the tier filled in.

    Every policy has the prefix that Calico 3.32 and later give it under its own name. It also has those that
    it would have under the name that an upgrade has left it, in Calico 3.30 and 3.31, and in K3s, unless that
    prefix belongs to another policy too: then only a prefix's own text can be believed.

    Args:
        policies: The policies that are enforced.
        namespaces: Names of all namespaces that have pods.
    """
    names = tuple(namespaces)
    hits = [hit for direction in enums.Direction for hit in _hits(policies, names, direction)]
    return _other_prefixes(policies, hits) | {hit.prefix(): hit for hit in hits}


def _hits(
    policies: objects.PolicySet, namespaces: tuple[str, ...], direction: enums.Direction
) -> Iterator[policyhit.PolicyHit]:
    for policy in policies.policies:
        if direction in policy.types:
            found = (rule_hit(policy, direction, i) for i in range(len(policy.rules(direction))))
            yield from (hit for hit in found if hit)
    for tier in policies.tiers:
        yield end_of_tier(tier.name, direction, enums.Action.DENY)
        yield end_of_tier(tier.name, direction, enums.Action.PASS)
    for namespace in namespaces:
        yield profile_hit(namespace, direction)
    yield no_profile(direction)


def _other_prefixes(
    policies: objects.PolicySet, hits: Iterable[policyhit.PolicyHit]
) -> dict[str, policyhit.PolicyHit]:
    """Prefixes that are not those of 3.32 and later, where one hit alone can have them."""
    found: dict[str, policyhit.PolicyHit] = {}
    twice: set[str] = set()
    for prefix, hit in _prefixed(policies, hits):
        if found.setdefault(prefix, hit) != hit:
            twice.add(prefix)
    return {prefix: hit for prefix, hit in found.items() if prefix not in twice}


def _prefixed(
    policies: objects.PolicySet, hits: Iterable[policyhit.PolicyHit]
) -> Iterator[tuple[str, policyhit.PolicyHit]]:
    for hit in hits:
        yield hit.prefix(legacy=True), hit
        if hit.kind in ("np", "gnp"):
            upgraded = dataclasses.replace(hit, name=policyhit.in_tier(hit.name, hit.tier))
            yield upgraded.prefix(), hit
    for policy in policies.policies:
        if policy.kind == "knp":
            prefix = kuberouter.refusal_prefix(policy.namespace, policy.name)
            yield prefix, kuberouter.refusal(policy.namespace, policy.name, _side(policy))


def _side(policy: objects.Policy) -> enums.Direction:
    """The direction of a policy that has but one."""
    return next(iter(policy.types)) if len(policy.types) == 1 else policyhit.UNTOLD_DIRECTION
