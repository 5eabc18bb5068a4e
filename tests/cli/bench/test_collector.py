"""What the benchmark of a whole collector says of a small one."""

from __future__ import annotations

import pytest

from cli.bench import collector


@pytest.mark.net
def test_collector_is_watched_at_rest_and_under_load(leftovers: None) -> None:
    figures = {figure.metric: figure for figure in collector.watch(200, 50.0, 1)}
    assert {name: figure.unit for name, figure in figures.items()} == {
        "CPU at rest": "% of a core", "memory at rest": "MB", "CPU under load": "% of a core",
        "memory under load, most": "MB", "memory, second half": "MB",
    }  # fmt: skip
    assert {figure.bench for figure in figures.values()} == {"collector"}
    for metric in ("memory at rest", "memory under load, most"):
        assert 20 < figures[metric].value < 1000
    assert (figures["memory, second half"].floor_of, figures["memory, second half"].floor > 20) == (
        "first half", True,
    )  # fmt: skip
