"""Where denied traffic comes from that nothing logs: packets that came in and were never seen to go on."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from collector.probe import counts, edges, ruleset, table

_SHORTEST_SECONDS = 32
_READS = 3
"""Intervals that the kernel keeps an edge after its last packet, so that a late look loses nothing."""


class Source:
    """Packets of new connections that were dropped on their way through one network namespace.

    They are counted in the kernel by a table of our own, which lets everything pass. It sees nothing that
    conntrack does not track, or that is dropped ahead of conntrack (raw table, XDP), and conntrack begins to
    work in a namespace where nothing else has made it.

    Args:
        namespace: Path of the network namespace; None for our own.
        interval_seconds: How often ``read`` will be called, at least.
        size: Edges that the kernel holds for each address family; it keeps each for three intervals, and half
            a minute at least.
        settle_seconds: How long a packet may be on its way: until then it does not count as dropped.
        examples: Single attempts that the kernel holds, with their source ports; 0 for none.

    Raises:
        SetupError: If another collector's probe is there, a right is missing, or the kernel cannot do it.
    """

    def __init__(
        self,
        namespace: pathlib.Path | None,
        *,
        interval_seconds: float = 10.0,
        size: int = 32768,
        settle_seconds: float = 1.0,
        examples: int = 0,
    ) -> None:
        timeout = max(_SHORTEST_SECONDS, int(_READS * interval_seconds) + 1)
        plan = ruleset.Plan(
            size=size,
            timeout_seconds=timeout,
            period_seconds=1 << (timeout.bit_length() - 1),
            examples=examples,
        )
        self._settle = round(settle_seconds * counts.SECOND)
        self._patience = timeout * counts.SECOND
        self._examples = examples
        self._table = table.Table(namespace, plan)
        self._families = [edges.Family(self._table, family, plan) for family in ruleset.FAMILIES]
        self._missed = dict.fromkeys(ruleset.STAGES, 0)
        self._lately = dict.fromkeys(ruleset.STAGES, 0)
        self._read_at = time.time_ns()
        self.late = 0
        """How often so long has passed between two reads that what was dropped meanwhile is not known."""

    def start(self) -> None:
        """Tell what is dropped from now on."""
        self._look()
        for family in self._families:
            family.forget()

    def stop(self) -> None:
        """Remove the table."""
        self._table.close()

    def close(self) -> None:
        """Remove the table of a source that was never started, or once more."""
        self._table.close()

    @property
    def overflowed(self) -> int:
        """Packets since the start of which is not known whether they were dropped, because a set was full."""
        return self._missed[ruleset.Stage.SEEN] + sum(family.undetermined for family in self._families)

    @property
    def unreadable(self) -> int:
        """Elements since the start that could not be read."""
        return sum(family.unreadable for family in self._families)

    def read(self) -> edges.Edges:
        """What was dropped since the last call, each packet once.

        A packet that was seen less than the settling time ago waits for the next call.

        Raises:
            OSError: If the kernel refuses to show the sets.
        """
        since = self._read_at
        missed = self._look()
        denied = np.concatenate([family.denied(since, self._settle, missed) for family in self._families])
        if time.time_ns() - since >= self._patience:
            self.late += (
                1  # something may have come and gone that one of the stages was not asked for in time
            )
            for family in self._families:
                family.forget()
            return denied[:0]
        return denied

    def _look(self) -> dict[ruleset.Stage, int]:
        """Read all sets; how many packets each stage could not count since the look before the last one."""
        since, self._read_at = self._read_at, time.time_ns()
        for family in self._families:
            family.read(since)
        missed = self._table.missed()
        new = {stage: missed[stage] - self._missed[stage] for stage in ruleset.STAGES}
        lately = {stage: new[stage] + self._lately[stage] for stage in ruleset.STAGES}
        self._missed, self._lately = missed, new
        return lately

    def examples(self) -> edges.Attempts:
        """Some attempts of the last minute that were dropped, with their source ports; none unless asked for.

        Raises:
            OSError: If the kernel refuses to show the sets.
        """
        if not self._examples:
            return np.zeros(0, edges.ATTEMPT)
        return np.concatenate([family.examples(self._settle) for family in self._families])
