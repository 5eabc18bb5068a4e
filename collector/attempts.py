"""Logged packets, put together: which rules one attempt to connect met, and how it ended."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from collector import traces
from collector.nflog import decode
from model import asof

ATTEMPT = np.dtype([
    ("key", "u8"), ("tuple", "u8"), ("first", "i8"), ("last", "i8"), ("packets", "u8"), ("bytes", "u8"),
    ("src", "u1", (16,)), ("dst", "u1", (16,)), ("trace", "i4"),
    ("src_port", "u2"), ("dst_port", "u2"), ("protocol", "u1"), ("icmp_type", "u1"), ("icmp_code", "u1"),
    ("denied", "?"), ("started", "?"),
])  # fmt: skip
"""One attempt in one interval. ``packets`` and ``bytes`` are those denied; ``first`` and ``last`` in ns since
1970; ``started`` where no earlier interval has reported it."""

Attempts = npt.NDArray[np.void]

_FORGET = 120 * 1_000_000_000
"""After so long without a packet an attempt is over: longer than the longest pause between two SYNs that
Linux sends for one connect() (64 s)."""


class Log:
    """The packets of attempts whose end we do not know yet, and what was already reported."""

    def __init__(self, known: traces.Traces) -> None:
        self._traces = known
        self.unread = 0
        """Packets since the start whose prefix no grammar reads."""
        self._waiting = np.zeros(0, decode.PACKET)
        """Packets whose attempt is not settled; their ``prefix`` is a hit code."""
        self._reported = np.zeros(0, np.dtype([("key", "u8"), ("first", "i8"), ("last", "i8")]))
        """Denied attempts, sorted by key."""

    def add(self, packets: decode.Packets, prefixes: list[str]) -> None:
        """Take in what was read from NFLOG."""
        codes = self._traces.hit_codes(prefixes)
        packets = packets.copy()
        packets["prefix"] = codes[packets["prefix"]] if len(codes) else packets["prefix"]
        read = packets["prefix"] != traces.NO_HIT
        self.unread += int((~read).sum())
        self._waiting = np.concatenate([self._waiting, packets[read]])

    def take(self, until: int) -> Attempts:
        """The attempts of all packets up to a moment, which are given out once."""
        due = self._waiting["time"] <= until
        packets, self._waiting = self._waiting[due], self._waiting[~due]
        return self._group(packets)

    def _group(self, packets: decode.Packets) -> Attempts:
        keys = asof.mix(packets["tuple"], packets["tcp_sequence"])
        ingress, deny = self._traces.is_ingress(), self._traces.is_deny()
        hits = packets["prefix"]
        side = ingress[hits] if len(hits) else np.zeros(0, bool)
        order = np.lexsort((packets["sequence"], side, keys))
        packets, keys = packets[order], keys[order]
        denied = deny[packets["prefix"]] if len(packets) else np.zeros(0, bool)
        unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        out = np.zeros(len(unique), ATTEMPT)
        for name in ("tuple", "src", "dst", "src_port", "dst_port", "protocol", "icmp_type", "icmp_code"):
            out[name] = packets[name][first]
        out["key"] = unique
        out["packets"] = np.bincount(inverse, denied, len(unique))
        out["bytes"] = np.bincount(inverse, denied * packets["length"].astype(np.float64), len(unique))
        out["denied"] = out["packets"] > 0
        if len(unique):
            out["first"] = np.minimum.reduceat(packets["time"], first)
            out["last"] = np.maximum.reduceat(packets["time"], first)
        out["trace"] = self._trace_codes(packets["prefix"], inverse, len(unique))
        return out

    def _trace_codes(
        self, hits: npt.NDArray[np.int32], attempt: npt.NDArray[np.int64], count: int
    ) -> traces.Codes:
        """The trace of each attempt: its hits in order, each once however many packets met it."""
        pairs = (attempt << 32) | hits
        _, first = np.unique(pairs, return_index=True)
        first.sort()
        hits, attempt = hits[first], attempt[first]
        length = np.bincount(attempt, minlength=count)
        place = np.arange(len(hits)) - np.repeat(np.cumsum(length) - length, length)
        table = np.full((count, int(length.max(initial=0))), traces.NO_HIT, np.int32)
        table[attempt, place] = hits
        # NumPy's unique over rows sorts bytes; over one mixed key it sorts integers
        _, sample, which = np.unique(
            asof.mix(*table.T, np.zeros(count)), return_index=True, return_inverse=True
        )
        codes = [self._traces.code(tuple(int(h) for h in table[row] if h != traces.NO_HIT)) for row in sample]
        return np.array(codes, np.int32)[which] if count else np.zeros(0, np.int32)

    def settle(self, attempts: Attempts) -> Attempts:
        """Denied attempts, each knowing whether it was reported before and when it began."""
        out = attempts.copy()
        known = self._reported
        at = np.minimum(np.searchsorted(known["key"], out["key"]), max(len(known) - 1, 0))
        old = known["key"][at] == out["key"] if len(known) else np.zeros(len(out), bool)
        out["started"] = ~old
        out["first"][old] = known["first"][at[old]]
        self._report(out)
        return out

    def _report(self, attempts: Attempts) -> None:
        new = np.zeros(len(attempts), self._reported.dtype)
        for name in ("key", "first", "last"):
            new[name] = attempts[name]
        merged = np.concatenate([new, self._reported])
        _, latest = np.unique(merged["key"], return_index=True)
        self._reported = merged[latest]

    def forget(self, now: int) -> None:
        """Let go of attempts that nothing was heard of for long."""
        self._reported = self._reported[self._reported["last"] > now - _FORGET]


@dataclasses.dataclass(slots=True)
class Unmatched:
    """Attempts that no rule denied, and whose connection we have not seen: it may appear yet.

    Attributes:
        attempts: They, with the number of intervals that each has waited.
        given_up: How many never got one: dropped by something that logs nothing, or their entry was
            gone before it could be read.
    """

    attempts: Attempts = dataclasses.field(default_factory=lambda: np.zeros(0, ATTEMPT))
    waited: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    given_up: int = 0

    def with_new(self, attempts: Attempts) -> Attempts:
        """The waiting ones and the new ones; they wait from now on unless told otherwise."""
        self.attempts = np.concatenate([self.attempts, attempts])
        self.waited = np.concatenate([self.waited + 1, np.zeros(len(attempts), np.int64)])
        return self.attempts

    def keep(self, waiting: npt.NDArray[np.bool_], patience: int) -> None:
        """Let go of all but these, and of those that have waited longer than ``patience`` intervals."""
        late = waiting & (self.waited > patience)
        self.given_up += int(late.sum())
        self.attempts, self.waited = self.attempts[waiting & ~late], self.waited[waiting & ~late]
