"""A grammar of NFLOG prefixes out of a user's own regular expression.

The expression is RE2's, by way of Arrow. RE2 takes time linear in the length of the text, whatever the
expression is, and limits the memory that one may take (github.com/google/re2/wiki/WhyRE2), so none can hang
the collector; in return there are no look-arounds and no references back.
"""

from __future__ import annotations

import functools
import re
import warnings
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model import enums, errors, policyhit, prefixgrammar

GROUPS = ("action", "direction", "namespace", "policy", "rule")
"""What a pattern's groups may be called."""

_ACTION_WORDS = {
    enums.Action.ALLOW: ("a", "allow", "allowed", "accept", "accepted", "permit", "permitted"),
    enums.Action.DENY: ("d", "deny", "denied", "drop", "dropped", "reject", "rejected", "block", "blocked"),
    enums.Action.PASS: ("p", "pass", "passed", "next", "continue"),
}
_DIRECTION_WORDS = {
    enums.Direction.INGRESS: ("i", "in", "ingress", "inbound", "input"),
    enums.Direction.EGRESS: ("e", "o", "out", "egress", "outbound", "output"),
}
_ACTIONS = {word: action for action, words in _ACTION_WORDS.items() for word in words}
_DIRECTIONS = {word: direction for direction, words in _DIRECTION_WORDS.items() for word in words}
_INDEX = re.compile(r"[0-9]{1,9}")
_LONGEST = 1000
"""Characters of an expression; a prefix has 127 at most (NF_LOG_PREFIXLEN in linux/netfilter/nf_log.h)."""


def compile_pattern(
    expression: str, *, default_action: enums.Action | None = None, sampled: bool = False
) -> prefixgrammar.Grammar:
    """The grammar of prefixes in which an expression is found (anywhere, unless it begins with ``^``).

    An example: ``^(?P<action>ACCEPT|DROP) (?P<namespace>[^/ ]+)/(?P<policy>[^ ]+)``.

    ``action`` and ``direction`` are words in any case, such as ``allow``, ``accept``, ``drop``, ``reject``,
    ``pass``; ``in``, ``ingress``, ``out``, ``output``. A prefix with another word there, or with a ``rule``
    that is no number, is not of this grammar. Without ``policy``, the whole prefix is the name.

    Args:
        expression: The expression; each of its groups has a name, one of ``GROUPS``, or is ``(?:…)``.
        default_action: What a prefix means in which ``action`` is not there or empty.
        sampled: Whether the rules that log are rate limited.

    Raises:
        SetupError: If the expression is wrong, or says no action and there is no default.
    """
    given = _groups(expression)
    for group in given:
        if group not in GROUPS:
            raise _wrong(f"there is no group {group!r}", expression, expression.find(f"<{group}>"))
        if given.count(group) > 1:
            raise _wrong(f"group {group!r} is there twice", expression, expression.rfind(f"<{group}>"))
    if "action" not in given and default_action is None:
        raise _wrong("there is no group 'action', and no default action", expression)
    return prefixgrammar.Grammar(
        name="pattern",
        parse=functools.partial(_parse, expression, default_action),
        sampled=sampled,
        directed="direction" in given,
    )


def _groups(expression: str) -> list[str]:
    """The names of an expression's groups."""
    if len(expression) > _LONGEST:
        raise _wrong(f"longer than {_LONGEST} characters", f"{expression[:20]}…")
    try:
        found = pc.extract_regex(pa.array([""], pa.string()), pattern=expression)
    except UnicodeEncodeError as error:
        raise _wrong("not text", expression, error.start) from error
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        if "unnamed groups" in reason:
            raise _wrong("a group without name; write (?:…) or name it", expression) from error
        position = _position(expression, reason)
        raise _wrong(reason.removesuffix(f": {expression}"), expression, position) from error
    return [field.name for field in found.type]


def _position(expression: str, reason: str) -> int:
    """Where in the expression RE2's complaint is; -1 if that cannot be said.

    RE2 names only the piece that it dislikes. What is wrong for Python's own compiler as well, that one knows
    the place of.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(expression)
    except re.error as error:
        return -1 if error.pos is None else error.pos
    except (OverflowError, RecursionError):
        return -1
    return expression.rfind(reason.rpartition(": ")[2])


def _wrong(reason: str, expression: str, position: int = -1) -> errors.SetupError:
    where = f" at character {position + 1}" if position >= 0 else ""
    return errors.SetupError(
        f"NFLOG pattern {expression!r}: {reason}{where}; it is a regular expression in RE2's form, without "
        f"look-arounds and references back, whose named groups (?P<name>…) are among {', '.join(GROUPS)}"
    )


def _parse(expression: str, default_action: enums.Action | None, prefix: str) -> policyhit.PolicyHit | None:
    text = prefix.encode("utf-8", "replace").decode()
    matches: Any = pc.extract_regex(pa.array([text], pa.string()), pattern=expression)  # stubs lack structs
    found = matches.to_pylist()[0]
    if found is None:
        return None
    # a group that took no part in the match is empty in RE2
    given = {name: value for name, value in found.items() if value}
    action = _ACTIONS.get(given["action"].lower()) if "action" in given else default_action
    untold = "direction" not in given
    direction = policyhit.UNTOLD_DIRECTION if untold else _DIRECTIONS.get(given["direction"].lower())
    index = given.get("rule", "")
    if action is None or direction is None or (index and not _INDEX.fullmatch(index)):
        return None
    return policyhit.PolicyHit(
        direction=direction, kind=policyhit.CUSTOM, namespace=given.get("namespace", ""),
        name=given.get("policy", text.strip()), action=action, rule=int(index or policyhit.NO_RULE),
    )  # fmt: skip
