"""The one door to AF_NETLINK: netfilter sockets, in the network namespace that they are to watch."""

from __future__ import annotations

import concurrent.futures
import ctypes
import os
import pathlib
import socket
import struct
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
_SOL_NETLINK, _NETLINK_NO_ENOBUFS = 270, 5
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
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    try:
        if receive_buffer:
            set_receive_buffer(opened, receive_buffer)
            # With ENOBUFS the kernel keeps everything back until the queue is empty, though there is room
            # again; without it loses only what does not fit, and ``dropped`` counts both alike.
            opened.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        opened.bind((0, groups))
    except PermissionError as error:
        opened.close()
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


def answer(opened: socket.socket, request: bytes) -> bytes:
    """The one message that the kernel answers with.

    Raises:
        OSError: The kernel's error.
    """
    opened.send(request)
    reply = opened.recv(1 << 16)
    if HEADER.unpack_from(reply)[1] == NLMSG_ERROR:
        code = -struct.unpack_from("=i", reply, HEADER.size)[0]
        raise OSError(code, os.strerror(code))
    return reply


def is_capable() -> bool:
    """Whether this process has CAP_NET_ADMIN, by its own status."""
    cap_net_admin = 12
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> cap_net_admin & 1)
    return False


def dropped(opened: socket.socket) -> int:
    """How many messages the kernel has thrown away since this socket was opened, because it was full."""
    raw = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _SK_MEMINFO_VARS)
    counts: tuple[int, ...] = struct.unpack(f"={_SK_MEMINFO_VARS}I", raw)
    return counts[_SK_MEMINFO_DROPS]
