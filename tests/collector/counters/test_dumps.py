"""Which rulesets are read, and with what."""

from __future__ import annotations

from typing import Any

import pytest

from collector.counters import dumps

pytestmark = pytest.mark.net


def test_each_ruleset_is_read_once_and_with_its_own_tool(namespace: Any) -> None:
    """Those of iptables are nftables' tables too, and services' rules are nobody's policy."""
    for command in ("iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft"):
        namespace.run(command, "-A", "FORWARD", "-j", "DROP")
    namespace.run("iptables-nft", "-t", "nat", "-A", "OUTPUT", "-j", "RETURN")
    namespace.run("iptables-legacy", "-t", "mangle", "-A", "FORWARD", "-j", "DROP")
    for table in ("ip kube-proxy", "inet flowledger_probe", "bridge mine", "netdev other"):
        namespace.nft(f"table {table} {{ }}")
    reading = dumps.read(namespace.path)
    assert sorted(dump.name for dump in reading.dumps) == [
        "ip6tables-legacy", "ip6tables-nft", "iptables-legacy", "iptables-nft", "nft bridge mine",
        "nft inet track",
    ]  # fmt: skip
    assert (reading.failed, reading.unavailable) == ([], set())
    rules = {dump.name: {rule.table for rule in dump.parse().rules} for dump in reading.dumps}
    assert rules["iptables-legacy"] == {"filter", "mangle"}


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param('chain mine { ct state new counter drop comment "mine"; }', id="rules"),
        pytest.param(
            'chain mine { type filter hook input priority 10; counter drop comment "mine"; }', id="base chain"
        ),
    ],
)
def test_table_that_only_has_its_name_from_iptables_is_nfts(namespace: Any, chain: str) -> None:
    """iptables leaves out what it cannot print; its other table is still its own."""
    namespace.run("iptables-nft", "-t", "mangle", "-A", "FORWARD", "-j", "DROP")
    namespace.nft(f"table ip filter {{ {chain}; }}")
    found = {dump.name: dump.parse().rules for dump in dumps.read(namespace.path).dumps}
    assert found.keys() == {"iptables-nft", "nft inet track", "nft ip filter"}
    assert [rule.comments for rule in found["nft ip filter"]] == [("mine",)]
    assert [rule.table for rule in found["iptables-nft"]] == ["mangle"]
