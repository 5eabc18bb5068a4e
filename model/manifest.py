"""Kubernetes objects as people write them: YAML or JSON files, and strict reading of their fields.

This is the one door to YAML.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import re
from collections.abc import Iterator

import yaml

from model import errors

SUFFIXES = (".yaml", ".yml", ".json")


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest and where it stood.

    Attributes:
        index: Which document of the file, from 1.
        place: Where in a ``List``; empty outside of one.
    """

    file: str
    index: int
    body: dict[str, object]
    place: str = ""

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])

    @property
    def group(self) -> str:
        """The API group: what stands before the slash of ``apiVersion``; empty for the core group."""
        version = str(self.body["apiVersion"])
        return version.partition("/")[0] if "/" in version else ""

    def field(self) -> Field:
        """The whole object, as a field to read from."""
        return Field(self, self.place, self.body)


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A value inside a document, with its path for error messages."""

    document: Document
    path: str
    value: object

    def error(self, reason: str) -> errors.ManifestError:
        """The error to raise when this value is wrong."""
        return errors.ManifestError(self.document.file, self.document.index, self.path, reason)

    def get(self, name: str) -> Field | None:
        """A member of this mapping; None where it is absent or null."""
        value = self.mapping().get(name)
        return None if value is None else Field(self.document, f"{self.path}.{name}".lstrip("."), value)

    def require(self, name: str) -> Field:
        """A member that has to be there."""
        found = self.get(name)
        if found is None:
            raise dataclasses.replace(self, path=f"{self.path}.{name}".lstrip(".")).error("is missing")
        return found

    def at(self, *names: str) -> Field | None:
        """A member of a member of …; None where any of them is absent or null."""
        here: Field | None = self
        for name in names:
            here = here.get(name) if here else None
        return here

    def only(self, *names: str) -> Field:
        """This mapping, after making sure that it has no other members than these."""
        for name in self.mapping():
            if name not in names:
                unknown = dataclasses.replace(self, path=f"{self.path}.{name}".lstrip("."))
                raise unknown.error(f"unknown field; known here: {', '.join(sorted(names))}")
        return self

    def mapping(self) -> dict[str, object]:
        """This value as a mapping with text keys."""
        if not isinstance(self.value, dict):
            raise self.error(f"must be a mapping, is {_kind_of(self.value)}")
        for name in self.value:
            if not isinstance(name, str):
                raise self.error(f"must have text as keys: put {name!r} in quotes")
        return self.value

    def members(self) -> Iterator[tuple[str, Field]]:
        """Each member of this mapping that is not null."""
        for name in self.mapping():
            member = self.get(str(name))
            if member is not None:
                yield str(name), member

    def items(self) -> list[Field]:
        """The items of this list."""
        if not isinstance(self.value, list):
            raise self.error(f"must be a list, is {_kind_of(self.value)}")
        return [Field(self.document, f"{self.path}[{i}]", item) for i, item in enumerate(self.value)]

    def text(self) -> str:
        """This value as text."""
        if not isinstance(self.value, str):
            raise self.error(f"must be text, is {_kind_of(self.value)}")
        return self.value

    def one_of(self, *words: str) -> str:
        """This value, which has to be one of a few words."""
        if self.value not in words:
            raise self.error(f"must be one of {', '.join(words)}, is {self.value!r}")
        return str(self.value)

    def integer(self, low: int, high: int) -> int:
        """This value as a whole number between two bounds, both included."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.error(f"must be a whole number, is {_kind_of(self.value)}")
        if not low <= self.value <= high:
            raise self.error(f"must lie between {low} and {high}, is {self.value}")
        return self.value

    def boolean(self) -> bool:
        """This value as a truth value."""
        if not isinstance(self.value, bool):
            raise self.error(f"must be true or false, is {_kind_of(self.value)}")
        return self.value

    def labels(self) -> dict[str, str]:
        """This value as labels: text to text."""
        return {name: member.text() for name, member in self.members()}

    def time(self) -> int:
        """This value as a moment (RFC 3339), in nanoseconds since 1970."""
        value = self.value
        if isinstance(value, datetime.datetime):  # YAML reads an unquoted timestamp as one
            return _nanoseconds(value)
        match = re.fullmatch(
            r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", self.text()
        )
        if not match:
            raise self.error("must be a time such as 2026-01-31T12:00:00Z")
        whole, fraction, zone = match.groups()
        try:
            moment = datetime.datetime.fromisoformat(whole + zone)
        except ValueError as error:
            raise self.error(f"is no time that there is: {error}") from None
        return _nanoseconds(moment) + int((fraction or "0").ljust(9, "0"))


def _nanoseconds(moment: datetime.datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (moment - epoch) // datetime.timedelta(microseconds=1) * 1000


def _kind_of(value: object) -> str:
    words = {dict: "a mapping", list: "a list", str: "text", bool: "a truth value", int: "a number",
             float: "a number", type(None): "null"}  # fmt: skip
    return words.get(type(value), type(value).__name__)


def files(path: pathlib.Path) -> list[pathlib.Path]:
    """The manifest files at a path: itself, or all below it, in the order of their names.

    Raises:
        SetupError: If there is nothing at the path.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise errors.SetupError(f"no manifests at {path}: there is no such file or folder")
    return sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())


def read(file: pathlib.Path) -> list[Document]:
    """All objects of one file; the items of a ``List`` count as objects of their own.

    Raises:
        ManifestError: If the file is no YAML, or an object of it has no kind.
    """
    return [
        document
        for index, body in enumerate(_bodies(file), start=1) if body is not None
        for document in objects(str(file), index, body)
    ]  # fmt: skip


def listed(file: pathlib.Path) -> list[Field]:
    """The items of a list that a file holds.

    Raises:
        ManifestError: If the file is no YAML, or holds no list.
    """
    whole = (Field(Document(str(file), i, {}), "", body) for i, body in enumerate(_bodies(file), start=1))
    return [item for field in whole for item in field.items()]


def objects(file: str, index: int, body: object, place: str = "") -> Iterator[Document]:
    """The object that was read from somewhere; of a ``List`` its items.

    Args:
        file: Where from.
        index: Which document there, from 1.
        body: The object.
        place: Where in a ``List``.

    Raises:
        ManifestError: If it has no kind.
    """
    field = Field(Document(file, index, {}), place, body)
    field.mapping()
    if field.require("kind").text() == "List":
        for item in field.require("items").items():
            yield from objects(file, index, item.value, item.path)
        return
    field.require("apiVersion").text()
    assert isinstance(body, dict)  # noqa: S101  # mapping() above has made sure
    yield Document(file, index, body, place)


def bodies(text: str) -> list[object]:
    """What the documents of a text hold.

    Raises:
        yaml.YAMLError: If it is no YAML.
        ValueError: If a date in it is none, such as 2026-13-01.
    """
    return list(yaml.load_all(text, Loader=_Loader))  # a subclass of the safe loader


def _bodies(file: pathlib.Path) -> list[object]:
    try:
        return bodies(file.read_text())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise errors.ManifestError(str(file), 1, place, error.problem or "is not YAML") from error
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, or a date such as 2026-13-01
        raise errors.ManifestError(str(file), 1, "", f"is not YAML: {error}") from error


def text(body: dict[str, object]) -> str:
    """An object as YAML, in the order in which it was written."""
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def load(path: pathlib.Path) -> list[Document]:
    """All objects of a file, or of all files below a folder."""
    return [document for file in files(path) for document in read(file)]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # C where libyaml is there
    """Safe loading, except that a key written twice is an error and not a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} is written twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep=deep))


class _Dumper(yaml.SafeDumper):
    """Safe dumping, with quotes about all text that kubectl would take for something else.

    It reads YAML with fewer rules about numbers than PyYAML knows, and ``y`` as true.
    """

    def represent_words(self, text: str) -> yaml.ScalarNode:
        """Text; what is not printable is escaped, as not everybody agrees on what ends a line."""
        style = None if text.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_words)
for _kind, _form, _first in (
    ("bool", r"[yYnN]$", "yYnN"),
    ("float", r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9_]+)?$", "-+.0123456789"),
    ("int", r"[-+]?0[bBoOxX][0-9a-fA-F_]+$", "-+0"),
):
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_form), list(_first))
