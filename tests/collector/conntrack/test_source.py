"""Connections of a real kernel, from its table and its events: each once, and what is missing is counted."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from collector.conntrack import decode, scope, source
from collector.netlink import layouts, sockets
from lab import entries
from model import address

pytestmark = pytest.mark.net

UDP = entries.Kind(protocol=17)
ROOM = {"receive_buffer": 8 << 20, "capacity": 100_000}
Make = Callable[..., source.Source]


@pytest.fixture
def make(namespace) -> Iterator[Make]:
    """Sources of the namespace, closed at the end."""
    with contextlib.ExitStack() as made:

        def build(**changes: object) -> source.Source:
            one = source.Source(namespace.path, **(ROOM | changes))
            made.callback(lambda: one.stop() if one._events._thread.is_alive() else one.close())
            return one

        yield build


@pytest.fixture
def asking(namespace) -> Iterator[socket.socket]:
    """A socket to change the table by."""
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        yield opened


def _send(opened: socket.socket, requests: Iterator[bytes]) -> None:
    assert entries.send(opened, requests) == 0


def _insert(opened: socket.socket, count: int) -> None:
    _send(opened, entries.insertions([UDP], count))


def test_living_and_ended_ones_each_once(make: Make, asking: socket.socket) -> None:
    connections = make()
    _insert(asking, 100)
    first = connections.read()
    assert (len(first), first["destroyed"].sum()) == (100, 0)
    _send(asking, entries.deletions(UDP, 30))
    _send(asking, entries.lives(UDP, 20, first=1000))
    second = connections.read()
    assert (len(second), second["destroyed"].sum()) == (120, 50)
    assert np.isin(first["key"], second["key"]).all()
    third = connections.read()
    assert (len(third), third["destroyed"].sum()) == (70, 0)
    assert np.isin(third["key"], first["key"]).all()
    assert (connections.lost, connections.discarded, connections.malformed, connections.error) == (
        0,
        0,
        0,
        "",
    )


def test_rows_are_sorted_by_key(make: Make, asking: socket.socket) -> None:
    connections = make()
    _insert(asking, 500)
    assert (np.diff(connections.read()["key"].astype(object)) > 0).all()


def test_the_event_has_the_last_word_on_an_entry(namespace, make: Make) -> None:
    """It was in the table when that was read, and what it carried later is in its event alone."""
    connections = make()
    with namespace.socket(socket.SOCK_DGRAM) as receiving, namespace.socket(socket.SOCK_DGRAM) as sending:
        receiving.bind(("10.0.0.2", 0))
        sending.bind(("10.0.0.1", 0))
        sending.sendto(b"one", receiving.getsockname())
        (living,) = connections.read()
        assert (living["forward_packets"], living["destroyed"]) == (1, False)
        sending.sendto(b"two", receiving.getsockname())
        pieces = source.snapshot(namespace.path)  # as if it had been read a moment before the end
        (in_table,) = next(pieces).connections
        assert in_table["forward_packets"] == 2
        pieces.close()
        sending.sendto(b"three", receiving.getsockname())
        namespace.run("conntrack", "-D", "-p", "udp")
        (ended,) = connections.read()
    assert (ended["forward_packets"], ended["destroyed"]) == (3, True)
    assert ended["key"] == living["key"] == in_table["key"]
    assert ended["stopped"] > ended["started"] == living["started"]
    assert address.render(ended["src"].tobytes()) == "10.0.0.1"


def test_both_words_on_one_entry_are_one_row(make: Make, asking: socket.socket) -> None:
    connections = make()
    _insert(asking, 50)
    in_table = connections.read()
    _send(asking, entries.deletions(UDP, 50))
    _insert(asking, 50)
    connections._ended.append(in_table)  # what a dump has that is slower than the end of what it shows
    found = connections.read()
    assert (len(found), found["destroyed"].sum()) == (100, 50)
    assert set(found["key"][found["destroyed"]]) == set(in_table["key"])


def test_without_timestamps_a_key_is_still_one_entry(namespace, make: Make, asking: socket.socket) -> None:
    namespace.sysctl(acct=0, timestamp=0)
    connections = make()
    _insert(asking, 40)
    living = connections.read()
    _send(asking, entries.deletions(UDP, 40))
    ended = connections.read()
    assert set(living["key"]) == set(ended["key"])
    assert ended["destroyed"].all()
    assert not ended["started"].any()


@pytest.mark.parametrize("started", [False, True])
def test_lost_is_what_was_sent_and_not_received(make: Make, asking: socket.socket, started: bool) -> None:
    hurried = threading.Event()
    connections = make(receive_buffer=32 << 10, hurry=hurried.set)
    if started:
        connections.start()
    received = 0
    for number in range(2):
        _send(asking, entries.lives(UDP, 5000, first=5000 * number))
        received += len(connections.read())
        assert connections.lost > 0
        assert received + connections.lost == 5000 * (number + 1)
    if started:
        assert hurried.wait(5)


@pytest.mark.parametrize("count", [99, 100, 101, 5000])
def test_what_goes_beyond_the_capacity_is_discarded_and_counted(
    make: Make, asking: socket.socket, count: int
) -> None:
    connections = make(capacity=100)
    _send(asking, entries.lives(UDP, count))
    assert len(connections.read()) == min(count, 100)
    assert (connections.discarded, connections.lost) == (max(count - 100, 0), 0)
    _send(asking, entries.lives(UDP, 60, first=count))
    assert len(connections.read()) == 60
    assert connections.discarded == max(count - 100, 0)


def test_hurries_when_half_of_the_capacity_is_held(make: Make, asking: socket.socket) -> None:
    hurried = threading.Event()
    connections = make(capacity=100, hurry=hurried.set)
    _send(asking, entries.lives(UDP, 50))
    connections._events.flush()
    assert not hurried.is_set()
    _send(asking, entries.lives(UDP, 1, first=50))
    connections._events.flush()
    assert hurried.is_set()


def test_malformed_events_are_counted_and_named(make: Make, asking: socket.socket) -> None:
    connections = make()
    sound = sockets.message(0x102, 0, bytes(4))
    connections._hold(layouts.datagram(sound + sound))
    assert (connections.malformed, connections.error) == (
        2,
        "CTA_TUPLE_ORIG/CTA_TUPLE_PROTO/CTA_PROTO_NUM at byte 20: missing",
    )
    _insert(asking, 10)
    assert len(connections.read()) == 10
    assert connections.malformed == 2


def test_snapshot_is_the_table_alone(namespace, asking: socket.socket) -> None:
    _insert(asking, 100)
    _send(asking, entries.lives(UDP, 10, first=1000))
    pieces = list(source.snapshot(namespace.path))
    assert sum(len(piece.connections) for piece in pieces) == 100
    assert {(piece.malformed, piece.error) for piece in pieces} == {(0, "")}


def test_snapshot_that_is_given_up_half_way(namespace, asking: socket.socket) -> None:
    _insert(asking, 20_000)
    pieces = source.snapshot(namespace.path)
    next(pieces)
    pieces.close()
    assert sum(len(piece.connections) for piece in source.snapshot(namespace.path)) == 20_000


MARKS = (0, 0x10, 0x1F, 0x20, 0xFF0010)
ZONES = (0, 5, 6)
SCOPES = [  # and a predicate that says the same
    pytest.param(scope.Scope(), lambda _: True, id="everything"),
    pytest.param(scope.Scope(zone=0), lambda row: row["zone"] == 0, id="zone 0"),
    pytest.param(scope.Scope(zone=5), lambda row: row["zone"] == 5, id="zone 5"),
    pytest.param(scope.Scope(zone=7), lambda _: False, id="zone of nobody"),
    pytest.param(scope.Scope(mark=0x10), lambda row: row["mark"] == 0x10, id="mark"),
    pytest.param(scope.Scope(mark=0), lambda row: row["mark"] == 0, id="no mark"),
    pytest.param(scope.Scope(mark=0x10, mask=0xF0), lambda row: row["mark"] & 0xF0 == 0x10, id="mask"),
    pytest.param(scope.Scope(mark=0, mask=0xF), lambda row: row["mark"] & 0xF == 0, id="zero in a mask"),
    pytest.param(
        scope.Scope(mark=0x1F, mask=0xF0), lambda row: row["mark"] & 0xF0 == 0x10, id="mark beyond its mask",
    ),
    pytest.param(
        scope.Scope(zone=5, mark=0x10, mask=0xF0),
        lambda row: row["zone"] == 5 and row["mark"] & 0xF0 == 0x10, id="zone and mark",
    ),
]  # fmt: skip


@pytest.fixture
def many_scopes(namespace, make: Make) -> None:
    """A connection for each zone and mark, in both address families."""
    make()  # by default the kernel tells the end of those only whose beginning somebody could hear
    port = 1000
    lines = []
    for zone in ZONES:
        for mark in MARKS:
            for ends in ("-s 10.0.0.1 -d 10.0.0.2", "-s fd00::1 -d fd00::2"):
                port += 1
                lines.append(f"-I -p udp {ends} --sport {port} --dport 53 -t 600 -m {mark}")
                lines[-1] += f" -w {zone}" if zone else ""
    namespace.run("conntrack", "--load-file", "-", text="\n".join(lines))


@pytest.mark.usefixtures("many_scopes")
@pytest.mark.parametrize(("wanted", "holds"), SCOPES)
def test_scope_holds_for_the_table_and_for_events(
    namespace, make: Make, wanted: scope.Scope, holds: Callable[[np.void], bool]
) -> None:
    """The kernel filters what it dumps, but not the events: both have to come to the same."""
    everything, within = make(), make(wanted=wanted)
    every = everything.read()
    assert len(every) == 2 * len(ZONES) * len(MARKS)
    expected = {int(row["key"]) for row in every if holds(row)}
    assert set(within.read()["key"].tolist()) == expected
    pieces = [piece.connections for piece in source.snapshot(namespace.path, wanted)]
    assert set(decode.concatenate(pieces)["key"].tolist()) == expected
    for family in ("ipv4", "ipv6"):
        namespace.run("conntrack", "-F", "-f", family)
    ended = within.read()
    assert ended["destroyed"].all()
    assert set(ended["key"].tolist()) == expected


def test_statistics_are_of_this_namespace_and_from_the_start(
    namespace, make: Make, asking: socket.socket
) -> None:
    connections = make()
    _insert(asking, 25)
    state = connections.statistics()
    assert (state.entries, state.refused) == (25, 0)


def test_close_gives_both_sockets_back(namespace) -> None:
    before = _open_sockets(namespace)
    for end in (source.Source.close, _start_and_stop):
        connections = source.Source(namespace.path, **ROOM)
        assert _open_sockets(namespace) == before + 2
        end(connections)
        assert _open_sockets(namespace) == before


def _start_and_stop(connections: source.Source) -> None:
    connections.start()
    connections.stop()


def _open_sockets(namespace) -> int:
    """Netfilter sockets in the namespace, by its /proc/net/netlink."""
    lines = namespace.run("cat", "/proc/thread-self/net/netlink").splitlines()[1:]
    return sum(line.split()[1] == str(sockets.NETLINK_NETFILTER) for line in lines)
