"""From what sets have counted so far to what was counted since, and from two stages to what lies between."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.probe import decode
from model import asof

Rows = npt.NDArray[np.void]
Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

SECOND = 1_000_000_000
PERIOD = 4
"""Bytes at the end of a key that tell its counting period."""
_DAY = 86400


def row(key_length: int) -> np.dtype[np.void]:
    """The columns of counted edges.

    ``edge`` names the edge and ``element`` the edge in its period; ``key`` is the kernel's key with its
    period; ``packets`` and ``bytes`` may be below zero in a difference; times in ns since 1970.

    Args:
        key_length: Bytes of a key, period included.
    """
    return np.dtype([
        ("edge", "u8"), ("element", "u8"), ("key", "u1", (key_length,)), ("packets", "i8"), ("bytes", "i8"),
        ("first", "i8"), ("last", "i8"), ("settled", "i8"), ("changed", "i8"),
    ])  # fmt: skip


def edge_names(keys: decode.Bytes) -> Keys:
    """What names the edges of some keys without their period: equal only for equal ones."""
    words = np.ascontiguousarray(keys).view("<u4")
    return asof.mix(*words.T) if len(words) else np.zeros(0, np.uint64)


class Counts:
    """What one set has counted, as far as it was read.

    A key holds its period, so that it never comes back after the kernel has let it go: what is there has
    grown since the last time, or is new.
    """

    def __init__(self, key_length: int, timeout_seconds: int) -> None:
        self._timeout = timeout_seconds * SECOND
        self._known = np.zeros(0, row(key_length))
        """Sorted by ``element``; counts so far."""

    def take(self, found: decode.Elements, now: int, since: int) -> Rows:
        """What was counted since the last look, in the elements that were found.

        Args:
            found: Some or all elements of the set.
            now: When, in ns since 1970; shortly after the elements were read.
            since: Time of the last look.
        """
        present = self._rows(found, now)
        at = np.minimum(
            np.searchsorted(self._known["element"], present["element"]), max(len(self._known) - 1, 0)
        )
        known = (
            self._known["element"][at] == present["element"]
            if len(self._known)
            else np.zeros(len(present), bool)
        )
        grown = present.copy()
        # Below what it was is only after the clock was set back: then it is a new one after all.
        known &= present["packets"] >= (self._known["packets"][at] if len(self._known) else 0)
        for name in ("packets", "bytes"):
            grown[name][known] -= self._known[name][at[known]]
        grown["first"] = np.where(grown["packets"] == 1, grown["last"], np.minimum(since, grown["last"]))
        merged = np.concatenate([present, self._known])
        _, latest = np.unique(merged["element"], return_index=True)
        merged = merged[latest]
        self._known = merged[merged["last"] > now - 2 * self._timeout]
        return grown[grown["packets"] > 0]

    def _rows(self, found: decode.Elements, now: int) -> Rows:
        """Each element once, sorted by name; the kernel may have given one twice, at different times."""
        rows = np.zeros(len(found), self._known.dtype)
        rows["key"], rows["packets"], rows["bytes"] = found.keys, found.packets, found.bytes
        rows["edge"] = edge_names(found.keys[:, :-PERIOD])
        rows["element"] = edge_names(found.keys)
        rows["changed"] = now
        rows["last"] = now - self._timeout + found.expires * (SECOND // 1000)
        order = np.lexsort((-rows["packets"], rows["element"]))
        rows = rows[order]
        _, first = np.unique(rows["element"], return_index=True)
        return rows[first]

    def keys_of(self, edges: Keys, period_seconds: int) -> decode.Bytes:
        """The keys under which packets of these edges may have been counted at the next stage.

        A packet that was counted here at the very end of a period may be counted there in the next one.
        """
        here = self._known[np.isin(self._known["edge"], edges)]
        began = np.ascontiguousarray(here["key"][:, -PERIOD:]).view("<u4")[:, 0].astype(np.int64)
        following = began + period_seconds
        following[following >= _DAY] = 0
        margin = 2  # seconds, for packets on their way and for the kernel's own count of ticks
        left = (began + period_seconds) - here["last"] // SECOND % _DAY
        late = here["key"][left <= margin].copy()
        late[:, -PERIOD:] = following[left <= margin].astype("<u4")[:, None].view(np.uint8)
        return np.unique(np.concatenate([here["key"], late]), axis=0)


class Balance:
    """Packets that one stage has counted and the next has not, by edge.

    What is left once nothing is on its way any more was dropped in between. Below zero is what the next stage
    was seen to count before the first: it evens out at the next look.
    """

    def __init__(self, key_length: int) -> None:
        self._rows = np.zeros(0, row(key_length))
        """Sorted by ``edge``, none with a balance of zero. ``settled`` is the balance at ``_settled_at``."""
        self._settled_at = 0

    def add(self, before: Rows, after: Rows) -> None:
        """Count in what the first and the second of two stages have counted since the last time."""
        minus = after.copy()
        minus["packets"], minus["bytes"] = -after["packets"], -after["bytes"]
        minus["last"] = 0  # it says nothing about what was dropped
        minus["first"] = np.iinfo(np.int64).max
        both = np.concatenate([self._rows, before, minus])
        both = both[np.argsort(both["edge"], kind="stable")]
        edges, first = np.unique(both["edge"], return_index=True)
        merged = both[first]
        if len(edges):
            for name in ("packets", "bytes", "settled"):
                merged[name] = np.add.reduceat(both[name], first)
            merged["first"] = np.minimum.reduceat(both["first"], first)
            for name in ("last", "changed"):
                merged[name] = np.maximum.reduceat(both[name], first)
        self._rows = merged[merged["packets"] != 0]

    def due(self, now: int, settle: int) -> Rows:
        """What can be told for certain to have been dropped, if the next stage's counts are right.

        That is what was left over before, and all of an edge on which nothing has come for long enough.

        Args:
            now: In ns since 1970.
            settle: How long a packet may be on its way, in ns.
        """
        rows = self._rows.copy()
        # a clock that was set back must not keep us waiting
        long_ago = abs(now - self._settled_at) >= settle
        earlier = rows["settled"] if long_ago else np.zeros(len(rows), np.int64)
        quiet = rows["last"] <= now - settle
        packets = np.maximum(np.where(quiet, rows["packets"], np.minimum(rows["packets"], earlier)), 0)
        rows["bytes"] = rows["bytes"] * packets // np.maximum(rows["packets"], 1)
        rows["packets"] = packets
        return rows[packets > 0]

    def left(self) -> Rows:
        """All that is left over, told or not, and whether on its way or not."""
        return self._rows[self._rows["packets"] > 0]

    def tell(self, told: Rows) -> None:
        """Take off what is told."""
        self.add(told[:0], told)
        rest = np.isin(self._rows["edge"], told["edge"])
        self._rows["first"][rest] = self._settled_at  # what is left came later than what was told

    def settle(self, now: int, settle: int, forget_before: int) -> None:
        """Keep what is left over until the next look, and let go of what has not changed since a moment."""
        rows = self._rows
        if abs(now - self._settled_at) >= settle:
            rows["settled"], self._settled_at = rows["packets"], now
        rows["settled"] = np.clip(rows["settled"], 0, np.maximum(rows["packets"], 0))
        self._rows = rows[rows["changed"] > forget_before]
