"""Made-up connections in a real kernel's table, by the word of ``conntrack`` and of the kernel."""

from __future__ import annotations

import collections
import contextlib
import pathlib
import re
import socket
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from lab import entries, namespaces

TCP, UDP, ICMP = 6, 17, 1
NETFILTER = 12
ESTABLISHED = 3

pytestmark = pytest.mark.net


class Table:
    """The table of a namespace."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self.asking = self.open()

    def open(self, groups: int = 0) -> socket.socket:
        opened = namespaces.within(
            self._path, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
        )
        opened.bind((0, groups))
        return opened

    def listed(self) -> list[str]:
        """A line for each entry."""
        return self._run("conntrack", "-L").splitlines()

    def count(self) -> int:
        return int(self._run("conntrack", "-C"))

    def _run(self, *command: str) -> str:
        return namespaces.within(
            self._path, lambda: subprocess.run(command, capture_output=True, text=True, check=True)
        ).stdout


@pytest.fixture
def table(tmp_path: pathlib.Path) -> Iterator[Table]:
    path = tmp_path / "namespace"
    namespaces.create(path)
    try:
        made = Table(path)
        with made.asking:
            yield made
    finally:
        namespaces.remove(path)


KINDS = [
    pytest.param(entries.Kind(state=ESTABLISHED), "tcp ", id="TCP"),
    pytest.param(entries.Kind(state=ESTABLISHED, family=6), "tcp ", id="TCP, IPv6"),
    pytest.param(entries.Kind(state=1, translated=False), "SYN_SENT", id="TCP, not answered"),
    pytest.param(entries.Kind(protocol=UDP), "udp ", id="UDP"),
    pytest.param(entries.Kind(protocol=UDP, family=6, translated=False), "udp ", id="UDP, IPv6"),
    pytest.param(entries.Kind(protocol=ICMP), "icmp ", id="ICMP"),
    pytest.param(entries.Kind(protocol=ICMP, family=6), "icmpv6 ", id="ICMPv6"),
]


@pytest.mark.parametrize(("kind", "word"), KINDS)
def test_entries_are_what_was_asked_for(table: Table, kind: entries.Kind, word: str) -> None:
    assert entries.send(table.asking, entries.insertions([kind], 300, seconds=5000)) == 0
    lines = table.listed()
    assert len(lines) == 300
    for line in lines:
        assert word in line
        assert ("[UNREPLIED]" in line) == (kind.state == 1)
        assert ("[ASSURED]" in line) == (kind.state != 1)
        original, reply = re.findall(r"src=(\S+) dst=(\S+)", line)
        assert original[0] == reply[1]
        assert (original[1] != reply[0]) == kind.translated
        assert (":" in original[0]) == (kind.family == 6)
        assert 4990 < int(line.split()[2]) <= 5000


@pytest.mark.parametrize(("kind", "word"), KINDS)
def test_kernel_takes_them_once(table: Table, kind: entries.Kind, word: str) -> None:
    assert entries.send(table.asking, entries.insertions([kind], 1000)) == 0
    assert entries.send(table.asking, entries.insertions([kind], 1000)) == 1000
    assert table.count() == 1000
    assert entries.send(table.asking, entries.deletions(kind, 1000)) == 0
    assert table.count() == 0
    assert entries.send(table.asking, entries.lives(kind, 1000, first=70_000)) == 0
    assert table.count() == 0


@pytest.mark.parametrize(("kind", "word"), KINDS)
def test_no_two_of_many_are_the_same(kind: entries.Kind, word: str) -> None:
    """More than a client has ports, and than there are identifiers of ICMP; either tuple names the entry."""
    count = 200_000
    requests = np.frombuffer(b"".join(entries.insertions([kind], count)), np.uint8).reshape(count, -1)
    original = 20  # where attributes begin
    reply = original + int(requests[0, original])
    for at in (original, reply):
        size = int(requests[0, at])
        tuples = np.ascontiguousarray(requests[:, at : at + size]).view(f"V{size}")
        assert len(np.unique(tuples)) == count


def test_mix_has_the_shares_that_it_says(table: Table) -> None:
    kinds = entries.mix()
    assert sum(kind.share for kind in kinds) == pytest.approx(1)
    assert entries.send(table.asking, entries.insertions(kinds, 10_000)) == 0
    lines = table.listed()
    assert len(lines) == 10_000
    protocols = collections.Counter(line.split()[0] for line in lines)
    assert protocols["tcp"] == pytest.approx(8000, abs=5)
    assert protocols["udp"] == pytest.approx(1800, abs=5)
    assert protocols["icmp"] + protocols["icmpv6"] == pytest.approx(200, abs=5)
    assert sum("src=fd00:" in line for line in lines) == pytest.approx(1000, abs=10)
    translated = [re.findall(r"dst=(\S+)", line)[0] != re.findall(r"src=(\S+)", line)[1] for line in lines]
    assert sum(translated) == pytest.approx(6000, abs=10)
    states = collections.Counter(line.split()[3] for line in lines if line.startswith("tcp"))
    assert states.keys() == {"ESTABLISHED", "TIME_WAIT", "SYN_SENT"}
    assert states["ESTABLISHED"] == pytest.approx(5600, abs=5)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_exactly_so_many(table: Table, count: int) -> None:
    assert entries.send(table.asking, entries.insertions([entries.Kind()], count)) == 0
    assert table.count() == count


@pytest.mark.parametrize(("kind", "word"), KINDS)
def test_each_life_is_one_event(table: Table, kind: entries.Kind, word: str) -> None:
    destroy = 1 << 2
    with table.open(destroy) as listening:
        assert entries.send(table.asking, entries.lives(kind, 100)) == 0
        listening.setblocking(False)
        events = 0
        with contextlib.suppress(BlockingIOError):
            while listening.recv(1 << 16):
                events += 1
    assert events == 100
    assert table.count() == 0


def test_refusals_are_counted(table: Table) -> None:
    """What is there already, and what is not there."""
    udp = entries.Kind(protocol=UDP)
    assert entries.send(table.asking, entries.insertions([udp], 100)) == 0
    assert entries.send(table.asking, entries.insertions([udp], 150)) == 100
    assert table.count() == 150
    assert entries.send(table.asking, entries.deletions(udp, 200)) == 50
    assert table.count() == 0
