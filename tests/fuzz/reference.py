"""What netlink messages say, read one at a time in the plainest way; our decoders share nothing with it.

It is slow and its only merit is that it is easy to see what it does. The attributes are copied by hand from
linux/netfilter/nfnetlink_conntrack.h and nfnetlink_log.h.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping, Sequence

LONGEST = 1 << 16
CONNTRACK_KINDS, PACKET_KIND = (0x100, 0x102), 0x400
Paths = Mapping[tuple[int, ...], tuple[str, int]]
"""Attribute types from the outside in → a name of ours, and how many bytes there are at least."""


def _tuple_paths(first: int, name: str) -> dict[tuple[int, ...], tuple[str, int]]:
    return {
        (first, 1, 1): (f"{name}.src4", 4),
        (first, 1, 2): (f"{name}.dst4", 4),
        (first, 1, 3): (f"{name}.src6", 16),
        (first, 1, 4): (f"{name}.dst6", 16),
        (first, 2, 1): (f"{name}.protocol", 1),
        (first, 2, 2): (f"{name}.sport", 2),
        (first, 2, 3): (f"{name}.dport", 2),
        (first, 2, 4): (f"{name}.icmp_id", 2),
        (first, 2, 5): (f"{name}.icmp_type", 1),
        (first, 2, 6): (f"{name}.icmp_code", 1),
        (first, 2, 7): (f"{name}.icmp_id", 2),
        (first, 2, 8): (f"{name}.icmp_type", 1),
        (first, 2, 9): (f"{name}.icmp_code", 1),
        (first, 3): (f"{name}.zone", 2),
    }


CONNTRACK: Paths = {
    **_tuple_paths(1, "original"),
    **_tuple_paths(2, "reply"),
    (3,): ("status", 4),
    (4, 1, 1): ("state", 1),
    (4, 2, 1): ("state", 1),
    (4, 3, 1): ("state", 1),
    (7,): ("timeout", 4),
    (8,): ("mark", 4),
    (9, 1): ("forward_packets", 8),
    (9, 2): ("forward_bytes", 8),
    (10, 1): ("reverse_packets", 8),
    (10, 2): ("reverse_bytes", 8),
    (11,): ("use", 4),
    (12,): ("id", 4),
    (18,): ("zone", 2),
    (20, 1): ("started", 8),
    (20, 2): ("stopped", 8),
}
NFLOG: Paths = {
    (1,): ("header", 4),
    (2,): ("mark", 4),
    (3,): ("timestamp", 16),
    (4,): ("in_interface", 4),
    (5,): ("out_interface", 4),
    (9,): ("payload", 0),
    (10,): ("prefix", 0),
    (12,): ("sequence", 4),
    (18, 12): ("conntrack_id", 4),
}


class BrokenError(Exception):
    """The message cannot be what it says."""


@dataclasses.dataclass(slots=True)
class Said:
    """What some datagrams say.

    Attributes:
        rows: A dictionary of columns for each message that can be read, in order.
        malformed: Messages that cannot, and datagrams that were torn.
        messages: All that are of the kind in question.
    """

    rows: list[dict[str, object]]
    malformed: int
    messages: int


def conntrack(datagrams: Sequence[bytes]) -> Said:
    """All connections."""
    messages, torn = split(datagrams)
    rows = [row for row in map(_connection, messages) if row]
    return Said(rows, torn + len(messages) - len(rows), len(messages) + torn)


def nflog(datagrams: Sequence[bytes]) -> Said:
    """All packets; messages of other kinds do not count."""
    messages, torn = split(datagrams)
    messages = [message for message in messages if _kind(message) == PACKET_KIND]
    rows = [row for row in map(_packet, messages) if row]
    return Said(rows, torn + len(messages) - len(rows), len(messages) + torn)


def split(datagrams: Sequence[bytes]) -> tuple[list[bytes], int]:
    """The messages in some datagrams, and how many datagrams end in something that is none."""
    messages, torn = [], 0
    for rest in datagrams:
        while rest:
            length = int.from_bytes(rest[:4], "little") if len(rest) >= 20 else 0
            if not 20 <= length <= min(len(rest), LONGEST):
                torn += 1
                break
            messages.append(rest[:length])
            rest = rest[(length + 3) // 4 * 4 :]
    return messages, torn


def _kind(message: bytes) -> int:
    return int.from_bytes(message[4:6], "little")


def _fields(message: bytes, paths: Paths) -> dict[str, bytes]:
    """Name → value of what is known; of what stands there twice, the later one."""
    found: dict[str, bytes] = {}

    def walk(data: bytes, around: tuple[int, ...]) -> None:
        while len(data) >= 4:
            length, kind = struct.unpack_from("<HH", data)
            path = (*around, kind & 0x3FFF)
            value = data[4:length]
            if not 4 <= length <= len(data):
                raise BrokenError
            if path in paths:
                name, least = paths[path]
                if len(value) < least:
                    raise BrokenError
                found[name] = value
            elif any(known[: len(path)] == path for known in paths):
                walk(value, path)
            data = data[(length + 3) // 4 * 4 :]

    walk(message[20:], ())
    return found


def _number(fields: Mapping[str, bytes], name: str, size: int, at: int = 0) -> int:
    return int.from_bytes(fields[name][at : at + size], "big") if name in fields else 0


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _connection(message: bytes) -> dict[str, object] | None:
    try:
        fields = _fields(message, CONNTRACK)
    except BrokenError:
        return None
    ends = {}
    for side in ("original", "reply"):
        if f"{side}.protocol" not in fields:
            return None
        if not any(f"{side}.src{v}" in fields and f"{side}.dst{v}" in fields for v in "46"):
            return None
        for end, port in (("src", "sport"), ("dst", "dport")):
            v4 = fields.get(f"{side}.{end}4")
            address = bytes(10) + b"\xff\xff" + v4[:4] if v4 is not None else fields[f"{side}.{end}6"][:16]
            ends[side, end] = address, _number(fields, f"{side}.{port}", 2)
    if _kind(message) not in CONNTRACK_KINDS:
        return None
    source, dialled = ends["original", "src"], ends["original", "dst"]
    answered, seen = ends["reply", "src"], ends["reply", "dst"]
    nobody = bytes(16), 0
    row: dict[str, object] = {"destroyed": _kind(message) == CONNTRACK_KINDS[1]}
    row["src"], row["src_port"] = source
    row["dst"], row["dst_port"] = answered
    row["service"], row["service_port"] = dialled if dialled != answered else nobody
    row["snat"], row["snat_port"] = seen if seen != source else nobody
    for name in ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes"):
        row[name] = _number(fields, name, 8)
    for name in ("started", "stopped"):
        row[name] = _signed(_number(fields, name, 8))
    for name in ("status", "timeout", "mark", "use", "id"):
        row[name] = _number(fields, name, 4)
    row["zone"], row["state"] = _number(fields, "zone", 2), _number(fields, "state", 1)
    for side, prefix in (("original", ""), ("reply", "reply_")):
        row[f"{prefix}icmp_id"] = _number(fields, f"{side}.icmp_id", 2)
        row[f"{prefix}icmp_type"] = _number(fields, f"{side}.icmp_type", 1)
        row[f"{prefix}icmp_code"] = _number(fields, f"{side}.icmp_code", 1)
    row["src_zone"], row["dst_zone"] = (_number(fields, f"{side}.zone", 2) for side in ("original", "reply"))
    row["protocol"] = _number(fields, "original.protocol", 1)
    return row


def _packet(message: bytes) -> dict[str, object] | None:
    try:
        fields = _fields(message, NFLOG)
    except BrokenError:
        return None
    read = _headers(fields.get("payload", b"")[:128])
    if read is None:
        return None
    row: dict[str, object] = {
        "src_port": 0, "dst_port": 0, "tcp_sequence": 0, "icmp_type": 0, "icmp_code": 0, "icmp_id": 0, **read,
    }  # fmt: skip
    row["group"] = int.from_bytes(message[18:20], "big")
    for name in ("mark", "in_interface", "out_interface", "sequence", "conntrack_id"):
        row[name] = _number(fields, name, 4)
    row["hook"] = _number(fields, "header", 1, 2)
    nanoseconds = _number(fields, "timestamp", 8) * 10**9 + _number(fields, "timestamp", 8, 8) * 1000
    row["time"] = _signed(nanoseconds % (1 << 64))
    row["prefix"] = fields.get("prefix", b"").split(b"\0")[0].decode("utf-8", "replace")
    return row


def _headers(packet: bytes) -> dict[str, object] | None:
    """What the headers say, as far as they were captured; None if they are no IP headers."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20 and packet[0] & 0xF >= 5:
        length, _, fragment, _, protocol = struct.unpack_from(">HHHBB", packet, 2)
        ends = [bytes(10) + b"\xff\xff" + packet[at : at + 4] for at in (12, 16)]
        rest = packet[(packet[0] & 0xF) * 4 :] if not fragment & 0x1FFF else b""
    elif version == 6 and len(packet) >= 40:
        length = int.from_bytes(packet[4:6], "big") + 40
        ends = [packet[8:24], packet[24:40]]
        protocol, rest = _after_extensions(packet[6], packet[40:])
    else:
        return None
    named = {"src": ends[0], "dst": ends[1], "length": length, "protocol": protocol}
    return {**named, **_transport(protocol, rest)}


def _after_extensions(following: int, rest: bytes) -> tuple[int, bytes]:
    for _ in range(4):
        if following not in (0, 43, 44, 51, 60) or len(rest) < 8:
            break
        kind, following, size = following, rest[0], rest[1]
        if kind == 44 and int.from_bytes(rest[2:4], "big") > 7:  # a later fragment: there is no more of it
            return following, b""
        rest = rest[{44: 8, 51: (size + 2) * 4}.get(kind, (size + 1) * 8) :]
    return following, rest


def _transport(protocol: int, rest: bytes) -> dict[str, object]:
    if len(rest) < 8:
        return {}
    if protocol in (1, 58):
        kind, code, _, identifier = struct.unpack_from(">BBHH", rest)
        return {"icmp_type": kind, "icmp_code": code, "icmp_id": identifier}
    if protocol not in (6, 17, 33, 132, 136):
        return {}
    source, destination, sequence = struct.unpack_from(">HHI", rest)
    return {"src_port": source, "dst_port": destination, "tcp_sequence": sequence if protocol == 6 else 0}
