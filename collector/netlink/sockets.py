"""The one door to AF_NETLINK: netfilter sockets, in the network namespace that they are to watch."""

from __future__ import annotations

import concurrent.futures
import ctypes
import errno
import os
import pathlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

from model import errors

_Result = TypeVar("_Result")

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
HEADER = struct.Struct("=IHHII")
"""``struct nlmsghdr``: length, type, flags, sequence, port."""
ATTRIBUTE = struct.Struct("=HH")

_SO_MEMINFO, _SK_MEMINFO_VARS, _SK_MEMINFO_DROPS = 55, 9, 8
_CLONE_NEWNET = 0x40000000


def within(namespace: pathlib.Path | None, work: Callable[[], _Result]) -> _Result:
    """Do something in a network namespace; None is the one that we are in.

    A socket stays for ever in the namespace in which it was made. The work is done by a thread that is never
    seen again: in a user namespace there is no right to come back.

    Raises:
        SetupError: If there is no such namespace, or no right to enter it.
    """
    if namespace is None:
        return work()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(_enter, namespace).result()
        return thread.submit(work).result()


def _enter(namespace: pathlib.Path) -> None:
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise errors.SetupError(f"cannot enter network namespace {namespace}: {error.strerror}") from error


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute with its padding."""
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def message(kind: int, flags: int, payload: bytes, sequence: int = 1) -> bytes:
    """One netlink message that asks for something."""
    return HEADER.pack(16 + len(payload), kind, NLM_F_REQUEST | flags, sequence, 0) + payload


def open_netfilter(*, groups: int = 0, receive_buffer: int = 0) -> socket.socket:
    """A netfilter netlink socket in the namespace of this thread.

    Args:
        groups: Multicast groups as a bit mask.
        receive_buffer: Bytes; beyond ``net.core.rmem_max`` where we have CAP_NET_ADMIN for that.

    Raises:
        SetupError: If the right is missing.
    """
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        if receive_buffer:
            set_receive_buffer(opened, receive_buffer)
        opened.bind((0, groups))
    except PermissionError as error:
        raise errors.SetupError(
            "reading the kernel's connection events needs CAP_NET_ADMIN: run as root, or grant it with "
            "setcap or in the pod's securityContext"
        ) from error
    return opened


def set_receive_buffer(opened: socket.socket, size: int) -> None:
    """Let the kernel queue up to ``size`` bytes for this socket, or as much as it allows us."""
    so_rcvbufforce = 33
    try:
        opened.setsockopt(socket.SOL_SOCKET, so_rcvbufforce, size)
    except PermissionError:  # in a user namespace only the system's own limit can be had
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def ask(opened: socket.socket, request: bytes) -> int:
    """Send a request that wants an acknowledgement; the kernel's errno, 0 for success."""
    opened.send(request)
    while True:
        reply = opened.recv(65536)
        _, kind, _, _, _ = HEADER.unpack_from(reply)
        if kind == NLMSG_ERROR:
            code: int = struct.unpack_from("=i", reply, HEADER.size)[0]
            return -code


def dropped(opened: socket.socket) -> int:
    """How many messages the kernel has thrown away since this socket was opened, because it was full."""
    raw = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _SK_MEMINFO_VARS)
    counts: tuple[int, ...] = struct.unpack(f"={_SK_MEMINFO_VARS}I", raw)
    return counts[_SK_MEMINFO_DROPS]


def dump(opened: socket.socket, request: bytes) -> bytearray:
    """All messages of the answer to a dump request, one after the other, without the closing one.

    Raises:
        OSError: The kernel's error.
    """
    opened.send(request)
    answer, end = bytearray(1 << 18), 0
    while True:
        if len(answer) - end < 1 << 16:
            answer += bytes(len(answer))
        with memoryview(answer) as view:
            count = opened.recv_into(view[end:])
        last = _closing(answer, end, end + count)
        if last is not None:
            del answer[last:]
            return answer
        end += count


def _closing(answer: bytearray, start: int, end: int) -> int | None:
    """Where the closing message of a dump begins, if it lies in this part of the answer."""
    kind = HEADER.unpack_from(answer, start)[1]
    if kind == NLMSG_ERROR:
        raise OSError(-struct.unpack_from("=i", answer, start + HEADER.size)[0], "netlink dump refused")
    # The kernel puts NLMSG_DONE last in a datagram; its length is fixed (header and one integer).
    for size in (HEADER.size + 4, HEADER.size):
        if end - start >= size and HEADER.unpack_from(answer, end - size)[1] == NLMSG_DONE:
            length, _, done_flags, _, _ = HEADER.unpack_from(answer, end - size)
            if length == size and done_flags & 0x2:
                return end - size
    return None


class Receiver:
    """A thread that empties a socket into memory, so that the kernel's own queue stays short.

    Args:
        opened: The socket; it belongs to the receiver from now on.
        capacity: Bytes to hold between two calls of ``take``. What does not fit is discarded and counted.
    """

    def __init__(self, opened: socket.socket, *, name: str, capacity: int) -> None:
        self._socket = opened
        self._capacity = capacity
        self._lock = threading.Lock()
        self._buffer, self._used = bytearray(1 << 20), 0
        self._overruns = 0
        self._discarded = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket."""
        self._stopping.set()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Close the socket of a receiver that was never started."""
        self._socket.close()

    @property
    def overruns(self) -> int:
        """How often the kernel told us that its queue was full."""
        return self._overruns

    @property
    def discarded(self) -> int:
        """Datagrams thrown away because nobody took what we hold."""
        return self._discarded

    @property
    def lost(self) -> int:
        """Messages that the kernel threw away because its queue for us was full."""
        return dropped(self._socket)

    def take(self) -> bytearray:
        """All that was received since the last call, messages padded to 4 bytes."""
        with self._lock:
            taken, used = self._buffer, self._used
            self._buffer, self._used = bytearray(1 << 20), 0
        del taken[used:]
        return taken

    def _run(self) -> None:
        datagram = bytearray(1 << 18)
        view = memoryview(datagram)
        self._socket.settimeout(0.2)  # a blocked recv on netlink does not notice a close
        while not self._stopping.is_set():
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                continue
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    self._overruns += 1
                    continue
                return
            self._keep(view[:count], count)

    def _keep(self, datagram: memoryview, count: int) -> None:
        padded = count + -count % 4
        with self._lock:
            end = self._used + padded
            if end > self._capacity:
                self._discarded += 1
                return
            if end > len(self._buffer):
                self._buffer += bytes(max(len(self._buffer), padded))
            self._buffer[self._used : self._used + count] = datagram
            self._used = end
