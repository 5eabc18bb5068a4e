"""Load as it was asked for: so many, at such a rate, and not before somebody says so."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pyroute2
import pytest

from lab import load, namespaces

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
SOL_NETLINK, ADD_MEMBERSHIP, DESTROY = 270, 1, 3
SO_RCVBUFFORCE = 33


def test_pieces_are_worth_what_they_say() -> None:
    done: list[int] = []
    pieces = [(worth, lambda worth=worth: done.append(worth)) for worth in (5, 1, 7)]
    assert load.paced(pieces, 1e9)[0] == 13
    assert done == [5, 1, 7]


@pytest.mark.parametrize(("worth", "count"), [(1, 100), (50, 2), (10, 10)])
def test_rate_is_not_exceeded(worth: int, count: int) -> None:
    done, seconds = load.paced([(worth, lambda: None)] * (count + 1), 1000)
    assert done == worth * (count + 1)
    assert 0.09 < seconds < 0.3  # the last piece is done when a tenth of a second is over


def test_what_is_late_is_made_up_for() -> None:
    pauses = [0.05, 0, 0, 0, 0]
    began = time.perf_counter()
    load.paced([(10, lambda pause=pause: time.sleep(pause)) for pause in pauses], 1000)
    assert time.perf_counter() - began < 0.09


@pytest.fixture
def path(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A namespace in which two addresses talk over the loopback, and each connection is tracked."""
    path = tmp_path / "namespace"
    namespaces.create(path)
    try:
        namespaces.within(path, _prepare)
        yield path
    finally:
        namespaces.remove(path)


def _prepare() -> None:
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        for address in (CLIENT, SERVER):
            links.addr("add", index=1, address=address, prefixlen=32)


@contextlib.contextmanager
def _running(kind: str, path: pathlib.Path, count: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The process once it is ready."""
    command = [sys.executable, "-m", "lab.load", kind, "--netns", str(path), "--count", str(count), *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def _work(process: subprocess.Popen[str]) -> dict[str, float]:
    return json.loads(process.communicate("go\n", timeout=20)[0])


def _lives(path: pathlib.Path, count: int, *more: str) -> list[bytes]:
    """The DESTROY events of what is asked for, and none before."""
    with namespaces.within(path, load.open_table) as listening:
        listening.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        listening.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, DESTROY)
        listening.setblocking(False)
        with _running("lives", path, count, *more) as process:
            with pytest.raises(BlockingIOError):
                listening.recv(1 << 16)
            assert _work(process)["done"] == count
        events = []
        with contextlib.suppress(BlockingIOError):
            while True:
                events.append(listening.recv(1 << 16))
        return events


@pytest.mark.net
@pytest.mark.parametrize("count", [1, 200, 301])
def test_each_life_ends_once(path: pathlib.Path, count: int) -> None:
    assert len(_lives(path, count)) == count


@pytest.mark.net
def test_lives_after_the_first_are_others(path: pathlib.Path) -> None:
    tuples = [event[20:72] for first in (0, 100) for event in _lives(path, 100, "--first", str(first))]
    assert len(set(tuples)) == 200


@pytest.mark.net
@pytest.mark.parametrize(
    ("count", "ports"),
    [
        pytest.param(1, 1, id="one"),
        pytest.param(10, 4, id="not a whole round"),
        pytest.param(64 * 3, 3, id="each socket, each port"),
        pytest.param(64 * 3 + 5, 3, id="and once more"),
    ],
)
def test_datagrams_go_to_each_port_from_each_socket(path: pathlib.Path, count: int, ports: int) -> None:
    with contextlib.ExitStack() as opened:
        receiving = [opened.enter_context(_receiver(path, 30_000 + place)) for place in range(ports)]
        with _running("datagrams", path, count, "--ports", str(ports)) as process:
            assert _work(process)["done"] == count
        got = [(place, sender) for place, one in enumerate(receiving) for sender in _received(one)]
    expected = [(number % ports, 20_000 + number // ports % 64) for number in range(count)]
    assert collections.Counter(got) == collections.Counter(expected)


def _receiver(path: pathlib.Path, port: int) -> socket.socket:
    opened = namespaces.within(path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    opened.bind((SERVER, port))
    opened.setblocking(False)
    return opened


def _received(opened: socket.socket) -> Iterator[int]:
    """From which ports."""
    with contextlib.suppress(BlockingIOError):
        while True:
            payload, (host, port) = opened.recvfrom(100)
            assert (payload, host) == (b"x" * 32, CLIENT)
            yield port


@pytest.mark.net
def test_two_loads_run_side_by_side(path: pathlib.Path) -> None:
    with (
        _receiver(path, 30_000) as receiving,
        _running("datagrams", path, 50, "--ports", "1") as first,
        _running("datagrams", path, 50, "--ports", "1") as second,
    ):
        assert _work(first)["done"] + _work(second)["done"] == 100
        assert len(list(_received(receiving))) == 100


@pytest.mark.net
def test_rate_is_kept(path: pathlib.Path) -> None:
    with _running("datagrams", path, 300, "--ports", "3", "--rate", "1000") as process:
        told = _work(process)
    assert told["done"] == 300
    assert 0.28 < told["seconds"] < 0.6


@pytest.mark.net
def test_load_for_no_namespace_fails(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "lab.load", "lives", "--netns", str(tmp_path / "no"), "--count", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such file or directory" in done.stderr
