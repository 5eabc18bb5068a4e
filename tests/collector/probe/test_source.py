"""Denied attempts as the kernel's own counts tell them, beside what passes."""

from __future__ import annotations

import concurrent.futures
import socket
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest

from collector.probe import edges, source

pytestmark = pytest.mark.net

Settled = Callable[[source.Source], list[dict[str, object]]]
V4, V6 = "10.2.0.2", "fd02::2"
SOURCE = {V4: "10.1.0.2", V6: "fd01::2", "10.1.0.1": "10.1.0.2", "fd01::1": "fd01::2"}
FAMILIES = pytest.mark.parametrize("target", [pytest.param(V4, id="IPv4"), pytest.param(V6, id="IPv6")])
POLICY, ROUTING = "POLICY", "ROUTING"


@pytest.fixture
def probe(network) -> source.Source:
    return network.probe()


def _row(target: str, **more: object) -> dict[str, object]:
    return {"src": SOURCE[target], "dst": target, "packets": 1, "protocol": 17, "reason": POLICY} | more


def _without_bytes(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name != "bytes"} for row in rows]


@FAMILIES
def test_denied_stay_and_allowed_vanish(network, probe, settled: Settled, target: str) -> None:
    network.deny("udp dport 9001")
    network.send(target, 9001, 3, payload=b"four")
    network.send(target, 9002, 3, payload=b"four")
    size = 4 + 8 + (40 if ":" in target else 20)
    assert settled(probe) == [_row(target, dst_port=9001, packets=3, bytes=3 * size)]
    assert settled(probe) == []


@FAMILIES
def test_attempts_of_one_edge_do_not_hide_one_another(network, probe, settled: Settled, target: str) -> None:
    """500 denied and 500 allowed in turns, told apart by nothing but their source ports."""
    network.deny("udp sport & 1 == 1")
    network.send(target, 53, ports=range(20_000, 21_000))
    assert _without_bytes(settled(probe)) == [_row(target, dst_port=53, packets=500)]
    assert probe.overflowed == 0


@FAMILIES
def test_each_of_500_denied_edges_is_told(network, probe, settled: Settled, target: str) -> None:
    network.deny("udp dport 20000-20499")
    for port in range(20_000, 20_500):
        network.send(target, port)
        network.send(target, port + 500)
    found = settled(probe)
    assert sorted(row["dst_port"] for row in found) == list(range(20_000, 20_500))
    assert {row["packets"] for row in found} == {1}
    assert probe.overflowed == 0


@FAMILIES
def test_same_attempt_denied_and_then_allowed_is_told(network, probe, settled: Settled, target: str) -> None:
    """As when a pod talks before its policy is in place: one five-tuple, dropped and then let through."""
    network.deny("udp dport 53")
    network.send(target, 53, ports=range(20_000, 20_001))
    network.nft("flush table inet deny")
    network.send(target, 53, ports=range(20_000, 20_001))
    assert _without_bytes(settled(probe)) == [_row(target, dst_port=53)]


def test_repeated_attempt_is_counted_packet_by_packet(network, probe, settled: Settled) -> None:
    network.deny("udp dport 53")
    for _ in range(3):
        network.send(V4, 53, ports=range(20_000, 20_001))
        assert _without_bytes(settled(probe)) == [_row(V4, dst_port=53)]


def test_edge_that_is_never_quiet_is_told_at_the_next_read(network, settled: Settled) -> None:
    probe = network.probe(settle_seconds=0.6)
    network.deny("udp dport 53")
    network.send(V4, 53, 5)
    assert len(probe.read()) == 0
    time.sleep(0.6)
    network.send(V4, 53, 2)
    assert [(row["packets"], row["dst_port"]) for row in probe.read()] == [(5, 53)]
    time.sleep(0.6)
    assert [(row["packets"], row["dst_port"]) for row in probe.read()] == [(2, 53)]


def _sctp() -> bytes:
    chunk = struct.pack(">BBHIIHHI", 1, 0, 20, 1, 65535, 1, 1, 1)  # INIT
    return struct.pack(">HHII", 1000, 9000, 0, 0) + chunk


PROTOCOLS = [
    pytest.param(132, _sctp(), {"dst_port": 9000}, id="SCTP"),
    pytest.param(47, bytes(8), {}, id="GRE"),
    pytest.param(253, b"experiment", {}, id="protocol without ports"),
]


@FAMILIES
@pytest.mark.parametrize(("protocol", "payload", "expected"), PROTOCOLS)
def test_protocols(network, probe, settled: Settled, target: str, protocol, payload, expected) -> None:
    network.sysctl(net__netfilter__nf_conntrack_checksum=0)  # what we send is summed up by nobody
    network.send_raw(target, protocol, payload)
    assert settled(probe) == []
    network.deny(f"meta l4proto {protocol}")
    network.send_raw(target, protocol, payload)
    # let through once, it is known to conntrack; denied now all the same, as nobody has answered
    assert _without_bytes(settled(probe)) == [_row(target, protocol=protocol, **expected)]


@FAMILIES
def test_udplite(network, probe, settled: Settled, target: str) -> None:
    network.sysctl(net__netfilter__nf_conntrack_checksum=0)  # else conntrack calls it invalid
    network.deny("meta l4proto udplite")
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with network.socket("client", family, socket.SOCK_DGRAM, 136) as opened:
        opened.sendto(b"x", (target, 9000))
    assert _without_bytes(settled(probe)) == [_row(target, protocol=136, dst_port=9000)]


@FAMILIES
def test_echo_request_has_type_and_code(network, probe, settled: Settled, target: str, echo) -> None:
    network.send_raw(target, *echo(target, 7))
    assert settled(probe) == []
    network.deny("meta l4proto { icmp, icmpv6 }")
    protocol, packet = echo(target, 8)
    network.send_raw(target, protocol, packet)
    network.send_raw(target, *echo(target, 9))
    expected = {"protocol": protocol, "icmp_type": packet[0], "packets": 2}
    assert _without_bytes(settled(probe)) == [_row(target, **expected)]


@FAMILIES
@pytest.mark.parametrize("verdict", ["drop", "reject", "reject with tcp reset"])
def test_syn_is_told_however_it_is_refused(network, probe, settled: Settled, target: str, verdict) -> None:
    """A reset comes back on the very connection that is denied: it must not count as having passed."""
    network.deny("tcp dport 80", verdict=verdict)
    with network.socket("server", socket.AF_INET6, socket.SOCK_STREAM) as server:
        server.bind(("::", 8080))
        server.listen()
        network.connect(target, 80)
        network.connect(target, 8080)
    assert _without_bytes(settled(probe)) == [_row(target, protocol=6, dst_port=80)]


HOOKS = [
    pytest.param("prerouting", V4, -150, id="in front of routing, as preDNAT policies"),
    pytest.param("forward", V4, 0, id="forwarded"),
    pytest.param("postrouting", V4, 300, id="leaving"),
    pytest.param("input", "10.1.0.1", 0, id="to the node itself"),
    pytest.param("prerouting", V6, -150, id="in front of routing, IPv6"),
    pytest.param("input", "fd01::1", 0, id="to the node itself, IPv6"),
]


@pytest.mark.parametrize(("hook", "target", "priority"), HOOKS)
def test_dropped_at_any_hook(network, probe, settled: Settled, hook, target, priority) -> None:
    network.deny("udp dport 9001", hook=hook, priority=priority)
    network.send(target, 9001)
    network.send(target, 9002)
    assert _without_bytes(settled(probe)) == [_row(target, dst_port=9001)]


OWN = {"10.2.0.2": "10.2.0.1", "fd02::2": "fd02::1", "10.1.0.1": "10.1.0.1", "fd01::1": "fd01::1"}


@pytest.mark.parametrize(
    ("hook", "target", "packets"),
    [
        pytest.param("output", "10.2.0.2", 1, id="out"),
        pytest.param("output", "fd02::2", 1, id="out, IPv6"),
        pytest.param("postrouting", "10.2.0.2", 1, id="at the last moment"),
        pytest.param("output", "10.1.0.1", 1, id="to itself"),
        pytest.param("input", "fd01::1", 1, id="to itself, at the second half of the way"),
    ],
)
def test_what_begins_on_the_node(network, probe, settled: Settled, hook, target, packets) -> None:
    network.deny("udp dport 9001", hook=hook)
    for port in (9001, 9002):
        try:
            network.send(target, port, sender="router")
        except PermissionError:  # what is dropped before it leaves, the sender is told
            assert (hook != "input", port) == (True, 9001)
    assert _without_bytes(settled(probe)) == [
        _row(V4, src=OWN[target], dst=target, dst_port=9001, packets=packets)
    ]


@pytest.mark.parametrize("command", ["iptables-legacy", "iptables-nft"])
def test_beside_iptables(network, probe, settled: Settled, command: str) -> None:
    network.run(command, "-A", "FORWARD", "-p", "udp", "--dport", "9001", "-j", "DROP")
    network.run(command, "-t", "mangle", "-A", "PREROUTING", "-p", "udp", "--dport", "9003", "-j", "DROP")
    for port in (9001, 9002, 9003):
        network.send(V4, port)
    assert _without_bytes(settled(probe)) == [_row(V4, dst_port=port) for port in (9001, 9003)]


def test_translated_destination_is_told_with_the_service(network, probe, settled: Settled) -> None:
    network.nft("""table inet nat { chain p { type nat hook prerouting priority -100;
        ip daddr 10.96.0.1 udp dport 53 dnat ip to 10.2.0.2:5353;
        ip6 daddr fd96::1 udp dport 53 dnat ip6 to [fd02::2]:5353; }
        chain s { type nat hook postrouting priority 100; masquerade; }; }""")
    network.send("10.96.0.1", 53, 2)
    network.send("fd96::1", 53, 2)
    assert settled(probe) == []
    network.deny("udp dport 5353")
    network.send("10.96.0.1", 53, 3)
    network.send("fd96::1", 53, 4)
    assert _without_bytes(settled(probe)) == [
        _row(V4, service="10.96.0.1", service_port=53, dst_port=5353, packets=3),
        _row(V6, service="fd96::1", service_port=53, dst_port=5353, packets=4),
    ]


def test_each_pod_behind_a_service_is_told(network, probe, settled: Settled) -> None:
    """Of three pods behind the service two are denied."""
    pods = "numgen inc mod 3 map { 0 : 10.2.0.2, 1 : 10.2.0.3, 2 : 10.2.0.4 }"
    network.nft(f"""table ip nat {{ chain p {{ type nat hook prerouting priority -100;
        ip daddr 10.96.0.1 udp dport 53 dnat to {pods}; }}; }}""")
    network.deny("ip daddr { 10.2.0.2, 10.2.0.4 }")
    network.send("10.96.0.1", 53, 30)
    service = {"service": "10.96.0.1", "service_port": 53, "dst_port": 53, "packets": 10}
    assert _without_bytes(settled(probe)) == [
        _row(V4, **service), _row(V4, **service | {"dst": "10.2.0.4"})
    ]  # fmt: skip


def test_from_the_node_to_a_service(network, probe, settled: Settled) -> None:
    network.nft("""table ip nat { chain o { type nat hook output priority -100;
        ip daddr 10.96.0.1 udp dport 53 dnat to 10.2.0.2:5353; }; }""")
    network.run("ip", "route", "add", "10.96.0.0/16", "dev", "server")
    network.deny("udp dport 5353", hook="output")
    with pytest.raises(PermissionError):
        network.send("10.96.0.1", 53, sender="router")
    assert _without_bytes(settled(probe)) == [
        _row(V4, src="10.2.0.1", service="10.96.0.1", service_port=53, dst_port=5353)
    ]


def test_what_routing_refuses_is_told_apart(network, probe, settled: Settled) -> None:
    network.send("10.77.0.1", 1)
    network.send("fd77::1", 1)
    with network.socket("client", socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        opened.sendto(b"", (V4, 2))
    assert _without_bytes(settled(probe)) == [
        _row(V4, dst="10.2.0.2", dst_port=2, reason=ROUTING),
        _row(V4, dst="10.77.0.1", dst_port=1, reason=ROUTING),
        _row(V6, dst="fd77::1", dst_port=1, reason=ROUTING),
    ]


def test_what_the_reverse_path_filter_refuses_is_told_apart(network, probe, settled: Settled) -> None:
    network.sysctl(net__ipv4__conf__client__rp_filter=1)
    network.run("ip", "address", "add", "10.2.0.9/32", "dev", "eth0", name="client")
    network.run("ip", "route", "add", V4, "via", "10.1.0.1", "src", "10.2.0.9", name="client")
    network.send(V4, 53)
    assert _without_bytes(settled(probe)) == [_row(V4, src="10.2.0.9", dst_port=53, reason=ROUTING)]


def test_untracked_and_multicast_are_left_out(network, probe, settled: Settled) -> None:
    network.nft(
        "table ip raw { chain p { type filter hook prerouting priority -300; udp dport 9001 notrack; }; }"
    )
    network.deny("udp dport 9001")
    network.send(V4, 9001)
    network.send("224.0.0.251", 5353)
    assert settled(probe) == []


def test_times_say_when(network, probe, settled: Settled) -> None:
    network.deny("udp dport { 1, 2 }")
    begin = time.time_ns()
    network.send(V4, 1)
    network.send(V4, 2, 2)
    end = time.time_ns()
    time.sleep(0.12)
    tolerance = 30_000_000  # ticks of the kernel, and the time that reading takes
    for row in probe.read():
        assert begin - tolerance < row["last"] < end + tolerance
        assert row["first"] <= row["last"]
        assert row["dst_port"] != 1 or row["first"] == row["last"]


def test_full_sets_let_everything_pass_and_are_counted(network, settled: Settled) -> None:
    probe = network.probe(size=8)
    network.deny("udp dport 100-103")
    with network.socket("server", socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 200))
        for port in range(100, 111):
            network.send(V4, port)
        network.send(V4, 200, 3)
        server.settimeout(1)
        assert [server.recv(10) for _ in range(3)] == [b""] * 3
    found = settled(probe)
    assert probe.overflowed == 11 + 3 - 8
    assert _without_bytes(found) == [_row(V4, dst_port=port) for port in range(100, 104)]


def test_what_a_full_later_set_hides_is_not_taken_for_denied(network, settled: Settled) -> None:
    """One address, translated or not, has the same edges at all stages; so only a tiny plan gets there."""
    probe = network.probe(size=4)
    network.send(V4, 1, 20)
    for port in range(100, 130):
        network.send(V4, port)
    found = settled(probe)
    assert {row.get("reason") for row in found} <= {None}
    assert probe.overflowed == probe._missed["seen"] + sum(row["packets"] for row in found) > 0


def test_verdicts_are_what_they_were(network, settled: Settled) -> None:
    """The same rules give the same to the same packets, with the probe and without."""
    network.deny("udp dport { 1, 3 }", verdict="counter drop")

    def arrived() -> list[int]:
        got = []
        for port in range(1, 5):
            with network.socket("server", socket.AF_INET6, socket.SOCK_DGRAM) as server:
                server.bind(("::", port))
                for target in (V4, V6):
                    network.send(target, port)
                server.setblocking(False)
                for _ in range(2):
                    try:
                        got.append(len(server.recv(1)) + port)
                    except BlockingIOError:
                        got.append(0)
        return got

    without = arrived()
    network.probe(size=8)
    assert arrived() == without == [0, 0, 2, 2, 0, 0, 4, 4]


def test_other_transactions_meanwhile_do_no_harm(network, probe, settled: Settled) -> None:
    network.deny("udp dport 20000-20299")
    for port in range(20_000, 20_300):
        network.send(V4, port)
    time.sleep(0.12)
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        busy = [
            other.submit(
                network.nft, "table inet other { set s { type ipv4_addr; }; }; delete table inet other"
            )
            for _ in range(20)
        ]
        told = 0
        while not all(one.done() for one in busy):
            told += len(probe.read())
        assert [one.result() for one in busy] == [None] * 20
    assert told + len(settled(probe)) == 300


def test_examples_have_source_ports(network, settled: Settled) -> None:
    probe = network.probe(examples=16)
    network.deny("udp dport 53")
    network.send(V4, 53, ports=range(20_000, 20_003))
    network.send(V6, 53, ports=range(20_003, 20_005))
    network.send(V4, 54, ports=range(20_005, 20_009))
    settled(probe)
    found = probe.examples()
    assert sorted(found["src_port"].tolist()) == list(range(20_000, 20_005))
    assert set(found["dst_port"].tolist()) == {53}


def test_no_examples_unless_asked_for(network, probe) -> None:
    network.send(V4, 53)
    assert probe.examples().dtype == edges.ATTEMPT
    assert len(probe.examples()) == 0


def test_what_was_dropped_before_the_start_is_not_told(network, settled: Settled) -> None:
    network.deny("udp dport 53")
    probe = source.Source(network.paths["router"], settle_seconds=0.1)
    network.send(V4, 53)
    probe.start()
    assert settled(probe) == []
    probe.stop()


def test_read_that_comes_too_late_tells_nothing_wrong(network, probe, settled: Settled) -> None:
    """The kernel has let go of some counts meanwhile, and of others not: their differences mean nothing."""
    network.deny("udp dport 53")
    network.send(V4, 53)
    probe._read_at -= 60 * 1_000_000_000
    assert settled(probe) == []
    assert probe.late == 1
    network.send(V4, 53)
    assert _without_bytes(settled(probe)) == [_row(V4, dst_port=53)]
    assert probe.late == 1


def test_busy_edge_with_both_is_exact_in_the_end(network, settled: Settled) -> None:
    """Reads amid traffic, some of it denied: no read tells more than is true, and all of them what is."""
    probe = network.probe()
    network.deny("udp sport & 7 == 0")
    told = 0
    for start in range(20_000, 24_000, 400):
        network.send(V4, 53, ports=range(start, start + 400))
        rows = probe.read()
        told += int(rows["packets"].sum())
        assert told <= (start + 400 - 20_000) // 8
        assert not len(rows) or rows["reason"].tolist() == [edges.Reason.POLICY]
    told += sum(int(np.int64(row["packets"])) for row in settled(probe))
    assert told == 500
