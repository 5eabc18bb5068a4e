"""Policy hits: their text, and Calico's NFLOG prefixes."""

from __future__ import annotations

import dataclasses
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model import enums, policyhit
from model.policyhit import PolicyHit

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
ALLOW, DENY, PASS = enums.Action.ALLOW, enums.Action.DENY, enums.Action.PASS

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?", fullmatch=True)
TIERS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)
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


TRICKY = st.text(st.sampled_from("ab|: /%\t\n\u2003\x85é") | st.characters(), max_size=20)
ANYTHING = st.builds(
    PolicyHit,
    direction=DIRECTIONS,
    tier=TRICKY,
    kind=TRICKY.filter(lambda kind: kind != policyhit.UNRECOGNISED),
    namespace=TRICKY,
    name=TRICKY,
    action=ACTIONS,
    rule=st.integers(),
) | st.builds(
    PolicyHit,
    direction=DIRECTIONS,
    kind=st.just(policyhit.UNRECOGNISED),
    name=TRICKY,
    action=ACTIONS,
)


@given(HITS)
def test_what_is_rendered_is_parsed(hit: PolicyHit) -> None:
    text = hit.render()
    assert " " not in text
    assert policyhit.parse(text) == hit


@given(st.lists(ANYTHING))
def test_trace_is_split_at_its_spaces(hits: list[PolicyHit]) -> None:
    """Names are an administrator's choice; whatever is in them, the hits of a trace stay apart."""
    trace = " ".join(hit.render() for hit in hits)
    assert [policyhit.parse(text) for text in trace.split()] == hits


@pytest.mark.parametrize(
    ("hit", "text"),
    [
        pytest.param(
            PolicyHit(direction=INGRESS, kind="np", namespace="a b", name="c|d/e:f%", action=ALLOW, rule=1),
            "ingress||np:a%20b/c%7Cd%2Fe:f%25|allow|1",
            id="all that parts are parted by",
        ),
        pytest.param(
            PolicyHit(direction=INGRESS, kind="unrecognised", name="APIx|np/shop/web", action=ALLOW),
            "ingress||unrecognised:APIx%7Cnp/shop/web|allow|-1",
            id="a prefix stays readable",
        ),
        pytest.param(
            PolicyHit(direction=EGRESS, tier="", kind="gnp", name="a.b-c_d", action=DENY, rule=0),
            "egress||gnp:a.b-c_d|deny|0",
            id="usual names stay as they are",
        ),
    ],
)
def test_text_is_escaped_only_where_it_must(hit: PolicyHit, text: str) -> None:
    assert hit.render() == text
    assert policyhit.parse(text) == hit


@pytest.mark.parametrize(
    ("trace", "hit"),
    [
        pytest.param("", "", id="none"),
        pytest.param("ingress|a|gnp:x|pass|0", "", id="passed on alone"),
        pytest.param("ingress|a|gnp:x|pass|0 ingress|b|snp:y/allow|deny|1 ingress|c|end-of-tier|pass|-1",
                     "ingress|b|snp:y/allow|deny|1", id="not the last one"),
        pytest.param("egress|a|gnp:x|allow|0 ingress|a|gnp:x|allow|1", "ingress|a|gnp:x|allow|1",
                     id="both sides"),
        pytest.param("whatever|it|is", "", id="not understood"),
    ],
)  # fmt: skip
def test_deciding_hit_is_the_last_allow_or_deny(trace: str, hit: str) -> None:
    assert policyhit.deciding(trace) == hit


@given(st.text(max_size=70))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        policyhit.parse(text)
    except ValueError:
        return


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


@given(POLICIES.filter(lambda hit: hit.kind in ("np", "gnp", "knp")), TIERS)
def test_legacy_prefix_says_the_same_again(hit: PolicyHit, tier: str) -> None:
    """The tier too; a name that begins with its tier is the same policy as one that does not."""
    hit = dataclasses.replace(hit, tier="default" if hit.kind == "knp" else tier)
    assume(hit.namespace not in ("gnp", "kcnp", "sgnp") and tier not in ("knp", "kanp", "kbanp", "ossg"))
    prefix = hit.prefix(legacy=True)
    assume(len(prefix) < 63)
    found = policyhit.parse_prefix(prefix)
    assert found is not None
    if hit.kind != "knp":
        hit = dataclasses.replace(hit, name=hit.name.removeprefix(f"{tier}."))
    assert found == hit


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
            f"DPI88|gnp/{string.ascii_lowercase}{string.ascii_uppercase}0",
            "DPI88|gnp/_12IXaBPahNM7a7dZhI8zg6PStmHsgneYaax8LVSIq_RSTUVWXYZ0",
            id="63 characters",
        ),
        pytest.param(
            "DPE1|gnp/this-is-still-quite-a-long-tier-name-even-though-its-not-required."
            "quite-a-long-policy-name",
            "DPE1|gnp/t_FSGxA9eGa6t_A5Rj2agPvl4aq8-eohq0An6xEW4n7_olicy-name",
            id="gnp",
        ),
        pytest.param(
            "DPE1|quite-a-long-namespace/quite-a-long-tier-name.quite-a-long-policy-name",
            "DPE1|quite_nnW4FYptgISH4G3jdI6KJWVcEx19s0BDp2On0wVAY_olicy-name",
            id="3.30 and 3.31",
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


def _unrecognised(prefix: str, direction: enums.Direction, rule: int, action: enums.Action) -> PolicyHit:
    return PolicyHit(direction=direction, kind="unrecognised", name=prefix, action=action, rule=rule)


HASHED = "API0|np/sh_jI-f1BnpmPZZMTu0hTG_y93yGC_SvlJhgiBvKhUru_log-prefix"
HASHED_LEGACY = "DPE12345|q_nnW4FYptgISH4G3jdI6KJWVcEx19s0BDp2On0wVAY_olicy-name"


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
            "API10|knp/shop/allow-dns",
            PolicyHit(
                direction=INGRESS, kind="knp", namespace="shop", name="allow-dns", action=ALLOW, rule=10
            ),
            id="Kubernetes policy",
        ),
        pytest.param(
            "PPI1|kcnp/ops-baseline",
            PolicyHit(direction=INGRESS, kind="kcnp", name="ops-baseline", action=PASS, rule=1),
            id="Kubernetes cluster policy",
        ),
        pytest.param(
            "API0|np/shop/default.web-ingress",
            PolicyHit(
                direction=INGRESS,
                kind="np",
                namespace="shop",
                name="default.web-ingress",
                action=ALLOW,
                rule=0,
            ),
            id="upgraded cluster",
        ),
        pytest.param(
            "APE0|FancyPolicy/shop/web",
            PolicyHit(
                direction=EGRESS, kind="FancyPolicy", namespace="shop", name="web", action=ALLOW, rule=0
            ),
            id="unknown kind in a namespace",
        ),
        pytest.param(
            "APE0|FancyPolicy/a.web",
            PolicyHit(direction=EGRESS, kind="FancyPolicy", name="a.web", action=ALLOW, rule=0),
            id="unknown kind without namespace",
        ),
        pytest.param(
            "APE0|fnp/web",
            PolicyHit(direction=EGRESS, kind="fnp", name="web", action=ALLOW, rule=0),
            id="unknown kind with a short name",
        ),
        pytest.param(
            "DPE|2nd-line",
            PolicyHit(direction=EGRESS, tier="2nd-line", kind="end-of-tier", action=DENY),
            id="end of a tier whose name begins with a digit",
        ),
        pytest.param(
            "ARE0|projectcalico-default-allow",
            PolicyHit(
                direction=EGRESS,
                tier="__PROFILE__",
                kind="pro",
                name="projectcalico-default-allow",
                action=ALLOW,
                rule=0,
            ),
            id="host endpoint's profile",
        ),
        pytest.param(HASHED, _unrecognised(HASHED, INGRESS, 0, ALLOW), id="hashed"),
        pytest.param(
            HASHED_LEGACY, _unrecognised(HASHED_LEGACY, EGRESS, 12345, DENY), id="hashed, with a long index"
        ),
        pytest.param(
            "API0|shop/default.web",
            PolicyHit(
                direction=INGRESS,
                tier="default",
                kind="np",
                namespace="shop",
                name="web",
                action=ALLOW,
                rule=0,
            ),
            id="3.31: namespaced policy",
        ),
        pytest.param(
            "DPE3|ops.deny-metadata",
            PolicyHit(direction=EGRESS, tier="ops", kind="gnp", name="deny-metadata", action=DENY, rule=3),
            id="3.31: global policy",
        ),
        pytest.param(
            "DPE11|2nd.a.b",
            PolicyHit(direction=EGRESS, tier="2nd", kind="gnp", name="a.b", action=DENY, rule=11),
            id="3.31: tier begins with a digit",
        ),
        pytest.param(
            "API0|np/default.web",
            PolicyHit(
                direction=INGRESS, tier="default", kind="np", namespace="np", name="web", action=ALLOW, rule=0
            ),
            id="3.31: namespace called np",
        ),
        pytest.param(
            "API0|123/default.web",
            PolicyHit(
                direction=INGRESS,
                tier="default",
                kind="np",
                namespace="123",
                name="web",
                action=ALLOW,
                rule=0,
            ),
            id="3.31: namespace of digits",
        ),
        pytest.param(
            "API0|shop/knp.default.allow.dns",
            PolicyHit(
                direction=INGRESS,
                tier="default",
                kind="knp",
                namespace="shop",
                name="allow.dns",
                action=ALLOW,
                rule=0,
            ),
            id="3.31: Kubernetes policy",
        ),
        pytest.param(
            "PPI2|kanp.adminnetworkpolicy.ops",
            PolicyHit(
                direction=INGRESS, tier="adminnetworkpolicy", kind="kanp", name="ops", action=PASS, rule=2
            ),
            id="3.31: admin policy",
        ),
        pytest.param(
            "DPE0|kbanp.baselineadminnetworkpolicy.default",
            PolicyHit(
                direction=EGRESS,
                tier="baselineadminnetworkpolicy",
                kind="kbanp",
                name="default",
                action=DENY,
                rule=0,
            ),
            id="3.31: baseline admin policy",
        ),
        pytest.param(
            "API0|ossg.default.6c8e-1",
            PolicyHit(direction=INGRESS, tier="default", kind="ossg", name="6c8e-1", action=ALLOW, rule=0),
            id="3.31: security group",
        ),
        *(
            pytest.param(text, _unrecognised(text, INGRESS, 0, ALLOW), id=text)
            for text in (
                "API0|",
                "API0|web",
                "API0|np/a/b/c",
                "API0|np//web",
                "API0|shop/.web",
                "API0|default.",
                "API0|shop/staged:default.web",
                "API0|pro/shop/web",
                "API0|custom/shop/web",
                "API0|7/a/b",
                "API0|a b/c/d",
                "ARI0|",
            )
        ),
        pytest.param("DPI|snp/shop/web", _unrecognised("DPI|snp/shop/web", INGRESS, -1, DENY), id="no tier"),
        pytest.param("PPI|", _unrecognised("PPI|", INGRESS, -1, PASS), id="tier without a name"),
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
        "DROP by policy shop/web",
        "API|default",
        "DRI|kns.shop",
        "API00|np/shop/web",
        "API²|np/shop/web",
        "API1234567|np/shop/web",
        "API" + "9" * 5000 + "|np/shop/web",
        "DRI\n",
        " API0|np/shop/web",
    ],
)
def test_other_prefix_is_not_ours(prefix: str) -> None:
    assert policyhit.parse_prefix(prefix) is None


HEADS = st.from_regex(r"[ADP][PR][IE][0-9]{0,3}\|", fullmatch=True)
PIECES = st.sampled_from(
    ["np", "gnp", "shop", "knp.default.", "kanp.", ".", "/", "//", ":", " ", "web", "é", ""]
)


@given(st.text(max_size=70) | st.tuples(HEADS, st.lists(PIECES).map("".join)).map("".join))
def test_any_text_is_a_hit_or_none(prefix: str) -> None:
    hit = policyhit.parse_prefix(prefix)
    if hit is not None:
        assert policyhit.parse(hit.render()) == hit
        assert hit.kind != policyhit.UNRECOGNISED or hit.prefix() == prefix


@given(st.binary(max_size=70))
def test_any_bytes_are_a_hit_or_none(prefix: bytes) -> None:
    policyhit.parse_prefix(prefix.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        pytest.param("ingress|default|np:shop/web|allow|0", "API0|shop/default.web", id="np"),
        pytest.param("ingress|ops|np:shop/ops.web|allow|0", "API0|shop/ops.web", id="np with its tier"),
        pytest.param("egress|ops|gnp:web|deny|12", "DPE12|ops.web", id="gnp"),
        pytest.param("egress||gnp:web|deny|12", "DPE12|default.web", id="tier not known"),
        pytest.param("ingress|default|knp:shop/dns|allow|1", "API1|shop/knp.default.dns", id="knp"),
        pytest.param("ingress|kube-admin|kcnp:ops|pass|0", "PPI0|kcnp/ops", id="there was none"),
        pytest.param("ingress|ops|end-of-tier|pass|-1", "PPI|ops", id="end of tier"),
        pytest.param("ingress|__PROFILE__|no-profile|deny|-1", "DRI", id="no profile"),
        pytest.param("egress|__PROFILE__|pro:kns.shop|allow|0", "ARE0|kns.shop", id="profile"),
    ],
)
def test_legacy_prefix(text: str, prefix: str) -> None:
    assert policyhit.parse(text).prefix(legacy=True) == prefix


@pytest.mark.parametrize(
    "prefix",
    [
        "PPI2|kanp.adminnetworkpolicy.ops",
        "DPE0|kbanp.baselineadminnetworkpolicy.default",
        "API0|ossg.default.6",
    ],
)
def test_kinds_that_are_gone_have_one_prefix(prefix: str) -> None:
    hit = policyhit.parse_prefix(prefix)
    assert hit is not None
    assert hit.prefix() == hit.prefix(legacy=True) == prefix


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
            "ingress: NetworkPolicy shop/cart of tier default, rule 0",
            id="Kubernetes",
        ),
        pytest.param(
            "egress|security|gnp:security.no-metadata|deny|3",
            "egress: GlobalNetworkPolicy security.no-metadata of tier security, rule 3",
            id="global",
        ),
        pytest.param(
            "ingress||np:shop/web|allow|1",
            "ingress: Calico NetworkPolicy shop/web, rule 1",
            id="tier not known",
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
            "ingress|kube-admin|end-of-tier|pass|-1",
            "ingress: end of tier kube-admin, no policy decided it",
            id="end of tier that passes",
        ),
        pytest.param(
            "egress|__PROFILE__|no-profile|deny|-1", "egress: no profile allowed it", id="no profile"
        ),
        pytest.param("ingress||default-deny|deny|-1", "ingress: no policy allowed it", id="default deny"),
        pytest.param("ingress||knp:shop/web|pass|-1", "ingress: NetworkPolicy shop/web", id="no rule known"),
        pytest.param("egress||custom:fw/out|deny|3", "egress: custom policy fw/out, rule 3", id="custom"),
        pytest.param("egress||Fancy:a|deny|3", "egress: Fancy a, rule 3", id="unknown kind"),
        pytest.param(
            "ingress||unrecognised:API0/a_b|allow|0", "ingress: unrecognised API0/a_b, rule 0", id="hashed"
        ),
    ],
)
def test_sentence(text: str, sentence: str) -> None:
    assert policyhit.parse(text).describe() == sentence
