"""The writer: takes rows, puts them into the spool, and offers them to the ledger until it has them.

It stands where a ledger would: whoever has rows calls ``insert``, which returns when they are on this node's
disk. One thread offers what is there, oldest first, each batch under a token that makes a second offer void.

It asks the ledger for its schema before it offers the first rows, and again after every refusal, as somebody
may have migrated or restored it meanwhile: rows of this Flowledger are for no other schema, and wait.
"""

from __future__ import annotations

import collections
import logging
import math
import pathlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from model import columns, errors
from runtime import logs, metrics, settings
from store import ddl, migrations, refusals, spool, spoolfile, transport

STOP_SECONDS = 5.0
"""How long the end of a process waits for the ledger to take what is there; the rest stays on the disk."""

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_LAST_REFUSALS = 3
"""After so many in a row, the end of a process does not wait for the ledger any more."""

DOUBTS = 10
"""How often rows are offered, in two minutes, that a ledger which does answer refuses for no known reason."""

SOURCE = "store"
"""The source of our own statements of completeness."""

_WORDS = {
    spool.FULL: "the spool is full",
    spool.DISK: "the disk takes no rows",
    spool.REFUSED: "the ledger refuses them",
    spool.DAMAGED: "unreadable in the spool",
}

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)


class Writer:
    """A component; see ``runtime.component``. Threads may share it.

    Args:
        ledger: Where rows go in the end.
        folder: The spool.
        configured: The settings of the store.
        node: This node's name.
        measured: The process's metrics.
        discarded: Told of each table whose rows are given up, at any time, from any thread.
        clock: Seconds that only go on.
        chance: A number from 0 to 1, so that not all nodes come back at once.
    """

    def __init__(
        self,
        ledger: transport.Transport,
        folder: pathlib.Path,
        configured: settings.Store,
        node: str,
        measured: metrics.Metrics,
        *,
        discarded: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ledger, self._metrics = ledger, measured
        self._clock, self._chance = clock, chance
        self._tell_discarded = discarded
        self._batch_seconds = configured.batch_seconds
        self._spool = spool.Spool(
            folder, most_bytes=configured.spool_bytes, batch_rows=configured.batch_rows, node=node,
            discarded=self._count_discarded, clock=clock,
        )  # fmt: skip
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._deadline = math.inf
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._refusals, self._not_before = 0, -math.inf
        self._failed = ""
        self._known = False
        self._counting = threading.Lock()
        self._delivered = 0
        self._gone: collections.Counter[tuple[str, str]] = collections.Counter()

    def start(self) -> None:
        """Take the spool, and offer what is in it from now on.

        Raises:
            SetupError: If the spool cannot be had.
        """
        self._spool.open()
        state = self._spool.state
        self._metrics.spool_bytes.set_function(lambda: state().bytes)
        self._metrics.spool_files.set_function(lambda: state().files)
        self._metrics.spool_oldest_seconds.set_function(lambda: state().oldest_seconds)
        self._thread.start()

    def stop(self) -> None:
        """Offer what is there, for a few seconds; what the ledger has not taken then stays on the disk."""
        self._deadline = self._clock() + STOP_SECONDS
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)
        left = self._spool.state()
        self._spool.close()
        if left.files:
            fields = {"files": left.files, "bytes": left.bytes, "because": self._failed or "time is up"}
            _log.warning("rows left in the spool", extra={"fields": fields})

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table) -> None:
        """Take rows for a table: when this returns they are on the disk, or counted as discarded.

        To statements of completeness it adds its own, so that the ledger knows what it never got.

        Raises:
            StoreError: If the writer does not run.
        """
        for part in batch.to_batches() if isinstance(batch, pa.Table) else [batch]:
            self._spool.append(table, part)
        if table == "completeness" and batch.num_rows:
            last = batch.slice(batch.num_rows - 1)
            self._state_own(
                int(columns.numbers(_whole(last.column("time")))[0]), last.column("node")[0].as_py()
            )
        self._wake.set()

    def check(self) -> str:
        """What keeps rows from the ledger; empty if nothing does."""
        return self._failed

    def _state_own(self, time: int, node: str) -> None:
        """A row of completeness about ourselves, in rows of flows.

        What cannot be put on the disk now is said the next time.
        """
        with self._counting:  # whoever else states something meanwhile has nothing of this to say
            delivered, self._delivered = self._delivered, 0
            gone, self._gone = self._gone, collections.Counter()
        reasons = sorted({f"{table}: {_WORDS[reason]}" for table, reason in gone})
        row: dict[str, object] = {
            "time": time, "node": node, "source": SOURCE, "observed": delivered, "lost": 0,
            "discarded": sum(rows for (table, _), rows in gone.items() if table == "flows"),
            "incomplete": 0, "note": "; ".join(reasons),
        }  # fmt: skip
        if not self._spool.append(
            "completeness", columns.batch(ddl.COMPLETENESS, {k: [v] for k, v in row.items()})
        ):
            with self._counting:
                self._delivered += delivered
                self._gone += gone

    def _count_discarded(self, table: str, reason: str, rows: int) -> None:
        self._metrics.discarded_rows.labels(table, reason).inc(rows)
        with self._counting:
            self._gone[table, reason] += rows
        self._tell_discarded(table)

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait = self._step()
            if wait:
                self._wake.wait(None if math.isinf(wait) else wait)
                self._wake.clear()
        self._drain()

    def _drain(self) -> None:
        """Offer what is there, before the deadline, unless the ledger is away."""
        self._spool.cut()
        while (left := self._deadline - self._clock()) > 0 and (file := self._spool.oldest()):
            if not self._offer(file):
                if self._refusals > _LAST_REFUSALS:
                    return
                self._wake.clear()
                self._wake.wait(min(self._not_before - self._clock(), left))

    def _step(self) -> float:
        """Offer one file, if one is due; in how many seconds the next may be, 0 for at once."""
        now = self._clock()
        if now < self._not_before:
            return self._not_before - now
        if (file := self._spool.oldest()) is None:
            since = self._spool.growing_since()
            if since is None:
                return math.inf
            if now < since + self._batch_seconds:
                return since + self._batch_seconds - now
            self._spool.cut()
            return 0.0
        return 0.0 if self._offer(file) else max(self._not_before - self._clock(), 0.001)

    def _offer(self, file: spool.File) -> bool:
        """Offer a file to the ledger; whether it is done with, one way or the other."""
        try:
            content = spoolfile.read(file.path)
            if content.rows.num_rows < file.rows or not content.token or content.table != file.name.table:
                raise pa.ArrowInvalid("it breaks off")
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            return self._give_up(file, spool.DAMAGED, str(error))
        except OSError as error:  # such as too many open files
            return self._wait(str(error))
        if because := self._stranger():
            return self._wait(because)
        try:
            with self._metrics.store_insert_seconds.time():
                self._ledger.insert(file.name.table, content.rows.slice(0, file.rows), token=content.token)
        except errors.StoreError as error:
            return self._weigh(file, error)
        except (OSError, MemoryError) as error:
            return self._wait(repr(error), sent=True)
        except Exception as error:  # the edge of the loop: one batch must not keep all others
            _log.debug("insert failed", exc_info=True)
            return self._give_up(file, spool.REFUSED, repr(error))
        self._spool.acknowledge(file)
        self._metrics.delivered_rows.labels(file.name.table).inc(file.rows)
        with self._counting:
            self._delivered += file.rows if file.name.table == "flows" else 0
        self._go_on()
        return True

    def _weigh(self, file: spool.File, error: errors.StoreError) -> bool:
        """What to do with a file that the ledger has refused; whether it is done with."""
        meaning = refusals.meaning(error)
        if meaning is refusals.Meaning.WAIT:
            return self._wait(str(error), sent=True)
        self._known = False
        if because := self._stranger():  # then it is not the rows
            return self._wait(because)
        if meaning is refusals.Meaning.UNCLEAR and self._refusals + 1 < DOUBTS:
            return self._wait(str(error))
        return self._give_up(file, spool.REFUSED, str(error))

    def _stranger(self) -> str:
        """What makes the ledger none that our rows are for, or keeps us from knowing; empty if it is one."""
        if not self._known:
            try:
                migrations.check(self._ledger)
            except Exception as error:  # no answer to a question of ours is a fault of the rows
                return str(error) or repr(error)
            self._known = True
        return ""

    def _give_up(self, file: spool.File, reason: str, because: str) -> bool:
        self._spool.set_aside(file, reason)
        _limited.warning(
            "rows set aside",
            table=file.name.table,
            rows=file.rows,
            file=file.path.name,
            because=_line(because),
        )
        self._go_on()
        return True

    def _wait(self, because: str, *, sent: bool = False) -> bool:
        self._spool.release(sent=sent)
        longest = min(_FIRST_WAIT_SECONDS * 2.0 ** min(self._refusals, 16), _LONGEST_WAIT_SECONDS)
        self._not_before = self._clock() + longest * (0.5 + self._chance() / 2)
        self._refusals += 1
        self._known = False
        self._failed = _line(because)
        self._metrics.store_retries.inc()
        _limited.warning("rows wait in the spool", files=self._spool.state().files, because=self._failed)
        return False

    def _go_on(self) -> None:
        if self._failed:
            _log.info("rows go on to the ledger", extra={"fields": {"refusals": self._refusals}})
        self._refusals, self._not_before, self._failed = 0, -math.inf, ""


def _line(text: str) -> str:
    """The first line of what an error says, if it is not too long for a log."""
    return text.strip().partition("\n")[0][:300]


def _whole(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> pa.Array[Any]:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
