"""What a feed says, written into the ledger: who had which address, services, revisions of policies.

Only the process that leads writes. What it writes it may write again: a row takes the place of an older one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from cli import feeds, naming
from enrich import changes, difference, tables
from model import columns, errors
from runtime import logs
from store import ddl, transport

_limited = logs.Limited(__name__)

_STEP_SECONDS = 1.0
_HEARTBEAT_SECONDS = 5.0
_AT_ONCE = 20_000
"""Rows of an insert."""
_JOIN_SECONDS = 10.0

SOURCE = "kubernetes"
"""Of what the table `watched` speaks."""


class Registrar:
    """A component.

    Args:
        named: The names of this process.
        ledger: Where to write.
        leads: Whether this process is the one that writes.
        now: The time, in ns since 1970.
    """

    def __init__(
        self, named: naming.Naming, ledger: transport.Transport, *,
        leads: Callable[[], bool] = lambda: True, now: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._naming, self._ledger = named, ledger
        self._leads, self._now = leads, now
        self._heard: list[changes.Changes] = []
        self._lock = threading.Lock()
        self._led = False
        self._as_of = 0
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

    def step(self) -> None:
        """Write what is new, if this process leads.

        Raises:
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
                "source": [SOURCE], "since": [since], "as_of": [as_of], "written": [self._now()]
            })  # fmt: skip
            self._as_of = as_of

    def _hear(self, news: changes.Changes) -> None:
        with self._lock:
            self._heard.append(news)

    def _run(self) -> None:
        while True:
            try:
                self.step()
            except errors.StoreError as error:
                _limited.warning("names wait for the ledger", error=str(error))
            except Exception as error:  # the edge of the loop: the difference is written the next time
                self._led = False
                _limited.warning("names not written", error=repr(error))
            if self._stopping.is_set():
                return
            self._stopping.wait(_STEP_SECONDS)

    def _difference(self) -> changes.Changes:
        """What the ledger does not have as it is known here, whoever wrote it."""
        written, alive = feeds.written(self._ledger)
        return difference.difference(self._naming.said(), written, alive, self._now())

    def _write(self, news: changes.Changes) -> None:
        # first what others refer to
        self._insert("label_sets", {"labels_id": list(news.labels), "labels": list(news.labels.values())})
        self._insert("endpoints", tables.endpoints(news.claims, self._now()))
        self._insert("services", tables.services(news.ports, self._now()))
        self._insert("policies", tables.policies(news.revisions, self._now()))

    def _insert(self, table: str, rows: dict[str, list[Any]]) -> None:
        batch: pa.RecordBatch = columns.batch(ddl.TABLES[table], rows)
        for start in range(0, len(batch), _AT_ONCE):
            self._ledger.insert(table, batch.slice(start, _AT_ONCE))
