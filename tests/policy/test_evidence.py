"""What rules rest on, how far that carries, and what a record cannot have shown."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import observed
from observed import DAY, HOUR, START, edge, pod

from policy import drafting, evidence, record, stable

PODS = [pod("web", pods=3), pod("db", pods=2), pod("cart", labels={"v": "1"}, pods=4),
        pod("cart", labels={"v": "2"}, pods=5)]  # fmt: skip
HIGH, MEDIUM, LOW = evidence.Confidence.HIGH, evidence.Confidence.MEDIUM, evidence.Confidence.LOW
GROUP = stable.groups(PODS)[0]


def _evidence(
    *edges: observed.Edge, peer: drafting.Peer | None = None, ingress: bool = True
) -> evidence.Evidence:
    seen = observed.seen(PODS, edges)
    part = drafting.Part(peer or drafting.Peer(group=GROUP), tuple(range(len(edges))))
    return evidence.evidence(seen, part, seen.src if ingress else seen.dst)


def test_edges_are_put_together() -> None:
    found = _evidence(
        edge("web", "db", connections=5, hours=(1, 2)),
        edge("web", "db", 81, connections=7, hours=(2, 30), attribution="probe"),
    )
    assert (found.connections, found.hours, found.days) == (12, 3, 2)
    assert (found.first, found.last) == (START + HOUR, START + 31 * HOUR)
    assert found.attribution == (("probe", 7), ("nflog", 5))


@pytest.mark.parametrize(
    ("edges", "ingress", "pods"),
    [
        pytest.param([edge("web", "db"), edge("web", "db", 81)], True, 3, id="each once"),
        pytest.param([edge("web", "db")], False, 2, id="of the other end"),
        pytest.param([edge(2, "db"), edge(3, "db")], True, 9, id="of all versions"),
        pytest.param([edge("203.0.113.9", "db")], True, 0, id="addresses are none"),
    ],
)
def test_pods_at_the_end_of_the_peer(edges: list[observed.Edge], ingress: bool, pods: int) -> None:
    assert _evidence(*edges, ingress=ingress).pods == pods


@pytest.mark.parametrize(
    ("connections", "hours", "confidence", "because"),
    [
        pytest.param(10, (0, 24, 48), HIGH, "it came again on 3 days", id="days"),
        pytest.param(9, (0, 24, 48), LOW, "9 connections in 3 hours do not show a habit", id="few"),
        pytest.param(10, (0, 1, 25), MEDIUM, "it came again in 3 hours", id="hours"),
        pytest.param(9, (0, 1, 25), LOW, "9 connections in 3 hours do not show a habit", id="too few"),
        pytest.param(1000, (0, 1), LOW, "1,000 connections in 2 hours do not show a habit", id="two hours"),
        pytest.param(1000, (5,), LOW, "1,000 connections in 1 hour do not show a habit", id="one hour"),
        pytest.param(1, (5,), LOW, "it was seen once", id="once"),
        pytest.param(0, (0, 1, 2), MEDIUM, "it began before the record does, and was there in 3 hours",
                     id="one that lasts"),
        pytest.param(0, (0, 1), LOW, "it began before the record does, and was there in 2 hours",
                     id="one that soon ended"),
    ],
)  # fmt: skip
def test_confidence(connections: int, hours: tuple[int, ...], confidence: str, because: str) -> None:
    found = _evidence(edge("web", "db", connections=connections, hours=hours))
    assert (found.confidence, found.because) == (confidence, because)


@pytest.mark.parametrize("peer", [drafting.Peer(note="wide"), drafting.Peer(group=GROUP, note="wide")],
                         ids=["addresses", "pods"])  # fmt: skip
def test_whatever_goes_beyond_what_was_seen_is_of_low_confidence(peer: drafting.Peer) -> None:
    found = _evidence(edge("web", "db", connections=1000), peer=peer)
    assert (found.confidence, found.because) == (LOW, "wide")


def test_days_and_hours_are_those_of_the_part() -> None:
    seen = observed.seen(PODS, [edge("web", "db", hours=(0, 1)), edge("cart", "db", hours=tuple(range(100)))])
    found = evidence.evidence(seen, drafting.Part(drafting.Peer(group=GROUP), (0,)), seen.src)
    assert (found.hours, found.days) == (2, 1)


def _schedule(**more: Any) -> evidence.Schedule:
    given = {"text": "0 3 * * 0", "longest": 7 * DAY, "runs": 2, **more}
    return evidence.Schedule(workload=record.Workload("shop", "CronJob", "report"), **given)


NEVER = "did not run: what it needs is not among the rules"
WAITS = "waits longer between two runs than the record is long"


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        pytest.param(_schedule(), [], id="ran twice"),
        pytest.param(_schedule(runs=0), [NEVER], id="never ran"),
        pytest.param(_schedule(runs=1), ["ran once: what it does in other runs is not known"], id="ran once"),
        pytest.param(_schedule(longest=15 * DAY, runs=0), [NEVER],
                     id="waits longer, never ran"),
        pytest.param(_schedule(longest=15 * DAY, runs=1), [f"{WAITS}: it ran once"], id="waits and ran"),
        pytest.param(_schedule(longest=15 * DAY, runs=3), [f"{WAITS}: it ran 3 times"], id="waits longer"),
        pytest.param(_schedule(longest=14 * DAY), [], id="waits as long"),
        pytest.param(_schedule(longest=0), [], id="nobody knows how long it waits"),
    ],
)  # fmt: skip
def test_runs_that_were_not_seen(schedule: evidence.Schedule, said: list[str]) -> None:
    assert evidence.unseen([schedule], 14 * DAY) == [
        f"CronJob shop/report (0 3 * * 0) {one}." for one in said
    ]


def test_each_schedule_is_told_by_its_name() -> None:
    found = evidence.unseen([_schedule(runs=0, text=""), _schedule(), _schedule(runs=1)], 14 * DAY)
    assert [one.split(":")[0] for one in found] == [
        "CronJob shop/report did not run", "CronJob shop/report (0 3 * * 0) ran once"
    ]  # fmt: skip
