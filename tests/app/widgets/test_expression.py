import pytest

from app.widgets import expression
from model import enums
from store import filters


@pytest.mark.parametrize(
    ("text", "chosen", "changed"),
    [
        pytest.param("", ["denied"], "verdict = denied", id="from-nothing"),
        pytest.param("verdict = denied", [], "", id="to-nothing"),
        pytest.param("verdict = denied", ["denied", "unknown"], "verdict in (denied, unknown)", id="two"),
        pytest.param("dst.port = 80", ["denied"], "verdict = denied and dst.port = 80", id="beside-others"),
        pytest.param(
            "dst.port in (80, 443) and verdict in (denied, unknown)", ["allowed"],
            "verdict = allowed and dst.port in (80, 443)", id="in-place-of-another",
        ),
        pytest.param(
            "dst.port = 80 or dst.port = 81", ["denied"],
            "verdict = denied and (dst.port = 80 or dst.port = 81)", id="or-in-brackets",
        ),
        pytest.param(
            'src.pod = "a and b or c"', ["denied"],
            'verdict = denied and src.pod = "a and b or c"', id="quoted",
        ),
    ],
)  # fmt: skip
def test_with_verdicts_replaces_the_term(text, chosen, changed):
    assert expression.with_verdicts(text, chosen) == changed
    assert expression.verdicts(changed) == chosen
    filters.compile(changed)


@pytest.mark.parametrize(
    "text", ["not verdict = denied", "verdict = denied or dst.port = 1", "(", '"', "verdict", "and and"]
)
def test_verdicts_of_other_expressions_are_none(text):
    assert expression.verdicts(text) == []


@pytest.mark.parametrize(
    ("text", "name", "changed"),
    [
        pytest.param("", "shop", "namespace = shop", id="from-nothing"),
        pytest.param("namespace = shop", "", "", id="to-nothing"),
        pytest.param(
            "namespace = shop and dst.port = 1", "lab", "dst.port = 1 and namespace = lab", id="another"
        ),
    ],
)
def test_with_namespace_replaces_the_term(text, name, changed):
    assert expression.with_namespace(text, name) == changed
    assert expression.namespace(changed) == name
    filters.compile(changed)


@pytest.mark.parametrize(
    "value", ["web", "10.0.0.0/8", "fd00::1", "::1", "and", "a b", 'a"b', "a\\", "(x)", "", "a='b'", "日本"]
)
def test_quote_gives_the_same_value_back(value):
    condition = filters.compile(expression.equals("src.pod", value))
    assert list(condition.parameters.values()) == [value]


def edge(**changed):
    kinds = {"src_kind": "pod", "dst_kind": "pod", "src_namespace": "lab", "dst_namespace": "shop"}
    rest = {"src": "lab/scanner", "dst": "shop/web", "dst_port": 80, "protocol": "TCP", "verdict": "denied"}
    return {**kinds, **rest, **changed}


@pytest.mark.parametrize(
    ("row", "part"),
    [
        pytest.param(edge(), "dst.namespace = shop and dst.workload = web and dst.port = 80", id="pods"),
        pytest.param(edge(dst_kind="public", dst="2001:db8::1"), "dst.address = 2001:db8::1", id="public"),
        pytest.param(edge(src_kind="node", src="node-a"), "src.workload = node-a", id="node"),
        pytest.param(
            edge(dst_port=0, protocol="ICMPv6"), "dst.workload = web and protocol = icmpv6", id="icmp"
        ),
        pytest.param(edge(protocol="47"), "protocol = 47", id="number"),
    ],
)
def test_edge_selects_its_flows(row, part):
    text = expression.edge(row)
    assert part in text
    assert text.startswith("verdict = denied and ")
    filters.compile(text)


def test_edge_that_would_be_denied_selects_its_flows():
    text = expression.edge(edge(verdict="allowed", pending_verdict="denied"))
    assert text.startswith("verdict = allowed and pending_verdict = denied and src.namespace = lab")
    filters.compile(text)


def test_every_verdict_can_be_chosen():
    filters.compile(expression.with_verdicts("", list(enums.Verdict)))
