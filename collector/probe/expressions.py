"""nftables expressions (linux/netfilter/nf_tables.h) as netlink attributes: just those that the probe uses.

An expression reads and writes registers of 4 bytes; a value of 16 bytes takes four in a row. What text stands
beside each is what ``nft list`` shows for it.
"""

from __future__ import annotations

import struct

from collector.netlink import sockets

REGISTER_BYTES = 4
_FIRST_REGISTER = 8  # NFT_REG32_00
_VERDICT_REGISTER = 0
_NESTED = 0x8000  # NLA_F_NESTED

_JUMP, _RETURN = -3, -5
"""Of the verdicts only those that lead from chain to chain: none here ever decides about a packet."""
_EQUAL, _NOT_EQUAL = 0, 1
_ORIGINAL, _REPLY = 0, 1  # IP_CT_DIR_*

# enum nft_ct_keys
_CT_STATE, _CT_STATUS, _CT_PROTOCOL, _CT_PORT_SOURCE, _CT_PORT_TARGET = 0, 2, 10, 11, 12
_CT_SOURCE, _CT_TARGET = {4: 19, 6: 21}, {4: 20, 6: 22}
# enum nft_meta_keys
_META_FAMILY, _META_PACKET_TYPE, _META_HOUR = 15, 19, 32

_IS_NEW = 1 << 3  # NF_CT_STATE_BIT(IP_CT_NEW)
_IS_TRANSLATED = 1 << 5  # IPS_DST_NAT
_NFPROTO = {4: 2, 6: 10}
_PACKET_HOST = 0
_UPDATE, _DELETE = 1, 2  # NFT_DYNSET_OP_*


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others."""
    return sockets.attribute(kind | _NESTED, b"".join(attributes))


def be32(kind: int, number: int) -> bytes:
    """An attribute that holds a number of 32 bits, negative ones as their complement."""
    return sockets.attribute(kind, struct.pack(">I", number & 0xFFFFFFFF))


def be64(kind: int, number: int) -> bytes:
    """An attribute that holds a number of 64 bits."""
    return sockets.attribute(kind, struct.pack(">Q", number))


def text(kind: int, content: str) -> bytes:
    """An attribute that holds a name."""
    return sockets.attribute(kind, content.encode() + b"\0")


def expression(kind: str, *attributes: bytes, as_attribute: int = 1) -> bytes:
    """One expression; ``as_attribute`` is NFTA_LIST_ELEM in a rule."""
    return nested(as_attribute, text(1, kind), nested(2, *attributes))


def _register(number: int) -> int:
    return _FIRST_REGISTER + number


def _value(kind: int, content: bytes) -> bytes:
    return nested(kind, sockets.attribute(1, content))  # NFTA_DATA_VALUE


def _compare(operation: int, content: bytes) -> bytes:
    return expression("cmp", be32(1, _register(0)), be32(2, operation), _value(3, content))


def _masked(register: int, mask: bytes) -> bytes:
    """The register, and with a mask; NFT_BITWISE_MASK_XOR, the only kind before Linux 5.6."""
    return expression(
        "bitwise", be32(1, _register(register)), be32(2, _register(register)), be32(3, len(mask)),
        _value(4, mask), _value(5, bytes(len(mask))),
    )  # fmt: skip


def _ct(register: int, key: int, direction: int | None = None) -> bytes:
    side = b"" if direction is None else sockets.attribute(3, bytes([direction]))
    return expression("ct", be32(1, _register(register)), be32(2, key), side)


def _meta(register: int, key: int) -> bytes:
    return expression("meta", be32(1, _register(register)), be32(2, key))


def _has_bit(key: int, bit: int) -> bytes:
    return _ct(0, key) + _masked(0, struct.pack("=I", bit)) + _compare(_NOT_EQUAL, bytes(4))


def is_new() -> bytes:
    """``ct state new``: no packet has come back yet, and it is neither invalid nor untracked."""
    return _has_bit(_CT_STATE, _IS_NEW)


def is_translated() -> bytes:
    """``ct status dnat``."""
    return _has_bit(_CT_STATUS, _IS_TRANSLATED)


def is_for_us() -> bytes:
    """``meta pkttype host``: neither broadcast nor multicast on the link."""
    return _meta(0, _META_PACKET_TYPE) + _compare(_EQUAL, bytes([_PACKET_HOST]))


def is_family(family: int) -> bytes:
    """``meta nfproto ipv4`` or ``ipv6``, for 4 or 6."""
    return _meta(0, _META_FAMILY) + _compare(_EQUAL, bytes([_NFPROTO[family]]))


def source_address(register: int, family: int) -> bytes:
    """``ct original ip saddr``: 4 or 16 bytes."""
    return _ct(register, _CT_SOURCE[family], _ORIGINAL)


def dialled_address(register: int, family: int) -> bytes:
    """``ct original ip daddr``: whom the client dialled, whatever NAT has made of it."""
    return _ct(register, _CT_TARGET[family], _ORIGINAL)


def answering_address(register: int, family: int) -> bytes:
    """``ct reply ip saddr``: who will answer, after DNAT."""
    return _ct(register, _CT_SOURCE[family], _REPLY)


def protocol(register: int, _family: int) -> bytes:
    """``ct protocol``: 1 byte and three of zero."""
    return _ct(register, _CT_PROTOCOL)


def source_port(register: int, _family: int) -> bytes:
    """``ct original proto-src``: 2 bytes and two of zero; for ICMP the identifier."""
    return _ct(register, _CT_PORT_SOURCE, _ORIGINAL)


def dialled_port(register: int, _family: int) -> bytes:
    """``ct original proto-dst``: 2 bytes and two of zero; for ICMP type and code, for GRE a key."""
    return _ct(register, _CT_PORT_TARGET, _ORIGINAL)


def answering_port(register: int, _family: int) -> bytes:
    """``ct reply proto-src``: 2 bytes and two of zero."""
    return _ct(register, _CT_PORT_SOURCE, _REPLY)


def period(register: int, seconds: int) -> bytes:
    """``meta hour & mask``: when the present period began, in seconds since midnight, in our byte order.

    Args:
        register: Where it goes.
        seconds: Length of a period, a power of two.
    """
    return _meta(register, _META_HOUR) + _masked(register, struct.pack("=I", 0xFFFFFFFF & -seconds))


def _dynset(name: str, operation: int, *more: bytes) -> bytes:
    return expression("dynset", text(1, name), be32(3, operation), be32(4, _register(0)), *more)


def count(name: str) -> bytes:
    """``update @name { key counter }``: the rule goes on only if the key is there or could be added."""
    return _dynset(name, _UPDATE, expression("counter", as_attribute=7))


def keep(name: str) -> bytes:
    """``update @name { key }``: as ``count``, without a counter."""
    return _dynset(name, _UPDATE)


def forget(name: str) -> bytes:
    """``delete @name { key }``."""
    return _dynset(name, _DELETE)


def at_most(each_second: int) -> bytes:
    """``limit rate N/second``."""
    return expression("limit", be64(1, each_second), be64(2, 1), be32(3, each_second), be32(4, 0), be32(5, 0))


def count_object(name: str) -> bytes:
    """``counter name``."""
    return expression("objref", be32(1, 1), text(2, name))  # NFT_OBJECT_COUNTER


def _immediate(code: int, *chain: bytes) -> bytes:
    verdict = nested(2, nested(2, be32(1, code), *chain))  # NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT
    return expression("immediate", be32(1, _VERDICT_REGISTER), verdict)


def jump(chain: str) -> bytes:
    """``jump chain``: and come back."""
    return _immediate(_JUMP, text(2, chain))


def back() -> bytes:
    """``return``: to the chain that jumped here."""
    return _immediate(_RETURN)
