"""What a suggested rule rests on, and how far that carries."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np

from policy import drafting, record

_DAYS = 3
_HOURS = 3
_CONNECTIONS = 10
_HOURS_OF_A_DAY = 24


class Confidence(enum.StrEnum):
    """How sure it is that what was seen is what is needed."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen of a peer.

    Attributes:
        connections: How many began in the span.
        pods: How many pods were at its end, or had the same labels as those; 0 where nobody knows.
        days: On how many days.
        hours: In how many hours.
        first: When first, in ns since 1970; and ``last``.
        attribution: By what the rules are known that let them through, with how many connections.
        confidence: How far that carries.
        because: Why.
    """

    connections: int
    pods: int
    days: int
    hours: int
    first: int
    last: int
    attribution: tuple[tuple[str, int], ...]
    confidence: Confidence
    because: str


def evidence(seen: record.Record, part: drafting.Part, far: record.Codes) -> Evidence:
    """What a part of a rule rests on.

    Args:
        seen: The record.
        part: The peer, and its edges.
        far: Which end of each edge the peer is.
    """
    edges = np.array(part.edges, np.int64)
    hours = seen.hours_of(edges)
    days = len(np.unique(hours // _HOURS_OF_A_DAY))
    connections = int(seen.connections[edges].sum())
    ends = np.unique(far[edges])
    confidence, because = _confidence(part.peer, connections, days, len(hours))
    return Evidence(
        connections=connections, pods=sum(seen.variants[end].pods for end in ends[ends >= 0].tolist()),
        days=days, hours=len(hours), first=int(seen.first[edges].min()), last=int(seen.last[edges].max()),
        attribution=_attribution(seen, edges), confidence=confidence, because=because,
    )  # fmt: skip


def _attribution(seen: record.Record, edges: np.ndarray) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for word, count in zip(seen.attribution[edges].tolist(), seen.connections[edges].tolist(), strict=True):
        found[str(word)] = found.get(str(word), 0) + count
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _confidence(peer: drafting.Peer, connections: int, days: int, hours: int) -> tuple[Confidence, str]:
    if peer.note:
        return Confidence.LOW, peer.note
    if days >= _DAYS and connections >= _CONNECTIONS:
        return Confidence.HIGH, f"it came again on {days} days"
    if hours >= _HOURS and connections >= _CONNECTIONS:
        return Confidence.MEDIUM, f"it came again in {hours} hours"
    if not connections:
        sure = Confidence.MEDIUM if hours >= _HOURS else Confidence.LOW
        return sure, f"it began before the record does, and was there in {counted(hours, 'hour')}"
    if connections == 1:
        return Confidence.LOW, "it was seen once"
    return Confidence.LOW, f"{connections:,} connections in {counted(hours, 'hour')} do not show a habit"


def counted(number: int, word: str) -> str:
    """A number and what it counts: ``1 hour``, ``2,000 hours``."""
    return f"{number:,} {word}{'s' if number != 1 else ''}"


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """When the pods of a CronJob come.

    Attributes:
        workload: Which one.
        text: Its schedule as it is written; empty where nobody knows.
        longest: The longest time between two of its runs, in ns; 0 where nobody knows.
        runs: How many times pods of it came in the span.
    """

    workload: record.Workload
    text: str
    longest: int
    runs: int


def unseen(schedules: Sequence[Schedule], length: int) -> list[str]:
    """Sentences about runs that a span cannot have shown.

    Args:
        schedules: All that there are.
        length: How long the span is, in ns.
    """
    found = []
    for one in schedules:
        name = f"CronJob {one.workload}" + (f" ({one.text})" if one.text else "")
        if not one.runs:
            found.append(f"{name} did not run: what it needs is not among the rules.")
        elif one.longest > length:
            found.append(f"{name} waits longer between two runs than the record is long: {_ran(one.runs)}.")
        elif one.runs == 1:
            found.append(f"{name} ran once: what it does in other runs is not known.")
    return found


def _ran(runs: int) -> str:
    return "it ran once" if runs == 1 else f"it ran {runs} times"
