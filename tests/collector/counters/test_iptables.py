"""What iptables-save prints, without and with a kernel behind it."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from collector.counters import iptables, rules

CAPTURES = sorted((pathlib.Path(__file__).parents[2] / "captures" / "counters").glob("*-save*.txt"))
HASH = "cali:uTrF-vr4gfEAQt-1"
HEAD, TAIL = "# Generated\n*filter\n:FORWARD ACCEPT [5:6]\n:mine - [0:0]\n", "COMMIT\n# Completed\n"


def _one(line: str) -> rules.Rule:
    ruleset, _ = iptables.read(f"{HEAD}[3:400] {line}\n{TAIL}", 4)
    assert ruleset.unreadable == 0
    (rule,) = ruleset.rules
    return rule


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("-A mine -j DROP", {"action": "drop"}, id="drop"),
        pytest.param("-A mine -j REJECT --reject-with tcp-reset", {"action": "reject"}, id="reject"),
        pytest.param("-A FORWARD -j mine", {"action": "jump", "target": "mine"}, id="jump"),
        pytest.param("-A FORWARD -g mine", {"action": "goto", "target": "mine"}, id="goto"),
        pytest.param("-A mine -j TEE --gateway 10.0.0.1", {"action": ""}, id="extension that goes on"),
        pytest.param("-A mine -p tcp", {"action": "", "matches": "-p tcp"}, id="no target"),
        pytest.param(
            '-A mine -j NFLOG --nflog-prefix "DPI|default" --nflog-group 1 --nflog-size 80',
            {"action": "", "prefix": "DPI|default", "group": 1}, id="NFLOG",
        ),
        pytest.param("-A mine -j NFLOG --nflog-prefix DRI", {"prefix": "DRI", "group": 0}, id="group 0"),
        pytest.param('-A mine -j LOG --log-prefix "a b"', {"action": "log"}, id="kernel log"),
        pytest.param(
            f'-A mine -m comment --comment "{HASH}" -m comment --comment "a \\"b\\" \\\\c" -j ACCEPT',
            {"identity": HASH, "comments": ('a "b" \\c',), "action": "accept"}, id="comments",
        ),
        pytest.param(
            "-A mine -m mark --mark 0x10000/0x10000 -j RETURN",
            {"test": rules.MarkTest(0x10000, 0x10000), "required": 0x10000, "matches": ""}, id="mark test",
        ),
        pytest.param(
            "-A mine -m mark ! --mark 0x0/0x30000 -m mark --mark 0x5 -j RETURN",
            {"test": rules.MarkTest(0x30000, 0, True), "required": 0}, id="two mark tests",
        ),
        pytest.param(
            "-A mine -m connmark --mark 0x1/0x1 -j ACCEPT",
            {"test": None, "matches": "connmark --mark 0x1/0x1"}, id="another mark",
        ),
        pytest.param(
            "-A mine -j MARK --set-xmark 0x10000/0x10000", {"sets": 0x10000, "clears": 0}, id="set mark"
        ),
        pytest.param(
            "-A mine -j MARK --set-xmark 0x0/0x30000", {"sets": 0, "clears": 0x30000}, id="clear mark"
        ),
        pytest.param(
            "-A mine -j MARK --set-mark 0x20000/0x0", {"sets": 0x20000, "clears": 0}, id="add to mark"
        ),
        pytest.param(
            "-A mine -j MARK --set-xmark 0xff", {"sets": 0xFF, "clears": 0xFFFFFF00}, id="whole mark"
        ),
        pytest.param(
            "-A mine -p udp -m limit --limit 10/min --limit-burst 10 -j DROP",
            {"limited": True, "matches": "-p udp"}, id="limit",
        ),
        pytest.param(
            "-A mine ! -s 10.0.0.0/8 -m set ! --match-set cali40s:x src -j DROP",
            {"matches": "! -s 10.0.0.0/8 set ! --match-set cali40s:x src"}, id="negated matches",
        ),
    ],
)  # fmt: skip
def test_line_is_read(line: str, expected: dict[str, object]) -> None:
    rule = _one(line)
    assert {name: getattr(rule, name) for name in expected} == expected


def test_rule_has_its_place_and_counter() -> None:
    text = f"{HEAD}[1:2] -A mine -j DROP\n-A mine -j LOG\n[18446744073709551615:4] -A mine -j DROP\n{TAIL}"
    ruleset, numbers = iptables.read(text, 6)
    assert [(r.position, r.counter, r.identity) for r in ruleset.rules] == [
        (0, 0, "-A mine -j DROP"), (1, rules.NO_COUNTER, "-A mine -j LOG"), (2, 1, "-A mine -j DROP (2)"),
    ]  # fmt: skip
    assert {(r.family, r.table) for r in ruleset.rules} == {(6, "filter")}
    assert numbers.packets.tolist() == [1, 2**64 - 1]
    assert numbers.bytes.tolist() == [2, 4]
    assert ruleset.hooks == {("filter", "FORWARD"): "forward"}


def test_shape_has_no_counters_and_no_dates() -> None:
    first = iptables.split(f"{HEAD}[1:2] -A mine -j DROP\n{TAIL}")
    second = iptables.split(
        f"{HEAD}[3:4] -A mine -j DROP\n{TAIL}".replace("5:6", "7:8").replace("Gen", "gen")
    )
    assert first.shape == second.shape
    assert first.shape != iptables.split(f"{HEAD}[1:2] -A mine -j ACCEPT\n{TAIL}").shape


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("-A mine -m mark --mark zero -j DROP", id="no number"),
        pytest.param("-A mine -m mark --mark", id="ends too early"),
        pytest.param("-A", id="no chain"),
        pytest.param("mine -j DROP", id="no rule"),
    ],
)
def test_bad_line_costs_only_itself(line: str) -> None:
    ruleset, numbers = iptables.read(f"{HEAD}[1:2] {line}\n[3:4] -A mine -j DROP\n{TAIL}", 4)
    assert ruleset.unreadable == 1
    assert [(r.action, numbers.packets[r.counter]) for r in ruleset.rules] == [("drop", 3)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(f"{HEAD}[1:2] -A mine -j DROP\n", "table filter has no end", id="cut"),
        pytest.param(f"{HEAD}[{2**64}:2] -A mine -j DROP\n{TAIL}", "no counter can", id="too many bits"),
    ],
)
def test_what_no_tool_prints_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        iptables.read(text, 4)


@hypothesis.given(strategies.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        ruleset, numbers = iptables.read(text, 4)
    except ValueError:
        return
    assert all(rule.counter < len(numbers.packets) for rule in ruleset.rules)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_TEXTS = strategies.text(strategies.characters(min_codepoint=32, max_codepoint=126), min_size=1)


@hypothesis.given(_TEXTS, strategies.integers(0, 2**32 - 1), strategies.integers(0, 2**32 - 1))
def test_written_rule_is_read(text: str, mask: int, value: int) -> None:
    rule = _one(f"-A mine -m comment --comment {_quoted(text)} -m mark --mark {value:#x}/{mask:#x} -j DROP")
    assert (rule.comments, rule.test) == ((text,), rules.MarkTest(mask, value))


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_capture_is_attributed_as_recorded(path: pathlib.Path, plain: Callable[..., dict[str, Any]]) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    assert plain(*iptables.read(path.read_text(), 4)) == expected
