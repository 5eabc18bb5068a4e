"""Room for many datagrams, filled by one system call (recvmmsg(2))."""

from __future__ import annotations

import ctypes
import errno
import os
import socket

import numpy as np

from collector.netlink import layouts

_libc = ctypes.CDLL(None, use_errno=True)  # a call through it lets other threads run
_MSG_TRUNC, _MSG_DONTWAIT, _MSG_WAITFORONE = 0x20, 0x40, 0x10000


class _Vector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """``struct msghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)), ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t), ("flags", ctypes.c_int),
    )  # fmt: skip


class _Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


_VECTOR = np.dtype({
    "names": ["base", "length"], "formats": [np.uintp, np.uintp],
    "offsets": [_Vector.base.offset, _Vector.length.offset], "itemsize": ctypes.sizeof(_Vector),
})  # fmt: skip
_MESSAGE = np.dtype({
    "names": ["vectors", "vector_count", "flags", "length"], "formats": [np.uintp, np.uintp, "i4", "u4"],
    "offsets": [_Header.vectors.offset, _Header.vector_count.offset, _Header.flags.offset,
                _Message.length.offset],
    "itemsize": ctypes.sizeof(_Message),
})  # fmt: skip


class Slots:
    """Some slots of one size, each of which takes a datagram.

    Args:
        count: How many.
        size: Bytes of each, a multiple of eight. A longer datagram is cut off, and counted.
    """

    def __init__(self, count: int, size: int) -> None:
        self._buffer = np.zeros(count * size + layouts.LONGEST, np.uint8)  # only what is used takes memory
        self._starts = np.arange(count, dtype=np.int64) * size
        self._count, self._filled = count, 0
        # filled by numpy: thousands of Python objects would take more memory than what they describe
        self._vectors, self._messages = (_Vector * count)(), (_Message * count)()
        vectors = np.frombuffer(memoryview(self._vectors), _VECTOR)
        vectors["base"], vectors["length"] = self._buffer.ctypes.data + self._starts, size
        self._received = np.frombuffer(memoryview(self._messages), _MESSAGE)
        places = np.arange(count) * ctypes.sizeof(_Vector)
        self._received["vectors"] = ctypes.addressof(self._vectors) + places
        self._received["vector_count"] = 1
        self.truncated = 0

    def __len__(self) -> int:
        return self._filled

    @property
    def full(self) -> bool:
        """Whether there is no room left."""
        return self._filled == self._count

    def receive(self, opened: socket.socket, *, wait: bool = False) -> int:
        """Take what the socket has, as far as there is room; how many datagrams that were.

        Args:
            opened: A socket in blocking mode.
            wait: Whether to wait for the first one.

        Raises:
            OSError: The kernel's error.
        """
        flags = _MSG_WAITFORONE if wait else _MSG_DONTWAIT
        room = ctypes.byref(self._messages, self._filled * ctypes.sizeof(_Message))
        count: int = _libc.recvmmsg(opened.fileno(), room, self._count - self._filled, flags, None)
        if count < 0:
            code = ctypes.get_errno()
            if code in (errno.EAGAIN, errno.EINTR):
                return 0
            raise OSError(code, os.strerror(code))
        new = self._received[self._filled : self._filled + count]
        self.truncated += int(((new["flags"] & _MSG_TRUNC) > 0).sum())
        self._filled += count
        return count

    def datagrams(self) -> layouts.Datagrams:
        """What is in the slots, without a copy: it is good until the slots are emptied."""
        lengths = self._received["length"][: self._filled].astype(np.int64)
        return layouts.Datagrams(self._buffer, self._starts[: self._filled], lengths)

    def empty(self) -> None:
        """Use the slots anew."""
        self._filled = 0
