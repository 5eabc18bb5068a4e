"""Reports wait for Felix's word, connections get it, and what nobody else has seen is recorded by itself."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import time
from typing import Any

import pyarrow as pa
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "collector" / "felix"))
from spoken import CART, DENIED, EGRESS, INGRESS, NO, OUT, PUBLIC, SECOND, WEB, batch, flows, hit

from cli import felix
from collector import collector, completeness
from collector.goldmane import flows as goldmane
from model import columns

BOTH = [EGRESS, INGRESS]
TRACE = f"{OUT.render()} ingress|default|np:shop/cart|allow|0"
STAGED = hit("ingress|default|snp:shop/cart|deny|0")
TWO = dataclasses.replace(EGRESS, enforced=(OUT, OUT), pending=(OUT, OUT))
FROM_SRC = {"reporter": "src"}


class Node:
    """A node's reports, ten seconds each, and what its Felix tells meanwhile."""

    def __init__(self) -> None:
        self.felix = felix.Felix("n1")
        self.start = time.time_ns() // SECOND - 1_000

    def row(self, began: float, **more: Any) -> dict[str, Any]:
        """A connection that began at a second, and has ended."""
        return {"started": int((self.start + began) * SECOND), "connections_ended": 1, **more}

    def window(
        self, began: int, ended: int, keys: list[goldmane.Key], **more: int
    ) -> tuple[goldmane.Flows, list[goldmane.Key]]:
        return flows(len(keys), self.start + began, self.start + ended, **more), keys

    def report(
        self, at: int, *rows: dict[str, Any], told: tuple[Any, Any] = ((), ()), connected: bool = True,
        last: bool = False,
    ) -> list[collector.Report]:  # fmt: skip
        """What need not wait any longer once a report of this second has come."""
        until = (self.start + at) * SECOND
        named = batch(*({**row, "time": until} for row in rows)) if rows else batch({}).slice(0, 0)
        heard = told[0] if len(told[0]) else flows(0, 0, 0)
        seen = completeness.Completeness(time=until, node="n1", source="felix", observed=len(heard))
        report = collector.Report(
            node="n1", time=until, flows=named, completeness=(seen,), last=last,
            told=collector.Told(flows=heard, keys=list(told[1]), connected=connected),
        )  # fmt: skip
        return list(self.felix.hold(report, until + 2 * SECOND))

    def told(self, *reports: collector.Report) -> list[dict[str, Any]]:
        """The rows of reports, with what Felix says."""
        done = (self.felix.settle(self.felix.tell(one.flows)) for one in reports)
        return [row for one in done for row in one.to_pylist()]


@pytest.fixture
def node() -> Node:
    return Node()


def test_report_waits_until_felix_has_told_of_its_time(node: Node) -> None:
    assert node.report(10, node.row(3)) == []
    assert (
        node.report(20, told=node.window(0, 15, BOTH)) == []
    )  # a connection of second 9 may come with the next
    ready = node.report(30, told=node.window(15, 30, []))
    assert ready == []
    ready = node.report(40, told=node.window(15, 30, BOTH))
    assert [report.time // SECOND - node.start for report in ready] == [10, 20]
    (row,) = node.told(*ready)
    assert (row["policy_trace"], row["attribution"], row["verdict"]) == (TRACE, "felix", "allowed")
    assert (row["egress_action"], row["ingress_action"]) == ("allow", "allow")
    assert row["deciding_rule"] == INGRESS.enforced[0].render()


def test_nobody_waits_for_a_felix_that_is_not_there(node: Node) -> None:
    node.felix._heard = node.start * SECOND
    assert node.report(10, node.row(3), connected=False) == []  # it looks for us every ten seconds
    assert len(node.report(50, node.row(44), connected=False)) == 2
    assert len(node.report(60, connected=False)) == 1


def test_nobody_waits_for_a_felix_that_tells_nothing(node: Node) -> None:
    assert node.report(10, node.row(3)) == []
    assert node.report(40) == []
    assert [report.time // SECOND - node.start for report in node.report(50)] == [10]


def test_last_report_takes_all_with_it(node: Node) -> None:
    assert node.report(10, node.row(3)) == []
    assert len(node.report(12, last=True)) == 2


def test_so_much_waits_and_no_more(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(felix, "_MOST_ROWS", 3)
    assert node.report(10, *[node.row(3)] * 2) == []
    assert [len(one.flows) for one in node.report(20, *[node.row(13)] * 2)] == [2]


def test_report_that_is_not_taken_waits_for_the_next_time(node: Node) -> None:
    """As when the ledger fails while those before it are recorded."""
    node.report(10, node.row(3))
    waiting = node.report(12, last=True)
    assert len(waiting) == 2
    other = Node()
    other.report(10, other.row(3))
    held = other.felix.hold(dataclasses.replace(waiting[1], last=True), (other.start + 20) * SECOND)
    next(held)
    held.close()
    assert len(other.report(30, last=True)) == 2


def test_connection_that_goes_on_keeps_what_was_told_of_it(node: Node) -> None:
    """Felix tells of it no more when nothing is to be told, and begins anew without its rules."""
    lives = node.row(3, connections_ended=0)
    node.report(10, lives)
    node.told(*node.report(20, told=node.window(0, 25, BOTH)))
    later = node.report(600, lives | {"connections_started": 0}, last=True)
    assert {row["policy_trace"] for row in node.told(*later)} == {TRACE}


def test_denied_attempt_has_rules_and_addresses(node: Node) -> None:
    probed = {"verdict": "unknown", "attribution": "probe", "drop_reason": "unknown", "forward_packets": 3}
    node.report(10, node.row(3, **probed))
    (row,) = node.told(*node.report(30, told=node.window(0, 25, [EGRESS, DENIED])))[:1]
    assert (row["verdict"], row["attribution"]) == ("denied", "felix")
    assert row["policy_trace"] == f"{OUT.render()} {NO.render()}"
    assert row["forward_packets"] == 3


def test_staged_policies_word_is_kept_where_it_differs(node: Node) -> None:
    staged = dataclasses.replace(INGRESS, pending=(STAGED,))
    node.report(10, node.row(3))
    (row,) = node.told(*node.report(30, told=node.window(0, 25, [EGRESS, staged])))[:1]
    assert (row["verdict"], row["pending_verdict"]) == ("allowed", "denied")
    assert row["pending_trace"] == f"{OUT.render()} {STAGED.render()}"


@pytest.mark.parametrize(
    ("said", "attribution"), [(f"{OUT.render()} {OUT.render()}", "felix"), ("other", "evaluated")]
)
def test_of_several_ways_it_is_the_policies(node: Node, said: str, attribution: str) -> None:
    node.report(10, node.row(3, **FROM_SRC))
    ready = node.report(30, told=node.window(0, 25, [EGRESS, TWO]))
    (named,) = (node.felix.tell(one.flows) for one in ready[:1])
    judged = _with(_with(named, "policy_trace", said), "attribution", "evaluated")
    (row,) = node.felix.settle(judged).to_pylist()
    assert (row["attribution"], row["policy_trace"]) == (attribution, said)
    traced = int(attribution == "felix")
    assert node.felix.results() == {"traced": traced} | ({} if traced else {"several": 1})


def _with(batch_: pa.RecordBatch, name: str, value: str) -> pa.RecordBatch:
    rows = pa.array(range(len(batch_)), pa.int64()).to_numpy()
    return columns.filled(batch_, name, rows, [value], rows * 0)


def test_misses_are_noted_with_their_reason(node: Node) -> None:
    node.report(10, node.row(3), node.row(3, src_pod="who-12345"))
    (ready, *_) = node.report(30, told=node.window(0, 25, BOTH))
    node.told(ready)
    assert node.felix.results() == {"traced": 1, "stranger": 1}
    (row,) = node.felix.noted(ready).completeness
    assert row.note == "1 new connections without a trace: Felix has another name for an end, or none"


def _left(node: Node) -> list[dict[str, Any]]:
    found = node.felix.left()
    return [] if found is None else found.to_pylist()


def test_what_nobody_else_has_seen_is_recorded_by_itself_once(node: Node) -> None:
    node.report(-1)
    volume = {"forward_packets": 5, "forward_bytes": 500}
    seen = dataclasses.replace(EGRESS, src=CART, dst=PUBLIC)
    node.report(10, node.row(3))
    node.told(*node.report(30, told=node.window(0, 25, [EGRESS, INGRESS, DENIED, seen], **volume)))
    assert _left(node) == []
    node.told(*node.report(300, last=True))
    rows = {row["verdict"]: row for row in _left(node)}
    assert rows.keys() == {"denied", "allowed"}
    denied, allowed = rows["denied"], rows["allowed"]
    assert (denied["src_address"], denied["attribution"]) == (bytes(16), "felix")
    assert (denied["node"], denied["origin"], denied["reporter"]) == ("n1", "", "dst")
    assert (denied["src_workload"], denied["dst_workload"], denied["dst_node"]) == (
        "web-6d9f5c",
        "cart",
        "n1",
    )
    assert (allowed["src_workload"], allowed["dst_kind"], allowed["forward_packets"]) == ("cart", "public", 0)
    assert (denied["forward_packets"], denied["connections_started"], allowed["connections_started"]) == (
        5,
        1,
        0,
    )
    assert _left(node) == []


def test_end_of_a_connection_is_nothing_new(node: Node) -> None:
    """Felix says that a flow has ended when nothing was seen of it for a while, in a window of its own."""
    node.report(10, node.row(3))
    node.told(*node.report(30, told=node.window(0, 25, BOTH)))
    node.told(*node.report(60, told=node.window(30, 45, BOTH, connections_started=0)))
    node.told(*node.report(90, last=True))
    assert _left(node) == []
    assert WEB != CART


def _all_left(node: Node, told_at: int, told: tuple[Any, Any], **more: Any) -> int:
    """How many rows are left of what Felix tells at a second, by reports as they come and go."""
    left = 0
    for at in range(0, 700, 10):
        rows = [node.row(3, **more)] if at == 10 else []
        node.told(*node.report(at, *rows, told=told if at == told_at else ((), ()), last=at == 690))
        left += len(_left(node))
    return left


@pytest.mark.parametrize(
    ("began", "ended", "more"),
    [
        pytest.param(1, 300, {}, id="told when its report was gone: who its ends are was not known then"),
        pytest.param(1, 16, {}, id="told again after a reconnect, when its report was long gone"),
        pytest.param(1, 16, {"attribution": "nflog"}, id="another rule has logged it"),
        pytest.param(-9, 5, {"dst_port": 1}, id="who was here before us may have recorded it"),
    ],
)
def test_nothing_is_recorded_twice(node: Node, began: int, ended: int, more: dict[str, Any]) -> None:
    assert _all_left(node, 310, node.window(began, ended, BOTH), **more) == 0
    assert _all_left(Node(), 310, Node().window(1, 300, BOTH), dst_port=1) == 2


def test_of_several_ways_one_has_the_numbers(node: Node) -> None:
    """Felix tells all numbers with each."""
    other = dataclasses.replace(EGRESS, enforced=(OUT, OUT))
    assert _all_left(node, 30, node.window(1, 25, [EGRESS, other, INGRESS])) == 0
    assert _all_left(Node(), 30, node.window(1, 25, [EGRESS, other, INGRESS]), dst_port=1) == 2


def test_connection_keeps_its_rules_when_others_are_let_in_by_new_ones(node: Node) -> None:
    lives = node.row(3, connections_ended=0)
    new = dataclasses.replace(INGRESS, enforced=(hit("ingress|default|np:shop/new|allow|0"),))
    node.report(10, lives)
    node.told(*node.report(30, told=node.window(0, 25, BOTH)))
    for at in range(200, 230, 10):
        node.told(*node.report(at))
        node.felix.left()
    later = node.report(250, lives | {"connections_started": 0}, told=node.window(230, 245, [EGRESS, new]))
    later += node.report(260, node.row(235, src_port=2), last=True)
    rows = {row["src_port"]: row["deciding_rule"] for row in node.told(*later)}
    assert rows == {40_000: INGRESS.enforced[0].render(), 2: new.enforced[0].render()}


def test_reports_follow_soon_after_a_quiet_hour(node: Node) -> None:
    node.report(10, told=node.window(0, 10, BOTH))
    node.report(3620, told=node.window(3600, 3615, BOTH))
    assert node.report(3630) == []
    assert len(node.report(3680)) > 0
