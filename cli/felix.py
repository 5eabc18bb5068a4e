"""Felix's word for what a node has seen: reports wait for it, and get the rules that it tells of."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cli import connections, goldmane
from collector import collector, traces
from collector.felix import matching, windows
from collector.goldmane import windows as told
from model import columns, enums

Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

_SECOND = 1_000_000_000
_EVERY = 15 * _SECOND
"""How long Felix gathers flows where nothing else is known of it: what Calico's operator chooses."""
_QUIET = 30 * _SECOND
"""Felix looks for our socket every 10 s; whoever was not heard for so long is not waited for."""
_NEVER = 1 << 62
_MOST_ROWS = 1_000_000
"""So many rows wait at most; then the oldest go without."""
_WHICH = ("enforced", "pending")
_COUNTS = ("connections_started", "forward_packets", "reverse_packets")
_VOLUME = (*_COUNTS, "forward_bytes", "reverse_bytes", "connections_ended")
_FILLED = {
    "policy_trace": "text", "deciding_rule": "deciding_rule", "egress_action": "egress_action",
    "ingress_action": "ingress_action", "attribution": "attribution", "pending_verdict": "pending_verdict",
    "pending_trace": "pending_trace",
}  # fmt: skip
"""Columns, and which part of a trace each has."""


class Felix:
    """What the Felix of one node has told, and the reports that wait for more of it.

    Args:
        node: Name of the node.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._windows = windows.Windows()
        self._waiting: deque[collector.Report] = deque()
        self._since = 0
        """From when on Felix was heard, in ns since 1970; 0 where it never was."""
        self._heard = time.time_ns()
        self._settled = 0
        """The end of the last report that was given out."""
        self._interval = 0
        self._connections = connections.Connections()
        self._index = self._windows.index()
        self._several = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)
        """Rows of the last batch of which several ways are told, and what stands for these on both sides."""
        self.missed: dict[matching.Miss, int] = {}
        """New connections of the last batch that have no trace, by why."""
        self.matched = 0
        """New connections of the last batch that have one."""

    def hold(self, report: collector.Report, now: int) -> Iterator[collector.Report]:
        """Take a report; those, oldest first, that need not wait any longer. What is not asked for waits on.

        Args:
            report: The report, with what Felix has told since the one before.
            now: In ns since 1970.
        """
        self._windows.since = self._windows.since or report.time  # what ended before was not for us to see
        self._waiting.append(report)
        self._hear(report, now)
        until = self._windows.told_until(now)
        patience = 2 * max(self._windows.every, _EVERY) + windows.LATE
        while self._waiting:
            first = self._waiting[0]
            waits = first.time + windows.LATE > until and now - first.time < patience
            waits &= now - self._heard < _QUIET + self._windows.every and not report.last
            if waits and sum(len(one.flows) for one in self._waiting) <= _MOST_ROWS:
                return
            self._waiting.popleft()
            self._interval = max(first.time - self._settled, 0) if self._settled else 0
            self._settled = _NEVER if first.last else first.time
            yield first

    def left(self) -> pa.RecordBatch | None:
        """Rows, without addresses, of what Felix has told of and no other source has seen; None for none.

        Those of allowed flows have no volume: the kernel has each connection, if perhaps under another name.
        """
        gone = self._windows.forget(self._settled - 2 * self._interval - windows.TAIL)
        if not gone:
            return None
        self._index = self._windows.index()
        here = {
            key.src if key.reporter is enums.Reporter.SRC else key.dst for one in gone for key in one.keys
        }
        rows = goldmane.Rows(self._node, enums.Origin.COLLECTOR, here.__contains__)
        batches = [rows.batch(_unseen(window), window.keys) for window in gone]
        left = pa.Table.from_batches(batches).combine_chunks().to_batches()
        return left[0] if left else None

    def _hear(self, report: collector.Report, now: int) -> None:
        told = report.told
        if told is None:
            return
        if told.connected or len(told.flows):
            self._heard = now
        if len(told.flows):
            self._since = self._since or int(told.flows["started"].min())
            self._windows.add(told.flows, told.keys)
            self._index = self._windows.index()

    def tell(self, flows: pa.RecordBatch) -> pa.RecordBatch:
        """Flows with the rules that Felix tells of them.

        Args:
            flows: A batch of stage ``IDENTITY``, of a report that has waited.
        """
        asked = matching.Asked(flows, self._windows, self._index)
        allowed, denied = asked.allowed(), asked.denied()
        self._count(allowed, flows)
        flows = self._remembered(flows, allowed)
        several = allowed.is_several
        self._several = allowed.rows[several], allowed.egress[several], allowed.ingress[several]
        whole = denied.is_whole
        codes, told = self._traces(denied, whole)
        flows = _fill(flows, denied.rows[whole], codes, told)
        return _judged(flows, denied.rows[whole], enums.Verdict.DENIED)

    def _count(self, allowed: matching.Matched, flows: pa.RecordBatch) -> None:
        until = self._windows.told_until(time.time_ns())
        self.missed = matching.misses(allowed, flows, self._since, until)
        started = columns.numbers(flows.column("connections_started"))[allowed.rows]
        self.matched = int((allowed.is_whole & (started > 0)).sum())

    def _remembered(self, flows: pa.RecordBatch, allowed: matching.Matched) -> pa.RecordBatch:
        """Connections with what is told of them now, or was when they began."""
        whole = allowed.is_whole
        keys = connections.keys(flows)[allowed.rows]
        numbers = self._connections.find(keys)
        codes, told = self._traces(allowed, whole)
        # later windows may tell of others between these ends, let in by other rules
        fresh = numbers[whole] < 0
        if fresh.any():
            codes, new = _used(codes[fresh], told)
            numbers[whole & (numbers < 0)] = self._connections.add(keys[whole][fresh], codes, new)
        self._connections.seen(keys[numbers >= 0])
        known = numbers >= 0
        flows = _fill(flows, allowed.rows[known], numbers[known], self._connections.traces)
        let_in = allowed.rows[whole & (allowed.ingress >= 0)]
        return _judged(flows, let_in, enums.Verdict.ALLOWED)

    def _traces(self, matched: matching.Matched, among: Mask) -> tuple[Codes, list[traces.Trace]]:
        """For each of some rows the number of its trace, and the traces."""
        both = (matched.egress[among].astype(np.int64) << 32) | (
            matched.ingress[among].astype(np.int64) & 0xFFFFFFFF
        )
        pairs, codes = np.unique(both, return_inverse=True)
        ends = [np.array([pair >> 32, pair], np.int64).astype(np.int32).tolist() for pair in pairs.tolist()]
        return codes.astype(np.int32), [self._trace(egress, ingress) for egress, ingress in ends]

    def _trace(self, egress: int, ingress: int) -> traces.Trace:
        sides = [self._windows.traces[number] for number in (egress, ingress) if number >= 0]
        enforced, pending = ([hit for side in sides for hit in getattr(side, which)] for which in _WHICH)
        return dataclasses.replace(
            traces.summarise(enforced, pending), attribution=enums.Attribution.FELIX.value
        )

    def settle(self, flows: pa.RecordBatch) -> pa.RecordBatch:
        """The flows once policies were asked: of several ways that Felix tells of, it is what they say.

        Args:
            flows: What `tell` gave, judged.
        """
        rows, egress, ingress = self._several
        texts, values = columns.coded(flows, "policy_trace")
        ways: list[traces.Trace] = []
        codes = np.full(len(rows), -1, np.int32)
        for pair in sorted(set(zip(egress.tolist(), ingress.tolist(), strict=True))):
            here = (egress == pair[0]) & (ingress == pair[1])
            for way in itertools.product(*map(self._index.ways, pair)):
                found = self._trace(*way)
                if found.text in values:
                    codes[here & (texts[rows] == values.index(found.text))] = len(ways)
                    ways.append(found)
        known = codes >= 0
        begun = int((columns.numbers(flows.column("connections_started"))[rows[known]] > 0).sum())
        self.matched += begun
        self.missed[matching.Miss.SEVERAL] = self.missed.get(matching.Miss.SEVERAL, 0) - begun
        return _fill(flows, rows[known], codes[known], ways)

    def results(self) -> dict[str, int]:
        """New connections of the last batch: how many are traced, and how many are not, by why."""
        missed = {why.name.lower(): count for why, count in self.missed.items() if count}
        return {"traced": self.matched, **missed}

    def noted(self, report: collector.Report) -> collector.Report:
        """The report, saying of how many connections Felix has told no rule."""
        missed = [
            f"{count} new connections without a trace: {why}" for why, count in self.missed.items() if count
        ]
        rows = [
            dataclasses.replace(row, note="; ".join(filter(None, [row.note, *missed])))
            if row.source == "felix" else row for row in report.completeness
        ]  # fmt: skip
        return dataclasses.replace(report, completeness=tuple(rows))


def _unseen(window: windows.Window) -> told.Window:
    """The part of a window of which no connection and no attempt is known, but for ends of such."""
    told_more = np.logical_or.reduce([window.flows[name] > 0 for name in _COUNTS])
    rows = _one_way(window, np.flatnonzero(~window.explained & told_more))
    flows = window.flows[rows]
    flows["key"] = rows
    allowed = np.array([window.keys[row].action is enums.Action.ALLOW for row in rows.tolist()], bool)
    for name in _VOLUME:  # that of connections is the kernel's; a row that has them under other names has it
        flows[name][allowed] = 0
    no_labels = ((),) * len(rows)
    return told.Window(
        start=window.began, end=window.ended, flows=flows, src_labels=no_labels, dst_labels=no_labels
    )


def _one_way(window: windows.Window, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of rows that tell several ways through the policies one each, as all of them have all the numbers."""
    numbers = window.flows[list(_VOLUME)][rows].tolist()
    ways: dict[tuple[object, ...], object] = {}
    kept = []
    for row, counted in zip(rows.tolist(), numbers, strict=True):
        key = window.keys[row]
        same = dataclasses.replace(key, enforced=()), counted
        if ways.setdefault(same, key.enforced) == key.enforced:
            kept.append(row)
    return np.array(kept, np.int64)


def _used(codes: Codes, told: Sequence[traces.Trace]) -> tuple[Codes, list[traces.Trace]]:
    """Those traces that are had by any, and which each has."""
    there, places = np.unique(codes, return_inverse=True)
    return places.astype(np.int32), [told[number] for number in there.tolist()]


def _fill(
    flows: pa.RecordBatch, rows: npt.NDArray[np.int64], codes: Codes, told: Sequence[traces.Trace]
) -> pa.RecordBatch:
    if not len(rows):
        return flows
    places, used = _used(codes, told)
    for name, part in _FILLED.items():
        values = [getattr(trace, part) for trace in used]
        flows = columns.filled(flows, name, rows, values, places)
    return flows


def _judged(flows: pa.RecordBatch, rows: npt.NDArray[np.int64], verdict: enums.Verdict) -> pa.RecordBatch:
    return columns.filled(flows, "verdict", rows, [verdict.value], np.zeros(len(rows), np.int64))
