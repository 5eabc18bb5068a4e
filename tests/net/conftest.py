"""A network namespace, and what ``conntrack`` says of one."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from typing import TypeVar
from xml.etree import ElementTree

import pyroute2
import pytest

from lab import namespaces

_Result = TypeVar("_Result")


class Watched:
    """A network namespace, seen through ``conntrack``."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def within(self, work: Callable[[], _Result]) -> _Result:
        """Do something in it."""
        return namespaces.within(self.path, work)

    def run(self, *command: str, text: str = "") -> str:
        """Run a command in it; what it printed."""
        return self.within(
            lambda: subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        ).stdout

    def listed(self) -> dict[int, ElementTree.Element]:
        """The table as XML, by id."""
        told = self.run("conntrack", "-L", "-o", "xml,id,timestamp,ktimestamp")
        flows = ElementTree.fromstring(told) if told else ()  # the kernel's words
        return {int(flow.findtext(".//id") or 0): flow for flow in flows}

    def lines(self) -> dict[int, str]:
        """The table as text, by id."""
        lines = self.run("conntrack", "-L", "-o", "extended,id").splitlines()
        return {int(line.rsplit("=", 1)[1]): line for line in lines}

    @contextlib.contextmanager
    def listening(self) -> Iterator[subprocess.Popen[str]]:
        """``conntrack -E``, that tells of every end as XML, once it listens."""
        command = [
            "conntrack",
            "-E",
            "-e",
            "DESTROY",
            "-o",
            "xml,id,timestamp,ktimestamp",
            "-b",
            str(8 << 20),
        ]
        before = self._listeners()
        process = self.within(
            lambda: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
        with process:
            try:
                while self._listeners() == before:
                    assert process.poll() is None
                yield process
            finally:
                process.terminate()

    def _listeners(self) -> int:
        """Netfilter sockets in it that listen to DESTROY, by /proc/net/netlink: protocol, process, groups."""
        rows = [line.split() for line in self.run("cat", "/proc/thread-self/net/netlink").splitlines()[1:]]
        return sum(row[1] == "12" and int(row[3], 16) & 4 > 0 for row in rows)


@pytest.fixture
def watched(tmp_path: pathlib.Path) -> Iterator[Watched]:
    """A namespace in which 10.0.0.1 to 10.0.0.5 and fd00::1 to fd00::5 talk over the loopback, counted."""
    path = tmp_path / "namespace"
    namespaces.create(path)
    try:
        made = Watched(path)
        made.within(_prepare)
        yield made
    finally:
        namespaces.remove(path)


def _prepare() -> None:
    namespaces.set_sysctls({f"net.netfilter.nf_conntrack_{name}": "1" for name in ("acct", "timestamp")})
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        for last in range(1, 6):
            links.addr("add", index=1, address=f"10.0.0.{last}", prefixlen=32)
            links.addr("add", index=1, address=f"fd00::{last}", prefixlen=128, flags=2)  # no detection
        for services in ("10.96.0.0/16", "fd96::/16"):  # translated before anybody looks for a way
            links.route("add", dst=services, oif=1)


@pytest.fixture
def watching() -> Callable[[pathlib.Path], Watched]:
    """Makes namespaces that others made watched ones."""
    return Watched
