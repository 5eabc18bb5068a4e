"""What the benchmark of names says of a few flows."""

from __future__ import annotations

from cli.bench import enrich


def test_names_and_look_ups_are_told_of_a_minute_and_of_a_day() -> None:
    told = {one.metric: one for one in enrich.names(1000)}
    assert told["claims in memory"].value == 250_000
    rates = {metric: one.unit for metric, one in told.items() if one.unit.endswith("/s")}
    assert rates == {
        "flows of the last minute named": "rows/s", "addresses of the last minute found": "look-ups/s",
        "flows of a whole day named": "rows/s", "addresses of a whole day found": "look-ups/s",
    }  # fmt: skip
    assert all(told[metric].value > 0 for metric in rates)
