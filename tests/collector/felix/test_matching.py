"""The join: which rules connections and attempts get of what Felix tells, and why others get none."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from spoken import CART, DENIED, EGRESS, INGRESS, PUBLIC, ROW, SECOND, WEB, batch, flows

from collector.felix import matching, windows
from collector.goldmane import flows as goldmane
from model import enums

REFUSED = dataclasses.replace(EGRESS, action=enums.Action.DENY)
BOTH = [EGRESS, INGRESS]
PROBED = {"verdict": "denied", "attribution": "probe", "drop_reason": "policy"}
NODE = {"src_kind": "node", "src_namespace": "", "src_pod": "", "src_workload": "n1"}
ABROAD = {
    "dst_kind": "public",
    "dst_namespace": "",
    "dst_pod": "",
    "dst_address": "192.0.2.1",
    "reporter": "src",
}
TO_PUBLIC = dataclasses.replace(EGRESS, dst=PUBLIC)
TWO = dataclasses.replace(EGRESS, enforced=EGRESS.enforced * 2)


def _asked(keys: list[goldmane.Key], row: dict[str, Any]) -> matching.Asked:
    known = windows.Windows()
    for key in keys:
        known.add(flows(1, 0, 15), [key])
    return matching.Asked(batch(row), known, known.index())


@pytest.mark.parametrize(
    ("keys", "row", "expected"),
    [
        pytest.param(BOTH, {}, (0, 1), id="both ends here"),
        pytest.param(BOTH, {"reporter": "src"}, (0, None), id="the source here"),
        pytest.param(BOTH, {"reporter": "dst"}, (None, 1), id="the destination here"),
        pytest.param(BOTH, {"verdict": "unknown", "reporter": "src"}, (0, None), id="not answered"),
        pytest.param([EGRESS], {}, (0, "not told"), id="one side"),
        pytest.param([DENIED], {"reporter": "dst"}, (None, "not told"), id="others were denied"),
        pytest.param([TO_PUBLIC], ABROAD, (0, None), id="to the world"),
        pytest.param([TO_PUBLIC], ABROAD | {"dst_kind": "network_set", "dst_workload": "banks"}, (0, None),
                     id="to a network set that Felix does not know"),
        pytest.param([dataclasses.replace(INGRESS, src=PUBLIC)],
                     {"reporter": "dst", "src_kind": "node", "src_address": "192.0.2.7"}, (None, 0),
                     id="from a node that has no host endpoint"),
        pytest.param([EGRESS, TWO], {"reporter": "src"}, ("several", None), id="several ways"),
    ],
)  # fmt: skip
def test_connection_has_what_is_told_of_its_ends(
    keys: list[goldmane.Key], row: dict[str, Any], expected: tuple[object, object]
) -> None:
    matched = _asked(keys, row).allowed()
    assert (_said(matched.egress[0]), _said(matched.ingress[0])) == expected
    assert matched.is_whole.tolist() == [not {"not told", "several"} & {str(one) for one in expected}]


def _said(number: int) -> object:
    if number >= 0:
        return int(number)
    return {matching.NOT_ASKED: None, windows.NOT_TOLD: "not told"}.get(int(number), "several")


@pytest.mark.parametrize(
    ("keys", "row", "expected"),
    [
        pytest.param([EGRESS, DENIED], {}, (0, 1), id="let out and not let in"),
        pytest.param([REFUSED], {}, (0, None), id="not let out"),
        pytest.param([REFUSED], {"reporter": "src"}, (0, None), id="not let out, the destination elsewhere"),
        pytest.param([DENIED], {"reporter": "dst"}, (None, 0), id="not let in, the source elsewhere"),
        pytest.param(
            BOTH, {}, ("not told", "not told"), id="policies let it through: something else dropped it"
        ),
        pytest.param([DENIED], {}, ("not told", 0), id="nothing told of the source's side"),
    ],
)
def test_attempt_has_what_denied_it(
    keys: list[goldmane.Key], row: dict[str, Any], expected: tuple[object, object]
) -> None:
    matched = _asked(keys, PROBED | row).denied()
    assert (_said(matched.egress[0]), _said(matched.ingress[0])) == expected


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"reporter": "none"}, id="passes through"),
        pytest.param({"attribution": "nflog"}, id="its rule has logged it"),
        pytest.param(NODE | {"reporter": "both", "node_traffic": "own"}, id="from a node to its own pod"),
        pytest.param(PROBED | {"drop_reason": "routing"}, id="dropped by routing"),
        pytest.param(NODE | {"reporter": "src"}, id="from a node"),
    ],
)
def test_of_what_no_policy_sees_nobody_is_asked(row: dict[str, Any]) -> None:
    asked = _asked(BOTH, row)
    assert (len(asked.connections), len(asked.attempts)) == (0, 0)


OLD = {"started": -50 * SECOND}
CASES = {
    "both": (BOTH, {}, None),
    "continued": ([], {"connections_started": 0}, None),
    "several": ([EGRESS, TWO, INGRESS], {}, matching.Miss.SEVERAL),
    "ambiguous": (BOTH, {"src_kind": "ambiguous"}, matching.Miss.AMBIGUOUS),
    "older": ([], OLD, matching.Miss.OLDER),
    "silent": ([], {"started": 20 * SECOND, "time": 30 * SECOND}, matching.Miss.SILENT),
    "one side": ([EGRESS], {}, matching.Miss.ONE_SIDE),
    "stranger": (BOTH, {"src_pod": "who-12345"}, matching.Miss.STRANGER),
    "not told": (BOTH, {"dst_port": 81}, matching.Miss.NOT_TOLD),
}


@pytest.mark.parametrize(("keys", "row", "why"), CASES.values(), ids=CASES)
def test_miss_has_its_reason(
    keys: list[goldmane.Key], row: dict[str, Any], why: matching.Miss | None
) -> None:
    named = batch(row)
    matched = _asked(keys, row).allowed()
    found = matching.misses(matched, named, since=1 * SECOND, until=15 * SECOND)
    assert found == ({why: 1} if why else {})


def test_felix_that_was_never_heard_is_a_reason() -> None:
    matched = _asked([], {}).allowed()
    assert matching.misses(matched, batch({}), since=0, until=0) == {matching.Miss.OLDER: 1}


def test_what_is_told_of_a_connection_stands_for_nothing_else() -> None:
    known = windows.Windows()
    known.add(flows(3, 0, 15), [EGRESS, INGRESS, DENIED])
    matching.Asked(batch({}), known, known.index()).allowed()
    assert [window.explained.tolist() for window in known.forget(99 * SECOND)] == [[True, True, False]]


def test_no_flows_are_no_matter() -> None:
    known = windows.Windows()
    asked = matching.Asked(batch(ROW).slice(0, 0), known, known.index())
    assert len(asked.allowed().rows) == len(asked.denied().rows) == 0
    assert known.ends.number(WEB) != known.ends.number(CART)
