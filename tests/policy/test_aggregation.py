"""Prefixes: all that is given, the fewest that the bound allows, and none wider than it must be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import aggregation, objects, subjects

WIDENINGS = st.sampled_from((1.0, 1.5, 2.0, 3.0, 4.0, 16.0))
FOUR, SIX = int(ipaddress.ip_address("192.0.2.0")), int(ipaddress.ip_address("2001:db8::"))
HOSTS = st.sets(st.integers(0, 15), max_size=8)


def _addresses(*texts: str) -> list[subjects.Address]:
    return [ipaddress.ip_address(text) for text in texts]


def _given(four: Iterable[int], six: Iterable[int]) -> set[subjects.Address]:
    return {ipaddress.IPv4Address(FOUR + i) for i in four} | {ipaddress.IPv6Address(SIX + i) for i in six}


@pytest.mark.parametrize(
    ("given_", "widening", "expected"),
    [
        pytest.param([], 1, [], id="none"),
        pytest.param(["192.0.2.7"], 1, ["192.0.2.7/32"], id="one"),
        pytest.param(["192.0.2.7", "192.0.2.7"], 1, ["192.0.2.7/32"], id="the same twice"),
        pytest.param(["2001:db8::1"], 1, ["2001:db8::1/128"], id="one of IPv6"),
        pytest.param(["192.0.2.6", "192.0.2.7"], 1, ["192.0.2.6/31"], id="neighbours"),
        pytest.param(["192.0.2.7", "192.0.2.8"], 1, ["192.0.2.7/32", "192.0.2.8/32"], id="across a border"),
        pytest.param(["192.0.2.0", "192.0.2.3"], 1, ["192.0.2.0/32", "192.0.2.3/32"], id="apart"),
        pytest.param(["192.0.2.0", "192.0.2.3"], 2, ["192.0.2.0/30"], id="apart, and put together"),
        pytest.param(["192.0.2.0", "192.0.2.3"], 1.9, ["192.0.2.0/32", "192.0.2.3/32"], id="below the bound"),
        pytest.param(["192.0.2.7"], 256, ["192.0.2.7/32"], id="one is never widened"),
        pytest.param(["192.0.2.6", "192.0.2.7"], 256, ["192.0.2.6/31"], id="no wider than it must be"),
        pytest.param(["192.0.2.1", "2001:db8::1"], 256, ["192.0.2.1/32", "2001:db8::1/128"], id="families"),
        pytest.param(["0.0.0.0", "255.255.255.255"], 1000, ["0.0.0.0/32", "255.255.255.255/32"], id="far"),
    ],
)  # fmt: skip
def test_prefixes(given_: list[str], widening: float, expected: list[str]) -> None:
    assert [str(net) for net in aggregation.prefixes(_addresses(*given_), widening)] == expected


@given(HOSTS, HOSTS, WIDENINGS)
def test_prefixes_keep_the_bound(four: set[int], six: set[int], widening: float) -> None:
    """They hold all that is given, each in one of them, and none is wider than that takes."""
    addresses = _given(four, six)
    found = aggregation.prefixes(addresses, widening)
    inside = [{one for one in addresses if one in net} for net in found]
    assert sum(map(len, inside)) == len(addresses), "each is in one, so that none overlap"
    assert set().union(*inside) == addresses
    for net, those in zip(found, inside, strict=True):
        assert those, "none for nothing"
        assert net.num_addresses <= widening * len(those)
        assert not any(all(one in half for one in those) for half in _halves(net)), "a half of it would do"
    assert aggregation.widened(found, addresses) == sum(net.num_addresses for net in found) - len(addresses)


def _halves(net: objects.Network) -> list[objects.Network]:
    return list(net.subnets()) if net.num_addresses > 1 else []


@given(HOSTS, WIDENINGS)
def test_no_fewer_prefixes_would_do(hosts: set[int], widening: float) -> None:
    """All prefixes of a small space that keep the bound, in all combinations."""
    addresses = _given(hosts, ())
    space = ipaddress.IPv4Network((FOUR, 28))
    all_of_them = [net for length in range(28, 33) for net in space.subnets(new_prefix=length)]
    usable = [
        held for net in all_of_them
        if (held := frozenset(one for one in addresses if one in net))
        and net.num_addresses <= widening * len(held)
    ]  # fmt: skip
    fewest = _fewest(frozenset(addresses), list(dict.fromkeys(usable)))
    assert len(aggregation.prefixes(addresses, widening)) == fewest


def _fewest(wanted: frozenset[subjects.Address], usable: list[frozenset[subjects.Address]]) -> int:
    """The size of the smallest cover, by trying whatever holds the first that is left."""
    if not wanted:
        return 0
    first = min(wanted)
    return 1 + min(_fewest(wanted - held, usable) for held in usable if first in held)


@given(HOSTS, HOSTS)
def test_more_room_never_makes_more_prefixes(four: set[int], six: set[int]) -> None:
    counts = [len(aggregation.prefixes(_given(four, six), widening)) for widening in (1, 2, 4, 8, 16)]
    assert counts == sorted(counts, reverse=True)
