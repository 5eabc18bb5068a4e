from __future__ import annotations

import pytest

from cli.bench import conntrack
from model import errors

pytestmark = pytest.mark.net


def test_dump_is_held_against_receiving_and_conntrack() -> None:
    found = list(conntrack.dump(2000))
    assert {(one.bench, one.metric, one.unit) for one in found} == {
        ("conntrack-dump", "dump to batch", "s"), ("conntrack-dump", "rate", "rows/s"),
    }  # fmt: skip
    assert [one.floor_of for one in found] == ["receive", "conntrack -L", ""]
    assert all(one.value > 0 for one in found)


def test_dump_without_conntrack_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(errors.SetupError, match="install the package conntrack"):
        list(conntrack.dump(2000))


def test_events_are_all_there() -> None:
    found = {one.metric: one for one in conntrack.events(3000, 50_000)}
    assert (found["recorded"].value, found["recorded"].floor, found["lost"].value) == (3000, 3000, 0)
    assert found["CPU"].unit == "us/message"
