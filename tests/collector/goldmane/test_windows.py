"""Which windows are recorded when, and what of them is new."""

from __future__ import annotations

from typing import Any

import goldmanelike
import numpy as np
import pytest

from collector.goldmane import flows, keys, windows

START = 1_700_000_010 // 15 * 15
SECOND = 1_000_000_000


def result(name: str, start: int = START, reporter: int = 2, **counts: Any) -> Any:
    flow = goldmanelike.messages.Flow(
        Key=goldmanelike.key(name, reporter=reporter), start_time=start, end_time=start + 15, **counts
    )
    return goldmanelike.messages.FlowResult(id=1, flow=flow)


def begun(last: int = START, now: float = START) -> windows.Schedule:
    made = windows.Schedule(keys.Keys())
    made.begin(last, now)
    return made


@pytest.mark.parametrize(("reporter", "forward"), [(1, (7, 70, 5, 50)), (2, (5, 50, 7, 70))])
def test_volume_has_the_direction_of_the_connection(reporter: int, forward: tuple[int, ...]) -> None:
    told = result(
        "a", reporter=reporter, packets_in=5, bytes_in=50, packets_out=7, bytes_out=70,
        num_connections_started=1, num_connections_completed=2, num_connections_live=3,
        source_labels=["app=a"], dest_labels=["app=web", "tier=front"],
    )  # fmt: skip
    found, strange = windows.tally([told], START, keys.Keys())
    made = windows.window(START, found, arrived=9)
    assert strange == 0
    assert made.flows.dtype == flows.FLOW
    assert made.flows.tolist() == [
        (0, START * SECOND, (START + 15) * SECOND, 9, *forward, 1, 2, 3)
    ]  # fmt: skip
    assert (made.src_labels, made.dst_labels) == ((("app=a",),), (("app=web", "tier=front"),))


def test_results_of_other_windows_are_counted_apart() -> None:
    """Such as 0, which Goldmane says where what is asked for are no windows of its own."""
    found, strange = windows.tally(
        [result("a"), result("b", start=0), result("c", start=START + 5)], START, keys.Keys()
    )
    assert (len(found), strange) == (1, 2)


def test_totals_that_come_twice_are_not_added() -> None:
    found, _ = windows.tally(
        [result("a", packets_in=5), result("a", packets_in=3, bytes_in=9)], START, keys.Keys()
    )
    assert [told.counts[:2] for told in found.values()] == [(5, 9)]


def test_negative_counts_are_none() -> None:
    found, _ = windows.tally([result("a", packets_in=-5)], START, keys.Keys())
    assert found[0].counts == (0,) * 7


def test_what_is_late_is_what_is_more() -> None:
    known = keys.Keys()
    then, _ = windows.tally(
        [result("same", packets_in=5), result("more", packets_in=5), result("less", packets_in=5)],
        START,
        known,
    )
    now, _ = windows.tally(
        [result("same", packets_in=5), result("more", packets_in=7), result("less", packets_in=2),
         result("new", packets_in=1), result("empty")],
        START, known,
    )  # fmt: skip
    late = {known[number].src.name: told.counts[0] for number, told in windows.since_then(now, then).items()}
    assert late == {"more": 2, "new": 1, "empty": 0}


def test_empty_window_has_columns() -> None:
    made = windows.window(START, {}, 0)
    assert (len(made.flows), made.flows.dtype) == (0, flows.FLOW)


def test_window_is_due_when_it_was_streamed() -> None:
    schedule = begun()
    assert list(schedule.due(START + 44)) == []
    assert next(schedule.due(START + 45)) == START


def test_windows_are_recorded_in_order_without_gap() -> None:
    schedule = begun()
    told = []
    for start in schedule.due(START + 100):
        told.append(start - START)
        schedule.done(start, {}, START + 100)
    assert told == [0, 15, 30, 45]
    assert schedule.next == START + 60


@pytest.mark.parametrize(
    ("last", "expected", "gap"),
    [
        pytest.param(0, -windows.HELD, False, id="never"),
        pytest.param(START - 300, -300, False, id="a while ago"),
        pytest.param(START - windows.HELD, -windows.HELD, False, id="just held"),
        pytest.param(START - windows.HELD - 15, -windows.HELD, True, id="too long ago"),
        pytest.param(START - 301, -300, False, id="in a window"),
    ],
)
def test_beginning_is_behind_what_is_recorded(last: int, expected: int, gap: bool) -> None:
    schedule = windows.Schedule(keys.Keys())
    missed = schedule.begin(last, START + 14)
    assert schedule.next == START + expected
    assert missed == ((last, START - windows.HELD) if gap else None)


def test_stream_speaks_for_the_windows_that_it_covers() -> None:
    schedule = begun()
    schedule.take(result("early", START))
    assert schedule.streamed(START) is None  # nobody has asked for a stream
    schedule.gain_stream()
    for name, start in (("a", START), ("b", START + 15), ("old", START - 15), ("odd", START + 1)):
        schedule.take(result(name, start))
    assert len(schedule.streamed(START) or {}) == 2
    assert schedule.streamed(START + 30) is None
    schedule.lose_stream()
    assert schedule.streamed(START + 15) is None


def test_window_that_is_recorded_is_settled_once() -> None:
    schedule = begun()
    schedule.done(START, {}, START)
    schedule.done(START + 15, {}, START + windows.SETTLED)
    assert list(schedule.unsettled(START + windows.SETTLED - 1)) == []
    told = []
    for start, _ in schedule.unsettled(START + windows.SETTLED + 15):
        told.append(start)
        schedule.settled(start)
    assert told == [START, START + 15]


def test_window_that_was_settled_when_it_was_listed_is_not_asked_for_again() -> None:
    schedule = begun()
    schedule.done(START, {}, START + windows.SETTLED)
    assert list(schedule.unsettled(START + 2 * windows.SETTLED)) == []


def test_who_no_longer_leads_forgets_all() -> None:
    schedule = begun()
    schedule.gain_stream()
    schedule.done(START, {}, START)
    schedule.forget()
    assert schedule.next is None
    assert list(schedule.due(START + 1000)) == []
    assert list(schedule.unsettled(START + 1000)) == []


def test_moments_are_in_windows() -> None:
    assert [windows.floor(START + second) for second in (0, 14.9, 15)] == [START, START, START + 15]
    assert np.dtype(flows.FLOW).names is not None
