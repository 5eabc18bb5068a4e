"""Packets that a real kernel logs: all of them, in order, and what is missing is counted."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from collector.netlink import layouts, sockets
from collector.nflog import decode, source
from model import address, errors

RULES = """
table inet logged { chain input {
  type filter hook input priority 10;
  udp dport 7001 meta mark set 0x10 log prefix "API0|np/a/b" group 7
  udp dport 7002 log prefix "DPI|default" group 8 drop
  udp dport 7003 log group 7 drop
  udp dport 7004 log prefix "first" group 7 log prefix "second" group 7 drop
}; }
"""
ROOM = {"receive_buffer": 8 << 20, "capacity": 100_000}
Make = Callable[..., source.Source]


@pytest.fixture
def make(namespace) -> Iterator[Make]:
    """Sources of groups 7 and 8 of a namespace that logs to them."""
    namespace.nft(RULES)
    with contextlib.ExitStack() as made:

        def build(*groups: int, **changes: object) -> source.Source:
            one = source.Source(namespace.path, groups or (7, 8), **(ROOM | changes))
            made.callback(lambda: one.stop() if one._receiver._thread.is_alive() else one.close())
            return one

        yield build


@pytest.fixture
def sending(namespace) -> Iterator[socket.socket]:
    """A socket at 10.0.0.1 to send from."""
    with namespace.socket(socket.SOCK_DGRAM) as opened:
        opened.bind(("10.0.0.1", 40_000))
        yield opened


def _send(sending: socket.socket, port: int, count: int = 1) -> None:
    for _ in range(count):
        sending.sendto(b"x", ("10.0.0.2", port))


def _settled(packets: source.Source) -> decode.Packets:
    """What was logged until now: the kernel may hold a batch back that is not full."""
    time.sleep(2 * source.FLUSH_SECONDS)
    return packets.read()[0]


@pytest.mark.net
def test_packets_are_read_with_what_the_rule_said(make: Make, sending: socket.socket) -> None:
    packets = make()
    before = time.time_ns()
    for port in (7001, 7002, 7003, 7004):
        _send(sending, port)
    time.sleep(2 * source.FLUSH_SECONDS)
    found, prefixes = packets.read()
    told = {
        (
            p["dst_port"].item(),
            p["group"].item(),
            prefixes[p["prefix"]],
            p["mark"].item(),
            p["sequence"].item(),
        )
        for p in found
    }
    assert told == {
        (7001, 7, "API0|np/a/b", 0x10, 0),
        (7002, 8, "DPI|default", 0, 0),
        (7003, 7, "", 0, 1),
        (7004, 7, "first", 0, 2),
        (7004, 7, "second", 0, 3),
    }
    loopback, input_hook = 1, 1
    assert (found["in_interface"] == loopback).all()
    assert (found["hook"] == input_hook).all()
    assert {address.render(a.tobytes()) for a in found["src"]} == {"10.0.0.1"}
    assert (found["length"] == 20 + 8 + 1).all()
    assert ((found["time"] >= before) & (found["time"] <= time.time_ns())).all()
    assert (packets.lost, packets.discarded, packets.malformed, packets.error) == (0, 0, 0, "")


@pytest.mark.net
@pytest.mark.parametrize("started", [False, True])
def test_each_packet_is_given_once_and_in_order(make: Make, sending: socket.socket, started: bool) -> None:
    packets = make()
    if started:
        packets.start()
    numbers: list[int] = []
    for _ in range(3):
        _send(sending, 7003, 500)
        numbers += _settled(packets)["sequence"].tolist()
    assert numbers == list(range(1500))
    assert packets.lost == 0
    assert len(packets.read()[0]) == 0


@pytest.mark.net
def test_prefixes_are_those_of_the_packets_that_come_with_them(make: Make, sending: socket.socket) -> None:
    packets = make()
    for ports in ((7001, 7004, 7001), (7004, 7002)):
        for port in ports:
            _send(sending, port)
            packets._receiver.flush()  # so that it takes several pieces
        time.sleep(2 * source.FLUSH_SECONDS)
        found, prefixes = packets.read()
        expected = {7001: {"API0|np/a/b"}, 7002: {"DPI|default"}, 7004: {"first", "second"}}
        assert len(set(prefixes)) == len(prefixes)
        for port in ports:
            codes = found["prefix"][found["dst_port"] == port]
            assert {prefixes[code] for code in codes} == expected[port]


@pytest.mark.net
@pytest.mark.parametrize("started", [False, True])
def test_lost_is_what_was_logged_and_not_received(make: Make, sending: socket.socket, started: bool) -> None:
    """Told by gaps in the kernel's numbers, so the last packet has to get through for it to be exact."""
    packets = make(7, receive_buffer=4096)
    if started:
        packets.start()
    received = 0
    for number in range(2):
        _send(sending, 7003, 3000)
        received += len(_settled(packets))
        _send(sending, 7003, 1)
        received += len(_settled(packets))
        assert packets.lost > 0
        assert received + packets.lost == 3001 * (number + 1)


@pytest.mark.net
def test_other_groups_are_not_read(make: Make, sending: socket.socket) -> None:
    packets = make(8)
    _send(sending, 7003, 10)
    _send(sending, 7002, 2)
    assert _settled(packets)["group"].tolist() == [8, 8]
    assert packets.lost == 0


@pytest.mark.net
@pytest.mark.parametrize("count", [99, 100, 101, 1000])
def test_what_goes_beyond_the_capacity_is_discarded_and_counted(
    make: Make, sending: socket.socket, count: int
) -> None:
    packets = make(capacity=100)
    _send(sending, 7003, count)
    assert len(_settled(packets)) == min(count, 100)
    assert (packets.discarded, packets.lost) == (max(count - 100, 0), 0)
    _send(sending, 7003, 60)
    assert len(_settled(packets)) == 60
    assert packets.discarded == max(count - 100, 0)


@pytest.mark.net
def test_hurries_when_half_of_the_capacity_is_held(make: Make, sending: socket.socket) -> None:
    hurried = threading.Event()
    packets = make(capacity=100, hurry=hurried.set)
    for count, over in ((50, False), (1, True)):
        _send(sending, 7003, count)
        time.sleep(2 * source.FLUSH_SECONDS)
        packets._receiver.flush()
        assert hurried.is_set() == over


@pytest.mark.net
def test_group_that_is_held_is_named(namespace, make: Make) -> None:
    held = make(8)
    with pytest.raises(errors.SetupError, match="NFLOG group 8 is held by another process"):
        make(7, 8)
    with source_of(namespace, 7):  # the refused one has let go of what it had
        pass
    held.close()
    with source_of(namespace, 7, 8):
        pass


@contextlib.contextmanager
def source_of(namespace, *groups: int) -> Iterator[source.Source]:
    """A source that is closed at once."""
    one = source.Source(namespace.path, groups, **ROOM)
    try:
        yield one
    finally:
        one.close()


@pytest.mark.net
def test_stop_gives_the_groups_back(namespace, make: Make) -> None:
    packets = make()
    packets.start()
    packets.stop()
    with source_of(namespace, 7, 8):
        pass


def _message(number: int, *, group: int = 7, payload: bytes | None = None) -> bytes:
    packet = (
        struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + bytes(8) + struct.pack(">HHHH", 1, 2, 8, 0)
    )
    return sockets.message(
        0x400,
        0,
        struct.pack("=BB", 0, 0)
        + struct.pack(">H", group)
        + sockets.attribute(12, struct.pack(">I", number % (1 << 32)))
        + sockets.attribute(9, packet if payload is None else payload),
    )


BROKEN = b"no header"
LAST = (1 << 32) - 1


@pytest.mark.net
@pytest.mark.parametrize(
    ("expected", "pieces", "lost"),
    [
        pytest.param(0, [[0, 1, 2]], 0, id="none"),
        pytest.param(0, [[0, 1, 5]], 3, id="within a piece"),
        pytest.param(0, [[0, 1], [5, 6]], 3, id="between pieces"),
        pytest.param(0, [[3]], 3, id="before the first"),
        pytest.param(0, [[0], [2], [4], [6]], 3, id="several"),
        pytest.param(LAST - 1, [[LAST - 1, LAST, 0, 1]], 0, id="over the wrap, none"),
        pytest.param(LAST - 1, [[LAST - 1, LAST], [0, 1]], 0, id="over the wrap between pieces, none"),
        pytest.param(LAST - 1, [[LAST - 1], [1]], 2, id="over the wrap"),
        pytest.param(LAST - 10, [[LAST - 10, 9]], 19, id="over the wrap within a piece"),
        pytest.param(LAST, [[LAST], [0]], 0, id="at the wrap"),
    ],
)
def test_gaps_are_counted_exactly(make: Make, expected: int, pieces: list[list[int]], lost: int) -> None:
    packets = make()
    packets._expected[7] = expected
    for numbers in pieces:
        packets._hold(layouts.datagram(b"".join(map(_message, numbers))))
    assert packets.lost == lost
    assert packets.read()[0]["sequence"].tolist() == [number for piece in pieces for number in piece]


@pytest.mark.net
def test_groups_are_numbered_each_by_itself(make: Make) -> None:
    packets = make()
    messages = [_message(0), _message(0, group=8), _message(1), _message(3, group=8), _message(4)]
    packets._hold(layouts.datagram(b"".join(messages)))
    assert packets.lost == 2 + 2


@pytest.mark.net
def test_malformed_packet_is_not_counted_as_lost_too(make: Make) -> None:
    packets = make()
    packets._hold(layouts.datagram(_message(0) + _message(1, payload=BROKEN) + _message(2)))
    assert (packets.lost, packets.malformed) == (0, 1)
    assert packets.error == "NFULA_PAYLOAD at byte 28: neither an IPv4 nor an IPv6 header"
    assert packets.read()[0]["sequence"].tolist() == [0, 2]


@pytest.mark.net
def test_malformed_packet_at_the_end_of_a_piece_is_not_counted_as_lost_too(make: Make) -> None:
    packets = make()
    packets._hold(layouts.datagram(_message(0) + _message(1, payload=BROKEN)))
    packets._hold(layouts.datagram(_message(2)))
    assert (packets.lost, packets.malformed) == (0, 1)


@pytest.mark.net
def test_packet_without_a_time_is_dated_as_early_as_it_can_be(make: Make) -> None:
    """The kernel may have held it for a while; its connection must not be older than it."""
    before = time.time_ns()
    packets = make()
    packets._hold(layouts.datagram(_message(0)))
    (found,) = packets.read()[0]
    oldest = before - (source.FLUSH_SECONDS + source.LATE_SECONDS) * 1e9
    assert oldest <= found["time"] <= time.time_ns()


@pytest.mark.net
def test_nothing_logged_is_nothing_read(make: Make) -> None:
    found, prefixes = make().read()
    assert (len(found), prefixes) == (0, [])
    assert found.dtype == np.dtype(decode.PACKET)
