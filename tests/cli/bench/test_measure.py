from __future__ import annotations

import json
import pathlib

import pytest

from cli.bench import measure
from lab import namespaces
from model import errors

LIMIT = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        pytest.param({"value": 1.23456, "unit": "s"}, {"value": 1.235, "unit": "s"}, id="no floor"),
        pytest.param(
            {"value": 3.0, "unit": "s", "floor": 2.0, "floor_of": "receive"},
            {"value": 3.0, "unit": "s", "floor": 2.0, "floor_of": "receive", "ratio": 1.5}, id="floor",
        ),
        pytest.param(
            {"value": 3.0, "unit": "rows", "floor": 0.0, "floor_of": "sent"},
            {"value": 3.0, "unit": "rows", "floor": 0.0, "floor_of": "sent", "ratio": None},
            id="floor of nothing",
        ),
    ],
)  # fmt: skip
def test_measure_is_one_json_object(given: dict, fields: dict, capsys: pytest.CaptureFixture[str]) -> None:
    one = measure.Measure(bench="b", metric="m", **given)
    measure.say(iter([one, one]), as_json=True)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second == {"bench": "b", "metric": "m"} | fields


def test_measure_is_a_sentence_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    one = measure.Measure(bench="dump", metric="to batch", value=3.0, unit="s", floor=2.0, floor_of="receive")
    measure.say(iter([one]), as_json=False)
    assert capsys.readouterr().out == "dump: to batch 3.0 s, 1.50 times receive (2.0 s)\n"


def test_received_compares_with_what_was_sent() -> None:
    found = list(measure.received("b", {"done": 50, "seconds": 2.0}, 40, 0.004, 10))
    assert [(one.metric, one.value, one.floor) for one in found] == [
        ("rate", 25.0, None), ("CPU", 100.0, None), ("recorded", 40, 50), ("lost", 10, None),
    ]  # fmt: skip


@pytest.mark.net
def test_namespace_counts_and_is_removed() -> None:
    folder = pathlib.Path("/proc/sys/net/netfilter")
    with measure.namespace() as path:
        switches = namespaces.within(
            path, lambda: [(folder / f"nf_conntrack_{n}").read_text().strip() for n in ("acct", "timestamp")]
        )
        assert str(path) in pathlib.Path("/proc/self/mounts").read_text()
    assert switches == ["1", "1"]
    assert str(path) not in pathlib.Path("/proc/self/mounts").read_text()
    assert not path.parent.exists()


@pytest.mark.net
def test_room_is_made_and_given_back() -> None:
    before = LIMIT.read_text()
    with measure.room_for(int(before) + 7):
        assert int(LIMIT.read_text()) == int(before) + 7
    assert LIMIT.read_text() == before
    with measure.room_for(1):
        assert LIMIT.read_text() == before


def test_load_that_fails_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.SetupError, match="load generator has failed"):
        measure.Load("lives", pathlib.Path("/nowhere"), 10, 10)
    assert "No such file or directory: '/nowhere'" in capfd.readouterr().err
