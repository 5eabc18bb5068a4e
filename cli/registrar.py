"""What a feed says, written into the ledger: who had which address, services, revisions of policies.

Only the process that leads writes. What it writes it may write again: a row takes the place of an older one.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from cli import feeds, naming
from enrich import changes, difference, identity, tables
from model import columns, errors
from runtime import logs, metrics
from store import ddl, location, names, transport

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

_STEP_SECONDS = 1.0
_HEARTBEAT_SECONDS = 5.0
_AT_ONCE = 20_000
"""Rows of an insert."""
_JOIN_SECONDS = 10.0
_RECENTLY = 86_400 * 1_000_000_000

SOURCE = "kubernetes"
"""Of what the table `watched` speaks."""


def require_same(ledger: transport.Transport, cluster: str, url: str = "") -> None:
    """Make sure that no other cluster's names are in a ledger: each would end those of the other.

    Args:
        ledger: The ledger.
        cluster: Which cluster we know; empty if nobody can tell.
        url: What the ledger is called.

    Raises:
        SetupError: If there are.
    """
    held = names.watched(ledger).column("cluster").to_pylist()
    others = [one for one in held if one and cluster and one != cluster]
    if others:
        raise errors.SetupError(
            f"{location.shown(url) if url else 'the ledger'} holds the names of another cluster (kube-system "
            f"{others[0]}, and this one's is {cluster}): give each cluster a ledger of its own with --store, "
            "or look whether --kubeconfig and --context are right"
        )


class Registrar:
    """A component.

    Args:
        named: The names of this process.
        ledger: Where to write.
        measured: The process's metrics.
        cluster: Which cluster it is, as `ddl.WATCHED` has it.
        leads: Whether this process is the one that writes.
        now: The time, in ns since 1970.
    """

    def __init__(
        self, named: naming.Naming, ledger: transport.Transport, measured: metrics.Metrics, *,
        cluster: Callable[[], str] = lambda: "", leads: Callable[[], bool] = lambda: True,
        now: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._naming, self._ledger, self._metrics = named, ledger, measured
        self._cluster, self._leads, self._now = cluster, leads, now
        self._trouble = ""
        self._heard: list[changes.Changes] = []
        self._lock = threading.Lock()
        self._led = False
        self._as_of = self._written = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registrar", daemon=True)
        named.listen(self._hear)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is there, and end."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    @property
    def writes(self) -> bool:
        """Whether this process leads, and the ledger says what it knows."""
        return self._led

    def check(self) -> str:
        """Why names do not get into the ledger; empty if they do, or others write them."""
        return self._trouble

    def step(self) -> None:
        """Write what is new, if this process leads.

        Raises:
            SetupError: If another cluster's names are in the ledger; nothing is written then.
            StoreError: If the ledger does not take it; then it is tried again.
        """
        self._naming.refresh()
        since, as_of = self._naming.coverage()
        with self._lock:
            heard, self._heard = self._heard, []
        if not self._leads():
            self._led = False
            return
        try:
            for news in heard if self._led else [self._difference()]:
                self._write(news)
            self._led = True
        except errors.StoreError:
            self._led = False  # whatever was written: the difference will tell
            raise
        if as_of > self._as_of:
            self._insert("watched", {
                "source": [SOURCE], "cluster": [self._cluster()], "since": [since], "as_of": [as_of],
                "written": [self._later()],
            })  # fmt: skip
            self._as_of = as_of
            self._metrics.watch_written_seconds.set(as_of / 1e9)

    def _hear(self, news: changes.Changes) -> None:
        with self._lock:
            self._heard.append(news)

    def _run(self) -> None:
        while True:
            trouble = ""
            try:
                self.step()
            except errors.FlowledgerError as error:
                self._led, trouble = False, str(error)
                _limited.warning("names are not written", error=trouble)
            except Exception as error:  # the edge of the loop: the difference is written the next time
                self._led, trouble = False, repr(error)
                _limited.warning("names are not written", error=trouble)
            if self._trouble and not trouble:
                _log.info("names are written again")
            self._trouble = trouble
            if self._stopping.is_set():
                return
            self._stopping.wait(_STEP_SECONDS)

    def _difference(self) -> changes.Changes:
        """What the ledger does not have as it is known here, whoever wrote it."""
        require_same(self._ledger, self._cluster())
        written, alive = feeds.written(self._ledger)
        said = self._naming.said()
        # whoever saw their end knows it better than who finds them ended
        uids = {one.uid for one in said.claims if one.valid_to != identity.FOREVER}
        ended = feeds.ended(self._ledger, self._now() - _RECENTLY, uids)
        written = dataclasses.replace(written, claims=written.claims + ended)
        return difference.difference(said, written, alive, self._now())

    def _write(self, news: changes.Changes) -> None:
        # first what others refer to
        self._insert("label_sets", {"labels_id": list(news.labels), "labels": list(news.labels.values())})
        last = changes.last(news)
        self._insert("endpoints", tables.endpoints(last.claims, self._later()))
        self._insert("services", tables.services(last.ports, self._later()))
        self._insert("policies", tables.policies(last.revisions, self._later()))

    def _later(self) -> int:
        """The time, but later than any that was written before: by it the last word is known."""
        self._written = max(self._now(), self._written + 1)
        return self._written

    def _insert(self, table: str, rows: dict[str, list[Any]]) -> None:
        batch: pa.RecordBatch = columns.batch(ddl.TABLES[table], rows)
        for start in range(0, len(batch), _AT_ONCE):
            self._ledger.insert(table, batch.slice(start, _AT_ONCE))
