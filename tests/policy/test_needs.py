"""What is needed, as rules: whom they name, by which ports, and how far they go beyond what was seen."""

from __future__ import annotations

import ipaddress
import pathlib
import random
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import observed
from observed import edge, network_set, ping, pod, port

from model import cluster, enums
from policy import drafting, needs, record, stable

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
TCP, UDP, SCTP = enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP
PODS = [pod("web"), pod("db"), pod("cart"), pod("till", "bank")]


def _needed(
    edges: Sequence[observed.Edge], direction: enums.Direction = EGRESS,
    variants: Sequence[record.Variant] = PODS, around: Iterable[observed.Body] = (),
    outside: dict[str, tuple[str, str, str]] | None = None, **bounds: Any,
) -> needs.Needed:  # fmt: skip
    seen = observed.seen(variants, edges, outside)
    found = cluster.read(observed.documents(*around))
    made = needs.Needs(seen, stable.groups(seen.variants), found, needs.Bounds(**bounds))
    return made.needed(direction, range(len(edges)))


def _port(one: drafting.Port) -> str:
    what = f"type {one.icmp_type}" if one.icmp_type >= 0 else one.name or (
        f"{one.first}" if one.first == one.last else f"{one.first}-{one.last}"
    )  # fmt: skip
    return f"{enums.protocol_name(one.protocol)} {what}"


def _told(found: needs.Needed) -> list[str]:
    """Each rule in a line."""
    return [
        f"{' + '.join(str(part.peer) for part in rule.parts)}: {', '.join(map(_port, rule.ports))}"
        for rule in found.rules
    ]


def _notes(found: needs.Needed) -> list[str]:
    return [part.peer.note for rule in found.rules for part in rule.parts]


@pytest.mark.parametrize(
    ("edges", "rules"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([edge("web", "db", 5432)], ["shop/db: TCP 5432"], id="one"),
        pytest.param([edge("web", "db", 81), edge("web", "db", 80), edge("web", "db", 53, protocol=UDP)],
                     ["shop/db: TCP 80, TCP 81, UDP 53"], id="ports of one"),
        pytest.param([edge("web", "till"), edge("web", "cart"), edge("web", "db", 81)],
                     ["bank/till + shop/cart: TCP 80", "shop/db: TCP 81"], id="the same port of two"),
        pytest.param([ping("web", "db"), ping("web", "db", six=True), ping("web", "db", icmp_type=13)],
                     ["shop/db: ICMP type 8, ICMP type 13, ICMPv6 type 128"], id="messages"),
        pytest.param([edge("web", "db", 9, protocol=SCTP)], ["shop/db: SCTP 9"], id="SCTP"),
        pytest.param([edge("web", "db", 9, protocol=enums.Protocol.UDPLITE)], ["shop/db: UDPLite 0"],
                     id="UDPLite, of which policies know no ports"),
        pytest.param([edge("web", "db", 0, protocol=47)], ["shop/db: 47 0"], id="a protocol by its number"),
        pytest.param([edge("web", "203.0.113.9", 443)], ["203.0.113.9/32: TCP 443"], id="an address"),
        pytest.param([edge("web", "203.0.113.9", 443), edge("web", "203.0.113.8", 443)],
                     ["203.0.113.8/31: TCP 443"], id="neighbours"),
        pytest.param([edge("web", "203.0.113.9", 443), edge("web", "203.0.113.8", 80)],
                     ["203.0.113.8/32: TCP 80", "203.0.113.9/32: TCP 443"], id="neighbours by other ports"),
        pytest.param([edge("web", "203.0.113.9", 443), edge("web", "2001:db8::9", 443)],
                     ["203.0.113.9/32, 2001:db8::9/128: TCP 443"], id="both families"),
        pytest.param([edge("web", "203.0.113.9"), edge("web", "db")],
                     ["shop/db: TCP 80", "203.0.113.9/32: TCP 80"], id="pods first"),
    ],
)  # fmt: skip
def test_rules(edges: list[observed.Edge], rules: list[str]) -> None:
    assert _told(_needed(edges)) == rules


def test_peers_of_ingress_are_sources() -> None:
    found = _needed([edge("web", "db"), edge("203.0.113.9", "db", 81)], INGRESS)
    assert _told(found) == ["shop/web: TCP 80", "203.0.113.9/32: TCP 81"]


def test_parts_have_the_edges_they_were_made_for() -> None:
    edges = [edge("web", "db", 81), edge("web", "cart"), edge("web", "db"), edge("web", "203.0.113.9")]
    found = _needed(edges)
    assert {str(part.peer): part.edges for rule in found.rules for part in rule.parts} == {
        "shop/cart": (1,), "shop/db": (0, 2), "203.0.113.9/32": (3,)
    }  # fmt: skip


def test_pods_that_labels_do_not_tell_apart_are_one_peer() -> None:
    variants = [pod("web"), pod("a", labels={"app": "x"}), pod("b", labels={"app": "x"})]
    found = _needed([edge("web", "a"), edge("web", "b", 81)], variants=variants)
    assert _told(found) == ["shop/a: TCP 80, TCP 81"]


def test_peer_that_no_label_names_is_said_to_be_its_whole_namespace() -> None:
    found = _needed([edge("web", "db")], variants=[pod("web"), pod("db", labels={})])
    assert (_told(found), _notes(found)) == (
        ["shop/db: TCP 80"], ["no label names its pods: all pods of namespace shop are meant"]
    )  # fmt: skip


HTTP = port(80, "http")


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        pytest.param([(HTTP,), (HTTP,)], "TCP http", id="all agree"),
        pytest.param([(HTTP,), ()], "TCP 80", id="one has none"),
        pytest.param([(HTTP,), (port(80, "web"),)], "TCP 80", id="one has another name"),
        pytest.param([(HTTP,), (port(8080, "http"),)], "TCP http", id="one has another number"),
        pytest.param([(HTTP,), (port(80, "http", UDP),)], "TCP 80", id="one has another protocol"),
        pytest.param([(HTTP, port(80, "api")), (HTTP, port(80, "api"))], "TCP api", id="two names"),
        pytest.param([(HTTP, port(80, "api")), (HTTP,)], "TCP http", id="the name in common"),
        pytest.param([(port(81, "http"),), (port(81, "http"),)], "TCP 80", id="name of another port"),
        pytest.param([(port(80, "x", UDP), port(81, "x"))] * 2, "TCP 80", id="name of two others"),
        pytest.param([(port(80),), (port(80),)], "TCP 80", id="no name"),
    ],
)
def test_port_by_its_name(ports: list[tuple[cluster.ContainerPort, ...]], expected: str) -> None:
    """By the name if all pods have one of that name, so that a version with another number is let in too."""
    versions = [pod("db", labels={"app": "db", "v": str(i)}, ports=some) for i, some in enumerate(ports)]
    for direction in (EGRESS, INGRESS):
        (rule,) = _needed([edge("web", "db")], direction, [pod("web"), *versions]).rules
        assert [_port(one) for one in rule.ports] == [expected]


def test_port_of_two_workloads_in_one_group_has_a_name_if_both_have_it() -> None:
    a, b = (
        pod(name, labels={"app": "x"}, ports=(port(80, word),)) for name, word in (("a", "http"), ("b", "x"))
    )
    (rule,) = _needed([edge("web", "a")], variants=[pod("web"), a, b]).rules
    assert [_port(one) for one in rule.ports] == ["TCP 80"]


def _many(dst: str, count: int, step: int = 2) -> list[observed.Edge]:
    return [edge("web", dst, 1000 + step * i) for i in range(count)]


@pytest.mark.parametrize("dst", ["db", "203.0.113.9", "192.0.2.7"], ids=["pods", "address", "network set"])
def test_many_ports_become_a_range_which_is_said(dst: str) -> None:
    around, outside = [network_set("partners", "192.0.2.0/32", "192.0.2.7/32")], {"192.0.2.7": PARTNERS}
    few = _needed(_many(dst, 32), around=around, outside=outside)
    assert (len(few.rules[0].ports), _notes(few)) == (32, [""])
    many = _needed([*_many(dst, 33), edge("web", dst, 53, protocol=UDP)], around=around, outside=outside)
    assert [_port(one) for one in many.rules[0].ports] == ["TCP 1000-1064", "UDP 53"]
    assert _notes(many) == ["33 ports of TCP from 1000 to 1064 were seen, 32 were not"]
    assert many.rules[0].parts[0].edges == tuple(range(34))


def test_range_without_gaps_needs_no_note() -> None:
    assert _notes(_needed(_many("db", 40, 1))) == [""]


def test_named_port_is_in_no_range() -> None:
    variants = [pod("web"), pod("db", ports=(port(80, "http"),))]
    found = _needed([*_many("db", 40), edge("web", "db")], variants=variants)
    assert _told(found) == ["shop/db: TCP 1000-1078, TCP http"]


PARTNERS = ("network_set", "", "partners")
TILLS = ("network_set", "bank", "tills")


@pytest.mark.parametrize(
    ("nets", "used", "expected", "note"),
    [
        pytest.param(["192.0.2.7/32"], ["192.0.2.7"], ["192.0.2.7/32"], "", id="one address"),
        pytest.param(["192.0.2.0/24"], ["192.0.2.7", "192.0.2.8"], ["192.0.2.0/24"],
                     "2 of its addresses were seen, 254 were not", id="a network"),
        pytest.param(["192.0.2.0/24", "198.51.100.0/24"], ["192.0.2.7"], ["192.0.2.0/24"],
                     "1 of its addresses were seen, 255 were not", id="one of two networks"),
        pytest.param(["192.0.2.0/24", "192.0.2.0/28"], ["192.0.2.7"], ["192.0.2.0/28"],
                     "1 of its addresses were seen, 15 were not", id="the smaller of two"),
        pytest.param(["192.0.2.7/32", "2001:db8::7/128"], ["192.0.2.7", "2001:db8::7"],
                     ["192.0.2.7/32", "2001:db8::7/128"], "", id="both families"),
    ],
)  # fmt: skip
def test_network_set(nets: list[str], used: list[str], expected: list[str], note: str) -> None:
    found = _needed(
        [edge("web", text) for text in used], around=[network_set("partners", *nets)],
        outside=dict.fromkeys(used, PARTNERS),
    )  # fmt: skip
    assert _told(found) == ["network set partners: TCP 80"]
    peer = found.rules[0].parts[0].peer
    assert ([str(net) for net in peer.networks], peer.note, peer.labels) == (expected, note, ())


@pytest.mark.parametrize(
    ("around", "rules"),
    [
        pytest.param([], ["192.0.2.7/32: TCP 80"], id="the set is gone"),
        pytest.param([network_set("partners", "198.51.100.0/24", labels={"partner": "yes"})],
                     ["192.0.2.7/32: TCP 80"], id="the set has other addresses now"),
        pytest.param([network_set("partners", "192.0.2.0/24", namespace="shop")],
                     ["network set shop/partners: TCP 80"], id="a namesake in a namespace has it"),
    ],
)  # fmt: skip
def test_address_that_its_network_set_has_no_more_is_an_address(
    around: list[observed.Body], rules: list[str]
) -> None:
    """A rule about a set without the address would not let it in, or let in all there are."""
    assert _told(_needed([edge("web", "192.0.2.7")], around=around, outside={"192.0.2.7": PARTNERS})) == rules


@pytest.mark.parametrize(
    ("around", "kind", "rules"),
    [
        pytest.param([network_set("new", "192.0.2.0/24")], ("public", "", ""), ["network set new: TCP 80"],
                     id="made since"),
        pytest.param([network_set("new", "192.0.2.0/24")], ("private", "", ""), ["network set new: TCP 80"],
                     id="made since, of a private address"),
        pytest.param([network_set("wide", "192.0.0.0/16"), network_set("new", "192.0.2.0/24")],
                     ("public", "", ""), ["network set new: TCP 80"], id="the smaller one"),
        pytest.param([network_set("partners", "192.0.0.0/16"), network_set("new", "192.0.2.0/24")],
                     PARTNERS, ["network set partners: TCP 80"], id="as it was known"),
        pytest.param([network_set("internet", "0.0.0.0/0")], ("public", "", ""), ["192.0.2.7/32: TCP 80"],
                     id="all addresses there are"),
        pytest.param([network_set("new", "192.0.2.0/24")], ("node", "", "n1"), ["192.0.2.7/32: TCP 80"],
                     id="of a node"),
    ],
)  # fmt: skip
def test_address_is_by_the_network_set_that_has_it(
    around: list[observed.Body], kind: tuple[str, str, str], rules: list[str]
) -> None:
    assert _told(_needed([edge("web", "192.0.2.7")], around=around, outside={"192.0.2.7": kind})) == rules


LABELS = {"partner": "yes"}


@pytest.mark.parametrize(
    ("around", "variants", "labels"),
    [
        pytest.param([], PODS, LABELS, id="alone"),
        pytest.param([network_set("others", "198.51.100.0/24", labels={**LABELS, "more": "x"})], PODS, {},
                     id="another set has them"),
        pytest.param([network_set("others", "198.51.100.0/24", labels={"partner": "no"})], PODS, LABELS,
                     id="another set has others"),
        pytest.param([network_set("others", "198.51.100.0/24", labels=LABELS, namespace="shop")], PODS,
                     LABELS, id="a set of a namespace has them"),
        pytest.param([], [pod("web"), pod("db", labels=LABELS)], LABELS, id="pods have them"),
        pytest.param([{"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
                       "metadata": {"name": "h", "labels": LABELS},
                       "spec": {"node": "n", "interfaceName": "*"}}],
                     PODS, {}, id="a host endpoint has them"),
    ],
)  # fmt: skip
def test_network_set_by_its_labels(
    around: list[observed.Body], variants: list[record.Variant], labels: dict[str, str]
) -> None:
    """If a selector finds it and nothing else; in no namespace there are no pods."""
    around = [network_set("partners", "192.0.2.0/24", labels=LABELS), *around]
    found = _needed(
        [edge("web", "192.0.2.7")], variants=variants, around=around, outside={"192.0.2.7": PARTNERS}
    )
    assert dict(found.rules[0].parts[0].peer.labels) == labels


def test_network_set_of_a_namespace_is_not_told_from_its_pods() -> None:
    around = [network_set("tills", "192.0.2.0/24", labels=LABELS, namespace="bank")]
    for labels, expected in ((LABELS, ()), ({"app": "x"}, tuple(LABELS.items()))):
        variants = [pod("web"), pod("till", "bank", labels=labels)]
        found = _needed(
            [edge("web", "192.0.2.7")], variants=variants, around=around, outside={"192.0.2.7": TILLS}
        )
        assert found.rules[0].parts[0].peer.labels == expected


def test_widening_is_bounded_and_said() -> None:
    edges = [edge("web", "203.0.113.8"), edge("web", "203.0.113.11")]
    assert _notes(_needed(edges)) == [""]
    found = _needed(edges, widening=2.0)
    assert (_told(found), _notes(found)) == (
        ["203.0.113.8/30: TCP 80"], ["2 addresses were seen there, 2 were not"]
    )  # fmt: skip


CROWD = [edge("web", f"203.0.113.{2 * i}") for i in range(4)]


def test_crowd_is_left_out() -> None:
    others = [edge("web", "198.51.100.7", 443), edge("web", "db")]
    found = _needed([*CROWD, *others], prefixes=3)
    assert (_told(found), found.crowd) == (["shop/db: TCP 80", "198.51.100.7/32: TCP 443"], (0, 1, 2, 3))
    assert _needed(CROWD, prefixes=4).crowd == ()
    assert _needed(CROWD, prefixes=3, widening=2.0).crowd == (), "wider prefixes are fewer"


def test_crowd_may_be_everybody_if_somebody_says_so() -> None:
    found = _needed(CROWD, prefixes=3, everywhere=True)
    assert (_told(found), _notes(found), found.crowd) == (
        ["0.0.0.0/0: TCP 80"], ["all there are: 4 were seen"], ()
    )  # fmt: skip
    both = _needed([*CROWD, edge("web", "2001:db8::1")], prefixes=3, everywhere=True)
    assert _told(both) == ["0.0.0.0/0, ::/0: TCP 80"]
    assert _told(_needed(CROWD, prefixes=4, everywhere=True)) != _told(found), "only where they are too many"


def test_addresses_of_nodes_are_said_to_come_and_go() -> None:
    nodes = {f"10.0.0.{2 * i}": ("node", "", f"n{i}") for i in range(7)}
    one = _needed([edge("web", "10.0.0.0", 10_250)], outside=nodes)
    assert _notes(one) == ["addresses of nodes, which come and go: n0"]
    many = _needed([edge("web", text) for text in nodes], outside=nodes, widening=2.0)
    assert _notes(many) == [
        "7 addresses were seen there, 6 were not; addresses of nodes, which come and go: n0, n1, n2, n3, n4 …"
    ]


@pytest.mark.parametrize(
    ("more", "widening", "rules"),
    [
        pytest.param([("203.0.113.9", 80)], 2.0, [], id="others have all of it"),
        pytest.param([("203.0.113.9", 80)], 1.0, ["203.0.113.9/32: TCP 80"], id="its address is alone"),
        pytest.param([("203.0.113.9", 80), ("203.0.113.9", 81)], 2.0, ["203.0.113.9/32: TCP 80, TCP 81"],
                     id="another port"),
        pytest.param([("203.0.113.9", 80), ("198.51.100.7", 80)], 2.0,
                     ["198.51.100.7/32, 203.0.113.9/32: TCP 80"], id="another address"),
    ],
)  # fmt: skip
def test_rule_is_made_where_no_others_have_its_addresses_and_ports(
    more: list[tuple[str, int]], widening: float, rules: list[str]
) -> None:
    pairs = [(f"203.0.113.{i}", number) for i in (8, 11) for number in (80, 443)]
    found = _told(_needed([edge("web", *pair) for pair in (*pairs, *more)], widening=widening))
    wide = "203.0.113.8/30" if widening > 1 else "203.0.113.8/32, 203.0.113.11/32"
    assert sorted(found) == sorted([f"{wide}: TCP 80, TCP 443", *rules])


@pytest.mark.parametrize("seed", range(30))
def test_rules_about_addresses_are_what_was_seen_and_no_more(seed: int) -> None:
    """Without widening they allow exactly the pairs of address and port; and each is needed."""
    dice = random.Random(seed)
    texts = [f"203.0.113.{i}" for i in range(12)] + [f"2001:db8::{i:x}" for i in range(1, 7)]
    pairs = {(dice.choice(texts), dice.choice((80, 81, 82))) for _ in range(dice.randint(1, 30))}
    found = _needed([edge("web", text, number) for text, number in sorted(pairs)])
    allowed = [
        {(str(one), number.first) for part in rule.parts for net in part.peer.networks for one in net
         for number in rule.ports}
        for rule in found.rules
    ]  # fmt: skip
    assert set().union(*allowed) == pairs
    for i in range(len(allowed)):
        assert set().union(set(), *(some for j, some in enumerate(allowed) if j != i)) != pairs


@pytest.mark.parametrize("seed", range(30))
def test_all_that_was_seen_is_allowed_or_told_as_a_crowd(seed: int) -> None:
    dice = random.Random(seed)
    texts = [f"203.0.113.{i}" for i in range(0, 64, 3)] + ["db", "cart", "192.0.2.7", "2001:db8::1"]
    edges = [
        edge("web", dice.choice(texts), dice.choice((80, 81))) for _ in range(dice.randint(1, 40))
    ]  # fmt: skip
    around, outside = [network_set("partners", "192.0.2.0/24")], {"192.0.2.7": PARTNERS}
    bounds = {"widening": dice.choice((1.0, 3.0)), "prefixes": dice.choice((1, 4, 64))}
    found = _needed(edges, around=around, outside=outside, **bounds)
    for i, one in enumerate(edges):
        rules = [rule for rule in found.rules if any(_has(part, one) for part in rule.parts)]
        assert (i in found.crowd) != any(one.port == number.first for rule in rules for number in rule.ports)
    for rule in found.rules:
        assert all(len(part.peer.networks) <= bounds["prefixes"] for part in rule.parts)


def _has(part: drafting.Part, one: observed.Edge) -> bool:
    if part.peer.group:
        return part.peer.group.name == one.dst
    return one.dst not in ("db", "cart") and any(
        ipaddress.ip_address(one.dst) in net for net in part.peer.networks
    )


def test_group_of_a_variant() -> None:
    seen = observed.seen(PODS, [])
    groups = stable.groups(PODS)
    made = needs.Needs(seen, groups, cluster.read([]), needs.Bounds())
    assert [str(made.group(i)) for i in np.arange(4)] == ["shop/web", "shop/db", "shop/cart", "bank/till"]
