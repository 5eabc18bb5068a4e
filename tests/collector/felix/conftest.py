"""What the tests of the local socket share."""

from __future__ import annotations

import pathlib
import sys
import tempfile
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "goldmane"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

from collector.felix import server


@pytest.fixture
def path() -> Iterator[pathlib.Path]:
    """Where a socket can be: a path short enough for one, in a directory that is not there yet."""
    with tempfile.TemporaryDirectory(prefix="flows") as folder:
        yield pathlib.Path(folder, "calico flows", "flows.sock")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often whether the socket is still ours."""
    monkeypatch.setattr(server, "_WATCH_SECONDS", 0.02)
