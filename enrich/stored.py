"""The feed from the ledger: what one process has learned of a cluster, for all others.

It asks for everything once, and from then on for what was written since.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

import pyarrow as pa

from enrich import changes, names, tables
from model import columns, errors
from runtime import logs, memory

_limited = logs.Limited(__name__)

_SILENT = 120 * 1_000_000_000
"""Who watches says at least every half minute up to when it knows all."""

_LabelSet = tuple[tuple[str, ...], tuple[str, ...]]
"""Names of labels, and their values."""

_SECOND = 1_000_000_000
_MOST_SETS = 5_000
"""So many label sets are kept; what a node's pods talk to has far fewer."""
_OVERLAP = 60 * _SECOND
"""Who writes may have another clock than who wrote before, and a row may take its time to arrive."""


class Reader(Protocol):
    """What the ledger knows. ``written_after`` None asks for all that had not ended by ``ended_after``."""

    def endpoints(self, written_after: int | None, ended_after: int) -> pa.Table:
        """Claims to addresses."""

    def services(self, written_after: int | None, ended_after: int) -> pa.Table:
        """Ports of services."""

    def policies(self, written_after: int | None, ended_after: int) -> pa.Table:
        """Revisions of what policies are read from."""

    def watched(self) -> pa.Table:
        """From when until when that is complete."""

    def labels(self, ids: Collection[int]) -> pa.Table:
        """Label sets by their numbers."""


class Stored:
    """What a ledger knows of a cluster.

    Args:
        reader: Asks the ledger.
        poll_seconds: How often.
        remember: For how long what has ended is remembered, in ns.
        now: The time, in ns since 1970.
    """

    def __init__(
        self, reader: Reader, *, poll_seconds: float = 5.0, remember: int = 86_400 * _SECOND,
        now: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._reader, self._now = reader, now
        self._poll, self._remember = int(poll_seconds * _SECOND), remember
        self._next = 0
        self._written: dict[str, int] = {}
        self._sets: dict[int, _LabelSet] = {}
        self.names = names.Names(remember)
        """All that it has said."""

    def refresh(self) -> changes.Changes:
        """Ask for what is new, if it is time; while the ledger is away, what is known stays.

        Returns:
            All that is new but the claims, which `names` alone has.
        """
        if self._now() < self._next:
            return changes.Changes()
        self._next = self._now() + self._poll
        try:
            return self._ask()
        except errors.StoreError as error:
            _limited.warning("names wait for the ledger", error=str(error))
            return changes.Changes()

    def said(self) -> changes.Changes:
        """Nothing: what it says was found out by others."""
        return changes.Changes()

    def label_sets(self, ids: Collection[int]) -> Mapping[int, dict[str, str]]:
        """Label sets by their numbers; each is asked for when it is first wanted, and kept while it is.

        Raises:
            StoreError: If the ledger does not answer.
        """
        missing = [one for one in ids if one not in self._sets]
        if missing:
            rows = self._reader.labels(missing).to_pylist()
            self._sets |= {row["labels_id"]: _packed(row["labels"]) for row in rows}
        if len(self._sets) > _MOST_SETS:
            self._sets = {one: self._sets[one] for one in ids if one in self._sets}
        return {one: dict(zip(*self._sets[one], strict=True)) for one in ids if one in self._sets}

    def _ask(self) -> changes.Changes:
        # first of all, since it speaks of what was written before it
        watched = self._reader.watched()
        # as many as there are addresses in a cluster: no object for each stays
        self.names.learn(tables.claims(self._since("endpoints", self._reader.endpoints)))
        memory.trim()  # before what comes next needs as much for a moment
        news = changes.Changes(
            ports=tuple(tables.ports(self._since("services", self._reader.services))),
            revisions=tables.Revisions(self._since("policies", self._reader.policies)),
        )
        self.names.take(news)
        memory.trim()
        if watched.num_rows:
            since, as_of = (columns.numbers(_whole(watched, name)) for name in ("since", "as_of"))
            self.names.cover(int(since.min()), int(as_of.min()))
        if self._now() - self.names.as_of > _SILENT:
            _limited.warning(
                "nobody writes names into the ledger: is there a flowledger watch?",
                last_heard=_moment(self.names.as_of) if self.names.as_of else "never",
            )
        return news

    def _since(self, table: str, ask: Callable[[int | None, int], pa.Table]) -> pa.Table:
        last = self._written.get(table)
        found = ask(None if last is None else last - _OVERLAP, self._now() - self._remember)
        if found.num_rows:
            self._written[table] = max(last or 0, int(columns.numbers(_whole(found, "written")).max()))
        return found


def _moment(nanoseconds: int) -> str:
    return datetime.datetime.fromtimestamp(nanoseconds // _SECOND, datetime.UTC).isoformat()


def _packed(labels: Iterable[tuple[str, str]]) -> _LabelSet:
    """A label set in an eighth of a mapping's memory: the same few texts are in many."""
    names, values = zip(*labels, strict=True) if labels else ((), ())
    return tuple(map(sys.intern, names)), tuple(map(sys.intern, values))


def _whole(table: pa.Table, column: str) -> pa.Array[Any]:
    return table.column(column).combine_chunks()
