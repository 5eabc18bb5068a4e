"""Figures as they are said, and the surroundings of a benchmark: made, and taken away again."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from cli.bench import measure
from lab import namespaces
from model import errors

LIMIT = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")
PLAIN = {"bench": "b", "metric": "m", "unit": "s"}


@pytest.mark.parametrize(
    ("figure", "fields", "sentence"),
    [
        pytest.param({"value": 1.23456}, {"value": 1.235}, "b: m 1.235 s", id="no floor"),
        pytest.param({"value": 123456.0}, {"value": 123500}, "b: m 123500.0 s", id="four digits"),
        pytest.param({"value": 0}, {"value": 0}, "b: m 0.0 s", id="nothing"),
        pytest.param({"value": 3, "floor": 2, "floor_of": "receive"},
                     {"value": 3, "floor": 2, "floor_of": "receive", "ratio": 1.5},
                     "b: m 3.0 s, 1.50 times receive (2.0 s)", id="floor"),
        pytest.param({"value": 3, "floor": 0, "floor_of": "sent"},
                     {"value": 3, "floor": 0, "floor_of": "sent", "ratio": None}, "b: m 3.0 s",
                     id="floor of 0"),
    ],
)  # fmt: skip
def test_figure(figure: dict, fields: dict[str, object], sentence: str) -> None:
    made = measure.Measure(**PLAIN, **figure)
    assert made.fields() == PLAIN | fields
    assert made.sentence() == sentence


def test_figures_are_said_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [measure.Measure(**PLAIN, value=value) for value in (1, 2)]
    measure.say(iter(figures), as_json=True)
    assert [json.loads(line)["value"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    measure.say(iter(figures), as_json=False)
    assert capsys.readouterr().out == "b: m 1.0 s\nb: m 2.0 s\n"


@pytest.mark.parametrize(
    ("rows", "spent", "cost", "share"),
    [pytest.param(500, 0.001, 2, 0.5, id="some"), pytest.param(0, 0.0, 0, 0, id="nothing")],
)
def test_figures_of_a_source_under_load(rows: int, spent: float, cost: float, share: float) -> None:
    sent = {"done": 1000, "seconds": 0.1}
    told = {one.metric: one for one in measure.received("b", sent, rows, spent, 500)}
    assert {name: (one.value, one.unit) for name, one in told.items()} == {
        "rate": (10_000, "messages/s"), "CPU": (cost, "us/message"), "recorded": (rows, "messages"),
        "lost": (500, "messages"),
    }  # fmt: skip
    assert told["recorded"].fields()["ratio"] == share


@pytest.mark.net
def test_namespace_counts_and_is_removed(leftovers: None) -> None:
    folder = pathlib.Path("/proc/sys/net/netfilter")
    names = ("nf_conntrack_acct", "nf_conntrack_timestamp")
    with measure.namespace() as path:
        inside = namespaces.within(path, lambda: pathlib.Path("/proc/thread-self/ns/net").stat().st_ino)
        assert inside != pathlib.Path("/proc/self/ns/net").stat().st_ino
        on = namespaces.within(path, lambda: [(folder / name).read_text() for name in names])
    assert on == ["1\n", "1\n"]
    assert not path.exists()


@pytest.mark.net
def test_namespace_is_removed_after_a_failure(leftovers: None) -> None:
    with pytest.raises(errors.SetupError), measure.namespace():
        raise errors.SetupError


@pytest.mark.net
def test_missing_right_is_named() -> None:
    script = "from cli.bench import measure\nwith measure.namespace(): pass"
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = "SetupError: cannot make a network namespace (Operation not permitted): run as root\n"
    assert done.stderr.endswith(said)


@pytest.mark.net
@pytest.mark.parametrize("more", [0, 1], ids=["there is room", "room is made"])
def test_limit_is_raised_for_a_while(leftovers: None, more: int) -> None:
    wanted = int(LIMIT.read_text()) + more
    with measure.room_for(wanted):
        assert int(LIMIT.read_text()) == wanted


@pytest.mark.net
def test_limit_is_restored_after_a_failure(leftovers: None) -> None:
    with pytest.raises(errors.SetupError), measure.room_for(int(LIMIT.read_text()) + 1):
        raise errors.SetupError


@pytest.mark.net
def test_limit_that_may_not_be_raised_is_named() -> None:
    """As in a container, to which /proc/sys is read-only."""
    mounts = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys"
    script = "from cli.bench import measure\nwith measure.room_for(1 << 30): pass"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$0" -c "$1"', sys.executable, script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.endswith(f"sysctl -w net.netfilter.nf_conntrack_max={1 << 30}\n")


@pytest.mark.net
def test_load_begins_when_told(leftovers: None) -> None:
    with measure.namespace() as path:
        load = measure.Load("lives", path, 100, 1000.0, "--first", "7")
        load.go()
        done = load.wait()
    assert done["done"] == 100
    assert 0 < done["seconds"] < 5


@pytest.mark.net
def test_load_that_is_stopped_leaves_no_process(leftovers: None) -> None:
    with measure.namespace() as path:
        load = measure.Load("lives", path, 1000, 1.0)
        load.go()
        load.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(load._process.pid, 0)


@pytest.mark.net
def test_load_that_fails_is_told(leftovers: None, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="the load generator has failed; its words are above"):
        measure.Load("lives", tmp_path / "nothing", 100, 1.0)
