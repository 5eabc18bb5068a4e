"""From one scan of a map to the next: which entries live on, which are new, and which have ended."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.conntrack import decode

_PACKETS = ("forward_packets", "reverse_packets")
_BYTES = ("forward_bytes", "reverse_bytes")


class Lives:
    """The entries of one map, each with one key for its whole life.

    A map tells nothing of an end: an entry ends when a scan lacks it, with the counts that it had before, and
    what it carried after that is not known. Felix removes entries that were silent for some time, so for most
    that is nothing. But where an interval is longer than an entry outlives its last packet (30 s after FINs,
    5 s for ICMP), or a full map of type LRU_HASH evicts a living one to make room, packets are missed, and
    whole connections may be. Nobody counts them.
    """

    def __init__(self) -> None:
        self._rows = np.zeros(0, decode.CONNECTION)
        """Sorted by tuple, each once."""
        self._primed = False
        self.fresh = 0

    @property
    def rows(self) -> decode.Connections:
        """The living ones as they were last seen."""
        return self._rows

    def update(self, found: decode.Connections) -> decode.Connections:
        """Take in a scan; the living ones, and those that have ended since the last one as ``destroyed``.

        ``started`` of those that are new is when they were first seen to be used, which is exact for a first
        packet and at most as late as this scan; it is 0 for those that the first of all scans finds. An entry
        whose bytes went back is another connection of the same five-tuple. Packets are counted in 32 bits by
        the map and go on here.

        Args:
            found: What the map has, in any order; of rows with one tuple the one with most bytes counts.
        """
        now, before = _distinct(found), self._rows
        at = find(before["tuple"], now["tuple"])
        known = at >= 0
        for name in _BYTES:
            known[known] &= now[name][known] >= before[name][at[known]]
        earlier = before[at[known]]
        for name in _PACKETS:
            gained = now[name][known].astype(np.uint32) - earlier[name].astype(np.uint32)
            now[name][known] = earlier[name] + gained
        now["started"] = now["stopped"] if self._primed else 0
        now["started"][known] = earlier["started"]
        self.fresh = int((~known).sum()) if self._primed else 0
        self._rows, self._primed = decode.keyed(now), True
        ended = np.ones(len(before), bool)
        ended[at[known]] = False
        gone = before[ended]
        gone["destroyed"] = True
        return decode.concatenate([self._rows, gone])


def _distinct(found: decode.Connections) -> decode.Connections:
    """Each tuple once, sorted by it."""
    carried = found["forward_bytes"] + found["reverse_bytes"]
    order = np.lexsort((carried, found["tuple"]))
    tuples = found["tuple"][order]
    last = np.append(tuples[1:] != tuples[:-1], True)[: len(order)]
    return decode.take(found, order[last])


def find(known: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Place of each wanted number among sorted known ones; -1 where it is not there."""
    if not len(known):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, -1)
