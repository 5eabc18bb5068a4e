"""What Felix has told of late, by window: when it flushes, it tells of all flows since the time before.

A window tells for each pair of ends, port, protocol, side and action which rules were met. Connections are
looked up in it by that, and by when they began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from collector.felix import ends
from collector.goldmane import flows as told
from model import asof, enums, policyhit

Hits = tuple[policyhit.PolicyHit, ...]
Codes = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.integer]
Times = npt.NDArray[np.int64]

NOT_TOLD = -1
"""Stands for a trace that nobody told. What is less stands for several that were; -2 is the first."""
SOONEST = 5 * 1_000_000_000
LATE = 8 * 1_000_000_000
"""How long after a packet Felix puts it into a window, at the soonest and the latest: it waits 5 s for what
conntrack knows, and passes on what it has once a second (Calico's felix/collector/collector.go)."""
TAIL = 30 * 1_000_000_000
"""How long after the last packet Felix may still tell of a flow: that it has ended, it says when nothing was
seen of it for 10 s, or with eBPF for longer."""
_KEPT = 400 * 1_000_000_000
"""How long what is known is remembered: Felix may tell of five minutes again (`resends`)."""
_MOST = 100_000
"""Beyond so many ends and traces those that no window has any more are forgotten."""
_SECOND = 1_000_000_000
_APART = 2 * _SECOND
"""Windows that begin so close together are one: of what was allowed, and of what was denied."""
_WITH_PORTS = (enums.Protocol.TCP, enums.Protocol.UDP)
"""Of other protocols Felix tells no port, or a type and code in its place."""
WAYS = ((0, 0), (0, 1), (1, 0))
"""By which of its ends' two names (`ends.Ends.find`) a connection is looked up, one after the other."""
_SIDES = {enums.Reporter.SRC: 0, enums.Reporter.DST: 1}


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """The rules of one side: those that were met, and those that would be with staged policies."""

    enforced: Hits = ()
    pending: Hits = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """Connections and attempts that were recorded; what one of them was called may be found out later.

    Attributes:
        src: The sources, each once.
        dst: The destinations.
        pairs: For each different one the places of its ends in these, port, protocol and `question`; (n, 5).
        began: When the first began, in ns since 1970.
        until: When the last was last known to be there.
    """

    src: Sequence[ends.Who]
    dst: Sequence[ends.Who]
    pairs: Times
    began: Times
    until: Times


@dataclasses.dataclass(slots=True)
class Window:
    """What was told of one window.

    Attributes:
        began: In ns since 1970, to the second.
        ended: When the first of it was told.
        flows: The flows.
        keys: The key of each.
        lookups: What each is looked up by.
        traces: The number of each one's trace.
        explained: Of which a connection or an attempt is known.
    """

    began: int
    ended: int
    flows: told.Flows
    keys: list[told.Key]
    lookups: asof.Keys
    traces: Codes
    explained: npt.NDArray[np.bool_]

    def extend(self, more: Window) -> None:
        """Take in what was told of it later."""
        self.flows = np.concatenate([self.flows, more.flows])
        self.keys += more.keys
        self.lookups = np.concatenate([self.lookups, more.lookups])
        self.traces = np.concatenate([self.traces, more.traces])
        self.explained = np.concatenate([self.explained, more.explained])


def question(side: enums.Reporter, action: enums.Action) -> int:
    """Whose policies, and what they came to, as a number."""
    return _SIDES[side] * 2 + (action == enums.Action.DENY)


def lookups(src: Codes, dst: Codes, port: Numbers, protocol: Numbers, asked: Numbers | int) -> asof.Keys:
    """What flows are looked up by, as hashes of 64 bits.

    Args:
        src: The numbers of the sources (`ends.Ends`).
        dst: Those of the destinations.
        port: The destinations' ports.
        protocol: Protocol numbers.
        asked: Which `question`.
    """
    told_port = np.where(np.isin(protocol, _WITH_PORTS), port, 0)
    return asof.mix(src, dst, told_port, protocol, np.broadcast_to(asked, len(src)))


class Windows:
    """The windows of the last while, and the traces and ends that are in them."""

    def __init__(self) -> None:
        self.ends = ends.Ends()
        self.traces: list[Trace] = []
        self.windows: list[Window] = []
        self.every = 0
        """How long Felix gathers before it tells, in ns; 0 as long as that is not known."""
        self._numbers: dict[Trace, int] = {}
        self._known: list[Known] = []
        self.since = 0
        """What is known is remembered from here on, in ns since 1970."""

    def add(self, flows: told.Flows, keys: Sequence[told.Key]) -> None:
        """Take in what was told.

        Args:
            flows: In the order in which it came.
            keys: The key of each.
        """
        if len(self.ends) + len(self.traces) > _MOST:
            self._number_anew()
        for began in np.unique(flows["started"]).tolist():
            rows = np.flatnonzero(flows["started"] == began)
            self._add(began, flows[rows], [keys[row] for row in rows.tolist()])
        self.windows.sort(key=lambda window: window.began)
        begins = np.array([window.began for window in self.windows], np.int64)
        for window in self.windows:
            place = int(np.searchsorted(begins, window.began + _APART, side="right"))
            if place < len(begins):  # what was told late is not later
                window.ended = min(window.ended, int(begins[place]) + _SECOND)
        # a window without flows is not told of, so how far they are apart says nothing
        lasted = [window.ended - window.began for window in self.windows]
        self.every = max(min(lasted), 0) if lasted else self.every

    def _number_anew(self) -> None:
        self.ends, self.traces, self._numbers = ends.Ends(), [], {}
        for window in self.windows:
            window.lookups, window.traces = self._numbered(window.keys)

    def _add(self, began: int, flows: told.Flows, keys: list[told.Key]) -> None:
        numbered = self._numbered(keys)
        new = Window(began, int(flows["arrived"].min()), flows, keys, *numbered, np.zeros(len(keys), bool))
        known = next((window for window in self.windows if window.began == began), None)
        if known is None:
            self.windows.append(new)
        else:
            known.extend(new)

    def _numbered(self, keys: list[told.Key]) -> tuple[asof.Keys, Codes]:
        distinct = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        places = np.array([distinct[key] for key in keys], np.int64)
        traces = np.array([self._number(Trace(key.enforced, key.pending)) for key in distinct], np.int32)
        return self._lookups(distinct)[places], traces[places]

    def _lookups(self, keys: Iterable[told.Key]) -> asof.Keys:
        asked = [
            (self.ends.number(key.src), self.ends.number(key.dst), key.dst_port, key.protocol,
             question(key.reporter, key.action)) for key in keys
        ]  # fmt: skip
        return lookups(*np.array(asked, np.int64).T)

    def _number(self, trace: Trace) -> int:
        if trace not in self._numbers:
            self._numbers[trace] = len(self.traces)
            self.traces.append(trace)
        return self._numbers[trace]

    def index(self) -> Index:
        """What connections are looked up in."""
        return Index(self.windows)

    def told_until(self, now: int) -> int:
        """Up to which moment all is told; 0 where nothing was. What is still being told does not count."""
        whole = [window for window in self.windows if int(window.flows["arrived"].max()) < now - _SECOND]
        return max((window.ended for window in whole), default=0)

    def explain(self, known: Known) -> None:
        """Note that these are known: what is told of them, now or later, stands for nothing else."""
        if len(known.pairs):
            self._known.append(known)

    def forget(self, before: int) -> list[Window]:
        """Let go of the windows that ended before a moment; they, with what is known of them.

        Of what began before anything was known, nobody can tell; so it stands for nothing either.
        """
        gone = [window for window in self.windows if window.ended < before]
        self.windows = [window for window in self.windows if window.ended >= before]
        for known in self._known if gone else ():
            keys, began, until = self._looked_up(known)
            for window in gone:
                at = np.minimum(np.searchsorted(keys, window.lookups), len(keys) - 1)
                there = (keys[at] == window.lookups) & (began[at] <= window.ended)
                window.explained |= there & (until[at] + TAIL >= window.began)
        for window in gone:
            window.explained |= window.began < self.since
        needed = min([before, *(window.began for window in self.windows)]) - TAIL - _KEPT
        self._known = [known for known in self._known if int(known.until.max()) >= needed]
        self.since = max(self.since, needed + TAIL)
        return gone

    def _looked_up(self, known: Known) -> tuple[asof.Keys, Times, Times]:
        """What is known by what it is called now: keys, each once and sorted, and the times of each."""
        src, dst = self.ends.find(known.src), self.ends.find(known.dst)
        keys = np.concatenate([
            lookups(src[own][known.pairs[:, 0]], dst[other][known.pairs[:, 1]], *known.pairs.T[2:])
            for own, other in WAYS
        ])  # fmt: skip
        began, until = np.tile(known.began, len(WAYS)), np.tile(known.until, len(WAYS))
        order = np.argsort(keys)
        keys = keys[order]
        first = np.flatnonzero(np.diff(keys, prepend=~keys[:1]) != 0)
        return (
            keys[first], np.minimum.reduceat(began[order], first), np.maximum.reduceat(until[order], first),
        )  # fmt: skip


class Index:
    """Windows, to look connections up in.

    Args:
        among: The windows, by their beginnings.

    Attributes:
        several: Traces that are told of flows that nothing tells apart, by what stands for them.
    """

    def __init__(self, among: list[Window]) -> None:
        self.several: list[tuple[int, ...]] = []
        self._windows = among
        self._began = np.array([window.began for window in among], np.int64)
        self._ended = np.array([window.ended for window in among], np.int64)
        every = np.concatenate([window.lookups for window in among]) if among else np.zeros(0, np.uint64)
        self._keys, self._places = np.unique(every, return_inverse=True)
        self._cells = np.full((len(self._keys), len(among)), NOT_TOLD, np.int32)
        self._fill()

    def _fill(self) -> None:
        if not len(self._keys):
            return
        width = len(self._windows)
        sizes = [len(window.lookups) for window in self._windows]
        cells = self._places * width + np.repeat(np.arange(width), sizes)
        traces = np.concatenate([window.traces for window in self._windows]).astype(np.int64)
        pairs = np.unique(cells << 32 | traces)
        cells, traces = pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.int32)
        which, first, count = np.unique(cells, return_index=True, return_counts=True)
        flat = self._cells.reshape(-1)
        flat[which] = traces[first]
        for cell, at, number in zip(
            *(part[count > 1].tolist() for part in (which, first, count)), strict=True
        ):
            flat[cell] = self._stands_for(tuple(traces[at : at + number].tolist()))

    def _stands_for(self, traces: tuple[int, ...]) -> int:
        if traces not in self.several:
            self.several.append(traces)
        return -2 - self.several.index(traces)

    def ways(self, told: int) -> tuple[int, ...]:
        """The numbers of the traces that something stands for; itself, if for none."""
        place = -2 - told
        return self.several[place] if 0 <= place < len(self.several) else (told,)

    def find(self, keys: asof.Keys, began: Times, until: Times) -> Codes:
        """The number of the trace of each flow: of the first window that can have it.

        Args:
            keys: What they are looked up by.
            began: When each began, in ns since 1970.
            until: When each was last known to be there.

        Returns:
            Numbers of traces; `NOT_TOLD`, or less, where several are told.
        """
        if not len(self._keys):
            return np.full(len(keys), NOT_TOLD, np.int32)
        at = self._at(keys)
        there = at >= 0
        found = np.full(len(keys), NOT_TOLD, np.int32)
        rows = self._cells[at[there]]
        fits = (rows != NOT_TOLD) & self._overlap(began[there], until[there])
        # of what began while another window was being told, the later one tells
        first = (fits * (1 + (self._ended[None, :] >= began[there][:, None] + SOONEST))).argmax(axis=1)
        chosen = np.take_along_axis(rows, first[:, None], axis=1)[:, 0]
        found[there] = np.where(fits.any(axis=1), chosen, NOT_TOLD)
        return found

    def _at(self, keys: asof.Keys) -> npt.NDArray[np.int64]:
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, at, -1)

    def _overlap(self, began: Times, until: Times) -> npt.NDArray[np.bool_]:
        """Which windows can have each flow, shape (flows, windows)."""
        soon = self._ended[None, :] >= began[:, None]
        return soon & (self._began[None, :] <= until[:, None] + LATE)
