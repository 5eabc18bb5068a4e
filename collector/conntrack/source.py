"""Where connections come from: a dump of the kernel's table, and its DESTROY events in between."""

from __future__ import annotations

import pathlib
import struct

import numpy as np

from collector.conntrack import decode
from collector.netlink import sockets

_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_GET = _SUBSYSTEM | 1  # IPCTNL_MSG_CT_GET
_DESTROY_GROUP = 1 << 2  # NF_NETLINK_CONNTRACK_DESTROY
_DUMP = sockets.message(_GET, sockets.NLM_F_DUMP, struct.pack("=BBH", 0, 0, 0))  # both address families


class Source:
    """Connections of one network namespace.

    Args:
        namespace: Path of the network namespace; None for our own.
        receive_buffer: Bytes of events that the kernel may queue for us.
        capacity: Bytes of events that we hold until they are read.
    """

    def __init__(self, namespace: pathlib.Path | None, *, receive_buffer: int, capacity: int) -> None:
        events, self._table = sockets.within(namespace, lambda: (
            sockets.open_netfilter(groups=_DESTROY_GROUP, receive_buffer=receive_buffer),
            sockets.open_netfilter(receive_buffer=receive_buffer),
        ))  # fmt: skip
        self._events = sockets.Receiver(events, name="conntrack events", capacity=capacity)
        self.malformed = 0

    def start(self) -> None:
        """Begin to receive events."""
        self._events.start()

    def stop(self) -> None:
        """End the receiver and close both sockets."""
        self._events.stop()
        self._table.close()

    def close(self) -> None:
        """Close both sockets of a source that was never started."""
        self._events.close()
        self._table.close()

    @property
    def lost(self) -> int:
        """Events that the kernel threw away since the start, because its queue for us was full."""
        return self._events.lost

    @property
    def discarded(self) -> int:
        """Events that we threw away since the start, because they came faster than they were read."""
        return self._events.discarded

    def read(self) -> decode.Connections:
        """Every living connection, and every one that has ended since the last call, each once.

        The dump comes first: whatever was in it and has ended meanwhile has its event behind it, so that
        an entry that stands in both is one that the event has the last word on.

        Raises:
            OSError: If the kernel refuses the dump.
        """
        living, malformed = decode.decode(sockets.dump(self._table, _DUMP))
        ended, more = decode.decode(self._events.take())
        self.malformed += malformed + more
        both = np.concatenate([living, ended])
        _, last = np.unique(both["key"][::-1], return_index=True)
        return both[len(both) - 1 - last]
