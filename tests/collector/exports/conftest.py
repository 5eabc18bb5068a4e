"""Exports read as an import reads them."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from collector.exports import formats, reading, rows
from model import address, enums

CAPTURES = pathlib.Path(__file__).parents[2] / "captures/exports"


def _labels_id(labels: dict[str, str]) -> int:
    return len(json.dumps(labels)) if labels else 0


def _plain(made: rows.Rows) -> list[dict[str, Any]]:
    """Rows with addresses as text and times as numbers, without what says nothing."""
    found = []
    for row in made.batch().to_pylist():
        for name, value in row.items():
            if isinstance(value, bytes):
                row[name] = address.render(value)
            elif hasattr(value, "value"):  # a time of pandas
                row[name] = value.value
        found.append({name: value for name, value in row.items() if value not in ("", 0)})
    return found


@pytest.fixture
def read() -> Callable[..., rows.Rows]:
    """Reads JSON objects in one format."""

    def read(origin: str, *flows: object, node: str = "told") -> rows.Rows:
        into = rows.Rows(enums.Origin(origin), _labels_id, node)
        formats.read(formats.unwrapped(list(enumerate(flows, 1))), into)
        return into

    return read


@pytest.fixture
def plain() -> Callable[[rows.Rows], list[dict[str, Any]]]:
    """Rows as dictionaries."""
    return _plain


@pytest.fixture
def captured(read: Callable[..., rows.Rows]) -> Callable[[str, str], rows.Rows]:
    """Reads a captured file."""

    def captured(origin: str, name: str) -> rows.Rows:
        return read(
            origin, *(value for piece in reading.pieces(CAPTURES / name) for _, value in piece.values)
        )

    return captured


@pytest.fixture
def captures() -> pathlib.Path:
    """The folder of captured files."""
    return CAPTURES
