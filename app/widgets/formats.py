"""Numbers, sizes and times as people read them."""

from __future__ import annotations

import datetime

from store import losses

SECOND = 1_000_000_000
"""A second, in the ledger's nanoseconds."""

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def count(number: int) -> str:
    """``12,345``; from a million on, ``1.23 M``."""
    for unit, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= unit:
            return (
                f"{number / unit:.3g} {letter}" if number < 999.5 * unit else f"{number / unit:,.0f} {letter}"
            )
    return f"{number:,}"


def size(number: int) -> str:
    """Bytes in decimal units: ``1.23 MB``."""
    value, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 999.5 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"


def plural(number: int, one: str, many: str = "") -> str:
    """``1 node``, ``3 nodes``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def duration(nanoseconds: int) -> str:
    """The largest unit that fits: ``12 s``, ``3 min``, ``2 h``, ``5 d``."""
    seconds = max(nanoseconds, 0) // SECOND
    for step, unit in _STEPS:
        if seconds >= step:
            return f"{seconds // step} {unit}"
    return "0 s"


def ago(moment: int, now: int) -> str:
    """``12 s ago``; ``just now`` below a second, and for a clock that is ahead of ours."""
    return "just now" if now - moment < SECOND else f"{duration(now - moment)} ago"


def percentage(share: float) -> str:
    """A share of 1, rounded down: ``100 %`` means that nothing at all is missing."""
    return losses.percentage(share)


def moment(nanoseconds: int) -> str:
    """A moment in UTC, to the millisecond; a dash for 1970-01-01, which stands for none."""
    if nanoseconds <= 0:
        return "–"
    seconds, rest = divmod(nanoseconds, SECOND)
    whole = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03d} UTC"


def port(number: int, protocol: str) -> str:
    """``5432/TCP``; the protocol alone where it has no ports."""
    return f"{number}/{protocol}" if number else protocol


def socket(address: str, number: int) -> str:
    """An address with its port: ``10.0.0.1:80``, ``[fd00::1]:80``."""
    if not number:
        return address
    return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
