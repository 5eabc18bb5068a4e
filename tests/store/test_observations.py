"""The distinct edges of a span: the same from rollups and from the flows, and what each of them tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from lab import ledger as imagined
from model import address
from store import chdb, counting, filters, observations, transport

Build = Callable[..., pa.RecordBatch]
SECOND, HOUR = 1_000_000_000, 3_600_000_000_000
NODE = {"src_kind": "node", "src_workload": "n1", "src_pod": "", "src_namespace": ""}


def _edges(found: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[name] for name in names) for row in found.to_pylist())


def test_edge_has_its_ends_and_sums(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int
) -> None:
    web = {"src_workload": "web", "src_labels_id": 7, "dst_port": 80}
    away = {"dst_kind": "public", "dst_workload": "", "dst_pod": "", "dst_address": "192.0.2.1"}
    ledger.insert("flows", flows(web, web, {**web, "src_labels_id": 8}, {**web, **away}))
    found = observations.observations(reader, counting.Span(hour, hour + HOUR))
    named = [row for row in found.to_pylist() if row["dst_kind"] == "pod"]
    assert {(row["src_labels_id"], row["connections"]) for row in named} == {(7, 2), (8, 1)}
    assert {row["src_pod"] for row in named} == {""}
    assert {row["dst_address"] for row in named} == {bytes(16)}
    (outside,) = (row for row in found.to_pylist() if row["dst_kind"] == "public")
    assert outside["dst_address"] == address.pack("192.0.2.1")
    assert outside["hours"] == [hour // HOUR]


def test_connections_of_nodes_to_their_own_pods_are_counted_apart(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int
) -> None:
    span = counting.Span(hour, hour + HOUR)
    ledger.insert("flows", flows(NODE, {**NODE, "node_traffic": "probe"}, {**NODE, "node_traffic": "own"}))
    for asked in (span, counting.Span(hour - 5 * HOUR, hour + HOUR)):
        found = observations.observations(reader, asked)
        assert found.column("connections").to_pylist() == [1]
        assert observations.own_node(reader, asked, found) == 2


def test_what_was_taken_back_is_no_edge(ledger: chdb.Embedded, flows: Build, hour: int) -> None:
    back = {"connections_started": -1, "forward_bytes": -100, "reverse_bytes": -100}
    row = {"connections_started": 1, "forward_bytes": 100, "reverse_bytes": 100}
    there = flows(row)
    ledger.insert("flows", there)
    for name, value in back.items():
        at = there.schema.get_field_index(name)
        field = there.schema.field(name)
        there = there.set_column(at, field, pa.array([value % 2**64 if "u" in str(field.type) else value],
                                                     field.type))  # fmt: skip
    ledger.insert("flows", there)
    assert not observations.observations(ledger, counting.Span(hour, hour + HOUR)).num_rows


def test_connection_that_began_before_is_there(ledger: chdb.Embedded, flows: Build, hour: int) -> None:
    ledger.insert("flows", flows({"connections_started": 0, "forward_bytes": 9}))
    found = observations.observations(ledger, counting.Span(hour, hour + HOUR))
    assert found.column("connections").to_pylist() == [0]


def test_flows_tell_families_and_kinds_of_icmp(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int
) -> None:
    six = dict.fromkeys(("src_address", "dst_address"), "2001:db8::1")
    ping = {"protocol": 1, "icmp_type": 8, "dst_port": 0}
    ledger.insert("flows", flows({}, six, ping, {**ping, **six, "protocol": 58, "icmp_type": 128}))
    span = counting.Span(hour - 5 * HOUR, hour + HOUR)
    names = ("protocol", "icmp_type", "family")
    assert _edges(observations.observations(reader, span), *names) == [(1, 8, 4), (6, 0, 0), (58, 128, 6)]
    told = _edges(observations.observations(reader, span, rows=True), *names)
    assert told == [(1, 8, 4), (6, 0, 4), (6, 0, 6), (58, 128, 6)]


@pytest.mark.parametrize("text", ["", "dst.namespace = team-3", "verdict = denied or src.kind = node"])
@pytest.mark.parametrize("hours", [1, 4, 13, 100])
def test_rollups_and_flows_say_the_same(ledger: chdb.Embedded, text: str, hours: int) -> None:
    shape = imagined.Shape(pods=60, workloads=12, nodes=3, namespaces=4, outside=20, interval_seconds=1800)
    for batch in imagined.Cluster(seed=hours, shape=shape).batches(3000, a_second=1):
        ledger.insert("flows", batch)
    span = counting.Span(imagined.START + 700 * SECOND, imagined.START + hours * HOUR + 11 * SECOND)
    condition = filters.compile(text)
    by_rollups, by_rows = (
        observations.observations(ledger, span, condition, rows=rows) for rows in (False, True)
    )
    assert by_rollups.num_rows
    assert _summed(by_rollups) == _summed(by_rows)


def _summed(found: pa.Table) -> dict[tuple[Any, ...], list[Any]]:
    """What the rollups do not tell left out; hours are those of an edge, whatever the labels."""
    edges: dict[tuple[Any, ...], list[Any]] = {}
    for row in found.to_pylist():
        counts = [row.pop(name) for name in ("connections", "bytes", "forward_packets", "reverse_packets")]
        seen = [row.pop("first_seen"), row.pop("last_seen")]
        hours = set(row.pop("hours"))
        del row["family"]
        before = edges.get(tuple(row.values()), [[0] * 4, seen, set()])
        edges[tuple(row.values())] = [
            [a + b for a, b in zip(before[0], counts, strict=True)],
            [min(before[1][0], seen[0]), max(before[1][1], seen[1])], before[2] | hours,
        ]  # fmt: skip
    return edges
