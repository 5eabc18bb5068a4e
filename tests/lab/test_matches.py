"""One policy rule as nftables matches."""

from __future__ import annotations

import ipaddress

import pytest

from lab import matches
from model import cluster, enums
from policy import objects, selector, subjects

POD = cluster.Pod(
    namespace="shop", name="web", labels={"app": "web"}, addresses=("10.0.0.1", "2001:db8::1"),
    ports=(cluster.ContainerPort(name="http", number=8080, protocol=enums.Protocol.TCP),),
)  # fmt: skip
WEB = selector.parse("app == 'web'")
PORTS = (objects.PortRange(80, 80), objects.PortRange(81, 90), objects.PortRange(443, 443))


def _sets(family: int = 4) -> matches.Sets:
    return matches.Sets(subjects.Subjects(objects.PolicySet(), cluster.Cluster(pods=(POD,))), family)


def _nets(*texts: str) -> tuple[objects.Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def _rule(source: objects.Peer, destination: objects.Peer, protocol: int | None = 6) -> objects.Rule:
    return objects.Rule(
        action=objects.RuleAction.ALLOW, protocol=protocol, source=source, destination=destination
    )


ANY = objects.Peer()


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        pytest.param(_rule(ANY, ANY, None), "", id="anything"),
        pytest.param(_rule(ANY, ANY, 47), "meta l4proto 47", id="protocol without a name"),
        pytest.param(_rule(ANY, objects.Peer(ports=PORTS)),
                     "meta l4proto tcp tcp dport { 80-90, 443 }", id="ports are merged"),
        pytest.param(_rule(objects.Peer(not_ports=PORTS[:1]), ANY),
                     "meta l4proto tcp tcp sport != 80-80", id="not ports"),
        pytest.param(_rule(objects.Peer(nets=_nets("10.0.0.0/8", "10.1.0.0/16", "::/0")), ANY),
                     "meta l4proto tcp ip saddr 10.0.0.0/8", id="covered and other nets are left out"),
        pytest.param(_rule(objects.Peer(not_nets=_nets("10.0.0.0/8", "192.0.2.1/32")), ANY),
                     "meta l4proto tcp ip saddr != { 10.0.0.0/8, 192.0.2.1 }", id="not nets"),
    ],
)  # fmt: skip
def test_rule_becomes_one_match(rule: objects.Rule, match: str) -> None:
    assert matches.compile_rule(rule, _sets()) == ([], match)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(objects.Rule(action=objects.RuleAction.ALLOW, ip_version=6), id="version"),
        pytest.param(_rule(objects.Peer(nets=_nets("::/0")), ANY), id="nets"),
        pytest.param(_rule(ANY, objects.Peer(not_nets=_nets("::/0"))), id="not nets of the other family"),
        pytest.param(_rule(ANY, objects.Peer(not_nets=_nets("0.0.0.0/0"))), id="not nets hold all"),
        pytest.param(
            objects.Rule(action=objects.RuleAction.ALLOW, protocol=58, icmp=objects.Icmp(type=128)),
            id="ICMPv6",
        ),
    ],
)
def test_rule_that_cannot_match_is_left_out(rule: objects.Rule) -> None:
    assert matches.compile_rule(rule, _sets()) is None


def test_port_name_alone_looks_into_its_set() -> None:
    """The selector is in the set already, so it is no match of its own."""
    sets = _sets(6)
    compiled = matches.compile_rule(_rule(ANY, objects.Peer(members=WEB, port_names=("http",))), sets)
    (name,) = (one.name for one in sets.all())
    assert name.startswith("cali60n-")
    assert len(name) == 31
    assert compiled == ([], f"meta l4proto tcp ip6 daddr . meta l4proto . th dport @{name}")
    (found,) = sets.all()
    assert found.spec == "type ipv6_addr . inet_proto . inet_service;"
    assert found.elements == ("2001:db8::1 . tcp . 8080",)


def test_numbers_or_names_on_both_sides_use_scratch_marks() -> None:
    peer = objects.Peer(ports=PORTS[:1], port_names=("http",))
    compiled = matches.compile_rule(_rule(peer, peer), _sets())
    assert compiled is not None
    before, match = compiled
    assert match == "meta l4proto tcp meta mark & 0x80000 == 0x80000"
    assert [line.action for line in before] == [
        "meta mark set mark & 0xffe7ffff", "meta mark set mark or 0x80000", "meta mark set mark or 0x80000",
        "meta mark set mark & 0xffefffff", "meta mark set mark or 0x100000", "meta mark set mark or 0x100000",
        "meta mark set mark & 0xfff7ffff",
    ]  # fmt: skip
    assert before[-1].match == "meta mark & 0x100000 == 0"
