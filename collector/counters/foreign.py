"""Rulesets of any other origin: whatever accepts, drops, rejects, or logs to a group, and counts.

Where a rule logs with a prefix that says which policy it is of, that is its hit. Otherwise it is somebody's
own rule, which is named by its table and chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from collector.counters import kuberouter, rules
from model import enums, policyhit

_ACTIONS = {"accept": enums.Action.ALLOW, "drop": enums.Action.DENY, "reject": enums.Action.DENY}
_NOT_FOREIGN = ("cali-", kuberouter.POLICY_CHAIN, kuberouter.POD_CHAIN, kuberouter.ROUTER_CHAIN)
_CALICO_TABLE = "calico"
_CALICO_COMMENT = "Policy explicitly accepted packet."


def attribute(
    chains: rules.Chains,
    hooks: Mapping[tuple[str, str], str],
    prefixes: Mapping[str, policyhit.PolicyHit],
) -> list[rules.Counted]:
    """The counted rules in chains that are neither Calico's nor kube-router's."""
    directions = _directions(chains, hooks)
    found: list[rules.Counted] = []
    for place, chain in chains.items():
        if not place[1].startswith(_NOT_FOREIGN) and place[0] != _CALICO_TABLE:
            found += _chain(chain, directions.get(place, enums.Direction.INGRESS), prefixes)
    return found


def _chain(
    chain: Sequence[rules.Rule], direction: enums.Direction, prefixes: Mapping[str, policyhit.PolicyHit]
) -> Iterator[rules.Counted]:
    before: rules.Rule | None = None
    for rule, after in zip(chain, [*chain[1:], None], strict=True):
        if _is_policy(rule) and not (after and _only_logs_for(rule, after)):
            logs = before if before and _only_logs_for(before, rule) else rule
            hit = _hit(logs.prefix, prefixes)
            chosen = hit or _own(rule, direction)
            yield rules.Counted(rule=rule, hit=chosen, exact=hit is not None, group=logs.group)
        before = rule


def _is_policy(rule: rules.Rule) -> bool:
    if _CALICO_COMMENT in rule.comments:
        return False
    return rule.action in _ACTIONS or (rule.group != rules.NO_GROUP and not rule.action and not rule.limited)


def _only_logs_for(rule: rules.Rule, after: rules.Rule) -> bool:
    """Whether a rule logs the packets that the next one decides about; the next one counts them all."""
    same = (rule.matches, rule.test) == (after.matches, after.test)
    return rule.group != rules.NO_GROUP and not rule.action and after.action in _ACTIONS and same


def _hit(prefix: str, prefixes: Mapping[str, policyhit.PolicyHit]) -> policyhit.PolicyHit | None:
    return (prefixes.get(prefix) or policyhit.parse_prefix(prefix)) if prefix else None


def _own(rule: rules.Rule, direction: enums.Direction) -> policyhit.PolicyHit:
    words = [rule.table, rule.chain, *rule.comments, *([rule.prefix] if rule.prefix else [])]
    return policyhit.PolicyHit(
        direction=direction, kind=policyhit.CUSTOM, name="/".join(words),
        action=_ACTIONS.get(rule.action, enums.Action.PASS), rule=rule.position,
    )  # fmt: skip


def _directions(
    chains: rules.Chains, hooks: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], enums.Direction]:
    """Egress for chains that only what leaves this host can reach."""
    reached: dict[tuple[str, str], set[str]] = {}
    for place, hook in hooks.items():
        waiting = [place]
        while waiting:
            current = waiting.pop()
            if hook not in reached.setdefault(current, set()):
                reached[current].add(hook)
                waiting += [(current[0], rule.target) for rule in chains.get(current, ()) if rule.target]
    return {
        place: enums.Direction.EGRESS if by <= {"output", "postrouting"} else enums.Direction.INGRESS
        for place, by in reached.items()
    }
