"""What each connection has done since the last time we looked."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from collector.conntrack import decode

COUNTERS = ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes")
_ROW = np.dtype([
    ("key", "u8"), ("tuple", "u8"), *((counter, "u8") for counter in COUNTERS),
    ("trace", "i4"), ("ended", "?"), ("missed", "u1"),
])  # fmt: skip
_RAW = np.dtype(f"V{_ROW.itemsize}")  # numpy copies rows of bytes whole, rows of fields field by field
_KEPT = ("key", "tuple", *COUNTERS)
_TCP = 6
_TCP_TIME_WAIT, _TCP_CLOSE = 7, 8
_MISSES = 2
"""An entry is given up when two dumps in a row lack it: one dump can pass over an entry while the kernel's
table is being resized."""


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """The connections with something to report, one row each.

    Attributes:
        entries: The entries as last seen, but with the counters of this interval only.
        traces: Code of the policy trace of each; 0 where none is known.
        started: Which are reported for the first time.
        ended: Which have ended in this interval.
        vanished: How many entries went without a word: their end, and what they still carried, is lost.
    """

    entries: decode.Connections
    traces: npt.NDArray[np.int32]
    started: npt.NDArray[np.bool_]
    ended: npt.NDArray[np.bool_]
    vanished: int


class Table:
    """The living connections with what was already reported of them.

    Args:
        since: Nanoseconds since 1970. What an entry older than this carried before it was first seen has
            been reported by an earlier life of this process, or never will be: it is not reported as new.
    """

    def __init__(self, since: int) -> None:
        self._since = since
        self._until = 0
        self._primed = False
        self._rows = np.zeros(0, _ROW)
        """Sorted by key."""

    def __len__(self) -> int:
        return len(self._rows)

    def update(self, seen: decode.Connections, until: int | None = None) -> Changes:
        """Take in what was read, each entry once, sorted by key; give back what is new in it.

        Args:
            seen: What was read.
            until: When, in ns since 1970.
        """
        if until is not None:
            if until < self._until:  # the clock was set back: who is not known yet is new, whatever it says
                self._since = 0
            self._until = until
        found = self._find(seen["key"])
        known = found >= 0
        before = np.zeros(len(seen), _RAW)
        before[known] = self._rows.view(_RAW)[found[known]]
        before = before.view(_ROW)
        started = ~known & ~self._is_old(seen)
        deltas = {counter: self._delta(seen, before, counter, known, started) for counter in COUNTERS}
        ended = (seen["destroyed"] | _is_closed(seen)) & ~before["ended"]
        report = started | (ended & (seen["protocol"] == _TCP))
        for delta in deltas.values():
            report |= delta > 0
        entries = decode.take(seen, np.flatnonzero(report))
        for counter, delta in deltas.items():
            entries[counter] = delta[report]
        vanished = self._replace(seen, before["trace"], ended | before["ended"], found)
        return Changes(entries, before["trace"][report], started[report], ended[report], vanished)

    @staticmethod
    def _delta(
        seen: decode.Connections,
        before: npt.NDArray[np.void],
        counter: str,
        known: npt.NDArray[np.bool_],
        started: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.uint64]:
        """What a counter has gained; one that went back was reset, and all it shows has come since."""
        now = np.ascontiguousarray(seen[counter])
        base = np.where(known, before[counter], np.where(started, np.uint64(0), now))
        delta: npt.NDArray[np.uint64] = now - np.where(base > now, np.uint64(0), base)
        return delta

    def remember(self, keys: npt.NDArray[np.uint64], traces: npt.NDArray[np.int32]) -> None:
        """Keep the policy trace of living connections, for all their later rows."""
        found = self._find(keys)
        self._rows["trace"][found[found >= 0]] = traces[found >= 0]

    def _find(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        known = self._rows["key"]
        if not len(known):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, at, -1)

    def _is_old(self, seen: decode.Connections) -> npt.NDArray[np.bool_]:
        """Entries that began before us; where the kernel keeps no times, those of the very first dump."""
        without_time = seen["started"] == 0
        old: npt.NDArray[np.bool_] = np.where(without_time, not self._primed, seen["started"] < self._since)
        self._primed = True
        return old

    def _replace(
        self,
        seen: decode.Connections,
        traces: npt.NDArray[np.int32],
        ended: npt.NDArray[np.bool_],
        found: npt.NDArray[np.int64],
    ) -> int:
        living = np.flatnonzero(~seen["destroyed"])
        rows = np.zeros(len(living), _ROW)
        for name in _KEPT:
            rows[name] = seen[name][living]
        rows["trace"], rows["ended"] = traces[living], ended[living]
        absent = np.ones(len(self._rows), bool)
        absent[found[found >= 0]] = False
        missing = self._rows[absent]
        missing["missed"] += 1
        kept = missing[missing["missed"] < _MISSES]
        merged = np.concatenate([rows.view(_RAW), kept.view(_RAW)])
        if len(kept):
            merged = merged[np.argsort(merged.view(_ROW)["key"], kind="stable")]
        self._rows = merged.view(_ROW)
        return len(missing) - len(kept)


def _is_closed(entries: decode.Connections) -> npt.NDArray[np.bool_]:
    """TCP connections that are over, though the kernel keeps their entry for a while."""
    closed: npt.NDArray[np.bool_] = (entries["protocol"] == _TCP) & (
        (entries["state"] == _TCP_TIME_WAIT) | (entries["state"] == _TCP_CLOSE)
    )
    return closed
