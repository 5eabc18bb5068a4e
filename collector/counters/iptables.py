"""What ``iptables-save -c`` prints, of either back end and either address family."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator

from collector.counters import rules

_NOISE = re.compile(r"^#.*\n| \[\d+:\d+\]$", re.MULTILINE)
"""Dates, warnings, and the counters of base chains."""
_COUNTERS = re.compile(r"^\[(\d+):(\d+)\] ", re.MULTILINE)
_COUNTED = "+ "
"""Stands in the shape where a rule's counter was."""
_WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_ESCAPED = re.compile(r"\\(.)")
_HASH = re.compile(r"cali:[\w-]{16}")
_BASE = ("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING")
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return", "LOG": "log"}
_MODULES_APART = ("comment", "mark", "limit")
"""Matches that are told by fields of their own; the others only have to be compared."""


def split(text: str) -> rules.Numbers[str]:
    """The counters of all rules, and the text without them.

    Raises:
        ValueError: If a number is too large for a counter.
    """
    parts = _COUNTERS.split(_NOISE.sub("", text))
    return rules.Numbers(_COUNTED.join(parts[::3]), rules.whole(parts[1::3]), rules.whole(parts[2::3]))


def parse(shape: str, family: int) -> rules.Ruleset:
    """The rules in a shape.

    Args:
        shape: As ``split`` gives it.
        family: 4 or 6.

    Raises:
        ValueError: If the text ends before its time.
    """
    found: list[rules.Rule] = []
    hooks: dict[tuple[str, str], str] = {}
    positions: Counter[tuple[str, str]] = Counter()
    seen: Counter[tuple[str, str, str]] = Counter()
    declared: set[str] = set()
    table, unreadable, counter = "", 0, 0
    for line in shape.splitlines():
        if line.startswith("*"):
            table = line[1:]
            declared.clear()
        elif line == "COMMIT":
            table = ""
        elif line.startswith(":"):
            chain = line[1:].split(" ", 1)[0]
            declared.add(chain)
            if chain in _BASE:
                hooks[table, chain] = chain.lower()
        elif line:
            counted = line.startswith(_COUNTED)
            try:
                parsed = _Line(line.removeprefix(_COUNTED), declared)
            except (ValueError, StopIteration):
                unreadable += 1
            else:
                place = (table, parsed.chain)
                identity = parsed.identity(seen, table)
                number = counter if counted else rules.NO_COUNTER
                found.append(parsed.rule(family, table, positions[place], identity, number))
                positions[place] += 1
            counter += counted
    if table:
        raise ValueError(f"table {table} has no end")
    return rules.Ruleset(tuple(found), hooks, unreadable)


def read(text: str, family: int) -> tuple[rules.Ruleset, rules.Numbers[str]]:
    """Rules and their counters in what the tool printed.

    Raises:
        ValueError: If the text ends before its time.
    """
    numbers = split(text)
    return parse(numbers.shape, family), numbers


def _words(line: str) -> Iterator[str]:
    for quoted, plain in _WORDS.findall(line):
        yield plain or _ESCAPED.sub(r"\1", quoted)


class _Line:
    """One ``-A`` line, word by word; a target is a chain if it was ``declared`` in the table.

    Raises:
        ValueError: If a number is none, or it is no such line.
        StopIteration: If something is missing at its end; the one who constructs it counts both alike.
    """

    def __init__(self, text: str, declared: Container[str]) -> None:
        self._text = text
        self._declared = declared
        self._words = _words(text)
        self._hash = ""
        self._comments: list[str] = []
        self._matches: list[str] = []
        self._tests: list[rules.MarkTest] = []
        self._limited = False
        self._action = self._target = self._prefix = ""
        self._group = rules.NO_GROUP
        self._sets = self._clears = 0
        if next(self._words) != "-A":
            raise ValueError("not a rule")
        self.chain = next(self._words)
        self._read_matches()

    def identity(self, seen: Counter[tuple[str, str, str]], table: str) -> str:
        """Calico's hash, or else the text; of equal texts in a chain, each has a number."""
        own = self._hash or self._text
        key = (table, self.chain, own)
        seen[key] += 1
        return own if seen[key] == 1 else f"{own} ({seen[key]})"

    def rule(self, family: int, table: str, position: int, identity: str, counter: int) -> rules.Rule:
        """The rule, with what only the one who reads all lines knows."""
        extra = [f"mark {test}" for test in self._tests[1:]]
        return rules.Rule(
            family=family, table=table, chain=self.chain, position=position, identity=identity,
            comments=tuple(self._comments), action=self._action, target=self._target, prefix=self._prefix,
            group=self._group, test=self._tests[0] if self._tests else None, sets=self._sets,
            clears=self._clears, matches=" ".join([*self._matches, *extra]), limited=self._limited,
            counter=counter,
        )  # fmt: skip

    def _read_matches(self) -> None:
        module, negated = "", False
        for word in self._words:
            if word == "-m":
                module = next(self._words)
                if module not in _MODULES_APART:
                    self._matches.append(module)
            elif word in ("-j", "-g"):
                self._read_target(next(self._words), word)
                return
            elif module == "comment" and word == "--comment":
                self._comment(next(self._words))
            elif module == "mark" and word == "!":
                negated = True
            elif module == "mark" and word == "--mark":
                mask, value = _masked(next(self._words))
                self._tests.append(rules.MarkTest(mask, value, negated))
                negated = False
            elif module == "limit" and word in ("--limit", "--limit-burst"):
                next(self._words)
                self._limited = True
            else:
                self._matches.append(word)

    def _comment(self, text: str) -> None:
        if _HASH.fullmatch(text) and not self._hash:
            self._hash = text
        else:
            self._comments.append(text)

    def _read_target(self, target: str, how: str) -> None:
        if target in self._declared:
            self._action, self._target = "goto" if how == "-g" else "jump", target
        else:  # an extension; those that decide nothing let the packet go on
            self._action = _VERDICTS.get(target, "")
        if target == "NFLOG":
            self._group = 0  # iptables does not print the default
        for word in self._words:
            if target == "MARK" and word in ("--set-xmark", "--set-mark"):
                mask, value = _masked(next(self._words))
                # --set-mark sets value and clears the rest of mask; --set-xmark turns value over after that
                self._sets, self._clears = rules.mark_change(
                    ~mask & ~(value if word == "--set-mark" else 0), value
                )
            elif word == "--nflog-prefix":
                self._prefix = next(self._words)
            elif word == "--nflog-group":
                self._group = int(next(self._words))


def _masked(text: str) -> tuple[int, int]:
    """``value/mask`` as mask and value; without a mask, all bits count."""
    value, slash, mask = text.partition("/")
    return int(mask, 16) if slash else rules.MARK_BITS, int(value, 16)
