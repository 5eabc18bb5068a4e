"""Columns, filled value by value."""

import dataclasses

import pytest

from collector.exports import rows
from model import address, columns, enums

POD = rows.End(kind=enums.EndpointKind.POD, namespace="shop", workload="web", labels={"app": "web"}, port=5)
NET = rows.End(kind=enums.EndpointKind.PUBLIC, address=address.pack("203.0.113.9"), port=443)


def _rows():
    return rows.Rows(enums.Origin.HUBBLE, lambda labels: 7 if labels else 0, "told")


def test_batch_has_the_schema_of_the_ledger():
    made = _rows()
    assert made.batch().schema == columns.schema(columns.Stage.IDENTITY)
    made.add(POD, NET, time=3, started=2, protocol=6, verdict=enums.Verdict.ALLOWED)
    made.add(NET, POD, time=4, started=2, protocol=6, node="node-1")
    batch = made.batch()
    batch.validate(full=True)
    assert batch.schema == columns.schema(columns.Stage.IDENTITY)
    assert (len(made), len(batch)) == (2, 2)
    assert batch.column("node").to_pylist() == ["told", "node-1"]
    assert set(batch.column("origin").to_pylist()) == {"hubble"}
    assert batch.column("verdict").to_pylist() == ["allowed", ""]
    assert batch.column("src_labels_id").to_pylist() == [7, 0]
    assert batch.column("dst_port").to_pylist() == [443, 5]
    assert made.label_sets == {7: {"app": "web"}}


@pytest.mark.parametrize("wrong", [{"workload": "w\ud800"}, {"labels": {"app": "\ud800"}}], ids=str)
def test_half_a_character_is_refused_and_costs_nothing_else(wrong):
    """JSON can have one, text cannot."""
    made = _rows()
    made.add(POD, NET, time=3, started=2, protocol=6)
    with pytest.raises(ValueError, match="has half a character"):
        made.add(dataclasses.replace(POD, **wrong), NET, time=4, started=2, protocol=6)
    made.add(POD, NET, time=5, started=2, protocol=6)
    batch = made.batch()
    batch.validate(full=True)
    assert batch.column("time").cast("int64").to_pylist() == [3, 5]
    assert made.label_sets == {7: {"app": "web"}}
