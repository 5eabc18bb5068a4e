"""What an ordered list of policy hits comes to."""

from __future__ import annotations

import pytest

from collector import traces
from model import policyhit

ALLOW_OUT, DENY_OUT, PASS_OUT = "APE0|np/shop/out", "DPE1|np/shop/out", "PPE0|np/shop/first"
ALLOW_IN, END_IN = "API0|np/shop/in", "DPI|default"


def _hits(*prefixes: str) -> list[policyhit.PolicyHit]:
    return [hit for prefix in prefixes if (hit := policyhit.parse_prefix(prefix))]


@pytest.mark.parametrize(
    ("prefixes", "egress", "ingress", "deciding"),
    [
        pytest.param((), "", "", "", id="nothing"),
        pytest.param((ALLOW_OUT,), "allow", "", "egress||np:shop/out|allow|0", id="out"),
        pytest.param((ALLOW_OUT, ALLOW_IN), "allow", "allow", "ingress||np:shop/in|allow|0", id="both sides"),
        pytest.param((ALLOW_OUT, END_IN), "allow", "deny", "ingress|default|end-of-tier|deny|-1",
                     id="let out, not in"),
        pytest.param((PASS_OUT, DENY_OUT), "deny", "", "egress||np:shop/out|deny|1", id="passed on, denied"),
        pytest.param((PASS_OUT,), "", "", "", id="passed on, and nothing more"),
    ],
)  # fmt: skip
def test_summary(prefixes: tuple[str, ...], egress: str, ingress: str, deciding: str) -> None:
    hits = _hits(*prefixes)
    summary = traces.summarise(hits)
    assert (summary.egress_action, summary.ingress_action, summary.deciding_rule) == (
        egress,
        ingress,
        deciding,
    )
    assert summary.text == " ".join(hit.render() for hit in hits)
    assert summary.attribution == ("nflog" if prefixes else "none")


def test_known_prefix_wins_over_its_own_grammar() -> None:
    (known,) = _hits("API3|gnp/known")
    codes = traces.Traces({ALLOW_IN: known})
    code = codes.code(tuple(codes.hit_codes([ALLOW_IN]).tolist()))
    assert codes.column([code], "deciding_rule").to_pylist() == [known.render()]


def test_prefix_that_is_no_policys_has_no_hit() -> None:
    codes = traces.Traces({})
    for _ in range(2):
        assert codes.hit_codes(["kernel: ", ALLOW_IN]).tolist() == [traces.NO_HIT, 0]


def test_the_same_hit_keeps_its_code_over_new_tables() -> None:
    """However often policies change, what is kept grows with the rules alone."""
    (known,) = _hits("API3|gnp/known")
    codes = traces.Traces({})
    found = []
    for number in range(3):
        codes.learn({ALLOW_IN: known, f"x{number}": known})
        found.append(codes.hit_codes([ALLOW_IN, f"x{number}"]).tolist())
    assert found == [[0, 0]] * 3


def test_what_is_learnt_holds_for_what_comes() -> None:
    (known,) = _hits("API3|gnp/known")
    codes = traces.Traces({})
    before = codes.code(tuple(codes.hit_codes([ALLOW_IN]).tolist()))
    codes.learn({ALLOW_IN: known})
    after = codes.code(tuple(codes.hit_codes([ALLOW_IN]).tolist()))
    assert codes.column([before, after], "deciding_rule").to_pylist() == [
        *(hit.render() for hit in _hits(ALLOW_IN)),
        known.render(),
    ]


def test_equal_traces_share_a_code() -> None:
    codes = traces.Traces({})
    out, into = codes.hit_codes([ALLOW_OUT, END_IN]).tolist()
    assert codes.code(()) == 0
    assert codes.code((out, into)) == codes.code((out, into)) != codes.code((into, out))
    assert codes.is_deny().tolist() == [False, True]
    assert codes.is_ingress().tolist() == [False, True]
    assert codes.flags("ingress_action", "deny").tolist() == [False, True, True]
    assert codes.flags("ingress_action", "allow").tolist() == [False, False, False]
