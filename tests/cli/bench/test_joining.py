"""What the benchmark of the join says of a few connections."""

from __future__ import annotations

from cli.bench import joining


def test_each_connection_has_a_trace_and_rates_are_told() -> None:
    told = {one.metric: one for one in joining.joined(2_000, 1_000.0)}
    assert told["connections with a trace"].value == 100
    assert told["connections joined"].unit == "rows/s"
    assert all(one.value > 0 for one in told.values())
