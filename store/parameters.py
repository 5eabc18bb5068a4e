"""Values bound to the ``{name:Type}`` of a statement, in the form in which ClickHouse reads them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

Parameters = Mapping[str, str | int]
"""Values by name; never part of a statement's text."""

NONE: Parameters = {}
"""No values."""

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\0": "\\0"}


class Written(str):
    """A value as a client of ClickHouse's has written it, in that form already."""

    __slots__ = ()


def encode(values: Parameters) -> dict[str, str]:
    """The values as escaped text (ClickHouse's ``Escaped``), which both chDB and HTTP take."""
    return {
        name: value if isinstance(value, Written) else re.sub(r"[\\\t\n\r\b\f\0]", _escape, str(value))
        for name, value in values.items()
    }


def assigned(settings: Parameters) -> str:
    """Settings as they are assigned in a statement, where no value can be bound.

    Raises:
        ValueError: If a name is no setting's.
    """
    if strange := [name for name in settings if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]:
        raise ValueError(f"{strange[0]!r} is no setting")
    quoted = {name: re.sub(r"[\\']", r"\\\g<0>", str(value)) for name, value in settings.items()}
    return ", ".join(f"{name} = '{value}'" for name, value in quoted.items())


def inserting(token: str) -> dict[str, str]:
    """The settings of an insert that is done when it is answered, and counts once.

    ClickHouse forgets a block that it has seen, by its token or else by its content, and would forget rows
    that are truly there twice: without a token each insert gets one of its own.
    """
    return {
        "insert_deduplication_token": token or uuid.uuid4().hex,
        "deduplicate_blocks_in_dependent_materialized_views": "1",
        "async_insert": "0",
        # what views have summed is summed already
        "optimize_on_insert": "0",
        # through a Distributed table: it is done when each shard has its rows, under this token
        "distributed_foreground_insert": "1",
    }


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES[match.group()]
