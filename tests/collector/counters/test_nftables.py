"""What nft prints."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from collector.counters import nftables, rules

MARK = {"meta": {"key": "mark"}}
COUNTER = {"counter": {"packets": 3, "bytes": 400}}


LOG = {"log": {"prefix": "a", "group": 3}}


def _xt(kind: str, name: str) -> dict[str, Any]:
    return {"xt": {"type": kind, "name": name}}


def _text(*expressions: Any, family: str = "ip", **fields: Any) -> str:
    rule = {"family": family, "table": "t", "chain": "c", "handle": 9, "expr": [*expressions], **fields}
    chain = {"family": family, "table": "t", "name": "c", "handle": 1, "hook": "input", "type": "filter"}
    table = {"table": {"family": family, "name": "t", "handle": 7}}
    return json.dumps({"nftables": [{"metainfo": {}}, table, {"chain": chain}, {"rule": rule}]})


def _marks(value: Any) -> dict[str, Any]:
    return {"mangle": {"key": MARK, "value": value}}


def _test(mask: int, value: int, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": {"&": [MARK, mask]}, "right": value}}


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        pytest.param([COUNTER, {"drop": None}], {"action": "drop", "counter": 0, "matches": ""}, id="drop"),
        pytest.param([{"accept": None}], {"action": "accept", "counter": rules.NO_COUNTER}, id="no counter"),
        pytest.param([{"counter": "mine"}], {"counter": rules.NO_COUNTER}, id="named counter"),
        pytest.param([{"reject": {"type": "tcp reset"}}], {"action": "reject"}, id="reject"),
        pytest.param([{"jump": {"target": "x"}}], {"action": "jump", "target": "x"}, id="jump"),
        pytest.param([{"goto": {"target": "x"}}], {"action": "goto", "target": "x"}, id="goto"),
        pytest.param([{"continue": None}], {"action": "", "matches": ""}, id="continue"),
        pytest.param([LOG], {"prefix": "a", "group": 3, "action": ""}, id="log"),
        pytest.param([{"log": {"group": 0}}], {"prefix": "", "group": 0}, id="log without prefix"),
        pytest.param([{"log": None}], {"action": "log", "group": rules.NO_GROUP}, id="kernel log"),
        pytest.param([{"log": None}, {"drop": None}], {"action": "drop"}, id="kernel log, and drop"),
        pytest.param([LOG, {"drop": None}], {"action": "drop", "group": 3}, id="log and drop"),
        pytest.param([_xt("target", "REJECT")], {"action": "reject"}, id="foreign target"),
        pytest.param([_xt("match", "comment")], {"matches": ""}, id="foreign comment"),
        pytest.param([{"limit": {"rate": 1}}], {"limited": True, "matches": ""}, id="limit"),
        pytest.param([_test(1, 1)], {"test": rules.MarkTest(1, 1), "required": 1}, id="mark is set"),
        pytest.param([_test(3, 0)], {"test": rules.MarkTest(3, 0), "required": 0}, id="mark is clear"),
        pytest.param([_test(3, 0, "!=")], {"test": rules.MarkTest(3, 0, True)}, id="mark is not clear"),
        pytest.param(
            [{"match": {"op": "==", "left": MARK, "right": 5}}],
            {"test": rules.MarkTest(0xFFFFFFFF, 5)}, id="whole mark is tested",
        ),
        pytest.param(
            [{"match": {"op": "in", "left": MARK, "right": {"set": [1]}}}], {"test": None}, id="mark in a set"
        ),
        pytest.param([_marks({"|": [MARK, 0x10000]})], {"sets": 0x10000, "clears": 0}, id="set mark"),
        pytest.param([_marks({"&": [MARK, 0xFFFCFFFF]})], {"sets": 0, "clears": 0x30000}, id="clear mark"),
        pytest.param(
            [_marks({"^": [{"&": [MARK, 0xFFFFFFFC]}, 1]})], {"sets": 1, "clears": 2}, id="clear and set mark"
        ),
        pytest.param([_marks({"^": [MARK, 1]})], {"sets": 0, "clears": 0}, id="turn a bit over"),
        pytest.param([_marks(0xFF)], {"sets": 0xFF, "clears": 0xFFFFFF00}, id="whole mark"),
        pytest.param(
            [{"mangle": {"key": {"ct": {"key": "mark"}}, "value": 1}}],
            {"sets": 0, "matches": ""}, id="another mark",
        ),
    ],
)  # fmt: skip
def test_rule_is_read(expressions: list[Any], expected: dict[str, object]) -> None:
    ruleset, _ = nftables.read(_text(*expressions))
    (rule,) = ruleset.rules
    assert {name: getattr(rule, name) for name in expected} == expected


def test_rule_has_its_place_and_counter() -> None:
    ruleset, numbers = nftables.read(
        _text(COUNTER, comment="cali:uTrF-vr4gfEAQt-1; Start of tier x", family="ip6")
    )
    (rule,) = ruleset.rules
    assert (rule.family, rule.identity, rule.comments) == (6, "7.9", ("Start of tier x",))
    assert (numbers.packets.tolist(), numbers.bytes.tolist()) == ([3], [400])
    assert ruleset.hooks == {("t", "c"): "input"}


def test_counter_in_a_comment_is_none() -> None:
    comment = '{"counter": {"packets": 1, "bytes": 2}} {"counter": "here"}'
    ruleset, numbers = nftables.read(_text({"drop": None}, COUNTER, comment=comment))
    assert (len(numbers.packets), ruleset.rules[0].counter) == (1, 0)
    assert ruleset.rules[0].comments == (comment,)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param({"expr": 5}, id="no list"),
        pytest.param({"expr": [{"jump": {}}]}, id="no target"),
        pytest.param({"expr": [{"a": 1, "b": 2}]}, id="two expressions in one"),
        pytest.param({"expr": [_marks({"?": [MARK, 1]})]}, id="unknown operator"),
        pytest.param({"table": "other"}, id="no such table"),
    ],
)
def test_bad_rule_costs_only_itself(rule: dict[str, Any]) -> None:
    listed = json.loads(_text(COUNTER, {"drop": None}))
    listed["nftables"].append({"rule": listed["nftables"][-1]["rule"] | rule})
    ruleset, _ = nftables.read(json.dumps(listed))
    assert ruleset.unreadable == 1
    assert [r.action for r in ruleset.rules] == ["drop"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"), pytest.param('{"nftables": [', id="cut"),
        pytest.param("[]", id="a list"),
        pytest.param('{"nftables": 5}', id="no list"), pytest.param('{"nftables": [5]}', id="no entries"),
        pytest.param('{"nftables": [{"rule": 5}, {"table": {}}]}', id="no handles"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        nftables.read(text)


@hypothesis.given(
    strategies.recursive(
        strategies.none() | strategies.integers() | strategies.text(),
        lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    )
)
def test_any_rule_is_read_or_counted(value: Any) -> None:
    for text in (_text(value), _text({"match": value}), _text(_marks(value)), _text(comment=value)):
        ruleset, _ = nftables.read(text)
        assert len(ruleset.rules) + ruleset.unreadable == 1


def test_capture_is_attributed_as_recorded(
    captures: pathlib.Path, plain: Callable[..., dict[str, Any]]
) -> None:
    found = sorted(captures.glob("*.nft-*.txt"))
    assert found
    for path in found:
        assert plain(*nftables.read(path.read_text())) == json.loads(path.with_suffix(".json").read_text())
