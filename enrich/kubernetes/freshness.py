"""Until when what we know is all that there was to know.

A watch tells what happens in its order, but not when: after an interruption, or when we are slow, the next
line may be minutes old. So a line proves something about now only once the watch has caught up. Three things
show it: we had to wait for a line; a bookmark came while we kept pace (the server sends it behind
all that it has); or the server ended the watch after the time that we had asked for. Between a server's cache
and us lies less than a second where all is well; that second is taken off.

What this cannot see: an API server that is cut off from its own etcd and goes on to send bookmarks.
"""

from __future__ import annotations

MARGIN = 1_000_000_000
"""Nanoseconds for what was on its way."""

_WAITED_SECONDS = 0.1
"""A backlog comes without pauses of this length."""

_SLOW_SECONDS = 1.0
"""Whoever needs this long for one line may have others waiting behind it."""


class Freshness:
    """What one watch after the other proves."""

    def __init__(self) -> None:
        self._caught_up = False
        self._behind = False

    def opened(self) -> None:
        """A watch has begun; what happened before it may come first."""
        self._caught_up = self._behind = False

    def came(self, waited: float, at: int, *, bookmark: bool) -> int:
        """A line came.

        Args:
            waited: Seconds for which we waited for it.
            at: When it came, in ns since 1970.
            bookmark: Whether it is one.

        Returns:
            Until when everything is known, in ns since 1970; 0 if that cannot be said.
        """
        if waited >= _WAITED_SECONDS:
            self._caught_up, self._behind = True, False
        elif bookmark and not self._behind:
            self._caught_up = True
        return at - MARGIN if self._caught_up else 0

    def took(self, seconds: float) -> None:
        """So long it took to digest a line."""
        if seconds >= _SLOW_SECONDS:
            self._caught_up, self._behind = False, True

    def ended(self, lasted: float, asked: float, at: int) -> int:
        """A watch has ended in good order; until when everything is known, as for `came`.

        One that ends early does not count: so a server lets go of a client that is too slow.
        """
        return at - MARGIN if lasted >= asked * 0.9 and not self._behind else 0
