"""Columns on the wire, without a wire; that ClickHouse agrees is for test_transport."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import errors
from store import blocks


class Bytes:
    """A source that is at its end when all has been read."""

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def read(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self._content)
        return self._content[self.at - count : self.at]

    def varint(self) -> int:
        number = shift = 0
        while (byte := self.read(1)[0]) & 0x80:
            number, shift = number | (byte & 0x7F) << shift, shift + 7
        return number | byte << shift

    def texts(self, count: int) -> list[bytes]:
        return [self.read(self.varint()) for _ in range(count)]


def _there_and_back(kind: str, column: pa.Array) -> pa.Array:
    content = b"".join(map(bytes, blocks.encode(blocks.parse(kind), column)))
    source = Bytes(content)
    back = blocks.decode(blocks.parse(kind), len(column), source)
    assert source.at == len(content)
    return back


_TEXT = st.text(max_size=20) | st.sampled_from(["x" * n for n in (127, 128, 129, 16_383, 16_384, 70_000)])
_COLUMNS = {
    "UInt8": (pa.uint8(), st.integers(0, 255)),
    "UInt64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "Int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "DateTime64(9, 'UTC')": (pa.timestamp("ns", "UTC"), st.integers(0, 2**62)),
    "IPv6": (pa.binary(16), st.binary(min_size=16, max_size=16)),
    "Bool": (pa.bool_(), st.booleans()),
    "String": (pa.string(), _TEXT),
    "LowCardinality(String)": (pa.string(), _TEXT),
    "Array(LowCardinality(String))": (pa.list_(pa.string()), st.lists(_TEXT, max_size=3)),
    "Map(LowCardinality(String), String)": (
        pa.map_(pa.string(), pa.string()),
        st.lists(st.tuples(_TEXT, _TEXT), max_size=3),
    ),
}


@pytest.mark.parametrize("kind", _COLUMNS)
@given(data=st.data())
def test_decode_undoes_encode(kind: str, data: st.DataObject) -> None:
    arrow, values = _COLUMNS[kind]
    rows = data.draw(st.lists(values, min_size=1, max_size=30))
    first = data.draw(st.integers(0, len(rows) - 1))
    column = pa.array(rows, pa.int64()).cast(arrow) if pa.types.is_timestamp(arrow) else pa.array(rows, arrow)
    part = column.slice(first)
    back = _there_and_back(kind, part)
    back.validate(full=True)
    plain = pa.int64() if pa.types.is_timestamp(arrow) else arrow
    assert back.cast(plain).to_pylist() == part.cast(plain).to_pylist()


@given(st.lists(_TEXT, min_size=1, max_size=30))
def test_dictionaries_stay_dictionaries(values: list[str]) -> None:
    column = pa.array(values).dictionary_encode()
    assert _there_and_back("LowCardinality(String)", column).to_pylist() == values
    assert _there_and_back("String", column).to_pylist() == values


def test_part_of_a_dictionary_takes_only_its_words_along() -> None:
    column = pa.array([f"word {i}" for i in range(1000)]).dictionary_encode().slice(500, 2)
    content = b"".join(map(bytes, blocks.encode(blocks.parse("LowCardinality(String)"), column)))
    assert b"word 500" in content
    assert b"word 499" not in content


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("UInt8", "uint8", id="plain"),
        pytest.param("Enum8('a(, b' = 1, 'it\\'s' = 2)", "int8", id="brackets in words"),
        pytest.param("Array(Tuple(`a b` UInt8, c Map(String, Array(UInt8))))",
                     "list<item: struct<a b: uint8 not null, "
                     "c: map<string, list<item: uint8 not null>> not null> not null>", id="nested"),
        pytest.param("Nested(a UInt8, b String)",
                     "list<item: struct<a: uint8 not null, "
                     "b: string not null> not null>", id="Nested"),
        pytest.param("SimpleAggregateFunction(sum, UInt64)", "uint64", id="aggregate"),
        pytest.param("DateTime64(3)", "timestamp[ms, tz=Europe/Berlin]", id="server's time zone"),
        pytest.param("DateTime64(3, 'Asia/Tokyo')", "timestamp[ms, tz=Asia/Tokyo]", id="its own time zone"),
        pytest.param("Decimal(76, 2)", "decimal256(76, 2)", id="long decimal"),
    ],
)  # fmt: skip
def test_type_is_read_from_its_name(text: str, expected: str) -> None:
    assert str(blocks.arrow(blocks.parse(text), "Europe/Berlin")) == expected


@pytest.mark.parametrize("text", ["JSON", "AggregateFunction(sum, UInt64)", "Array(Dynamic)", ""])
def test_type_that_is_not_read_is_named(text: str) -> None:
    with pytest.raises(errors.StoreError, match="Code: 50"):
        blocks.arrow(blocks.parse(text))


@pytest.mark.parametrize(
    ("kind", "column", "code"),
    [
        pytest.param("UInt8", pa.array([256]), 53, id="too great"),
        pytest.param("UInt8", pa.array(["x"]), 53, id="no number"),
        pytest.param("Map(String, String)", pa.array([1]), 53, id="no map"),
        pytest.param("UInt8", pa.array([None], pa.uint8()), 349, id="nothing"),
        pytest.param("LowCardinality(Nullable(String))", pa.array(["x"]), 50, id="not written"),
    ],
)
def test_column_that_does_not_fit_is_refused(kind: str, column: pa.Array, code: int) -> None:
    with pytest.raises(errors.StoreError, match=f"Code: {code}"):
        list(blocks.encode(blocks.parse(kind), column))


def test_unknown_way_of_writing_is_refused() -> None:
    with pytest.raises(errors.StoreError, match="way"):
        blocks.decode(blocks.parse("UInt8"), 1, Bytes(b"\x04\x00"), custom=True)


def test_column_without_rows_has_its_type() -> None:
    for text in (
        "UInt8",
        "String",
        "LowCardinality(Nullable(String))",
        "Map(String, Array(UUID))",
        "Tuple(a Bool)",
    ):
        column = blocks.empty(blocks.parse(text))
        assert (len(column), column.type) == (0, blocks.arrow(blocks.parse(text)))
