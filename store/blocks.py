"""Columns as ClickHouse writes them in its native protocol and format, from Arrow and to Arrow.

A column is what its type says, one value after the other; text has its length before it, and what repeats
(``LowCardinality``) is a dictionary and a place in it for each row, as it is in Arrow. What is a list in
Arrow has the ends of all lists first and then their items. ClickHouse's own description is the chapter
"Native" of its formats, and the classes ``Serialization…`` of its source.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import columns, errors


class Source(Protocol):
    """Where a column is read from, to its end and no further."""

    def read(self, count: int) -> bytes:
        """So many bytes."""

    def varint(self) -> int:
        """A number in as many bytes as it needs, seven bits each, the lowest first."""

    def texts(self, count: int) -> list[bytes]:
        """So many texts, each after its length as such a number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A ClickHouse type, such as ``Map(LowCardinality(String), String)``, in its parts.

    Attributes:
        name: What stands before the brackets.
        inner: The types in the brackets; those of a tuple that has names follow their names.
        words: Everything in the brackets, as it stands there.
    """

    name: str
    inner: tuple[Kind, ...]
    words: tuple[str, ...]


_NUMBERS: dict[str, pa.DataType] = {
    "UInt8": pa.uint8(), "UInt16": pa.uint16(), "UInt32": pa.uint32(), "UInt64": pa.uint64(),
    "Int8": pa.int8(), "Int16": pa.int16(), "Int32": pa.int32(), "Int64": pa.int64(),
    "Float32": pa.float32(), "Float64": pa.float64(),
    "Enum8": pa.int8(), "Enum16": pa.int16(), "DateTime": pa.uint32(), "Date32": pa.date32(),
    "IPv4": pa.uint32(), "IPv6": pa.binary(16), "IntervalSecond": pa.duration("s"),
    "Int128": pa.binary(16), "UInt128": pa.binary(16), "Int256": pa.binary(32), "UInt256": pa.binary(32),
}  # fmt: skip
"""What lies in memory as Arrow has it."""

_WRAPPERS = ("Array", "LowCardinality", "Map", "Nested", "Nullable", "SimpleAggregateFunction", "Tuple")
_UNITS = ("s", "ms", "ms", "ms", "us", "us", "us", "ns", "ns", "ns")
"""Arrow's unit for each count of digits after the second."""

_ADDITIONAL_KEYS, _NEW_DICTIONARY = 1 << 9, 1 << 10
_END_OF_GRANULE = 1 << 62


def parse(text: str) -> Kind:
    """A type from its name, as a server gives it with each column."""
    name, _, rest = text.strip().partition("(")
    words = tuple(_split(rest.removesuffix(")"))) if rest else ()
    typed = words[1:] if name == "SimpleAggregateFunction" else words
    inner = tuple(parse(_type_of(word)) for word in typed) if name in _WRAPPERS else ()
    if name == "SimpleAggregateFunction":
        return inner[0]
    if name == "Nested":
        return Kind("Array", (Kind("Tuple", inner, words),), words)
    return Kind(name, inner, words)


def arrow(kind: Kind, timezone: str = "UTC") -> pa.DataType:
    """What ClickHouse's own Arrow format makes of a type.

    Args:
        kind: The type.
        timezone: The server's, for times that name none.

    Raises:
        StoreError: If we do not read this type.
    """
    if kind.name in _NUMBERS:
        return _NUMBERS[kind.name]
    if kind.name not in _ARROW:
        raise errors.StoreError(
            f"Code: 50. a column of type {kind.name} is not read by the native protocol: cast it", code=50
        )
    return _ARROW[kind.name](kind, timezone)


def is_nullable(kind: Kind) -> bool:
    """Whether a column of this type may hold nothing in a row."""
    return kind.name == "Nullable" or (kind.name == "LowCardinality" and is_nullable(kind.inner[0]))


def empty(kind: Kind, timezone: str = "UTC") -> pa.Array[Any]:
    """A column without rows; pyarrow's own way to one imports pandas."""
    return decode(kind, 0, _Zeros(), timezone)


def encode(kind: Kind, column: pa.Array[Any]) -> Iterator[bytes | memoryview]:
    """The bytes of a column, at least one row long.

    Args:
        kind: The type that the table has.
        column: What `arrow` says of it, or what can be cast to it without loss; no nulls.

    Raises:
        StoreError: If it cannot, as ClickHouse would say.
    """
    try:
        yield from _prefix(kind)
        yield from _encode(kind, column)
    except pa.ArrowException as error:
        raise errors.StoreError(f"Code: 53. TYPE_MISMATCH: {error}", code=53) from error


def decode(
    kind: Kind, count: int, source: Source, timezone: str = "UTC", *, custom: bool = False
) -> pa.Array[Any]:
    """Read a column.

    Args:
        kind: Its type.
        count: Its rows.
        source: Where it begins.
        timezone: The server's, for times that name none.
        custom: Whether it says itself in which way it is written.

    Raises:
        StoreError: If we do not read this type, or this way.
    """
    sparse = _ways(kind, source) if custom else []
    _read_prefix(kind, source)
    return _Decoder(source, timezone, sparse[::-1]).decode(kind, count)


# ---- types


def _split(text: str) -> Iterator[str]:
    """The parts between commas that are in no bracket and no quotes."""
    start = depth = 0
    for match in re.finditer(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]", text):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if match.group() == "," and depth == 0:
            yield text[start : match.start()].strip()
            start = match.end()
    yield text[start:].strip()


def _named(word: str) -> re.Match[str] | None:
    return re.fullmatch(r"(`(?:[^`\\]|\\.)*`|\w+)\s+(.*)", word, re.DOTALL)


def _type_of(word: str) -> str:
    named = _named(word)
    return named[2] if named else word


def _zoned(kind: Kind, timezone: str) -> pa.DataType:
    zone = kind.words[1].strip("'") if len(kind.words) > 1 else timezone
    unit: Any = _UNITS[int(kind.words[0])]
    return pa.timestamp(unit, zone)


def _decimal(kind: Kind, _: str) -> pa.DataType:
    precision, scale = map(int, kind.words)
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _field(name: str, kind: Kind, timezone: str) -> pa.Field[Any]:
    return pa.field(name, arrow(kind, timezone), nullable=is_nullable(kind))


def _struct(kind: Kind, timezone: str) -> pa.DataType:
    names = [
        named[1].strip("`") if (named := _named(word)) else str(i + 1) for i, word in enumerate(kind.words)
    ]
    return pa.struct([_field(name, part, timezone) for name, part in zip(names, kind.inner, strict=True)])


def _map(kind: Kind, timezone: str) -> pa.DataType:
    key, value = kind.inner
    mapped: Any = pa.map_  # its stubs do not know that the value may be a field
    made: pa.DataType = mapped(arrow(key, timezone), _field("value", value, timezone))
    return made


_ARROW: dict[str, Callable[[Kind, str], pa.DataType]] = {
    "Array": lambda kind, zone: pa.list_(_field("item", kind.inner[0], zone)),
    "Bool": lambda _, __: pa.bool_(),
    "Date": lambda _, __: pa.date32(),
    "DateTime64": _zoned,
    "Decimal": _decimal,
    "FixedString": lambda kind, _: pa.binary(int(kind.words[0])),
    "LowCardinality": lambda kind, zone: arrow(kind.inner[0], zone),
    "Map": _map,
    "Nothing": lambda _, __: pa.null(),
    "Nullable": lambda kind, zone: arrow(kind.inner[0], zone),
    "String": lambda _, __: pa.string(),
    "Tuple": _struct,
    "UUID": lambda _, __: pa.uuid(),
}


# ---- from Arrow


def _prefix(kind: Kind) -> Iterator[bytes]:
    """What comes before all data: the version of each dictionary's form, which is 1."""
    if kind.name == "LowCardinality":
        yield (1).to_bytes(8, "little")
    for part in kind.inner if kind.name != "LowCardinality" else ():
        yield from _prefix(part)


def _encode(kind: Kind, column: pa.Array[Any]) -> Iterator[bytes | memoryview]:
    if column.null_count:
        raise errors.StoreError("Code: 349. a column that takes no nulls was given one", code=349)
    if kind.name == "LowCardinality":
        yield from _encode_repeated(kind, column)
        return
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    wanted = arrow(kind)
    if column.type != wanted and not pa.types.is_nested(wanted):
        column = column.cast(wanted)
    if kind.name in ("Map", "Array"):
        yield from _encode_lists(kind, column)
    elif kind.name == "String":
        yield _texts(column)
    elif kind.name == "Bool":
        yield _bits(column).data
    elif kind.name in _NUMBERS or kind.name in ("DateTime64", "FixedString"):
        yield _memory(column)
    else:
        raise errors.StoreError(f"Code: 50. a column of type {kind.name} is not written", code=50)


def _encode_repeated(kind: Kind, column: pa.Array[Any]) -> Iterator[bytes | memoryview]:
    if not len(column):
        return
    encoded: Any = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    codes, words = columns.numbers(encoded.indices), encoded.dictionary
    if len(words) > len(codes):  # a part of a greater table: only what it uses goes with it
        used, codes = np.unique(codes, return_inverse=True)
        words = words.take(_places(used))
    size = next(i for i in range(4) if len(words) <= 1 << (8 << i))
    head = np.array([_ADDITIONAL_KEYS | _NEW_DICTIONARY | size, len(words)], "<u8")
    yield head.data
    yield from _encode(kind.inner[0], words)
    yield np.array([len(codes)], "<u8").data
    yield codes.astype(f"<u{1 << size}").data


def _encode_lists(kind: Kind, column: Any) -> Iterator[bytes | memoryview]:
    if pa.types.is_map(column.type):
        offsets, items = _offsets(column), [column.keys, column.items]
    elif pa.types.is_list(column.type):
        offsets, items = _offsets(column), [column.values]
    else:
        raise errors.StoreError(f"Code: 53. TYPE_MISMATCH: {column.type} is no {kind.name}", code=53)
    first, last = int(offsets[0]), int(offsets[-1])
    yield (offsets[1:] - first).astype("<u8").data
    for part, values in zip(kind.inner, items, strict=True):
        yield from _encode(part, values.slice(first, last - first))


def _offsets(column: pa.Array[Any]) -> npt.NDArray[np.int32]:
    """The ends of each list or text and the beginning of the first; one more than there are rows."""
    offsets = np.frombuffer(memoryview(column.buffers()[1] or bytes(4)), np.int32)
    return offsets[column.offset : column.offset + len(column) + 1]


def _texts(column: pa.Array[Any]) -> bytes | memoryview:
    """Each text after its length, seven bits a byte."""
    if not len(column):
        return b""
    offsets = _offsets(column)
    lengths = np.diff(offsets).astype(np.uint32)
    heads = np.ones(len(column), np.int64)
    for bits in (7, 14, 21, 28):
        heads += lengths >> bits > 0
    starts = np.cumsum(heads + lengths) - lengths - heads
    out = np.empty(int(starts[-1]) + int(heads[-1]) + int(lengths[-1]), np.uint8)
    is_text = np.ones(len(out), bool)
    for place in range(int(heads.max())):
        here = heads > place
        more = np.where(heads[here] > place + 1, 0x80, 0)
        out[starts[here] + place] = lengths[here] >> (7 * place) & 0x7F | more
        is_text[starts[here] + place] = False
    text = np.frombuffer(memoryview(column.buffers()[2] or b""), np.uint8)
    out[is_text] = text[offsets[0] : offsets[-1]]
    return out.data


def _bits(column: pa.Array[Any]) -> npt.NDArray[np.uint8]:
    """Truth, a byte a row."""
    packed = np.frombuffer(memoryview(column.buffers()[1] or b""), np.uint8)
    bits = np.unpackbits(packed, count=column.offset + len(column), bitorder="little")
    return np.ascontiguousarray(bits[column.offset :])


def _memory(column: pa.Array[Any]) -> bytes | memoryview:
    width = column.type.bit_width // 8
    memory = memoryview(column.buffers()[1] or b"")
    return memory[column.offset * width : (column.offset + len(column)) * width]


# ---- to Arrow


def _ways(kind: Kind, source: Source) -> list[bool]:
    """Whether a column, and each part of a tuple, leaves out what is zero or empty."""
    way = source.read(1)[0]
    if way > 1:
        raise errors.StoreError(
            f"Code: 50. a column is written in a way ({way}) that we do not read", code=50
        )
    parts = kind.inner if kind.name == "Tuple" else ()
    return [bool(way), *(one for part in parts for one in _ways(part, source))]


def _read_prefix(kind: Kind, source: Source) -> None:
    if kind.name == "LowCardinality":
        source.read(8)
        return
    for part in kind.inner:
        _read_prefix(part, source)


class _Decoder:
    """Reads one column; ``sparse`` has a word for it and each part of a tuple, the next one last."""

    def __init__(self, source: Source, timezone: str, sparse: list[bool]) -> None:
        self._source, self._timezone, self._sparse = source, timezone, sparse

    def decode(self, kind: Kind, count: int) -> pa.Array[Any]:
        if self._sparse and self._sparse.pop():
            return self._spread(kind, count)
        return self._plain(kind, count)

    def _plain(self, kind: Kind, count: int) -> pa.Array[Any]:
        wanted = arrow(kind, self._timezone)
        if kind.name in _NUMBERS or kind.name == "FixedString":
            width = wanted.bit_width // 8
            return pa.Array.from_buffers(
                wanted, count, [None, pa.py_buffer(self._source.read(count * width))]
            )
        decoded: pa.Array[Any] = getattr(self, f"_{kind.name.lower()}")(kind, count, wanted)
        return decoded

    def _spread(self, kind: Kind, count: int) -> pa.Array[Any]:
        """A column of which only what is neither zero nor empty is there, after the gaps between."""
        places, at = [], 0
        while (gap := self._source.varint()) < _END_OF_GRANULE:
            places.append(at + gap)
            at += gap + 1
        values = self._plain(kind, len(places))
        codes = np.zeros(count, np.int64)
        codes[places] = np.arange(1, len(places) + 1)
        nothing = decode(kind, 1, _Zeros(), self._timezone)
        return pa.concat_arrays([nothing, values]).take(_places(codes))

    def _ints(self, count: int, form: str) -> npt.NDArray[Any]:
        width = int(form[1:])
        return np.frombuffer(self._source.read(count * width), f"<{form}")

    def _bool(self, _: Kind, count: int, wanted: pa.DataType) -> pa.Array[Any]:
        bits = np.packbits(self._ints(count, "u1") != 0, bitorder="little")
        return pa.Array.from_buffers(wanted, count, [None, pa.py_buffer(bits.tobytes())])

    def _date(self, _: Kind, count: int, wanted: pa.DataType) -> pa.Array[Any]:
        return columns.array(self._ints(count, "u2").astype(np.int32), wanted)

    def _datetime64(self, kind: Kind, count: int, wanted: pa.DataType) -> pa.Array[Any]:
        digits = int(kind.words[0])
        more = {"s": 0, "ms": 3, "us": 6, "ns": 9}[_UNITS[digits]] - digits
        return columns.array(self._ints(count, "i8") * 10**more, wanted)

    def _decimal(self, _: Kind, count: int, wanted: Any) -> pa.Array[Any]:
        width = next(
            size for size, digits in ((4, 9), (8, 18), (16, 38), (32, 76)) if wanted.precision <= digits
        )
        if width > 8:
            return pa.Array.from_buffers(
                wanted, count, [None, pa.py_buffer(self._source.read(count * width))]
            )
        low = self._ints(count, f"i{width}").astype(np.int64)
        return columns.array(np.stack([low, low >> 63], axis=1), pa.binary(16)).view(wanted)

    def _string(self, _: Kind, count: int, wanted: pa.DataType) -> pa.Array[Any]:
        texts = self._source.texts(count)
        offsets = np.zeros(count + 1, np.int32)
        np.cumsum(np.fromiter(map(len, texts), np.int32, count), out=offsets[1:])
        return pa.Array.from_buffers(
            wanted, count, [None, pa.py_buffer(offsets.data), pa.py_buffer(b"".join(texts))]
        )

    def _uuid(self, _: Kind, count: int, wanted: Any) -> pa.Array[Any]:
        halves = self._ints(2 * count, "u8").byteswap()
        stored = pa.Array.from_buffers(pa.binary(16), count, [None, pa.py_buffer(halves.data)])
        wrapped: pa.Array[Any] = pa.ExtensionArray.from_storage(wanted, stored)
        return wrapped

    def _nothing(self, _: Kind, count: int, __: pa.DataType) -> pa.Array[Any]:
        self._source.read(count)
        return pa.nulls(count)

    def _nullable(self, kind: Kind, count: int, _: pa.DataType) -> pa.Array[Any]:
        missing = self._ints(count, "u1") != 0
        values = self._plain(kind.inner[0], count)
        return values.take(_places(np.arange(count), ~missing))

    def _lowcardinality(self, kind: Kind, count: int, _: pa.DataType) -> pa.Array[Any]:
        if not count:
            return self._plain(kind.inner[0], 0)
        form, size = (int(n) for n in self._ints(2, "u8"))
        inner = kind.inner[0]
        words = self._plain(inner.inner[0] if inner.name == "Nullable" else inner, size)
        self._source.read(8)  # the count once more
        codes = self._ints(count, f"u{1 << (form & 0xF)}")
        if inner.name == "Nullable":  # the first word stands for nothing
            return words.take(_places(codes, codes != 0))
        return words.take(_places(codes))

    def _lists(self, count: int) -> tuple[pa.Buffer, int]:
        ends = self._ints(count, "u8")
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        return pa.py_buffer(offsets.data), int(offsets[-1])

    def _array(self, kind: Kind, count: int, wanted: pa.DataType) -> pa.Array[Any]:
        offsets, total = self._lists(count)
        return pa.Array.from_buffers(
            wanted, count, [None, offsets], children=[self._plain(kind.inner[0], total)]
        )

    def _map(self, kind: Kind, count: int, wanted: pa.DataType) -> pa.Array[Any]:
        offsets, total = self._lists(count)
        pair: Any = pa.StructArray
        entries = pair.from_arrays(
            [self._plain(part, total) for part in kind.inner], fields=list(wanted.field(0).type)
        )
        return pa.Array.from_buffers(wanted, count, [None, offsets], children=[entries])

    def _tuple(self, kind: Kind, count: int, wanted: Any) -> pa.Array[Any]:
        struct: Any = pa.StructArray
        made: pa.Array[Any] = struct.from_arrays(
            [self.decode(part, count) for part in kind.inner], fields=list(wanted)
        )
        return made


def _places(codes: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> pa.Array[Any]:
    """Where to take each row from; nothing is there where it is not valid."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.Array.from_buffers(
        pa.int64(), len(codes), [bits, pa.py_buffer(np.ascontiguousarray(codes, np.int64).data)]
    )


class _Zeros:
    """What is zero or empty, for as long as one likes."""

    def read(self, count: int) -> bytes:
        return bytes(count)

    def varint(self) -> int:
        return 0

    def texts(self, count: int) -> list[bytes]:
        return [b""] * count
