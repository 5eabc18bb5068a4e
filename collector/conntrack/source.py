"""Where connections come from: a dump of the kernel's table, and its DESTROY events in between."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
from collections.abc import Callable, Iterator

import numpy as np

from collector.conntrack import decode, scope, statistics
from collector.netlink import dump, layouts, receiver, slots, sockets

_DESTROY_GROUP = 1 << 2  # NF_NETLINK_CONNTRACK_DESTROY
_EVENT = 1 << 10
"""A slot's size in bytes; no event that we know is longer than half of it."""


def snapshot(
    namespace: pathlib.Path | None, wanted: scope.Scope = scope.EVERYTHING
) -> Iterator[decode.Decoded]:
    """The kernel's table as it stands, some thousand connections at a time.

    Raises:
        OSError: If the kernel refuses the dump.
    """
    with sockets.within(namespace, sockets.open_netfilter) as table:
        for piece in dump.dump(table, wanted.request()):
            decoded = decode.decode(piece)
            yield dataclasses.replace(decoded, connections=wanted.select(decoded.connections))


class Source:
    """Connections of one network namespace.

    Args:
        namespace: Path of the network namespace; None for our own.
        receive_buffer: Bytes of events that the kernel may queue for us.
        capacity: How many ended connections we hold until they are read; more are discarded and counted.
        wanted: Which connections are wanted.
        hurry: Is called, by another thread, when it is time to read: the kernel has lost events, or we
            hold half of what we can.
    """

    def __init__(
        self,
        namespace: pathlib.Path | None,
        *,
        receive_buffer: int,
        capacity: int,
        wanted: scope.Scope = scope.EVERYTHING,
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        events, self._table = sockets.within(namespace, lambda: (
            sockets.open_netfilter(groups=_DESTROY_GROUP, receive_buffer=receive_buffer),
            sockets.open_netfilter(),
        ))  # fmt: skip
        self._wanted, self._capacity, self._hurry = wanted, capacity, hurry
        self._events = receiver.Receiver(
            events, slots.Slots(1 << 12, _EVENT), self._hold, name="conntrack events", overrun=hurry
        )
        self._refused = statistics.read(self._table).refused
        self._lock = threading.Lock()
        self._ended: list[decode.Connections] = []
        self._held = 0
        self.malformed = 0
        self.discarded = 0
        self.error = ""

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

    def statistics(self) -> statistics.Statistics:
        """The kernel's own word on its table; what it has refused is counted from our start.

        Raises:
            OSError: If the kernel does not tell.
        """
        state = statistics.read(self._table)
        return dataclasses.replace(state, refused=state.refused - self._refused)

    def read(self) -> decode.Connections:
        """Every living connection, and every one that has ended since the last call, each once, by key.

        The dump comes first: whatever was in it and has ended meanwhile has its event behind it, so that
        an entry that stands in both is one that the event has the last word on.

        Raises:
            OSError: If the kernel refuses the dump.
        """
        pieces = [
            self._count(decode.decode(piece)) for piece in dump.dump(self._table, self._wanted.request())
        ]
        self._events.flush()
        with self._lock:
            pieces += self._ended
            self._ended, self._held = [], 0
        both = decode.concatenate(pieces)
        _, last = np.unique(both["key"][::-1], return_index=True)
        return decode.take(both, len(both) - 1 - last)

    def _hold(self, events: layouts.Datagrams) -> None:
        ended = self._count(decode.decode(events))
        with self._lock:
            room = self._capacity - self._held
            self.discarded += max(len(ended) - room, 0)
            self._ended.append(ended[:room])
            self._held += min(len(ended), room)
        if self._held > self._capacity // 2:
            self._hurry()

    def _count(self, decoded: decode.Decoded) -> decode.Connections:
        with self._lock:
            self.malformed += decoded.malformed
            self.error = decoded.error or self.error
        return self._wanted.select(decoded.connections)
