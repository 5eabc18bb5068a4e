"""What the benchmarks of the ledger say of a few rows. Each is a process: one has one embedded ledger."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest


@pytest.fixture
def figures(tmp_path: pathlib.Path):
    """Runs a benchmark; each figure by its metric. Nothing stays behind."""

    def run(name: str, count: int) -> dict[str, dict]:
        command = [sys.executable, "-m", "cli.main", "bench", name, "--json", "--count", str(count)]
        place = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=place, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.iterdir()) == []
        return {figure["metric"]: figure for figure in map(json.loads, done.stdout.splitlines())}

    return run


def test_every_row_is_there_once_and_has_a_size(figures) -> None:
    told = figures("store-size", 30_000)
    assert (told["rows of flows"]["value"], told["rows of flows"]["ratio"]) == (30_000, 1)
    tables = [one["value"] for metric, one in told.items() if metric not in ("rows of flows", "all")]
    assert told["flows"]["value"] > 10
    assert sum(tables) == pytest.approx(told["all"]["value"], rel=0.01)


def test_usual_and_worst_case_of_inserts_are_told(figures) -> None:
    told = figures("store-insert", 30_000)
    for name in ("embedded", "embedded, every row a new edge"):
        assert told[name]["value"] >= told[f"{name}, all merged"]["value"] > 0
        assert told[f"{name}, CPU of this process"]["value"] > 0


def test_each_question_is_asked_a_day_and_a_month_wide(figures) -> None:
    told = figures("store-query", 20_000)
    names = [metric.removeprefix("1 d: ") for metric in told if metric.startswith("1 d: ")]
    assert {"summary", "top pairs, denied", "time series", "map, first"} <= set(names)
    assert [metric.removeprefix("30 d: ") for metric in told if metric.startswith("30 d: ")] == names
    assert all(one["value"] > 0 and one["unit"] == "ms" for one in told.values())
