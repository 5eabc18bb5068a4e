"""Rule counters against logged packets: two counts of the same thing, by two ways that fail apart."""

from __future__ import annotations

from collections.abc import Mapping

from model import policyhit

Packets = Mapping[policyhit.PolicyHit, int]


class Reconciliation:
    """What rules have counted and nobody has told us of.

    Counters are read before the packets of the same interval, so that what was counted has been seen, unless
    it is lost. What is seen beyond that is counted the next time; it may cover up a loss for so long.
    """

    def __init__(self) -> None:
        self._ahead: dict[policyhit.PolicyHit, int] = {}
        self._missing: dict[policyhit.PolicyHit, int] = {}

    def settle(self, counted: Packets, seen: Packets) -> int:
        """Packets of this interval's rules that are missing, beyond those that were missing already.

        Args:
            counted: What each rule counted, of those rules that log.
            seen: What was logged by each rule, lost or not.
        """
        new = 0
        for hit, packets in counted.items():
            self._ahead[hit] = self._ahead.get(hit, 0) + packets - seen.get(hit, 0)
            known = self._missing.get(hit, 0)
            if self._ahead[hit] > known:
                new += self._ahead[hit] - known
                self._missing[hit] = self._ahead[hit]
        return new

    def restart(self) -> None:
        """Forget all: one of the two counts has begun anew."""
        self._ahead.clear()
        self._missing.clear()
