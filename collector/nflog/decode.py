"""NFLOG messages (linux/netfilter/nfnetlink_log.h) as columns, down to the packet's own headers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.conntrack import decode as conntrack
from collector.netlink import layouts

PACKET = np.dtype([
    ("tuple", "u8"), ("time", "i8"), ("src", "u1", (16,)), ("dst", "u1", (16,)),
    ("prefix", "i4"), ("length", "u4"), ("sequence", "u4"), ("tcp_sequence", "u4"),
    ("src_port", "u2"), ("dst_port", "u2"), ("icmp_id", "u2"), ("group", "u2"),
    ("protocol", "u1"), ("icmp_type", "u1"), ("icmp_code", "u1"),
])  # fmt: skip
"""One logged packet. ``prefix`` is a position in the list that comes with it; ``length`` the packet's own,
whatever was captured of it; ``time`` in ns since 1970, zero where the kernel gave none."""

Packets = npt.NDArray[np.void]

_TREE: layouts.Tree = {1: "header", 3: "timestamp", 9: "payload", 10: "prefix", 12: "sequence"}
_PACKET = 0x400  # NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET
_TCP, _UDP, _SCTP, _UDPLITE, _ICMP, _ICMPV6 = 6, 17, 132, 136, 1, 58
_WITH_PORTS = (_TCP, _UDP, _SCTP, _UDPLITE)
_V6_EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options: length in 8-byte units


def decode(buffer: bytearray) -> tuple[Packets, list[str], int]:
    """The packets, the prefixes that they refer to, and how many messages could not be read."""
    starts, lengths = layouts.split(buffer)
    data = layouts.aligned(buffer)
    kinds = data.view(np.uint16)[(starts + 4) >> 1]
    starts, lengths = starts[kinds == _PACKET], lengths[kinds == _PACKET]
    out = np.zeros(len(starts), PACKET)
    prefixes: dict[bytes, int] = {}
    good = np.zeros(len(starts), bool)
    for messages in layouts.partition(data, starts, lengths, _TREE):
        if not isinstance(messages, layouts.MalformedMessageError):
            out[messages.rows] = _read(messages, prefixes)
            good[messages.rows] = _read_packet(messages, data, out)
    packets = out[good]
    packets["tuple"] = conntrack.five_tuple(
        packets["src"], packets["dst"], packets["src_port"], packets["dst_port"], packets["protocol"],
        packets["icmp_id"],
    )  # fmt: skip
    return packets, [p.decode("utf-8", "replace") for p in prefixes], int((~good).sum())


def _read(messages: layouts.Messages, prefixes: dict[bytes, int]) -> Packets:
    out = np.zeros(len(messages.rows), PACKET)
    out["group"] = messages.resource()
    if "timestamp" in messages:
        seconds, micros = (
            messages.be64("timestamp").view(np.int64),
            messages.be64("timestamp", 8).view(np.int64),
        )
        out["time"] = seconds * 1_000_000_000 + micros * 1000
    if "sequence" in messages:
        out["sequence"] = messages.be32("sequence")
    out["prefix"] = _prefix_codes(messages, prefixes)
    return out


def _prefix_codes(messages: layouts.Messages, prefixes: dict[bytes, int]) -> npt.NDArray[np.int32]:
    """Each message's prefix as a position in ``prefixes``, which grows by what is new."""
    if "prefix" not in messages or not messages.size("prefix"):
        return np.full(len(messages.rows), prefixes.setdefault(b"", len(prefixes)), np.int32)
    size = messages.size("prefix")
    texts = messages.raw("prefix", size).view(f"S{size}")[:, 0]  # numpy's S ends at the NUL, as prefixes do
    distinct, codes = np.unique(texts, return_inverse=True)
    known = [prefixes.setdefault(bytes(text), len(prefixes)) for text in distinct]
    return np.array(known, np.int32)[codes]


def _read_packet(messages: layouts.Messages, data: layouts.Bytes, out: Packets) -> npt.NDArray[np.bool_]:
    """Fill in what the packet's own headers say; which of them could be read, shape (n,)."""
    rows = messages.rows
    if "payload" not in messages or messages.size("payload") < 20:
        return np.zeros(len(rows), bool)
    first = messages.starts + messages.position("payload")
    end = first + messages.size("payload")
    version = data[first] >> 4
    good = np.zeros(len(rows), bool)
    for wanted, read in ((4, _read_v4), (6, _read_v6)):
        these = np.flatnonzero((version == wanted) & (end - first >= (20 if wanted == 4 else 40)))
        if len(these):
            transport = read(data, first[these], rows[these], out)
            _read_transport(data, transport, end[these], rows[these], out)
            good[these] = True
    return good


def _be16(data: layouts.Bytes, at: layouts.Rows) -> npt.NDArray[np.uint32]:
    return (data[at].astype(np.uint32) << np.uint32(8)) | data[at + 1]


def _read_v4(data: layouts.Bytes, first: layouts.Rows, rows: layouts.Rows, out: Packets) -> layouts.Rows:
    """IPv4 header (RFC 791); where the transport header begins."""
    out["src"][rows] = _mapped(data, first + 12)
    out["dst"][rows] = _mapped(data, first + 16)
    out["protocol"][rows] = data[first + 9]
    out["length"][rows] = _be16(data, first + 2)
    return first + (data[first] & 0xF).astype(np.int64) * 4


def _mapped(data: layouts.Bytes, at: layouts.Rows) -> layouts.Bytes:
    address = np.zeros((len(at), 16), np.uint8)
    address[:, 10:12] = 0xFF
    address[:, 12:] = data[at[:, None] + np.arange(4)]
    return address


def _read_v6(data: layouts.Bytes, first: layouts.Rows, rows: layouts.Rows, out: Packets) -> layouts.Rows:
    """IPv6 header and extension headers (RFC 8200); where the transport header begins."""
    out["src"][rows] = data[(first + 8)[:, None] + np.arange(16)]
    out["dst"][rows] = data[(first + 24)[:, None] + np.arange(16)]
    out["length"][rows] = _be16(data, first + 4) + 40
    following, at = data[first + 6].copy(), first + 40
    limit = len(data) - 2
    for _ in range(4):  # more extension headers than that do not fit into what is captured
        extended = np.isin(following, _V6_EXTENSIONS) & (at < limit)
        if not extended.any():
            break
        here = at[extended]
        following[extended] = data[here]
        at[extended] = here + (data[here + 1].astype(np.int64) + 1) * 8
    out["protocol"][rows] = following
    return at


def _read_transport(
    data: layouts.Bytes, at: layouts.Rows, end: layouts.Rows, rows: layouts.Rows, out: Packets
) -> None:
    """Ports, ICMP type, code and identifier, TCP sequence number; zero where the capture ends before."""
    protocol = out["protocol"][rows]
    whole = at + 8 <= end
    ports = np.isin(protocol, _WITH_PORTS) & whole
    out["src_port"][rows[ports]] = _be16(data, at[ports])
    out["dst_port"][rows[ports]] = _be16(data, at[ports] + 2)
    tcp = (protocol == _TCP) & whole
    out["tcp_sequence"][rows[tcp]] = (_be16(data, at[tcp] + 4) << np.uint32(16)) | _be16(data, at[tcp] + 6)
    icmp = np.isin(protocol, (_ICMP, _ICMPV6)) & whole
    out["icmp_type"][rows[icmp]] = data[at[icmp]]
    out["icmp_code"][rows[icmp]] = data[at[icmp] + 1]
    out["icmp_id"][rows[icmp]] = _be16(data, at[icmp] + 4)
