"""``bench suggest`` and ``bench preview``: policies of a thousand workloads, from and against weeks of flows.

The rows are those of `lab.ledger`, in a ledger of their own; see ``bench store-query``.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import Any

from cli import known, previewing, recording, suggesting
from cli.bench import measure, store
from lab import ledger as lab_ledger
from model import cluster, columns, manifest
from policy import preview, suggest
from store import ddl, queries, transport

_SHAPE = lab_ledger.Shape(pods=8_000, nodes=100, workloads=1_000, namespaces=50, outside=2_000, kubelets=True)
_DAYS = 30
_CLOSED = 5
"""Namespaces that the previewed change closes for whoever comes from elsewhere."""


def suggested(count: int) -> Iterator[measure.Measure]:
    """How long suggestions for all workloads take, from the ledger to the proof.

    Args:
        count: Rows of flows in the ledger.
    """
    with store.embedded() as ledger:
        of = _filled(ledger, count)
        asked = suggesting.Asked(targets=(), span=_span(ledger), wanted=suggest.Wanted(), complete=0.0)
        began = time.perf_counter()
        result = suggesting.suggested(ledger, of, asked)
        taken = time.perf_counter() - began
        yield from _about("suggest", result.recorded)
        yield _measure("suggest", "policies", len(result.made.policies), "policies")
        rules = sum(len(some) for one in result.made.policies for some in one.rules.values())
        yield _measure("suggest", "rules", rules, "rules")
        yield _measure("suggest", "accepted edges", result.proof.edges, "edges")
        yield _measure("suggest", "accepted edges that would be denied", len(result.proof.lost), "edges")
        yield _measure("suggest", "pairs before", result.proof.pairs_before, "pairs")
        yield _measure("suggest", "pairs after", result.proof.pairs_after, "pairs")
        yield _measure("suggest", "ledger to proof", taken, "s")
        yield _memory("suggest")


def previewed(count: int) -> Iterator[measure.Measure]:
    """How long it takes to replay the ledger against a change.

    Args:
        count: Rows of flows in the ledger.
    """
    with store.embedded() as ledger:
        of = _filled(ledger, count)
        span = _span(ledger)
        after = preview.changed(of.documents, _change())
        began = time.perf_counter()
        recorded, found = previewing.previewed(ledger, of, after, (), span)
        taken = time.perf_counter() - began
        yield from _about("preview", recorded)
        yield _measure("preview", "pairs newly denied", len(found.denied), "pairs")
        denied = sum(one.connections for one in found.denied)
        yield _measure("preview", "connections newly denied", denied, "connections")
        yield _measure("preview", "ledger to differences", taken, "s")
        yield _memory("preview")


def _filled(ledger: transport.Transport, count: int) -> known.Known:
    """The cluster of a ledger that has just been filled, with the names of its pods."""
    made = store.fill(ledger, count, _DAYS, _SHAPE)
    pods = list(made.pods())
    start = time.time_ns() - (_DAYS + 1) * 86_400 * 10**9
    blank: dict[str, Any] = {
        "zone": "", "service_account": "default", "ports": "http=TCP/8080", "probe_ports": "",
        "valid_from": start, "sure_from": start, "sure_to": 0, "valid_to": 0, "written": start,
    }  # fmt: skip
    ledger.insert("endpoints", _batch(ddl.ENDPOINTS, [blank | pod for pod in pods]))
    sets = {pod["labels_id"]: pod["labels"] for pod in pods}
    rows = [{"labels_id": number, "labels": labels} for number, labels in sets.items()]
    ledger.insert("label_sets", _batch(ddl.LABEL_SETS, rows))
    store.quiet(ledger)
    documents = [
        manifest.Document("bench", i, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for i, name in enumerate(sorted({pod["namespace"] for pod in pods}))
    ]
    return known.Known(tuple(documents), cluster.read(documents), "the benchmark")


def _batch(schema: Any, rows: list[dict[str, Any]]) -> Any:
    return columns.batch(schema, {field.name: [row[field.name] for row in rows] for field in schema})


def _change() -> list[manifest.Document]:
    """Policies that let some namespaces be reached from inside alone."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}
    return [
        manifest.Document("change", i, {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "inside-alone", "namespace": f"team-{i}"}, "spec": spec,
        })
        for i in range(_CLOSED)
    ]  # fmt: skip


def _span(ledger: transport.Transport) -> queries.Span:
    bounds = queries.bounds(ledger) or queries.Span(0, 0)
    return queries.from_full_hour(bounds)


def _about(bench: str, recorded: recording.Recorded) -> Iterator[measure.Measure]:
    seen = recorded.record
    yield _measure(bench, "workloads", len(seen.workloads), "workloads")
    yield _measure(bench, "distinct edges", len(seen), "edges")
    yield _measure(bench, "connections", int(seen.connections.sum()), "connections")


def _memory(bench: str) -> measure.Measure:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return _measure(bench, "memory at most, ledger included", peak, "MB")


def _measure(bench: str, metric: str, value: float, unit: str) -> measure.Measure:
    return measure.Measure(bench=bench, metric=metric, value=value, unit=unit)
