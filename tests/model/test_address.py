"""Addresses as columns, judged by the standard library's own arithmetic."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import address

ADDRESSES = st.ip_addresses()
NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
)


def _packed(*texts: str) -> address.Packed:
    return np.frombuffer(b"".join(map(address.pack, texts)), np.uint8).reshape(-1, 16)


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        pytest.param("10.0.0.1", "00000000000000000000ffff0a000001", id="IPv4 is mapped"),
        pytest.param("::ffff:10.0.0.1", "00000000000000000000ffff0a000001", id="mapped already"),
        pytest.param("2001:db8::1", "20010db8000000000000000000000001", id="IPv6"),
        pytest.param("::", "00000000000000000000000000000000", id="none"),
    ],
)
def test_pack(text: str, packed: str) -> None:
    assert address.pack(text).hex() == packed


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.1/8", "shop", "::1::"])
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        address.pack(text)


@given(ADDRESSES)
def test_what_is_packed_is_rendered(given: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = given.ipv4_mapped if given.version == 6 else None
    wanted = "" if str(given) == "::" else str(mapped or given)
    assert address.render(address.pack(str(given))) == wanted


@given(st.binary(min_size=16, max_size=16).filter(any))
def test_what_is_rendered_is_packed(packed: bytes) -> None:
    assert address.pack(address.render(packed)) == packed


@given(st.lists(ADDRESSES, max_size=5))
def test_words_are_both_halves(given: list[ipaddress.IPv4Address]) -> None:
    high, low = address.words(_packed(*map(str, given)))
    whole = [int.from_bytes(address.pack(str(one)), "big") for one in given]
    assert [(int(h) << 64) | int(low_word) for h, low_word in zip(high, low, strict=True)] == whole


@given(st.lists(st.ip_addresses(v=4), max_size=5))
def test_map_v4_is_pack_of_many(given: list[ipaddress.IPv4Address]) -> None:
    raw = np.frombuffer(b"".join(one.packed for one in given), np.uint8).reshape(-1, 4)
    assert address.map_v4(raw).tobytes() == b"".join(address.pack(str(one)) for one in given)


@pytest.mark.parametrize(
    ("network", "base", "length"),
    [
        pytest.param("10.1.0.0/16", "10.1.0.0", 112, id="IPv4"),
        pytest.param("10.1.2.3/16", "10.1.0.0", 112, id="host bits are cut"),
        pytest.param("192.0.2.1", "192.0.2.1", 128, id="one address"),
        pytest.param("2001:db8::/32", "2001:db8::", 32, id="IPv6"),
        pytest.param("0.0.0.0/0", "0.0.0.0", 96, id="all of IPv4"),
    ],
)
def test_prefix(network: str, base: str, length: int) -> None:
    assert address.prefix(network) == (address.pack(base), length)


@given(
    st.lists(st.one_of(ADDRESSES, st.ip_addresses(network="10.0.0.0/14")), min_size=1, max_size=8), NETWORKS
)
def test_within_agrees_with_ipaddress(
    given: list[ipaddress.IPv4Address], network: tuple[ipaddress.IPv4Address, int]
) -> None:
    parsed = ipaddress.ip_network(f"{network[0]}/{network[1]}", strict=False)
    base, length = address.prefix(str(parsed))
    space = ipaddress.IPv6Network((base, length))
    wanted = [ipaddress.IPv6Address(address.pack(str(one))) in space for one in given]
    assert address.within(_packed(*map(str, given)), str(parsed)).tolist() == wanted
    same_family = [one for one in given if one.version == parsed.version]
    if same_family:
        mine = address.within(_packed(*map(str, same_family)), str(parsed)).tolist()
        assert mine == [one in parsed for one in same_family]


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("172.16.0.0", True),
        ("172.32.0.0", False),
        ("192.168.0.1", True),
        ("192.169.0.0", False),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("100.128.0.0", False),
        ("127.0.0.1", True),
        ("203.0.113.7", False),
        ("fd00::1", True),
        ("fe80::1", True),
        ("::1", True),
        ("2001:db8::1", False),
    ],
)
def test_private(text: str, private: bool) -> None:
    assert address.is_private(_packed(text)).tolist() == [private]


def test_private_of_no_addresses() -> None:
    assert address.is_private(np.zeros((0, 16), np.uint8)).tolist() == []


@pytest.mark.parametrize(
    ("text", "v4"), [("0.0.0.0", True), ("255.255.255.255", True), ("::1", False), ("::fffe:0:0", False)]
)
def test_v4_by_its_words(text: str, v4: bool) -> None:
    assert address.is_v4(*address.words(_packed(text))).tolist() == [v4]
