"""Ends of connections, as far as rules can tell them apart."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest

from model import cluster, enums
from policy import objects, parse, selector, world

TCP = enums.Protocol.TCP


def _pod(name: str, address: str, node: str = "n1", **more: object) -> cluster.Pod:
    return cluster.Pod(
        namespace="shop", name=name, labels={"app": name[:3]}, node=node, addresses=(address,), **more
    )  # type: ignore[arg-type]


CLUSTER = cluster.Cluster(
    pods=(
        _pod("web-1", "10.0.0.1"), _pod("web-2", "10.0.0.2", "n2"),
        _pod("cart", "10.0.0.3", ports=(cluster.ContainerPort(name="http", number=80, protocol=TCP),)),
        _pod("agent", "172.31.0.1", host_network=True), _pod("done", "10.0.0.9", phase="Succeeded"),
    ),
    nodes=(cluster.Node(name="n2", labels={}, addresses=("172.31.0.2",)),),
    network_sets=(
        cluster.NetworkSet(
            namespace="", name="friends", labels={"app": "web"}, networks=("10.0.0.3/32", "203.0.113.0/24")
        ),
    ),
)  # fmt: skip
TEXTS = (
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "203.0.113.9",
    "198.51.100.1",
    "172.31.0.1",
    "172.31.0.2",
    "2001:db8::1",
)
ENDS = world.Ends(np.array([0, 1, 2, -1, -1, -1, -1, -1], np.int32), world.pack(TEXTS))
WEB = selector.parse("app == 'web'")


def _nets(*texts: str) -> tuple[objects.Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


@pytest.mark.parametrize(
    ("whom", "matched"),
    [
        pytest.param(world.ANYBODY, set(TEXTS), id="anybody"),
        pytest.param(world.Whom(members=WEB), {"10.0.0.1", "10.0.0.2", "10.0.0.3", "203.0.113.9"},
                     id="pods, and who is in a network set"),
        pytest.param(world.Whom(members=WEB, own=True), {"10.0.0.1", "10.0.0.2"}, id="pods themselves"),
        pytest.param(world.Whom(not_members=WEB), set(TEXTS[4:]), id="nobody of these"),
        pytest.param(world.Whom(nets=_nets("10.0.0.0/31", "172.31.0.1/32")), {"10.0.0.1", "172.31.0.1"},
                     id="networks"),
        pytest.param(world.Whom(not_nets=_nets("10.0.0.0/8")), set(TEXTS[3:7]),
                     id="not these, and nobody of another family"),
        pytest.param(world.Whom(members=WEB, nets=_nets("203.0.0.0/8")), {"203.0.113.9"}, id="both"),
    ],
)  # fmt: skip
def test_side_of_a_rule_matches(whom: world.Whom, matched: set[str]) -> None:
    whole = world.World(CLUSTER, [*whom.nets, *whom.not_nets])
    classes, codes = whole.classes(ENDS)
    found = classes.matching(whom)[codes]
    assert {text for text, is_there in zip(TEXTS, found.tolist(), strict=True) if is_there} == matched


def test_ends_that_no_rule_tells_apart_are_one() -> None:
    classes, codes = world.World(CLUSTER).classes(ENDS)
    assert len(set(codes[:2].tolist())) == 1
    assert len(set(codes[4:7].tolist())) == 1
    assert len(classes) == 5


def test_nodes_are_known_by_their_pods_too() -> None:
    nodes = world.World(CLUSTER).nodes_of(ENDS).tolist()
    assert nodes[0] == nodes[5] != nodes[1] == nodes[6]
    assert [nodes[3], nodes[4], nodes[7]] == [world.NOBODY] * 3


def test_pods_that_have_ended_or_have_their_nodes_address_are_none() -> None:
    assert [pod.name for pod in world.World(CLUSTER).pods] == ["web-1", "web-2", "cart"]


def test_networks_of_rules_are_all_found() -> None:
    assert list(world.networks_of(parse.parse([]))) == []
