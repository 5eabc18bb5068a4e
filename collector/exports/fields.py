"""Values of JSON objects as exporters write them: numbers as text, times in any unit, ``-`` for nothing."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from model import address, columns, enums

Object = Mapping[str, Any]

_UNITS = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3))
"""Below which number a time is in seconds, milliseconds and microseconds, and their nanoseconds."""
_LATEST = (2**32 - 1) * 10**9
"""In 2106; what says it is later means something else, and the ledger's totals could not have it."""
_PROTOCOLS = {p.name.lower(): p.value for p in enums.Protocol}
_PROTOCOLS |= {"icmpv4": 1, "icmp6": 58, "ipip": 4, "esp": 50}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def first(of: Object, *names: str) -> Any:
    """The value of the first of some names that says something; None if none does."""
    for name in names:
        value = of.get(name)
        if value is not None and value != "" and value != "-":
            return value
    return None


def text(of: Object, *names: str) -> str:
    """As `first`, as text; empty for nothing.

    Raises:
        ValueError: If it is an object or a list.
    """
    value = first(of, *names)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    raise ValueError(f"{names[0]} is no text")


def part(of: Object, *names: str) -> Object:
    """As `first`, an object; empty for nothing.

    Raises:
        ValueError: If it is something else.
    """
    value = first(of, *names)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{names[0]} is no object")
    return value


def listed(of: Object, *names: str) -> list[Any]:
    """As `first`, a list; empty for nothing.

    Raises:
        ValueError: If it is something else.
    """
    value = first(of, *names)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{names[0]} is no list")
    return value


def number(of: Object, *names: str, bits: int = 63) -> int:
    """As `first`, a whole number that is not negative; 0 for nothing.

    Raises:
        ValueError: If it is none, or needs more bits.
    """
    value = first(of, *names)
    if value is None:
        return 0
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{names[0]} is no number: {_short(value)}") from None
    if not 0 <= found < 1 << bits:
        raise ValueError(f"{names[0]} is out of range: {_short(value)}")
    return found


def moment(of: Object, *names: str) -> int:
    """As `first`, a time in ns since 1970, from seconds, milli-, micro- or nanoseconds, or RFC 3339.

    Raises:
        ValueError: If it is none, or not there.
    """
    value = first(of, *names)
    if value is None:
        raise ValueError(f"{names[0]} is not there")
    found = _rfc3339(value) if isinstance(value, str) and not _is_number(value) else _since_1970(value)
    if found is None or not 0 < found <= _LATEST:
        raise ValueError(f"{names[0]} is no time: {_short(value)}")
    return found


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).isdecimal()


def _since_1970(value: Any) -> int | None:
    try:
        count = float(value)
    except (TypeError, ValueError):
        return None
    for below, nanoseconds in _UNITS:
        if count < below:
            whole = int(count)
            return whole * nanoseconds + round((count - whole) * nanoseconds)
    return int(value) if count < _LATEST else None


def _rfc3339(value: str) -> int | None:
    """Nanoseconds, which Python's own reader cuts to microseconds."""
    try:
        found = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    since = found - _EPOCH
    digits = value.partition(".")[2]
    fraction = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    below = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return (since.days * 86_400 + since.seconds) * 10**9 + below


@functools.lru_cache(65_536)
def _packed(value: str) -> bytes:
    return address.pack(value)


def packed(of: Object, *names: str) -> bytes:
    """As `first`, an address of 16 bytes; ``::`` for nothing.

    Raises:
        ValueError: If it is none.
    """
    value = text(of, *names)
    if not value:
        return columns.NO_ADDRESS
    try:
        return _packed(value)
    except ValueError:
        raise ValueError(f"{names[0]} is no address: {_short(value)}") from None


def protocol(of: Object, *names: str) -> int:
    """As `first`, a protocol's number, from that or its name.

    Raises:
        ValueError: If it is neither, or not there.
    """
    value = first(of, *names)
    if value is None:
        raise ValueError(f"{names[0]} is not there")
    known = _PROTOCOLS.get(str(value).lower())
    return number(of, *names, bits=8) if known is None else known


@functools.lru_cache(65_536)
def kind_of_address(packed_address: bytes) -> enums.EndpointKind:
    """What an address is of which nobody says whose it was."""
    one = np.frombuffer(packed_address, np.uint8).reshape(1, 16)
    private = bool(address.is_private(one)[0])
    return enums.EndpointKind.PRIVATE if private else enums.EndpointKind.PUBLIC


def labels(pairs: Any) -> dict[str, str]:
    """Labels from a list of texts such as ``app=web``.

    Raises:
        ValueError: If it is none, or one is no text.
    """
    if not isinstance(pairs, list):
        raise ValueError("labels are no list")
    if not all(isinstance(pair, str) for pair in pairs):
        raise ValueError("a label is no text")
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs) if key}


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."
