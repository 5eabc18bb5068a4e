"""The lab's truth: its log, and counters that count real packets in a real namespace."""

from __future__ import annotations

import asyncio
import pathlib
import socket
import subprocess
import threading
from collections.abc import Iterator

import pyroute2
import pytest

from lab import hosts, namespaces, network, truth
from model import errors

ADDRESSES = {"one": ("10.0.0.1", "fd00::1"), "other": ("10.0.0.2", "fd00::2")}
TCP, UDP = 6, 17
HEADER = {socket.AF_INET: 20, socket.AF_INET6: 40}

ATTEMPT = truth.Attempt(
    pattern="browse", protocol=TCP, family=4, src="shop/web-0", src_owner="shop/web", src_node="node-1",
    src_address="10.65.1.2", src_port=20_000, dst_address="10.96.0.1", dst_port=80, dst_owner="shop/cart",
    service="shop/cart", server="shop/cart-0", started=1, ended=2**62, result="answered", egress_rule="a",
    ingress_rule="größe\n",
)  # fmt: skip


def test_log_is_read_as_written(tmp_path: pathlib.Path) -> None:
    log = truth.Log(tmp_path / "truth.jsonl")
    assert truth.read(tmp_path / "truth.jsonl") == []
    log.add(ATTEMPT)
    log.add(ATTEMPT)
    log.close()
    assert truth.read(tmp_path / "truth.jsonl") == [ATTEMPT, ATTEMPT]


@pytest.fixture
def namespace(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A namespace of its own."""
    path = tmp_path / "namespace"
    namespaces.create(path)
    yield path
    namespaces.remove(path)


@pytest.fixture
def pair(namespace: pathlib.Path) -> tuple[hosts.Host, hosts.Host]:
    """Two hosts on one loopback, under counters; what one sends there, the other receives."""
    namespaces.within(namespace, _configure)
    network.Network(namespace.parent).load(namespace.name, truth.counters())
    one, other = (
        hosts.Host(
            name=name, owner=name, node="", addresses=addresses, namespace=namespace, ports=hosts.Ports()
        )
        for name, addresses in ADDRESSES.items()
    )
    return one, other


def _configure() -> None:
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        for address in (address for pair in ADDRESSES.values() for address in pair):
            links.addr("add", index=1, address=address, prefixlen=128 if ":" in address else 32)


FAMILIES = pytest.mark.parametrize(
    "family", [pytest.param(socket.AF_INET, id="IPv4"), pytest.param(socket.AF_INET6, id="IPv6")]
)


@pytest.mark.net
@FAMILIES
def test_datagrams_are_counted_at_both_ends(pair: tuple[hosts.Host, hosts.Host], family: int) -> None:
    one, other = pair
    with (
        one.open(family, socket.SOCK_DGRAM) as client,
        other.open(family, socket.SOCK_DGRAM, port=53) as server,
    ):
        for _ in range(3):
            client.sendto(bytes(100), server.getsockname())
        server.sendto(b"", client.getsockname())
    there = f"{one.address(family)} {UDP} 20000 {other.address(family)} 53"
    back = f"{other.address(family)} {UDP} 53 {one.address(family)} 20000"
    asked, answered = (3, 3 * (HEADER[family] + 8 + 100)), (1, HEADER[family] + 8)
    assert truth.count(one.namespace) == {
        f"sent {there}": asked, f"received {there}": asked,
        f"sent {back}": answered, f"received {back}": answered,
    }  # fmt: skip


@pytest.mark.net
@FAMILIES
def test_refused_connection_is_counted(pair: tuple[hosts.Host, hosts.Host], family: int) -> None:
    """A SYN with 20 bytes of options, and the reset."""
    one, other = pair
    with one.open(family, socket.SOCK_STREAM) as client:
        client.setblocking(True)
        with pytest.raises(ConnectionRefusedError):
            client.connect((other.address(family), 80))
    counted = truth.count(one.namespace)
    there = f"{one.address(family)} {TCP} 20000 {other.address(family)} 80"
    back = f"{other.address(family)} {TCP} 80 {one.address(family)} 20000"
    assert counted[f"sent {there}"] == counted[f"received {there}"] == (1, HEADER[family] + 40)
    assert counted[f"syn {there}"] == counted[f"sent {there}"]
    assert f"syn {back}" not in counted
    assert counted[f"sent {back}"] == counted[f"received {back}"] == (1, HEADER[family] + 20)


@pytest.mark.net
@FAMILIES
def test_pings_are_counted_by_their_identifier(pair: tuple[hosts.Host, hosts.Host], family: int) -> None:
    """The client's own side alone: requests that it sends, replies that it receives."""
    one, other = pair
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    here, there = one.address(family), other.address(family)
    with one.open(family, socket.SOCK_RAW, protocol) as opened:
        work = hosts.ping(opened, there, 0x1234, size=56, requests=3, pause=0, patience=5)
        assert asyncio.run(work) == hosts.Outcome("answered")
    expected = (3, 3 * (HEADER[family] + 8 + 56))
    assert truth.count(one.namespace) == {
        f"sent {here} {0x1234} {there}": expected, f"received {there} {0x1234} {here}": expected,
    }  # fmt: skip


@pytest.mark.net
def test_namespace_without_counters_is_named(namespace: pathlib.Path) -> None:
    with pytest.raises(
        errors.SetupError, match=rf"nft cannot read the counters at {namespace}: .*No such file"
    ):
        truth.count(namespace)


def _here() -> int:
    """The network namespace that this thread is in."""
    return pathlib.Path("/proc/thread-self/ns/net").stat().st_ino


@pytest.mark.net
def test_work_happens_in_the_namespace_alone(namespace: pathlib.Path) -> None:
    before = _here()
    assert namespaces.within(namespace, _here) == namespace.stat().st_ino != before
    assert namespaces.within(namespace, socket.if_nameindex) == [(1, "lo")]
    assert _here() == before


@pytest.mark.net
def test_error_inside_a_namespace_comes_out(namespace: pathlib.Path) -> None:
    with pytest.raises(ZeroDivisionError):
        namespaces.within(namespace, lambda: 1 // 0)


@pytest.mark.net
def test_sysctls_are_the_namespaces_own(namespace: pathlib.Path) -> None:
    file = pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    before = file.read_text()
    namespaces.within(
        namespace, lambda: namespaces.set_sysctls({"net.ipv4.ip_unprivileged_port_start": "77"})
    )
    assert namespaces.within(namespace, file.read_text) == "77\n"
    assert file.read_text() == before != "77\n"


@pytest.mark.net
def test_place_of_a_namespace_is_taken_once(namespace: pathlib.Path) -> None:
    made = namespace.stat().st_ino
    with pytest.raises(FileExistsError):
        namespaces.create(namespace)
    assert namespace.stat().st_ino == made


@pytest.mark.net
def test_removed_namespace_leaves_nothing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "namespace"
    namespaces.create(path)
    assert str(path) in pathlib.Path("/proc/self/mounts").read_text()
    namespaces.remove(path)
    assert str(path) not in pathlib.Path("/proc/self/mounts").read_text()
    with pytest.raises(FileNotFoundError):
        namespaces.within(path, _here)


@pytest.mark.net
def test_left_network_is_gone_for_its_thread() -> None:
    """And for what it starts; everybody else stays where they were."""
    before, seen = _here(), []

    def leave() -> None:
        namespaces.leave()
        links = ["readlink", "/proc/self/ns/net"]
        child = subprocess.run(links, capture_output=True, text=True, check=True).stdout
        seen.extend([_here(), child, socket.if_nameindex()])

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    there, of_child, interfaces = seen
    assert there != before
    assert of_child == f"net:[{there}]\n"
    assert interfaces == [(1, "lo")]
    assert _here() == before
