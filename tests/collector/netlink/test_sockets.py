"""Netfilter sockets of the kernel itself, in a namespace of their own."""

from __future__ import annotations

import ctypes
import errno
import pathlib
import socket
import struct
import threading
from collections.abc import Callable

import pytest

from collector.netlink import sockets
from lab import entries
from model import errors

UNKNOWN, STATISTICS, GET = 0x1FF, 0x105, 0x101
"""Message types of ctnetlink: one that it does not have, IPCTNL_MSG_CT_GET_STATS and _GET."""


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        pytest.param(b"", b"\x04\x00\x07\x00", id="empty"),
        pytest.param(b"abcd", b"\x08\x00\x07\x00abcd", id="aligned"),
        pytest.param(b"abcde", b"\x09\x00\x07\x00abcde\0\0\0", id="padded, and the length without that"),
    ],
)
def test_attribute(payload: bytes, encoded: bytes) -> None:
    assert sockets.attribute(7, payload) == encoded


def test_message_asks_for_something() -> None:
    message = sockets.message(GET, sockets.NLM_F_DUMP, b"body", sequence=9)
    assert sockets.HEADER.unpack_from(message) == (20, GET, 0x301, 9, 0)
    assert message[16:] == b"body"


def test_within_nothing_is_where_we_are() -> None:
    assert sockets.within(None, threading.get_ident) == threading.get_ident()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("missing", "No such file", id="no such file"),
        pytest.param("file", "Invalid argument", id="no namespace"),
    ],
)
def test_namespace_that_cannot_be_entered_is_named(tmp_path: pathlib.Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.SetupError, match=f"cannot enter network namespace .*/{name}: {reason}"):
        sockets.within(tmp_path / name, threading.get_ident)


def test_what_the_work_raises_comes_through(tmp_path: pathlib.Path) -> None:
    def fail() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        sockets.within(None, fail)


@pytest.mark.net
def test_socket_stays_in_the_namespace_in_which_it_was_made(namespace) -> None:
    here = _inode()
    with sockets.open_netfilter() as opened:
        before = _living(opened)
    assert sockets.within(namespace.path, _inode) != here
    assert _inode() == here
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        assert entries.send(opened, entries.insertions([entries.Kind()], 3)) == 0
        assert _living(opened) == 3
    with sockets.open_netfilter() as opened:
        assert _living(opened) == before


def _inode() -> int:
    return pathlib.Path("/proc/thread-self/ns/net").stat().st_ino


def _living(opened: socket.socket) -> int:
    """How many entries the table holds: CTA_STATS_GLOBAL_ENTRIES, which is the first attribute."""
    reply = sockets.answer(opened, sockets.message(STATISTICS, 0, bytes(4)))
    (living,) = struct.unpack_from(">I", reply, 24)
    return int(living)


@pytest.mark.net
def test_answer_that_is_a_refusal(namespace) -> None:
    with (
        sockets.within(namespace.path, sockets.open_netfilter) as opened,
        pytest.raises(OSError, match="Invalid argument") as caught,
    ):
        sockets.answer(opened, sockets.message(UNKNOWN, 0, bytes(4)))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.net
@pytest.mark.parametrize(
    ("kind", "code"), [pytest.param(UNKNOWN, errno.EINVAL, id="refused"), pytest.param(0x102, 0, id="done")]
)
def test_ask_gives_the_kernels_word(namespace, kind: int, code: int) -> None:
    """A deletion (IPCTNL_MSG_CT_DELETE) that names nothing empties the table."""
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        assert sockets.ask(opened, sockets.message(kind, sockets.NLM_F_ACK, bytes(4))) == code


@pytest.mark.net
def test_receive_buffer_is_as_large_as_was_asked_for(namespace) -> None:
    beyond = 2 * int(pathlib.Path("/proc/sys/net/core/rmem_max").read_text())
    with sockets.within(namespace.path, lambda: sockets.open_netfilter(receive_buffer=beyond)) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * beyond  # socket(7): it doubles


@pytest.mark.net
def test_without_the_right_the_buffer_is_what_the_system_allows(namespace) -> None:
    largest = int(pathlib.Path("/proc/sys/net/core/rmem_max").read_text())
    opened = sockets.within(namespace.path, sockets.open_netfilter)
    with opened:
        _without_rights(lambda: sockets.set_receive_buffer(opened, 4 * largest))
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * largest


@pytest.mark.net
def test_events_without_the_right_are_refused_in_plain_words(namespace) -> None:
    def attempt() -> None:
        sockets.open_netfilter(groups=4).close()

    with pytest.raises(errors.SetupError, match="needs CAP_NET_ADMIN"):
        sockets.within(namespace.path, lambda: _without_rights(attempt))


def _without_rights(work: Callable[[], None]) -> None:
    """Do something in a thread that has given up all capabilities; its namespace is this thread's."""
    failed: list[BaseException] = []

    def run() -> None:
        version_3, this_thread, nothing = 0x20080522, 0, (ctypes.c_uint32 * 6)()
        header = (ctypes.c_uint32 * 2)(version_3, this_thread)
        assert ctypes.CDLL(None).capset(header, nothing) == 0
        try:
            work()
        except BaseException as error:  # to be raised where the test looks
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@pytest.mark.net
def test_what_does_not_fit_into_the_buffer_is_counted(namespace) -> None:
    """Counted without an error, so that what comes later is not kept back."""
    opened = sockets.within(namespace.path, lambda: sockets.open_netfilter(groups=4, receive_buffer=4096))
    with opened:
        assert sockets.dropped(opened) == 0
        with sockets.within(namespace.path, sockets.open_netfilter) as asking:
            assert entries.send(asking, entries.lives(entries.Kind(), 50)) == 0
        received = 0
        opened.setblocking(False)
        while True:
            try:
                opened.recv(1 << 16)
            except BlockingIOError:
                break
            received += 1
        assert 0 < received < 50
        assert received + sockets.dropped(opened) == 50
