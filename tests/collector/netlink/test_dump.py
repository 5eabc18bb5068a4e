"""Answers to dump requests: the kernel's own, and some that it gives in rare cases only."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from collector.conntrack import decode, scope
from collector.netlink import dump, layouts, sockets
from lab import entries

REQUEST = scope.EVERYTHING.request()
MANY = 20_000
"""Entries whose dump needs several pieces of 2 MiB."""


@pytest.fixture
def table(namespace) -> Iterator[socket.socket]:
    """A socket on an empty table."""
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        yield opened


def _fill(namespace, count: int) -> None:
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        assert entries.send(opened, entries.insertions([entries.Kind()], count)) == 0


def _count(piece: layouts.Datagrams) -> int:
    decoded = decode.decode(piece)
    assert decoded.error == ""
    return len(decoded.connections)


@pytest.mark.net
@pytest.mark.parametrize("count", [1, 500, MANY])
def test_dump_has_every_entry_once(namespace, table: socket.socket, count: int) -> None:
    _fill(namespace, count)
    keys, pieces = set(), 0
    for piece in dump.dump(table, REQUEST):
        found = decode.decode(piece).connections["key"].tolist()
        assert keys.isdisjoint(found)
        keys.update(found)
        pieces += 1
    assert len(keys) == count
    assert (pieces > 2) == (count == MANY)


@pytest.mark.net
def test_dump_of_nothing_is_nothing(table: socket.socket) -> None:
    assert list(dump.dump(table, REQUEST)) == []
    assert dump.whole(table, REQUEST) == b""


@pytest.mark.net
def test_whole_is_all_messages_in_one(namespace, table: socket.socket) -> None:
    _fill(namespace, 500)
    assert len(decode.decode(layouts.datagram(dump.whole(table, REQUEST))).connections) == 500


@pytest.mark.net
@pytest.mark.parametrize("pieces", [1, 2])
def test_dump_that_is_not_read_to_its_end_leaves_the_socket_usable(
    namespace, table: socket.socket, pieces: int
) -> None:
    _fill(namespace, MANY)
    for _ in range(2):
        answer = dump.dump(table, REQUEST)
        for _ in range(pieces):
            next(answer)
        answer.close()
    assert sum(map(_count, dump.dump(table, REQUEST))) == MANY


@pytest.mark.net
def test_reader_that_fails_leaves_the_socket_usable(namespace, table: socket.socket) -> None:
    _fill(namespace, MANY)

    def read() -> None:
        for _ in dump.dump(table, REQUEST):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        read()
    assert sum(map(_count, dump.dump(table, REQUEST))) == MANY


@pytest.mark.net
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        pytest.param(sockets.message(0x1FF, sockets.NLM_F_DUMP, bytes(4)), errno.EINVAL, id="unknown"),
        pytest.param(
            sockets.message(0x101, sockets.NLM_F_DUMP, bytes(4) + sockets.attribute(8, b"ab")), errno.ERANGE,
            id="filter too short",
        ),
    ],
)  # fmt: skip
def test_refused_dump_says_why_and_leaves_the_socket_usable(
    namespace, table: socket.socket, request_: bytes, code: int
) -> None:
    _fill(namespace, 100)
    with pytest.raises(OSError, match="the kernel refuses the dump: " + os.strerror(code)) as caught:
        list(dump.dump(table, request_))
    assert caught.value.errno == code
    assert sum(map(_count, dump.dump(table, REQUEST))) == 100


MESSAGE = sockets.message(0x100, 0, bytes(4) + sockets.attribute(99, b"abcd"))


def _closing(code: int = 0) -> bytes:
    return sockets.HEADER.pack(20, sockets.NLMSG_DONE, 2, 1, 0) + struct.pack("=i", code)


def _error(code: int) -> bytes:
    return sockets.HEADER.pack(36, sockets.NLMSG_ERROR, 0, 1, 0) + struct.pack("=i", code) + bytes(16)


def _answered(*datagrams: bytes) -> list[bytes]:
    """What ``dump`` makes of an answer that somebody who is no kernel gives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:

        def answer() -> None:
            assert theirs.recv(1000) == REQUEST
            for datagram in datagrams:
                theirs.send(datagram)

        kernel = threading.Thread(target=answer)
        kernel.start()
        try:
            return [
                piece.buffer[start : start + length].tobytes()
                for piece in dump.dump(ours, REQUEST)
                for start, length in zip(piece.starts.tolist(), piece.lengths.tolist(), strict=True)
            ]
        finally:
            kernel.join()


@pytest.mark.parametrize(
    ("datagrams", "read"),
    [
        pytest.param([_closing()], [], id="nothing"),
        pytest.param([MESSAGE * 3, _closing()], [MESSAGE * 3], id="closing message by itself"),
        pytest.param([MESSAGE * 3 + _closing()], [MESSAGE * 3], id="closing message behind others"),
        pytest.param([MESSAGE] * 150 + [_closing()], [MESSAGE] * 150, id="several pieces"),
        pytest.param([MESSAGE] * 64 + [_closing()], [MESSAGE] * 64, id="closing message alone in its piece"),
        pytest.param([MESSAGE] * 63 + [_closing()], [MESSAGE] * 63, id="closing message last in its piece"),
    ],
)
def test_answer_ends_with_its_closing_message(datagrams: list[bytes], read: list[bytes]) -> None:
    assert _answered(*datagrams) == read


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="at once"),
        pytest.param([MESSAGE], id="later"),
        pytest.param([MESSAGE] * 64, id="much later"),
    ],
)
def test_error_in_place_of_the_rest_is_raised(before: list[bytes]) -> None:
    with pytest.raises(OSError, match="the kernel refuses the dump: Device or resource busy"):
        _answered(*before, _error(-errno.EBUSY))
    with pytest.raises(OSError, match="the kernel gives the dump up: Cannot allocate memory"):
        _answered(*before, _closing(-errno.ENOMEM))
