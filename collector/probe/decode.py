"""Elements of nftables sets (linux/netfilter/nf_tables.h) as columns."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from collector.netlink import sockets

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int64]

_HEADER = sockets.HEADER.size + 4  # struct nlmsghdr and struct nfgenmsg
_ELEMENTS = 3  # NFTA_SET_ELEM_LIST_ELEMENTS
_OBJECT_NAME, _OBJECT_DATA = 2, 4
_TYPE = 0x3FFF  # the upper two bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER
_KEY, _EXPIRATION, _EXPRESSION = 1, 5, 7  # enum nft_set_elem_attributes
_NESTED = {(_KEY,): "", (_EXPRESSION,): "", (_EXPRESSION, 2): ""}
_FIELDS = {
    (_KEY, 1): "key",  # NFTA_DATA_VALUE
    (_EXPIRATION,): "expires",
    (_EXPRESSION, 2, 1): "bytes",
    (_EXPRESSION, 2, 2): "packets",
}
_SIZES = {"expires": 8, "bytes": 8, "packets": 8}


class MalformedElementError(Exception):
    """Attributes whose lengths contradict each other, or a field that is missing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Elements of one set.

    Attributes:
        keys: The key of each, shape (n, length).
        packets: What its counter says, zero where it has none.
        bytes: Likewise, whole packets with their IP header.
        expires: In how many milliseconds it will be let go, zero where it never will.
    """

    keys: Bytes
    packets: Numbers
    bytes: Numbers
    expires: Numbers

    def __len__(self) -> int:
        return len(self.keys)


def elements(buffer: bytearray, key_length: int) -> tuple[Elements, int]:
    """The elements in the answer to NFT_MSG_GETSETELEM, and how many could not be read.

    The kernel writes all elements of such a set alike. So one is walked, and of all that have the same
    headers in the same places each field is read at once.

    Args:
        buffer: Netlink messages one after the other, each at a multiple of four bytes.
        key_length: Bytes of a key of this set.
    """
    data = np.frombuffer(bytes(buffer) + bytes(8), np.uint8)
    starts, lengths, unreadable = _elements(buffer)
    parts = [_empty(key_length)]
    for length in np.unique(lengths):
        left = starts[lengths == length]
        while len(left):
            try:
                layout = _discover(buffer, int(left[0]), int(length))
                _check(layout, key_length)
            except MalformedElementError:
                left, unreadable = left[1:], unreadable + 1
                continue
            same = np.ones(len(left), bool)
            for position, expected in layout.headers:
                same &= (data[(left + position)[:, None] + np.arange(4)] == expected).all(axis=1)
            parts.append(_read(data, left[same], layout, key_length))
            left = left[~same]
    return join(parts), unreadable


def join(parts: list[Elements]) -> Elements:
    """Elements of one set, one part behind the other; at least one part."""
    return Elements(**{
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Elements)
    })  # fmt: skip


def _empty(key_length: int) -> Elements:
    none = np.zeros(0, np.int64)
    return Elements(keys=np.zeros((0, key_length), np.uint8), packets=none, bytes=none, expires=none)


@dataclasses.dataclass(frozen=True, slots=True)
class _Layout:
    """Where the attributes of an element lie, from its own header on.

    Attributes:
        headers: Position of each attribute's header, and what stands there.
        fields: Name → (position, length).
    """

    headers: list[tuple[int, Bytes]]
    fields: dict[str, tuple[int, int]]


def _discover(buffer: bytearray, start: int, length: int) -> _Layout:
    layout = _Layout([], {})

    def walk(position: int, end: int, path: tuple[int, ...]) -> None:
        for at, size, kind in _attributes(buffer, start + position, start + end):
            layout.headers.append((at - start, np.frombuffer(buffer, np.uint8, 4, at).copy()))
            here = (*path, kind)
            if here in _FIELDS:
                layout.fields[_FIELDS[here]] = (at - start + 4, size - 4)
            elif here in _NESTED:
                walk(at - start + 4, at - start + size, here)

    walk(4, length, ())
    return layout


def _check(layout: _Layout, key_length: int) -> None:
    sizes = _SIZES | {"key": key_length}
    if "key" not in layout.fields:
        raise MalformedElementError("an element without a key")
    for name, (position, size) in layout.fields.items():
        if size != sizes[name]:
            raise MalformedElementError(f"{name} at byte {position}: length {size} for {sizes[name]}")


def _read(data: Bytes, starts: Positions, layout: _Layout, key_length: int) -> Elements:
    at = layout.fields["key"][0]
    keys: Bytes = data[(starts + at)[:, None] + np.arange(key_length)]
    numbers = {
        name: _be64(data, starts + layout.fields[name][0])
        if name in layout.fields
        else np.zeros(len(starts), np.int64)
        for name in _SIZES
    }
    return Elements(keys=keys, **numbers)


def _be64(data: Bytes, at: Positions) -> Numbers:
    raw = np.ascontiguousarray(data[at[:, None] + np.arange(8)])
    return raw.view(">i8")[:, 0].astype(np.int64)


def _elements(buffer: bytearray) -> tuple[Positions, Positions, int]:
    """Start and length of each element, its header included, and how many lists could not be read."""
    starts, lengths, unreadable = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for first, end in _messages(buffer):
        try:
            for at, size, kind in _attributes(buffer, first, end):
                if kind == _ELEMENTS:
                    found = _items(buffer, at + 4, at + size)
                    starts.append(found[0])
                    lengths.append(found[1])
        except MalformedElementError:
            unreadable += 1
    return np.concatenate(starts), np.concatenate(lengths), unreadable


def _items(buffer: bytearray, first: int, end: int) -> tuple[Positions, Positions]:
    """The elements between two places: usually all of one length, which one look tells."""
    if end - first < 4:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    size = sockets.ATTRIBUTE.unpack_from(buffer, first)[0]
    step = (size + 3) & ~3
    if size >= 4 and (end - first) % step == 0:
        starts = np.arange(first, end, step, dtype=np.int64)
        data = np.frombuffer(buffer, np.uint8)
        if (data[starts[:, None] + np.arange(2)] == data[first : first + 2]).all():
            return starts, np.full(len(starts), size, np.int64)
    found = [(at, length) for at, length, _ in _attributes(buffer, first, end)]
    return np.array([at for at, _ in found], np.int64), np.array([length for _, length in found], np.int64)


def _messages(buffer: bytearray) -> Iterator[tuple[int, int]]:
    """Where the attributes of each message begin and end."""
    position = 0
    while position + _HEADER <= len(buffer):
        length = sockets.HEADER.unpack_from(buffer, position)[0]
        if length < _HEADER or position + length > len(buffer):
            return
        yield position + _HEADER, position + length
        position += (length + 3) & ~3


def _attributes(buffer: bytearray, first: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Position, length with header, and type of each attribute.

    Raises:
        MalformedElementError: If one does not fit; it names the position.
    """
    while first + 4 <= end:
        size, kind = sockets.ATTRIBUTE.unpack_from(buffer, first)
        if size < 4 or first + size > end:
            raise MalformedElementError(f"attribute {kind & _TYPE} at byte {first}: length {size}")
        yield first, size, kind & _TYPE
        first += (size + 3) & ~3


def counters(buffer: bytearray) -> dict[str, int]:
    """Packets that each named counter has counted, from the answer to NFT_MSG_GETOBJ."""
    counted = {}
    for first, end in _messages(buffer):
        fields = {kind: buffer[at + 4 : at + size] for at, size, kind in _attributes(buffer, first, end)}
        if _OBJECT_NAME in fields and _OBJECT_DATA in fields:
            data = fields[_OBJECT_DATA]
            values = {kind: data[at + 4 : at + size] for at, size, kind in _attributes(data, 0, len(data))}
            name = bytes(fields[_OBJECT_NAME]).rstrip(b"\0").decode()
            counted[name] = struct.unpack(">Q", values[2])[0]  # NFTA_COUNTER_PACKETS
    return counted


def attribute_values(message: bytes) -> dict[int, bytes]:
    """The attributes of one message, by type."""
    buffer = bytearray(message)
    (first, end), *_ = _messages(buffer)
    return {kind: bytes(buffer[at + 4 : at + size]) for at, size, kind in _attributes(buffer, first, end)}
