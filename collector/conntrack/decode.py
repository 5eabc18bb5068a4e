"""Conntrack messages (linux/netfilter/nfnetlink_conntrack.h) as columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.netlink import layouts
from model import asof

CONNECTION = np.dtype([
    ("key", "u8"), ("tuple", "u8"), ("started", "i8"), ("stopped", "i8"),
    ("src", "u1", (16,)), ("dst", "u1", (16,)), ("service", "u1", (16,)), ("snat", "u1", (16,)),
    ("forward_packets", "u8"), ("forward_bytes", "u8"), ("reverse_packets", "u8"), ("reverse_bytes", "u8"),
    ("id", "u4"), ("status", "u4"), ("timeout", "u4"),
    ("src_port", "u2"), ("dst_port", "u2"), ("service_port", "u2"), ("snat_port", "u2"), ("icmp_id", "u2"),
    ("protocol", "u1"), ("icmp_type", "u1"), ("icmp_code", "u1"), ("tcp_state", "u1"), ("destroyed", "?"),
])  # fmt: skip
"""One kernel entry. ``dst`` is who answers (after DNAT), ``service`` who was dialled, zero where that is
the same; ``snat`` the source as the responder sees it, zero where that is the same. Times in ns since 1970,
zero where the kernel keeps none; ``timeout`` in seconds. ``key`` names this entry, ``tuple`` its
five-tuple."""

Connections = npt.NDArray[np.void]

SEEN_REPLY = 0x2
"""IPS_SEEN_REPLY: packets went both ways (linux/netfilter/nf_conntrack_common.h)."""
_DELETE = 2  # IPCTNL_MSG_CT_DELETE


def _tuple(prefix: str) -> layouts.Tree:
    return {
        1: {1: f"{prefix}_src4", 2: f"{prefix}_dst4", 3: f"{prefix}_src6", 4: f"{prefix}_dst6"},
        2: {1: f"{prefix}_protocol", 2: f"{prefix}_src_port", 3: f"{prefix}_dst_port",
            4: f"{prefix}_icmp_id", 5: f"{prefix}_icmp_type", 6: f"{prefix}_icmp_code",
            7: f"{prefix}_icmp_id", 8: f"{prefix}_icmp_type", 9: f"{prefix}_icmp_code"},
    }  # fmt: skip


_TREE: layouts.Tree = {
    1: _tuple("original"),
    2: _tuple("reply"),
    3: "status",
    4: {1: {1: "tcp_state"}},
    7: "timeout",
    9: {1: "forward_packets", 2: "forward_bytes"},
    10: {1: "reverse_packets", 2: "reverse_bytes"},
    12: "id",
    20: {1: "started", 2: "stopped"},
}


def decode(buffer: bytearray) -> tuple[Connections, int]:
    """The connections of a dump or of a run of events, and how many messages were malformed.

    Args:
        buffer: Netlink messages one after the other, each at a multiple of four bytes.
    """
    starts, lengths = layouts.split(buffer)
    data = layouts.aligned(buffer)
    out = np.zeros(len(starts), CONNECTION)
    malformed = 0
    seen = np.zeros(len(starts), bool)
    for messages in layouts.partition(data, starts, lengths, _TREE):
        if isinstance(messages, layouts.MalformedMessageError):
            malformed += 1
        elif "original_protocol" in messages:
            out[messages.rows] = _read(messages)
            seen[messages.rows] = True
    out["destroyed"] = data[starts + 4] == _DELETE
    return _keyed(out[seen]), malformed


def _read(messages: layouts.Messages) -> Connections:
    """The entries of messages of one layout."""
    out = np.zeros(len(messages.rows), CONNECTION)
    out["protocol"] = messages.u8("original_protocol")
    for name in (
        "forward_packets",
        "forward_bytes",
        "reverse_packets",
        "reverse_bytes",
        "started",
        "stopped",
    ):
        if name in messages:
            out[name] = messages.be64(name).view(np.int64 if name in ("started", "stopped") else np.uint64)
    for name in ("id", "status", "timeout"):
        if name in messages:
            out[name] = messages.be32(name)
    for name in ("icmp_type", "icmp_code"):
        if f"original_{name}" in messages:
            out[name] = messages.u8(f"original_{name}")
    if "original_icmp_id" in messages:
        out["icmp_id"] = messages.be16("original_icmp_id")
    if "tcp_state" in messages:
        out["tcp_state"] = messages.u8("tcp_state")
    _translate(messages, out)
    return out


def _translate(messages: layouts.Messages, out: Connections) -> None:
    """Both tuples, read as who dialled, who was dialled, who answered, and whom that one saw."""
    source, dialled = _end(messages, "original", "src"), _end(messages, "original", "dst")
    answered, seen = _end(messages, "reply", "src"), _end(messages, "reply", "dst")
    out["src"], out["dst"] = source[0], answered[0]
    out["src_port"], out["dst_port"] = source[1], answered[1]
    for name, (address, port), (other, other_port) in (
        ("service", dialled, answered),
        ("snat", seen, source),
    ):
        changed = (address != other).any(axis=1) | (port != other_port)
        out[name] = np.where(changed[:, None], address, 0)
        out[f"{name}_port"] = np.where(changed, port, 0)


def _end(messages: layouts.Messages, which: str, side: str) -> tuple[layouts.Bytes, npt.NDArray[np.uint16]]:
    address = np.zeros((len(messages.rows), 16), np.uint8)
    if f"{which}_{side}4" in messages:
        address[:, 10:12] = 0xFF
        address[:, 12:] = messages.raw(f"{which}_{side}4", 4)
    elif f"{which}_{side}6" in messages:
        address[:] = messages.raw(f"{which}_{side}6", 16)
    port = f"{which}_{side}_port"
    return address, messages.be16(port) if port in messages else np.zeros(len(address), np.uint16)


def _keyed(connections: Connections) -> Connections:
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
    src_words = np.ascontiguousarray(src).view(np.uint64)
    dst_words = np.ascontiguousarray(dst).view(np.uint64)
    return asof.mix(
        src_words[:, 0],
        src_words[:, 1],
        dst_words[:, 0],
        dst_words[:, 1],
        src_port,
        dst_port,
        protocol,
        icmp_id,
    )
