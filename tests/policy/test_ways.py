"""Which chains of host endpoints a connection goes through."""

from __future__ import annotations

import numpy as np
import pytest

from model import cluster
from policy import ways, world

NODES = tuple(cluster.Node(name=f"n{i}", labels={}, addresses=(f"172.31.0.{i}",)) for i in (1, 2))
PODS = (
    cluster.Pod(namespace="a", name="one", node="n1", addresses=("10.0.0.1",)),
    cluster.Pod(namespace="a", name="two", node="n1", addresses=("10.0.0.2",)),
    cluster.Pod(namespace="a", name="far", node="n2", addresses=("10.0.0.3",)),
)
ETH0 = cluster.HostEndpoint(name="eth0", node="n1", interface="eth0")
EVERY = cluster.HostEndpoint(name="every", node="n1", interface="*")
TUNNELS = cluster.Pool(network="10.0.0.0/24", encapsulated=True)
ONE, TWO, FAR, HOST, OUTSIDE = range(5)
"""Ends: two pods of n1, one of n2; n1 itself; an address outside."""


def _met(found: cluster.Cluster, src: int, dst: int) -> str:
    """The chains of one connection: what is met before the policies of pods, and after them, at both ends."""
    whole = world.World(found)
    ends = world.Ends(
        np.array([0, 1, 2, world.NOBODY, world.NOBODY], np.int32),
        world.pack(["10.0.0.1", "10.0.0.2", "10.0.0.3", "172.31.0.1", "203.0.113.9"]),
    )
    both = ways.ways(whole, ends, np.array([src], np.int32), np.array([dst], np.int32))
    parts = [
        [stop for stop in stops if stop.hosts[0] >= 0] for way in both for stops in (way.before, way.after)
    ]
    return " / ".join(" ".join(f"{stop.direction[:1]}:{stop.chain}" for stop in some) for some in parts)


NAMED = {
    (ONE, OUTSIDE): " / e:forward /  / ",
    (OUTSIDE, ONE): " /  / i:doNotTrack i:preDNAT i:forward / ",
    (HOST, OUTSIDE): " / e:doNotTrack e:normal /  / ",
    (OUTSIDE, HOST): " /  / i:doNotTrack i:preDNAT i:normal / ",
    (ONE, TWO): " /  /  / ", (ONE, HOST): " /  /  / ", (HOST, ONE): " /  /  / ",
    (ONE, FAR): " / e:forward /  / ", (FAR, ONE): " /  / i:doNotTrack i:preDNAT i:forward / ",
}  # fmt: skip
WHOLE = {
    (ONE, OUTSIDE): "i:preDNAT i:forward / e:forward /  / ",
    (OUTSIDE, ONE): " /  / i:preDNAT i:forward / e:forward",
    (HOST, OUTSIDE): " / e:normal /  / ",
    (OUTSIDE, HOST): " /  / i:preDNAT i:normal / ",
    (ONE, TWO): "i:preDNAT i:forward /  /  / e:forward",
    (ONE, HOST): "i:preDNAT /  /  / ", (HOST, ONE): " /  /  / ", (ONE, ONE): " /  /  / ",
    (ONE, FAR): "i:preDNAT i:forward / e:forward /  / ",
}  # fmt: skip


@pytest.mark.parametrize(("pair", "expected"), NAMED.items(), ids=str)
def test_interface_of_a_name(pair: tuple[int, int], expected: str) -> None:
    assert _met(cluster.Cluster(pods=PODS, nodes=NODES, host_endpoints=(ETH0,)), *pair) == expected


@pytest.mark.parametrize(("pair", "expected"), WHOLE.items(), ids=str)
def test_all_interfaces(pair: tuple[int, int], expected: str) -> None:
    assert _met(cluster.Cluster(pods=PODS, nodes=NODES, host_endpoints=(EVERY,)), *pair) == expected


def test_what_is_inside_of_another_packet_shows_at_the_tunnel_alone() -> None:
    found = cluster.Cluster(pods=PODS, nodes=NODES, host_endpoints=(ETH0,), pools=(TUNNELS,))
    assert _met(found, ONE, FAR) == _met(found, FAR, ONE) == " /  /  / "
    assert _met(found, ONE, OUTSIDE) == NAMED[ONE, OUTSIDE]


def test_without_host_endpoints_nothing_is_met() -> None:
    assert _met(cluster.Cluster(pods=PODS, nodes=NODES), OUTSIDE, ONE) == " /  /  / "
