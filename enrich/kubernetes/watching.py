"""All kinds of a cluster, each watched by a thread of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enrich.kubernetes import client, clock, kinds, news, tally, watcher
from runtime import metrics

_WITH_ADDRESSES = ("Pod", "Node")


def _counts(each: watcher.Watcher) -> bool:
    seen = each.as_of > 0 or not each.missing
    return each.kind.required and (seen or each.kind.name in _WITH_ADDRESSES)


class Watching:
    """Keeps a receiver informed of a cluster.

    Args:
        api: The API server.
        receiver: Who wants to know; each kind's thread calls it.
        watched: The kinds.
        pace: How patiently.
        time: The clock.
        measured: The process's metrics.
    """

    def __init__(
        self, api: client.Api, receiver: news.Receiver, *, watched: Sequence[kinds.Kind] = kinds.KINDS,
        pace: watcher.Pace | None = None, time: clock.Clock = clock.SYSTEM,
        measured: metrics.Metrics | None = None,
    ) -> None:  # fmt: skip
        self.counts = tally.Tally(measured)
        self._measured = measured
        self._watchers = tuple(
            watcher.Watcher(kind, api, receiver, pace=pace or watcher.Pace(), counts=self.counts, time=time)
            for kind in watched
        )

    def start(self) -> None:
        """Begin to list and to watch."""
        if self._measured:
            self._measured.watch_as_of_seconds.set_function(lambda: self.as_of() / 1e9)
        for each in self._watchers:
            each.start()

    def stop(self) -> None:
        """End all threads, at the same time."""
        for each in self._watchers:
            each.ask_to_stop()
        for each in self._watchers:
            each.stop()

    def as_of(self) -> int:
        """Until when all that gives addresses a name is known, in ns since 1970; 0 as long as it is not.

        It is that of the required kind which is most behind; one that the server does not let us see any
        more stays where it was. Only what gives no pod or node its address is left out, where the server
        never let us see it: `missing` names it.
        """
        return min(
            (
                each.as_of for each in self._watchers if each.kind.required
                and (each.as_of or not each.missing or each.kind.name in _WITH_ADDRESSES)
            ), default=0,
        )  # fmt: skip

    def synced(self) -> bool:
        """Whether each kind has been listed once, those apart that are `missing`."""
        return all(each.synced or each.missing for each in self._watchers)

    def check(self) -> str:
        """What lacks before addresses have names; empty if nothing does."""
        for each in self._watchers:
            if each.missing and each.kind.required and each.kind.name in _WITH_ADDRESSES:
                return f"{each.kind.key} may not be listed: {each.state}"
        return "" if self.synced() else "not all kinds are listed yet"

    def missing(self) -> Mapping[str, watcher.State]:
        """The kinds that are not served or not permitted, by key."""
        return {each.kind.key: each.state for each in self._watchers if each.missing}

    def states(self) -> Mapping[str, watcher.State]:
        """What each kind's watcher is about, by key."""
        return {each.kind.key: each.state for each in self._watchers}
