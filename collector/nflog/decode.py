"""NFLOG messages (linux/netfilter/nfnetlink_log.h) as columns, down to the packet's own headers."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from collector.conntrack import decode as conntrack
from collector.netlink import layouts

PACKET = np.dtype([
    ("tuple", "u8"), ("time", "i8"), ("src", "u1", (16,)), ("dst", "u1", (16,)),
    ("prefix", "i4"), ("length", "u4"), ("sequence", "u4"), ("tcp_sequence", "u4"),
    ("mark", "u4"), ("in_interface", "u4"), ("out_interface", "u4"), ("conntrack_id", "u4"),
    ("src_port", "u2"), ("dst_port", "u2"), ("icmp_id", "u2"), ("group", "u2"),
    ("protocol", "u1"), ("icmp_type", "u1"), ("icmp_code", "u1"), ("hook", "u1"),
])  # fmt: skip
"""One logged packet. ``prefix`` is a position in the list that comes with it; ``length`` the packet's own,
whatever was captured of it; ``time`` in ns since 1970, zero where the kernel gave none. ``hook`` is
netfilter's (0 prerouting … 4 postrouting), the interfaces are indices, zero for none; ``conntrack_id`` is
the entry's, zero where the kernel does not tell."""

Packets = npt.NDArray[np.void]
_RAW = np.dtype(f"V{PACKET.itemsize}")  # numpy copies rows of bytes whole, rows of fields field by field

_Field, _Nest = layouts.Field, layouts.Nest
_TREE: layouts.Tree = {
    1: _Field("NFULA_PACKET_HDR", "header", 4),
    2: _Field("NFULA_MARK", "mark", 4),
    3: _Field("NFULA_TIMESTAMP", "timestamp", 16),
    4: _Field("NFULA_IFINDEX_INDEV", "in_interface", 4),
    5: _Field("NFULA_IFINDEX_OUTDEV", "out_interface", 4),
    9: _Field("NFULA_PAYLOAD", "payload"),
    10: _Field("NFULA_PREFIX", "prefix"),
    12: _Field("NFULA_SEQ", "sequence", 4),
    18: _Nest("NFULA_CT", {12: _Field("CTA_ID", "conntrack_id", 4)}),
}
_NUMBERS = ("mark", "in_interface", "out_interface", "sequence", "conntrack_id")
_PACKET = 0x400  # NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET
_TCP, _UDP, _DCCP, _SCTP, _UDPLITE, _ICMP, _ICMPV6 = 6, 17, 33, 132, 136, 1, 58
_WITH_PORTS = (_TCP, _UDP, _DCCP, _SCTP, _UDPLITE)
_V6_EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options: length in 8-byte units
_FRAGMENT, _AUTHENTICATION = 44, 51
_CAPTURED = 128
"""Bytes of a packet that are looked at: more than we ask the kernel for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """What some messages say.

    Attributes:
        packets: One for each message that could be read, in their order.
        prefixes: The prefixes that they refer to.
        malformed: How many could not be read.
        error: What was wrong with the first of those.
    """

    packets: Packets
    prefixes: list[str] = dataclasses.field(default_factory=list)
    malformed: int = 0
    error: str = ""


def decode(datagrams: layouts.Datagrams) -> Decoded:
    """The packets of some datagrams; messages that are about no packet are passed over."""
    starts, lengths, malformed = layouts.split(datagrams)
    problem = layouts.TORN if malformed else ""
    logged = datagrams.buffer.view(np.uint16)[(starts + 4) >> 1] == _PACKET
    starts, lengths = starts[logged], lengths[logged]
    out = np.zeros(len(starts), _RAW)
    prefixes: dict[bytes, int] = {}
    good = np.zeros(len(starts), bool)
    for messages in layouts.partition(datagrams, starts, lengths, _TREE, tail="payload"):
        if isinstance(messages, layouts.MalformedMessageError):
            problem = problem or str(messages)
        else:
            packets, readable = _read(messages, prefixes)
            out[messages.rows], good[messages.rows] = packets.view(_RAW), readable
            problem = problem or ("" if readable.all() else _no_header(messages))
    packets = (out if good.all() else out[good]).view(PACKET)
    packets["tuple"] = conntrack.five_tuple(
        packets["src"], packets["dst"], packets["src_port"], packets["dst_port"], packets["protocol"],
        packets["icmp_id"],
    )  # fmt: skip
    texts = [prefix.decode("utf-8", "replace") for prefix in prefixes]
    return Decoded(packets, texts, malformed + int((~good).sum()), problem)


def _read(messages: layouts.Messages, prefixes: dict[bytes, int]) -> tuple[Packets, npt.NDArray[np.bool_]]:
    """The packets of messages of one layout, and which of them have headers that could be read."""
    out = np.zeros(len(messages), PACKET)
    out["group"] = messages.resource()
    for name in _NUMBERS:
        if name in messages:
            out[name] = messages.be32(name)
    if "header" in messages:
        out["hook"] = messages.u8("header", 2)
    if "timestamp" in messages:
        seconds, micros = messages.be64("timestamp"), messages.be64("timestamp", 8)
        out["time"] = (seconds * np.uint64(1_000_000_000) + micros * np.uint64(1000)).view(np.int64)
    out["prefix"] = _prefix_codes(messages, prefixes)
    return out, _read_packet(messages, out)


def _no_header(messages: layouts.Messages) -> str:
    if "payload" not in messages:
        return layouts.missing("NFULA_PAYLOAD")
    at = messages.position("payload") - layouts.ATTRIBUTE_HEADER
    return f"NFULA_PAYLOAD at byte {at}: neither an IPv4 nor an IPv6 header"


def _prefix_codes(messages: layouts.Messages, prefixes: dict[bytes, int]) -> npt.NDArray[np.int32]:
    """Each message's prefix as a position in ``prefixes``, which grows by what is new."""
    if "prefix" not in messages or not messages.size("prefix"):
        return np.full(len(messages), prefixes.setdefault(b"", len(prefixes)), np.int32)
    size = messages.size("prefix")
    texts = np.ascontiguousarray(messages.raw("prefix", size)).view(f"S{size}")[:, 0]
    if (texts == texts[0]).all():
        return np.full(len(messages), _code(texts[0], prefixes), np.int32)
    distinct, codes = np.unique(texts, return_inverse=True)
    return np.array([_code(text, prefixes) for text in distinct], np.int32)[codes]


def _code(text: bytes, prefixes: dict[bytes, int]) -> int:
    """A prefix's position; it ends at its first NUL."""
    return prefixes.setdefault(bytes(text).partition(b"\0")[0], len(prefixes))


def _read_packet(messages: layouts.Messages, out: Packets) -> npt.NDArray[np.bool_]:
    """Fill in what the packet's own headers say; which of them could be read, shape (n,)."""
    good = np.zeros(len(messages), bool)
    if "payload" not in messages:
        return good
    data = messages.rest("payload")[:, :_CAPTURED]
    ends = np.minimum(messages.sizes("payload"), data.shape[1])
    if data.shape[1] < 20:
        return good
    version = data[:, 0] >> 4
    version[(version == 4) & (data[:, 0] & 0xF < 5)] = 0  # a header too short to be one
    for wanted, shortest, read in ((4, 20, _read_v4), (6, 40, _read_v6)):
        good_here = (version == wanted) & (ends >= shortest)
        if good_here.all():
            read(data, ends, out)
        elif good_here.any():
            some = out[good_here]
            read(data[good_here], ends[good_here], some)
            out[good_here] = some
        good |= good_here
    return good


def _be16(data: layouts.Bytes, at: int) -> npt.NDArray[np.uint32]:
    """A 16-bit number at the same place of each packet."""
    return (data[:, at].astype(np.uint32) << np.uint32(8)) | data[:, at + 1]


def _read_v4(data: layouts.Bytes, ends: layouts.Rows, out: Packets) -> None:
    """IPv4 header (RFC 791) and what follows it."""
    out["src"][:, 10:12] = out["dst"][:, 10:12] = 0xFF
    out["src"][:, 12:], out["dst"][:, 12:] = data[:, 12:16], data[:, 16:20]
    out["protocol"] = data[:, 9]
    out["length"] = _be16(data, 2)
    transport = (data[:, 0] & 0xF).astype(np.int64) * 4
    fragments = _be16(data, 6) & 0x1FFF  # only the first of them has the transport header
    _read_transport(data, np.where(fragments > 0, _CAPTURED, transport), ends, out)


def _read_v6(data: layouts.Bytes, ends: layouts.Rows, out: Packets) -> None:
    """IPv6 header and extension headers (RFC 8200), and what follows them."""
    out["src"], out["dst"] = data[:, 8:24], data[:, 24:40]
    out["length"] = _be16(data, 4) + 40
    following, transport = data[:, 6].copy(), np.full(len(data), 40, np.int64)
    for _ in range(4):  # more extension headers than that do not fit into what is captured
        known = np.isin(following, (*_V6_EXTENSIONS, _FRAGMENT, _AUTHENTICATION)) & (transport + 8 <= ends)
        if not known.any():
            break
        rows, at = np.flatnonzero(known), transport[known]
        kind, size = following[rows], data[rows, at + 1].astype(np.int64)
        later = (kind == _FRAGMENT) & ((data[rows, at + 2].astype(np.int64) << 8 | data[rows, at + 3]) > 7)
        following[rows] = data[rows, at]
        # RFC 8200 counts in 8 bytes without the first, RFC 4302 (authentication) in 4 without the first two
        length = np.where(kind == _AUTHENTICATION, (size + 2) * 4, (size + 1) * 8)
        transport[rows] = np.where(later, _CAPTURED, at + np.where(kind == _FRAGMENT, 8, length))
    out["protocol"] = following
    _read_transport(data, transport, ends, out)


def _read_transport(data: layouts.Bytes, at: layouts.Rows, ends: layouts.Rows, out: Packets) -> None:
    """Ports, ICMP type, code and identifier, TCP sequence number; zero where the capture ends before."""
    whole = at + 8 <= ends
    if not whole.any():
        return
    if not whole.all():
        some = out[whole]
        _read_transport(data[whole], at[whole], ends[whole], some)
        out[whole] = some
        return
    first = int(at[0])
    head = data[:, first : first + 8] if (at == first).all() else data[
        np.arange(len(data))[:, None], at[:, None] + np.arange(8)
    ]  # fmt: skip
    protocol = out["protocol"]
    ports, icmp = np.isin(protocol, _WITH_PORTS), np.isin(protocol, (_ICMP, _ICMPV6))
    _fill(out["src_port"], _be16(head, 0), ports)
    _fill(out["dst_port"], _be16(head, 2), ports)
    _fill(out["tcp_sequence"], (_be16(head, 4) << np.uint32(16)) | _be16(head, 6), protocol == _TCP)
    _fill(out["icmp_type"], head[:, 0], icmp)
    _fill(out["icmp_code"], head[:, 1], icmp)
    _fill(out["icmp_id"], _be16(head, 4), icmp)


def _fill(
    column: npt.NDArray[np.generic], values: npt.NDArray[np.generic], where: npt.NDArray[np.bool_]
) -> None:
    np.copyto(column, values, casting="same_kind", where=where)
