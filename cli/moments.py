"""Spans of time as people write them."""

from __future__ import annotations

import re
import time

from model import errors
from store import queries

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``2h``, ``7d`` or ``1w`` in seconds.

    Raises:
        SetupError: If it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
    if not match:
        raise errors.SetupError(f"{text!r} is no span of time: write 90s, 15m, 2h, 7d or 1w")
    return float(match[1]) * _UNITS[match[2] or "s"]


def since(text: str) -> queries.Span:
    """The span from so long ago until now; no longer ago than 1970."""
    now = time.time_ns()
    return queries.Span(now - int(min(seconds(text) * 1e9, now)), now + 1_000_000_000)
