"""Rules that match all that others match; and what covers is never wrong."""

from __future__ import annotations

import ipaddress
import pathlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import naive
import worlds

from model import cluster, manifest
from policy import covering, objects, parse, selector

WEB = selector.parse("app == 'web'")


def _rule(**more: Any) -> objects.Rule:
    return objects.Rule(action=objects.RuleAction.ALLOW, **more)


def _from(*nets: str, **more: Any) -> objects.Rule:
    return _rule(source=objects.Peer(nets=tuple(map(ipaddress.ip_network, nets)), **more))


def _at(*spans: tuple[int, int], names: tuple[str, ...] = (), **more: Any) -> objects.Rule:
    ports = tuple(objects.PortRange(*span) for span in spans)
    return _rule(protocol=6, destination=objects.Peer(ports=ports, port_names=names, **more))


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        pytest.param(_rule(), _at((80, 80)), True, id="anything"),
        pytest.param(_at((80, 80)), _rule(), False, id="not the other way round"),
        pytest.param(_at((1, 100)), _at((80, 80), (90, 99)), True, id="ports within"),
        pytest.param(_at((1, 50), (51, 100)), _at((40, 60)), True, id="ports that touch"),
        pytest.param(_at((1, 50)), _at((40, 60)), False, id="ports that overlap"),
        pytest.param(_at((1, 50), names=("http",)), _at(names=("http",)), True, id="names"),
        pytest.param(_at(names=("http",)), _at(names=("dns",)), False, id="other names"),
        pytest.param(_from("10.0.0.0/8"), _from("10.1.0.0/16", "10.2.0.0/16"), True, id="networks"),
        pytest.param(_from("10.0.0.0/8"), _from("10.1.0.0/16", "::/0"), False, id="another family"),
        pytest.param(_from("10.0.0.0/8"), _rule(), False, id="network and anybody"),
        pytest.param(_rule(source=objects.Peer(members=WEB)), _rule(source=objects.Peer(members=WEB)), True,
                     id="the same members"),
        pytest.param(_rule(source=objects.Peer(members=WEB)), _from("10.0.0.1/32"), False, id="members"),
        pytest.param(_rule(protocol=6), _rule(protocol=17), False, id="protocols"),
        pytest.param(_rule(), _rule(icmp=objects.Icmp(type=8)), True, id="messages"),
    ],
)  # fmt: skip
def test_rule_covers(wide: objects.Rule, narrow: objects.Rule, covered: bool) -> None:
    assert covering.covers(wide, narrow) is covered


@given(st.integers(0, 10**9))
def test_what_is_covered_is_matched(seed: int) -> None:
    """In any cluster, whatever a rule matches is matched by the rules that cover it."""
    maker = worlds.Maker(seed)
    documents = [manifest.Document("f", i, body) for i, body in enumerate(maker.cluster())]
    model = naive.Naive(parse.parse(documents), cluster.read(documents))
    made = [maker.one((maker.knp, maker.np, maker.gnp, maker.cnp))(i) for i in range(6)]
    policies = parse.parse(manifest.Document("p", i, body) for i, body in enumerate(made)).everything()
    rules = [rule for policy in policies for rule in (*policy.ingress, *policy.egress)]
    ends = [naive.End(i, net.network_address) for i, pod in enumerate(model.pods) for net in pod.nets]
    ends += [naive.End(None, ipaddress.ip_address(text)) for text in worlds.OUTSIDE]
    pairs = [(a, b) for a in rules for b in rules if a is not b and covering.covers(a, b)]
    for wide, narrow in pairs[:20]:
        for _ in range(10):
            src, dst = maker.one(tuple(ends)), maker.one(tuple(ends))
            if src.address.version == dst.address.version:
                flow = naive.Flow(src, dst, maker.one((6, 17, 1)), 1000, maker.one(worlds.PORTS))
                assert model.matches(wide, flow) or not model.matches(narrow, flow)
