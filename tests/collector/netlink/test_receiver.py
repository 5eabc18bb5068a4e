"""Events of a real kernel, received as they come: all of them digested, or counted as lost."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from collector.conntrack import decode
from collector.netlink import layouts, receiver, slots, sockets
from lab import entries

DESTROY = 1 << 2
UDP = entries.Kind(protocol=17)


class Digested:
    """What a receiver handed on."""

    def __init__(self) -> None:
        self.events = 0
        self.threads: set[str] = set()
        self.overrun = threading.Event()

    def take(self, datagrams: layouts.Datagrams) -> None:
        decoded = decode.decode(datagrams)
        assert decoded.malformed == 0
        self.events += len(decoded.connections)
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def digested() -> Digested:
    return Digested()


Make = Callable[..., receiver.Receiver]


@pytest.fixture
def make(namespace, digested: Digested) -> Iterator[Make]:
    """Receivers of the namespace's DESTROY events, closed at the end."""
    made: list[receiver.Receiver] = []

    def build(*, buffer: int, count: int = 256) -> receiver.Receiver:
        opened = sockets.within(
            namespace.path, lambda: sockets.open_netfilter(groups=DESTROY, receive_buffer=buffer)
        )
        made.append(
            receiver.Receiver(
                opened, slots.Slots(count, 1024), digested.take, name="mine", overrun=digested.overrun.set
            )
        )
        return made[-1]

    yield build
    for one in made:
        (one.stop if one._thread.is_alive() else one.close)()


def _live(namespace, count: int, first: int = 0) -> None:
    """So many connections, each of which ends at once."""
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        assert entries.send(opened, entries.lives(UDP, count, first=first)) == 0


@pytest.mark.net
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("count", [4, 4096], ids=["few slots", "many slots"])
def test_flush_gives_all_that_has_happened(
    namespace, make: Make, digested: Digested, started: bool, count: int
) -> None:
    receiving = make(buffer=8 << 20, count=count)
    if started:
        receiving.start()
    for number in range(3):
        _live(namespace, 1000, first=1000 * number)
        receiving.flush()
        assert digested.events == 1000 * (number + 1)
    assert (receiving.lost, receiving.truncated) == (0, 0)
    assert not digested.overrun.is_set()
    if started:
        receiving.stop()


@pytest.mark.net
def test_socket_is_emptied_between_flushes(namespace, make: Make, digested: Digested) -> None:
    """Else the kernel's queue, which is short here, could not take so many."""
    receiving = make(buffer=256 << 10)
    receiving.start()
    for first in range(0, 2000, 100):
        _live(namespace, 100, first=first)
        time.sleep(1.5 * receiver._PAUSE_SECONDS)
    receiving.flush()
    receiving.stop()
    assert (digested.events, receiving.lost) == (2000, 0)
    assert "mine" in digested.threads


@pytest.mark.net
@pytest.mark.parametrize("started", [False, True])
def test_lost_is_what_was_sent_and_not_received(
    namespace, make: Make, digested: Digested, started: bool
) -> None:
    receiving = make(buffer=32 << 10)
    if started:
        receiving.start()
    for number in range(2):
        _live(namespace, 5000, first=5000 * number)
        receiving.flush()
        assert receiving.lost > 0
        assert digested.events + receiving.lost == 5000 * (number + 1)
    if started:
        assert digested.overrun.wait(5)
        receiving.stop()


@pytest.mark.net
def test_after_an_overrun_what_fits_is_received_again(namespace, make: Make, digested: Digested) -> None:
    receiving = make(buffer=32 << 10)
    _live(namespace, 5000)
    receiving.flush()
    lost, events = receiving.lost, digested.events
    for number in range(5):
        _live(namespace, 10, first=5000 + 10 * number)
        receiving.flush()
    assert receiving.lost == lost
    assert digested.events == events + 50


@pytest.mark.net
def test_lost_is_still_known_after_the_end(namespace, make: Make, digested: Digested) -> None:
    receiving = make(buffer=32 << 10)
    receiving.start()
    _live(namespace, 5000)
    receiving.flush()
    receiving.stop()
    assert digested.events + receiving.lost == 5000


@pytest.mark.net
def test_stop_gives_the_socket_back(namespace, make: Make) -> None:
    receiving = make(buffer=32 << 10)
    receiving.start()
    listening = namespace.within(_listeners)
    receiving.stop()
    assert namespace.within(_listeners) == listening - 1
    assert "mine" not in {thread.name for thread in threading.enumerate()}


def _listeners() -> int:
    """Netfilter sockets with a multicast group, in this namespace (/proc/net/netlink: protocol, groups)."""
    with open("/proc/thread-self/net/netlink") as lines:  # noqa: PTH123
        rows = [line.split() for line in lines][1:]
    return sum(row[1] == str(sockets.NETLINK_NETFILTER) and int(row[3], 16) > 0 for row in rows)


def test_datagram_longer_than_a_slot_is_counted(digested: Digested) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    found: list[int] = []
    receiving = receiver.Receiver(
        ours, slots.Slots(4, 64), lambda piece: found.extend(piece.lengths.tolist()), name="mine",
        overrun=digested.overrun.set,
    )  # fmt: skip
    with theirs:
        for size in (64, 65, 10):
            theirs.send(b"x" * size)
        receiving.flush()
        receiving.close()
    assert receiving.truncated == 1
    assert found == [64, 64, 10]


def test_error_while_receiving_is_told_and_survived(
    digested: Digested, caplog: pytest.LogCaptureFixture
) -> None:
    """The next round may well succeed, and ``flush`` has its caller to tell."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiving = receiver.Receiver(
        ours, slots.Slots(4, 64), digested.take, name="mine", overrun=digested.overrun.set
    )
    descriptor = ours.detach()  # as if somebody else had closed it
    receiving.start()
    with theirs, socket.socket(fileno=descriptor):
        while not caplog.messages:
            time.sleep(0.01)
        assert receiving._thread.is_alive()
        with pytest.raises(OSError, match="Bad file descriptor"):
            receiving.flush()
    receiving.stop()
    assert caplog.messages == ["receiving failed"]
    assert caplog.records[0].fields["socket"] == "mine"
