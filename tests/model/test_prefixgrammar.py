"""The grammars of NFLOG prefixes, and the order in which they are asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import enums, errors, policyhit, prefixgrammar, prefixpattern

ALL = (
    *prefixgrammar.GRAMMARS.values(),
    prefixpattern.compile_pattern(
        r"(?P<action>\w+)(?: (?P<direction>\w+))? (?:(?P<namespace>[^/]*)/)?(?P<policy>.*?)(?P<rule>\d*)$"
    ),
)


def test_registry_knows_what_each_dataplane_leaves_out() -> None:
    assert {g.name: (g.sampled, g.directed) for g in prefixgrammar.GRAMMARS.values()} == {
        "calico": (False, True),
        "kube-router": (True, False),
    }


@pytest.mark.parametrize(
    ("prefix", "names", "text"),
    [
        pytest.param(
            "API0|np/shop/web", ["calico", "kube-router"], "ingress||np:shop/web|allow|0", id="first"
        ),
        pytest.param(
            "DROP by policy shop/web",
            ["calico", "kube-router"],
            "ingress||knp:shop/web|pass|-1",
            id="first declines",
        ),
        pytest.param("", ["calico", "kube-router"], "ingress||default-deny|deny|-1", id="no prefix"),
        pytest.param("", ["calico"], None, id="no prefix, and nothing that means"),
        pytest.param("API0|np/shop/web", [], None, id="no grammar"),
        pytest.param("KUBE: ", ["kube-router", "calico"], None, id="nobody's"),
    ],
)
def test_first_grammar_that_knows_it_is_believed(prefix: str, names: list[str], text: str | None) -> None:
    hit = prefixgrammar.parse_prefix(prefix, prefixgrammar.choose(names))
    assert (hit.render() if hit else None) == text


def test_order_is_the_users() -> None:
    allow, deny = (
        prefixpattern.compile_pattern("^x", default_action=action)
        for action in (enums.Action.ALLOW, enums.Action.DENY)
    )
    hits = [prefixgrammar.parse_prefix("x", grammars) for grammars in ((allow, deny), (deny, allow))]
    assert [hit.action for hit in hits if hit] == ["allow", "deny"]


def test_unknown_grammar_is_named() -> None:
    with pytest.raises(errors.SetupError, match="no NFLOG grammar 'cilium'; there are calico, kube-router"):
        prefixgrammar.choose(["calico", "cilium"])


@given(st.text(max_size=140) | st.binary(max_size=140).map(lambda data: data.decode("utf-8", "replace")))
def test_any_prefix_is_a_hit_or_none(prefix: str) -> None:
    """By each grammar; and what it gives goes through the ledger unchanged."""
    for grammar in ALL:
        hit = prefixgrammar.parse_prefix(prefix, [grammar])
        assert hit is None or policyhit.parse(hit.render()) == hit


@pytest.mark.parametrize("prefix", ["\ud800", "x\ud800 y", "API0|\udc80", "DROP by policy \ud800/x"])
def test_text_that_is_no_unicode_is_a_hit_or_none(prefix: str) -> None:
    hit = prefixgrammar.parse_prefix(prefix, ALL)
    assert hit is None or policyhit.parse(hit.render()) == hit
