"""Conntrack messages (linux/netfilter/nfnetlink_conntrack.h) as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from collector.netlink import layouts
from model import asof, enums

CONNECTION = np.dtype([
    ("key", "u8"), ("tuple", "u8"), ("started", "i8"), ("stopped", "i8"),
    ("src", "u1", (16,)), ("dst", "u1", (16,)), ("service", "u1", (16,)), ("snat", "u1", (16,)),
    ("forward_packets", "u8"), ("forward_bytes", "u8"), ("reverse_packets", "u8"), ("reverse_bytes", "u8"),
    ("id", "u4"), ("status", "u4"), ("timeout", "u4"), ("mark", "u4"), ("use", "u4"),
    ("src_port", "u2"), ("dst_port", "u2"), ("service_port", "u2"), ("snat_port", "u2"),
    ("icmp_id", "u2"), ("reply_icmp_id", "u2"), ("zone", "u2"), ("src_zone", "u2"), ("dst_zone", "u2"),
    ("protocol", "u1"), ("icmp_type", "u1"), ("icmp_code", "u1"), ("reply_icmp_type", "u1"),
    ("reply_icmp_code", "u1"), ("state", "u1"), ("destroyed", "?"),
])  # fmt: skip
"""One kernel entry. ``dst`` is who answers (after DNAT), ``service`` who was dialled, zero where that is
the same; ``snat`` the source as the responder sees it, zero where that is the same. GRE has its keys for
ports. Times in ns since 1970, zero where the kernel keeps none; ``timeout`` in seconds. ``zone`` holds for
both directions, ``src_zone`` and ``dst_zone`` for one. ``state`` is TCP's, SCTP's or DCCP's. ``key`` names
this entry, ``tuple`` its five-tuple."""

Connections = npt.NDArray[np.void]
_RAW = np.dtype(f"V{CONNECTION.itemsize}")  # numpy copies rows of bytes whole, rows of fields field by field

SEEN_REPLY = 0x2
"""IPS_SEEN_REPLY: packets went both ways (linux/netfilter/nf_conntrack_common.h)."""
OFFLOADED = 0xC000
"""IPS_OFFLOAD and IPS_HW_OFFLOAD: a flowtable forwards it, past rules and perhaps past counters."""
_NEW, _DELETE = 0x100, 0x102  # NFNL_SUBSYS_CTNETLINK, and IPCTNL_MSG_CT_NEW or _DELETE
_Field, _Nest = layouts.Field, layouts.Nest


def _tuple(kernel: str, prefix: str) -> layouts.Nest:
    return _Nest(kernel, {
        1: _Nest("CTA_TUPLE_IP", {
            1: _Field("CTA_IP_V4_SRC", f"{prefix}_src4", 4), 2: _Field("CTA_IP_V4_DST", f"{prefix}_dst4", 4),
            3: _Field("CTA_IP_V6_SRC", f"{prefix}_src6", 16),
            4: _Field("CTA_IP_V6_DST", f"{prefix}_dst6", 16),
        }),
        2: _Nest("CTA_TUPLE_PROTO", {
            1: _Field("CTA_PROTO_NUM", f"{prefix}_protocol", 1),
            2: _Field("CTA_PROTO_SRC_PORT", f"{prefix}_src_port", 2),
            3: _Field("CTA_PROTO_DST_PORT", f"{prefix}_dst_port", 2),
            4: _Field("CTA_PROTO_ICMP_ID", f"{prefix}_icmp_id", 2),
            5: _Field("CTA_PROTO_ICMP_TYPE", f"{prefix}_icmp_type", 1),
            6: _Field("CTA_PROTO_ICMP_CODE", f"{prefix}_icmp_code", 1),
            7: _Field("CTA_PROTO_ICMPV6_ID", f"{prefix}_icmp_id", 2),
            8: _Field("CTA_PROTO_ICMPV6_TYPE", f"{prefix}_icmp_type", 1),
            9: _Field("CTA_PROTO_ICMPV6_CODE", f"{prefix}_icmp_code", 1),
        }),
        3: _Field("CTA_TUPLE_ZONE", f"{prefix}_zone", 2),
    })  # fmt: skip


def _counters(kernel: str, prefix: str) -> layouts.Nest:
    return _Nest(kernel, {
        1: _Field("CTA_COUNTERS_PACKETS", f"{prefix}_packets", 8),
        2: _Field("CTA_COUNTERS_BYTES", f"{prefix}_bytes", 8),
    })  # fmt: skip


_TREE: layouts.Tree = {
    1: _tuple("CTA_TUPLE_ORIG", "original"),
    2: _tuple("CTA_TUPLE_REPLY", "reply"),
    3: _Field("CTA_STATUS", "status", 4),
    4: _Nest("CTA_PROTOINFO", {
        1: _Nest("CTA_PROTOINFO_TCP", {1: _Field("CTA_PROTOINFO_TCP_STATE", "state", 1)}),
        2: _Nest("CTA_PROTOINFO_DCCP", {1: _Field("CTA_PROTOINFO_DCCP_STATE", "state", 1)}),
        3: _Nest("CTA_PROTOINFO_SCTP", {1: _Field("CTA_PROTOINFO_SCTP_STATE", "state", 1)}),
    }),
    7: _Field("CTA_TIMEOUT", "timeout", 4),
    8: _Field("CTA_MARK", "mark", 4),
    9: _counters("CTA_COUNTERS_ORIG", "forward"),
    10: _counters("CTA_COUNTERS_REPLY", "reverse"),
    11: _Field("CTA_USE", "use", 4),
    12: _Field("CTA_ID", "id", 4),
    18: _Field("CTA_ZONE", "zone", 2),
    20: _Nest("CTA_TIMESTAMP", {
        1: _Field("CTA_TIMESTAMP_START", "started", 8), 2: _Field("CTA_TIMESTAMP_STOP", "stopped", 8),
    }),
}  # fmt: skip

_U64 = ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes")
_I64 = ("started", "stopped")
_U32 = ("id", "status", "timeout", "mark", "use")
_RENAMED = {
    "icmp_id": "original_icmp_id", "icmp_type": "original_icmp_type", "icmp_code": "original_icmp_code",
    "src_zone": "original_zone", "dst_zone": "reply_zone", "protocol": "original_protocol",
}  # fmt: skip
_U16 = ("icmp_id", "reply_icmp_id", "zone", "src_zone", "dst_zone")
_U8 = ("protocol", "icmp_type", "icmp_code", "reply_icmp_type", "reply_icmp_code", "state")


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """What some messages say.

    Attributes:
        connections: One for each message that could be read, in their order.
        malformed: How many could not be read.
        error: What was wrong with the first of those.
    """

    connections: Connections
    malformed: int = 0
    error: str = ""


def decode(datagrams: layouts.Datagrams) -> Decoded:
    """The connections of a dump or of a run of events."""
    starts, lengths, malformed = layouts.split(datagrams)
    problem = layouts.TORN if malformed else ""
    out = np.zeros(len(starts), _RAW)
    seen = np.zeros(len(starts), bool)
    for messages in layouts.partition(datagrams, starts, lengths, _TREE):
        wrong = messages if isinstance(messages, layouts.MalformedMessageError) else _incomplete(messages)
        if isinstance(messages, layouts.Messages) and not wrong:
            out[messages.rows] = _read(messages).view(_RAW)
            seen[messages.rows] = True
        else:
            problem = problem or str(wrong)
    kinds = datagrams.buffer.view(np.uint16)[(starts + 4) >> 1]
    out.view(CONNECTION)["destroyed"] = kinds == _DELETE
    seen &= (kinds == _DELETE) | (kinds == _NEW)
    problem = problem or ("" if seen.all() else "nlmsghdr at byte 0: not a message about a connection")
    connections = out if seen.all() else out[seen]
    return Decoded(keyed(connections.view(CONNECTION)), malformed + int((~seen).sum()), problem)


def _incomplete(messages: layouts.Messages) -> str:
    """What an entry cannot be without, and these are; empty if nothing."""
    for tuple_, kernel in (("original", "CTA_TUPLE_ORIG"), ("reply", "CTA_TUPLE_REPLY")):
        if f"{tuple_}_protocol" not in messages:
            return layouts.missing(f"{kernel}/CTA_TUPLE_PROTO/CTA_PROTO_NUM")
        if not all(
            f"{tuple_}_src{v}" in messages and f"{tuple_}_dst{v}" in messages for v in "4"
        ) and not all(f"{tuple_}_{side}6" in messages for side in ("src", "dst")):
            return layouts.missing(f"{kernel}/CTA_TUPLE_IP")
    return ""


def _read(messages: layouts.Messages) -> Connections:
    """The entries of messages of one layout."""
    out = np.zeros(len(messages), CONNECTION)
    for names, read, kind in (
        (_U64, messages.be64, np.uint64), (_I64, messages.be64, np.int64), (_U32, messages.be32, np.uint32),
        (_U16, messages.be16, np.uint16), (_U8, messages.u8, np.uint8),
    ):  # fmt: skip
        for name in names:
            field = _RENAMED.get(name, name)
            if field in messages:
                out[name] = read(field).view(kind)
    _translate(messages, out)
    return out


def _translate(messages: layouts.Messages, out: Connections) -> None:
    """Both tuples, read as who dialled, who was dialled, who answered, and whom that one saw."""
    source, dialled = _end(messages, "original", "src"), _end(messages, "original", "dst")
    answered, seen = _end(messages, "reply", "src"), _end(messages, "reply", "dst")
    out["src"], out["dst"] = source[0], answered[0]
    out["src_port"], out["dst_port"] = source[1], answered[1]
    for name, (address, port), (other, other_port) in (
        ("service", dialled, answered), ("snat", seen, source),
    ):  # fmt: skip
        words, other_words = address.view(np.uint64), other.view(np.uint64)
        changed = (words[:, 0] != other_words[:, 0]) | (words[:, 1] != other_words[:, 1])
        changed |= port != other_port
        if changed.all():
            out[name], out[f"{name}_port"] = address, port
        elif changed.any():
            out[name][changed], out[f"{name}_port"][changed] = address[changed], port[changed]


def _end(messages: layouts.Messages, which: str, side: str) -> tuple[layouts.Bytes, npt.NDArray[np.uint16]]:
    address = np.zeros((len(messages), 16), np.uint8)
    if f"{which}_{side}4" in messages:
        address[:, 10:12] = 0xFF
        address[:, 12:] = messages.raw(f"{which}_{side}4", 4)
    else:
        address[:] = messages.raw(f"{which}_{side}6", 16)
    port = f"{which}_{side}_port"
    return address, messages.be16(port) if port in messages else np.zeros(len(address), np.uint16)


def keyed(connections: Connections) -> Connections:
    """The same rows, with their ``tuple`` and ``key`` set by what else they have."""
    connections["tuple"] = five_tuple(
        connections["src"], connections["dst"], connections["src_port"], connections["dst_port"],
        connections["protocol"], connections["icmp_id"],
    )  # fmt: skip
    connections["key"] = asof.mix(connections["tuple"], connections["id"], connections["started"].view("u8"))
    return connections


def five_tuple(
    src: layouts.Bytes,
    dst: layouts.Bytes,
    src_port: npt.NDArray[np.uint16],
    dst_port: npt.NDArray[np.uint16],
    protocol: layouts.Bytes,
    icmp_id: npt.NDArray[np.uint16],
) -> asof.Keys:
    """One key for the five-tuple as policies see it: source before SNAT, destination after DNAT."""
    addresses = np.concatenate([src, dst], axis=1).view(np.uint64)
    rest = (
        src_port.astype(np.uint64) << np.uint64(40) | dst_port.astype(np.uint64) << np.uint64(24)
        | icmp_id.astype(np.uint64) << np.uint64(8) | protocol
    )  # fmt: skip
    return asof.mix(*addresses.T, rest)


def concatenate(pieces: Sequence[Connections]) -> Connections:
    """All rows of some pieces."""
    whole = np.concatenate([piece.view(_RAW) for piece in pieces]) if pieces else np.zeros(0, _RAW)
    return whole.view(CONNECTION)


def take(connections: Connections, rows: npt.NDArray[np.int64]) -> Connections:
    """Some rows, in the order in which they are named."""
    return connections.view(_RAW)[rows].view(CONNECTION)


def tcp_states(connections: Connections) -> npt.NDArray[np.uint8]:
    """The kernel's number of each TCP state; 0 for other protocols, and for numbers without a word."""
    named = (connections["protocol"] == enums.Protocol.TCP) & (connections["state"] < len(enums.TCP_STATES))
    return np.where(named, connections["state"], 0)
