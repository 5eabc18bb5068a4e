"""Where Felix's flows come from: its local socket, which has all of a node's, with verdicts and rules.

Felix sends there once the FelixConfiguration says ``flowLogsLocalReporter: Enabled``, each
``flowLogsFlushInterval``, whether there is a Goldmane or not. All flows of a flush go at once into a queue
of its own that has room for 5,000; what has none is dropped, and we are not told
(goldmane/pkg/client/client.go). A shorter interval makes fewer flows of a flush.

Needs the extra ``goldmane``, once there is a source.
"""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from collector.felix import journal, resends, server
from collector.goldmane import flows
from model import errors

if TYPE_CHECKING:
    from collector.goldmane import keys

PATH = pathlib.Path("/var/run/calico/flows/flows.sock")
"""Where Felix looks, as it sees it (felix/collector/local/server.go)."""
LARGEST = 1 << 20
"""Bytes of a message that can be a flow. A larger one gets its receipt all the same: else Felix would begin a
new stream, send it again, and so on for five minutes."""


class Source:
    """The flows that Felix has sent since they were last read.

    Measured: a message costs 0.14 ms of one core where its sender waits for each receipt, as Felix does
    (6,300/s), and 0.1 where it does not (9,000/s). What comes faster is held back by gRPC, and waits there.

    Args:
        path: The socket that Felix knows. Its directory is made, if there is none; what was read lately is
            noted there too, so it should outlive us.
        hurry: Is called, by another thread, when it is time to read.
        capacity: How many flows we hold until they are read; more are discarded and counted.

    Attributes:
        keys: What the flows' keys stand for; it holds until the next ``read``.
        lost: Flows that we know to have missed: none, as Felix does not number them.
        discarded: Flows that there was no room for.
        malformed: Messages that are no flow.
        resent: Flows that came again on a new stream, and are not among those read.

    Raises:
        SetupError: If gRPC or protobuf is not installed.
    """

    def __init__(
        self, path: pathlib.Path = PATH, *, hurry: Callable[[], None] = lambda: None, capacity: int
    ) -> None:
        self._updates, self.keys = _imported()
        self._hurry, self._capacity = hurry, capacity
        self._server = server.Server(path, self._take, self._recall)
        self._journal = journal.Journal(
            path.with_name(f"{path.name}.read"), seconds=resends.KEPT_SECONDS, limit=resends.LIMIT // 2
        )
        self._resends = resends.Resends()
        self._lock = threading.Lock()
        self._held: list[bytes] = []
        self._arrived: list[int] = []
        self._digests: list[bytes] = []
        self._read: list[bytes] = []
        self._stopped = False
        self._problem = ""
        self.lost = 0
        self.discarded = 0
        self.malformed = 0
        self.resent = 0

    @property
    def connected(self) -> int:
        """How many streams Felix has open: one, or none while it has not found us yet."""
        return self._server.connected

    @property
    def broken(self) -> int:
        """See ``server.Server``."""
        return self._server.broken

    @property
    def forgotten(self) -> int:
        """See ``resends.Resends``."""
        return self._resends.forgotten

    @property
    def error(self) -> str:
        """What is wrong now, or else with the last message that was malformed."""
        return self._server.error or self._journal.error or self._problem

    def start(self) -> None:
        """Listen; that it cannot be done now is no failure, but an ``error`` until it can."""
        self._server.start()

    def stop(self) -> None:
        """Listen no more. What is held can still be read."""
        self._server.stop()
        self._stopped = True
        self.settle()

    def close(self) -> None:
        """Stop a source that was never started, or once more."""
        self.stop()

    def read(self) -> flows.Flows:
        """The flows that came since the last call, whose own are taken for delivered (see ``settle``)."""
        self.settle()
        with self._lock:
            messages, arrived, self._read = self._held, self._arrived, self._digests
            self._held, self._arrived, self._digests = [], [], []
        decoded = self._updates.decode_updates(messages, np.array(arrived, np.int64), self.keys)
        with self._lock:
            self.malformed += decoded.malformed
            self._problem = decoded.error or self._problem
        if self._stopped:
            self.settle()
        found: flows.Flows = decoded.flows
        return found

    def settle(self) -> None:
        """Note that what was read is delivered: after a restart of ours it is not taken from Felix again.

        What was read and not settled when we are killed comes once more, as nobody can tell whether it was
        delivered. So it is worth a call right after that, though the next ``read`` does it too.
        """
        self._journal.note(self._read)
        self._read = []

    def _recall(self) -> None:
        """Learn what another process has read before the socket became ours."""
        read = self._journal.read()
        with self._lock:
            self._resends.learn(read)

    def _take(self, message: bytes, stream: int) -> None:
        now, digest = time.time_ns(), resends.digest(message)
        with self._lock:
            if self._resends.is_resent(digest, stream):
                self.resent += 1
            elif len(message) > LARGEST:
                self.malformed += 1
                self._problem = f"a message of {len(message)} bytes is no flow"
            elif len(self._held) >= self._capacity:
                self.discarded += 1
            else:
                self._held.append(message)
                self._arrived.append(now)
                self._digests.append(digest)
        if len(self._held) > self._capacity // 2:
            self._hurry()


def _imported() -> tuple[Any, keys.Keys]:
    try:
        from collector.goldmane import keys, updates
    except ImportError as error:
        raise errors.SetupError("protobuf is not installed: pip install 'flowledger[goldmane]'") from error
    return updates, keys.Keys()
