"""From a node's report to the ledger: enrichment, the rows, and what the metrics say of them."""

from __future__ import annotations

import threading
import typing
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import collector
from collector.counters import source as counters
from enrich import enricher, manifests, timeline
from model import cluster, columns, enums, errors
from policy import owners, parse, prefixes
from runtime import logs, metrics
from store import ddl

_limited = logs.Limited(__name__)


class Sink(typing.Protocol):
    """What takes rows: a ledger, or what stands before one."""

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table) -> None:
        """Take rows for a table.

        Raises:
            StoreError: If it does not.
        """


class Recorder:
    """Takes the reports of all collectors of this process.

    Args:
        feed: What names addresses and policies; None if nothing does.
        measured: The process's metrics.

    Raises:
        ManifestError: If a policy of the feed is wrong.
    """

    def __init__(self, feed: manifests.Folder | None, measured: metrics.Metrics) -> None:
        self._feed = feed
        self._metrics = measured
        self._lock = threading.Lock()
        self._ledger: Sink | None = None
        self._labels_written: set[int] = set()
        self._labels_gone = threading.Event()
        self._snapshot = feed.snapshot if feed else manifests.Snapshot()
        self._policies = _policies(self._snapshot)
        self._enricher = _enricher(self._snapshot)

    def open(self, ledger: Sink) -> None:
        """Record into this from now on."""
        self._ledger = ledger

    def discarded(self, table: str) -> None:
        """Rows of a table that were taken before will never be in the ledger.

        Flows carry their label sets by number alone: without the sets nobody could read them, so the next
        report writes all of them again. This waits for no lock, as it is told where locks are held.
        """
        if table == "label_sets":
            self._labels_gone.set()

    def policies(self) -> collector.Policies:
        """What rules look like that are made from the policies known just now."""
        return self._policies

    def record(self, report: collector.Report) -> None:
        """Enrich a report and store it.

        Raises:
            StoreError: If the ledger refuses it.
        """
        if self._ledger is None:
            raise errors.StoreError("there is no ledger to record into")
        with self._lock:
            self._refresh()
            flows = self._enricher.enrich(report.flows, report.node)
            self._write_labels(self._ledger)
        if len(flows):
            self._ledger.insert("flows", flows)
        rows = report.completeness
        seen = {name: [getattr(row, name) for row in rows] for name in ddl.COMPLETENESS.names}
        self._ledger.insert("completeness", columns.batch(ddl.COMPLETENESS, seen))
        if report.policy_hits:
            self._write_policy_hits(self._ledger, report.node, report.time, report.policy_hits)
        self._measure(report.node, flows)

    def _refresh(self) -> None:
        if self._feed is None or not self._feed.refresh():
            return
        self._snapshot = self._feed.snapshot
        self._enricher = _enricher(self._snapshot)
        try:
            self._policies = _policies(self._snapshot)
        except errors.ManifestError as error:
            _limited.warning("policies not taken over", error=str(error))

    def _write_labels(self, ledger: Sink) -> None:
        if self._labels_gone.is_set():
            self._labels_gone.clear()
            self._labels_written.clear()
        new = {k: v for k, v in self._snapshot.labels.items() if k not in self._labels_written}
        if new:
            rows: dict[str, list[Any]] = {"labels_id": list(new), "labels": list(new.values())}
            ledger.insert("label_sets", columns.batch(ddl.LABEL_SETS, rows))
            self._labels_written |= new.keys()

    @staticmethod
    def _write_policy_hits(ledger: Sink, node: str, time: int, counted: counters.Counted) -> None:
        counts = counted.columns()
        rows = len(counts["packets"])
        if rows:
            counts |= {"time": np.full(rows, time), "node": [node] * rows}
            ledger.insert("policy_hits", columns.batch(ddl.POLICY_HITS, counts))

    def _measure(self, node: str, flows: pa.RecordBatch) -> None:
        for verdict, count in _counts(flows, "verdict"):
            self._metrics.flows.labels(node, verdict).inc(count)
        for side in ("src", "dst"):
            for kind, count in _counts(flows, f"{side}_kind"):
                self._metrics.lookups.labels(kind).inc(count)
        denied = _is(flows, "verdict", enums.Verdict.DENIED.value)
        denied &= columns.numbers(flows.column("connections_started")) > 0
        # the namespace of the workload that the policy belongs to: the source's for egress
        for direction, side in ((enums.Direction.EGRESS, "src"), (enums.Direction.INGRESS, "dst")):
            here = denied & _is(flows, f"{direction}_action", enums.Action.DENY.value)
            self._measure_denied(flows, side, direction, here)
            denied &= ~here
        self._measure_denied(flows, "dst", "unknown", denied)  # nobody told whose policy it was

    def _measure_denied(
        self, flows: pa.RecordBatch, side: str, direction: str, among: npt.NDArray[np.bool_]
    ) -> None:
        for namespace, count in _counts(flows, f"{side}_namespace", among):
            self._metrics.denied.labels(self._metrics.namespace(namespace), direction).inc(count)


def _text(flows: pa.RecordBatch, column: str) -> tuple[npt.NDArray[np.int32], list[str]]:
    """A text column as codes and the values that they stand for."""
    array = typing.cast("pa.DictionaryArray[Any, Any]", flows.column(column))
    return columns.numbers(array.indices), [str(value) for value in array.dictionary.to_pylist()]


def _is(flows: pa.RecordBatch, column: str, value: str) -> npt.NDArray[np.bool_]:
    codes, values = _text(flows, column)
    same: npt.NDArray[np.bool_] = codes == (values.index(value) if value in values else -1)
    return same


def _counts(
    flows: pa.RecordBatch, column: str, among: npt.NDArray[np.bool_] | None = None
) -> list[tuple[str, int]]:
    """Each value of a text column and how often it is there."""
    codes, values = _text(flows, column)
    counted = np.bincount(codes if among is None else codes[among], minlength=len(values))
    return [(value, int(count)) for value, count in zip(values, counted, strict=True) if count]


def _enricher(snapshot: manifests.Snapshot) -> enricher.Enricher:
    return enricher.Enricher(timeline.Timeline(snapshot.claims, snapshot.networks), snapshot.services)


def _policies(snapshot: manifests.Snapshot) -> collector.Policies:
    names = [namespace.name for namespace in cluster.read(snapshot.documents).namespaces]
    known = parse.parse(snapshot.documents)
    return collector.Policies(prefixes=prefixes.table(known, names), chains=owners.table(known, names))
