"""Datagrams of real sockets, many by one system call."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from collector.netlink import layouts, slots

SIZE = 64


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a socket that keeps datagrams apart, as netlink does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        yield ours, theirs


def _held(room: slots.Slots) -> list[bytes]:
    found = room.datagrams()
    return [
        found.buffer[start : start + length].tobytes()
        for start, length in zip(found.starts.tolist(), found.lengths.tolist(), strict=True)
    ]


def test_takes_all_that_is_there_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    sent = [b"a" * 20, b"", b"c" * SIZE, b"d"]
    for datagram in sent:
        theirs.send(datagram)
    room = slots.Slots(8, SIZE)
    assert room.receive(ours) == 4
    assert (len(room), room.full, room.truncated) == (4, False, 0)
    assert _held(room) == sent


def test_nothing_there_is_nothing_received(ends: tuple[socket.socket, socket.socket]) -> None:
    room = slots.Slots(8, SIZE)
    assert room.receive(ends[0]) == 0
    assert len(room) == 0
    assert _held(room) == []


def test_waits_for_the_first_one_only(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    room = slots.Slots(8, SIZE)
    sender = threading.Timer(0.02, lambda: theirs.send(b"late"))
    sender.start()
    assert room.receive(ours, wait=True) == 1
    sender.join()
    assert _held(room) == [b"late"]


def test_takes_no_more_than_there_is_room_for(ends: tuple[socket.socket, socket.socket]) -> None:
    """What comes next has its turn when the slots are emptied, and nothing is lost in between."""
    ours, theirs = ends
    sent = [bytes([number]) * 5 for number in range(8)]
    for datagram in sent:
        theirs.send(datagram)
    room = slots.Slots(3, SIZE)
    found = []
    while room.receive(ours):
        assert room.full == (len(room) == 3)
        assert room.receive(ours) == 0
        found += _held(room)
        room.empty()
        assert (len(room), room.full) == (0, False)
    assert found == sent


def test_fills_up_over_several_calls(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    room = slots.Slots(4, SIZE)
    for number in range(4):
        theirs.send(b"%d" % number)
        assert room.receive(ours) == 1
    assert room.full
    assert _held(room) == [b"0", b"1", b"2", b"3"]


def test_longer_datagram_is_cut_off_and_counted(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    room = slots.Slots(8, SIZE)
    for size in (SIZE, SIZE + 1, 10, 1000):
        theirs.send(bytes(range(256)) * 4 if size == 1000 else b"x" * size)
    room.receive(ours)
    assert room.truncated == 2
    assert list(map(len, _held(room))) == [SIZE, SIZE, 10, SIZE]
    room.empty()
    theirs.send(b"y" * 100)
    room.receive(ours)
    assert room.truncated == 3


def test_slot_keeps_what_was_in_it_behind_a_shorter_datagram(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """So nobody may look beyond a datagram's length."""
    ours, theirs = ends
    room = slots.Slots(1, SIZE)
    for datagram in (b"old" * 20, b"new"):
        theirs.send(datagram)
        room.empty()
        room.receive(ours)
    assert _held(room) == [b"new"]
    assert room.datagrams().buffer[:60].tobytes() == b"new" + b"old" * 19


def test_datagrams_lie_where_layouts_can_read_them(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    room = slots.Slots(5, SIZE)
    for _ in range(5):
        theirs.send(b"x")
    room.receive(ours)
    found = room.datagrams()
    assert (found.starts == np.arange(5) * SIZE).all()
    assert len(found.buffer) >= found.starts[-1] + SIZE + layouts.LONGEST
    assert found.buffer.ctypes.data % 8 == 0


def test_error_of_the_socket_is_raised(ends: tuple[socket.socket, socket.socket]) -> None:
    room = slots.Slots(2, SIZE)
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, pytest.raises(OSError) as caught:
        room.receive(ours)
    assert caught.value.errno in (errno.EINVAL, errno.ENOTCONN)
    assert len(room) == 0
