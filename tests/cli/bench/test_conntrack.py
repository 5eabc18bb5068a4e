"""What the benchmarks of connections say of a few."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from cli.bench import conntrack

pytestmark = pytest.mark.net


def test_dump_is_held_against_receiving_and_listing(bench: Callable[..., dict]) -> None:
    told = bench("conntrack-dump", "--count", "2000")
    assert told.keys() == {("dump to batch", "receive"), ("dump to batch", "conntrack -L"), ("rate", "")}
    assert {figure["unit"] for figure in told.values()} == {"s", "rows/s"}
    took = told["dump to batch", "receive"]["value"]
    assert told["rate", ""]["value"] == pytest.approx(2000 / took, rel=0.01)


def test_dump_needs_conntrack(monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, err = command("bench", "conntrack-dump")
    assert (code, out) == (2, "")
    assert err == "error: conntrack is missing: install the package conntrack\n"


def test_every_event_is_recorded(bench: Callable[..., dict]) -> None:
    told = bench("conntrack-events", "--count", "2000", "--rate", "20000")
    assert told.keys() == {("rate", ""), ("CPU", ""), ("recorded", "sent"), ("lost", "")}
    assert (told["recorded", "sent"]["value"], told["recorded", "sent"]["ratio"]) == (2000, 1)
    assert told["lost", ""]["value"] == 0
    assert told["rate", ""]["value"] <= 21_000


def test_floor_is_the_whole_answer(tmp_path: pathlib.Path, leftovers: None) -> None:
    """Receiving comes to its end, whatever is in the table."""
    for count in (0, 1, 5000):
        with conntrack.measure.namespace() as path:
            assert conntrack.namespaces.within(path, lambda: conntrack._fill(count)) == 0  # noqa: B023
            assert conntrack._receive(path) > 0
