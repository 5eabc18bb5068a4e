"""What ``nft -j -t list table`` prints (libnftables-json(5))."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from typing import Any

from collector.counters import rules

_COUNTERS = re.compile(r'\{"counter": \{"packets": (\d+), "bytes": (\d+)\}\}')
"""Cannot stand in a comment or a prefix: quotation marks are escaped there."""
_PLACE = '{"counter": "here"}'
_FAMILIES = {"ip": 4, "ip6": 6}
_HASH = re.compile(r"cali:[\w-]{16}; ?")
_VERDICTS = ("accept", "drop", "return")
_MARK = {"meta": {"key": "mark"}}
_XT_VERDICTS = {"REJECT": "reject", "LOG": "log"}
"""Targets of iptables that nft can name, but not print."""


def split(text: str) -> rules.Numbers[str]:
    """The counters of all rules, and the text without them.

    Raises:
        ValueError: If a number is too large for a counter.
    """
    parts = _COUNTERS.split(text)
    return rules.Numbers(_PLACE.join(parts[::3]), rules.whole(parts[1::3]), rules.whole(parts[2::3]))


def parse(shape: str) -> rules.Ruleset:
    """The rules in a shape, as ``split`` gives it.

    Raises:
        ValueError: If it is not what nft prints.
    """
    places = itertools.count()
    numbered = re.sub(re.escape(_PLACE), lambda _: f'{{"counter": {next(places)}}}', shape)
    try:
        entries = json.loads(numbered)["nftables"]
        tables = {(e["family"], e["name"]): e["handle"] for e in _of(entries, "table")}
        chains = [e for e in _of(entries, "chain") if "hook" in e]
        hooks = {(e["table"], e["name"]): str(e["hook"]) for e in chains}
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"not a list of tables: {error!r}") from error
    found: list[rules.Rule] = []
    positions: Counter[tuple[str, str]] = Counter()
    unreadable = 0
    for entry in _of(entries, "rule"):
        try:
            table = tables[entry["family"], entry["table"]]
            place = (entry["table"], entry["chain"])
            found.append(_rule(entry, table, positions[place]))
            positions[place] += 1
        except (KeyError, TypeError, ValueError, AttributeError):
            unreadable += 1
    return rules.Ruleset(tuple(found), hooks, unreadable)


def read(text: str) -> tuple[rules.Ruleset, rules.Numbers[str]]:
    """Rules and their counters in what the tool printed.

    Raises:
        ValueError: If it is not what nft prints.
    """
    numbers = split(text)
    return parse(numbers.shape), numbers


def _of(entries: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry[kind] for entry in entries if kind in entry]


def _rule(entry: dict[str, Any], table_handle: int, position: int) -> rules.Rule:
    fields: dict[str, Any] = {}
    matches: list[str] = []
    for expression in entry["expr"]:
        ((kind, value),) = expression.items()
        if kind == "match" and (test := _mark_test(value)) and "test" not in fields:
            fields["test"] = test
        elif kind == "counter":
            if isinstance(value, int):  # else it is a counter with a name, which rules can share
                fields["counter"] = value
        elif kind == "limit":
            fields["limited"] = True
        elif kind in _VERDICTS or kind == "reject":
            fields["action"] = kind
        elif kind in ("jump", "goto"):
            fields |= {"action": kind, "target": str(value["target"])}
        elif kind == "log":
            fields = _log(value or {}) | fields
        elif kind == "mangle" and value["key"] == _MARK:
            fields["sets"], fields["clears"] = rules.mark_change(*_mark_after(value["value"]))
        elif kind == "xt" and value.get("type") == "target":
            fields["action"] = _XT_VERDICTS.get(value.get("name"), "")
        elif kind not in ("mangle", "continue") and (kind, value.get("name")) != ("xt", "comment"):
            matches.append(json.dumps(expression))
    comment = _HASH.sub("", entry.get("comment", ""), count=1)
    family = _FAMILIES.get(entry["family"], rules.BOTH_FAMILIES)
    return rules.Rule(
        family=family, table=entry["table"], chain=entry["chain"], position=position,
        identity=f"{table_handle}.{entry['handle']}", matches=" ".join(matches),
        comments=(comment,) if comment else (), **fields,
    )  # fmt: skip


def _log(value: dict[str, Any]) -> dict[str, Any]:
    if "group" not in value:
        return {"action": "log"}
    return {"group": int(value["group"]), "prefix": str(value.get("prefix", ""))}


def _mark_test(value: dict[str, Any]) -> rules.MarkTest | None:
    """The match, if it compares the mark with a number."""
    left, right, operator = value["left"], value["right"], value["op"]
    if not isinstance(right, int) or operator not in ("==", "!="):
        return None
    if left == _MARK:
        return rules.MarkTest(rules.MARK_BITS, right, operator == "!=")
    if isinstance(left, dict) and isinstance(both := left.get("&"), list) and both[0] == _MARK:
        return rules.MarkTest(int(both[1]), right, operator == "!=")
    return None


def _mark_after(value: Any) -> tuple[int, int]:
    """An expression over the mark as (keep, flip) in ``mark & keep ^ flip``."""
    if isinstance(value, int):
        return 0, value
    if value == _MARK:
        return rules.MARK_BITS, 0
    ((operator, (left, right)),) = value.items()
    keep, flip = _mark_after(left)
    if operator == "|":
        return keep & ~right, flip & ~right | right
    if operator == "&":
        return keep & right, flip & right
    if operator == "^":
        return keep, flip ^ right
    raise ValueError(f"unknown operator {operator}")
