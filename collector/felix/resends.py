"""Which flows Felix sends a second time.

Felix keeps what it has sent for five minutes, and sends all of it again, once and in any order, when it has
had to begin a new stream; it looks for what is too old each half minute (goldmane/pkg/client/client.go). A
flow is resent with the very same bytes, as Felix keeps its trace serialized (goldmane/pkg/types/flow.go).

Within one stream nothing is sent again, so two equal flows in one are two flows. There hardly are such: a
flush has each key once, under the second in which its window began (felix/collector/flowlog/aggregator.go),
so only two flushes within one second can have the same.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

KEPT_SECONDS = 360
"""Five minutes, the half minute until Felix looks, and another as reserve."""
LIMIT = 500_000
"""Flows that are remembered, in 80 MB; Felix's own queue has room for 5,000 flows of a flush."""
EARLIER = 0
"""The stream of what another process has read."""

_DIGEST_BYTES = 16


def digest(message: bytes) -> bytes:
    """What a flow is recognised by: 128 bits, so that no two that differ are ever alike by chance."""
    return hashlib.blake2b(message, digest_size=_DIGEST_BYTES).digest()


class Resends:
    """The digests of some minutes, in two generations, of which the older one is dropped as a whole.

    Args:
        limit: How many flows are remembered.
        clock: Seconds since whenever.

    Attributes:
        forgotten: Flows that had to be forgotten before their time: what comes again of them counts twice.
    """

    def __init__(self, *, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._since = self._old_until = clock()
        self.forgotten = 0

    def learn(self, digests: Iterable[bytes]) -> None:
        """Remember what another process has read, which was there before us or had the socket for a while."""
        self._young = dict.fromkeys(digests, EARLIER) | self._young

    def is_resent(self, digest: bytes, stream: int) -> bool:
        """Whether an earlier stream has had it; if none has, it is remembered for this one."""
        now = self._clock()
        if now - self._since > KEPT_SECONDS or len(self._young) >= self._limit // 2:
            self._age(now)
        first = self._young.get(digest) if digest in self._young else self._old.get(digest)
        if first is None:
            self._young[digest] = stream
            return False
        return first != stream

    def _age(self, now: float) -> None:
        if now - self._old_until <= KEPT_SECONDS:
            self.forgotten += len(self._old)
        self._old, self._young = self._young, {}
        self._since = self._old_until = now
