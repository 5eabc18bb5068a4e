"""The filter language: what people write to say which flows, compiled to a condition with bound values.

    expression  =  term { "or" term }
    term        =  factor { "and" factor }
    factor      =  "not" factor  |  "(" expression ")"  |  comparison
    comparison  =  field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "contains" ) value
                |  field [ "not" ] "in" ( value | "(" value { "," value } ")" )

A field is a column, with dots or underscores (``src.namespace``), or one of the names in `fields.FIELDS`. A
value is a word, or any text in quotes; an address may be a CIDR. A label's name may stand in quotes as well.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable
from typing import Any

import lark

from model import errors
from store import fields, parameters


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

_GRAMMAR = r"""
    ?start: expression
    ?expression: term (OR term)*
    ?term: factor (AND factor)*
    ?factor: NOT factor -> negation
        | "(" expression ")" -> group
        | comparison
    comparison: FIELD SIGN _value
        | FIELD NOT? IN (_value | "(" _value ("," _value)* ")")
    _value: WORD | TEXT

    AND.2: /and(?![^\s'"=!<>(),])/i
    OR.2: /or(?![^\s'"=!<>(),])/i
    NOT.2: /not(?![^\s'"=!<>(),])/i
    IN.2: /in(?![^\s'"=!<>(),])/i
    SIGN.2: /!=|<=|>=|[=<>]|contains(?![^\s'"=!<>(),])/i
    FIELD: /(src\.|dst\.)?label\.('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|[^\s'"=!<>(),]+/s
    WORD: /[^\s'"=!<>(),]+/
    TEXT: /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/s
    %ignore /\s+/
"""
_SPOKEN = {
    "FIELD": "a field such as src.namespace", "WORD": "a value", "NOT": "`not`", "IN": "`in`",
    "LPAR": "`(`", "COMMA": "`,`", "RPAR": "`)`", "AND": "`and`", "OR": "`or`", "$END": "the end",
}  # fmt: skip
_KEYWORDS = {"NOT": "not", "IN": "in", "AND": "and", "OR": "or", "LPAR": "(", "RPAR": ")", "COMMA": ","}


@functools.cache
def _language() -> lark.Lark:
    return lark.Lark(_GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=True)


def compile(text: str) -> Condition:  # noqa: A001 (called as filters.compile)
    """The condition that a filter expression stands for; empty text means everything.

    Raises:
        FilterError: If it is no such expression, with the place and what was expected there.
    """
    if not text.strip():
        return EVERYTHING
    if len(text) > _LONGEST:
        raise errors.FilterError(text, _LONGEST, f"expected at most {_LONGEST} characters")
    reading = _Reading(text)
    compiler = _Compiler(text)
    sql = compiler.sql(reading.tree())
    return Condition(sql, compiler.values, frozenset(compiler.columns))


def quoted(text: str) -> str:
    """Any text as a value of the language."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def candidates(text: str) -> list[str]:
    """What may come next, or how the word at the end may go on, for whoever types an expression.

    Fields, signs, the values of a closed set, and words of the language; any other value is not foreseen.
    """
    begun = re.findall(r"[^\s'\"=!<>(),]*$", text)[0]
    reading = _Reading(text.removesuffix(begun))
    try:
        accepted = reading.read()
    except lark.exceptions.UnexpectedInput:
        return []
    meant = reading.field()
    words: list[str] = []
    if "FIELD" in accepted:
        words += fields.FIELDS
    if "SIGN" in accepted and meant:
        words += meant.signs
    elif "WORD" in accepted and meant:
        words += meant.words
    if "SIGN" not in accepted:
        words += [word for name, word in _KEYWORDS.items() if name in accepted]
    return [word for word in words if word.lower().startswith(begun.lower())]


class _Reading:
    """One expression on its way through the parser."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parser = _language().parse_interactive(text)

    def read(self) -> set[str]:
        """Read all of it; the names of what may follow."""
        for _ in self._parser.iter_parse():
            pass
        return set(self._parser.accepts())

    def tree(self) -> Any:
        """All of it as a tree.

        Raises:
            FilterError: If it is no expression.
        """
        try:
            accepted = self.read()
        except lark.exceptions.UnexpectedInput as error:
            raise self._mistake(error.pos_in_stream or 0, self._parser.accepts()) from None
        if "$END" not in accepted:
            raise self._mistake(len(self._text), accepted)
        return self._parser.feed_eof()

    def field(self) -> fields.Field | None:
        """The field of the comparison that is being read, if there is such a field."""
        named = [token for token in self._stack() if getattr(token, "type", "") == "FIELD"]
        try:
            return _meaning(self._text, named[-1]).sides[0] if named else None
        except errors.FilterError:
            return None

    def _stack(self) -> list[Any]:
        return list(self._parser.parser_state.value_stack)

    def _mistake(self, position: int, accepted: Iterable[str]) -> errors.FilterError:
        """What was expected where the parser could not go on; a wrong field is wrong before that."""
        last = self._stack()[-1:]
        if last and getattr(last[0], "type", "") == "FIELD":
            meant = _meaning(self._text, last[0])
            return errors.FilterError(self._text, position, _wanted_signs(last[0], meant.sides[0]))
        spoken = [words for name, words in _SPOKEN.items() if name in set(accepted)]
        listed = " or ".join(part for part in (", ".join(spoken[:-1]), spoken[-1]) if part)
        quote = "; is a quote not closed?" if self._text[position : position + 1] in ("'", '"') else ""
        return errors.FilterError(self._text, position, f"expected {listed}{quote}")


class _Compiler:
    """Makes SQL of a tree, and gathers the values and columns as it goes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.values: dict[str, str | int] = {}
        self.columns: set[str] = set()

    def sql(self, tree: Any, depth: int = 0) -> str:
        """The test that a part of the tree stands for."""
        if depth > _DEEPEST:
            reason = f"expected at most {_DEEPEST} levels of `not` and parentheses"
            raise errors.FilterError(self._text, tree.meta.start_pos, reason)
        parts = [part for part in tree.children if isinstance(part, lark.Tree)]
        if tree.data == "comparison":
            return self._comparison(*tree.children)
        if tree.data == "negation":
            return f"NOT {self.sql(parts[0], depth + 1)}"
        if tree.data == "group":
            return self.sql(parts[0], depth + 1)
        joint = " OR " if tree.data == "expression" else " AND "
        return f"({joint.join(self.sql(part, depth) for part in parts)})"

    def _comparison(self, field: lark.Token, *rest: lark.Token) -> str:
        meant = _meaning(self._text, field)
        values = [token for token in rest if token.type in ("WORD", "TEXT")]
        signs = [token for token in rest if token.type in ("SIGN", "NOT", "IN")]
        sign = " ".join(signs).lower()
        if sign not in meant.sides[0].signs:
            reason = _wanted_signs(field, meant.sides[0])
            raise errors.FilterError(self._text, signs[0].start_pos or 0, reason)
        self.columns |= meant.columns
        label = [self._bind(meant.label, "String")] if meant.label else []
        tests = [self._test(side, sign, value, label) for side in meant.sides for value in values]
        return f"{'NOT ' if sign in ('!=', 'not in') else ''}({' OR '.join(tests)})"

    def _test(self, field: fields.Field, sign: str, token: lark.Token, label: list[str]) -> str:
        text = _unquoted(token) if token.type == "TEXT" else str(token)
        try:
            values = field.read(text)
        except ValueError as error:
            raise errors.FilterError(self._text, token.start_pos or 0, f"expected {error}") from None
        bound = [self._bind(value, kind) for value, kind in values]
        return field.test("=" if sign in ("!=", "in", "not in") else sign, [*label, *bound])

    def _bind(self, value: str | int, kind: str) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


def _meaning(text: str, field: lark.Token) -> fields.Meant:
    name = re.sub(r"['\"].*", lambda quoted: _unquoted(quoted[0]), field, flags=re.DOTALL)
    try:
        return fields.meaning(name)
    except ValueError as error:
        raise errors.FilterError(text, field.start_pos or 0, f"expected {error}") from None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _wanted_signs(field: str, meant: fields.Field) -> str:
    return f"expected one of {', '.join(f'`{sign}`' for sign in meant.signs)} after {field}"


def reference() -> str:
    """The reference page of the language, as Markdown."""
    grammar = (__doc__ or "").partition("\n\n")[2].replace("``", "`").replace("in `fields.FIELDS`", "below")
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
        *(
            f"| `{name}{'NAME' if name.endswith('.') else ''}` | {about} |"
            for name, about in fields.FIELDS.items()
        ),
    ]
    return "\n".join(lines) + "\n"
