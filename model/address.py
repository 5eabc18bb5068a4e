"""IP addresses as columns: 16 bytes each, IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2)."""

from __future__ import annotations

import ipaddress

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Packed = npt.NDArray[np.uint8]
"""Addresses as an array of shape (n, 16)."""

_V4_PREFIX = bytes(10) + b"\xff\xff"
_V4_HIGH = np.uint64(0xFFFF)


def pack(text: str) -> bytes:
    """The 16 bytes of an address in text form.

    Raises:
        ValueError: If it is not an IP address.
    """
    address = ipaddress.ip_address(text)
    return _V4_PREFIX + address.packed if address.version == 4 else address.packed


def render(packed: bytes) -> str:
    """The usual text of 16 bytes; IPv4 without its prefix, and ``""`` for ``::``."""
    if packed[:12] == _V4_PREFIX:
        return str(ipaddress.IPv4Address(packed[12:]))
    return "" if packed == bytes(16) else str(ipaddress.IPv6Address(packed))


def words(packed: Packed) -> tuple[Words, Words]:
    """High and low 64 bits of each address, in the machine's byte order, shape (n,) each."""
    pairs = np.ascontiguousarray(packed).view(">u8").astype(np.uint64)
    return pairs[:, 0], pairs[:, 1]


def is_v4(high: Words, low: Words) -> npt.NDArray[np.bool_]:
    """Which addresses, as two words, are IPv4 in its mapped form, shape (n,)."""
    mapped: npt.NDArray[np.bool_] = (high == 0) & (low >> np.uint64(32) == _V4_HIGH)
    return mapped


def map_v4(addresses: npt.NDArray[np.uint8]) -> Packed:
    """IPv4 addresses of shape (n, 4) as mapped addresses of shape (n, 16)."""
    out = np.zeros((len(addresses), 16), np.uint8)
    out[:, 10:12] = 0xFF
    out[:, 12:] = addresses
    return out


def prefix(network: str) -> tuple[bytes, int]:
    """Network address as 16 bytes and prefix length out of 128, for a CIDR of either family.

    Raises:
        ValueError: If it is not a CIDR.
    """
    parsed = ipaddress.ip_network(network, strict=False)
    if parsed.version == 4:
        return _V4_PREFIX + parsed.network_address.packed, parsed.prefixlen + 96
    return parsed.network_address.packed, parsed.prefixlen


def within(packed: Packed, network: str) -> npt.NDArray[np.bool_]:
    """Which addresses lie in a CIDR, shape (n,)."""
    base, length = prefix(network)
    mask = np.frombuffer(((1 << 128) - (1 << (128 - length))).to_bytes(16, "big"), np.uint8)
    inside: npt.NDArray[np.bool_] = ((packed & mask) == (np.frombuffer(base, np.uint8) & mask)).all(axis=1)
    return inside


_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
            "fc00::/7", "fe80::/10", "::1/128")  # fmt: skip


def is_private(packed: Packed) -> npt.NDArray[np.bool_]:
    """Which addresses are not routed on the internet (RFC 1918, 3927, 4193, 4291, 6598), shape (n,)."""
    private = np.zeros(len(packed), bool)
    for network in _PRIVATE:
        private |= within(packed, network)
    return private
