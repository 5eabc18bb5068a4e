"""kube-router's chains: the direction of a policy's rule, which only its sets may tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.counters import kuberouter

CHAIN = "-A KUBE-NWPLCY-6ZZC7CVYN2U5KWPT"
OWN, PEERS = "S625NABNQZQPWP6T", "ABC567ABC567ABC5"
LONG = "rule to ACCEPT traffic from {} selected by policy name: web namespace shop"
PODS = "rule to ACCEPT traffic from source pods to dest pods selected by policy name web namespace shop"


@pytest.mark.parametrize(
    ("comment", "sets", "direction"),
    [
        pytest.param(LONG.format("all sources to dest pods"), "", "ingress", id="from all"),
        pytest.param(LONG.format("specified ipBlocks to dest pods"), "", "ingress", id="from blocks"),
        pytest.param(LONG.format("source pods to all destinations"), "", "egress", id="to all"),
        pytest.param(LONG.format("source pods to specified ipBlocks"), "", "egress", id="to blocks"),
        pytest.param(PODS, f"-m set --match-set KUBE-SRC-{OWN} src", "egress", id="own pods to others"),
        pytest.param(PODS, f"-m set --match-set KUBE-SRC-{PEERS} src", "ingress", id="others to own pods"),
        pytest.param("shop/web ingress cidr", "", "ingress", id="short, ingress"),
        pytest.param("shop/web egress any np", "", "egress", id="short, egress"),
    ],
)
def test_direction_is_told(read_rules: Callable[..., Any], comment: str, sets: str, direction: str) -> None:
    mark = f'{CHAIN} -m comment --comment "{comment}" {sets} -j MARK --set-xmark 0x10000/0x10000'
    back = f'{CHAIN} -m comment --comment "{comment}" {sets} -m mark --mark 0x10000/0x10000 -j RETURN'
    (found,) = kuberouter.attribute(read_rules(mark, back).chains())
    assert (found.hit.render(), found.exact) == (f"{direction}||knp:shop/web|allow|-1", False)
    assert found.rule.position == 0


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            f'{CHAIN} -m comment --comment "rule to mark" -j MARK --set-xmark 0x1/0x1', id="other words"
        ),
        pytest.param("-A KUBE-POD-FW-X -m conntrack --ctstate RELATED -j ACCEPT", id="accepts"),
        pytest.param("-A KUBE-POD-FW-X -j MARK --set-xmark 0x0/0x10000", id="clears the mark"),
        pytest.param("-A KUBE-POD-FW-X -m conntrack --ctstate INVALID -j DROP", id="drops what is invalid"),
        pytest.param("-A KUBE-ROUTER-FORWARD -j DROP", id="another chain"),
    ],
)
def test_other_rules_are_no_policys(read_rules: Callable[..., Any], line: str) -> None:
    assert kuberouter.attribute(read_rules(line).chains()) == []
