"""The feed from a cluster's API server."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from enrich import changes, difference, history, lives, names
from enrich.kubernetes import client, kinds, news, watcher, watching
from model import errors, manifest
from runtime import memory, metrics

_SECOND = 1_000_000_000
DAY = 86_400 * _SECOND
_FORGET_EVERY = 600 * _SECOND
_IDENTITY_SECONDS = 5.0
_SETTLE = 30 * _SECOND
"""After so long it is told what is affected, whether or not every kind has been listed."""


class Cluster:
    """A cluster as its API server tells of it; a component.

    Args:
        api: The API server.
        measured: The process's metrics.
        known: What was said before, by whoever watched until now.
        alive: Until when they knew all, in ns since 1970.
        tolerance: How far clocks in the cluster may be apart, in ns.
        remember: For how long what has ended is remembered, in ns.
        watched: The kinds that are watched.
        pace: How patiently.
        now: The time, in ns since 1970.
    """

    def __init__(
        self, api: client.Api, measured: metrics.Metrics, *, known: changes.Changes | None = None,
        alive: int = 0, tolerance: int = _SECOND // 2, remember: int = DAY,
        watched: Sequence[kinds.Kind] = kinds.KINDS, pace: watcher.Pace | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self.api = api
        self._lock = threading.Lock()
        self._remember, self._now = remember, now
        self._history = history.History(
            lives.Clock(tolerance=tolerance), lambda kind: measured.refused_objects.labels(kind).inc()
        )
        self._history.prime(known or changes.Changes())
        self._known, self._alive = known, alive
        self._since = self._forgotten = now()
        self._unsettled: set[bytes] | None = set()
        self._told = False
        self.names = names.Names(remember)
        """All that it has said."""
        self.watching = watching.Watching(api, self, watched=watched, pace=pace, measured=measured)
        """Who keeps it informed."""

    def start(self) -> None:
        """Begin to watch."""
        self.watching.start()

    def stop(self) -> None:
        """End all watches."""
        self.watching.stop()

    def take(self, what: news.News) -> None:
        """Take over one piece of news."""
        kind = what.kind
        with self._lock:
            if isinstance(what, news.Listed):
                present = [(one.namespace, one.name, one.uid) for one in what.present]
                alive = max(self.watching.as_of(), self._alive)
                self._history.listed(kind.group, kind.name, present, alive, what.at)
            elif isinstance(what, news.Gone):
                self._history.gone(_document(what), what.at)
            else:
                self._history.changed(_document(what), what.at, what.updated)

    def refresh(self) -> changes.Changes:
        """What was heard since this was last asked."""
        as_of = self.watching.as_of()  # before what is learned, which is no older then
        with self._lock:
            learned = self._history.news()
            self._forget()
        if self._unsettled is not None:
            learned = self._settle(learned, self._unsettled)
        self.names.take(learned)
        if learned.claims:
            memory.trim()  # each kind's thread has had pages of a list
        self.names.cover(self._since, as_of)
        return learned

    def _settle(self, learned: changes.Changes, unsettled: set[bytes]) -> changes.Changes:
        """Until all kinds have been listed, a pod may be without its owner, and be said to be another one.

        So what is affected is told at last, against what was said before.
        """
        first = self._known or changes.Changes()
        if not self._told:
            learned, self._told = changes.joined(first, learned), True
        unsettled |= learned.affected.keys()
        affected: dict[bytes, int] = {}
        if self.watching.synced() or self._now() - self._since > _SETTLE:
            affected = difference.affected(first.claims, self.said().claims, unsettled)
            self._unsettled = self._known = None
        return dataclasses.replace(learned, affected=affected)

    def label_sets(self, ids: Collection[int]) -> Mapping[int, dict[str, str]]:
        """Label sets by their numbers."""
        return self.names.label_sets(ids)

    def said(self) -> changes.Changes:
        """All that was found out and is remembered."""
        with self._lock:
            return self._history.said()

    def _forget(self) -> None:
        if self._now() - self._forgotten > _FORGET_EVERY:
            self._forgotten = self._now()
            self._history.forget(self._forgotten - self._remember)
            kept = self._history.label_sets()
            self.names.labels = {number: one for number, one in self.names.labels.items() if number in kept}


def identity(api: client.Api) -> str:
    """What tells a cluster from all others, the uid of its namespace kube-system; empty if nobody says."""
    query = {"fieldSelector": "metadata.name=kube-system", "limit": "1"}
    try:
        listed = api.get("/api/v1/namespaces", query, seconds=_IDENTITY_SECONDS).get("items") or []
    except errors.ApiError:
        return ""
    found = (one["metadata"] for one in listed if one["metadata"]["name"] == "kube-system")
    return next((str(one.get("uid", "")) for one in found), "")


def _document(what: news.Changed | news.Gone) -> manifest.Document:
    metadata = what.object["metadata"]
    place = "/".join(filter(None, (what.kind.key, metadata.get("namespace"), metadata["name"])))
    return manifest.Document(place, 1, what.object)
