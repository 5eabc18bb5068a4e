"""What watchers count, and what the metrics say of it."""

from __future__ import annotations

import prometheus_client
import pytest

from enrich.kubernetes import tally
from runtime import metrics


@pytest.mark.parametrize("what", ["event", "relist", "error"])
def test_counts_reach_the_metrics(what: str) -> None:
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    counts = tally.Tally(measured)
    for word in ("one", "one", "other"):
        getattr(counts, what)("pods", word)
    assert getattr(counts, f"{what}s") == {("pods", "one"): 2, ("pods", "other"): 1}
    label = "event" if what == "event" else "reason"
    name = f"flowledger_watch_{what}s_total"
    assert measured.registry.get_sample_value(name, {"kind": "pods", label: "one"}) == 2


def test_without_metrics_they_are_counted_all_the_same() -> None:
    counts = tally.Tally()
    counts.error("pods", "gone")
    assert (counts.errors, counts.relists, counts.events) == ({("pods", "gone"): 1}, {}, {})
