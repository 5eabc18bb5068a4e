"""Every chain that Calico can make of a set of policies, and whose it is, in all versions' names.

A rule's counter stands in a chain whose name may be hashed, and the index of the rule is nowhere: this table
says which indexes a chain has. The forms of names are those of felix/rules before 3.29, from 3.29 to 3.31,
and from 3.32 on.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

from model import chainnames, enums, policyhit
from policy import objects, prefixes

_LIMITS = (chainnames.IPTABLES_LIMIT, chainnames.NFTABLES_LIMIT)


def table(policies: objects.PolicySet, namespaces: Iterable[str]) -> dict[str, chainnames.Owner]:
    """Name of a chain, without the layer that nftables mode puts before it, to its owner.

    A name that two owners could have, in two versions, is left out: the comment in the chain knows better.

    Args:
        policies: The policies that are enforced.
        namespaces: Names of all namespaces that have pods.
    """
    found: dict[str, chainnames.Owner] = {}
    twice: set[str] = set()
    for name, owner in _named(policies, tuple(namespaces)):
        if found.setdefault(name, owner) != owner:
            twice.add(name)
    return {name: owner for name, owner in found.items() if name not in twice}


def _named(
    policies: objects.PolicySet, namespaces: tuple[str, ...]
) -> Iterator[tuple[str, chainnames.Owner]]:
    for direction in enums.Direction:
        for policy in policies.policies:
            owner = _owner(policy, direction)
            for suffix in _suffixes(policy):
                for limit in _LIMITS:
                    yield chainnames.limited(chainnames.POLICY[direction], suffix, limit), owner
        for namespace in namespaces:
            profile = _profile(namespace, direction)
            for limit in _LIMITS:
                yield chainnames.limited(chainnames.PROFILE[direction], profile.name, limit), profile


def _suffixes(policy: objects.Policy) -> Iterator[str]:
    """What follows the prefix of the chain's name, before it is limited."""
    yield policy.identity
    v1 = chainnames.v1_name(policy.kind, policy.namespace, policy.tier, policy.name)
    if policy.kind != "knp":
        yield f"{policy.kind}/{v1}"  # 3.32 and later, of a resource that an older version wrote
    yield f"{policy.tier}/{v1}"
    if policy.tier == objects.DEFAULT_TIER:
        yield v1  # before 3.29 there was only one tier


def _owner(policy: objects.Policy, direction: enums.Direction) -> chainnames.Owner:
    return chainnames.Owner(
        direction=direction, tier=policy.tier, kind=policy.kind, namespace=policy.namespace,
        name=policy.name, ipv4=_listed(policy, direction, 4), ipv6=_listed(policy, direction, 6),
    )  # fmt: skip


def _listed(policy: objects.Policy, direction: enums.Direction, family: int) -> tuple[chainnames.Listed, ...]:
    """The rules that Felix renders for a family; it leaves out what cannot match, and keeps the indexes."""
    kept = [i for i, rule in enumerate(policy.rules(direction)) if rule.allows_family(family)]
    hits = [prefixes.rule_hit(policy, direction, i) for i in kept]
    return tuple(_one(i, hit.action if hit else None) for i, hit in zip(kept, hits, strict=True))


_one = functools.cache(chainnames.Listed)


def _profile(namespace: str, direction: enums.Direction) -> chainnames.Owner:
    hit = prefixes.profile_hit(namespace, direction)
    rules = (chainnames.Listed(hit.rule, hit.action),)
    return chainnames.Owner(
        direction=direction, tier=hit.tier, kind=policyhit.PROFILE, name=hit.name, ipv4=rules, ipv6=rules
    )
