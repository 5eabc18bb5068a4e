"""The lines of a watch: read, or refused for a reason."""

from __future__ import annotations

import contextlib
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from enrich.kubernetes import events, lines, news

OBJECT = {"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["metadata", "name", "uid", "x"]), inner),
)


@pytest.mark.parametrize("what", events.Type)
def test_event_is_read(what: events.Type) -> None:
    assert events.read(json.dumps({"type": what, "object": OBJECT}).encode()) == events.Event(what, OBJECT)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"{", "not JSON", id="cut"),
        pytest.param(b"\xff\xfe", "not JSON", id="no text"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
        pytest.param(b"[]", "without an object", id="a list"),
        pytest.param(b'{"type": "ADDED", "object": 7}', "without an object", id="a number"),
        pytest.param(b'{"type": "SHINY", "object": {}}', "unknown type of event", id="another type"),
        pytest.param(b'{"type": ["ADDED"], "object": {}}', "unknown type of event", id="type is a list"),
        pytest.param(lines.TOO_LARGE, "too large", id="too large"),
    ],
)
def test_line_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(events.UnreadableError, match=reason):
        events.read(line)


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        pytest.param({}, "without metadata", id="nothing"),
        pytest.param({"metadata": []}, "without metadata", id="metadata is a list"),
        pytest.param({"metadata": {"uid": "u"}}, "without a name", id="no name"),
        pytest.param(
            {"metadata": {"name": "a", "namespace": 1, "uid": "u"}}, "without a name", id="namespace"
        ),
        pytest.param({"metadata": {"name": "a", "uid": 7}}, "without a uid", id="uid is a number"),
    ],
)
def test_object_is_refused(thing: dict[str, object], reason: str) -> None:
    with pytest.raises(events.UnreadableError, match=reason):
        events.identity(thing)


def test_identity_and_revision() -> None:
    assert events.identity(OBJECT) == news.Present("shop", "web", "u")
    assert events.revision(OBJECT) == "7"
    with pytest.raises(events.UnreadableError, match="without a revision"):
        events.revision({"metadata": {"resourceVersion": 7}})


@pytest.mark.parametrize(
    ("entries", "seconds"),
    [
        pytest.param(None, 0, id="none"),
        pytest.param([{"time": "1970-01-01T00:00:09Z"}, {"time": "1970-01-01T00:00:05Z"}], 9, id="latest"),
        pytest.param([{"time": "1970-01-01T00:00:09Z", "subresource": "status"}], 0, id="status"),
        pytest.param([{"time": "yesterday"}, 7, {"time": "1970-01-01T00:00:09"}], 0, id="no times"),
    ],
)
def test_updated(entries: object, seconds: int) -> None:
    assert events.updated({"metadata": {"managedFields": entries}}) == seconds * 10**9


@hypothesis.given(JSON)
def test_nothing_but_a_reason_comes_of_any_json(value: object) -> None:
    for make in (events.identity, events.revision, events.updated):
        with contextlib.suppress(events.UnreadableError):
            make(events.read(json.dumps({"type": "ADDED", "object": value}).encode()).object)
