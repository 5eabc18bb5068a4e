"""What the watchers of a cluster have counted, for the metrics."""

from __future__ import annotations

import collections
import threading

from runtime import metrics


class Tally:
    """Counts by kind and a word from a closed set. Threads may share it.

    Args:
        measured: The process's metrics, which count the same for all clusters and leaders that there were.
    """

    def __init__(self, measured: metrics.Metrics | None = None) -> None:
        self._measured = measured
        self._lock = threading.Lock()
        self._events: collections.Counter[tuple[str, str]] = collections.Counter()
        self._relists: collections.Counter[tuple[str, str]] = collections.Counter()
        self._errors: collections.Counter[tuple[str, str]] = collections.Counter()

    def event(self, kind: str, what: str) -> None:
        """An event came; of what type, or ``listed`` or ``duplicate``."""
        with self._lock:
            self._events[kind, what] += 1
        if self._measured:
            self._measured.watch_events.labels(kind, what).inc()

    def relist(self, kind: str, reason: str) -> None:
        """A kind has to be listed again."""
        with self._lock:
            self._relists[kind, reason] += 1
        if self._measured:
            self._measured.watch_relists.labels(kind, reason).inc()

    def error(self, kind: str, reason: str) -> None:
        """Something could not be had or not be read."""
        with self._lock:
            self._errors[kind, reason] += 1
        if self._measured:
            self._measured.watch_errors.labels(kind, reason).inc()

    @property
    def events(self) -> dict[tuple[str, str], int]:
        """Events by kind and type; objects of lists as ``listed``, those that we had as ``duplicate``."""
        with self._lock:
            return dict(self._events)

    @property
    def relists(self) -> dict[tuple[str, str], int]:
        """Lists beyond the first by kind and reason."""
        with self._lock:
            return dict(self._relists)

    @property
    def errors(self) -> dict[tuple[str, str], int]:
        """Failures by kind and reason: why the API refused, or what was unreadable."""
        with self._lock:
            return dict(self._errors)
