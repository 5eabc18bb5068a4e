"""NFLOG prefixes of kube-router and K3s."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import enums, kuberouter, policyhit

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


def test_message_without_prefix_is_a_denial() -> None:
    assert kuberouter.parse_prefix("") == policyhit.PolicyHit(
        direction=policyhit.UNTOLD_DIRECTION, kind="default-deny", action=enums.Action.DENY
    )


def test_named_policy_only_did_not_accept() -> None:
    """Another policy of the same pod may: what K3s calls a drop denies nothing."""
    hit = kuberouter.parse_prefix("DROP by policy default/test-network-policy")
    assert hit is not None
    assert hit.render() == "ingress||knp:default/test-network-policy|pass|-1"


@pytest.mark.parametrize(
    ("namespace", "name", "prefix"),
    [
        pytest.param("shop", "web", "DROP by policy shop/web", id="short"),
        pytest.param("n" * 23, "p" * 24, f"DROP by policy {'n' * 23}/{'p' * 24}", id="just fits"),
        pytest.param("shop", "p" * 50, f"DROP by policy shop/{'p' * 43}", id="long name"),
        pytest.param("n" * 63, "web", f"DROP by policy {'n' * 44}/web", id="long namespace"),
        pytest.param("n" * 24, "p" * 24, f"DROP by policy {'n' * 23}/{'p' * 23}", id="both long"),
    ],
)
def test_prefix_is_cut_as_k3s_does(namespace: str, name: str, prefix: str) -> None:
    assert kuberouter.refusal_prefix(namespace, name) == prefix


@given(NAMES, NAMES)
def test_prefix_fits_and_never_names_another(namespace: str, name: str) -> None:
    """What iptables takes (63 characters); the parser gives the policy itself or none."""
    prefix = kuberouter.refusal_prefix(namespace, name)
    assert len(prefix) <= 63
    hit = kuberouter.parse_prefix(prefix)
    assert hit is not None
    if hit.kind == policyhit.UNRECOGNISED:
        assert hit.name == prefix
        assert len(namespace) + len(name) >= 46
    else:
        assert hit == kuberouter.refusal(namespace, name)


@pytest.mark.parametrize(
    "prefix",
    [
        "DROP by policy ",
        "DROP by policy web",
        "DROP by policy /web",
        "DROP by policy shop/",
        "DROP by policy shop/web/x",
        "drop by policy shop/web",
        "API0|np/shop/web",
        " ",
    ],
)
def test_other_prefix_is_declined(prefix: str) -> None:
    assert kuberouter.parse_prefix(prefix) is None
