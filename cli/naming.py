"""The names of a process: one feed, asked by whoever enriches, and those who want to know what is new."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cli import evaluator, policies
from collector import collector
from enrich import changes, manifests, names
from model import columns, enums
from runtime import metrics

_NAMELESS = (enums.EndpointKind.PRIVATE, enums.EndpointKind.PUBLIC, enums.EndpointKind.AMBIGUOUS)

Listener = Callable[[changes.Changes], None]
Teller = Callable[[pa.RecordBatch], pa.RecordBatch]


def _is_other(before: pa.RecordBatch, after: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which rows have an end that is somebody else."""
    other = np.zeros(len(before), bool)
    for side in ("src", "dst"):
        for name in (f"{side}_kind", f"{side}_namespace", f"{side}_pod"):
            (codes, values), (codes_now, values_now) = columns.coded(before, name), columns.coded(after, name)
            other |= np.array(values, object)[codes] != np.array(values_now, object)[codes_now]
        ids = (columns.numbers(one.column(f"{side}_labels_id")) for one in (before, after))
        other |= np.not_equal(*ids)
    return other


def _has(flows: pa.RecordBatch, name: str, *nothing: str) -> npt.NDArray[np.bool_]:
    """Which rows have something in a column that is none of these."""
    codes, values = columns.coded(flows, name)
    has: npt.NDArray[np.bool_] = np.array([value not in nothing for value in values] or [False], bool)[codes]
    return has


class Naming:
    """Knows nobody until it follows a feed. Threads may share it.

    Args:
        measured: The process's metrics.
    """

    def __init__(self, measured: metrics.Metrics) -> None:
        self._metrics = measured
        self._feed: names.Feed | None = None
        self._names = names.Names()
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._policies = policies.Policies(measured)
        self._evaluator = evaluator.Evaluator()

    def follow(self, feed: names.Feed) -> None:
        """Ask somebody who knows the cluster from now on.

        Raises:
            ManifestError: If it is a folder, and a policy in it is wrong.
        """
        with self._lock:
            self._feed, self._names = feed, feed.names
            if isinstance(feed, manifests.Folder):
                first = feed.refresh()
                self._policies.require(first.revisions)
                self._take(first)

    def listen(self, listener: Listener) -> None:
        """Tell somebody of all that is new from now on; it must be quick, and must not ask anything here."""
        with self._lock:
            self._listeners.append(listener)

    def policies(self) -> collector.Policies:
        """What rules look like that are made from the policies known just now."""
        with self._lock:
            return self._policies.known()

    def labels(self) -> dict[int, dict[str, str]]:
        """The label sets that are known, by number."""
        with self._lock:
            return dict(self._names.labels)

    def said(self) -> changes.Changes:
        """All that this process has found out of the cluster and remembers."""
        with self._lock:
            found = self._feed.said() if self._feed else changes.Changes()
            return dataclasses.replace(found, labels=dict(self._names.labels))

    def coverage(self) -> tuple[int, int]:
        """What is known is complete from when until when, in ns since 1970."""
        with self._lock:
            return self._names.since, self._names.as_of

    def refresh(self) -> None:
        """Learn what is new."""
        with self._lock:
            self._refresh()

    def enrich(self, flows: pa.RecordBatch, tell: Teller | None = None) -> pa.RecordBatch:
        """Name flows by all that is known now, as `enricher.Enricher` does, and count what came of it.

        Args:
            flows: A batch of stage ``JOIN``.
            tell: Who may know rules once the ends have names, before policies are asked.
        """
        with self._lock:
            self._refresh()
            named = self._names.enricher.enrich(flows)
            named = tell(named) if tell else named
            for side in ("src", "dst"):
                self._count(named, side)
            return self._attributed(named)

    def _attributed(self, flows: pa.RecordBatch) -> pa.RecordBatch:
        given = self._policies.given()
        return self._evaluator.attribute(flows, self._names, self._label_sets, given)

    def _label_sets(self, ids: Collection[int]) -> Mapping[int, dict[str, str]]:
        return self._feed.label_sets(ids) if self._feed else {}

    def again(
        self, flows: pa.RecordBatch, *, judge: bool = True
    ) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
        """Flows that have names already, by what is known now.

        Args:
            flows: The flows.
            judge: Whether policies are asked again where an end is somebody else now.

        Returns:
            The same rows; and for which of them nothing is lost: no end that had a name is now of a time that
            nobody here knows of, and no service that had one is without.
        """
        with self._lock:
            named = self._names.enricher.enrich(flows)
            unknown = columns.numbers(flows.column("started")) < self._names.horizon
            lost = _has(flows, "service", "") & ~_has(named, "service", "")
            for side in ("src", "dst"):
                declined = self._answers(flows, side) == names.DECLINED
                lost |= _has(flows, f"{side}_kind", *_NAMELESS) & (declined | unknown)
            if judge:
                named = self._attributed(evaluator.without(named, _is_other(flows, named)))
        return named, ~lost

    def _refresh(self) -> None:
        if self._feed is not None:
            self._take(self._feed.refresh())
            self._names.forget(time.time_ns())
            self._metrics.names_as_of_seconds.set(self._names.as_of / 1e9)

    def _take(self, news: changes.Changes) -> None:
        self._policies.take(news.revisions)
        if news:
            for listener in self._listeners:
                listener(news)

    def _count(self, flows: pa.RecordBatch, side: str) -> None:
        declined = self._answers(flows, side) == names.DECLINED
        for kind, count in columns.counts(flows, f"{side}_kind", ~declined):
            self._metrics.lookups.labels(kind).inc(count)
        if number := int(np.count_nonzero(declined)):
            self._metrics.lookups.labels(names.ANSWERS[names.DECLINED]).inc(number)

    def _answers(self, flows: pa.RecordBatch, side: str) -> npt.NDArray[np.uint8]:
        began = columns.numbers(flows.column("started"))
        return self._names.answers(columns.packed(flows, f"{side}_address"), began)
