"""Names of Calico's chains, both ways."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from model import chainnames, enums, policyhit

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
ALLOW = enums.Action.ALLOW


@pytest.mark.parametrize(
    ("prefix", "suffix", "expected"),
    [
        pytest.param("cali-pi-", "np/shop/web-ingress", "cali-pi-np/shop/web-ingress", id="fits"),
        pytest.param("cali-pi-", "gnp/ops.block-metadata", "cali-pi-_T7oAA9Ff3Krd8WhFXE1", id="3.32"),
        pytest.param("cali-po-", "gnp/ops.block-metadata", "cali-po-_T7oAA9Ff3Krd8WhFXE1", id="egress"),
        pytest.param(
            "cali-pi-", "default/shop/default.web-ingress", "cali-pi-_1D3JW2A54Ei6oq-NrtT", id="3.29"
        ),
        pytest.param("cali-pi-", "shop/default.web-ingress", "cali-pi-_gIpZBLntRxK5-dQIFwC", id="3.28"),
        pytest.param("cali-pri-", "kns.shop", "cali-pri-kns.shop", id="profile"),
        pytest.param("cali-pri-", "", "cali-pri-_", id="nothing"),
        pytest.param("cali-pi-", "x" * 20, "cali-pi-" + "x" * 20, id="just fits"),
    ],
)
def test_name_is_limited_as_calico_does(prefix: str, suffix: str, expected: str) -> None:
    assert chainnames.limited(prefix, suffix, chainnames.IPTABLES_LIMIT) == expected


@hypothesis.given(strategies.text(), strategies.sampled_from([28, 256]))
def test_name_is_never_too_long_and_hash_never_a_name(suffix: str, limit: int) -> None:
    name = chainnames.limited("cali-pi-", suffix, limit)
    assert len(name) <= limit
    if name != f"cali-pi-{suffix or '_'}":
        assert name.startswith("cali-pi-_")
        assert len(name) == min(limit, 8 + 1 + 43)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        pytest.param("filter-cali-pi-x", ("filter", "cali-pi-x"), id="nftables"),
        pytest.param("cali-pi-filter-cali", ("", "cali-pi-filter-cali"), id="iptables"),
        pytest.param("filter-FORWARD", ("", "filter-FORWARD"), id="not Calico's"),
    ],
)
def test_layer_is_taken_off(chain: str, expected: tuple[str, str]) -> None:
    assert chainnames.layer(chain) == expected


def _owner(text: str, direction: enums.Direction = INGRESS) -> chainnames.Owner:
    """An owner out of ``tier kind namespace name``, with dots for what is empty."""
    tier, kind, namespace, name = (part if part != "." else "" for part in text.split())
    return chainnames.Owner(direction=direction, tier=tier, kind=kind, namespace=namespace, name=name)


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        pytest.param("NetworkPolicy shop/web ingress", _owner(". np shop web"), id="np"),
        pytest.param("GlobalNetworkPolicy deny.x egress", _owner(". gnp . deny.x", EGRESS), id="gnp"),
        pytest.param("KubernetesNetworkPolicy shop/dns ingress", _owner(". knp shop dns"), id="knp"),
        pytest.param("KubernetesClusterNetworkPolicy base ingress", _owner(". kcnp . base"), id="kcnp"),
        pytest.param("Policy shop/default.web ingress", _owner("default np shop web"), id="v1 np"),
        pytest.param("Policy ops.guard.x egress", _owner("ops gnp . guard.x", EGRESS), id="v1 gnp"),
        pytest.param("Policy shop/knp.default.dns ingress", _owner("default knp shop dns"), id="v1 knp"),
        pytest.param(
            "Policy kanp.adminnetworkpolicy.a ingress", _owner("adminnetworkpolicy kanp . a"), id="v1 kanp"
        ),
        pytest.param("Policy plain ingress", _owner("default gnp . plain"), id="v1 without tier"),
        pytest.param("Profile kns.shop egress", _owner("__PROFILE__ pro . kns.shop", EGRESS), id="profile"),
        pytest.param("NetworkPolicy shop/we", None, id="cut"),
        pytest.param("Start of tier default", None, id="another comment"),
        pytest.param("", None, id="none"),
    ],
)
def test_comment_names_the_owner(comment: str, expected: chainnames.Owner | None) -> None:
    assert chainnames.read_comment(comment) == expected


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        pytest.param("cali-pi-np/shop/web", _owner(". np shop web"), id="np"),
        pytest.param("cali-po-gnp/web", _owner(". gnp . web", EGRESS), id="gnp"),
        pytest.param("cali-pi-default/shop/default.web", _owner("default np shop web"), id="3.29 np"),
        pytest.param("cali-pi-ops/ops.guard", _owner("ops gnp . guard"), id="3.29 gnp"),
        pytest.param("cali-pi-shop/default.web", _owner("default np shop web"), id="3.28 np"),
        pytest.param("cali-pi-shop/knp.default.web", _owner("default knp shop web"), id="3.28 knp"),
        pytest.param("cali-pi-default.web", _owner("default gnp . web"), id="3.28 gnp"),
        pytest.param("cali-pi-default/default.web", None, id="3.28 np of default, or 3.29 gnp"),
        pytest.param("cali-pri-kns.shop", _owner("__PROFILE__ pro . kns.shop"), id="profile"),
        pytest.param("cali-pri-_abc", None, id="hashed profile"),
        pytest.param("cali-pi-_T7oAA9Ff3Krd8WhFXE1", None, id="hashed policy"),
        pytest.param("cali-tw-calia4fc3c48bd8", None, id="endpoint"),
        pytest.param("FORWARD", None, id="not Calico's"),
    ],
)
def test_name_tells_the_owner(chain: str, expected: chainnames.Owner | None) -> None:
    assert chainnames.read_name(chain) == expected


_WORDS = strategies.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True).filter(
    lambda word: word not in ("np", "gnp", "knp", "kcnp", "kanp", "kbanp", "ossg")
)
_DOTTED = strategies.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z0-9]{1,5}){0,2}", fullmatch=True)


@hypothesis.given(_WORDS, _WORDS, _DOTTED, strategies.sampled_from(["np", "gnp", "knp"]))
def test_written_v1_name_is_read(namespace: str, tier: str, name: str, kind: str) -> None:
    hypothesis.assume(not name.startswith(f"{tier}."))
    expected = chainnames.Owner(
        direction=INGRESS, kind=kind, namespace="" if kind == "gnp" else namespace, name=name,
        tier="default" if kind == "knp" else tier,
    )  # fmt: skip
    v1 = chainnames.v1_name(kind, expected.namespace, tier, name)
    assert chainnames.read_comment(f"Policy {v1} ingress") == expected
    if tier != "default" and namespace != "default":
        assert chainnames.read_name(f"cali-pi-{expected.tier}/{v1}") == (
            expected if "/" in v1 or expected.tier != "default" else None
        )


@hypothesis.given(_WORDS, _DOTTED, strategies.sampled_from(["np", "gnp", "knp", "kcnp"]))
def test_written_name_is_read(namespace: str, name: str, kind: str) -> None:
    hypothesis.assume(not name.startswith("knp."))
    owner = chainnames.Owner(
        direction=EGRESS, kind=kind, namespace=namespace if kind in ("np", "knp") else "", name=name
    )
    identity = "/".join(part for part in (kind, owner.namespace, name) if part)
    assert chainnames.read_name(f"cali-po-{identity}") == owner


def test_owner_agrees_with_or_without_tier_in_name() -> None:
    web = _owner("ops np shop web")
    assert web.agrees(_owner(". np shop web"))
    assert web.agrees(_owner(". np shop ops.web"))
    assert _owner("ops np shop ops.web").agrees(web)
    assert not web.agrees(_owner(". np shop other"))
    assert not web.agrees(_owner(". np other web"))
    assert not web.agrees(_owner(". gnp . web"))
    assert not web.agrees(_owner(". np shop web", EGRESS))


def test_owner_gives_hits_and_rules_by_family() -> None:
    owner = chainnames.Owner(
        direction=INGRESS, tier="ops", kind="gnp", name="guard", ipv4=(chainnames.Listed(0, ALLOW),), ipv6=()
    )
    assert owner.listed(4) == (chainnames.Listed(0, ALLOW),)
    assert owner.listed(6) == ()
    assert owner.hit(ALLOW, 3) == policyhit.PolicyHit(
        direction=INGRESS, tier="ops", kind="gnp", name="guard", action=ALLOW, rule=3
    )
