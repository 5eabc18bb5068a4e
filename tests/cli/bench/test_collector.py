from __future__ import annotations

import pathlib

import pytest

from cli.bench import collector

pytestmark = [pytest.mark.net, pytest.mark.e2e]


def test_collector_is_watched_and_ended() -> None:
    found = {one.metric: one for one in collector.watch(640, 100, 5)}
    assert list(found) == [
        "CPU at rest", "memory at rest", "CPU under load", "memory under load, most", "memory, second half",
    ]  # fmt: skip
    assert found["memory, second half"].floor_of == "first half"
    assert all(one.value > 0 for one in found.values())
    commands = (path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert not [command for command in commands if b"flowledger-bench-" in command and b"lab.load" in command]
