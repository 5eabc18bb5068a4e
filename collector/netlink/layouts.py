"""From netlink messages to columns.

The kernel writes most messages of one kind with the same attributes in the same order. So we never walk
each message: we walk one, check with numpy which others have the very same attribute headers in the very
same places, and read a field of all of them at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TypeVar, Union

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
_Number = TypeVar("_Number", np.uint16, np.uint32)
Tree = Mapping[int, Union[str, "Tree"]]
"""Attribute type → the name of the field that it holds, or the attributes nested in it."""

NETLINK_HEADER = 16
NETFILTER_HEADER = 20
"""``struct nlmsghdr`` and ``struct nfgenmsg``; attributes begin after both."""
_TYPE_MASK = 0x3FFF  # the upper two bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER


class MalformedMessageError(Exception):
    """A message whose lengths contradict each other."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where the attributes of a message lie.

    Attributes:
        length: Length of the whole message in bytes.
        headers: Positions of all attribute headers, in 32-bit words from the message's start.
        values: What stands there: length and type of each attribute.
        fields: Name → (position, length) of its bytes, from the message's start.
    """

    length: int
    headers: Rows
    values: npt.NDArray[np.uint32]
    fields: dict[str, tuple[int, int]]


class Messages:
    """Some messages of one layout in a buffer; reads one field of all of them at once."""

    def __init__(self, buffer: Bytes, starts: Rows, rows: Rows, layout: Layout) -> None:
        self._words = buffer.view(np.uint32)
        self._halves = buffer.view(np.uint16)
        self._buffer = buffer
        self.starts = starts[rows]
        self.rows = rows
        self.layout = layout

    def __contains__(self, field: str) -> bool:
        return field in self.layout.fields

    def position(self, field: str) -> int:
        """Where the field begins, from the message's start."""
        return self.layout.fields[field][0]

    def size(self, field: str) -> int:
        """The field's length in bytes."""
        return self.layout.fields[field][1]

    def u8(self, field: str, at: int = 0) -> Bytes:
        """One byte."""
        return self._buffer[self.starts + (self.position(field) + at)]

    def be16(self, field: str, at: int = 0) -> npt.NDArray[np.uint16]:
        """A 16-bit number in network order, at an even position."""
        return _swapped(self._halves[(self.starts + (self.position(field) + at)) >> 1])

    def resource(self) -> npt.NDArray[np.uint16]:
        """``nfgenmsg.res_id``, which is in network order: for NFLOG, the group."""
        return _swapped(self._halves[(self.starts + NETFILTER_HEADER - 2) >> 1])

    def be32(self, field: str, at: int = 0) -> npt.NDArray[np.uint32]:
        """A 32-bit number in network order, at a position divisible by four."""
        return _swapped(self._words[(self.starts + (self.position(field) + at)) >> 2])

    def be64(self, field: str, at: int = 0) -> npt.NDArray[np.uint64]:
        """A 64-bit number in network order, at a position divisible by four."""
        high = self.be32(field, at).astype(np.uint64)
        return (high << np.uint64(32)) | self.be32(field, at + 4)

    def raw(self, field: str, count: int, at: int = 0) -> Bytes:
        """Bytes as they are, shape (n, count)."""
        first = self.starts + (self.position(field) + at)
        taken: Bytes = self._buffer[first[:, None] + np.arange(count)]
        return taken


def _swapped(numbers: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Numbers from network order into the machine's."""
    native: npt.NDArray[_Number] = numbers.byteswap()
    return native


def split(buffer: bytearray) -> tuple[Rows, Rows]:
    """Start and length of each message in a buffer, in bytes.

    What follows a header whose length cannot be right is left out: nothing after it can be trusted.
    """
    starts, lengths = [], []
    end = len(buffer) & ~3
    with memoryview(buffer) as view, view[:end].cast("I") as words:
        position = 0
        while position + NETFILTER_HEADER <= end:
            length = words[position >> 2]
            if length < NETLINK_HEADER or position + length > len(buffer):
                break
            starts.append(position)
            lengths.append(length)
            position += (length + 3) & ~3  # lengths in events are not always aligned, positions are
    return np.array(starts, np.int64), np.array(lengths, np.int64)


def aligned(buffer: bytearray) -> Bytes:
    """The buffer as an array, padded so that it can be read in 64-bit words.

    And by the longest fixed field, so that one that is too short at the very end is not read beyond it.
    """
    return np.frombuffer(bytes(buffer) + bytes(16 + -len(buffer) % 8), np.uint8)


def discover(buffer: Bytes, start: int, length: int, tree: Tree) -> Layout:
    """The layout of one message.

    Raises:
        MalformedMessageError: If an attribute does not fit; it names the position.
    """
    headers: list[tuple[int, int]] = []
    fields: dict[str, tuple[int, int]] = {}
    words = buffer.view(np.uint32)

    def walk(position: int, end: int, known: Tree) -> None:
        while position + 4 <= end:
            word = int(words[(start + position) >> 2])
            size, kind = word & 0xFFFF, (word >> 16) & _TYPE_MASK
            if size < 4 or position + size > end:
                raise MalformedMessageError(f"attribute {kind} at byte {position}: length {size} of {end}")
            headers.append((position >> 2, word))
            meaning = known.get(kind)
            if isinstance(meaning, str):
                fields[meaning] = (position + 4, size - 4)
            elif meaning is not None:
                walk(position + 4, position + size, meaning)
            position += (size + 3) & ~3

    walk(NETFILTER_HEADER, length, tree)
    positions, values = zip(*headers, strict=True) if headers else ((), ())
    return Layout(length, np.array(positions, np.int64), np.array(values, np.uint32), fields)


def partition(
    buffer: Bytes, starts: Rows, lengths: Rows, tree: Tree
) -> Iterator[Messages | MalformedMessageError]:
    """All messages, grouped by layout; a malformed one comes by itself, as its error."""
    words = buffer.view(np.uint32)
    for length in np.unique(lengths):
        left = np.flatnonzero(lengths == length)
        while len(left):
            try:
                layout = discover(buffer, int(starts[left[0]]), int(length), tree)
            except MalformedMessageError as error:
                yield error
                left = left[1:]
                continue
            base = starts[left] >> 2
            same = np.ones(len(left), bool)
            for position, value in zip(layout.headers, layout.values, strict=True):
                same &= words[base + position] == value
            yield Messages(buffer, starts, left[same], layout)
            left = left[~same]
