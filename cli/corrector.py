"""Late news: flows that are in the ledger already are named again by what is known now.

A pod may be heard of after its first connection was written, and a collector learns of it later still. So
what is new of an address is looked into a few times, until nobody can write old names of it any more.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from cli import naming
from enrich import changes
from model import columns, errors
from runtime import logs, metrics
from store import corrections, transport

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

_SECOND = 1_000_000_000
_STEP_SECONDS = 5.0
_LOOKS = (10 * _SECOND, 35 * _SECOND, 300 * _SECOND)
"""How long after the news: most rows are there, slow collectors have written theirs, the ledger was away."""
_BEHIND = 120 * _SECOND
"""How far back the other half of a translated connection is looked for: both nodes have written by then."""
_JOIN_SECONDS = 60.0
"""Until then nobody else may correct: a batch that was begun is answered by then."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Look:
    """Addresses to look at, since when each is affected, and how often that was done."""

    due: int
    affected: dict[bytes, int]
    done: int = 0


class _EndedError(Exception):
    """This process is not, or not any more, the one that corrects."""


class Corrector:
    """A component.

    Args:
        named: The names of this process.
        ledger: What to correct.
        measured: The process's metrics.
        back: How far back rows are corrected, in ns.
        places: On a cluster the ledgers of all its hosts.
        leads: Whether this process is the one that does it.
        now: The time, in ns since 1970.
    """

    def __init__(
        self, named: naming.Naming, ledger: transport.Transport, measured: metrics.Metrics, *, back: int,
        places: Sequence[transport.Transport] = (), leads: Callable[[], bool] = lambda: True,
        now: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._naming, self._ledger, self._metrics = named, ledger, measured
        self._back, self._places, self._leads, self._now = back, places, leads, now
        self._led = False
        self._offered: tuple[pa.RecordBatch, pa.RecordBatch] | None = None
        self._lock = threading.Lock()
        self._looks: list[_Look] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="corrector", daemon=True)
        named.listen(self._hear)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was begun is finished by whoever corrects next."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def step(self) -> int:
        """Look at what is due; how many rows were corrected.

        Raises:
            StoreError: If the ledger does not answer; then it is looked at again.
        """
        now = self._now()
        with self._lock:
            due = [look for look in self._looks if look.due <= now]
            self._looks = [look for look in self._looks if look.due > now]
        affected: dict[bytes, int] = {}
        for look in due:
            for address, since in look.affected.items():
                affected[address] = min(since, affected.get(address, since))
        try:
            self._take_over()
            corrected = self._look_behind() + self._correct(affected, now)
        except _EndedError:  # whoever leads now may end in the middle of it: then what is left is ours
            self._led, self._offered = False, None
            self._again(due, now, further=1)
            return 0
        except BaseException:
            self._again(due, now, further=0)
            raise
        self._again(due, now, further=1)
        return corrected

    def _take_over(self) -> None:
        """Go on where this process, or another one, has ended."""
        self._require()
        if self._offered:  # it may be in the ledger, or in a part of its tables: the same again counts once
            self._offer(*self._offered)
        if not self._led:
            corrections.finish(self._ledger, self._places)
        self._led = True

    def _require(self) -> None:
        if self._stopping.is_set() or not self._leads():
            raise _EndedError

    def _hear(self, news: changes.Changes) -> None:
        if news.affected:
            with self._lock:
                self._looks.append(_Look(self._now() + _LOOKS[0], news.affected))

    def _again(self, looks: list[_Look], now: int, further: int) -> None:
        """Have these looked at another time."""
        with self._lock:
            for look in looks:
                if (done := look.done + further) < len(_LOOKS):
                    wait = _LOOKS[done] - _LOOKS[done - 1] if further else int(_STEP_SECONDS * _SECOND)
                    self._looks.append(_Look(now + wait, look.affected, done))

    def _correct(self, affected: dict[bytes, int], now: int) -> int:
        corrected = 0
        recent = sorted(affected, key=affected.__getitem__)
        for place in range(0, len(recent), corrections.MOST_ADDRESSES):
            some = recent[place : place + corrections.MOST_ADDRESSES]
            since = max(affected[some[0]], now - self._back)
            for batch in corrections.candidates(self._ledger, some, since):
                corrected += self._rename(batch)
        return corrected

    def _look_behind(self) -> int:
        """Name who is behind an address that others left under."""
        since = self._now() - _BEHIND
        return sum(self._rename(halves.old, halves.new) for halves in corrections.behind(self._ledger, since))

    def _rename(self, old: pa.RecordBatch, wanted: pa.RecordBatch | None = None) -> int:
        new, sure = self._naming.again(wanted or old, judge=wanted is None)
        kept = columns.array(np.flatnonzero(sure), pa.int64())
        return self._offer(old.take(kept), new.take(kept))

    def _offer(self, old: pa.RecordBatch, new: pa.RecordBatch) -> int:
        self._require()
        self._offered = old, new
        try:
            count = corrections.correct(self._ledger, old, new, self._places)
        except errors.StoreError:
            raise  # it may be there nevertheless
        except Exception:  # it was not sent: to offer it again would fail again, and for ever
            self._offered = None
            raise
        self._offered = None
        self._metrics.corrected_flows.inc(count)
        return count

    def _run(self) -> None:
        while not self._stopping.wait(_STEP_SECONDS):
            try:
                if count := self.step():
                    _log.info("flows named again", extra={"fields": {"flows": count}})
            except errors.StoreError as error:
                _limited.warning("late names wait for the ledger", error=str(error))
            except Exception as error:  # the edge of the loop: it is looked at again
                _limited.warning("late names not given", error=repr(error))
