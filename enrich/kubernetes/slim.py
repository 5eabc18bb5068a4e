"""Objects without what we do not need, every field that stays in its original place.

A shape says what stays: ``KEEP`` all of a value; a mapping these members, each in its own shape; a list with
one shape in it all items in that shape; a function what it makes of the value. A value that is not of the
form that its shape speaks about stays as it is, so that whoever reads it can say what is wrong with it.

Slim objects share their parts (the labels and containers of a Deployment's pods are one and the same), so
nobody may change them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

Function = Callable[[Any], Any]
Shape = Mapping[str, Any] | list[Any] | Function

_SHARED = 20_000
"""Parts that are remembered for being shared, of all kinds together; then the memory begins anew."""

_parts: dict[str, Any] = {}


def keep(value: Any) -> Any:
    """A value as it is, with its texts shared."""
    if isinstance(value, str):
        return sys.intern(value) if type(value) is str else value
    if isinstance(value, dict):
        return {keep(name): keep(member) for name, member in value.items()}
    if isinstance(value, list):
        return [keep(item) for item in value]
    return value


KEEP: Function = keep


def own(value: Any) -> Any:
    """A value that hardly any other object has, as it is."""
    return value


def cut(value: Any, shape: Shape) -> Any:
    """What a shape leaves of a value."""
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return value
        return {name: cut(value[name], inner) for name, inner in shape.items() if name in value}
    if isinstance(shape, list):
        return [cut(item, shape[0]) for item in value] if isinstance(value, list) else value
    return shape(value)


def shared(shape: Shape) -> Function:
    """A shape whose results are one and the same object wherever they are equal."""

    def share(value: Any) -> Any:
        found = cut(value, shape)
        if not isinstance(found, dict | list):
            return found
        key = json.dumps(found)
        if len(_parts) >= _SHARED:
            _parts.clear()
        return _parts.setdefault(key, found)

    return share


def beginning(*prefixes: str) -> Function:
    """Of a mapping, the members whose names begin so."""

    def select(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {keep(name): member for name, member in value.items() if name.startswith(prefixes)}

    return select


def without(*names: str) -> Function:
    """Of a mapping, all members but these."""

    def select(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: keep(member) for name, member in value.items() if name not in names}

    return select


def where(member: str, values: tuple[str, ...], shape: Shape) -> Function:
    """Of a list of mappings, those whose member has one of these values."""

    def select(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [
            cut(item, shape) for item in value if not isinstance(item, dict) or item.get(member) in values
        ]

    return select
