"""Who owns the table, and that it never stays behind."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from collector.probe import ruleset, table
from model import errors

pytestmark = pytest.mark.net

PLAN = ruleset.Plan(size=64, timeout_seconds=32, period_seconds=32)
TARGET = "10.2.0.2"
NAMED = f"table inet {ruleset.TABLE}"

_OTHER = """
import os, pathlib, sys, time
from collector.netlink import sockets
from collector.probe import source
from lab import namespaces
from model import errors

def work():
    if sys.argv[2:]:
        os.setresuid(65534, 65534, 65534)
    try:
        return source.Source(None)
    except errors.SetupError as error:
        print(error)
        sys.exit(2)

namespaces._enter(pathlib.Path(sys.argv[1]))
begun = work()
begun.start()
print("begun", flush=True)
time.sleep(60)
"""


def _other(path: pathlib.Path, *more: str) -> subprocess.Popen[str]:
    command = (sys.executable, "-c", _OTHER, str(path), *more)
    root = pathlib.Path(__file__).parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def _tables(network) -> str:
    return network.run("nft", "list", "tables")


def test_closing_removes_the_table(network) -> None:
    made = table.Table(network.paths["router"], PLAN)
    assert NAMED in _tables(network)
    made.close()
    assert _tables(network) == ""
    made.close()


def test_kill_leaves_nothing(network) -> None:
    with _other(network.paths["router"]) as other:
        assert other.stdout.readline() == "begun\n"
        assert NAMED in _tables(network)
        other.send_signal(signal.SIGKILL)
    assert _tables(network) == ""


def test_second_owner_is_refused_while_the_first_lives(network) -> None:
    path = network.paths["router"]
    with _other(path) as other:
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(
            errors.SetupError, match=r"^another collector looks for drops .* or leave the drop"
        ):
            table.Table(path, PLAN)
        assert NAMED in _tables(network)
        other.kill()
    table.Table(path, PLAN).close()


def test_child_that_was_forked_does_not_keep_it(network) -> None:
    made = table.Table(network.paths["router"], PLAN)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    made.close()
    assert _tables(network) == ""
    os.close(writer)
    os.waitpid(child, 0)


def test_left_over_table_is_removed_first(network) -> None:
    network.nft(f"{NAMED} {{ chain old {{ type filter hook input priority 0; policy drop; }}; }}")
    made = table.Table(network.paths["router"], PLAN)
    assert "chain old" not in network.run("nft", "list", "ruleset")
    made.close()


def test_nobody_else_can_change_it(network) -> None:
    made = table.Table(network.paths["router"], PLAN)
    with pytest.raises(subprocess.CalledProcessError):
        network.nft(f"delete {NAMED}")
    before = network.run("nft", "list", "ruleset")
    network.nft("flush ruleset")
    assert network.run("nft", "list", "ruleset") == before
    made.close()


def test_missing_right_is_told(network) -> None:
    with _other(network.paths["router"], "as nobody") as other:
        assert other.stdout.read() == (
            "the drop probe needs CAP_NET_ADMIN: run as root, or grant it with setcap\n"
        )
        assert other.wait() == 2
    assert _tables(network) == ""


def test_failed_installation_leaves_nothing(network) -> None:
    """A set of size zero has no bound; a counting period of zero seconds is no number of the kernel's."""
    with pytest.raises(errors.SetupError, match="the kernel refuses a part of the drop probe, set seen4"):
        table.Table(network.paths["router"], ruleset.Plan(size=64, timeout_seconds=1 << 54, period_seconds=1))
    assert _tables(network) == ""


def test_dump_and_look_up_agree(network) -> None:
    made = table.Table(
        network.paths["router"], ruleset.Plan(size=1024, timeout_seconds=32, period_seconds=32)
    )
    for port in range(1, 601):
        network.send(TARGET, port)
    name = ruleset.counting_set(ruleset.Stage.SEEN, 4)
    length = ruleset.key_length(ruleset.EDGE, 4)
    dumped, unreadable = made.elements(name, length)
    assert (len(dumped), unreadable) == (600, 0)
    found = made.look_up(name, dumped.keys)
    assert (found.keys == dumped.keys).all()
    assert (found.packets == 1).all()
    assert (found.bytes == 28).all()
    assert (found.expires <= dumped.expires).all()
    absent = dumped.keys.copy()
    absent[::2, 0] ^= 1
    assert (made.look_up(name, absent).keys == dumped.keys[1::2]).all()
    assert len(made.look_up(name, np.zeros((0, length), np.uint8))) == 0
    made.close()


def test_misses_are_counted_by_stage(network) -> None:
    made = table.Table(network.paths["router"], ruleset.Plan(size=4, timeout_seconds=32, period_seconds=32))
    assert made.missed() == dict.fromkeys(ruleset.STAGES, 0)
    for port in range(1, 11):
        network.send(TARGET, port)
    assert made.missed() == {"seen": 6, "admitted": 2, "reached": 2, "passed": 2}
    made.close()
