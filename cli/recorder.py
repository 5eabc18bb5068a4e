"""From a node's report to the ledger: enrichment, the rows, and what the metrics say of them."""

from __future__ import annotations

import threading
import time
import typing
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cli import felix, naming
from collector import collector
from collector.counters import source as counters
from model import columns, enums, errors
from runtime import metrics
from store import ddl


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
        named: What names addresses.
        measured: The process's metrics.
    """

    def __init__(self, named: naming.Naming, measured: metrics.Metrics) -> None:
        self._naming = named
        self._metrics = measured
        self._lock = threading.Lock()
        self._ledger: Sink | None = None
        self._felix: dict[str, felix.Felix] = {}
        self._labels_written: set[int] = set()
        self._labels_gone = threading.Event()

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

    def record(self, report: collector.Report) -> None:
        """Enrich a report and store it.

        Raises:
            StoreError: If the ledger refuses it.
        """
        if self._ledger is None:
            raise errors.StoreError("there is no ledger to record into")
        if report.told is None:
            self._record(self._ledger, report, self._naming.enrich(report.flows))
            return
        told = self._felix.setdefault(report.node, felix.Felix(report.node))
        failed: errors.FlowledgerError | None = None
        for ready in told.hold(report, time.time_ns()):
            try:
                flows = told.settle(self._naming.enrich(ready.flows, told.tell))
                for result, count in told.results().items():
                    self._metrics.felix_connections.labels(report.node, result).inc(count)
                self._record(self._ledger, told.noted(ready), flows)
            except errors.FlowledgerError as error:
                if not report.last:  # then those behind it wait for the next time; else there is none
                    raise
                failed = failed or error
        left = told.left()
        if left:
            self._ledger.insert("flows", left)
            self._measure(report.node, left)
        if failed:
            raise failed

    def _record(self, ledger: Sink, report: collector.Report, flows: pa.RecordBatch) -> None:
        with self._lock:
            self._write_labels(ledger)
        if len(flows):
            ledger.insert("flows", flows)
        rows = report.completeness
        seen = {name: [getattr(row, name) for row in rows] for name in ddl.COMPLETENESS.names}
        ledger.insert("completeness", columns.batch(ddl.COMPLETENESS, seen))
        if report.policy_hits:
            self._write_policy_hits(ledger, report.node, report.time, report.policy_hits)
        self._measure(report.node, flows)

    def _write_labels(self, ledger: Sink) -> None:
        if self._labels_gone.is_set():
            self._labels_gone.clear()
            self._labels_written.clear()
        new = {k: v for k, v in self._naming.labels().items() if k not in self._labels_written}
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
        for verdict, count in columns.counts(flows, "verdict"):
            self._metrics.flows.labels(node, verdict).inc(count)
        denied = columns.equal(flows, "verdict", enums.Verdict.DENIED.value)
        denied &= columns.numbers(flows.column("connections_started")) > 0
        # the namespace of the workload that the policy belongs to: the source's for egress
        for direction, side in ((enums.Direction.EGRESS, "src"), (enums.Direction.INGRESS, "dst")):
            here = denied & columns.equal(flows, f"{direction}_action", enums.Action.DENY.value)
            self._measure_denied(flows, side, direction, here)
            denied &= ~here
        self._measure_denied(flows, "dst", "unknown", denied)  # nobody told whose policy it was

    def _measure_denied(
        self, flows: pa.RecordBatch, side: str, direction: str, among: npt.NDArray[np.bool_]
    ) -> None:
        for namespace, count in columns.counts(flows, f"{side}_namespace", among):
            self._metrics.denied.labels(self._metrics.namespace(namespace), direction).inc(count)
