"""Under which of Felix's names the ends of flows are found."""

from __future__ import annotations

import ipaddress
import pathlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import numpy as np
from spoken import CART, PRIVATE, PUBLIC, WEB, batch

from collector.felix import ends
from collector.goldmane import flows as goldmane
from model import address


def _end(kind: str, namespace: str, name: str) -> goldmane.End:
    return goldmane.End(kind=kind, namespace=namespace, name=name)


LONG = "a" * 70
STATEFUL = {"workload": "cart", "workload_kind": "StatefulSet"}
NODE = {"kind": "node", "namespace": "", "pod": "", "workload": "n1", "workload_kind": "Node"}
SET = {"kind": "network_set", "namespace": "", "pod": "", "workload": "banks", "workload_kind": ""}
OUTSIDE = {
    "kind": "public",
    "namespace": "",
    "pod": "",
    "workload": "",
    "workload_kind": "",
    "address": "192.0.2.1",
}
NEAR = OUTSIDE | {"kind": "private", "address": "10.9.9.9"}


@pytest.mark.parametrize(
    ("end", "named"),
    [
        pytest.param({}, WEB, id="pod of a ReplicaSet"),
        pytest.param(STATEFUL | {"pod": "cart-0"}, CART, id="StatefulSet"),
        pytest.param(STATEFUL | {"pod": "cart-12345"}, CART, id="StatefulSet of many pods"),
        pytest.param({"pod": "alone"}, _end("WorkloadEndpoint", "shop", "alone"), id="pod of nobody"),
        pytest.param({"pod": f"{LONG[:58]}x2k9p"}, _end("WorkloadEndpoint", "shop", f"{LONG}-*"), id="long"),
        pytest.param(NODE, _end("HostEndpoint", "", "n1"), id="node"),
        pytest.param(NODE | {"kind": "host_endpoint"}, _end("HostEndpoint", "", "n1"), id="host endpoint"),
        pytest.param(NODE | {"kind": "host_endpoint", "workload": "n1-auto-hep", "node": "n1"},
                     _end("HostEndpoint", "", "n1"), id="host endpoint of another name than its host's"),
        pytest.param(SET, _end("NetworkSet", "", "banks"), id="global network set"),
        pytest.param(SET | {"namespace": "shop"}, _end("NetworkSet", "shop", "banks"), id="network set"),
        pytest.param(OUTSIDE, PUBLIC, id="public"),
        pytest.param(NEAR, PRIVATE, id="private"),
        pytest.param(NEAR | {"address": "100.64.0.1"}, PUBLIC, id="private to us, public to Felix"),
        pytest.param(NEAR | {"address": "fd00::1"}, PUBLIC, id="IPv6 has no private addresses"),
    ],
)  # fmt: skip
def test_end_has_felixs_name(end: dict[str, str], named: goldmane.End) -> None:
    known = ends.Ends()
    number = known.number(named)
    flows = batch({f"src_{name}": value for name, value in end.items()})
    own, _ = known.of(flows, "src")
    assert own.tolist() == [number]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param({"namespace": "other"}, id="of another namespace"),
        pytest.param({"pod": "web-7777-abcde"}, id="of another ReplicaSet"),
        pytest.param({"pod": "web-6d9f5c-0", "workload": "web-6d9f5d", "workload_kind": "StatefulSet"},
                     id="of another StatefulSet"),
        pytest.param(NODE, id="node"),
        pytest.param(OUTSIDE, id="public"),
        pytest.param({"kind": "ambiguous"}, id="ambiguous"),
    ],
)  # fmt: skip
def test_nobody_elses_name_is_taken(end: dict[str, str]) -> None:
    known = ends.Ends()
    known.number(WEB)
    own, network = known.of(batch({f"src_{name}": value for name, value in end.items()}), "src")
    assert (own.tolist(), network.tolist()) == ([ends.NOBODY], [ends.NOBODY])


def test_who_is_named_later_is_found_then() -> None:
    known, flows = ends.Ends(), batch({})
    assert known.of(flows, "src")[0].tolist() == [ends.NOBODY]
    number = known.number(WEB)
    assert known.of(flows, "src")[0].tolist() == [number]
    assert known.of(flows, "src")[1].tolist() == [ends.NOBODY]
    private = known.number(PRIVATE)
    assert known.of(flows, "src")[1].tolist() == [private]


@given(st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), max_size=20))
def test_private_is_what_go_says(addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> None:
    """As Go has it: a mapped IPv4 address is an IPv4 address."""
    private = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    packed = np.frombuffer(b"".join(address.pack(str(one)) for one in addresses), np.uint8).reshape(-1, 16)
    plain = [getattr(one, "ipv4_mapped", None) or one for one in addresses]
    assert ends.is_private(packed).tolist() == [any(one in net for net in private) for one in plain]


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "_MOST", 10)
    known = ends.Ends()
    known.number(PRIVATE)
    number = known.number(WEB)
    for pod in range(100):
        own, _ = known.of(batch({"src_pod": f"web-6d9f5c-{pod:05}"}), "src")
        assert own.tolist() == [number]
    assert len(known._found) <= 11
