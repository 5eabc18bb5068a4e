"""Differences over time and between stages, at every order in which they can be seen."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from collector.probe import counts, decode

SECOND = counts.SECOND
TIMEOUT = 32
LENGTH = 8
START = 20_000 * 86_400 * SECOND + 640 * SECOND  # 640 s after midnight, the beginning of a period of 32 s


def _elements(*rows: tuple[int, int, int], age: float = 0.0) -> decode.Elements:
    """Elements from edge, period and packets; each packet has 60 bytes."""
    keys = b"".join(struct.pack("=II", edge, period) for edge, period, _ in rows)
    packets = np.array([row[2] for row in rows], np.int64)
    return decode.Elements(
        keys=np.frombuffer(keys, np.uint8).reshape(-1, LENGTH), packets=packets, bytes=60 * packets,
        expires=np.full(len(rows), round((TIMEOUT - age) * 1000), np.int64),
    )  # fmt: skip


def _edges(rows: counts.Rows) -> dict[int, int]:
    found = {int(row["key"][:4].view("<u4")[0]): int(row["packets"]) for row in rows}
    assert len(found) == len(rows)
    assert (rows["bytes"] == 60 * rows["packets"]).all()
    return found


def _taken(*looks: decode.Elements) -> list[dict[int, int]]:
    counted = counts.Counts(LENGTH, TIMEOUT)
    return [
        _edges(counted.take(look, START + n * SECOND, START + (n - 1) * SECOND))
        for n, look in enumerate(looks)
    ]


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([((1, 0, 3),), ((1, 0, 5),)], [{1: 3}, {1: 2}], id="grown"),
        pytest.param([((1, 0, 3),), ((1, 0, 3),)], [{1: 3}, {}], id="the same"),
        pytest.param([((1, 0, 3),), ((1, 0, 3), (2, 0, 1))], [{1: 3}, {2: 1}], id="a new one"),
        pytest.param([((1, 0, 3),), (), ((1, 0, 4),)], [{1: 3}, {}, {1: 1}], id="left out of one look"),
        pytest.param([((1, 0, 3), (1, 0, 4)), ((1, 0, 5),)], [{1: 4}, {1: 1}], id="twice in one look"),
        pytest.param([((1, 0, 3),), ((1, 32, 1),)], [{1: 3}, {1: 1}], id="the next period"),
        pytest.param([((1, 0, 3),), ((1, 0, 1),)], [{1: 3}, {1: 1}], id="clock set back"),
        pytest.param([()], [{}], id="nothing"),
    ],
)
def test_counted_since_the_last_look(looks, expected) -> None:
    assert _taken(*(_elements(*look) for look in looks)) == expected


def test_times_of_what_was_counted() -> None:
    counted = counts.Counts(LENGTH, TIMEOUT)
    rows = counted.take(_elements((1, 0, 1), (2, 0, 2), age=3), START, START - 10 * SECOND)
    assert rows["last"].tolist() == [START - 3 * SECOND] * 2
    single = rows["packets"] == 1
    assert rows["first"][single].tolist() == [START - 3 * SECOND]
    assert rows["first"][~single].tolist() == [START - 10 * SECOND]


@pytest.mark.parametrize(
    ("now", "period", "age", "expected"),
    [
        pytest.param(5, 640, 0, {640}, id="amid a period"),
        pytest.param(31, 640, 0, {640, 672}, id="at its end"),
        pytest.param(40, 640, 9, {640, 672}, id="at its end, seen later"),
        pytest.param(40, 640, 20, {640}, id="before its end, seen later"),
        pytest.param(86_400 - 641, 86_400 - 32, 0, {86_400 - 32, 0}, id="at midnight"),
    ],
)
def test_keys_of_the_next_stage(now: int, period: int, age: int, expected: set[int]) -> None:
    counted = counts.Counts(LENGTH, TIMEOUT)
    rows = counted.take(_elements((1, period, 1), (2, period, 1), age=age), START + now * SECOND, START)
    wanted = rows["edge"][rows["key"][:, 0] == 1]
    keys = counted.keys_of(wanted, 32)
    assert {struct.unpack("=II", key.tobytes()) for key in keys} == {(1, moment) for moment in expected}


class _Stages:
    """Two stages, read together."""

    def __init__(self) -> None:
        self._counts = counts.Counts(LENGTH, TIMEOUT), counts.Counts(LENGTH, TIMEOUT)
        self.balance = counts.Balance(LENGTH)
        self._totals: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def look(
        self, now: float, before: dict[int, int], after: dict[int, int], *, age: float = 0.0
    ) -> dict[int, int]:
        """What is told at a look that sees these totals at both stages."""
        moment = START + round(now * SECOND)
        new = [
            counted.take(_elements(*((edge, 0, n) for edge, n in seen.items()), age=age), moment, START)
            for counted, seen in zip(self._counts, (before, after), strict=True)
        ]
        self.balance.add(*new)
        told = self.balance.due(moment, SECOND)
        self.balance.tell(told)
        self.balance.settle(moment, SECOND, moment - 2 * TIMEOUT * SECOND)
        return _edges(told)


def test_what_is_quiet_is_told_at_once_and_once() -> None:
    stages = _Stages()
    assert stages.look(0, {1: 5, 2: 3}, {2: 3}, age=2) == {1: 5}
    assert stages.look(1, {1: 5, 2: 3}, {2: 3}, age=3) == {}


def test_what_may_be_on_its_way_waits() -> None:
    stages = _Stages()
    assert stages.look(0, {1: 5}, {}, age=0.5) == {}
    assert stages.look(2, {1: 5}, {}, age=2.5) == {1: 5}


def test_what_was_on_its_way_and_arrived_is_not_told() -> None:
    stages = _Stages()
    assert stages.look(0, {1: 5}, {1: 4}) == {}
    assert stages.look(2, {1: 9}, {1: 8}) == {
        1: 1
    }  # by the counts alone nobody can tell whether it is the same
    assert stages.look(4, {1: 9}, {1: 9}, age=3) == {}


def test_edge_that_is_never_quiet_is_told_up_to_the_last_look() -> None:
    stages = _Stages()
    assert stages.look(0, {1: 5}, {}) == {}
    assert stages.look(2, {1: 8}, {}) == {1: 5}
    assert stages.look(2.5, {1: 9}, {}) == {}
    assert stages.look(4, {1: 10}, {}) == {1: 3}
    assert stages.look(9, {1: 10}, {}, age=4) == {1: 2}


def test_later_stage_seen_first_evens_out() -> None:
    """Dumped after the first, it has counted what came in between; that must not hide a drop for ever."""
    stages = _Stages()
    assert stages.look(0, {1: 5}, {1: 7}, age=2) == {}
    assert stages.look(2, {1: 8}, {1: 7}, age=2) == {1: 1}


def test_what_the_first_stage_left_out_evens_out() -> None:
    stages = _Stages()
    assert stages.look(0, {}, {1: 3}, age=2) == {}
    assert stages.look(2, {1: 3}, {1: 3}, age=2) == {}


def test_nothing_is_kept_of_what_is_even() -> None:
    stages = _Stages()
    stages.look(0, dict.fromkeys(range(100), 2), dict.fromkeys(range(100), 2))
    assert len(stages.balance.left()) == 0
