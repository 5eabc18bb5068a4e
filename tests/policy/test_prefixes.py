"""The table of NFLOG prefixes."""

from __future__ import annotations

import dataclasses

from model import enums, policyhit
from policy import objects, prefixes, selector

ALLOW, DENY = objects.Rule(action=objects.RuleAction.ALLOW), objects.Rule(action=objects.RuleAction.DENY)
LOG, PASS = objects.Rule(action=objects.RuleAction.LOG), objects.Rule(action=objects.RuleAction.PASS)
WEB = objects.Policy(
    kind="np", namespace="shop", name="web", tier="ops", subjects=selector.All(),
    types=frozenset({enums.Direction.INGRESS}), ingress=(ALLOW, LOG, PASS), egress=(DENY,),
)  # fmt: skip
LONG = dataclasses.replace(WEB, name="a-policy-with-a-name-which-will-not-fit-in-the-nflog-prefix")


def _table(*policies: objects.Policy) -> dict[str, policyhit.PolicyHit]:
    return prefixes.table(objects.policy_set((), policies), ["shop"])


def test_every_prefix_has_its_hit() -> None:
    found = _table(WEB)
    tiers = ("kube-admin", "default", "kube-baseline", "ops")
    ends = {f"{action}P{side}|{tier}" for action in "DP" for side in "IE" for tier in tiers}
    profiles = {"ARI0|kns.shop", "ARE0|kns.shop", "DRI", "DRE"}
    assert set(found) == {"API0|np/shop/web", "PPI2|np/shop/web"} | ends | profiles
    assert all(hit.prefix() == prefix for prefix, hit in found.items())


def test_hit_names_tier_which_prefix_does_not() -> None:
    assert _table(WEB)["PPI2|np/shop/web"].render() == "ingress|ops|np:shop/web|pass|2"


def test_hashed_prefix_is_resolved() -> None:
    hit = _table(LONG)["API0|np/sh_jI-f1BnpmPZZMTu0hTG_y93yGC_SvlJhgiBvKhUru_log-prefix"]
    assert (hit.name, hit.tier, hit.rule) == (LONG.name, "ops", 0)


def test_unambiguous_prefixes_agree_with_parser() -> None:
    for prefix, hit in _table(WEB).items():
        parsed = policyhit.parse_prefix(prefix)
        assert parsed is not None
        assert dataclasses.replace(parsed, tier=hit.tier) == hit
