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
Words = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]
_Number = TypeVar("_Number", np.uint16, np.uint32)

NETLINK_HEADER = 16
NETFILTER_HEADER = 20
"""``struct nlmsghdr``, and with ``struct nfgenmsg`` behind it; attributes begin after both."""
ATTRIBUTE_HEADER = 4
LONGEST = 1 << 16
"""No netfilter message is longer, in bytes: attribute lengths have 16 bits."""
_TYPE_MASK = 0x3FFF  # the upper two bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """An attribute that holds a value.

    Attributes:
        kernel: The kernel's name of it.
        name: Ours.
        size: Bytes that it has to have at least.
    """

    kernel: str
    name: str
    size: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Nest:
    """An attribute that holds attributes."""

    kernel: str
    members: Tree


Tree = Mapping[int, Union[Field, "Nest"]]
"""Attribute type → what it is; others are passed over."""


class MalformedMessageError(Exception):
    """A message that contradicts itself.

    Attributes:
        attribute: The kernel's names of the attribute and of those around it, or its number if it has none.
        offset: Where it begins, in bytes from the message's start.
        reason: What is wrong.
    """

    def __init__(self, attribute: str, offset: int, reason: str) -> None:
        super().__init__(f"{attribute} at byte {offset}: {reason}")
        self.attribute, self.offset, self.reason = attribute, offset, reason


@dataclasses.dataclass(frozen=True, slots=True)
class Datagrams:
    """What the kernel sent, and where it lies: each datagram holds one or more whole messages.

    Attributes:
        buffer: Memory of at least ``LONGEST`` bytes more than the last datagram needs.
        starts: Where each datagram begins, at a multiple of four.
        lengths: How many bytes it has.
    """

    buffer: Bytes
    starts: Rows
    lengths: Rows


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where the attributes of a message lie.

    Attributes:
        headers: Positions of all attribute headers, in 32-bit words from the message's start.
        values: What stands there: length and type of each attribute.
        fields: Name → (position, length) of its bytes, from the message's start.
    """

    headers: list[int]
    values: list[int]
    fields: dict[str, tuple[int, int]]


class Messages:
    """Some messages of one layout; reads one field of all of them at once.

    Attributes:
        rows: Which messages they are.
        lengths: Bytes of each message.
        layout: Where their fields lie.
    """

    def __init__(self, words: Words, rows: Rows, lengths: Rows, layout: Layout) -> None:
        self._words = words
        self._bytes = words.view(np.uint8)
        self._halves = words.view(np.uint16)
        self.rows, self.lengths, self.layout = rows, lengths, layout

    def __contains__(self, field: str) -> bool:
        return field in self.layout.fields

    def __len__(self) -> int:
        return len(self.rows)

    def position(self, field: str) -> int:
        """Where the field begins, from the message's start."""
        return self.layout.fields[field][0]

    def size(self, field: str) -> int:
        """The field's length in bytes."""
        return self.layout.fields[field][1]

    def sizes(self, field: str) -> Rows:
        """The length in bytes that the field has in each message, which differs for a tail."""
        lengths: Rows = self._halves[:, (self.position(field) - 4) >> 1].astype(np.int64) - 4
        return lengths

    def u8(self, field: str, at: int = 0) -> Bytes:
        """One byte."""
        byte: Bytes = self._bytes[:, self.position(field) + at]
        return byte

    def be16(self, field: str, at: int = 0) -> npt.NDArray[np.uint16]:
        """A 16-bit number in network order, at an even position."""
        return _swapped(self._halves[:, (self.position(field) + at) >> 1])

    def resource(self) -> npt.NDArray[np.uint16]:
        """``nfgenmsg.res_id``, which is in network order: for NFLOG, the group."""
        return _swapped(self._halves[:, (NETFILTER_HEADER - 2) >> 1])

    def be32(self, field: str, at: int = 0) -> Words:
        """A 32-bit number in network order, at a position divisible by four."""
        return _swapped(self._words[:, (self.position(field) + at) >> 2])

    def be64(self, field: str, at: int = 0) -> npt.NDArray[np.uint64]:
        """A 64-bit number in network order, at a position divisible by four."""
        high = self.be32(field, at).astype(np.uint64)
        return (high << np.uint64(32)) | self.be32(field, at + 4)

    def raw(self, field: str, count: int, at: int = 0) -> Bytes:
        """Bytes as they are, shape (n, count)."""
        first = self.position(field) + at
        return self._bytes[:, first : first + count]

    def rest(self, field: str) -> Bytes:
        """The bytes from a field's start on, shape (n, …); those beyond a message's end are not its own."""
        return self._bytes[:, self.position(field) :]


TORN = "nlmsghdr at byte 0: a length that cannot be"
"""What is wrong with a message that does not fit into its datagram."""


def missing(attribute: str) -> str:
    """What is wrong with a message that lacks an attribute: it is not where attributes are."""
    return f"{attribute} at byte {NETFILTER_HEADER}: missing"


def _swapped(numbers: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Numbers from network order into the machine's."""
    native: npt.NDArray[_Number] = numbers.byteswap()
    return native


def datagram(messages: bytes | bytearray) -> Datagrams:
    """Some messages, one after the other, as one datagram."""
    buffer = np.zeros((len(messages) + LONGEST + 7) & ~7, np.uint8)
    buffer[: len(messages)] = np.frombuffer(messages, np.uint8)
    return Datagrams(buffer, np.zeros(1, np.int64), np.array([len(messages)], np.int64))


def split(datagrams: Datagrams) -> tuple[Rows, Rows, int]:
    """Start and length of each message in bytes, and the number of datagrams that were torn.

    What follows a header whose length cannot be right is left out: nothing after it can be trusted.
    """
    found = _alone(datagrams) or _alike(datagrams)
    return (*found, 0) if found else _one_by_one(datagrams)


def _aligned(lengths: Rows) -> Rows:
    """Lengths as they are counted in a datagram: lengths are not always aligned, positions are."""
    aligned: Rows = (lengths + 3) & ~3
    return aligned


def _alone(datagrams: Datagrams) -> tuple[Rows, Rows] | None:
    """The messages, if each datagram holds just one: so it is with events."""
    lengths = datagrams.buffer.view(np.uint32)[datagrams.starts >> 2].astype(np.int64)
    whole = (lengths >= NETFILTER_HEADER) & (lengths <= np.minimum(datagrams.lengths, LONGEST))
    whole &= _aligned(lengths) == _aligned(datagrams.lengths)
    return (datagrams.starts, lengths) if whole.all() else None


def _alike(datagrams: Datagrams) -> tuple[Rows, Rows] | None:
    """The messages, if all have the type, flags, sequence and port of the first: so it is within an answer.

    Wherever those stand a message may begin. If each candidate begins where the one before it ends, from the
    start of each datagram to its end, then the candidates are the messages and nothing else is.
    """
    starts, ends = datagrams.starts, datagrams.starts + _aligned(datagrams.lengths)
    words = datagrams.buffer[: ends[-1] + NETLINK_HEADER].view(np.uint32)
    kind, sequence, port = words[(starts[0] >> 2) + np.arange(1, 4)]
    at = np.flatnonzero(words[1:-2] == kind)
    at = at[(words[at + 2] == sequence) & (words[at + 3] == port)]
    begins = at << 2
    inside = np.searchsorted(starts, begins, side="right") - 1
    real = (inside >= 0) & (begins < ends[inside])  # between datagrams lies what an earlier one left
    begins, inside = begins[real], inside[real]
    lengths = words[begins >> 2].astype(np.int64)
    room = np.minimum((starts + datagrams.lengths)[inside] - begins, LONGEST)
    if not len(begins) or begins[0] != starts[0] or ((lengths < NETFILTER_HEADER) | (lengths > room)).any():
        return None
    after = begins + _aligned(lengths)
    last = after == ends[inside]
    following = np.where(last, np.append(starts, -1)[inside + 1], after)
    chained = (following[:-1] == begins[1:]).all() and following[-1] == -1
    return (begins, lengths) if chained else None


def _one_by_one(datagrams: Datagrams) -> tuple[Rows, Rows, int]:
    starts, lengths, torn = [], [], 0
    with memoryview(np.ascontiguousarray(datagrams.buffer).data).cast("B").cast("I") as words:
        for position, size in zip(datagrams.starts.tolist(), datagrams.lengths.tolist(), strict=True):
            end = position + size
            while position + NETFILTER_HEADER <= end:
                length = words[position >> 2]
                if length < NETFILTER_HEADER or length > min(end - position, LONGEST):
                    break
                starts.append(position)
                lengths.append(length)
                position += (length + 3) & ~3
            torn += position < end
    return np.array(starts, np.int64), np.array(lengths, np.int64), torn


def discover(message: list[int], length: int, tree: Tree) -> Layout:
    """The layout of one message.

    Args:
        message: Its 32-bit words.
        length: Its length in bytes.
        tree: What its attributes are.

    Raises:
        MalformedMessageError: If an attribute does not fit into what is around it, or has too few bytes.
    """
    layout = Layout([], [], {})

    def walk(position: int, end: int, known: Tree, path: str) -> None:
        while position + 4 <= end:
            word = message[position >> 2]
            size, kind = word & 0xFFFF, (word >> 16) & _TYPE_MASK
            meaning = known.get(kind)
            name = path + (meaning.kernel if meaning else str(kind))
            if size < 4 or position + size > end:
                raise MalformedMessageError(name, position, f"length {size} of {end - position} bytes")
            layout.headers.append(position >> 2)
            layout.values.append(word)
            if isinstance(meaning, Field):
                if size - 4 < meaning.size:
                    raise MalformedMessageError(name, position, f"{size - 4} bytes, not {meaning.size}")
                layout.fields[meaning.name] = (position + 4, size - 4)
            elif meaning is not None:
                walk(position + 4, position + size, meaning.members, f"{name}/")
            position += (size + 3) & ~3

    walk(NETFILTER_HEADER, length, tree, "")
    return layout


def partition(
    datagrams: Datagrams, starts: Rows, lengths: Rows, tree: Tree, *, tail: str = ""
) -> Iterator[Messages | MalformedMessageError]:
    """All messages, grouped by layout; a malformed one comes by itself, as its error.

    Args:
        datagrams: Where they lie.
        starts: Where each begins.
        lengths: How long each is.
        tree: What their attributes are.
        tail: A field of any length that the kernel writes last; it does not make a layout another.
    """
    buffer = datagrams.buffer
    # Messages of one layout have one length; before a tail, the second attribute differs most.
    keys = buffer.view(np.uint32)[(starts + NETFILTER_HEADER + 8) >> 2] if tail else lengths
    for key in np.unique(keys):
        left = np.flatnonzero(keys == key)
        words = _gather(buffer, starts[left], int(lengths[left].max()))
        yield from _layouts(words, left, lengths[left], tree, tail)


def _gather(buffer: Bytes, starts: Rows, length: int) -> Words:
    """Messages one below the other, shape (n, words): from here on a field is a stride, not a search."""
    size = (length + 3) & ~3
    every = np.lib.stride_tricks.as_strided(
        np.ndarray((1,), f"V{size}", buffer), ((len(buffer) - size) // 4 + 1,), (4,), writeable=False
    )
    words: Words = every[starts >> 2].view(np.uint32).reshape(len(starts), size >> 2)
    return words


def _layouts(
    words: Words, rows: Rows, lengths: Rows, tree: Tree, tail: str
) -> Iterator[Messages | MalformedMessageError]:
    left = np.arange(len(rows))
    while len(left):
        first = left[0]
        try:
            layout = discover(words[first].tolist(), int(lengths[first]), tree)
        except MalformedMessageError as error:
            yield error
            left = left[1:]
            continue
        same = _same(words, left, lengths, layout, tail)
        if len(same) == len(rows):
            yield Messages(words, rows, lengths, layout)
            return
        yield Messages(words[same], rows[same], lengths[same], layout)
        left = left[~np.isin(left, same, assume_unique=True)]


def _same(words: Words, rows: Rows, lengths: Rows, layout: Layout, tail: str) -> Rows:
    """Those rows whose attribute headers are just those of a layout."""
    headers, values = layout.headers, layout.values
    if tail in layout.fields and headers[-1] << 2 == layout.fields[tail][0] - 4:
        at, kind = headers[-1], values[-1] >> 16
        ends = (at << 2) + (words[rows, at] & 0xFFFF).astype(np.int64)
        fits = (words[rows, at] >> 16 == kind) & (ends <= lengths[rows]) & (ends >= (at + 1) << 2)
        rows = rows[fits & (_aligned(ends) + 4 > lengths[rows])]  # nothing can stand behind it
        headers, values = headers[:-1], values[:-1]
    else:
        rows = rows[lengths[rows] == lengths[rows[0]]]
    if not headers:
        return rows
    if len(rows) < len(words):
        words = words[rows]
    same = words[:, headers[0]] == values[0]
    for at, value in zip(headers, values, strict=True):
        same &= words[:, at] == value
    matching: Rows = rows[same]
    return matching
