"""What rules count against what they log: only what is truly missing is told, and told once."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import reconcile
from model import policyhit

HITS = [hit for name in "abc" if (hit := policyhit.parse_prefix(f"DPI0|np/shop/{name}"))]
A, B, _ = HITS


NOTHING: tuple[dict, dict, int] = ({}, {}, 0)


@pytest.mark.parametrize(
    ("intervals", "unexplained"),
    [
        pytest.param([({A: 5}, {A: 5}, 0)], [0], id="all is seen"),
        pytest.param([({A: 5}, {A: 3}, 0)], [2], id="some is missing at the end"),
        pytest.param([({A: 5}, {A: 3}, 0), NOTHING, NOTHING], [0, 2, 2], id="some is missing"),
        pytest.param([({A: 5}, {A: 3}, 2), ({}, {}, 2)], [0, 0], id="missing, and known to be lost"),
        pytest.param([({A: 5}, {A: 3}, 0), ({A: 1}, {A: 1}, 2)], [0, 0], id="known an interval later"),
        pytest.param([({A: 5}, {A: 2}, 2), ({}, {}, 2)], [0, 1], id="more is missing than known"),
        pytest.param([({A: 5}, {A: 3}, 9), ({}, {}, 9)], [0, 0], id="less is missing than known"),
        pytest.param([({A: 5}, {}, 0), NOTHING], [0, 5], id="nothing is seen"),
        pytest.param([({A: 5, B: 2}, {A: 7}, 0), NOTHING], [0, 2], id="of another rule"),
        pytest.param([({}, {A: 5}, 0), NOTHING], [0, 0], id="a rule that does not count"),
        pytest.param([({A: 3}, {A: 5}, 0), ({A: 2}, {}, 0), NOTHING], [0, 0, 0], id="seen first"),
        pytest.param([({A: 3}, {A: 5}, 0), ({A: 4}, {}, 0), NOTHING], [0, 0, 2], id="covered up for a while"),
        pytest.param([({A: 5}, {A: 3}, 0), ({A: 5}, {A: 5}, 0), NOTHING], [0, 2, 2], id="told once"),
        pytest.param([({A: 5}, {A: 3}, 0), ({A: 5}, {A: 4}, 0), NOTHING], [0, 2, 3], id="adds up"),
        pytest.param([({A: 5}, {A: 3}, 0), ({}, {A: 2}, 0), NOTHING], [0, 0, 0], id="late by an interval"),
        pytest.param([({}, {A: 3}, 0), ({A: 5}, {A: 2}, 0), NOTHING], [0, 0, 0],
                     id="logged just before its first count"),
        pytest.param([({}, {A: 3}, 0), NOTHING, ({A: 5}, {A: 3}, 0), NOTHING], [0, 0, 0, 2],
                     id="logged long before that"),
        pytest.param([({A: 5}, {A: 3}, 0), NOTHING, ({A: 2}, {A: 2}, 0)], [0, 2, 2], id="rule comes back"),
        pytest.param([({A: 5}, {A: 3}, 0), NOTHING, ({A: 1}, {A: 1}, 2)], [0, 2, 2], id="never taken back"),
    ],
)  # fmt: skip
def test_unexplained(intervals: list[tuple[dict, dict, int]], unexplained: list[int]) -> None:
    settled = reconcile.Reconciliation()
    told = []
    for place, (counted, seen, known) in enumerate(intervals, 1):
        settled.settle(counted, seen, known, last=place == len(intervals))
        told.append(settled.unexplained)
    assert told == unexplained


@dataclasses.dataclass(frozen=True)
class Logged:
    """Packets that one rule logs in one interval: before rules are read, and between that and packets."""

    before: int
    after: int
    lost: int
    known: int


@st.composite
def _intervals(draw: st.DrawFn) -> list[list[Logged]]:
    """For each interval and rule; of the lost ones some are known to be."""

    def logged() -> Logged:
        before, after = draw(st.integers(0, 50)), draw(st.integers(0, 20))
        lost = draw(st.integers(0, before + after))
        return Logged(before, after, lost, draw(st.integers(0, lost)))

    return [[logged() for _ in HITS] for _ in range(draw(st.integers(1, 6)))]


@given(_intervals(), st.booleans())
def test_once_all_is_settled_unexplained_is_what_was_lost_beyond_what_is_known(
    intervals: list[list[Logged]], late: bool
) -> None:
    """Whether losses are known at once, or by the packets of the next interval."""
    settled = reconcile.Reconciliation()
    waiting = [0] * len(HITS)
    known = told = lost = 0
    for rows in intervals:
        counted = {hit: wait + one.before for hit, wait, one in zip(HITS, waiting, rows, strict=True)}
        seen = {hit: one.before + one.after - one.lost for hit, one in zip(HITS, rows, strict=True)}
        told, known = known, known + sum(one.known for one in rows)
        lost += sum(one.lost for one in rows)
        waiting = [one.after for one in rows]
        before = settled.unexplained
        settled.settle(counted, seen, told if late else known)
        assert before <= settled.unexplained <= lost - known
    settled.settle(dict(zip(HITS, waiting, strict=True)), {}, known, last=True)
    assert settled.unexplained == lost - known
