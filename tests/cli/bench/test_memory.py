"""What the benchmark of memory says of a small cluster."""

from __future__ import annotations

from cli.bench import memory


def test_memory_of_both_processes_is_told() -> None:
    told = {one.metric: one for one in memory.known(200)}
    assert {metric: one.unit for metric, one in told.items() if "memory" in metric} == {
        f"{process}: memory{when}": "MB"
        for process in ("watch", "collect")
        for when in (", all known", " after a minute", ", most")
    }
    for process in ("watch", "collect"):
        most = told[f"{process}: memory, most"].value
        assert 10 < told[f"{process}: memory, all known"].value <= most < 1000
    assert told["watch: objects of the first list"].value > 0
    assert told["collect: the first reading"].value > 0
