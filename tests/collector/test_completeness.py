"""From what sources have counted so far to what one interval adds, in the ledger and in metrics."""

from __future__ import annotations

import logging

import prometheus_client
import pytest

from collector import completeness
from runtime import logs, metrics

Totals = completeness.Totals
METRICS = {
    "lost": "flowledger_collector_lost_events_total",
    "discarded": "flowledger_collector_discarded_events_total",
    "malformed": "flowledger_collector_decode_errors_total",
    "incomplete": "flowledger_collector_incomplete_connections_total",
}


@pytest.fixture
def registry() -> prometheus_client.CollectorRegistry:
    return prometheus_client.CollectorRegistry()


@pytest.fixture
def account(registry: prometheus_client.CollectorRegistry) -> completeness.Account:
    return completeness.Account("node-1", metrics.Metrics(registry))


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        pytest.param([Totals()], [(0, 0, 0)], id="nothing"),
        pytest.param([Totals(lost=3), Totals(lost=3), Totals(lost=10)], [(3, 0, 0), (0, 0, 0), (7, 0, 0)],
                     id="lost"),
        pytest.param([Totals(discarded=2), Totals(discarded=5)], [(0, 2, 0), (0, 3, 0)], id="discarded"),
        pytest.param([Totals(malformed=1), Totals(malformed=5, discarded=2)], [(0, 1, 0), (0, 6, 0)],
                     id="what could not be read is discarded"),
        pytest.param([Totals(incomplete=4, lost=4), Totals(incomplete=4, lost=5)], [(4, 0, 4), (1, 0, 0)],
                     id="incomplete"),
        pytest.param([Totals(lost=5), Totals(lost=2), Totals(lost=3)], [(5, 0, 0), (0, 0, 0), (1, 0, 0)],
                     id="a counter that went back"),
    ],
)  # fmt: skip
def test_each_interval_has_what_it_adds(
    account: completeness.Account, totals: list[Totals], expected: list[tuple[int, int, int]]
) -> None:
    rows = [account.settle("nflog", place, 9, one) for place, one in enumerate(totals)]
    assert [(row.lost, row.discarded, row.incomplete) for row in rows] == expected
    assert [(row.time, row.node, row.source, row.observed) for row in rows] == [
        (place, "node-1", "nflog", 9) for place in range(len(totals))
    ]


def test_sources_are_counted_apart(account: completeness.Account) -> None:
    account.settle("nflog", 1, 0, Totals(lost=5))
    assert account.settle("conntrack", 1, 0, Totals(lost=2)).lost == 2
    assert account.settle("nflog", 2, 0, Totals(lost=5)).lost == 0


def test_note_goes_along(account: completeness.Account) -> None:
    assert account.settle("nflog", 1, 0, Totals(), note="x is off").note == "x is off"
    assert account.settle("nflog", 2, 0, Totals()).note == ""


def test_metrics_have_the_totals(
    account: completeness.Account, registry: prometheus_client.CollectorRegistry
) -> None:
    account.settle("nflog", 1, 100, Totals(lost=1, discarded=20, malformed=300, incomplete=4000))
    account.settle("nflog", 2, 100, Totals(lost=3, discarded=25, malformed=300, incomplete=4001))
    account.settle("conntrack", 2, 100, Totals(lost=7))
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name in METRICS.values()
    }
    plain = dict.fromkeys(METRICS.values(), 0.0)
    nflog = dict(zip(METRICS.values(), (3.0, 25.0, 300.0, 4001.0), strict=True))
    conntrack = plain | {METRICS["lost"]: 7.0}
    assert found == {
        (name, "node-1", source): value
        for source, values in (("nflog", nflog), ("conntrack", conntrack))
        for name, value in values.items()
    }


def test_counter_that_went_back_takes_nothing_from_metrics(
    account: completeness.Account, registry: prometheus_client.CollectorRegistry
) -> None:
    for lost in (5, 2):
        account.settle("nflog", 1, 0, Totals(lost=lost))
    labels = {"node": "node-1", "source": "nflog"}
    assert registry.get_sample_value(METRICS["lost"], labels) == 5


def test_what_is_not_seen_is_said_once_with_the_first_error(
    account: completeness.Account, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completeness, "_limited", logs.Limited(completeness.__name__))  # as in a new process
    caplog.set_level(logging.INFO)
    account.settle("nflog", 1, 9, Totals())
    for lost in (3, 4):
        account.settle("nflog", 1, 9, Totals(lost=lost, malformed=1), error="NFULA_PAYLOAD: too short")
    (said,) = caplog.records
    assert (said.levelname, said.message) == ("WARNING", "not all was seen")
    assert said.fields == {
        "node": "node-1", "source": "nflog", "lost": 3, "malformed": 1, "first": "NFULA_PAYLOAD: too short",
    }  # fmt: skip
