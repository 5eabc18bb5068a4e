"""The lines of a watch, and objects: read, or refused for a reason that is one of a few words."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Any

from enrich.kubernetes import lines, news

Object = dict[str, Any]


class Type(enum.StrEnum):
    """What an event says, by the API's own words."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


class UnreadableError(Exception):
    """A line or an object is not what it has to be; its text is one of a few reasons."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch: what has happened, and to which object."""

    type: Type
    object: Object


def read(line: bytes) -> Event:
    """One line.

    Raises:
        UnreadableError: If it is no event, or one of a type that we do not know.
    """
    if line == lines.TOO_LARGE:
        raise UnreadableError("too large")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise UnreadableError("not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("object"), dict):
        raise UnreadableError("without an object")
    kind = found.get("type")
    if not isinstance(kind, str) or kind not in Type.__members__:
        raise UnreadableError("unknown type of event")
    return Event(Type[kind], found["object"])


def revision(thing: Object) -> str:
    """The ``resourceVersion`` of an object or a list.

    Raises:
        UnreadableError: If it has none.
    """
    found = _metadata(thing).get("resourceVersion")
    if not isinstance(found, str) or not found:
        raise UnreadableError("without a revision")
    return found


def identity(thing: Object) -> news.Present:
    """What names an object.

    Raises:
        UnreadableError: If it has no name or no uid.
    """
    metadata = _metadata(thing)
    namespace, name, uid = metadata.get("namespace") or "", metadata.get("name"), metadata.get("uid")
    if not isinstance(name, str) or not name or not isinstance(namespace, str):
        raise UnreadableError("without a name")
    if not isinstance(uid, str) or not uid:
        raise UnreadableError("without a uid")
    return news.Present(namespace, name, uid)


def updated(thing: Object) -> int:
    """When anybody last wrote to an object, its status apart, in ns since 1970; 0 where it does not say."""
    entries = _metadata(thing).get("managedFields")
    if not isinstance(entries, list):
        return 0
    return max(
        (_moment(entry.get("time")) for entry in entries
         if isinstance(entry, dict) and entry.get("subresource") != "status"),
        default=0,
    )  # fmt: skip


def _metadata(thing: Object) -> Object:
    metadata = thing.get("metadata")
    if not isinstance(metadata, dict):
        raise UnreadableError("without metadata")
    return metadata


def _moment(text: object) -> int:
    try:
        moment = datetime.datetime.fromisoformat(str(text))
        return int(moment.timestamp()) * 1_000_000_000 if moment.tzinfo else 0
    except (ValueError, OverflowError):
        return 0
