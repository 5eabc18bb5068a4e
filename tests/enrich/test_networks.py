"""Networks by the longest prefix and by time, judged by Python's own ipaddress."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import identity, networks, spans
from model import address, enums

CIDRS = ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "192.0.2.0/31", "::/0", "fd00::/8",
         "2001:db8::/64", "2001:db8::1/128", "2001:db8::/65")  # fmt: skip
ADDRESSES = ("10.1.2.3", "10.1.2.4", "10.2.0.0", "192.0.2.1", "203.0.113.9", "fd00::1", "2001:db8::1",
             "2001:db8::2", "2001:db8:0:0:8000::", "::1")  # fmt: skip


def _name(network: str, start: int = 0, end: int = identity.FOREVER) -> identity.NetworkName:
    who = identity.Identity(kind=enums.EndpointKind.NETWORK_SET, workload=network)
    return identity.NetworkName(network=network, identity=who, valid_from=start, valid_to=end)


def _found(names: Sequence[identity.NetworkName], *asked: tuple[str, int]) -> list[int]:
    index = networks.Networks(names, range(len(names)))
    packed = np.frombuffer(b"".join(address.pack(text) for text, _ in asked), np.uint8).reshape(-1, 16)
    return index.find(packed, np.array([time for _, time in asked], np.int64)).tolist()


def _naive(names: Sequence[identity.NetworkName], text: str, time: int) -> int:
    ip = ipaddress.ip_address(text)
    around = {
        at: ipaddress.ip_network(name.network).prefixlen
        for at, name in enumerate(names)
        if name.valid_from <= time < name.valid_to and ip in ipaddress.ip_network(name.network)
    }
    narrowest = [at for at, length in around.items() if length == max(around.values())]
    return narrowest[0] if len(narrowest) == 1 else spans.AMBIGUOUS if narrowest else spans.NOBODY


NAMES = st.lists(st.builds(_name, st.sampled_from(CIDRS), st.integers(0, 5), st.integers(0, 9)), max_size=10)


@given(NAMES, st.lists(st.tuples(st.sampled_from(ADDRESSES), st.integers(0, 9)), max_size=20))
def test_finds_what_a_search_through_all_finds(
    names: list[identity.NetworkName], asked: list[tuple[str, int]]
) -> None:
    assert _found(names, *asked) == [_naive(names, text, time) for text, time in asked]


@pytest.mark.parametrize(
    ("cidr", "text", "inside"),
    [
        pytest.param("10.0.0.0/8", "10.255.255.255", True, id="last of a network"),
        pytest.param("10.0.0.0/8", "11.0.0.0", False, id="first behind it"),
        pytest.param("::/0", "10.0.0.1", False, id="no IPv4 in all of IPv6"),
        pytest.param("0.0.0.0/0", "::1", False, id="no IPv6 in all of IPv4"),
        pytest.param("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", True, id="a whole word"),
    ],
)
def test_network_has_its_addresses(cidr: str, text: str, inside: bool) -> None:
    assert _found([_name(cidr)], (text, 0)) == [0 if inside else spans.NOBODY]


def test_narrower_network_that_has_gone_leaves_the_wider_one() -> None:
    names = [_name("10.0.0.0/8"), _name("10.1.0.0/16", 0, 5)]
    assert _found(names, ("10.1.0.1", 4), ("10.1.0.1", 5)) == [1, 0]
