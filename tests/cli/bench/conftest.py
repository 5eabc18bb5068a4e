"""Benchmarks in small, and whether they leave anything behind."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import pytest

LIMIT = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")
Figures = dict[tuple[str, str], dict[str, object]]


@pytest.fixture
def leftovers(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[None]:
    """Fails if a namespace, a process or a changed limit is left behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = LIMIT.read_text(), _children()
    yield
    assert list(folder.iterdir()) == []
    assert str(folder) not in pathlib.Path("/proc/self/mountinfo").read_text()
    assert (LIMIT.read_text(), _children()) == before


def _children() -> set[str]:
    tasks = pathlib.Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


@pytest.fixture
def bench(leftovers: None, command: Callable[..., tuple[object, str, str]]) -> Callable[..., Figures]:
    """Runs ``flowledger bench --json``; each figure by metric and what it is held against."""

    def run(name: str, *words: str) -> Figures:
        code, out, _ = command("bench", name, "--json", *words)
        assert code == 0
        figures = [json.loads(line) for line in out.splitlines()]
        for figure in figures:
            assert figure["bench"] == name
            assert figure["value"] >= 0
            held = {"floor", "floor_of", "ratio"} if "floor" in figure else set()
            assert figure.keys() == {"bench", "metric", "value", "unit", *held}
            if held:
                assert figure["ratio"] == pytest.approx(figure["value"] / figure["floor"], rel=0.01)
        told = {(figure["metric"], figure.get("floor_of", "")): figure for figure in figures}
        assert len(told) == len(figures)
        return told

    return run
