"""Goldmane's windows in a real ledger: each once, each edge once, and none where nodes record."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import prometheus_client
import pytest

from cli import goldmaneledger
from collector.goldmane import flows, windows
from model import columns, enums
from runtime import metrics
from store import ddl, transport

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
START = (time.time_ns() // HOUR - 5) * HOUR + 1800 * SECOND
"""In the middle of an hour."""

ALLOW, DENY = enums.Action.ALLOW, enums.Action.DENY
SRC, DST = enums.Reporter.SRC, enums.Reporter.DST


class Keys:
    def __init__(self, *known: flows.Key) -> None:
        self._known = known

    def __getitem__(self, number: int) -> flows.Key:
        return self._known[number]


def key(src: str, dst: str, reporter: enums.Reporter = DST, action: enums.Action = ALLOW) -> flows.Key:
    ends = [flows.End(kind="WorkloadEndpoint", namespace="shop", name=name)
            if name not in ("pub", "pvt") else flows.End(kind="Network", namespace="", name=name)
            for name in (src, dst)]  # fmt: skip
    return flows.Key(src=ends[0], dst=ends[1], dst_port=80, protocol=6, reporter=reporter, action=action)


KEYS: Any = Keys(
    key("cart-*", "web-*"), key("cart-*", "web-*", SRC), key("cart-*", "pub", SRC),
    key("pvt", "web-*"), key("cart-*", "db-*", SRC), key("cart-*", "db-*", DST, DENY),
    key("cart-*", "mail-*", SRC, DENY),
)  # fmt: skip
"""What both ends tell of, what one end alone can tell, and what one end lets out and the other not in."""


def window(number: int = 0, packets: int = 1, **more: Any) -> windows.Window:
    told = np.zeros(len(KEYS._known), flows.FLOW)
    told["key"] = np.arange(len(told))
    told["forward_packets"] = packets
    began = START + number * 15 * SECOND
    labels = (("app=cart",),) * len(told), ((),) * len(told)
    return windows.Window(
        start=began, end=began + 15 * SECOND, flows=told, src_labels=labels[0], dst_labels=labels[1], **more
    )


@pytest.fixture
def measured() -> metrics.Metrics:
    return metrics.Metrics(prometheus_client.CollectorRegistry())


@pytest.fixture
def recorded(ledger: transport.Transport, measured: metrics.Metrics) -> goldmaneledger.Ledger:
    return goldmaneledger.Ledger(ledger, measured)


def rows(ledger: transport.Transport, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in ledger.query(sql, {}).to_pylist()]


def completeness(ledger: transport.Transport) -> list[tuple[Any, ...]]:
    said = "SELECT observed, lost, discarded, note FROM completeness"
    return rows(ledger, f"{said} WHERE node = 'goldmane' ORDER BY time, note")


def state(ledger: transport.Transport, node: str, at: int, source: str = "conntrack") -> None:
    row = {"time": at, "node": node, "source": source, "observed": 1, "lost": 0, "discarded": 0,
           "incomplete": 0, "note": ""}  # fmt: skip
    ledger.insert(
        "completeness", columns.batch(ddl.COMPLETENESS, {name: [value] for name, value in row.items()})
    )


COUNTED = (
    "SELECT src_workload, dst_workload, dst_kind, verdict, sum(forward_packets) FROM {} "
    "GROUP BY ALL ORDER BY ALL"
)


def test_each_edge_counts_once(ledger: transport.Transport, recorded: goldmaneledger.Ledger) -> None:
    """The destination's report wins; what left a pod for one that does not let it in was denied, once."""
    recorded.record(window(0), KEYS)
    recorded.record(window(1), KEYS)
    tables = ("flows", "flows_minute", "flows_hour", "flows_day")
    found = {table: rows(ledger, COUNTED.format(f"{table}_counted")) for table in tables}
    expected = [
        ("", "web", "pod", "allowed", 2), ("cart", "", "public", "allowed", 2),
        ("cart", "db", "pod", "denied", 2), ("cart", "mail", "pod", "denied", 2),
        ("cart", "web", "pod", "allowed", 2),
    ]  # fmt: skip
    assert found == dict.fromkeys(found, expected)
    assert rows(ledger, "SELECT count() FROM flows") == [(14,)]
    assert rows(ledger, "SELECT labels['app'] FROM label_sets FINAL") == [("cart",)]
    assert completeness(ledger) == [(7, 0, 0, "")] * 2


def test_window_that_is_offered_again_adds_nothing(
    ledger: transport.Transport, recorded: goldmaneledger.Ledger, measured: metrics.Metrics
) -> None:
    """By the same process, and by another one that knows only more."""
    recorded.record(window(), KEYS)
    recorded.record(window(), KEYS)
    goldmaneledger.Ledger(ledger, measured).record(window(packets=5), KEYS)
    assert rows(ledger, "SELECT count(), sum(forward_packets) FROM flows") == [(7, 7)]
    assert rows(ledger, "SELECT sum(forward_packets) FROM flows_day_counted") == [(5,)]
    assert completeness(ledger) == [(7, 0, 0, "")]


def test_what_comes_late_is_added(ledger: transport.Transport, recorded: goldmaneledger.Ledger) -> None:
    recorded.record(window(0), KEYS)
    recorded.record(window(1), KEYS)
    for _ in range(2):
        recorded.record(window(0, packets=3, late=True), KEYS)
    assert rows(ledger, "SELECT sum(forward_packets) FROM flows_hour_counted") == [(5 * (1 + 1 + 3),)]
    assert completeness(ledger) == [(7, 0, 0, ""), (7, 0, 0, "late"), (7, 0, 0, "")]
    assert recorded.last() == START + 30 * SECOND


def test_last_window_says_where_to_go_on(
    ledger: transport.Transport, recorded: goldmaneledger.Ledger
) -> None:
    state(ledger, "node-1", START - 3 * HOUR)
    assert recorded.last() == 0
    recorded.record(window(3), KEYS)
    assert recorded.last() == START + 60 * SECOND


def test_where_nodes_record_goldmane_s_flows_are_left_out(
    ledger: transport.Transport, recorded: goldmaneledger.Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    recorded.record(window(0), KEYS)
    state(ledger, "node-1", START + 20 * SECOND)
    with caplog.at_level(logging.WARNING):
        for number in (1, 2):
            recorded.record(window(number), KEYS)
        recorded.record(window(1, late=True), KEYS)
    recorded.record(window(4 * 60), KEYS)  # an hour later
    assert rows(ledger, "SELECT count() FROM flows") == [(14,)]
    left_out = (0, 0, 0, "nodes record here themselves: Goldmane's flows are left out")
    assert completeness(ledger) == [(7, 0, 0, ""), left_out, left_out, (7, 0, 0, "")]
    assert [one.message for one in caplog.records] == [left_out[3]]


def test_node_of_an_import_does_not_record_here(
    ledger: transport.Transport, recorded: goldmaneledger.Ledger
) -> None:
    """Nobody goes on importing: what Goldmane has of the rest of the hour would be lost."""
    state(ledger, "node-1", START + 20 * SECOND, source="import")
    recorded.record(window(2), KEYS)
    assert rows(ledger, "SELECT count() FROM flows") == [(7,)]


@pytest.mark.parametrize(("before", "flows_recorded"), [(200, 0), (400, 7)])
def test_node_that_recorded_just_before_the_hour_records_still(
    ledger: transport.Transport, recorded: goldmaneledger.Ledger, before: int, flows_recorded: int
) -> None:
    state(ledger, "node-1", START + 1800 * SECOND - before * SECOND)
    recorded.record(window(2 * 60), KEYS)
    assert rows(ledger, "SELECT count() FROM flows") == [(flows_recorded,)]


def test_what_is_missing_is_counted_and_said(
    ledger: transport.Transport, recorded: goldmaneledger.Ledger, measured: metrics.Metrics
) -> None:
    recorded.record(window(missing=3, unreadable=2, note="why"), KEYS)
    recorded.missed(START + 15 * SECOND, START + 45 * SECOND)
    assert completeness(ledger) == [
        (7, 3, 2, "why"),
        (0, 0, 0, "2 windows before are lost: nobody asked Goldmane in time, which holds an hour"),
    ]
    assert recorded.last() == START + 45 * SECOND
    value = measured.registry.get_sample_value
    place = {"node": "goldmane", "source": "goldmane"}
    assert value("flowledger_collector_lost_events_total", place) == 3
    assert value("flowledger_collector_decode_errors_total", place) == 2
    told = {verdict: value("flowledger_collector_flows_total", {"node": "goldmane", "verdict": verdict})
            for verdict in ("allowed", "denied", "unknown")}  # fmt: skip
    assert told == {"allowed": 3, "denied": 2, "unknown": 2}


def test_window_without_flows_is_recorded(
    ledger: transport.Transport, recorded: goldmaneledger.Ledger
) -> None:
    empty = windows.window(START // SECOND, {}, 0, note="nothing")
    recorded.record(empty, KEYS)
    assert completeness(ledger) == [(0, 0, 0, "nothing")]
    assert recorded.last() == START + 15 * SECOND
