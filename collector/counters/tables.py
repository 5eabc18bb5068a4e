"""Which tables of rules there are, asked of the kernel itself: nft would read all rules only to list them."""

from __future__ import annotations

import dataclasses
import errno
import pathlib
import socket
import sys
from collections.abc import Iterator

from collector.netlink import dump, sockets

FAMILIES = {"inet": 1, "ip": 2, "bridge": 7, "ip6": 10}
"""Families that can police pods, as nft and the kernel call them; for ARP and at netdev is no policy."""

_GET_TABLE = 0x0A01  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
_NAME, _HANDLE = 1, 4  # NFTA_TABLE_NAME, NFTA_TABLE_HANDLE
_HEADERS = 20
"""Bytes of ``struct nlmsghdr`` and ``struct nfgenmsg``."""
_NAMES = {number: name for name, number in FAMILIES.items()}
_LEGACY_NAMES = {4: "ip_tables_names", 6: "ip6_tables_names"}
_ABSENT = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
"""How a kernel says that it has no nftables."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Table:
    """One nftables table.

    Attributes:
        handle: The kernel's number of it; a table that is made again has another one.
    """

    family: str
    name: str
    handle: int


def nftables(opened: socket.socket) -> list[Table]:
    """The nftables tables in the network namespace of a netfilter socket.

    Raises:
        OSError: If the kernel does not tell.
    """
    try:
        answer = dump.whole(opened, sockets.message(_GET_TABLE, sockets.NLM_F_DUMP, bytes(4)))
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise
    return decode(answer)


def decode(answer: bytes) -> list[Table]:
    """The tables in the kernel's answer; those of other families are left out."""
    found = []
    for start, end in messages(answer):
        family = _NAMES.get(answer[start + sockets.HEADER.size], "")
        fields = attributes(answer, start, end)
        if family and _NAME in fields:
            name = fields[_NAME].rstrip(b"\0").decode(errors="replace")
            found.append(Table(family, name, int.from_bytes(fields.get(_HANDLE, b""), "big")))
    return found


def messages(answer: bytes) -> Iterator[tuple[int, int]]:
    """Where each netfilter message begins and ends; what comes after a broken one is not there."""
    position = 0
    while position + _HEADERS <= len(answer):
        length = int.from_bytes(answer[position : position + 4], sys.byteorder)
        if not _HEADERS <= length <= len(answer) - position:
            return
        yield position, position + length
        position += length + -length % 4


def attributes(answer: bytes, start: int, end: int) -> dict[int, bytes]:
    """The values of a message's attributes by type; of several of one type, the last."""
    found = {}
    position = start + _HEADERS
    while position + sockets.ATTRIBUTE.size <= end:
        length, kind = sockets.ATTRIBUTE.unpack_from(answer, position)
        if length < sockets.ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = answer[position + sockets.ATTRIBUTE.size : min(position + length, end)]
        position += length + -length % 4
    return found


def legacy(family: int) -> list[str]:
    """Names of the tables of iptables' legacy back end in the network namespace of this thread.

    The tool itself would make a table that it is asked for and that is not there.

    Args:
        family: 4 or 6.

    Raises:
        OSError: If the kernel does not tell us.
    """
    try:
        return pathlib.Path("/proc/thread-self/net", _LEGACY_NAMES[family]).read_text().split()
    except FileNotFoundError:  # the kernel has no such back end, or never needed it
        return []
