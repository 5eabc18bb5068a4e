"""Calico's selector language: text to tree, tree to canonical text, and whether labels match.

The grammar and the canonical text, from which the names of sets are hashed, are those of Calico
(libcalico-go/lib/selector). Kubernetes label selectors become the same tree.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable, Mapping

from model import manifest

NAMESPACE_LABEL = "projectcalico.org/namespace"
"""The label by which an endpoint or network set tells its namespace; global ones have none."""

_LABEL = re.compile(r"[A-Za-z0-9_./-]+")
_LABEL_LIMIT = 512
_DEPTH_LIMIT = 100  # of parentheses; people write two or three, and Python's stack is finite
_KUBERNETES_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


class Operator(enum.StrEnum):
    """How a label's value is compared with a text; all but ``!=`` need the label to be there."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    CONTAINS = "contains"
    STARTS_WITH = "starts with"
    ENDS_WITH = "ends with"


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    """A claim about labels; the subclasses are the nodes of the tree."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels fulfil the claim."""
        return _matches(self, labels)

    def render(self) -> str:
        """The canonical text, which parses to the same tree."""
        return _render(self)

    def rewrite(self, change: Callable[[Selector], Selector]) -> Selector:
        """The tree with each leaf replaced by what ``change`` makes of it."""
        match self:
            case Not(operand):
                return negate(operand.rewrite(change))
            case And(operands):
                return And(tuple(operand.rewrite(change) for operand in operands))
            case Or(operands):
                return Or(tuple(operand.rewrite(change) for operand in operands))
        return change(self)


@dataclasses.dataclass(frozen=True, slots=True)
class All(Selector):
    """Everything, labelled or not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Global(Selector):
    """What lives in no namespace."""


@dataclasses.dataclass(frozen=True, slots=True)
class Has(Selector):
    """The label is there."""

    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class Test(Selector):
    """The label's value compares with one text."""

    label: str
    operator: Operator
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Member(Selector):
    """The label's value is, or is not, one of some; a label that is missing is not one of them.

    Attributes:
        values: Sorted, each once.
        inside: False for ``not in``.
    """

    label: str
    values: tuple[str, ...]
    inside: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Not(Selector):
    """The opposite; make one with ``negate``, which never stacks two."""

    operand: Selector


@dataclasses.dataclass(frozen=True, slots=True)
class And(Selector):
    """All of two or more claims; make one with ``both``."""

    operands: tuple[Selector, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Or(Selector):
    """Any of two or more claims."""

    operands: tuple[Selector, ...]


_COMPARE: dict[Operator, Callable[[str, str], bool]] = {
    Operator.EQUAL: str.__eq__,
    Operator.NOT_EQUAL: str.__ne__,
    Operator.CONTAINS: str.__contains__,
    Operator.STARTS_WITH: str.startswith,
    Operator.ENDS_WITH: str.endswith,
}


def _matches(node: Selector, labels: Mapping[str, str]) -> bool:
    match node:
        case All():
            return True
        case Global():
            return NAMESPACE_LABEL not in labels
        case Has(label):
            return label in labels
        case Test(label, operator, value):
            found = labels.get(label)
            return operator is Operator.NOT_EQUAL if found is None else _COMPARE[operator](found, value)
        case Member(label, values, inside):
            return (labels.get(label) in values) is inside
        case Not(operand):
            return not _matches(operand, labels)
        case And(operands):
            return all(_matches(operand, labels) for operand in operands)
        case Or(operands):
            return any(_matches(operand, labels) for operand in operands)
    raise TypeError(f"not a selector node: {node!r}")


def _render(node: Selector) -> str:
    match node:
        case All():
            return "all()"
        case Global():
            return "global()"
        case Has(label):
            return f"has({label})"
        case Test(label, operator, value):
            return f"{label} {operator} {_quote(value)}"
        case Member(label, values, inside):
            listed = ", ".join(_quote(value) for value in values)
            return f"{label} {'in' if inside else 'not in'} {{{listed}}}"
        case Not(operand):
            return f"!{_render(operand)}"
        case And(operands):
            return f"({' && '.join(_render(operand) for operand in operands)})"
        case Or(operands):
            return f"({' || '.join(_render(operand) for operand in operands)})"
    raise TypeError(f"not a selector node: {node!r}")


def negate(selector: Selector) -> Selector:
    """The opposite of a selector."""
    return selector.operand if isinstance(selector, Not) else Not(selector)


def both(*selectors: Selector | None) -> Selector | None:
    """All of these that there are; None if there are none."""
    given = tuple(selector for selector in selectors if selector is not None)
    if len(given) > 1:
        return And(given)
    return given[0] if given else None


def equals(label: str, value: str) -> Selector:
    """The label has this value."""
    return Test(label, Operator.EQUAL, value)


def prefixed(selector: Selector, prefix: str) -> Selector:
    """The same claim about labels inherited under a prefix, such as ``pcns.`` for the namespace's."""

    def change(leaf: Selector) -> Selector:
        if isinstance(leaf, Has | Test | Member):
            return dataclasses.replace(leaf, label=prefix + leaf.label)
        return leaf

    return selector.rewrite(change)


def parse(text: str) -> Selector:
    """The tree of a selector; blank text selects everything.

    Raises:
        ValueError: If it is no selector, naming the position (from 0) and what was expected there.
    """
    reader = _Reader(text)
    if reader.at_end():
        return All()
    found = reader.alternatives()
    if not reader.at_end():
        raise reader.error("expected && or || or the end")
    return found


def _quote(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


class _Reader:
    """Recursive descent over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def error(self, reason: str) -> ValueError:
        return ValueError(f"selector {self._text!r}, position {self._position}: {reason}")

    def at_end(self) -> bool:
        self._take(r"")
        return self._position == len(self._text)

    def _take(self, pattern: str) -> str | None:
        """What the pattern matches after space and tab, or None and nothing but those consumed."""
        found = re.compile(rf"[ \t]*({pattern})").match(self._text, self._position)
        if found is None:
            return None
        self._position = found.end()
        return found.group(1)

    def _expect(self, pattern: str, what: str) -> str:
        found = self._take(pattern)
        if found is None:
            self._take(r"")
            raise self.error(f"expected {what}")
        return found

    def alternatives(self) -> Selector:
        found = [self._conjunction()]
        while self._take(r"\|\|"):
            found.append(self._conjunction())
        return Or(tuple(found)) if len(found) > 1 else found[0]

    def _conjunction(self) -> Selector:
        found = [self._operation()]
        while self._take(r"&&"):
            found.append(self._operation())
        return And(tuple(found)) if len(found) > 1 else found[0]

    def _operation(self) -> Selector:
        negated = False
        while self._take(r"!"):
            negated = not negated
        found = self._atom()
        return negate(found) if negated else found

    def _atom(self) -> Selector:
        if self._take(r"\("):
            return self._parenthesised()
        if self._take(r"all\([ \t]*\)"):
            return All()
        if self._take(r"global\([ \t]*\)"):
            return Global()
        if self._take(r"has\("):
            label = self._label()
            self._expect(r"\)", "the ) of has(")
            return Has(label)
        return self._comparison(self._label())

    def _parenthesised(self) -> Selector:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise self.error(f"more than {_DEPTH_LIMIT} parentheses inside one another")
        found = self.alternatives()
        self._expect(r"\)", "&& or || or )")
        self._depth -= 1
        return found

    def _label(self) -> str:
        label = self._expect(_LABEL.pattern, "a label, has(…), all(), global(), ! or (")
        if len(label) > _LABEL_LIMIT:
            raise self.error(f"a label has at most {_LABEL_LIMIT} characters")
        return label

    def _comparison(self, label: str) -> Selector:
        word = self._expect(
            r"==|!=|in\b|not[ \t]*in\b|contains\b|starts[ \t]*with\b|ends[ \t]*with\b",
            "==, !=, in, not in, contains, starts with or ends with",
        )
        squeezed = re.sub(r"[ \t]", "", word)
        if squeezed in ("in", "notin"):
            return Member(label, self._set(), inside=squeezed == "in")
        spelled = {"startswith": "starts with", "endswith": "ends with"}.get(squeezed, squeezed)
        return Test(label, Operator(spelled), self._string())

    def _string(self) -> str:
        return self._expect(r"'[^']*'|\"[^\"]*\"", "a text in quotes")[1:-1]

    def _set(self) -> tuple[str, ...]:
        self._expect(r"\{", "{")
        values: set[str] = set()
        while self._take(r"\}") is None:
            values.add(self._string())
            if self._take(r",") is None:
                self._expect(r"\}", ", or }")
                break
        return tuple(sorted(values))


def from_kubernetes(field: manifest.Field | None, *first: Selector) -> Selector:
    """A Kubernetes LabelSelector as Calico converts it: labels sorted by name, then expressions.

    Args:
        field: The LabelSelector; None, like an empty one, claims nothing.
        first: Claims to put before its own in the same conjunction.

    Raises:
        ManifestError: If it is no LabelSelector.
    """
    claims = [*first]
    if field is not None:
        field.only("matchLabels", "matchExpressions")
        labels, expressions = field.get("matchLabels"), field.get("matchExpressions")
        if labels:
            claims += [
                equals(_key(member, name), _value(member)) for name, member in sorted(labels.members())
            ]
        if expressions:
            claims += [_expression(item) for item in expressions.items()]
    return both(*claims) or All()


def _expression(field: manifest.Field) -> Selector:
    field.only("key", "operator", "values")
    key = field.require("key")
    label = _key(key, key.text())
    operator = field.require("operator").one_of("In", "NotIn", "Exists", "DoesNotExist")
    listed = field.get("values")
    values = tuple(sorted({_value(item) for item in listed.items()})) if listed else ()
    if operator in ("Exists", "DoesNotExist"):
        if listed and values:
            raise listed.error(f"must be empty with {operator}")
        return Has(label) if operator == "Exists" else Not(Has(label))
    if not values:
        raise field.error(f"{operator} needs at least one of values")
    return Member(label, values, inside=operator == "In")


def _key(field: manifest.Field, text: str) -> str:
    if not _LABEL.fullmatch(text) or len(text) > _LABEL_LIMIT:
        raise field.error(f"{text!r} is no label name")
    return text


def _value(field: manifest.Field) -> str:
    text = field.text()
    if not _KUBERNETES_VALUE.fullmatch(text):
        raise field.error(f"must be a label value, is {text!r}")
    return text
