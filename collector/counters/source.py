"""Where the totals come from that flows are held against: the counters of the rules themselves."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from collector.counters import attribution, dumps, progress, rules
from model import chainnames, policyhit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the rules of each hit counted since the last reading; arrays have one element for each hit.

    Attributes:
        exact: Whether the hit's rule index is known to be right; see ``rules.Counted``.
        packets: Packets that the rule matched: as it is asked before a connection is established, these are
            attempts rather than volume.
        bytes: Their bytes.
        nflog: Whether the rule logs to an NFLOG group as well.
        nflog_group: That group, or ``rules.NO_GROUP``.
        resets: Rules whose counter began anew; what they counted between the last reading and then is lost.
        unreadable: Rulesets and rules that could not be read.
        unavailable: Tools that would have been needed and are not installed, in alphabetical order.
    """

    hits: list[policyhit.PolicyHit]
    exact: npt.NDArray[np.bool_]
    packets: rules.Counts
    bytes: rules.Counts
    nflog: npt.NDArray[np.bool_]
    nflog_group: npt.NDArray[np.int32]
    resets: int
    unreadable: int
    unavailable: tuple[str, ...] = ()

    def columns(self) -> dict[str, list[str] | npt.NDArray[np.generic]]:
        """The hits that counted something, as columns of plain values."""
        some = np.flatnonzero((self.packets > 0) | (self.bytes > 0))
        hits = [self.hits[i] for i in some.tolist()]
        words: dict[str, list[str] | npt.NDArray[np.generic]] = {
            name: [str(getattr(hit, name)) for hit in hits]
            for name in ("direction", "tier", "kind", "namespace", "name", "action")
        }
        return words | {
            "rule": np.array([hit.rule for hit in hits], np.int32), "exact": self.exact[some],
            "packets": self.packets[some], "bytes": self.bytes[some],
        }  # fmt: skip


class Source:
    """Rule counters of one network namespace.

    Args:
        namespace: Where the rules are; None for the namespace that we are in.
        known_prefixes: NFLOG prefix → its hit, as for the ``nflog`` source.
        known_chains: Name of a chain of Calico's → its owner.
        whole: Whether the first reading gives what rules have counted since they were made.
    """

    def __init__(
        self,
        namespace: pathlib.Path | None,
        known_prefixes: Mapping[str, policyhit.PolicyHit],
        known_chains: Mapping[str, chainnames.Owner],
        *,
        whole: bool = False,
    ) -> None:
        self._namespace = namespace
        self._known = attribution.Known(prefixes=known_prefixes, chains=known_chains)
        self._progress: dict[str, progress.Progress] = {}
        self._layout = _Layout([])
        # beginnings of names of rulesets whose first reading is no news
        self._pending = set() if whole else {""}

    def learn(
        self,
        known_prefixes: Mapping[str, policyhit.PolicyHit],
        known_chains: Mapping[str, chainnames.Owner],
    ) -> None:
        """Use other tables of what is known from now on; counters go on where they were."""
        known = attribution.Known(prefixes=known_prefixes, chains=known_chains)
        if known != self._known:
            self._known = known
            for one in self._progress.values():
                one.forget_shape()

    def read(self) -> Counted:
        """What was counted since the last call; the first one says which rules there are, and no more.

        A ruleset that cannot be read this time is made up for the next time.

        Raises:
            SetupError: If there is no such namespace, or no right to enter it.
        """
        reading = dumps.read(self._namespace)
        failed = list(reading.failed)
        changed = False
        for dump in reading.dumps:
            one = self._progress.setdefault(dump.name, progress.Progress())
            try:
                changed |= one.update(dump, self._known, baseline=self._is_pending(dump.name))
            except ValueError:
                failed.append(dump.name)
        silent = {*failed, *reading.skipped}
        changed |= self._settle({dump.name for dump in reading.dumps} - silent, silent)
        read = list(self._progress.values())
        if changed:
            self._layout = _Layout([counted for one in read for counted in one.counted])
        unreadable = len(failed) + sum(one.unreadable for one in read)
        return self._layout.counted(read, unreadable, tuple(sorted(reading.unavailable)))

    def _is_pending(self, name: str) -> bool:
        return name.startswith(tuple(self._pending))

    def _settle(self, updated: set[str], silent: set[str]) -> bool:
        """What becomes of rulesets that were not read: silent this time, or gone; whether any is gone."""
        self._pending = silent if "" in self._pending else self._pending & silent
        missing = self._progress.keys() - updated
        gone = {name for name in missing if not name.startswith(tuple(silent))}
        for name in missing:
            self._progress[name].rest()
        for name in gone:
            del self._progress[name]
        return bool(gone)


class _Layout:
    """Which counted rules are of the same hit; it stays until a ruleset changes."""

    def __init__(self, found: Sequence[rules.Counted]) -> None:
        numbers: dict[policyhit.PolicyHit, int] = {}
        self._codes = np.array([numbers.setdefault(one.hit, len(numbers)) for one in found], np.int64)
        self._hits = list(numbers)
        self._exact = np.ones(len(numbers), bool)
        np.logical_and.at(self._exact, self._codes, np.array([one.exact for one in found], bool))
        self._group = np.full(len(numbers), rules.NO_GROUP, np.int32)
        np.maximum.at(self._group, self._codes, np.array([one.group for one in found], np.int32))

    def counted(
        self, read: Sequence[progress.Progress], unreadable: int, unavailable: tuple[str, ...]
    ) -> Counted:
        """The sums over all rules of each hit."""
        return Counted(
            hits=self._hits, exact=self._exact, packets=self._summed([one.packets for one in read]),
            bytes=self._summed([one.bytes for one in read]), nflog=self._group != rules.NO_GROUP,
            nflog_group=self._group, resets=sum(one.resets for one in read), unreadable=unreadable,
            unavailable=unavailable,
        )  # fmt: skip

    def _summed(self, deltas: Sequence[rules.Counts]) -> rules.Counts:
        sums = np.zeros(len(self._hits), np.uint64)
        np.add.at(sums, self._codes, np.concatenate([np.zeros(0, np.uint64), *deltas]))
        return sums
