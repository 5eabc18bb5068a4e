"""Windows of what Felix tells, and which of them a connection is found in."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from spoken import EGRESS, IN, INGRESS, OUT, SECOND, batch, flows

from collector.felix import ends, windows
from collector.goldmane import flows as goldmane
from model import enums

OTHER = dataclasses.replace(EGRESS, enforced=(OUT, OUT))


def _told(*spoken: tuple[int, int, list[goldmane.Key]]) -> windows.Windows:
    """What was told: began, ended, and of whom."""
    known = windows.Windows()
    for began, ended, keys in spoken:
        known.add(flows(len(keys), began, ended), keys)
    return known


def _find(known: windows.Windows, key: goldmane.Key, began: float, until: float) -> tuple[tuple, ...] | None:
    """The ways that are told of a connection; None where nothing is."""
    index = known.index()
    places = (np.array([known.ends.number(end)], np.int32) for end in (key.src, key.dst))
    keys = windows.lookups(
        *places,
        np.array([key.dst_port]),
        np.array([key.protocol]),
        windows.question(key.reporter, key.action),
    )
    times = (np.array([int(at * SECOND)]) for at in (began, until))
    found = int(index.find(keys, *times)[0])
    if found == windows.NOT_TOLD:
        return None
    return tuple(known.traces[number].enforced for number in index.ways(found))


@pytest.mark.parametrize(
    ("began", "until", "expected"),
    [
        pytest.param(3, 4, ((OUT,),), id="in the first window"),
        pytest.param(14.5, 15, ((OUT, OUT),), id="at its end: told in the next one"),
        pytest.param(20, 21, ((OUT, OUT),), id="in the second"),
        pytest.param(-100, 4, ((OUT,),), id="long before, and there in the first"),
        pytest.param(-100, 100, ((OUT,),), id="all the time"),
        pytest.param(29, 30, ((OUT, OUT),), id="no later window: the last that can be"),
        pytest.param(31, 32, None, id="after all windows"),
        pytest.param(-100, -9, None, id="gone before them"),
        pytest.param(-100, -7, ((OUT,),), id="told as late as can be"),
    ],
)
def test_connection_is_found_in_the_window_that_tells_of_it(
    began: float, until: float, expected: tuple[tuple, ...] | None
) -> None:
    known = _told((0, 15, [EGRESS]), (15, 30, [OTHER]))
    assert _find(known, EGRESS, began, until) == expected


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"dst_port": 81}, id="port"),
        pytest.param({"protocol": 17}, id="protocol"),
        pytest.param({"src": EGRESS.dst}, id="source"),
        pytest.param({"dst": EGRESS.src}, id="destination"),
        pytest.param({"reporter": INGRESS.reporter}, id="side"),
    ],
)
def test_nothing_else_is_taken_for_it(changed: dict) -> None:
    known = _told((0, 15, [EGRESS]))
    assert _find(known, dataclasses.replace(EGRESS, **changed), 3, 4) is None


def test_ports_of_other_protocols_tell_nothing_apart() -> None:
    sctp = dataclasses.replace(EGRESS, protocol=132, dst_port=0)
    assert _find(_told((0, 15, [sctp])), dataclasses.replace(sctp, dst_port=99), 3, 4) == ((OUT,),)


def test_both_ways_are_found_where_two_are_told() -> None:
    ways = _find(_told((0, 15, [EGRESS, OTHER, EGRESS])), EGRESS, 3, 4)
    assert sorted(ways or (), key=len) == [(OUT,), (OUT, OUT)]


def test_window_that_comes_in_pieces_is_one() -> None:
    known = _told((0, 15, [EGRESS]), (0, 15, [INGRESS]), (15, 30, []))
    assert len(known.windows) == 1
    assert known.windows[0].traces.tolist() == [0, 1]
    assert [_find(known, key, 3, 4) for key in (EGRESS, INGRESS)] == [((OUT,),), ((IN,),)]


def test_what_is_still_being_told_does_not_count() -> None:
    known = _told((0, 15, [EGRESS]), (15, 30, [EGRESS]))
    assert known.told_until(30 * SECOND + 1) == 15 * SECOND
    assert known.told_until(40 * SECOND) == 30 * SECOND
    assert known.every == 15 * SECOND
    assert windows.Windows().told_until(5) == 0


def test_windows_told_late_end_where_the_next_begin() -> None:
    """As after a reconnect, when Felix tells again of five minutes."""
    known = _told((0, 60, [EGRESS]), (15, 60, [OTHER]))
    assert [window.ended for window in known.windows] == [16 * SECOND, 60 * SECOND]


def _known(key: goldmane.Key, began: int, until: int) -> windows.Known:
    """A connection between the pods of `spoken.ROW`, as a batch has it."""
    src, dst = (ends.distinct(batch({}), side)[0] for side in ("src", "dst"))
    pair = [0, 0, key.dst_port, key.protocol, windows.question(key.reporter, key.action)]
    return windows.Known(src, dst, np.array([pair]), np.array([began * SECOND]), np.array([until * SECOND]))


@pytest.mark.parametrize(
    ("began", "until", "expected"),
    [
        pytest.param(3, 4, [True, False, False], id="in the window"),
        pytest.param(-99, -9, [True, False, False], id="before it: its end is told of"),
        pytest.param(-99, -40, [False] * 3, id="long before it"),
        pytest.param(-99, 99, [True, False, False], id="before it and after it"),
        pytest.param(16, 17, [False] * 3, id="after it"),
    ],
)
def test_what_no_connection_explains_is_left(began: int, until: int, expected: list[bool]) -> None:
    known = _told((0, 15, [EGRESS, INGRESS, OTHER]), (15, 30, [EGRESS]))
    known.explain(_known(EGRESS, began, until))
    (gone,) = known.forget(20 * SECOND)
    # nothing tells the third from the first but its rules
    assert gone.explained.tolist() == [expected[0], False, expected[0]]
    assert known.forget(20 * SECOND) == []


def test_connection_that_is_told_of_after_its_report_is_known_then() -> None:
    known = _told((0, 15, [INGRESS]))
    known.explain(_known(EGRESS, 3, 4))
    known.add(flows(1, 15, 30), [EGRESS])
    assert [window.explained.tolist() for window in known.forget(99 * SECOND)] == [[False], [True]]


def test_connection_is_known_though_its_ends_were_named_after_its_report() -> None:
    known = windows.Windows()
    known.explain(_known(EGRESS, 3, 4))
    assert known.forget(2 * SECOND) == []
    known.add(flows(1, 0, 300), [EGRESS])
    assert [window.explained.tolist() for window in known.forget(999 * SECOND)] == [[True]]


def test_of_what_began_before_anything_was_known_nothing_is_left() -> None:
    known = _told((0, 15, [EGRESS]), (15, 30, [EGRESS]))
    known.since = 10 * SECOND
    assert [window.explained.tolist() for window in known.forget(99 * SECOND)] == [[True], [False]]


def test_windows_are_as_long_as_they_last_not_as_far_as_they_are_apart() -> None:
    """Nothing is told of a time in which there was nothing to tell."""
    assert _told((0, 15, [EGRESS]), (3600, 3615, [EGRESS])).every == 15 * SECOND


def test_what_was_allowed_and_denied_in_one_window_ends_where_the_next_begins() -> None:
    denied = dataclasses.replace(INGRESS, action=enums.Action.DENY)
    known = _told((0, 60, [EGRESS]), (1, 60, [denied]), (15, 60, [OTHER]))
    assert [window.ended // SECOND for window in known.windows] == [16, 16, 60]
    assert _find(known, EGRESS, 20, 21) == ((OUT, OUT),)


def test_ends_and_traces_that_no_window_has_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_MOST", 10)
    known = windows.Windows()
    for number in range(100):
        end = dataclasses.replace(EGRESS.src, name=f"job-{number}-*")
        key = dataclasses.replace(EGRESS, src=end, enforced=(dataclasses.replace(OUT, rule=number),))
        known.add(flows(1, 15 * number, 15 * number + 15), [key])
        known.forget(15 * number * SECOND)
        assert _find(known, key, 15 * number + 3, 15 * number + 4) == (key.enforced,)
    assert len(known.ends) + len(known.traces) < 20


KEYS = st.builds(
    lambda port, more: dataclasses.replace(EGRESS, dst_port=port, enforced=(OUT,) * more),
    st.integers(1, 3), st.integers(1, 2),
)  # fmt: skip
SPOKEN = st.lists(st.tuples(st.integers(0, 8), st.lists(KEYS, min_size=1, max_size=4)), max_size=6)


@given(SPOKEN, KEYS, st.integers(-10, 130), st.integers(0, 60))
def test_finds_what_a_search_through_all_windows_does(
    spoken: list[tuple[int, list[goldmane.Key]]], key: goldmane.Key, began: int, lasts: int
) -> None:
    known = _told(*((15 * number, 15 * number + 15, keys) for number, keys in spoken))
    fitting = [
        window for window in known.windows
        if key.dst_port in {one.dst_port for one in window.keys}
        and window.ended >= began * SECOND
        and window.began <= (began + lasts) * SECOND + windows.LATE
    ]  # fmt: skip
    later = [window for window in fitting if window.ended >= began * SECOND + windows.SOONEST]
    expected = None
    for window in (later or fitting)[:1]:
        expected = {one.enforced for one in window.keys if one.dst_port == key.dst_port}
    found = _find(known, key, began, began + lasts)
    assert (None if found is None else set(found)) == expected
