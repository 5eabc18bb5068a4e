"""The record of a span: its edges and pods, and what it rests on."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from cli import recording
from model import address, columns, errors
from policy import record
from store import counting, ddl, filters, transport

Build = Callable[..., pa.RecordBatch]
Row = dict[str, Any]
SECOND, HOUR, DAY = 10**9, 3600 * 10**9, 86_400 * 10**9
NOW = time.time_ns()
SPAN = counting.Span(100, 200)
WEB: Row = {
    "kind": "pod", "namespace": "shop", "workload_kind": "Deployment", "workload": "web", "pod": "web-1",
    "uid": "1", "labels_id": 7, "service_account": "a", "ports": "http=TCP/80", "address": "10.0.0.1",
    "valid_from": 50,
}  # fmt: skip
FLOW = {
    **{f"src_{name}": WEB[name]
       for name in ("kind", "namespace", "workload_kind", "workload", "pod", "labels_id")},
    "dst_kind": "public",
}  # fmt: skip


def _claims(*rows: Row) -> pa.Table:
    """Claims of addresses; rows name what is other than of one of the web's pods."""
    full = [WEB | row for row in rows]
    return pa.Table.from_arrays(
        [_column(field, [row.get(field.name) for row in full]) for field in ddl.ENDPOINTS],
        schema=ddl.ENDPOINTS,
    )


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    if field.type == columns.ADDRESS:
        return pa.array([address.pack(one) for one in values], field.type)
    if pa.types.is_timestamp(field.type):
        return pa.array([one or 0 for one in values], pa.int64()).cast(field.type)
    empty: object = "" if pa.types.is_string(field.type) else [] if field.name == "labels" else 0
    return pa.array([one or empty for one in values], field.type)


def _variants(*rows: Row) -> list[record.Variant]:
    labels = {7: {"app": "web"}, 8: {"app": "web", "version": "2"}}
    return list(recording.variants(_claims(*rows), labels, SPAN))


def test_variant_is_what_its_claims_say() -> None:
    (found,) = _variants({})
    assert found == record.Variant(
        workload=record.Workload("shop", "Deployment", "web"), labels_id=7, labels={"app": "web"},
        account="a", ports=found.ports, addresses=("10.0.0.1",), pods=1, first=50, last=0, longest=150,
    )  # fmt: skip
    assert [(one.name, one.number) for one in found.ports] == [("http", 80)]


@pytest.mark.parametrize(
    ("rows", "lives"),
    [
        ([{}], [(1, 50, 0, 150)]), ([{"valid_to": 120}], [(1, 50, 120, 70)]),
        ([{"valid_to": 50}], []), ([{"valid_to": 49}], []),
        ([{"valid_from": 200}], []), ([{"valid_from": 199}], [(1, 199, 0, 1)]),
        ([{"valid_to": 120}, {"uid": "2", "valid_from": 130, "valid_to": 140}], [(2, 50, 140, 70)]),
        ([{"valid_to": 120}, {"uid": "2", "valid_from": 130}], [(2, 50, 0, 70)]),
        ([{}, {"address": "2001:db8::1"}], [(1, 50, 0, 150)]),
        ([{"valid_to": 120}, {"labels_id": 8, "valid_from": 120}], [(1, 50, 120, 70), (1, 120, 0, 80)]),
        ([{}, {"kind": "node", "uid": "2"}], [(1, 50, 0, 150)]),
    ],
    ids=["still there", "ended", "taken back", "taken back, and earlier", "later", "just so",
         "one after another", "one is there", "two addresses", "two versions", "node"],
)  # fmt: skip
def test_variant_has_the_lives_of_its_pods(rows: list[Row], lives: list[tuple[int, ...]]) -> None:
    found = _variants(*rows)
    assert [(one.pods, one.first, one.last, one.longest) for one in found] == lives


@pytest.mark.parametrize(
    ("rows", "addresses"),
    [
        ([{}, {"address": "2001:db8::1"}], ("10.0.0.1", "2001:db8::1")),
        ([{"valid_to": 60}, {"address": "10.0.0.2", "valid_from": 70}], ("10.0.0.2",)),
        ([{"address": "10.0.0.2", "valid_from": 70}, {"valid_to": 60}], ("10.0.0.2",)),
        ([{"address": "2001:db8::1"}], ("2001:db8::1",)),
        ([{}, {"address": "10.0.0.9", "valid_from": 80, "valid_to": 70}], ("10.0.0.1",)),
    ],
    ids=["of each family", "the newest", "the newest first", "IPv6 alone", "not one that was taken back"],
)  # fmt: skip
def test_variant_has_one_address_of_each_family(rows: list[Row], addresses: tuple[str, ...]) -> None:
    (found,) = _variants(*rows)
    assert found.addresses == addresses


def test_variant_has_the_account_and_ports_of_its_newest_pod() -> None:
    newest = {"uid": "2", "valid_from": 90, "service_account": "", "ports": ""}
    (found,) = _variants(newest, {})
    assert (found.account, found.ports) == ("default", ())


def test_bare_pod_is_its_own_workload() -> None:
    (found,) = _variants({"workload_kind": "", "workload": "", "labels_id": 9})
    assert found.workload == record.Workload("shop", "Pod", "web-1")
    assert found.labels == {}


# From a ledger


def _at(moment: int, **more: object) -> Row:
    return {**FLOW, "time": moment, "started": moment, **more}


def _since(nanoseconds: int) -> counting.Span:
    return counting.Span(NOW - nanoseconds, NOW + SECOND)


def _forget_flows(ledger: transport.Transport, moment: int) -> None:
    """As retention does: rollups keep what the flows themselves no longer have."""
    day = f"{datetime.datetime.fromtimestamp(moment / 1e9, datetime.UTC):%Y-%m-%d}"
    ledger.command("ALTER TABLE flows DROP PARTITION {day:String}", {"day": day})


def test_record_has_edges_pods_and_how_sure_they_are(ledger: transport.Transport, flows: Build) -> None:
    own = {"src_kind": "node", "src_workload": "n1", "dst_kind": "pod", "node_traffic": "own"}
    ledger.insert("flows", flows(_at(NOW - 40 * SECOND), _at(NOW), _at(NOW, **own)))
    ledger.insert("endpoints", _batch({"valid_from": NOW - HOUR, "uid": "2", "labels_id": 8}))
    ledger.insert("label_sets", _labels(7, app="web"))
    lost = {"time": NOW, "node": "node-1", "source": "conntrack", "observed": 99, "lost": 1}
    ledger.insert("completeness", _written("completeness", lost))
    found = recording.read(ledger, _since(DAY))
    assert [(one.labels_id, one.labels, one.pods) for one in found.record.variants] == [
        (8, {}, 1), (7, {"app": "web"}, 0),
    ]  # fmt: skip
    assert (len(found.record), found.record.connections.tolist(), found.own_node) == (1, [2], 1)
    assert (found.span, found.asked) == (counting.Span(NOW - 40 * SECOND, NOW + 1), _since(DAY))
    assert found.nodes == ("node-1",)
    assert found.sentence().startswith("recorded: 40 seconds of the 24 hours asked for, from ")
    assert found.sentence().endswith("UTC; 99.00 % complete: 1 event lost on node-1")


def test_record_is_of_what_is_asked_for(ledger: transport.Transport, flows: Build) -> None:
    ledger.insert("flows", flows(_at(NOW - 2 * HOUR), _at(NOW), _at(NOW, dst_port=81)))
    only = filters.compile("dst.port = 81")
    assert sorted(recording.read(ledger, _since(HOUR)).record.port.tolist()) == [81, 8080]
    assert recording.read(ledger, _since(HOUR), only).record.port.tolist() == [81]


@pytest.mark.parametrize(
    ("seen", "asked", "reason"),
    [(False, DAY, "the ledger has no connections yet"), (True, HOUR, "the ledger has nothing of that span")],
    ids=["nothing at all", "nothing in the span"],
)
def test_nothing_recorded_is_an_error(
    ledger: transport.Transport, flows: Build, seen: bool, asked: int, reason: str
) -> None:
    if seen:
        ledger.insert("flows", flows(_at(NOW - 2 * HOUR)))
    with pytest.raises(errors.SetupError, match=reason):
        recording.read(ledger, _since(asked))


def test_families_are_read_from_the_flows_as_far_as_they_are_kept(
    ledger: transport.Transport, flows: Build
) -> None:
    """What is older is in rollups, and of no family that anybody knows."""
    old, six = NOW - 3 * DAY, {"src_address": "2001:db8::1", "dst_address": "2001:db8::2"}
    ledger.insert("flows", flows(*(_at(moment, dst_kind="pod", dst_workload="cart", **more)
                                   for moment in (old, NOW) for more in ({}, six))))  # fmt: skip

    def told(rows: bool) -> list[tuple[int, int]]:
        found = recording.read(ledger, _since(5 * DAY), rows=rows).record
        return sorted(zip(found.family.tolist(), found.connections.tolist(), strict=True))

    assert told(rows=True) == [(4, 2), (6, 2)]
    assert told(rows=False) == [(0, 4)]
    _forget_flows(ledger, old)
    assert told(rows=True) == [(0, 2), (4, 1), (6, 1)]
    assert told(rows=False) == [(0, 4)]


def _batch(row: Row) -> pa.RecordBatch:
    """A claim as it is written."""
    return _written("endpoints", WEB | row)


def _labels(labels_id: int, **labels: str) -> pa.RecordBatch:
    return _written("label_sets", {"labels_id": labels_id, "labels": list(labels.items())})


def _written(table: str, row: Row) -> pa.RecordBatch:
    schema = ddl.TABLES[table]
    return pa.record_batch([_column(field, [row.get(field.name)]) for field in schema], schema=schema)
