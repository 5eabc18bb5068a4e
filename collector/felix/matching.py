"""The join of what Felix tells with connections: the rules are its, addresses and volume are theirs.

Felix tells of each end on its node by itself. So a connection between two pods of a node has two traces, and
one between nodes has one on each.
"""

from __future__ import annotations

import dataclasses
import enum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.felix import ends, windows
from model import asof, columns, enums

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

NOT_ASKED = -1_000_000
"""In place of a trace: this side has no policies here."""


class Miss(enum.StrEnum):
    """Why a connection has no trace."""

    SILENT = "Felix has told nothing of that time"
    OLDER = "it began before Felix was heard"
    AMBIGUOUS = "who its ends were is not sure"
    STRANGER = "Felix has another name for an end, or none"
    NOT_TOLD = "Felix has told of its ends, but not of it"
    ONE_SIDE = "Felix has told of one side alone"
    SEVERAL = "Felix has told of several ways through the policies"


@dataclasses.dataclass(frozen=True, slots=True)
class Matched:
    """What was found for some rows of a batch.

    Attributes:
        rows: Which rows.
        egress: For each the number of its trace on the source's side, `windows.NOT_TOLD`, less where several
            are told (`windows.Index`), or `NOT_ASKED`.
        ingress: The same on the destination's side.
        strange: Where an end has no name of Felix's.
    """

    rows: Rows
    egress: Codes
    ingress: Codes
    strange: Mask

    @property
    def is_whole(self) -> Mask:
        """Where one trace is told of each side that was asked."""
        known: Mask = (self.egress >= 0) | (self.egress == NOT_ASKED)
        known &= (self.ingress >= 0) | (self.ingress == NOT_ASKED)
        return known

    @property
    def is_several(self) -> Mask:
        """Where all sides are told of, and one or both in several ways."""
        told: Mask = (self.egress != windows.NOT_TOLD) & (self.ingress != windows.NOT_TOLD)
        return told & ~self.is_whole


class Asked:
    """The flows of a batch of which Felix is asked.

    Args:
        flows: A batch of stage ``IDENTITY``.
        known: What Felix has told.
        index: The same, to look up in.
    """

    def __init__(self, flows: pa.RecordBatch, known: windows.Windows, index: windows.Index) -> None:
        self._known, self._index = known, index
        self._sides = {side: _policed(flows, side) for side in ("src", "dst")}
        self._who = {side: ends.distinct(flows, side) for side in ("src", "dst")}
        self._ends = {side: _numbers(known.ends, *who) for side, who in self._who.items()}
        self._port, self._protocol = (
            columns.numbers(flows.column(name)) for name in ("dst_port", "protocol")
        )
        self._began, self._until = (columns.numbers(flows.column(name)) for name in ("started", "time"))
        denied = columns.equal(flows, "verdict", enums.Verdict.DENIED)
        untold = columns.equal(flows, "attribution", enums.Attribution.NONE)
        probed = columns.equal(flows, "attribution", enums.Attribution.PROBE)
        routed = columns.equal(flows, "drop_reason", enums.DropReason.ROUTING)
        asked = self._sides["src"] | self._sides["dst"]
        self.connections = np.flatnonzero(untold & ~denied & asked)
        """Rows of connections that a policy of this node has seen."""
        self.attempts = np.flatnonzero(probed & ~routed & asked)
        """Rows of attempts that something on this node has dropped."""
        self._explain(denied | probed)

    def allowed(self) -> Matched:
        """The traces of connections."""
        rows = self.connections
        egress = self._find(rows, "src", enums.Action.ALLOW)
        ingress = self._find(rows, "dst", enums.Action.ALLOW)
        return self._matched(rows, egress, ingress)

    def denied(self) -> Matched:
        """The traces of attempts that were dropped: by the source's policies, or past these by the others."""
        rows = self.attempts
        refused = self._find(rows, "src", enums.Action.DENY)
        egress = np.where(_is_told(refused), refused, self._find(rows, "src", enums.Action.ALLOW))
        ingress = self._find(rows, "dst", enums.Action.DENY)
        ingress = np.where(_is_told(refused), np.int32(NOT_ASKED), ingress)
        # where the source let it out, it was the destination that said no; else nobody did
        said_no = _is_told(refused) | _is_told(ingress)
        egress = np.where(said_no, egress, np.int32(windows.NOT_TOLD))
        return self._matched(rows, egress.astype(np.int32), ingress.astype(np.int32))

    def _matched(self, rows: Rows, egress: Codes, ingress: Codes) -> Matched:
        strange = np.zeros(len(rows), bool)
        for own, network in self._ends.values():
            strange |= (own[rows] == ends.NOBODY) & (network[rows] == ends.NOBODY)
        return Matched(rows, egress, ingress, strange)

    def _find(self, rows: Rows, side: str, action: enums.Action) -> Codes:
        """What one side's policies said of each, as far as they were asked."""
        found = np.full(len(rows), NOT_ASKED, np.int32)
        here = self._sides[side][rows]
        found[here] = self._told(rows[here], enums.Reporter(side), action)
        return found

    def _told(self, rows: Rows, side: enums.Reporter, action: enums.Action) -> Codes:
        """By the ends' own names first, then by what Felix calls whom it does not know."""
        found = np.full(len(rows), windows.NOT_TOLD, np.int32)
        for src, dst in windows.WAYS:
            open_ = np.flatnonzero(found == windows.NOT_TOLD)
            some = rows[open_]
            keys = self._keys(some, src, dst, side, action)
            found[open_] = self._index.find(keys, self._began[some], self._until[some])
        return found

    def _explain(self, dropped: Mask) -> None:
        """Note all that is recorded, whoever has told its rules: what Felix tells of it is nothing else."""
        asked = [
            (rows, windows.question(enums.Reporter(side), action))
            for side, here in self._sides.items()
            for action, those in ((enums.Action.ALLOW, here), (enums.Action.DENY, here & dropped))
            for rows in [np.flatnonzero(those)]
        ]
        rows = np.concatenate([some for some, _ in asked])
        if not len(rows):
            return
        questions = np.repeat([question for _, question in asked], [len(some) for some, _ in asked])
        (src, sources), (dst, destinations) = self._who["src"], self._who["dst"]
        parts = [sources[rows], destinations[rows], self._port[rows], self._protocol[rows], questions]
        hashes = asof.mix(*parts)
        order = np.argsort(hashes, kind="stable")
        first = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]) != 0)
        self._known.explain(windows.Known(
            src, dst, np.stack(parts, axis=1).astype(np.int64)[order][first],
            np.minimum.reduceat(self._began[rows][order], first),
            np.maximum.reduceat(self._until[rows][order], first),
        ))  # fmt: skip

    def _keys(self, rows: Rows, src: int, dst: int, side: enums.Reporter, action: enums.Action) -> asof.Keys:
        sources, destinations = self._ends["src"][src][rows], self._ends["dst"][dst][rows]
        return windows.lookups(
            sources, destinations, self._port[rows], self._protocol[rows], windows.question(side, action)
        )


def _numbers(named: ends.Ends, who: list[ends.Who], places: Rows) -> tuple[Codes, Codes]:
    own, network = named.find(who)
    return own[places], network[places]


def _is_told(codes: Codes) -> Mask:
    told: Mask = (codes != windows.NOT_TOLD) & (codes != NOT_ASKED)
    return told


def _policed(flows: pa.RecordBatch, side: str) -> Mask:
    """Where this end is a pod of this node, and policies are asked at it."""
    here = columns.equal(flows, "reporter", enums.Reporter.BOTH)
    here |= columns.equal(flows, "reporter", enums.Reporter(side))
    # whatever goes from a node to a pod of its own is let in before any policy
    own = ~columns.equal(flows, "node_traffic", "") if side == "dst" else np.zeros(len(flows), bool)
    return here & columns.equal(flows, f"{side}_kind", enums.EndpointKind.POD) & ~own


def misses(matched: Matched, flows: pa.RecordBatch, since: int, until: int) -> dict[Miss, int]:
    """How many connections that began in this batch have no trace, by why.

    Args:
        matched: What was found.
        flows: The batch.
        since: From when on Felix was heard, in ns since 1970; 0 where it never was.
        until: Up to when all is told.
    """
    rows = matched.rows
    began, started = (
        columns.numbers(flows.column(name))[rows] for name in ("started", "connections_started")
    )
    unsure = np.logical_or.reduce([
        columns.equal(flows, f"{side}_kind", enums.EndpointKind.AMBIGUOUS)[rows] for side in ("src", "dst")
    ])  # fmt: skip
    half = (matched.egress >= 0) | (matched.ingress >= 0)
    left = ~matched.is_whole & (started > 0)
    found = {}
    for reason, applies in (
        (Miss.SEVERAL, matched.is_several), (Miss.AMBIGUOUS, unsure),
        (Miss.OLDER, (began < since) | (since == 0)),
        (Miss.SILENT, began > until), (Miss.ONE_SIDE, half), (Miss.STRANGER, matched.strange),
        (Miss.NOT_TOLD, np.ones(len(rows), bool)),
    ):  # fmt: skip
        found[reason] = int((left & applies).sum())
        left &= ~applies
    return {reason: count for reason, count in found.items() if count}
