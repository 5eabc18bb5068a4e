"""Rulesets of several origins in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.counters import attribution, rules


def test_each_chain_is_read_as_its_makers(read_rules: Callable[..., Any]) -> None:
    ruleset = read_rules(
        "-A cali-pi-np/shop/web -j DROP",
        '-A KUBE-NWPLCY-X -m comment --comment "shop/api ingress any" -j MARK --set-xmark 0x10000/0x10000',
        "-A MINE -j DROP",
    )
    found = attribution.attribute(ruleset, attribution.Known())
    assert [one.hit.render() for one in found] == [
        "ingress||np:shop/web|deny|0", "ingress||knp:shop/api|allow|-1",
        "ingress||custom:filter%2FMINE|deny|0",
    ]  # fmt: skip


def test_rule_without_counter_is_left_out() -> None:
    rule = rules.Rule(family=4, table="t", chain="c", position=0, identity="1", action="drop")
    assert attribution.attribute(rules.Ruleset((rule,)), attribution.Known()) == []
