"""The benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cli.bench import (
    collector,
    conntrack,
    enrich,
    joining,
    judging,
    measure,
    memory,
    nflog,
    probe,
    store,
    suggesting,
)

Measures = Iterator[measure.Measure]

BENCHES: dict[str, tuple[Callable[[int, float, int], Measures], int, float]] = {
    "conntrack-dump": (lambda count, _, __: conntrack.dump(count), 500_000, 0.0),
    "conntrack-events": (lambda count, rate, _: conntrack.events(count, rate), 500_000, 50_000.0),
    "nflog": (lambda count, rate, _: nflog.packets(count, rate), 1_000_000, 135_000.0),
    "probe": (lambda count, rate, _: probe.drops(count, rate), 500_000, 100_000.0),
    "collector": (collector.watch, 10_000, 500.0),
    "join": (lambda count, rate, _: joining.joined(count, rate), 3_000_000, 200_000.0),
    "enrich": (lambda count, _, __: _names(count), 2_000_000, 0.0),
    "policy-eval": (lambda count, _, __: judging.judged(count), 1_000_000, 0.0),
    "suggest": (lambda count, _, __: suggesting.suggested(count), 100_000_000, 0.0),
    "preview": (lambda count, _, __: suggesting.previewed(count), 100_000_000, 0.0),
    "store-insert": (lambda count, _, __: store.insert(count), 4_000_000, 0.0),
    "store-size": (lambda count, _, __: store.size(count), 10_000_000, 0.0),
    "store-query": (lambda count, _, __: store.query(count), 100_000_000, 0.0),
}
"""Name → what measures it, how many connections, messages or rows, and how many of them a second."""

_PODS = 50_000


def _names(count: int) -> Measures:
    """How fast flows are named, and what it takes to know a large cluster."""
    yield from enrich.names(count)
    yield from memory.known(_PODS)


def run(name: str, count: int | None, rate: float | None, seconds: int) -> Measures:
    """The figures of one benchmark, or of ``all``, as they come.

    Raises:
        SetupError: If a tool or a right is missing.
    """
    for one in BENCHES if name == "all" else [name]:
        measured, usual_count, usual_rate = BENCHES[one]
        yield from measured(count or usual_count, rate or usual_rate, seconds)
