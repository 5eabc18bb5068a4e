"""Rule counters against logged packets: two counts of the same thing, by two ways that fail apart."""

from __future__ import annotations

from collections.abc import Mapping

from model import policyhit

Packets = Mapping[policyhit.PolicyHit, int]


class Reconciliation:
    """What rules have counted and nobody has told us of.

    Counters are read before the packets of the same interval, so that what was counted has been seen, unless
    it is lost. What is seen beyond that is counted the next time; it may cover up a loss for so long. And
    a packet may be late, and a loss be known by the next packet that comes only: so what is missing counts if
    it is missing an interval later still.
    """

    def __init__(self) -> None:
        self._ahead: dict[policyhit.PolicyHit, int] = {}
        """Packets counted and not seen, by rule."""
        self._missing: dict[policyhit.PolicyHit, int] = {}
        self._seen: Packets = {}
        """What was seen the last time: a rule that is counted for the first time now may have logged it."""
        self.unexplained = 0
        """Packets since the start that are missing beyond the losses that are known otherwise."""

    def settle(self, counted: Packets, seen: Packets, known_losses: int, *, last: bool = False) -> None:
        """Compare one interval.

        Args:
            counted: What each rule has counted, of those rules that log.
            seen: What each rule has logged and we have read.
            known_losses: Logged packets since the start that are known to be lost, of whatever rule.
            last: Whether nothing comes after it that could explain anything.
        """
        for hit in {**self._ahead, **counted}:
            before = self._ahead.get(hit, -self._seen.get(hit, 0))
            now = self._ahead[hit] = before + counted.get(hit, 0) - seen.get(hit, 0)
            self._missing[hit] = max(self._missing.get(hit, 0), now if last else min(before, now))
        self._seen = seen
        self.unexplained = max(self.unexplained, sum(self._missing.values()) - known_losses)
