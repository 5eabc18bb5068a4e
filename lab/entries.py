"""Connections made up in the kernel's table: as many as a large node has, in seconds.

They are put there by ctnetlink, as ``conntrack -I`` would, so no packet is ever sent. What a kernel reports
of them is what it reports of real ones, but for their counters, which are zero.
"""

from __future__ import annotations

import dataclasses
import socket
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_NEW, _DELETE = 0x100, 0x102  # NFNL_SUBSYS_CTNETLINK, and IPCTNL_MSG_CT_NEW or _DELETE
_REQUEST, _EXCLUSIVE, _CREATE = 0x1, 0x200, 0x400
_NESTED = 0x8000
_SEEN_REPLY, _ASSURED, _CONFIRMED = 0x2, 0x4, 0x8
_SYN_SENT, _ESTABLISHED, _TIME_WAIT = 1, 3, 7
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_BATCH = 64
"""Messages of one system call; their refusals have to fit into the socket's queue."""

Numbers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.uint8]
"""Many byte strings of one length, one below the other."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Connections that differ in addresses and ports only.

    Attributes:
        share: How many of all are of this kind, from 0 to 1.
        family: 4 or 6.
        protocol: IP protocol number.
        state: TCP state; 0 for other protocols.
        translated: Whether a service stands between source and destination.
    """

    share: float = 1.0
    family: int = 4
    protocol: int = _TCP
    state: int = 0
    translated: bool = True


def mix() -> list[Kind]:
    """What a busy node has: 80 % TCP, 18 % UDP, 2 % ICMP; 10 % IPv6; 60 % by way of a service."""
    protocols = (
        (0.56, _TCP, _ESTABLISHED), (0.176, _TCP, _TIME_WAIT), (0.064, _TCP, _SYN_SENT), (0.18, _UDP, 0),
        (0.02, _ICMP, 0),
    )  # fmt: skip
    return [
        Kind(share=share * of_family * of_way, family=family, protocol=protocol, state=state, translated=way)
        for share, protocol, state in protocols
        for family, of_family in ((4, 0.9), (6, 0.1))
        for way, of_way in ((True, 0.6), (False, 0.4))
    ]


def insertions(kinds: list[Kind], count: int, *, seconds: int = 86_400) -> Iterator[bytes]:
    """Requests that add connections, some of them in each piece.

    Args:
        kinds: What to add.
        count: How many in all.
        seconds: How long they live.
    """
    bounds = np.round(np.cumsum([0.0, *(kind.share for kind in kinds)]) * count / sum(k.share for k in kinds))
    for kind, first, end in zip(kinds, bounds.tolist(), bounds[1:].tolist(), strict=False):
        yield from _pieces(_born(kind, np.arange(int(first), int(end)), seconds), _BATCH)


def lives(kind: Kind, count: int, *, first: int = 0) -> Iterator[bytes]:
    """Requests that add connections and remove each again at once, some of them in each piece."""
    numbers = np.arange(first, first + count)
    gone = _request(_DELETE, 0, kind, [_tuples(kind, numbers)])
    yield from _pieces(np.hstack([_born(kind, numbers, 600), gone]), _BATCH // 2)


def deletions(kind: Kind, count: int, *, first: int = 0) -> Iterator[bytes]:
    """Requests that remove connections which ``insertions`` of the one kind has added."""
    numbers = np.arange(first, first + count)
    yield from _pieces(_request(_DELETE, 0, kind, [_tuples(kind, numbers)]), _BATCH)


def send(opened: socket.socket, requests: Iterator[bytes]) -> int:
    """Have the kernel do all this; how many requests it refused.

    Args:
        opened: A netfilter netlink socket in the namespace.
        requests: As the functions above give them.
    """
    refused = 0
    for request in requests:
        opened.send(request)
        try:
            while True:
                opened.recv(1 << 16, socket.MSG_DONTWAIT)
                refused += 1
        except BlockingIOError:
            pass
    return refused


def _pieces(requests: Matrix, size: int) -> Iterator[bytes]:
    return (requests[start : start + size].tobytes() for start in range(0, len(requests), size))


def _born(kind: Kind, numbers: Numbers, seconds: int) -> Matrix:
    answered = kind.state != _SYN_SENT
    status = _CONFIRMED | (_SEEN_REPLY | _ASSURED if answered else 0)
    count = len(numbers)
    parts = [
        _tuples(kind, numbers),
        _attribute(7, _same(struct.pack(">I", seconds), count)),
        _attribute(3, _same(struct.pack(">I", status), count)),
    ]
    if kind.state:
        state = _attribute(1, _same(bytes([kind.state]), count))
        parts.append(_nest(4, _nest(1, state)))
    return _request(_NEW, _CREATE | _EXCLUSIVE, kind, parts)


def _request(message: int, flags: int, kind: Kind, parts: list[Matrix]) -> Matrix:
    family = socket.AF_INET if kind.family == 4 else socket.AF_INET6
    size = 20 + sum(part.shape[1] for part in parts)
    head = struct.pack("=IHHIIBBH", size, message, _REQUEST | flags, 1, 0, family, 0, 0)
    return np.hstack([_same(head, len(parts[0])), *parts])


def _tuples(kind: Kind, numbers: Numbers) -> Matrix:
    """Both tuples: from clients in one network, perhaps to services in another, to pods in a third."""
    source, pod, service = (
        _address(kind.family, net, spread)
        for net, spread in ((65, 2 + numbers // 40_000), (66, 2 + numbers % 251), (96, 1 + numbers % 97))
    )
    dialled = service if kind.translated else pod
    own, port = _number(20_000 + numbers % 40_000), _number(8_000 + numbers % 7)
    dialled_port = _number(80 + numbers % 7) if kind.translated else port
    if kind.protocol != _ICMP:
        protocol, original, reply = kind.protocol, _ports(own, dialled_port), _ports(port, own)
    else:
        protocol, base, types = (_ICMP, 4, (8, 0)) if kind.family == 4 else (_ICMPV6, 7, (128, 129))
        original, reply = (_ping(base, numbers, kind_of) for kind_of in types)
    return np.hstack([
        _tuple(1, kind.family, source, dialled, protocol, original),
        _tuple(2, kind.family, pod, source, protocol, reply),
    ])  # fmt: skip


def _tuple(kind: int, family: int, src: Matrix, dst: Matrix, protocol: int, rest: Matrix) -> Matrix:
    first = 1 if family == 4 else 3
    addresses = np.hstack([_attribute(first, src), _attribute(first + 1, dst)])
    transport = np.hstack([_attribute(1, _same(bytes([protocol]), len(src))), rest])
    return _nest(kind, np.hstack([_nest(1, addresses), _nest(2, transport)]))


def _ports(src: Matrix, dst: Matrix) -> Matrix:
    return np.hstack([_attribute(2, src), _attribute(3, dst)])


def _ping(base: int, numbers: Numbers, kind: int) -> Matrix:
    count = len(numbers)
    words = [_number(numbers % 65_536), _same(bytes([kind]), count), _same(b"\0", count)]
    return np.hstack([_attribute(base + place, word) for place, word in enumerate(words)])


def _address(family: int, net: int, numbers: Numbers) -> Matrix:
    head = bytes([10, net]) if family == 4 else bytes([0xFD, 0, 0x10, net]) + bytes(10)
    return np.hstack([_same(head, len(numbers)), _number(numbers)])


def _number(numbers: Numbers) -> Matrix:
    """16-bit numbers in network order."""
    return np.ascontiguousarray(numbers.astype(">u2")).view(np.uint8).reshape(-1, 2)


def _same(text: bytes, count: int) -> Matrix:
    return np.tile(np.frombuffer(text, np.uint8), (count, 1))


def _nest(kind: int, inside: Matrix) -> Matrix:
    return _attribute(kind | _NESTED, inside)


def _attribute(kind: int, payload: Matrix) -> Matrix:
    """Netlink attributes with their padding."""
    count, size = payload.shape
    head = _same(struct.pack("=HH", 4 + size, kind), count)
    return np.hstack([head, payload, np.zeros((count, -size % 4), np.uint8)])
