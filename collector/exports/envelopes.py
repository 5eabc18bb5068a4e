"""What stands around flows where they are kept: Elasticsearch, Loki, the answers of servers.

Elasticsearch: ``hits.hits[]._source``. Loki: ``streams[]`` of its push API, ``data.result[]`` of its query
API, the lines of logcli; the labels of a stream are fields of each of its lines. Whisker: ``items[]``.
Goldmane: ``flows[].flow``, ``flow``. Hubble: ``flow``, and what it says besides flows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_LISTS = ("items", "flows", "hits", "result", "streams")
_PARTS = ("hits", "data", "result", "_source", "flow")
_AROUND = ("node_name", "time")
"""What Hubble says of a flow again outside of it, where the flow itself may have been left without."""
_DEEPEST = 8


def unwrap(value: Any, depth: int = 0) -> Iterator[Any]:
    """The flows in a JSON value: the value itself, if it is no envelope that we know."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for one in value:
            yield from unwrap(one, depth + 1)
        return
    if not isinstance(value, dict):
        yield value
        return
    for inner in _inside(value):
        if inner is value:
            yield value
        else:
            yield from unwrap(inner, depth + 1)


def _inside(value: Mapping[str, Any]) -> Iterator[Any]:
    if isinstance(value.get("values"), list) and isinstance(value.get("stream"), dict):
        yield from (_line(value["stream"], entry) for entry in value["values"])
        return
    if isinstance(value.get("line"), str) and isinstance(value.get("labels"), dict):
        yield _line(value["labels"], ["", value["line"]])
        return
    for name in _LISTS:
        if isinstance(value.get(name), list):
            yield value[name]
            return
    for name in _PARTS:
        if isinstance(value.get(name), dict):
            around = {key: value[key] for key in _AROUND if key in value} if name == "flow" else {}
            yield {**around, **value[name]} if around else value[name]
            return
    yield value


def _line(labels: Mapping[str, Any], entry: Any) -> Any:
    """One line of a stream of Loki's, with the stream's labels; what is no such line stays as it is."""
    if not isinstance(entry, list) or len(entry) < 2 or not isinstance(entry[1], str):
        return entry
    try:
        found = json.loads(entry[1])
    except ValueError:
        return entry[1]
    return {**labels, **found} if isinstance(found, Mapping) else found
