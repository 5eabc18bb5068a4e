"""``bench store-insert``, ``store-size`` and ``store-query``: the ledger under the traffic of 2,000 pods.

The rows are those of `lab.ledger`. They lie in a ledger of their own, in a folder for temporary files
(``TMPDIR`` names another), and go with it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from cli.bench import measure
from lab import clickhouse
from lab import ledger as lab_ledger
from model import columns
from store import ddl, filters, migrations, queries, transport

BATCH_ROWS = 200_000
"""As many as a writer offers at once where there are so many."""

_DAY = 86_400
_HOUR = 3600
_SECOND = 1_000_000_000
_THREADS = 2
_SOURCES = ("conntrack", "conntrack_table", "nflog", "counters", "store")
_RUNS = 5
_MEASURED = 1_000_000


@contextlib.contextmanager
def embedded() -> Iterator[transport.Transport]:
    """A ledger of its own that goes in the end."""
    with tempfile.TemporaryDirectory(prefix="flowledger-bench-") as folder:
        ledger = transport.open(f"chdb://{pathlib.Path(folder, 'ledger')}", ddl.RETENTION_DAYS)
        try:
            yield ledger
        finally:
            ledger.close()


def insert(count: int) -> Iterator[measure.Measure]:
    """How many rows a second a ledger takes, its rollups filled and its parts merged meanwhile.

    Raises:
        SetupError: If there can be no ClickHouse server here to try the native protocol with.
    """
    clickhouse.install()
    worst = lab_ledger.Shape(fresh_edges=True)
    with embedded() as ledger:
        yield from _inserted(ledger, "embedded", count, lab_ledger.Shape())
    with embedded() as ledger:
        yield from _inserted(ledger, "embedded, every row a new edge", count // 4, worst)
    with _server() as ledger:
        yield from _inserted(ledger, "native", count, lab_ledger.Shape())
    with _server() as ledger:
        yield from _inserted(ledger, "native, every row a new edge", count // 4, worst)


@contextlib.contextmanager
def _server() -> Iterator[transport.Transport]:
    """A ledger on a ClickHouse server of its own, by the native protocol."""
    with tempfile.TemporaryDirectory(prefix="flowledger-bench-", ignore_cleanup_errors=True) as folder:
        server = clickhouse.Server(pathlib.Path(folder))
        try:
            server.start()
            with contextlib.closing(transport.open(server.native_url)) as ledger:
                migrations.bring_up_to_date(ledger, ddl.ages())
                yield ledger
        finally:
            server.kill()


def _inserted(
    ledger: transport.Transport, name: str, count: int, shape: lab_ledger.Shape
) -> Iterator[measure.Measure]:
    batches = list(_cluster(shape, count / 20_000).batches(count, BATCH_ROWS))
    spent, began = time.process_time(), time.perf_counter()
    _insert_all(ledger, batches)
    taken = time.perf_counter() - began
    yield measure.Measure(bench="store-insert", metric=name, value=count / taken, unit="rows/s")
    quiet(ledger)
    taken, spent = time.perf_counter() - began, time.process_time() - spent
    yield measure.Measure(
        bench="store-insert", metric=f"{name}, all merged", value=count / taken, unit="rows/s"
    )
    yield measure.Measure(
        bench="store-insert", metric=f"{name}, CPU of this process", value=spent / count * 1e6, unit="us/row"
    )


def size(count: int) -> Iterator[measure.Measure]:
    """How many bytes a row takes on disk, with its share of the rollups, as far as ClickHouse merges."""
    with embedded() as ledger:
        _insert_all(ledger, _cluster(lab_ledger.Shape(), count / 20_000).batches(count, BATCH_ROWS))
        quiet(ledger)
        stored = int(ledger.query("SELECT count() AS rows FROM flows", {}).column("rows")[0].as_py())
        yield measure.Measure(
            bench="store-size",
            metric="rows of flows",
            value=stored,
            unit="rows",
            floor=count,
            floor_of="given",
        )
        sql = (
            "SELECT table, sum(bytes_on_disk) AS bytes FROM system.parts "
            "WHERE active AND rows > 0 AND database = currentDatabase() GROUP BY table ORDER BY bytes DESC"
        )
        found = ledger.query(sql, {}).to_pylist()
        total = sum(row["bytes"] for row in found)
        yield measure.Measure(bench="store-size", metric="all", value=total / count, unit="bytes/row")
        for row in found:
            if row["bytes"] / count > 0.001:
                yield measure.Measure(
                    bench="store-size", metric=row["table"], value=row["bytes"] / count, unit="bytes/row"
                )


def query(count: int, days: int = 30) -> Iterator[measure.Measure]:
    """How long each question of the explorer takes, a day wide and as wide as the ledger.

    Args:
        count: Rows of flows in the ledger.
        days: Over how many days they are spread.
    """
    with embedded() as ledger:
        fill(ledger, count, days)
        quiet(ledger)
        yield from ask(ledger, days)


def fill(
    ledger: transport.Transport, count: int, days: int, shape: lab_ledger.Shape | None = None
) -> lab_ledger.Cluster:
    """Rows that end now, and each node's statements of completeness, a minute apart; of few rows, an hour.

    Returns:
        The cluster that they are of.
    """
    seconds = days * _DAY
    # a batch of every interval of a quiet cluster would take the generator longer than the ledger
    shape = dataclasses.replace(
        shape or lab_ledger.Shape(), interval_seconds=300 if count / seconds < 1000 else 10
    )
    cluster = _cluster(shape, seconds)
    done = 0
    batches = cluster.batches(count, BATCH_ROWS, a_second=max(count // seconds, 1))
    for several in _chunks(batches, 4 * _THREADS):
        _insert_all(ledger, several, first=done)
        done += sum(map(len, several))
        sys.stderr.write(f"\r{done:,} of {count:,} rows are in")
    sys.stderr.write("\n")
    # few rows are no measurement, and should not wait for a million statements
    _state(ledger, shape, seconds, every=60 if count >= _MEASURED else _HOUR)
    return cluster


def ask(ledger: transport.Transport, days: int) -> Iterator[measure.Measure]:
    """The times of the questions, in milliseconds: the first time, and the median of some times after it."""
    bounds = queries.bounds(ledger) or queries.Span(0, 0)
    for width in dict.fromkeys((1, days)):
        # as the explorer asks, whose long spans begin with a full hour
        span = queries.from_full_hour(queries.Span(bounds.end - width * _DAY * _SECOND, bounds.end))
        for name, question in questions(ledger, span).items():
            times = [measure.seconds(question) * 1000 for _ in range(_RUNS)]
            usual = statistics.median(times[1:])
            yield measure.Measure(
                bench="store-query", metric=f"{width} d: {name}, first", value=times[0], unit="ms"
            )
            yield measure.Measure(bench="store-query", metric=f"{width} d: {name}", value=usual, unit="ms")


def questions(ledger: transport.Transport, span: queries.Span) -> dict[str, Callable[[], object]]:
    """What the explorer asks of a span, by name."""
    denied, team, service = (
        filters.compile(text)
        for text in ("verdict = denied", "dst.namespace = team-3", "dst.workload = service-7")
    )
    bucket = 1800 if span.end - span.start <= _DAY * _SECOND else 43_200
    return {
        "bounds": lambda: queries.bounds(ledger),
        "summary": lambda: queries.summary(ledger, span),
        "time series": lambda: queries.timeline(ledger, span, bucket_seconds=bucket),
        "time series of a namespace": lambda: queries.timeline(ledger, span, team, bucket),
        "time series, denied": lambda: queries.timeline(ledger, span, denied, bucket),
        "top pairs": lambda: queries.edges(ledger, span, limit=100),
        "top pairs, denied": lambda: queries.edges(ledger, span, denied, limit=100),
        "top pairs of a service": lambda: queries.edges(ledger, span, service, limit=100),
        "map": lambda: queries.graph(ledger, span),
        "newest flows": lambda: queries.flows(ledger, span),
        "newest flows, denied": lambda: queries.flows(ledger, span, denied),
        "newest flows of a service": lambda: queries.flows(ledger, span, service),
        "nodes": lambda: queries.nodes(ledger, span),
    }


def _cluster(shape: lab_ledger.Shape, seconds: float) -> lab_ledger.Cluster:
    """A cluster whose last rows are of now: older ones the ledger would not keep."""
    return lab_ledger.Cluster(shape=shape, start=time.time_ns() - int(seconds * _SECOND))


def _insert_all(ledger: transport.Transport, batches: Iterable[pa.RecordBatch], first: int = 0) -> None:
    """As many inserts at once as there are threads, no more batches in memory than are given as a list."""
    numbers = itertools.count(first)

    def one(batch: pa.RecordBatch) -> None:
        ledger.insert("flows", batch, token=f"bench/{next(numbers)}")

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        for several in _chunks(iter(batches), 2 * _THREADS):
            for _ in pool.map(one, several):
                pass


def _chunks(batches: Iterator[pa.RecordBatch], length: int) -> Iterator[list[pa.RecordBatch]]:
    while several := list(itertools.islice(batches, length)):
        yield several


def _state(ledger: transport.Transport, shape: lab_ledger.Shape, seconds: int, every: int) -> None:
    """Each node's and source's statements, so many seconds apart: all was seen."""
    kinds = [(f"node-{node}", source) for node in range(shape.nodes) for source in _SOURCES]
    end = time.time_ns()
    for at in range(0, seconds, _DAY):
        minutes = end - (seconds - at - np.arange(0, _DAY, every)) * _SECOND
        count = len(minutes) * len(kinds)
        said: dict[str, Any] = {
            "time": np.repeat(minutes, len(kinds)),
            "node": [node for node, _ in kinds] * len(minutes),
            "source": [source for _, source in kinds] * len(minutes),
            "note": [""] * count,
            "observed": np.full(count, 100),
            **{name: np.zeros(count, int) for name in ("lost", "discarded", "incomplete")},
        }
        ledger.insert("completeness", columns.batch(ddl.COMPLETENESS, said))


def quiet(ledger: transport.Transport) -> None:
    """Wait until nothing is merged any more."""
    while ledger.query("SELECT count() AS running FROM system.merges", {}).column("running")[0].as_py():
        time.sleep(0.1)
