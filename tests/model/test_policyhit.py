"""Policy hits: their text, and Calico's NFLOG prefixes."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import enums, policyhit
from model.policyhit import PolicyHit

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
ALLOW, DENY, PASS = enums.Action.ALLOW, enums.Action.DENY, enums.Action.PASS

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?", fullmatch=True)
RULES = st.integers(0, 999)
DIRECTIONS, ACTIONS = st.sampled_from(enums.Direction), st.sampled_from(enums.Action)

POLICIES = st.builds(
    PolicyHit,
    direction=DIRECTIONS,
    tier=NAMES | st.just(""),
    kind=st.sampled_from(["np", "knp", "snp"]),
    namespace=NAMES,
    name=NAMES,
    action=ACTIONS,
    rule=RULES,
) | st.builds(
    PolicyHit,
    direction=DIRECTIONS,
    tier=NAMES | st.just(""),
    kind=st.sampled_from(["gnp", "kcnp"]),
    name=NAMES,
    action=ACTIONS,
    rule=RULES,
)
PROFILES = st.builds(
    PolicyHit,
    direction=DIRECTIONS,
    tier=st.just(policyhit.PROFILE_TIER),
    kind=st.just(policyhit.PROFILE),
    name=NAMES,
    action=ACTIONS,
    rule=RULES,
)
ENDS = st.builds(
    PolicyHit,
    direction=DIRECTIONS,
    tier=NAMES,
    kind=st.just(policyhit.END_OF_TIER),
    action=st.sampled_from([DENY, PASS]),
) | st.builds(
    PolicyHit,
    direction=DIRECTIONS,
    tier=st.just(policyhit.PROFILE_TIER),
    kind=st.just(policyhit.NO_PROFILE),
    action=st.just(DENY),
)
HITS = POLICIES | PROFILES | ENDS


@given(HITS)
def test_what_is_rendered_is_parsed(hit: PolicyHit) -> None:
    text = hit.render()
    assert " " not in text
    assert policyhit.parse(text) == hit


@given(HITS)
def test_prefix_says_the_same_again(hit: PolicyHit) -> None:
    """All but the tier of a policy, and the name where it was hashed."""
    prefix = hit.prefix()
    found = policyhit.parse_prefix(prefix)
    assert found is not None
    assert (found.action, found.direction, found.rule) == (hit.action, hit.direction, hit.rule)
    if len(prefix) == 63:
        assert found.kind == policyhit.UNRECOGNISED
    else:
        assert dataclasses.replace(found, tier=hit.tier) == hit


@given(HITS)
def test_what_was_heard_is_rendered_and_parsed(hit: PolicyHit) -> None:
    """What a prefix says by itself goes through the ledger unchanged, hashed or not."""
    found = policyhit.parse_prefix(hit.prefix())
    assert found is not None
    assert policyhit.parse(found.render()) == found


@pytest.mark.parametrize(
    ("whole", "sent"),
    [
        pytest.param(
            "DPE1|quite-a-long-namespace/quite-a-long-tier-name.quite-a-long-policy-name",
            "DPE1|quite_nnW4FYptgISH4G3jdI6KJWVcEx19s0BDp2On0wVAY_olicy-name",
            id="Calico's own example",
        ),
        pytest.param(
            "API0|np/shop/a-policy-with-a-name-which-will-not-fit-in-the-nflog-prefix",
            "API0|np/sh_jI-f1BnpmPZZMTu0hTG_y93yGC_SvlJhgiBvKhUru_log-prefix",
            id="np",
        ),
        pytest.param(
            "APE12|knp/a-namespace-with-a-long-name/a-kubernetes-policy-with-a-long-name",
            "APE12|knp/_2gcO_rk_t0wliKkAoK7Qeik0zV-7VeBsOuWJmcsCh_-long-name",
            id="knp",
        ),
        pytest.param("API0|gnp/" + "x" * 53, "API0|gnp/" + "x" * 53, id="62 characters fit"),
    ],
)
def test_long_prefix_is_hashed_as_calico_does(whole: str, sent: str) -> None:
    assert policyhit.limit_prefix(whole) == sent


def test_63_characters_are_hashed() -> None:
    whole = "API0|gnp/" + "x" * 54
    assert policyhit.limit_prefix(whole) != whole
    assert len(policyhit.limit_prefix(whole)) == 63


HASHED = "API0/np/sh_jI-f1BnpmPZZMTu0hTG_y93yGC_SvlJhgiBvKhUru_log-prefix"


@pytest.mark.parametrize(
    ("prefix", "hit"),
    [
        pytest.param(
            "API0|np/shop/web",
            PolicyHit(direction=INGRESS, kind="np", namespace="shop", name="web", action=ALLOW, rule=0),
            id="namespaced policy",
        ),
        pytest.param(
            "DPE12|gnp/no-strangers",
            PolicyHit(direction=EGRESS, kind="gnp", name="no-strangers", action=DENY, rule=12),
            id="cluster-wide policy",
        ),
        pytest.param(
            "PPI|security",
            PolicyHit(direction=INGRESS, tier="security", kind="end-of-tier", action=PASS),
            id="end of a tier that passes",
        ),
        pytest.param(
            "ARI0|kns.shop",
            PolicyHit(
                direction=INGRESS, tier="__PROFILE__", kind="pro", name="kns.shop", action=ALLOW, rule=0
            ),
            id="profile",
        ),
        pytest.param(
            "DRE",
            PolicyHit(direction=EGRESS, tier="__PROFILE__", kind="no-profile", action=DENY),
            id="no profile",
        ),
        pytest.param(
            "API0|np/sh_jI-f1BnpmPZZMTu0hTG_y93yGC_SvlJhgiBvKhUru_log-prefix",
            PolicyHit(direction=INGRESS, kind="unrecognised", name=HASHED, action=ALLOW, rule=0),
            id="hashed",
        ),
        pytest.param(
            "API0|shop/default.web",
            PolicyHit(
                direction=INGRESS, kind="unrecognised", name="API0/shop/default.web", action=ALLOW, rule=0
            ),
            id="grammar before 3.32",
        ),
    ],
)
def test_prefix_is_parsed(prefix: str, hit: PolicyHit) -> None:
    assert policyhit.parse_prefix(prefix) == hit


@pytest.mark.parametrize(
    ("tier", "kind", "name", "rule"),
    [
        pytest.param("__PROFILE__", policyhit.PROFILE, "kns." + "long-" * 12 + "name", 0, id="profile"),
        pytest.param("long-" * 11 + "tier", policyhit.END_OF_TIER, "", -1, id="end of a tier"),
    ],
)
def test_hashed_prefix_names_nothing(tier: str, kind: str, name: str, rule: int) -> None:
    """A piece of a hash must not pass for the name of a profile or a tier."""
    hit = PolicyHit(direction=INGRESS, tier=tier, kind=kind, name=name, action=DENY, rule=rule)
    found = policyhit.parse_prefix(hit.prefix())
    assert found is not None
    assert (found.tier, found.kind, found.rule) == ("", policyhit.UNRECOGNISED, rule)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "calico-packet",
        "API",
        "API0",
        "AP",
        "XPI0|np/shop/web",
        "APX0|np/shop/web",
        "AXI0|np/shop/web",
        "APIx|np/shop/web",
        "API-1|np/shop/web",
        "DRIx",
        "ARI",
        "KUBE: ",
    ],
)
def test_other_prefix_is_not_ours(prefix: str) -> None:
    assert policyhit.parse_prefix(prefix) is None


@given(st.text(max_size=70))
def test_any_text_is_a_hit_or_none(prefix: str) -> None:
    policyhit.parse_prefix(prefix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ingress|default|knp:shop/cart|allow",
        "up|default|knp:shop/cart|allow|0",
        "ingress|default|knp:shop/cart|drop|0",
        "ingress|default|knp:shop/cart|allow|x",
    ],
)
def test_other_text_is_no_hit(text: str) -> None:
    with pytest.raises(ValueError):
        policyhit.parse(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "ingress|default|knp:shop/cart|allow|0",
            "ingress: Kubernetes NetworkPolicy shop/cart of tier default, rule 0",
            id="Kubernetes",
        ),
        pytest.param(
            "egress|security|gnp:security.no-metadata|deny|3",
            "egress: GlobalNetworkPolicy security.no-metadata of tier security, rule 3",
            id="global",
        ),
        pytest.param(
            "ingress||np:shop/web|allow|1", "ingress: NetworkPolicy shop/web, rule 1", id="tier not known"
        ),
        pytest.param(
            "egress|__PROFILE__|pro:kns.shop|allow|0", "egress: profile kns.shop, rule 0", id="profile"
        ),
        pytest.param(
            "ingress|default|end-of-tier|deny|-1",
            "ingress: end of tier default, no policy allowed it",
            id="end of tier",
        ),
        pytest.param(
            "egress|__PROFILE__|no-profile|deny|-1", "egress: no profile allowed it", id="no profile"
        ),
        pytest.param(
            "ingress||unrecognised:API0/a_b|allow|0", "ingress: unrecognised API0/a_b, rule 0", id="hashed"
        ),
    ],
)
def test_sentence(text: str, sentence: str) -> None:
    assert policyhit.parse(text).describe() == sentence
