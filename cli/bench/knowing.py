"""A process that knows a whole cluster: what it costs, as it says itself. `memory` runs it.

    python -m cli.bench.knowing watch FOLDER      as `flowledger watch`, which hears it from the API server
    python -m cli.bench.knowing collect FOLDER    as `flowledger collect`, which reads it from the ledger

What it learns comes from files, page by page, so that nothing else is in its memory.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
from collections.abc import Collection, Iterator
from concurrent import futures

import numpy as np
import prometheus_client
import pyarrow as pa
import pyarrow.compute as pc

from cli import naming
from enrich import stored
from enrich.kubernetes import client, events, feed, kinds, news
from model import columns
from runtime import memory, metrics

_KINDS = {kind.key: kind for kind in kinds.KINDS}
_SECOND = 1_000_000_000
_POLL = 5 * _SECOND
_STEP_SECONDS = 1.0
"""How often who writes names asks for them."""
_ANY_FLOW = pa.RecordBatch.from_arrays(
    [columns.blank(field.type, 1) for field in columns.schema(columns.Stage.JOIN)],
    schema=columns.schema(columns.Stage.JOIN),
)


def main(what: str, folder: pathlib.Path) -> None:
    """Learn all, then what changes; say figures by name, as JSON, after each."""
    for figures in {"watch": _watch, "collect": _collect}[what](folder):
        sys.stdout.write(json.dumps(figures) + "\n")


def _named() -> naming.Naming:
    return naming.Naming(metrics.Metrics(prometheus_client.CollectorRegistry()))


def _watch(folder: pathlib.Path) -> Iterator[dict[str, float]]:
    from cli import main, watch  # noqa: F401  # what such a process has loaded
    from store import native  # noqa: F401

    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    cluster = feed.Cluster(client.connect(str(folder / "kubeconfig")), measured)
    named.follow(cluster)
    began = time.perf_counter()
    with futures.ThreadPoolExecutor(len(_KINDS)) as threads:  # as many as there are kinds, as watchers are
        lists = sorted(folder.glob("*.list"))
        under_way = [threads.submit(_list, cluster, file) for file in lists]
        while futures.wait(under_way, _STEP_SECONDS).not_done:
            named.refresh()
    named.refresh()
    heard = sum(one.result() for one in under_way)
    yield {"objects a second": heard / (time.perf_counter() - began), **_resident()}
    for file in sorted(folder.glob("*.watch")):
        with file.open("rb") as lines:
            for line in lines:
                _event(cluster, line)
        named.refresh()
    yield _resident()


def _list(cluster: feed.Cluster, file: pathlib.Path) -> int:
    """Hear a list; how many objects it has."""
    kind = _KINDS[file.stem]
    present = []
    with file.open("rb") as pages:
        for page in pages:
            items, at = json.loads(page)["items"], time.time_ns()
            for item in items:
                present.append(events.identity(item))
                cluster.take(news.Changed(kind, kind.slim(item), at, events.updated(item)))
    cluster.take(news.Listed(kind, tuple(present), at, at))
    return len(present)


def _event(cluster: feed.Cluster, line: bytes) -> None:
    event, kind, at = events.read(line), _KINDS["pods"], time.time_ns()
    slim = kind.slim(event.object)
    if event.type is events.Type.DELETED:
        cluster.take(news.Gone(kind, slim, at))
    else:
        cluster.take(news.Changed(kind, slim, at, events.updated(event.object)))


class _Ledger:
    """The tables in a folder, poll by poll."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.polls = 0

    def endpoints(self, _written_after: int | None, _ended_after: int) -> pa.Table:
        return self._table("endpoints")

    def services(self, _written_after: int | None, _ended_after: int) -> pa.Table:
        return self._table("services")

    def policies(self, _written_after: int | None, _ended_after: int) -> pa.Table:
        return self._table("policies")

    def watched(self) -> pa.Table:
        return _now(self._table("watched"), "as_of")

    def labels(self, ids: Collection[int]) -> pa.Table:
        every = pa.concat_tables(self._table("label_sets", poll) for poll in range(self.polls + 1))
        wanted = columns.array(np.fromiter(ids, np.uint64, len(ids)), pa.uint64())
        return every.filter(pc.is_in(every.column("labels_id"), wanted))

    def flows(self) -> pa.RecordBatch:
        """What the pods of one node have in the interval that ends now."""
        return _now(self._table("flows"), "time", "started").combine_chunks().to_batches()[0]

    def _table(self, name: str, poll: int | None = None) -> pa.Table:
        poll = self.polls if poll is None else poll
        with (
            (self._folder / f"{name}.{poll:03}.arrow").open("rb") as file,
            pa.ipc.open_stream(file) as reader,
        ):
            return reader.read_all()


def _now(table: pa.Table, *names: str) -> pa.Table:
    """A table some of whose times are now."""
    now = columns.array(np.full(table.num_rows, time.time_ns()), columns.TIME)
    for name in names:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), now)
    return table


def _collect(folder: pathlib.Path) -> Iterator[dict[str, float]]:
    from cli import assembly, collect, main  # noqa: F401  # what such a process has loaded
    from store import http, native  # noqa: F401

    ledger, named = _Ledger(folder), _named()
    named.follow(stored.Stored(ledger, now=lambda: time.time_ns() + ledger.polls * _POLL))
    began = time.perf_counter()
    _interval(named, _ANY_FLOW)
    yield {"seconds": time.perf_counter() - began, **_resident()}
    for _ in folder.glob("*.watch"):
        ledger.polls += 1
        _interval(named, ledger.flows())
    yield _resident()


def _interval(named: naming.Naming, flows: pa.RecordBatch) -> None:
    """What a collector does with names in each interval."""
    named.enrich(flows)
    named.policies()
    memory.trim()


def _resident() -> dict[str, float]:
    """Resident memory in MB, now and at most."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {name: int(found[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
