"""Rule counters against logged packets: two counts of the same thing, by two ways that fail apart."""

from __future__ import annotations

from collections.abc import Mapping

from model import policyhit

Packets = Mapping[policyhit.PolicyHit, int]


class Reconciliation:
    """What rules have counted and nobody has told us of.

    Counters are read before the packets of the same interval, so that what was counted has been seen, unless
    it is lost. What is seen beyond that is counted the next time; it may cover up a loss for so long. And
    packets that are lost are known to be so by the next one that comes, so that what is missing waits for an
    interval until it counts as unexplained.
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
        due = sum(self._missing.values())
        for hit, packets in counted.items():
            before = self._ahead.get(hit, -self._seen.get(hit, 0))
            self._ahead[hit] = before + packets - seen.get(hit, 0)
            self._missing[hit] = max(self._missing.get(hit, 0), self._ahead[hit])
        self._seen = seen
        if last:
            due = sum(self._missing.values())
        self.unexplained = max(self.unexplained, due - known_losses)
