"""kube-router's chains, and those of its fork in K3s: a chain for each policy, one for each pod.

The comments are those of pkg/controllers/netpol (policy.go and pod.go up to 2.9, comments.go later). A rule
of a policy becomes several chain rules, so a policy's are counted together.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence

from collector.counters import rules
from model import enums, policyhit

POLICY_CHAIN, POD_CHAIN = "KUBE-NWPLCY-", "KUBE-POD-FW-"
ROUTER_CHAIN = "KUBE-ROUTER-"
"""What begins so leads to the chains of pods, and accepts at last what those have accepted before."""
_ACCEPTS = re.compile(r"rule to ACCEPT traffic (.*) selected by policy name:? (\S+) namespace (\S+)")
_ACCEPTS_SHORT = re.compile(r"([^\s/]+)/(\S+) (ingress|egress) (?:pods|any|cidr)(?: np)?")
_TO_PODS = re.compile(r"from (?:all sources|specified ipBlocks) to dest pods")
_FROM_PODS = re.compile(r"from source pods to (?:all destinations|specified ipBlocks)")


def attribute(chains: rules.Chains) -> list[rules.Counted]:
    """What each policy accepted, and what no policy of a pod accepted."""
    found: list[rules.Counted] = []
    for (_, chain), chain_rules in chains.items():
        if chain.startswith(POLICY_CHAIN):
            found += _policy(chain_rules)
        elif chain.startswith(POD_CHAIN):
            found += _pod(chain_rules)
    return found


def _policy(chain: Sequence[rules.Rule]) -> Iterator[rules.Counted]:
    for rule in chain:
        if not rule.sets:
            continue  # each rule that marks has one behind it that returns
        for comment in rule.comments:
            if hit := _accepted(comment, rule.matches):
                yield rules.Counted(rule=rule, hit=hit, exact=False)


def _accepted(comment: str, matches: str) -> policyhit.PolicyHit | None:
    if found := _ACCEPTS_SHORT.fullmatch(comment):
        namespace, name, side = found.groups()
        direction = enums.Direction(side)
    elif found := _ACCEPTS.fullmatch(comment):
        way, name, namespace = found.groups()
        direction = _direction(way, namespace, name, matches)
    else:
        return None
    return policyhit.PolicyHit(
        direction=direction, kind="knp", namespace=namespace, name=name, action=enums.Action.ALLOW
    )


def _direction(way: str, namespace: str, name: str, matches: str) -> enums.Direction:
    """From pods to pods is what both directions say; the set of the policy's own pods tells them apart."""
    if _TO_PODS.fullmatch(way):
        return enums.Direction.INGRESS
    if _FROM_PODS.fullmatch(way):
        return enums.Direction.EGRESS
    own = [_set_name("KUBE-SRC-", namespace, name, family) for family in ("IPv4", "IPv6", "")]
    egress = any(f"{name} src" in matches for name in own)
    return enums.Direction.EGRESS if egress else policyhit.UNTOLD_DIRECTION


def _set_name(prefix: str, namespace: str, policy: str, family: str) -> str:
    """The ipset of the pods that a policy selects (policySourcePodIPSetName there; the family since 2.0)."""
    digest = base64.b32encode(hashlib.sha256(f"{namespace}{policy}{family}".encode()).digest()).decode()
    return ("inet6:" if family == "IPv6" else "") + prefix + digest[:16]


def _pod(chain: Sequence[rules.Rule]) -> Iterator[rules.Counted]:
    """The rule that rejects; the one that logs before it is rate limited, so its counter says little."""
    group = rules.NO_GROUP
    for rule in chain:
        if rule.group != rules.NO_GROUP:
            group = rule.group
        elif rule.action in ("reject", "drop") and rule.test and rule.test.negated:
            hit = policyhit.PolicyHit(
                direction=policyhit.UNTOLD_DIRECTION,
                kind=policyhit.DEFAULT_DENY,
                action=enums.Action.DENY,
            )
            yield rules.Counted(rule=rule, hit=hit, exact=True, group=group)
