from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from model import errors
from store import ddl, rows

Build = Callable[..., pa.RecordBatch]


def test_columns_come_in_the_table_s_order(flows: Build) -> None:
    batch = flows({}, {})
    given = pa.Table.from_batches([batch]).append_column("more", pa.array([1, 2]))
    fitting = rows.fitting("flows", given.select(given.column_names[::-1]))
    assert fitting.schema.names == ddl.TABLES["flows"].names
    assert fitting == pa.Table.from_batches([batch])


def test_plain_text_may_stand_for_a_dictionary(flows: Build) -> None:
    batch = flows({"node": "n"})
    at = batch.schema.get_field_index("node")
    assert rows.fitting("flows", batch.set_column(at, "node", pa.array(["n"]))).num_rows == 1


@pytest.mark.parametrize(
    ("reporter", "nodes"),
    [
        pytest.param("src", ("n", "p"), id="source"),
        pytest.param("dst", ("p", "n"), id="destination"),
        pytest.param("both", ("n", "n"), id="both"),
        pytest.param("none", ("", ""), id="none"),
    ],
)
def test_rows_that_an_older_flowledger_has_spooled_fit(
    flows: Build, reporter: str, nodes: tuple[str, str]
) -> None:
    new = ("src_node", "dst_node", "src_zone", "dst_zone", "node_traffic", "correction", *ddl.ADDED_IN_5)
    given = pa.Table.from_batches([flows({"reporter": reporter, "node": "n"})]).drop_columns(list(new))
    fitting = rows.fitting("flows", given.append_column("peer_node", pa.array(["p"])))
    (row,) = fitting.to_pylist()
    assert tuple(row[name] for name in new) == (*nodes, *[""] * 7)
    assert fitting.schema.types == ddl.TABLES["flows"].types


def test_rows_that_schema_4_has_spooled_fit(flows: Build) -> None:
    given = flows({"src_pod": "a"}, {"src_pod": "b"})
    older = given.drop_columns(list(ddl.ADDED_IN_5))
    assert rows.fitting("flows", older).to_pylist() == given.to_pylist()
    with pytest.raises(errors.StoreError, match="needs a column pending_trace"):
        rows.fitting("flows", given.drop_columns(["pending_trace"]))


@pytest.mark.parametrize(
    ("column", "code"),
    [
        pytest.param(None, 8, id="missing"),
        pytest.param(pa.array(["1"]), 53, id="text for a number"),
        pytest.param(pa.array([1], pa.int64()), 53, id="another number"),
        pytest.param(pa.array([None], pa.uint64()), 349, id="nothing"),
    ],
)
def test_column_that_does_not_fit_is_refused(flows: Build, column: pa.Array | None, code: int) -> None:
    batch = flows({})
    at = batch.schema.get_field_index("forward_bytes")
    given = pa.Table.from_batches([batch]).remove_column(at)
    if column is not None:
        given = given.append_column("forward_bytes", column)
    with pytest.raises(errors.StoreError, match=f"Code: {code}.*forward_bytes") as caught:
        rows.fitting("flows", given)
    assert (caught.value.code, caught.value.temporary) == (code, False)
