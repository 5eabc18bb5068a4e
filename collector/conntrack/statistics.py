"""What the kernel says of its own connection tracking: how full it is, and what it could not track."""

from __future__ import annotations

import dataclasses
import socket
import struct

from collector.netlink import dump, layouts, sockets

_STATISTICS_PER_CPU, _STATISTICS = (
    0x104,
    0x105,
)  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_STATS_CPU and _STATS
_Field = layouts.Field
_PER_CPU: layouts.Tree = {
    5: _Field("CTA_STATS_INSERT_FAILED", "insert_failed", 4),
    6: _Field("CTA_STATS_DROP", "drop", 4),
    7: _Field("CTA_STATS_EARLY_DROP", "early_drop", 4),
}
_ALL: layouts.Tree = {
    1: _Field("CTA_STATS_GLOBAL_ENTRIES", "entries", 4),
    2: _Field("CTA_STATS_GLOBAL_MAX_ENTRIES", "limit", 4),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The state of a network namespace's table.

    Attributes:
        entries: How many connections it holds.
        limit: How many it may hold (``net.netfilter.nf_conntrack_max``).
        refused: Packets dropped since boot because there was no room for their connection, or another one
            had taken its place meanwhile (``drop`` and ``insert_failed``).
        evicted: Connections ended before their time to make room (``early_drop``); they have a DESTROY.
    """

    entries: int
    limit: int
    refused: int
    evicted: int


def read(opened: socket.socket) -> Statistics:
    """Ask the kernel.

    Args:
        opened: A netfilter socket on which no other answer is awaited.

    Raises:
        OSError: If it refuses.
    """
    per_cpu = _numbers(opened, _STATISTICS_PER_CPU, _PER_CPU)
    whole = _numbers(opened, _STATISTICS, _ALL)
    return Statistics(
        entries=whole.get("entries", 0), limit=whole.get("limit", 0), evicted=per_cpu.get("early_drop", 0),
        refused=per_cpu.get("drop", 0) + per_cpu.get("insert_failed", 0),
    )  # fmt: skip


def _numbers(opened: socket.socket, request: int, tree: layouts.Tree) -> dict[str, int]:
    """The sum of each field over all messages of the answer."""
    sums: dict[str, int] = {}
    body = struct.pack("=BBH", 0, 0, 0)
    if request == _STATISTICS:
        answer = sockets.answer(opened, sockets.message(request, 0, body))
    else:
        answer = dump.whole(opened, sockets.message(request, sockets.NLM_F_DUMP, body))
    datagram = layouts.datagram(answer)
    starts, lengths, _ = layouts.split(datagram)
    for messages in layouts.partition(datagram, starts, lengths, tree):
        if isinstance(messages, layouts.Messages):
            for name in messages.layout.fields:
                sums[name] = sums.get(name, 0) + int(messages.be32(name).sum())
    return sums
