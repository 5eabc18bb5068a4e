"""What the benchmarks of suggestions and previews say of a few rows; each is a process with its ledger."""

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

    def run(name: str, count: int) -> dict[str, float]:
        command = [sys.executable, "-m", "cli.main", "bench", name, "--json", "--count", str(count)]
        place = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=place, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.iterdir()) == []
        return {figure["metric"]: figure["value"] for figure in map(json.loads, done.stdout.splitlines())}

    return run


def test_all_that_is_accepted_stays_allowed(figures) -> None:
    told = figures("suggest", 20_000)
    assert told["workloads"] == 1_000
    assert 0 < told["accepted edges"] <= told["distinct edges"] <= told["connections"]
    assert told["accepted edges that would be denied"] == 0
    assert 0 < told["policies"] <= told["rules"]
    assert told["pairs after"] < told["pairs before"]
    assert told["ledger to proof"] > 0


def test_what_a_change_denies_is_told(figures) -> None:
    told = figures("preview", 20_000)
    assert told["workloads"] == 1_000
    assert 0 < told["pairs newly denied"] < told["distinct edges"]
    assert told["pairs newly denied"] <= told["connections newly denied"] < told["connections"]
    assert told["ledger to differences"] > 0
