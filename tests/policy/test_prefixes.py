"""The table of NFLOG prefixes."""

from __future__ import annotations

import dataclasses

import pytest

from model import enums, policyhit, prefixgrammar
from policy import objects, prefixes, selector

ALLOW, DENY = objects.Rule(action=objects.RuleAction.ALLOW), objects.Rule(action=objects.RuleAction.DENY)
LOG, PASS = objects.Rule(action=objects.RuleAction.LOG), objects.Rule(action=objects.RuleAction.PASS)
INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
WEB = objects.Policy(
    kind="np", namespace="shop", name="web", tier="ops", subjects=selector.All(),
    types=frozenset({INGRESS}), ingress=(ALLOW, LOG, PASS), egress=(DENY,),
)  # fmt: skip
LONG = dataclasses.replace(WEB, name="a-policy-with-a-name-which-will-not-fit-in-the-nflog-prefix")
GLOBAL = dataclasses.replace(WEB, kind="gnp", namespace="", types=frozenset({EGRESS}))
KUBERNETES = dataclasses.replace(WEB, kind="knp", tier="default", ingress=(ALLOW,) * 12)
LONG_KUBERNETES = dataclasses.replace(
    KUBERNETES,
    namespace="a-namespace-with-a-long-name",
    name="a-kubernetes-policy-with-a-long-name",
    types=frozenset({EGRESS}),
    egress=(ALLOW,) * 13,
)


def _table(*policies: objects.Policy) -> dict[str, policyhit.PolicyHit]:
    return prefixes.table(objects.policy_set((), policies), ["shop"])


def test_every_prefix_has_its_hit() -> None:
    found = _table(WEB)
    tiers = ("kube-admin", "default", "kube-baseline", "ops")
    ends = {f"{action}P{side}|{tier}" for action in "DP" for side in "IE" for tier in tiers}
    profiles = {"ARI0|kns.shop", "ARE0|kns.shop", "DRI", "DRE"}
    names = ("np/shop/web", "np/shop/ops.web", "shop/ops.web")
    rules = {f"{head}|{name}" for head in ("API0", "PPI2") for name in names}
    assert set(found) == rules | ends | profiles


@pytest.mark.parametrize(
    ("policy", "prefix", "text"),
    [
        pytest.param(WEB, "PPI2|np/shop/web", "ingress|ops|np:shop/web|pass|2", id="3.32"),
        pytest.param(WEB, "PPI2|np/shop/ops.web", "ingress|ops|np:shop/web|pass|2", id="upgraded to 3.32"),
        pytest.param(WEB, "PPI2|shop/ops.web", "ingress|ops|np:shop/web|pass|2", id="3.31"),
        pytest.param(
            dataclasses.replace(WEB, name="ops.web"),
            "PPI2|shop/ops.web",
            "ingress|ops|np:shop/ops.web|pass|2",
            id="3.31: named with its tier",
        ),
        pytest.param(GLOBAL, "DPE0|gnp/web", "egress|ops|gnp:web|deny|0", id="3.32: global"),
        pytest.param(GLOBAL, "DPE0|gnp/ops.web", "egress|ops|gnp:web|deny|0", id="upgraded: global"),
        pytest.param(GLOBAL, "DPE0|ops.web", "egress|ops|gnp:web|deny|0", id="3.31: global"),
        pytest.param(
            KUBERNETES, "API11|knp/shop/web", "ingress|default|knp:shop/web|allow|11", id="Kubernetes"
        ),
        pytest.param(
            KUBERNETES,
            "API11|shop/knp.default.web",
            "ingress|default|knp:shop/web|allow|11",
            id="3.31: Kubernetes",
        ),
        pytest.param(KUBERNETES, "DROP by policy shop/web", "ingress||knp:shop/web|pass|-1", id="K3s"),
        pytest.param(
            LONG,
            "API0|np/sh_jI-f1BnpmPZZMTu0hTG_y93yGC_SvlJhgiBvKhUru_log-prefix",
            f"ingress|ops|np:shop/{LONG.name}|allow|0",
            id="hashed",
        ),
        pytest.param(
            LONG_KUBERNETES,
            "APE12|knp/_2gcO_rk_t0wliKkAoK7Qeik0zV-7VeBsOuWJmcsCh_-long-name",
            "egress|default|knp:a-namespace-with-a-long-name/a-kubernetes-policy-with-a-long-name|allow|12",
            id="hashed: Kubernetes",
        ),
        pytest.param(
            LONG_KUBERNETES,
            "DROP by policy a-namespace-with-a-long/a-kubernetes-policy-wit",
            "egress||knp:a-namespace-with-a-long-name/a-kubernetes-policy-with-a-long-name|pass|-1",
            id="K3s: cut",
        ),
        pytest.param(
            dataclasses.replace(
                GLOBAL,
                tier="this-is-still-quite-a-long-tier-name-even-though-its-not-required",
                name="quite-a-long-policy-name",
                egress=(ALLOW, DENY),
            ),
            "DPE1|gnp/t_FSGxA9eGa6t_A5Rj2agPvl4aq8-eohq0An6xEW4n7_olicy-name",
            "egress|this-is-still-quite-a-long-tier-name-even-though-its-not-required"
            "|gnp:quite-a-long-policy-name|deny|1",
            id="hashed: upgraded",
        ),
        pytest.param(
            dataclasses.replace(
                WEB,
                namespace="quite-a-long-namespace",
                tier="quite-a-long-tier-name",
                name="quite-a-long-policy-name",
                types=frozenset({EGRESS}),
                egress=(ALLOW, DENY),
            ),
            "DPE1|quite_nnW4FYptgISH4G3jdI6KJWVcEx19s0BDp2On0wVAY_olicy-name",
            "egress|quite-a-long-tier-name|np:quite-a-long-namespace/quite-a-long-policy-name|deny|1",
            id="hashed: 3.31",
        ),
    ],
)
def test_policy_is_found_by_any_versions_prefix(policy: objects.Policy, prefix: str, text: str) -> None:
    assert _table(policy)[prefix].render() == text


@pytest.mark.parametrize("direction", enums.Direction)
def test_hashed_tiers_and_profiles_are_resolved(direction: enums.Direction) -> None:
    tier, namespace = "long-" * 11 + "tier", "n" * 63
    found = prefixes.table(objects.policy_set([objects.Tier(name=tier)], []), [namespace])
    for hit in (
        prefixes.end_of_tier(tier, direction, enums.Action.DENY),
        prefixes.end_of_tier(tier, direction, enums.Action.PASS),
        prefixes.profile_hit(namespace, direction),
    ):
        assert len(hit.prefix()) == 63
        assert found[hit.prefix()] == hit


def test_own_name_wins_over_a_name_from_before() -> None:
    """``np/shop/ops.web`` may be what an upgrade made of ``web``; but there is a policy of that very name."""
    named = dataclasses.replace(WEB, name="ops.web")
    found = _table(WEB, named)
    assert found["API0|np/shop/ops.web"].name == "ops.web"
    assert found["API0|np/shop/web"].name == "web"


def test_prefix_that_two_may_have_names_none() -> None:
    found = _table(WEB, dataclasses.replace(WEB, name="ops.web"))
    assert "API0|shop/ops.web" not in found
    two = [dataclasses.replace(LONG_KUBERNETES, name=LONG_KUBERNETES.name + end) for end in ("-1", "-2")]
    assert not [prefix for prefix in _table(*two) if prefix.startswith("DROP")]


def test_global_policy_wins_over_a_namespace_called_gnp() -> None:
    """In 3.32 the prefix is the global policy's, in 3.31 the other's: 3.32's own form is believed."""
    within = dataclasses.replace(GLOBAL, kind="np", namespace="gnp")
    found = _table(within, dataclasses.replace(GLOBAL, name="ops.web"))
    assert found["DPE0|gnp/ops.web"].kind == "gnp"
    assert found["DPE0|np/gnp/web"].kind == "np"


def test_unhashed_prefixes_agree_with_parser() -> None:
    """All but the tier, and the tier in front of a name."""
    found = _table(WEB, GLOBAL, KUBERNETES)
    for prefix, hit in found.items():
        parsed = prefixgrammar.parse_prefix(prefix, prefixgrammar.GRAMMARS.values())
        assert parsed is not None
        name = parsed.name.removeprefix(f"{hit.tier}.")
        assert dataclasses.replace(parsed, tier=hit.tier, name=name) == hit
