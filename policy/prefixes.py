"""Every NFLOG prefix that a set of policies can make the dataplane emit, and the policy hit it stands for.

A prefix by itself does not name the tier, and a long one is hashed; this table knows better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from model import enums, policyhit
from policy import objects

_VERDICTS = {
    objects.RuleAction.ALLOW: enums.Action.ALLOW,
    objects.RuleAction.DENY: enums.Action.DENY,
    objects.RuleAction.PASS: enums.Action.PASS,
}  # a log rule has its index, but no prefix


def rule_hit(policy: objects.Policy, direction: enums.Direction, index: int) -> policyhit.PolicyHit | None:
    """The hit of one rule; None for a log rule, which decides nothing and logs elsewhere."""
    action = _VERDICTS.get(policy.rules(direction)[index].action)
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
    return policyhit.PolicyHit(
        direction=direction, tier=policyhit.PROFILE_TIER, kind=policyhit.PROFILE, name=f"kns.{namespace}",
        action=enums.Action.ALLOW, rule=0,
    )  # fmt: skip


def no_profile(direction: enums.Direction) -> policyhit.PolicyHit:
    """The hit of a packet that fell through all profiles."""
    return policyhit.PolicyHit(
        direction=direction, tier=policyhit.PROFILE_TIER, kind=policyhit.NO_PROFILE, action=enums.Action.DENY
    )


def table(policies: objects.PolicySet, namespaces: Iterable[str]) -> dict[str, policyhit.PolicyHit]:
    """Prefix, as the kernel sends it, to its hit with the tier filled in.

    Args:
        policies: The policies that are enforced.
        namespaces: Names of all namespaces that have pods.
    """
    names = tuple(namespaces)
    hits = [hit for direction in enums.Direction for hit in _hits(policies, names, direction)]
    return {hit.prefix(): hit for hit in hits}


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
