"""Authorities, and what the tests of Goldmane's client share."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import goldmanelike


@pytest.fixture(scope="session")
def authority() -> goldmanelike.Authority:
    return goldmanelike.Authority()


@pytest.fixture
def goldmane(authority: goldmanelike.Authority) -> Iterator[goldmanelike.Goldmane]:
    served = goldmanelike.Goldmane(authority).start()
    yield served
    served.stop()
