"""What each connection has done since the last time we looked."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from collector.conntrack import decode

_ROW = np.dtype([("entry", decode.CONNECTION), ("trace", "i4"), ("ended", "?"), ("missed", "u1")])
_TCP = 6
_TCP_TIME_WAIT, _TCP_CLOSE = 7, 8
_MISSES = 2
"""An entry is given up when two dumps in a row lack it: one dump can pass over an entry while the kernel's
table is being resized."""

COUNTERS = ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes")


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
        self._primed = False
        self._rows = np.zeros(0, _ROW)
        """Sorted by key."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def tuples(self) -> npt.NDArray[np.uint64]:
        """The five-tuple keys of all living connections."""
        tuples: npt.NDArray[np.uint64] = self._rows["entry"]["tuple"]
        return tuples

    def update(self, seen: decode.Connections) -> Changes:
        """Take in what was read, each entry once, sorted by key; give back what is new in it."""
        found = self._find(seen["key"])
        known = found >= 0
        before = self._rows[np.maximum(found, 0)] if len(self._rows) else np.zeros(len(seen), _ROW)
        started = ~known & ~self._is_old(seen)
        entries = seen.copy()
        for counter in COUNTERS:
            base = np.where(known, before["entry"][counter], np.where(started, 0, seen[counter])).astype(
                np.uint64
            )
            # a counter that went back was reset: all it shows has come since
            entries[counter] = seen[counter] - np.where(base > seen[counter], np.uint64(0), base)
        closed = _is_closed(seen)
        already = known & before["ended"]
        ended = (seen["destroyed"] | closed) & ~already
        moved = np.any([entries[counter] > 0 for counter in COUNTERS], axis=0) if len(seen) else started
        traces = np.where(known, before["trace"], 0).astype(np.int32)
        report = moved | started | (ended & (seen["protocol"] == _TCP))
        vanished = self._replace(seen, traces, ended | already, found)
        return Changes(entries[report], traces[report], started[report], ended[report], vanished)

    def remember(self, keys: npt.NDArray[np.uint64], traces: npt.NDArray[np.int32]) -> None:
        """Keep the policy trace of living connections, for all their later rows."""
        found = self._find(keys)
        self._rows["trace"][found[found >= 0]] = traces[found >= 0]

    def _find(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        known = self._rows["entry"]["key"]
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
        living = ~seen["destroyed"]
        rows = np.zeros(int(living.sum()), _ROW)
        rows["entry"], rows["trace"], rows["ended"] = seen[living], traces[living], ended[living]
        absent = np.ones(len(self._rows), bool)
        absent[found[found >= 0]] = False
        missing = self._rows[absent]
        missing["missed"] += 1
        given_up = missing["missed"] >= _MISSES
        merged = np.concatenate([rows, missing[~given_up]])
        self._rows = merged[np.argsort(merged["entry"]["key"], kind="stable")]
        return int(given_up.sum())


def _is_closed(entries: decode.Connections) -> npt.NDArray[np.bool_]:
    """TCP connections that are over, though the kernel keeps their entry for a while."""
    closed: npt.NDArray[np.bool_] = (entries["protocol"] == _TCP) & (
        (entries["tcp_state"] == _TCP_TIME_WAIT) | (entries["tcp_state"] == _TCP_CLOSE)
    )
    return closed
