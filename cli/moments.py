"""Spans of time as people write them."""

from __future__ import annotations

import datetime
import re
import time

from model import errors
from store import queries

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONG_UNITS = {"day": 86_400, "hour": 3600, "minute": 60, "second": 1}
"""Units of time, in seconds."""
_WHOLE = 0.99
"""The share of a span from which on it is recorded as a whole: the last connection is some time ago."""


def seconds(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``2h``, ``7d`` or ``1w`` in seconds.

    Raises:
        SetupError: If it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
    if not match:
        raise errors.SetupError(f"{text!r} is no span of time: write 90s, 15m, 2h, 7d or 1w")
    return float(match[1]) * _UNITS[match[2] or "s"]


def at(text: str) -> int:
    """A time as people write it, in ns since 1970; of UTC unless it says otherwise.

    Raises:
        SetupError: If it is none.
    """
    try:
        found = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise errors.SetupError(f"{text!r} is no time: write 2026-01-31T12:00:00Z") from None
    found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    return int(found.timestamp()) * 1_000_000_000 + found.microsecond * 1_000


def since(text: str, until: str = "") -> queries.Span:
    """The span from so long ago, or from a time on, until now, or until another; it begins in 1970 or later.

    Raises:
        SetupError: If one is neither, or it ends before it begins.
    """
    now = time.time_ns()
    start = _ago(text, now)
    latest = now + 1_000_000_000
    end = min(_ago(until, now), latest) if until else latest
    if start >= end:
        raise errors.SetupError(
            f"nothing lies between {text} and {until or 'now'}: --until has to be later than --since"
        )
    return queries.Span(start, end)


def _ago(text: str, now: int) -> int:
    """``2h`` before now, or ``2026-01-31T12:00:00Z``."""
    if _is_time(text):
        return max(at(text), 0)
    return now - int(min(seconds(text) * 1e9, now))


def _is_time(text: str) -> bool:
    return re.match(r"\s*\d{4}-\d", text) is not None


def told(text: str) -> str:
    """What `since` takes, as words in a sentence."""
    return f"since {text}" if _is_time(text) else f"in the last {text}"


def recorded(asked: queries.Span, found: queries.Span) -> str:
    """How long is recorded, out of how long, and from when to when."""
    have, want = (one.end - one.start for one in (found, asked))
    span = length(want) if have >= _WHOLE * want else f"{length(have)} of the {length(want)} asked for"
    return f"recorded: {span}, from {moment(found.start)} to {moment(found.end)} UTC"


def length(nanoseconds: int) -> str:
    """A length of time in the greatest unit of which it has two, rounded down."""
    seconds = nanoseconds // 1_000_000_000
    for unit, size in _LONG_UNITS.items():
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit}s"
    return "1 second" if seconds else "less than a second"


def moment(nanoseconds: int) -> str:
    """A time to the second, in UTC."""
    return f"{datetime.datetime.fromtimestamp(nanoseconds / 1e9, datetime.UTC):%Y-%m-%d %H:%M:%S}"


def between(first: int, last: int) -> str:
    """From when to when, to the minute, in UTC."""
    start, end = (moment(at)[:16] for at in (first, last))
    return start if start == end else f"{start} to {end.removeprefix(start[:11])}"
