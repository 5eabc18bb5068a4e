"""Addresses put together to prefixes, the fewest that a bound on what they hold besides allows."""

from __future__ import annotations

import bisect
import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from policy import objects, subjects


def prefixes(addresses: Iterable[subjects.Address], widening: float = 1.0) -> tuple[objects.Network, ...]:
    """The fewest prefixes that hold some addresses, each at most so many times as many as are given in it.

    Args:
        addresses: Of both families.
        widening: How many addresses a prefix may have for each that is given: 1, for none but these, or more.
    """
    found: list[objects.Network] = []
    given = set(addresses)
    for version, bits in ((4, 32), (6, 128)):
        numbers = sorted(int(one) for one in given if one.version == version)
        kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
        found += [kind((start, length)) for start, length in _covering(numbers, 0, 0, bits, widening)]
    return tuple(found)


def _covering(
    numbers: Sequence[int], start: int, length: int, bits: int, widening: float
) -> Iterator[tuple[int, int]]:
    """Prefixes, each of all that is in the largest one that may be, as no several smaller ones are fewer."""
    if not numbers:
        return
    size = 1 << (bits - length)
    if size <= widening * len(numbers):
        yield _narrowest(numbers[0], numbers[-1], bits)
        return
    middle = start + size // 2
    at = bisect.bisect_left(numbers, middle)
    yield from _covering(numbers[:at], start, length + 1, bits, widening)
    yield from _covering(numbers[at:], middle, length + 1, bits, widening)


def _narrowest(first: int, last: int, bits: int) -> tuple[int, int]:
    """The smallest prefix that holds two addresses."""
    free = (first ^ last).bit_length()
    return first >> free << free, bits - free


def widened(networks: Iterable[objects.Network], addresses: Iterable[subjects.Address]) -> int:
    """How many addresses some prefixes hold besides those that are given."""
    return sum(net.num_addresses for net in networks) - len(set(addresses))
