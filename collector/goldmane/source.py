"""Records what Goldmane has, window by window, while this process leads: a component.

One thread does all of it; another only reads the stream and hands on what comes. Each window is recorded
once, in order, so that the last one in the ledger says where to go on, whoever does: what is offered twice,
because somebody died in between, the ledger knows by the window's name.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from collector.goldmane import client, keys, windows
from model import errors
from runtime import logs

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

_SECOND = 1_000_000_000
_LOOK_SECONDS = 1.0
_JOIN_SECONDS = 10.0
_HELD = 100_000
"""Streamed flows that wait for us; then the stream waits, and Goldmane drops what it cannot send."""

_KEYS_HELD = 300_000
"""Keys name pods' templates and rules, so that every rollout makes new ones; each takes some kilobytes."""

_EMPTY = "Goldmane has no flow of this time"
_TAKEN_OVER = "what came late to the five minutes before was not looked for"


class Ledger(Protocol):
    """Where windows are recorded."""

    def last(self) -> int:
        """When the last window that is recorded ended, in ns since 1970; 0 for none.

        Raises:
            StoreError: If nobody can tell.
        """

    def record(self, window: windows.Window, known: keys.Keys) -> None:
        """Record a window, once, however often it is told to.

        Raises:
            StoreError: If it does not, or perhaps not; then the window is offered again.
        """

    def missed(self, since: int, until: int) -> None:
        """There are windows of which nobody knows anything any more; both in ns since 1970.

        Raises:
            StoreError: As for `record`.
        """


class Source:
    """A component; see ``runtime.component``.

    Args:
        goldmane: Where flows are asked for.
        ledger: Where they are recorded.
        leads: Whether this process is the one that does it.
        now: The time, in seconds since 1970.
        pauses: How long to wait after an error at first, and at most, in seconds.
        chance: A number from 0 to 1, so that not all come back at once.
        keys_held: How many different keys are remembered before all are forgotten.
    """

    def __init__(
        self, goldmane: client.Client, ledger: Ledger, *, leads: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time, pauses: tuple[float, float] = (1.0, 30.0),
        chance: Callable[[], float] = random.random, keys_held: int = _KEYS_HELD,
    ) -> None:  # fmt: skip
        self._goldmane, self._ledger, self._leads = goldmane, ledger, leads
        self._now, self._pauses, self._chance = now, pauses, chance
        self._known = keys.Keys(sys.maxsize)  # we say when they begin anew
        self._schedule = windows.Schedule(self._known)
        self._keys_held, self._distinct = keys_held, 0
        self._failed, self._failures = "", 0
        self._note = ""
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="goldmane", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def stop(self) -> None:
        """End it, after the window that is being recorded."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def check(self) -> str:
        """What keeps flows from the ledger; empty if nothing does, or another process records them."""
        return self._failed

    def nudge(self) -> None:
        """Look at once whether there is something to do, rather than within a second."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._goes_on():
                    self._follow()
                else:
                    self._rest()
            except errors.FlowledgerError as error:
                self._fail(str(error))
            except Exception as error:  # the edge of the loop
                _log.debug("recording goldmane's flows failed", exc_info=True)
                self._fail(repr(error))

    def _goes_on(self) -> bool:
        return not self._stopping.is_set() and self._leads()

    def _rest(self) -> None:
        """Somebody else leads."""
        self._schedule.forget()
        self._failed, self._failures = "", 0
        self._wait(_LOOK_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _fail(self, because: str) -> None:
        self._failed = because
        _limited.warning("goldmane's flows are not recorded", because=because)
        first, longest = self._pauses
        pause = min(first * 2.0 ** min(self._failures, 16), longest)
        self._failures += 1
        self._stopping.wait(pause * (0.5 + self._chance() / 2))

    def _follow(self) -> None:
        """Record over one connection, until it breaks or somebody else leads."""
        with self._goldmane.connect() as connection:
            self._begin()
            self._record_due(connection)
            while self._goes_on():
                with self._streaming(connection) as reader:
                    self._keep_up(connection, reader)

    def _begin(self) -> None:
        """Find where to go on: behind what we have recorded, or whoever did so before us."""
        last = self._schedule.next
        if last is None:
            last = self._ledger.last() // _SECOND
            self._note = _TAKEN_OVER if last else ""
        if gap := self._schedule.begin(last, self._now()):
            self._miss(*gap)

    def _miss(self, since: int, until: int) -> None:
        """Nobody will ever record a span; both in seconds since 1970."""
        _log.warning(
            "goldmane has forgotten what is not recorded", extra={"fields": {"seconds": until - since}}
        )
        try:
            self._ledger.missed(since * _SECOND, until * _SECOND)
        except errors.FlowledgerError:
            self._schedule.forget()  # the ledger is asked again then, and finds the same gap
            raise

    @contextlib.contextmanager
    def _streaming(self, connection: client.Connection) -> Iterator[_Reader]:
        reader = _Reader(connection.stream(self._schedule.gain_stream()), self._wake)
        reader.start()
        try:
            yield reader
        finally:
            self._schedule.lose_stream()
            reader.stop()

    def _keep_up(self, connection: client.Connection, reader: _Reader) -> None:
        """Record what comes, until the stream breaks.

        Where there is no stream to be had, as Goldmane has enough of them, a minute of windows is listed.
        """
        alone = 0.0
        while self._goes_on():
            for result in reader.heard():
                self._schedule.take(result)
            if (broken := reader.broken) is not None:
                if not broken.full:
                    raise broken
                alone = alone or self._now() + 60
                _limited.warning("goldmane gives us no stream: its windows are listed", because=str(broken))
                if self._now() >= alone:
                    return
            self._record_due(connection)
            self._settle(connection)
            if self._distinct > self._keys_held:
                self._forget_keys()
                return
            self._wait(_LOOK_SECONDS)

    def _forget_keys(self) -> None:
        """Begin with none; what was recorded can no longer be compared with what comes late."""
        following = self._schedule.next or 0
        self._known, self._distinct, self._note = keys.Keys(sys.maxsize), 0, _TAKEN_OVER
        self._schedule = windows.Schedule(self._known)
        self._schedule.begin(following, self._now())

    def _record_due(self, connection: client.Connection) -> None:
        for start in self._schedule.due(self._now()):
            if not self._goes_on():
                return
            now, found, missing, strange = self._now(), self._schedule.streamed(start), 0, 0
            if found is None:
                listed = connection.window(start)
                found, strange = windows.tally(listed.results, start, self._known)
                missing = listed.missing
            note = self._note or ("" if found else _EMPTY)
            self._write(start, found, missing=missing, unreadable=strange, note=note)
            self._note = ""
            self._schedule.done(start, found, now)
            self._failed, self._failures = "", 0

    def _settle(self, connection: client.Connection) -> None:
        for start, recorded in self._schedule.unsettled(self._now()):
            if not self._goes_on():
                return
            listed = connection.window(start)
            found, _ = windows.tally(listed.results, start, self._known)
            if late := windows.since_then(found, recorded):
                self._write(start, late, late=True)
            self._schedule.settled(start)

    def _write(self, start: int, found: windows.Tally, **more: object) -> None:
        arrived = int(self._now() * _SECOND)
        self._ledger.record(windows.window(start, found, arrived, **more), self._known)
        self._distinct = max(self._distinct, 1 + max(found, default=-1))


class _Reader:
    """Reads a stream in a thread of its own.

    Args:
        stream: What is read.
        wake: Set when something has come.
    """

    def __init__(self, stream: client.Stream, wake: threading.Event) -> None:
        self._stream, self._wake = stream, wake
        self._heard: queue.Queue[object] = queue.Queue(_HELD)
        self._stopping = threading.Event()
        self.broken: errors.GoldmaneError | None = None
        """Why there is nothing more to read."""
        self._thread = threading.Thread(target=self._run, name="goldmane-stream", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End it; the thread ends with the stream."""
        self._stopping.set()
        self._stream.cancel()
        self._thread.join(_JOIN_SECONDS)

    def heard(self) -> Iterator[object]:
        """What has come by now."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._heard.get_nowait()

    def _run(self) -> None:
        try:
            for result in self._stream:
                self._put(result)
                if self._stopping.is_set():
                    return
        except errors.GoldmaneError as error:
            self.broken = error
        except Exception as error:  # the edge of the thread
            self.broken = errors.GoldmaneError(f"Goldmane's stream: {error!r}")
        self._wake.set()

    def _put(self, result: object) -> None:
        while not self._stopping.is_set():
            try:
                self._heard.put(result, timeout=_LOOK_SECONDS)
            except queue.Full:
                self._wake.set()
            else:
                return
