"""Stretches of time to choose from."""

from __future__ import annotations

from app.widgets import formats
from store import queries

ALL = "all"

RANGES: dict[str, int] = {"5m": 300, "15m": 900, "1h": 3_600, "24h": 86_400, "7d": 604_800, ALL: 0}
"""What a button says, to how many seconds back it reaches; `ALL` reaches back to the first row."""

DEFAULT = "1h"

_BARS = 72
_SHORTEST_SECONDS = 60
_BUCKETS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)


def span(name: str, now: int, bounds: queries.Span) -> queries.Span:
    """The span that a button stands for; a young ledger is shown from its first row, so that charts are full.

    A day or more begins with a full hour.

    Args:
        name: One of `RANGES`.
        now: The time, in nanoseconds; every span but `ALL` ends here.
        bounds: What the ledger holds.
    """
    if name == ALL:
        return queries.from_full_hour(bounds)
    first = min(bounds.start, now - _SHORTEST_SECONDS * formats.SECOND)
    return queries.from_full_hour(queries.Span(max(now - RANGES[name] * formats.SECOND, first), now))


def bucket_seconds(stretch: queries.Span) -> int:
    """How long the buckets of a chart should be: a round length that gives up to 72 of them."""
    seconds = (stretch.end - stretch.start) / formats.SECOND
    fitting = (bucket for bucket in _BUCKETS if seconds / bucket <= _BARS)
    return next(fitting, -(-int(seconds / _BARS) // 86_400) * 86_400)
