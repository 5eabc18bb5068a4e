"""A thread that empties a socket, so that the kernel's own queue stays short."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from collector.netlink import layouts, slots, sockets
from runtime import logs

_limited = logs.Limited(__name__)

_PAUSE_SECONDS = 0.04
"""What comes in such a time waits in the kernel's queue: to be woken for each event costs more than to read
it, and 8 MiB hold 100 ms at 100,000 events/s."""


class Receiver:
    """Takes datagrams as they come and has them digested many at a time.

    Args:
        opened: The socket; it belongs to the receiver from now on.
        room: Where datagrams wait until they are digested.
        digest: Makes something smaller of them; it is called by one thread at a time.
        overrun: Is called, by the receiver's thread, when the kernel had to throw something away.
    """

    def __init__(
        self,
        opened: socket.socket,
        room: slots.Slots,
        digest: Callable[[layouts.Datagrams], None],
        *,
        name: str,
        overrun: Callable[[], None],
    ) -> None:
        self._socket = opened
        self._room = room
        self._digest = digest
        self._overrun = overrun
        self._lock = threading.Lock()
        self._drained_at = self._not_before = time.time_ns()
        self._lost = 0
        self.failures = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket."""
        self._stopping.set()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Close the socket of a receiver that was never started."""
        self._lost = self.lost  # it can be asked no more
        self._socket.close()

    @property
    def truncated(self) -> int:
        """Datagrams that were longer than a slot."""
        return self._room.truncated

    @property
    def lost(self) -> int:
        """Messages that the kernel threw away because its queue for us was full."""
        if self._socket.fileno() >= 0:
            self._lost = sockets.dropped(self._socket)
        return self._lost

    @property
    def not_before(self) -> int:
        """What is being digested came after this moment, in ns since 1970."""
        return self._not_before

    def flush(self) -> None:
        """Have everything digested that the kernel has queued until now.

        Raises:
            OSError: The kernel's error.
        """
        with self._lock:
            self._drain()
            self._empty()

    def _run(self) -> None:
        known = self.lost
        while not self._stopping.wait(_PAUSE_SECONDS):
            try:
                with self._lock:
                    self._drain()
            except Exception as error:  # the edge of the loop: what comes next may well be read
                self.failures += 1
                _limited.warning("receiving failed", socket=self._thread.name, error=repr(error))
            if self.lost > known:
                known = self._lost
                self._overrun()

    def _drain(self) -> None:
        now, earlier = time.time_ns(), self._drained_at
        self._drained_at = now
        if not len(self._room):
            self._not_before = earlier
        while self._room.receive(self._socket):
            if self._room.full:
                self._empty()

    def _empty(self) -> None:
        if not len(self._room):
            return
        try:
            self._digest(self._room.datagrams())
        finally:
            self._room.empty()
