"""What a table of connections reports of what it is shown, dump by dump."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from collector.conntrack import decode, table

SECOND = 1_000_000_000
SINCE = 50 * SECOND
TIME_WAIT, CLOSE, ESTABLISHED = 7, 8, 3
Build = Callable[..., decode.Connections]


def _rows(changes: table.Changes) -> list[dict[str, object]]:
    """One dictionary a row: the deltas, and whether it started and ended."""
    return [
        {
            "forward": int(entry["forward_packets"]),
            "reverse": int(entry["reverse_bytes"]),
            "started": bool(started),
            "ended": bool(ended),
        }
        for entry, started, ended in zip(changes.entries, changes.started, changes.ended, strict=True)
    ]


def _row(forward: int, reverse: int, *, started: bool = False, ended: bool = False) -> dict[str, object]:
    return {"forward": forward, "reverse": reverse, "started": started, "ended": ended}


UDP = {"protocol": 17, "state": 0}
MORE = {"forward_packets": 5, "reverse_bytes": 900}
DESTROYED = {"destroyed": True}


@pytest.mark.parametrize(
    ("shown", "reported"),
    [
        pytest.param([[{}]], [[_row(3, 200, started=True)]], id="new"),
        pytest.param([[{}], [MORE]], [[_row(3, 200, started=True)], [_row(2, 700)]], id="grown"),
        pytest.param([[{}], [{}], [{}]], [[_row(3, 200, started=True)], [], []], id="unchanged"),
        pytest.param(
            [[{}], [MORE | DESTROYED], []],
            [[_row(3, 200, started=True)], [_row(2, 700, ended=True)], []],
            id="destroyed, with its last delta",
        ),
        pytest.param(
            [[{}], [DESTROYED]], [[_row(3, 200, started=True)], [_row(0, 0, ended=True)]],
            id="TCP destroyed without new volume",
        ),
        pytest.param(
            [[MORE | DESTROYED], []], [[_row(5, 900, started=True, ended=True)], []],
            id="short connection, one row",
        ),
        pytest.param(
            [[{}], *[[{"state": TIME_WAIT}]] * 2, [{"state": TIME_WAIT} | DESTROYED]],
            [[_row(3, 200, started=True)], [_row(0, 0, ended=True)], [], []],
            id="TIME_WAIT ends once, DESTROY says nothing new",
        ),
        pytest.param(
            [[{"state": TIME_WAIT}], [MORE | {"state": TIME_WAIT} | DESTROYED]],
            [[_row(3, 200, started=True, ended=True)], [_row(2, 700)]],
            id="volume after TIME_WAIT does not end it again",
        ),
        pytest.param(
            [[{"state": CLOSE} | DESTROYED]], [[_row(3, 200, started=True, ended=True)]], id="refused",
        ),
        pytest.param(
            [[UDP], [UDP | DESTROYED]], [[_row(3, 200, started=True)], []],
            id="UDP destroyed without new volume",
        ),
        pytest.param(
            [[UDP], [UDP | MORE | DESTROYED]], [[_row(3, 200, started=True)], [_row(2, 700, ended=True)]],
            id="UDP destroyed with new volume",
        ),
        pytest.param(
            [[MORE], [{"forward_packets": 1, "reverse_bytes": 40}]],
            [[_row(5, 900, started=True)], [_row(1, 40)]],
            id="counters reset",
        ),
        pytest.param(
            [[{"started": SINCE - 1}], [MORE | {"started": SINCE - 1}]],
            [[], [_row(2, 700)]],
            id="older than the table: nothing of its past",
        ),
        pytest.param(
            [[], [{"started": SINCE - 1}], [MORE | {"started": SINCE - 1} | DESTROYED]],
            [[], [], [_row(2, 700, ended=True)]],
            id="older than the table, seen late",
        ),
        pytest.param(
            [[{"started": 0}], [MORE | {"started": 0}, {"started": 0, "id": 2}]],
            [[], [_row(2, 700), _row(3, 200, started=True)]],
            id="no timestamps: what the first dump has is old",
        ),
        pytest.param(
            [[{"started": 0} | DESTROYED], [{"started": 0, "id": 2} | DESTROYED]],
            [[_row(0, 0, ended=True)], [_row(3, 200, started=True, ended=True)]],
            id="no timestamps: ended before and after the first dump",
        ),
        pytest.param(
            [[{}], [{"id": 2, "started": 101 * SECOND}, DESTROYED]],
            [[_row(3, 200, started=True)], [_row(0, 0, ended=True), _row(3, 200, started=True)]],
            id="the same ports again",
        ),
    ],
)  # fmt: skip
def test_deltas(
    connections: Build, shown: list[list[dict[str, object]]], reported: list[list[dict[str, object]]]
) -> None:
    seen = table.Table(SINCE)
    for rows, expected in zip(shown, reported, strict=True):
        changes = seen.update(connections(*rows))
        found = sorted(_rows(changes), key=lambda row: (row["started"], row["forward"]))
        assert found == expected
        assert changes.vanished == 0


def test_entry_that_is_missing_once_was_passed_over(connections: Build) -> None:
    seen = table.Table(SINCE)
    seen.update(connections({}))
    assert seen.update(connections()).vanished == 0
    assert _rows(seen.update(connections(MORE))) == [_row(2, 700)]
    assert seen.update(connections()).vanished == 0


def test_entry_that_is_missing_twice_has_vanished(connections: Build) -> None:
    seen = table.Table(SINCE)
    seen.update(connections({}, {"id": 2}))
    for vanished, living in ((0, 2), (1, 1), (0, 1)):
        assert seen.update(connections({"id": 2})).vanished == vanished
        assert len(seen) == living


def test_destroyed_entry_has_not_vanished(connections: Build) -> None:
    seen = table.Table(SINCE)
    seen.update(connections({}))
    seen.update(connections(DESTROYED))
    assert [seen.update(connections()).vanished for _ in range(3)] == [0, 0, 0]
    assert len(seen) == 0


def test_trace_is_remembered_until_the_end(connections: Build) -> None:
    seen = table.Table(SINCE)
    first = seen.update(connections({}, {"id": 2}))
    assert first.traces.tolist() == [0, 0]
    key = connections({})["key"]
    seen.remember(np.array([key[0], 12345], np.uint64), np.array([7, 8], np.int32))
    changes = seen.update(connections(MORE, MORE | {"id": 2}))
    assert sorted(zip(changes.entries["id"].tolist(), changes.traces.tolist(), strict=True)) == [
        (1, 7),
        (2, 0),
    ]
    assert seen.update(connections(MORE | DESTROYED, MORE | {"id": 2})).traces.tolist() == [7]


@st.composite
def _lives(draw: st.DrawFn) -> list[list[dict[str, object]]]:
    """What each dump or event shows of some connections: any start, any growth, any gap of one, any end."""
    shown: list[list[dict[str, object]]] = [[] for _ in range(draw(st.integers(1, 7)))]
    for number in range(draw(st.integers(0, 6))):
        protocol = draw(st.sampled_from([6, 17]))
        first = draw(st.integers(0, len(shown) - 1))
        last = draw(st.integers(first, len(shown) - 1))
        destroyed = draw(st.booleans())
        forward, reverse, passed_over, state = 1, 0, False, ESTABLISHED
        for place in range(first, last + 1):
            passed_over = place not in (first, last) and not passed_over and draw(st.booleans())
            forward += draw(st.integers(0, 3))
            reverse += draw(st.integers(0, 3))
            state = TIME_WAIT if state == TIME_WAIT or draw(st.booleans()) else ESTABLISHED
            if not passed_over:
                shown[place].append({
                    "id": number, "protocol": protocol, "state": state if protocol == 6 else 0,
                    "forward_packets": forward, "reverse_bytes": reverse,
                    "destroyed": destroyed and place == last,
                })  # fmt: skip
    return shown


@hypothesis.given(_lives())
def test_deltas_add_up_to_the_last_totals(connections: Build, shown: list[list[dict[str, object]]]) -> None:
    """Started once, ended at most once, whatever the order of dumps and events."""
    seen = table.Table(SINCE)
    totals: dict[int, np.ndarray] = {}
    for rows in shown:
        changes = seen.update(connections(*rows))
        for entry, started, ended in zip(changes.entries, changes.started, changes.ended, strict=True):
            row = np.array([entry["forward_packets"], entry["reverse_bytes"], started, ended], np.int64)
            totals[int(entry["id"])] = totals.get(int(entry["id"]), 0) + row
    lasts = {row["id"]: row for rows in shown for row in rows}
    assert totals.keys() == lasts.keys()
    for number, last in lasts.items():
        forward, reverse, started, ended = totals[number]
        assert (forward, reverse) == (last["forward_packets"], last["reverse_bytes"])
        assert started == 1
        assert ended <= 1
        if last["protocol"] == 6:
            assert ended == (last["destroyed"] or last["state"] == TIME_WAIT)


def test_connection_is_new_after_the_clock_was_set_back(connections: Build) -> None:
    seen = table.Table(since=100 * SECOND)
    seen.update(connections(), 100 * SECOND)
    changes = seen.update(connections({"started": 50 * SECOND}), 60 * SECOND)
    assert (changes.started.tolist(), changes.entries["forward_packets"].tolist()) == ([True], [3])
