"""The column registry and what follows from it."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import columns

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_names_are_unique() -> None:
    names = [column.name for column in columns.COLUMNS]
    assert len(set(names)) == len(names)
    assert list(columns.BY_NAME) == names


@pytest.mark.parametrize("column", columns.COLUMNS, ids=lambda column: column.name)
def test_column_is_whole(column: columns.Column) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", column.name)
    assert column.clickhouse
    assert column.codec
    assert column.about
    assert "|" not in column.about


def test_each_stage_adds_columns_and_changes_none() -> None:
    joined, identified = (columns.schema(stage) for stage in columns.Stage)
    assert identified.names == [column.name for column in columns.COLUMNS]
    assert set(joined.names) < set(identified.names)
    assert all(identified.field(name) == joined.field(name) for name in joined.names)
    added = set(identified.names) - set(joined.names)
    assert {"src_pod", "dst_namespace", "service", "reporter", "src_node", "correction"} <= added


def test_no_column_may_be_null() -> None:
    assert not any(field.nullable for field in columns.schema(columns.Stage.IDENTITY))


@pytest.mark.parametrize(
    ("numbers", "kind", "values"),
    [
        pytest.param(np.array([1, 2**64 - 1], np.uint64), pa.uint64(), [1, 2**64 - 1], id="64 bits"),
        pytest.param(np.array([7, 9], np.uint16), pa.uint16(), [7, 9], id="16 bits"),
        pytest.param(np.arange(6, dtype=np.uint8)[::2], pa.uint8(), [0, 2, 4], id="not contiguous"),
        pytest.param(np.zeros((2, 16), np.uint8), columns.ADDRESS, [bytes(16)] * 2, id="addresses"),
        pytest.param(np.zeros(0, np.uint64), pa.uint64(), [], id="empty"),
    ],
)
def test_array(numbers: np.ndarray, kind: pa.DataType, values: list[object]) -> None:
    built = columns.array(numbers, kind)
    built.validate(full=True)
    assert built.type == kind
    assert built.to_pylist() == values


def test_times_are_in_utc() -> None:
    (moment,) = columns.array(np.array([1_767_225_600_000_000_001]), columns.TIME)
    assert moment.value == 1_767_225_600_000_000_001
    assert moment.type.tz == "UTC"


@given(st.lists(st.text(max_size=4), min_size=1, max_size=6), st.data())
def test_text_is_the_values_that_codes_stand_for(values: list[str], data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=8))
    built = columns.text(values, np.array(codes, np.int64))
    built.validate(full=True)
    assert built.type == columns.TEXT
    assert built.to_pylist() == [values[code] for code in codes]


def test_text_holds_a_repeated_value_once() -> None:
    built = columns.text(["b", "a", "b", ""], np.array([0, 2, 1, 3]))
    assert built.dictionary.to_pylist() == ["", "a", "b"]
    assert built.to_pylist() == ["b", "b", "a", ""]


def test_text_without_values_is_empty() -> None:
    built = columns.text([], np.zeros(0, np.int64))
    built.validate(full=True)
    assert built.to_pylist() == []


def test_reference_page_is_the_registry_s() -> None:
    """After a change: ``python -m cli.main reference > docs/reference/flow-record.md``."""
    assert (DOCS / "reference" / "flow-record.md").read_text() == columns.reference()
