"""The filter language: what people write to say which flows, compiled to a condition with bound values.

    expression  =  term { "or" term }
    term        =  factor { "and" factor }
    factor      =  "not" factor  |  "(" expression ")"  |  comparison
    comparison  =  field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "contains" ) value
                |  field [ "not" ] "in" ( value | "(" value { "," value } ")" )

A field is a column, with dots or underscores (``src.namespace``), or one of the names in `FIELDS`. A value
is a word, or any text in quotes; an address may be a CIDR.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import ipaddress
import re
from collections.abc import Callable, Mapping

from model import columns, enums, errors
from store import parameters


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """What stands after WHERE, and the values for its ``{p0:Type}``; no value is in the text.

    Attributes:
        sql: The test.
        parameters: The values.
        columns: The columns of the flow record that it looks at; whoever answers must have them.
    """

    sql: str
    parameters: parameters.Parameters
    columns: frozenset[str] = frozenset()


EVERYTHING = Condition("1", {})
"""The condition that every flow fulfils."""

_LONGEST = 10_000
_DEEPEST = 50
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<sign>!=|<=|>=|[=<>(),])"""
    r"""|(?P<word>[^\s'"=!<>(),]+)|(?P<end>$))""",
    re.DOTALL,
)
_SIGNS = ("=", "!=", "<", "<=", ">", ">=")
_EQUALITY = ("=", "!=", "contains", "in", "not")
_ORDER = (*_SIGNS, "in", "not")
_ALIASES = {"port": "dst_port", "rule": "deciding_rule"}
_SIDES = ("src", "dst")
_WORDS: Mapping[str, type[enum.StrEnum]] = {
    "verdict": enums.Verdict, "reporter": enums.Reporter, "attribution": enums.Attribution,
    "src_kind": enums.EndpointKind, "dst_kind": enums.EndpointKind,
}  # fmt: skip


def _either_names() -> list[str]:
    """Names of what both ends have; written alone, they mean either of them."""
    names = [c.name.removeprefix("src_") for c in columns.COLUMNS if c.name.startswith("src_")]
    return [name for name in names if f"dst_{name}" in columns.BY_NAME and name not in _ALIASES]


_EITHER = _either_names()


def _fields() -> dict[str, str]:
    sides = re.compile(r"^(src|dst|snat)_|^service_(?=address|port|namespace)")
    found = {sides.sub(lambda m: m.group().replace("_", "."), c.name): c.about for c in columns.COLUMNS}
    found |= {name: f"`src.{name}` or `dst.{name}`" for name in _EITHER}
    found |= {short: columns.BY_NAME[name].about for short, name in _ALIASES.items()}
    found |= {
        f"{side}.label.": f"a Kubernetes label of `{side}`, such as `{side}.label.app`" for side in _SIDES
    }
    return {**found, "label.": "a Kubernetes label of either end, such as `label.app`"}


FIELDS: Mapping[str, str] = _fields()
"""Every field, as it is written, and what it means; one that ends in a dot wants the rest of the name."""


def reference() -> str:
    """The reference page of the language, as Markdown."""
    grammar = (__doc__ or "").partition("\n\n")[2].replace("``", "`").replace("in `FIELDS`", "below")
    lines = [
        "# The filter language",
        "",
        "One language for the command line, the explorer and whoever asks the ledger through us.",
        "Generated from `store/filters.py`; `flowledger reference filters` writes it.",
        "",
        "    verdict = denied and dst.namespace = shop and dst.port in (80, 443)",
        "    not dst.address in 10.0.0.0/8 and src.label.app = web",
        "",
        grammar,
        "| field | meaning |",
        "|---|---|",
        *(f"| `{name}{'NAME' if name.endswith('.') else ''}` | {about} |" for name, about in FIELDS.items()),
    ]
    return "\n".join(lines) + "\n"


def compile(text: str) -> Condition:  # noqa: A001 (called as filters.compile)
    """The condition that a filter expression stands for; empty text means everything.

    Raises:
        FilterError: If it is no such expression, with the place and what was expected there.
    """
    if not text.strip():
        return EVERYTHING
    if len(text) > _LONGEST:
        raise errors.FilterError(text, _LONGEST, f"expected at most {_LONGEST} characters")
    return _Parser(text).parse()


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise errors.FilterError(
                text, start, "expected a field, a sign or a value; is a quote not closed?"
            )
        kind = str(match.lastgroup)
        found.append(_Token(kind, match.group(kind), match.start(kind)))
        if kind == "end":
            return found
        at = match.end()


class _Parser:
    """Reads the tokens from left to right, and gathers the values as it goes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._values: dict[str, str | int] = {}
        self._columns: set[str] = set()
        self._depth = 0

    def parse(self) -> Condition:
        sql = self._expression()
        self._expect("end", "`and`, `or` or the end")
        return Condition(sql, self._values, frozenset(self._columns))

    def _expression(self) -> str:
        terms = [self._term()]
        while self._take("or"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"

    def _term(self) -> str:
        factors = [self._factor()]
        while self._take("and"):
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else f"({' AND '.join(factors)})"

    def _factor(self) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(self._tokens[0], f"expected at most {_DEEPEST} levels of `not` and parentheses")
        try:
            if self._take("not"):
                return f"NOT {self._factor()}"
            if not self._take("("):
                return self._comparison()
            sql = self._expression()
            if not self._take(")"):
                raise self._error(self._tokens[0], "expected `)`, `and` or `or`")
            return sql
        finally:
            self._depth -= 1

    def _comparison(self) -> str:
        field = self._expect("word", "a field such as src.namespace")
        sides = self._sides(field)
        sign = self._sign(field, sides[0].signs)
        negated = sign in ("!=", "not")
        if sign == "not" and not self._take("in"):
            raise self._error(self._tokens[0], "expected `in`")
        values = self._list() if sign in ("in", "not") else [self._value()]
        tests = [" OR ".join(self._test(side, sign, value) for value in values) for side in sides]
        return f"{'NOT ' if negated else ''}({' OR '.join(tests)})"

    def _sides(self, field: _Token) -> list[_Field]:
        """What a field means: one thing, or one for each end."""
        name, label, key = field.text.partition("label.")
        if label and name in ("", "src.", "dst."):
            if not key:
                raise self._error(field, "expected the name of a label after `label.`")
            bound, sides = self._bind(key, "String"), [name[:-1]] if name else _SIDES
            self._columns |= {f"{side}_labels_id" for side in sides}
            return [_label(side, bound) for side in sides]
        column = field.text.replace(".", "_")
        column = _ALIASES.get(column, column)
        meant = [f"{side}_{column}" for side in _SIDES] if column in _EITHER else [column]
        if meant[0] not in columns.BY_NAME:
            raise self._error(field, f"expected a field such as src.namespace; there is no {field.text!r}")
        self._columns |= set(meant)
        return [_field(columns.BY_NAME[name]) for name in meant]

    def _sign(self, field: _Token, known: tuple[str, ...]) -> str:
        token = self._tokens[0]
        sign = token.text.lower() if token.kind in ("sign", "word") else ""
        if sign not in known:
            written = ", ".join(f"`{'not in' if s == 'not' else s}`" for s in known)
            raise self._error(token, f"expected one of {written} after {field.text}")
        self._tokens.pop(0)
        return sign

    def _list(self) -> list[_Token]:
        if not self._take("("):
            return [self._value()]
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        if not self._take(")"):
            raise self._error(self._tokens[0], "expected `,` or `)`")
        return values

    def _value(self) -> _Token:
        token = self._tokens[0]
        if token.kind not in ("word", "text"):
            raise self._error(token, "expected a value")
        self._tokens.pop(0)
        return token

    def _test(self, field: _Field, sign: str, token: _Token) -> str:
        text = (
            re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL) if token.kind == "text" else token.text
        )
        try:
            values = field.read(text)
        except ValueError as error:
            raise self._error(token, f"expected {error}") from None
        names = [self._bind(value, kind) for value, kind in values]
        return field.test("=" if sign in ("!=", "in", "not") else sign, names)

    def _bind(self, value: str | int, kind: str) -> str:
        name = f"p{len(self._values)}"
        self._values[name] = value
        return f"{{{name}:{kind}}}"

    def _take(self, text: str) -> bool:
        token = self._tokens[0]
        found = token.kind in ("sign", "word") and token.text.lower() == text
        if found:
            self._tokens.pop(0)
        return found

    def _expect(self, kind: str, what: str) -> _Token:
        token = self._tokens[0]
        if token.kind != kind:
            raise self._error(token, f"expected {what}")
        return self._tokens.pop(0)

    def _error(self, token: _Token, reason: str) -> errors.FilterError:
        return errors.FilterError(self._text, token.position, reason)


_Read = Callable[[str], list[tuple[str | int, str]]]
"""From a value as written to what is bound, each with its ClickHouse type; ValueError says what to write."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """One thing to compare: with which signs, how its values are read, and the test in SQL."""

    signs: tuple[str, ...]
    read: _Read
    test: Callable[[str, list[str]], str]


def _field(column: columns.Column) -> _Field:
    name = column.name
    if column.arrow == columns.TEXT:
        return _Field(_EQUALITY, _one_of(name), lambda sign, bound: _text_test(name, sign, bound))
    if column.arrow == columns.ADDRESS:
        within = f"({name} >= {{}} AND {name} <= {{}})"
        return _Field(("=", "!=", "in", "not"), _read_network, lambda _, bound: within.format(*bound))
    if column.arrow == columns.TIME:
        moment = f"{name} {{}} fromUnixTimestamp64Nano({{}}, 'UTC')"
        return _Field(_SIGNS, _read_time, lambda sign, bound: moment.format(sign, *bound))
    read = _read_protocol if name == "protocol" else _number(column.clickhouse)
    return _Field(_ORDER, read, lambda sign, bound: f"{name} {sign} {bound[0]}")


def _label(side: str, key: str) -> _Field:
    labelled = f"{side}_labels_id GLOBAL IN (SELECT labels_id FROM label_sets WHERE {{}})"  # noqa: S608 (names are ours)
    return _Field(
        _EQUALITY,
        _read_text,
        lambda sign, bound: labelled.format(_text_test(f"labels[{key}]", sign, bound)),
    )


def _text_test(subject: str, sign: str, bound: list[str]) -> str:
    return f"position({subject}, {bound[0]}) > 0" if sign == "contains" else f"{subject} = {bound[0]}"


def _read_text(text: str) -> list[tuple[str | int, str]]:
    return [(text, "String")]


def _one_of(name: str) -> _Read:
    """Reads a word of a closed set where the column has one, else any text."""
    words = _WORDS.get(name)
    if words is None:
        return _read_text

    def read(text: str) -> list[tuple[str | int, str]]:
        if text not in set(words):
            raise ValueError(f"one of {', '.join(words)}")
        return [(text, "String")]

    return read


def _number(kind: str) -> _Read:
    largest = 2 ** int(kind.removeprefix("UInt")) - 1

    def read(text: str) -> list[tuple[str | int, str]]:
        if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) <= largest):
            raise ValueError(f"a whole number up to {largest}")
        return [(int(text), kind)]

    return read


def _read_protocol(text: str) -> list[tuple[str | int, str]]:
    names = {protocol.name: protocol.value for protocol in enums.Protocol}
    if text.upper() in names:
        return [(names[text.upper()], "UInt8")]
    try:
        return _number("UInt8")(text)
    except ValueError:
        raise ValueError(f"one of {', '.join(names).lower()}, or a number up to 255") from None


def _read_network(text: str) -> list[tuple[str | int, str]]:
    """First and last address of a CIDR; IPv4 as it is stored, mapped into IPv6."""
    try:
        network = ipaddress.ip_network("" if "%" in text else text, strict=False)  # no zone is stored
    except ValueError:
        raise ValueError("an address or a CIDR such as 10.0.0.0/8") from None
    ends = (network.network_address, network.broadcast_address)
    return [(f"::ffff:{end}" if network.version == 4 else str(end), "IPv6") for end in ends]


def _read_time(text: str) -> list[tuple[str | int, str]]:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time such as 2026-01-31T12:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    nanoseconds = (moment - _EPOCH) // datetime.timedelta(microseconds=1) * 1000
    if not 0 <= nanoseconds < 2**63:
        raise ValueError("a time between 1970 and 2262")
    return [(nanoseconds, "Int64")]
