"""Which windows are to be recorded when, and what of them is new; nothing here asks anybody.

A flow reaches Goldmane when Felix's interval of 15 s is over, and belongs to the window in which that
interval began: so a window is whole at the earliest 30 s after its beginning. That is when ``Stream`` tells
of it, once, and never again. Later flows add to it all the same: a Felix that was cut off sends again what
it has of the last five minutes (goldmane/pkg/client), and its clock or its queue may be late. So each
window is recorded twice: as it was streamed or listed when it should be whole, and what has come to it
since, when nothing more can come.

A total may also become smaller: a Goldmane that was started anew knows what Felix has sent again, and no
more. Then what is recorded stays as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from collector.goldmane import flows, keys

SECONDS = 15
_SECOND = 1_000_000_000

HELD = 239 * SECONDS
"""How far back Goldmane knows windows: it has 242, one ahead of now, and one about to be forgotten."""

CLOSED = 45
"""So long after its beginning a window is recorded: Goldmane streams it after 30 s."""

SETTLED = 360
"""So long after its beginning nothing comes to a window: two intervals, and the five minutes of which a Felix
that was cut off sends again."""

_COUNTS = ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes",
           "connections_started", "connections_ended", "connections_living")  # fmt: skip
_TOLD = ("packets_in", "bytes_in", "packets_out", "bytes_out", "num_connections_started",
         "num_connections_completed", "num_connections_live")  # fmt: skip
_TURNED = (2, 3, 0, 1, 4, 5, 6)
"""The same where the source reports: what goes out of it goes forward."""


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What Goldmane says of one key in one window: its counts, and the labels that all its pods share."""

    counts: tuple[int, ...]
    src_labels: tuple[str, ...] = ()
    dst_labels: tuple[str, ...] = ()


Tally = dict[int, Told]
"""By the number of the key."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What there is to record of a window.

    Attributes:
        start: When it began, in ns since 1970.
        end: When it ended.
        flows: In the form `flows.FLOW`.
        src_labels: For each flow what its source's pods have in common, as ``name=value``.
        dst_labels: The same of its destination.
        missing: How many flows Goldmane has that it did not tell of.
        unreadable: How many flows of it made no sense.
        late: Whether it has been recorded, and this is what has come since.
        note: What else is to be known, in words.
    """

    start: int
    end: int
    flows: flows.Flows
    src_labels: tuple[tuple[str, ...], ...]
    dst_labels: tuple[tuple[str, ...], ...]
    missing: int = 0
    unreadable: int = 0
    late: bool = False
    note: str = ""


def floor(seconds: float) -> int:
    """When the window began in which a moment is, in seconds since 1970."""
    return int(seconds // SECONDS) * SECONDS


def tally(results: Iterable[Any], start: int, known: keys.Keys) -> tuple[Tally, int]:
    """What ``FlowResult`` messages say of one window, and how many of them are not of it, or cannot be read.

    Args:
        results: The messages; of two with the same key each count is the greater one, as they are totals.
        start: When the window began, in seconds since 1970.
        known: Numbers the keys.
    """
    told = [result.flow for result in results]
    found: Tally = {}
    taken = sum(flow.start_time == start and _add(found, flow, known) for flow in told)
    return found, len(told) - taken


def _add(found: Tally, flow: Any, known: keys.Keys) -> bool:
    """Take in a flow; whether its key can be read."""
    number = int(known.number([flow.Key.SerializeToString(deterministic=True)])[0])
    if number == keys.UNREADABLE:
        return False
    counts = tuple(max(getattr(flow, name), 0) for name in _TOLD)
    if known[number].reporter == "src":
        counts = tuple(counts[place] for place in _TURNED)
    if (before := found.get(number)) is not None:
        counts = tuple(map(max, counts, before.counts))
    found[number] = Told(counts, tuple(flow.source_labels), tuple(flow.dest_labels))
    return True


def since_then(now: Mapping[int, Told], then: Mapping[int, Told]) -> Tally:
    """What has come to a window; keys to which nothing has come are not in it."""
    nothing = Told((0,) * len(_COUNTS))
    found: Tally = {}
    for number, told in now.items():
        more = tuple(
            max(a - b, 0) for a, b in zip(told.counts, then.get(number, nothing).counts, strict=True)
        )
        if any(more) or number not in then:
            found[number] = dataclasses.replace(told, counts=more)
    return found


def window(start: int, found: Tally, arrived: int, **more: Any) -> Window:
    """A tally as columns.

    Args:
        start: When the window began, in seconds since 1970.
        found: What is known of it.
        arrived: When we heard of it, in ns since 1970.
        more: Further attributes of `Window`.
    """
    began, ended = start * _SECOND, (start + SECONDS) * _SECOND
    made = np.zeros(len(found), flows.FLOW)
    made["key"] = list(found)
    made["started"], made["ended"], made["arrived"] = began, ended, arrived
    counts = np.array([told.counts for told in found.values()], np.uint64).reshape(-1, len(_COUNTS))
    for place, name in enumerate(_COUNTS):
        made[name] = counts[:, place]
    return Window(
        start=began, end=ended, flows=made, src_labels=tuple(one.src_labels for one in found.values()),
        dst_labels=tuple(one.dst_labels for one in found.values()), **more,
    )  # fmt: skip


class Schedule:
    """What was recorded, what is next, and what the stream has told of meanwhile. For one thread.

    Args:
        known: Numbers the keys.
    """

    def __init__(self, known: keys.Keys) -> None:
        self._known = known
        self._next: int | None = None
        self._covered: int | None = None
        self._streamed: dict[int, Tally] = {}
        self._recorded: dict[int, Tally] = {}

    @property
    def next(self) -> int | None:
        """Which window is recorded next, by its beginning in seconds since 1970; None before `begin`."""
        return self._next

    def forget(self) -> None:
        """Somebody else records from now on."""
        self._next = None
        self._recorded.clear()
        self.lose_stream()

    def begin(self, last: int, now: float) -> tuple[int, int] | None:
        """Go on behind what is recorded.

        Args:
            last: When the last window that is recorded ended, in seconds since 1970; 0 for none.
            now: This moment, in seconds since 1970.

        Returns:
            From when to when there are windows that Goldmane no longer has; None if there are none.
        """
        oldest = floor(now) - HELD
        self._next = max(floor(last + SECONDS - 1), oldest)
        return (last, oldest) if 0 < last < oldest else None

    def gain_stream(self) -> int:
        """A stream is about to be asked for; from which window on it has to tell."""
        assert self._next is not None  # noqa: S101  # nothing is streamed before `begin`
        self._covered = self._next
        return self._next

    def lose_stream(self) -> None:
        """The stream has ended, perhaps in the midst of a window."""
        self._covered = None
        self._streamed.clear()

    def take(self, result: Any) -> None:
        """One ``FlowResult`` of the stream; what belongs to a window that is recorded is listed later on."""
        start = result.flow.start_time
        if self._next is not None and start >= self._next and start % SECONDS == 0:
            read = _add(self._streamed.setdefault(start, {}), result.flow, self._known)
            if not read and self._covered is not None:
                self._covered = max(self._covered, start + SECONDS)  # a list of it says how many there are

    def due(self, now: float) -> Iterator[int]:
        """The windows that are to be recorded by now, oldest first, each of them until it is `done`."""
        while self._next is not None and self._next + CLOSED <= now:
            yield self._next

    def streamed(self, start: int) -> Tally | None:
        """What the stream has told of a window; None where it has not, so that it has to be listed."""
        return self._streamed.get(start) if self._covered is not None and self._covered <= start else None

    def done(self, start: int, found: Tally, now: float) -> None:
        """A window is recorded, by what was known at a moment, in seconds since 1970."""
        self._streamed.pop(start, None)
        if start + SETTLED > now:
            self._recorded[start] = found
        self._next = start + SECONDS

    def unsettled(self, now: float) -> Iterator[tuple[int, Tally]]:
        """Recorded windows to which nothing more can come, oldest first, each until it is `settled`."""
        while self._recorded and (start := min(self._recorded)) + SETTLED <= now:
            yield start, self._recorded[start]

    def settled(self, start: int) -> None:
        """What has come to a window since is recorded."""
        self._recorded.pop(start, None)
