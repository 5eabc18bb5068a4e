"""Addresses put together to prefixes, the fewest that a bound on what they hold besides allows."""

from __future__ import annotations

import bisect
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Sequence

from policy import objects, subjects


def prefixes(
    addresses: Iterable[subjects.Address], widening: float = 1.0, most: int | None = None
) -> tuple[objects.Network, ...]:
    """The fewest prefixes that hold some addresses, each at most so many times as many as are given in it.

    Args:
        addresses: Of both families.
        widening: How many addresses a prefix may have for each that is given: 1, for none but these, or more.
        most: Beyond so many the rest is not worked out, and one more than that is returned; None for all.
    """
    given = set(addresses)
    found: Iterator[objects.Network] = itertools.chain.from_iterable(
        _of_family((one for one in given if one.version == version), version, widening) for version in (4, 6)
    )
    return tuple(found if most is None else itertools.islice(found, most + 1))


def _of_family(given: Iterable[subjects.Address], version: int, widening: float) -> Iterator[objects.Network]:
    bits, kind = (32, ipaddress.IPv4Network) if version == 4 else (128, ipaddress.IPv6Network)
    for start, length in _covering(sorted(map(int, given)), bits, widening):
        yield kind((start, length))


def _covering(numbers: Sequence[int], bits: int, widening: float) -> Iterator[tuple[int, int]]:
    """Prefixes, each the largest one that may be, as no several smaller ones are fewer.

    What there is of a prefix counts by the smallest one that holds it: no other is between.
    """
    if not numbers:
        return
    start, length = _narrowest(numbers[0], numbers[-1], bits)
    size = 1 << (bits - length)
    if size <= widening * len(numbers):
        yield start, length
        return
    at = bisect.bisect_left(numbers, start + size // 2)
    yield from _covering(numbers[:at], bits, widening)
    yield from _covering(numbers[at:], bits, widening)


def _narrowest(first: int, last: int, bits: int) -> tuple[int, int]:
    """The smallest prefix that holds two addresses."""
    free = (first ^ last).bit_length()
    return first >> free << free, bits - free


def widened(networks: Iterable[objects.Network], addresses: Iterable[subjects.Address]) -> int:
    """How many addresses some prefixes hold besides those that are given."""
    return sum(net.num_addresses for net in networks) - len(set(addresses))
