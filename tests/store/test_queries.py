from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from model import columns
from store import chdb, filters, queries, transport

Build = Callable[..., pa.RecordBatch]
SECOND = 1_000_000_000


@pytest.fixture
def span(hour: int) -> queries.Span:
    return queries.Span(hour, hour + 3600 * SECOND)


def test_summary_counts_connections_by_verdict(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, completeness: Build, span: queries.Span
) -> None:
    ledger.insert(
        "flows", flows({}, {"connections_started": 0}, {"verdict": "denied"}, {"verdict": "unknown"})
    )
    ledger.insert("completeness", completeness({"observed": 98, "lost": 2, "discarded": 7, "incomplete": 7}))
    assert queries.summary(reader, span) == queries.Summary(
        flows=3, allowed=1, denied=1, unknown=1, bytes=600, completeness=0.98, lost=2, discarded=7
    )  # fmt: skip


def test_empty_ledger_has_empty_answers(reader: transport.Transport, span: queries.Span) -> None:
    assert queries.summary(reader, span).completeness == 1.0
    assert queries.bounds(reader) is None
    for ask in (queries.timeline, queries.edges, queries.graph, queries.flows, queries.nodes):
        assert ask(reader, span).num_rows == 0


def test_connection_over_two_nodes_counts_once(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, completeness: Build, span: queries.Span
) -> None:
    over = {"node": "a", "reporter": "src", "peer_node": "b"}
    back = {"node": "b", "reporter": "dst", "peer_node": "a"}
    ledger.insert("flows", flows(over, back, {**over, "verdict": "denied"}, {**over, "peer_node": "silent"}))
    assert queries.summary(reader, span).flows == 4
    ledger.insert("completeness", completeness({"node": "a"}, {"node": "b"}))
    assert queries.summary(reader, span).flows == 3
    assert queries.flows(reader, span).num_rows == 4


def test_peer_silent_in_that_hour_does_not_count(
    ledger: chdb.Embedded, flows: Build, completeness: Build, hour: int, span: queries.Span
) -> None:
    ledger.insert("flows", flows({"node": "a", "reporter": "src", "peer_node": "b"}))
    ledger.insert("completeness", completeness({"node": "b", "time": hour - SECOND}))
    assert queries.summary(ledger, span).flows == 1


def test_span_excludes_its_end(ledger: chdb.Embedded, flows: Build, hour: int) -> None:
    ledger.insert("flows", flows({"time": hour}, {"time": hour + 5}))
    assert queries.flows(ledger, queries.Span(hour, hour + 5)).num_rows == 1
    assert queries.bounds(ledger) == queries.Span(hour, hour + 6)


def test_timeline_has_a_row_for_bucket_and_verdict(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    later = hour + 61 * SECOND
    ledger.insert("flows", flows({}, {"verdict": "denied"}, {"time": later}, {"time": later}))
    table = queries.timeline(reader, span, bucket_seconds=60)
    rows = [
        tuple(row.values()) for row in table.set_column(0, "time", table["time"].cast(pa.int64())).to_pylist()
    ]
    assert rows == [
        (hour, "allowed", 1, 150), (hour, "denied", 1, 150), (hour + 60 * SECOND, "allowed", 2, 300),
    ]  # fmt: skip


def test_edges_are_grouped_and_named(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    outside = {
        "dst_kind": "public",
        "dst_namespace": "",
        "dst_workload": "",
        "dst_pod": "",
        "ingress_action": "",
        "egress_action": "deny",
        "verdict": "denied",
        "attribution": "nflog",
    }
    ledger.insert(
        "flows",
        flows(
            {},
            {"src_pod": "web-2", "src_address": "10.0.0.9", "time": hour + 9},
            {**outside, "dst_address": "192.0.2.1"},
            {**outside, "dst_address": "2001:db8::7", "protocol": 17},
        ),
    )
    rows = queries.edges(reader, span).to_pylist()
    assert [(r["src"], r["dst"], r["protocol"], r["direction"], r["connections"]) for r in rows] == [
        ("shop/web", "shop/cart", "TCP", "ingress", 2),
        ("shop/web", "192.0.2.1", "TCP", "egress", 1),
        ("shop/web", "2001:db8::7", "UDP", "egress", 1),
    ]
    assert (rows[0]["packets"], rows[0]["bytes"]) == (10, 300)
    assert queries.edges(reader, span, limit=1).num_rows == 1


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ({}, "shop/cart"),
        ({"dst_workload": ""}, "shop/cart-1"),
        ({"dst_kind": "node", "dst_namespace": "", "dst_workload": "node-7", "dst_pod": ""}, "node-7"),
        ({"dst_kind": "private", "dst_namespace": "", "dst_workload": "", "dst_pod": ""}, "10.0.0.2"),
    ],
    ids=["workload", "bare pod", "node", "address"],
)
def test_end_has_one_name_everywhere(
    ledger: chdb.Embedded, flows: Build, span: queries.Span, end: dict[str, object], name: str
) -> None:
    ledger.insert("flows", flows(end))
    for ask in (queries.edges, queries.graph, queries.flows):
        assert ask(ledger, span).column("dst").to_pylist() == [name]


def test_graph_ignores_ports(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, span: queries.Span
) -> None:
    ledger.insert("flows", flows({}, {"dst_port": 443}, {"verdict": "denied"}))
    rows = queries.graph(reader, span).select(["src", "dst", "verdict", "connections", "bytes"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("shop/web", "shop/cart", "allowed", 2, 300), ("shop/web", "shop/cart", "denied", 1, 150),
    ]  # fmt: skip


def test_flows_have_every_column_newest_first(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    ledger.insert("flows", flows(*({"time": hour + n, "node": f"n{n}"} for n in range(1, 4))))
    table = queries.flows(reader, span, limit=2)
    assert table.column_names == [*(c.name for c in columns.COLUMNS), "src", "dst"]
    assert table.column("node").to_pylist() == ["n3", "n2"]
    assert queries.flows(reader, span, limit=1, descending=False).column("node").to_pylist() == ["n1"]


def test_since_splits_no_moment(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int
) -> None:
    ledger.insert("flows", flows({"time": hour}, {"time": hour + 1}, {"time": hour + 1}, {"time": hour + 2}))
    assert queries.since(reader, hour, limit=1).num_rows == 2
    assert queries.since(reader, hour + 1).num_rows == 1


def test_condition_reaches_every_answer(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    ledger.insert("flows", flows({}, {"verdict": "denied", "dst_port": 443, "connections_started": 5}))
    only = filters.compile("verdict = denied and port = 443 and protocol = tcp and time > 2020-01-01")
    assert queries.summary(reader, span, only).flows == 5
    for ask in (queries.timeline, queries.edges, queries.graph, queries.flows):
        assert ask(reader, span, only).column("verdict").to_pylist() == ["denied"]
    assert queries.since(reader, hour, only).num_rows == 1


def test_nodes_say_what_they_lost(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, completeness: Build, span: queries.Span
) -> None:
    ledger.insert("flows", flows({"node": "a"}, {"node": "a"}))
    ledger.insert("completeness", completeness({"node": "a", "lost": 3}, {"node": "b", "observed": 0}))
    rows = queries.nodes(reader, span).select(["node", "flows", "observed", "lost"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [("a", 2, 1, 3), ("b", 0, 0, 0)]
