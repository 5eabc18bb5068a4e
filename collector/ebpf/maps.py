"""The one door to bpf(2): a map that somebody has pinned, read and never written."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
import pathlib
import platform
import struct
import types
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model import errors

Bytes = npt.NDArray[np.uint8]

HASH, LRU_HASH = 1, 9
"""BPF_MAP_TYPE_HASH and BPF_MAP_TYPE_LRU_HASH (linux/bpf.h)."""

_NUMBERS = {"x86_64": 321, "aarch64": 280}  # __NR_bpf (asm/unistd.h)
_LOOKUP_ELEM, _GET_NEXT_KEY, _OBJ_GET, _OBJ_GET_INFO_BY_FD, _LOOKUP_BATCH = 1, 4, 7, 15, 24
_READ_ONLY = 1 << 3  # BPF_F_RDONLY
_INFO = struct.Struct("=6I16s")  # the beginning of struct bpf_map_info
_BATCH = struct.Struct("=QQQQIIQQ")  # the members of union bpf_attr, as each command has them
_COUNT_AT = 32
_ELEMENT = struct.Struct("=IIQQQ")
_TOKEN_BYTES = 64
"""Where a batch ended, in the kernel's words: a bucket's number, or a key of kinds that we do not read."""
_ENOTSUPP = 524  # the kernel's own, of a kind of map that has no batches; errno.h does not know it
_NO_BATCHES = (errno.EINVAL, errno.ENOTSUP, _ENOTSUPP)  # EINVAL: before Linux 5.6 there is no such command
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
_libc.syscall.restype = ctypes.c_long


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What the kernel says of a map (``struct bpf_map_info``).

    Attributes:
        kind: Its type, as ``HASH``.
        key_size: Bytes of a key.
        value_size: Bytes of a value.
        capacity: How many entries it may have.
    """

    kind: int
    key_size: int
    value_size: int
    capacity: int


class Map:
    """A pinned map that is open for reading, until it is closed.

    Args:
        pin: Its path in a bpf filesystem.

    Raises:
        SetupError: If there is none, the right to read it is missing, or this machine has no bpf(2).
    """

    def __init__(self, pin: pathlib.Path) -> None:
        path = ctypes.create_string_buffer(bytes(pin))
        request = _attributes(struct.pack("=QII", ctypes.addressof(path), 0, _READ_ONLY))
        self._descriptor = -1
        try:
            self._descriptor = _call(_OBJ_GET, request)
            self.info = self._read_info()
        except PermissionError as error:
            raise errors.SetupError(f"reading {pin.name} needs CAP_BPF: run as root") from error
        except OSError as error:
            self.close()
            raise errors.SetupError(f"{pin.name} cannot be read: {error.strerror}") from error

    def __enter__(self) -> Map:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; once more does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def entries(self, batch: int = 1 << 14) -> tuple[Bytes, Bytes]:
        """Keys and values of all entries, a row of bytes each, in no order.

        Others change the map meanwhile: a key may come twice, and one that comes or goes may be missing.

        Args:
            batch: How many entries are asked for at once, at first: a bucket that does not fit needs more.

        Raises:
            OSError: If the kernel refuses.
        """
        try:
            return _joined(list(self._batches(batch)), self.info)
        except OSError as error:
            if error.errno not in _NO_BATCHES:
                raise
        return _joined(list(self._one_by_one()), self.info)

    def _read_info(self) -> Info:
        told = ctypes.create_string_buffer(256)  # longer than any kernel's: it writes what it has
        _call(
            _OBJ_GET_INFO_BY_FD,
            _attributes(struct.pack("=IIQ", self._descriptor, len(told), ctypes.addressof(told))),
        )
        kind, _, key_size, value_size, capacity, _, _ = _INFO.unpack_from(told)
        return Info(kind=kind, key_size=key_size, value_size=value_size, capacity=capacity)

    def _batches(self, size: int) -> Iterator[tuple[Bytes, Bytes]]:
        token = ctypes.create_string_buffer(_TOKEN_BYTES)
        place = ctypes.addressof(token)
        begun = 0  # no token, which is the beginning
        while True:
            keys, values = _room(size, self.info)
            request = _attributes(_BATCH.pack(
                begun, place, keys.ctypes.data, values.ctypes.data, size, self._descriptor, 0, 0
            ))  # fmt: skip
            code = _code(_LOOKUP_BATCH, request)
            if code == errno.ENOSPC:  # the next bucket alone has more
                size *= 2
                continue
            if code not in (0, errno.ENOENT):
                raise OSError(code, os.strerror(code))
            (count,) = struct.unpack_from("=I", request, _COUNT_AT)
            yield keys[:count], values[:count]
            if code == errno.ENOENT:  # it was the last one
                return
            begun = place

    def _one_by_one(self) -> Iterator[tuple[Bytes, Bytes]]:
        keys, values = _room(2, self.info)
        here, following = keys[0].ctypes.data, keys[1].ctypes.data
        # After a key that is gone the kernel begins anew, so that a busy map could keep us for ever.
        for step in range(2 * self.info.capacity):
            request = _attributes(_ELEMENT.pack(self._descriptor, 0, here if step else 0, following, 0))
            code = _code(_GET_NEXT_KEY, request)
            if code == errno.ENOENT:
                return
            if code:
                raise OSError(code, os.strerror(code))
            keys[0] = keys[1]
            code = _code(_LOOKUP_ELEM, _attributes(
                _ELEMENT.pack(self._descriptor, 0, here, values.ctypes.data, 0)
            ))  # fmt: skip
            if not code:  # else it has gone meanwhile
                yield keys[:1].copy(), values[:1].copy()


def _room(count: int, info: Info) -> tuple[Bytes, Bytes]:
    return np.empty((count, info.key_size), np.uint8), np.empty((count, info.value_size), np.uint8)


def _joined(pieces: list[tuple[Bytes, Bytes]], info: Info) -> tuple[Bytes, Bytes]:
    if not pieces:
        return _room(0, info)
    keys, values = zip(*pieces, strict=True)
    return np.concatenate(keys), np.concatenate(values)


def _attributes(members: bytes) -> ctypes.Array[ctypes.c_char]:
    """A ``union bpf_attr`` with these members; the kernel takes what is beyond them for zero."""
    return ctypes.create_string_buffer(members, len(members))


def _call(command: int, request: ctypes.Array[ctypes.c_char]) -> int:
    """What a command gives.

    Raises:
        SetupError: If this machine has no bpf(2) that we know.
        OSError: If the kernel refuses.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise errors.SetupError(f"reading eBPF maps is not known on {platform.machine()}")
    result: int = _libc.syscall(number, command, ctypes.addressof(request), len(request))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _code(command: int, request: ctypes.Array[ctypes.c_char]) -> int:
    """The errno of a command; 0 where it was done."""
    try:
        _call(command, request)
    except OSError as error:
        return error.errno or 0
    return 0
