"""Manifests: what is read, and which mistake is named where."""

from __future__ import annotations

import datetime
import json
import pathlib
import re
from collections.abc import Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from model import errors, manifest

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
SET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "b"}}


def _kinds(text: str, folder: pathlib.Path, name: str = "m.yaml") -> list[tuple[int, str, str]]:
    file = folder / name
    file.write_text(text)
    return [(document.index, document.group, document.kind) for document in manifest.read(file)]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        pytest.param("m.yaml", yaml.dump(POD), [(1, "", "Pod")], id="YAML"),
        pytest.param("m.json", json.dumps(SET), [(1, "apps", "StatefulSet")], id="JSON"),
        pytest.param(
            "m.yaml",
            yaml.dump_all([POD, SET]),
            [(1, "", "Pod"), (2, "apps", "StatefulSet")],
            id="several documents",
        ),
        pytest.param(
            "m.yaml", f"---\n---\n{yaml.dump(POD)}", [(2, "", "Pod")], id="an empty document counts"
        ),
        pytest.param(
            "m.json",
            json.dumps({"apiVersion": "v1", "kind": "List", "items": [POD, SET]}),
            [(1, "", "Pod"), (1, "apps", "StatefulSet")],
            id="List",
        ),
        pytest.param("m.yaml", "kind: List\nitems: []", [], id="empty List"),
        pytest.param("m.yaml", "", [], id="empty file"),
        pytest.param("m.yaml", "# nothing yet\n", [], id="a comment"),
    ],
)
def test_objects_are_read(
    tmp_path: pathlib.Path, name: str, text: str, found: list[tuple[int, str, str]]
) -> None:
    assert _kinds(text, tmp_path, name) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("kind: [", r", document 1: line \d+, column \d+: .*expected", id="not YAML"),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nspec: {a: 1, a: 2}",
            r", document 1: line 3, column 14: the key 'a' is written twice",
            id="duplicate key",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nkind: Pod",
            r"line 3, column 1: the key 'kind' is written twice",
            id="duplicate key at the top",
        ),
        pytest.param("[1, 2]", r", document 1: must be a mapping, is a list$", id="a list"),
        pytest.param("hello", r", document 1: must be a mapping, is text$", id="text"),
        pytest.param("kind: Pod", r", document 1: apiVersion: is missing$", id="no apiVersion"),
        pytest.param(
            "apiVersion: v1\nkind: Pod\n---\napiVersion: v1", r", document 2: kind: is missing$", id="no kind"
        ),
        pytest.param("apiVersion: v1\nkind: 7", r"kind: must be text, is a number$", id="kind is a number"),
        pytest.param("kind: List\nitems: {}", r"items: must be a list, is a mapping$", id="items no list"),
        pytest.param(
            "kind: List\nitems: [null]", r"items\[0\]: must be a mapping, is null$", id="an item is null"
        ),
        pytest.param(
            "kind: List\nitems: [{kind: List, items: [{kind: Pod}]}]",
            r"items\[0\].items\[0\].apiVersion: is missing$",
            id="a List in a List",
        ),
        pytest.param(
            "a: !!python/object/new:os.system [x]",
            r"could not determine a constructor",
            id="no Python objects",
        ),
        pytest.param("created: 2026-13-01T00:00:00Z", r"is not YAML: .*month", id="a month 13"),
        pytest.param("? [a]\n: b", r"unhashable|key", id="a list as key"),
        pytest.param("1: a", r"must have text as keys: put 1 in quotes", id="a number as key"),
    ],
)
def test_mistake_is_placed(tmp_path: pathlib.Path, text: str, said: str) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    with pytest.raises(errors.ManifestError, match=said) as caught:
        manifest.read(file)
    assert caught.value.file == str(file)


def test_fields_of_an_item_are_placed_in_its_list(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"kind": "List", "items": [POD, SET]}))
    _, second = manifest.read(tmp_path / "m.json")
    assert second.field().require("kind").path == "items[1].kind"


def test_bytes_that_are_no_text_are_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"kind: \xff")
    with pytest.raises(errors.ManifestError, match=r"m\.yaml, document 1: is not YAML"):
        manifest.read(file)


def test_files_below_a_folder_in_the_order_of_their_names(tmp_path: pathlib.Path) -> None:
    for name in ("b.yaml", "a.json", "c/d.yml", "notes.txt", ".e.new"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(POD))
    assert [str(f.relative_to(tmp_path)) for f in manifest.files(tmp_path)] == ["a.json", "b.yaml", "c/d.yml"]
    assert len(manifest.load(tmp_path)) == 3
    assert manifest.files(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_missing_path_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match=r"no manifests at .*/gone: there is no such file or folder"):
        manifest.files(tmp_path / "gone")


BODY = {
    "text": "a", "number": 7, "truth": True, "list": [{"port": 1}, None], "nothing": None,
    "map": {"x": {"y": "z"}}, "labels": {"app": "web"}, "moment": "2026-01-31T12:00:00Z",
}  # fmt: skip


@pytest.fixture
def field() -> manifest.Field:
    return manifest.Document("f.yaml", 3, BODY).field()


def test_right_values_are_read(field: manifest.Field) -> None:
    assert field.require("text").text() == "a"
    assert field.require("text").one_of("a", "b") == "a"
    assert field.require("number").integer(7, 7) == 7
    assert field.require("truth").boolean() is True
    assert [item.path for item in field.require("list").items()] == ["list[0]", "list[1]"]
    assert field.require("labels").labels() == {"app": "web"}
    assert field.get("nothing") is None
    assert field.at("map", "x", "y").text() == "z"
    assert field.at("map", "gone", "y") is None
    assert field.at("nothing", "y") is None
    assert [name for name, _ in field.members()] == [name for name in BODY if name != "nothing"]
    assert field.only(*BODY) is field


Read = Callable[[manifest.Field], object]


@pytest.mark.parametrize(
    ("read", "said"),
    [
        pytest.param(lambda f: f.require("gone"), "gone: is missing", id="missing"),
        pytest.param(lambda f: f.require("nothing"), "nothing: is missing", id="null"),
        pytest.param(lambda f: f.require("map").require("x").require("q"), "map.x.q: is missing", id="deep"),
        pytest.param(lambda f: f.require("number").text(), "number: must be text, is a number", id="text"),
        pytest.param(
            lambda f: f.require("truth").integer(0, 9),
            "truth: must be a whole number, is a truth value",
            id="truth is no number",
        ),
        pytest.param(
            lambda f: f.require("text").integer(0, 9), "text: must be a whole number, is text", id="number"
        ),
        pytest.param(
            lambda f: f.require("number").integer(8, 9), "number: must lie between 8 and 9, is 7", id="bounds"
        ),
        pytest.param(
            lambda f: f.require("number").boolean(), "number: must be true or false, is a number", id="truth"
        ),
        pytest.param(
            lambda f: f.require("text").one_of("b", "c"), "text: must be one of b, c, is 'a'", id="words"
        ),
        pytest.param(lambda f: f.require("list").one_of("b"), "list: must be one of b", id="words, a list"),
        pytest.param(lambda f: f.require("text").get("x"), "text: must be a mapping, is text", id="mapping"),
        pytest.param(lambda f: f.require("map").items(), "map: must be a list, is a mapping", id="list"),
        pytest.param(
            lambda f: f.require("list").items()[0].require("port").text(),
            "list[0].port: must be text, is a number",
            id="in a list",
        ),
        pytest.param(
            lambda f: f.require("list").items()[1].mapping(),
            "list[1]: must be a mapping, is null",
            id="null in a list",
        ),
        pytest.param(lambda f: f.require("map").labels(), "map.x: must be text, is a mapping", id="labels"),
        pytest.param(
            lambda f: f.require("labels").only("role", "tier"),
            "labels.app: unknown field; known here: role, tier",
            id="unknown field",
        ),
        pytest.param(
            lambda f: f.require("text").time(), "text: must be a time such as 2026-01-31T12:00:00Z", id="time"
        ),
    ],
)
def test_wrong_value_is_named(field: manifest.Field, read: Read, said: str) -> None:
    with pytest.raises(errors.ManifestError) as caught:
        read(field)
    assert str(caught.value).startswith(f"f.yaml, document 3: {said}")


@pytest.mark.parametrize("key", [1, True, None], ids=["a number", "a truth value", "null"])
def test_label_whose_name_is_no_text_is_not_lost(key: object) -> None:
    """YAML reads ``1:``, ``yes:`` and ``~:`` as such."""
    labels = manifest.Document("f.yaml", 1, {"labels": {key: "x"}}).field().require("labels")
    with pytest.raises(errors.ManifestError, match=f"labels: must have text as keys: put {key!r} in quotes"):
        labels.labels()


def _time(value: object) -> int:
    return manifest.Document("f.yaml", 1, {"at": value}).field().require("at").time()


NOON = 1_769_860_800_000_000_000  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        pytest.param("2026-01-31T12:00:00Z", NOON, id="whole seconds"),
        pytest.param("2026-01-31T12:00:00.5Z", NOON + 500_000_000, id="one digit"),
        pytest.param("2026-01-31T12:00:00.000001Z", NOON + 1_000, id="microseconds"),
        pytest.param("2026-01-31T12:00:00.123456789Z", NOON + 123_456_789, id="nanoseconds"),
        pytest.param("2026-01-31T14:00:00+02:00", NOON, id="another zone"),
        pytest.param("1970-01-01T00:00:00Z", 0, id="1970"),
        pytest.param(
            datetime.datetime(2026, 1, 31, 12, 0, 0, 250_000), NOON + 250_000_000, id="read by YAML"
        ),
        pytest.param(datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC), NOON, id="read by YAML, UTC"),
    ],
)
def test_time(value: object, nanoseconds: int) -> None:
    assert _time(value) == nanoseconds


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00.1234567890Z",
        "now",
        "2026-13-31T12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-01-31T25:00:00Z",
        7,
        True,
    ],
)
def test_other_value_is_no_time(value: object) -> None:
    with pytest.raises(errors.ManifestError, match=r"at: (must be (a time|text)|is no t)"):
        _time(value)


@given(st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2200, 1, 1)), st.integers(0, 999))
def test_time_keeps_each_nanosecond(moment: datetime.datetime, rest: int) -> None:
    wanted = (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1) * 1000 + rest
    assert _time(f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}{rest:03d}Z") == wanted


def test_quotes_make_no_difference_to_a_time(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "apiVersion: v1\nkind: Pod\na: 2026-01-31T12:00:00Z\nb: '2026-01-31T12:00:00Z'\n"
    )
    (document,) = manifest.read(tmp_path / "m.yaml")
    assert document.field().require("a").time() == document.field().require("b").time() == NOON
    assert re.fullmatch(r".*m\.yaml", document.file)


@pytest.mark.parametrize(
    "word",
    [
        "y", "N", "yes", "off", "true", "null", "~", "1", "010", "09", "0o17", "-0O17", "0x1F", "0XfF", "0b1",
        "1e3", "12e5", "1E3", "1e+3", "-1e-3", ".5", "1.", "1.e3", ".5e2", "1_0e3", "1_000", "1:30", ".inf",
        "2026-01-31", "a: b", "a #b", "- a",
    ],
)  # fmt: skip
def test_text_that_looks_like_something_else_is_quoted(word: str) -> None:
    """As kubectl reads it, which takes more for numbers than PyYAML does."""
    written = manifest.text({"a": word, word: [word]})
    assert re.fullmatch(r"a: (['\"]).*\1\n(['\"]).*\2:\n- (['\"]).*\3\n", written)
    assert yaml.safe_load(written) == {"a": word, word: [word]}


@pytest.mark.parametrize(
    "word", ["web", "e3", "1e3x", "yy", "0o", "v1", "1-2", "10.0.0.0/8", "1.2.3.4", "größe"]
)
def test_other_text_is_not_quoted(word: str) -> None:
    assert manifest.text({"a": word}) == f"a: {word}\n"


@pytest.mark.parametrize(
    ("value", "written"), [(1, "1"), (True, "true"), (1.5, "1.5"), (1e17, "1.0e+17"), (None, "null")]
)
def test_what_is_no_text_has_no_quotes(value: object, written: str) -> None:
    assert manifest.text({"a": value}) == f"a: {written}\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x1c", "\x1b", "\x85", "\u2028", "\u2029", "\ufeff"])
def test_text_is_never_more_than_a_line(end: str) -> None:
    """Whoever sets it deeper, or sets a comment beside it, does so line by line."""
    body = {"a": f"x{end}  - {{}}", f"b{end}c": "d"}
    written = manifest.text(body)
    assert written.replace("\n", "").isprintable()
    assert yaml.safe_load(written) == body


@given(st.dictionaries(st.text(), st.text()))
def test_any_text_is_read_as_it_was_written(body: dict[str, object]) -> None:
    assert manifest.bodies(manifest.text(body)) == [body]
