"""The kernel's word on its table, by that of ``conntrack`` on the same."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from collector.conntrack import statistics
from collector.netlink import sockets
from lab import entries


@pytest.fixture
def asking(namespace) -> Iterator:
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        yield opened


def _counted(namespace, name: str) -> int:
    """A counter of ``conntrack -S``, over all processors."""
    return sum(map(int, re.findall(rf"\b{name}=(\d+)", namespace.run("conntrack", "-S"))))


@pytest.mark.net
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_entries_and_limit(namespace, asking, count: int) -> None:
    assert entries.send(asking, entries.insertions([entries.Kind()], count)) == 0
    state = statistics.read(asking)
    assert state.entries == count == int(namespace.run("conntrack", "-C"))
    assert state.limit == int(namespace.run("cat", "/proc/sys/net/netfilter/nf_conntrack_max"))


@pytest.mark.net
def test_counters_are_those_of_conntrack(namespace, asking) -> None:
    assert entries.send(asking, entries.insertions([entries.Kind()], 10)) == 0
    state = statistics.read(asking)
    assert state.refused == _counted(namespace, "drop") + _counted(namespace, "insert_failed")
    assert state.evicted == _counted(namespace, "early_drop")


@pytest.mark.net
def test_reading_leaves_the_socket_usable(asking) -> None:
    assert statistics.read(asking) == statistics.read(asking)


def _message(kind: int, numbers: dict[int, int]) -> bytes:
    return sockets.message(kind, 0, bytes(4) + b"".join(
        sockets.attribute(name, struct.pack(">I", number)) for name, number in numbers.items()
    ))  # fmt: skip


def test_counters_are_summed_over_processors() -> None:
    """What a namespace of a test cannot be made to have: the limit is the machine's."""
    failed, drop, early_drop, unknown = 5, 6, 7, 99
    per_cpu = [
        _message(0x104, {failed: 1, drop: 20, early_drop: 300}),
        _message(0x104, {failed: 4000, drop: 50_000, early_drop: 7, unknown: 1}),
    ]
    closing = sockets.HEADER.pack(20, sockets.NLMSG_DONE, 2, 1, 0) + bytes(4)
    answers = [[*per_cpu, closing], [_message(0x105, {1: 123, 2: 65_536})]]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def kernel() -> None:
        for answer in answers:
            theirs.recv(100)
            for datagram in answer:
                theirs.send(datagram)

    with ours, theirs:
        thread = threading.Thread(target=kernel)
        thread.start()
        state = statistics.read(ours)
        thread.join()
    assert state == statistics.Statistics(entries=123, limit=65_536, refused=54_021, evicted=307)
