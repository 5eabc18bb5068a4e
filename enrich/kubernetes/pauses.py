"""How long to wait after a failure, and after the next one."""

from __future__ import annotations

import random

LONGEST_ASKED = 600.0
"""Seconds; a server that asks for more is asked again nevertheless."""


class Pauses:
    """Twice as long each time, up to a bound; never the same for two clients.

    Args:
        first: Seconds, at most, of the first pause.
        longest: Seconds, at most, of any.
        dice: Makes up the part of a pause that is by chance: half of it.
    """

    def __init__(self, first: float, longest: float, dice: random.Random) -> None:
        self._first = self._next = first
        self._longest = longest
        self._dice = dice

    def next(self, asked: float = 0.0) -> float:
        """Seconds to wait now; at least those that the server has asked for."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return max(pause * self._dice.uniform(0.5, 1.0), min(asked, LONGEST_ASKED))

    def reset(self) -> None:
        """It works again."""
        self._next = self._first
