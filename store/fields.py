"""The fields of the filter language: what each means, with which signs, and how its values are read.

A field is one thing to compare, or the same thing of either end.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import enum
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence

from model import columns, enums

SIGNS = ("=", "!=", "<", "<=", ">", ">=")
"""Comparisons with one value that are no words."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_EQUALITY = ("=", "!=", "contains", "in", "not in")
_ORDER = (*SIGNS, "in", "not in")
_ALIASES = {"port": "dst_port", "rule": "deciding_rule"}
_SIDES = ("src", "dst")
_WORDS: Mapping[str, type[enum.StrEnum]] = {
    "verdict": enums.Verdict, "reporter": enums.Reporter, "attribution": enums.Attribution,
    "src_kind": enums.EndpointKind, "dst_kind": enums.EndpointKind,
}  # fmt: skip


_PROTOCOLS = tuple(protocol.name.lower() for protocol in enums.Protocol)

Read = Callable[[str], list[tuple[str | int, str]]]
"""From a value as written to what is bound, each with its ClickHouse type; ValueError says what to write."""


def _either_names() -> list[str]:
    """Names of what both ends have; written alone, they mean either of them, but for those of a column."""
    names = [c.name.removeprefix("src_") for c in columns.COLUMNS if c.name.startswith("src_")]
    taken = {*_ALIASES, *columns.BY_NAME}
    return [name for name in names if f"dst_{name}" in columns.BY_NAME and name not in taken]


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


@dataclasses.dataclass(frozen=True, slots=True)
class Meant:
    """What a field stands for.

    Attributes:
        sides: One thing to compare, or one for each end; the signs are the same for both.
        columns: The columns of the flow record that they look at.
        label: The label's name, which is bound before any value; empty for a column.
    """

    sides: Sequence[Field]
    columns: frozenset[str]
    label: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One thing to compare.

    Attributes:
        signs: With which signs.
        read: How its values are read.
        test: The test in SQL, of the sign and the value's placeholders, a label's name first.
        words: All values that there are; empty where there is no such list.
    """

    signs: tuple[str, ...]
    read: Read
    test: Callable[[str, list[str]], str]
    words: tuple[str, ...] = ()


def meaning(name: str) -> Meant:
    """What a field stands for.

    Raises:
        ValueError: If there is no such field; it says what would be right.
    """
    side, label, key = name.partition("label.")
    if label and side in ("", "src.", "dst."):
        if not key:
            raise ValueError("the name of a label after `label.`")
        ends = [side[:-1]] if side else _SIDES
        return Meant([_label(end) for end in ends], frozenset(f"{end}_labels_id" for end in ends), key)
    column = name.replace(".", "_")
    column = _ALIASES.get(column, column)
    meant = [f"{end}_{column}" for end in _SIDES] if column in _EITHER else [column]
    if meant[0] not in columns.BY_NAME:
        raise ValueError(f"a field such as src.namespace; there is no {name!r}{_suggestion(name)}")
    return Meant([_field(columns.BY_NAME[one]) for one in meant], frozenset(meant))


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name.replace("_", "."), FIELDS, 1, 0.7)
    return f": did you mean {near[0]}?" if near else ""


def _field(column: columns.Column) -> Field:
    name = column.name
    if column.arrow == columns.TEXT:
        words = tuple(_WORDS.get(name, ()))
        read = _one_of(words) if words else _read_text
        return Field(_EQUALITY, read, lambda sign, bound: _text_test(name, sign, bound[-1]), words)
    if column.arrow == columns.ADDRESS:
        within = f"({name} >= {{}} AND {name} <= {{}})"
        return Field(("=", "!=", "in", "not in"), _read_network, lambda _, bound: within.format(*bound))
    if column.arrow == columns.TIME:
        moment = f"{name} {{}} fromUnixTimestamp64Nano({{}}, 'UTC')"
        return Field(SIGNS, _read_time, lambda sign, bound: moment.format(sign, *bound))
    if name == "protocol":
        return Field(_ORDER, _read_protocol, lambda sign, bound: f"{name} {sign} {bound[0]}", _PROTOCOLS)
    return Field(_ORDER, _number(column.clickhouse), lambda sign, bound: f"{name} {sign} {bound[0]}")


def _label(side: str) -> Field:
    labelled = f"{side}_labels_id GLOBAL IN (SELECT labels_id FROM label_sets WHERE {{}})"  # noqa: S608 (names are ours)

    def test(sign: str, bound: list[str]) -> str:
        key, value = bound
        return labelled.format(_text_test(f"labels[{key}]", sign, value))

    return Field(_EQUALITY, _read_text, test)


def _text_test(subject: str, sign: str, bound: str) -> str:
    return f"position({subject}, {bound}) > 0" if sign == "contains" else f"{subject} = {bound}"


def _read_text(text: str) -> list[tuple[str | int, str]]:
    return [(text, "String")]


def _one_of(words: Sequence[str]) -> Read:
    """Reads a word of a closed set."""

    def read(text: str) -> list[tuple[str | int, str]]:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return [(text, "String")]

    return read


def _number(kind: str) -> Read:
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
        raise ValueError(f"one of {', '.join(_PROTOCOLS)}, or a number up to 255") from None


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
