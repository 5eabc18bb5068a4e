"""Entries, packets and a network namespace for the tests of the collector."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pyroute2
import pytest

from collector.conntrack import decode as conntrack
from collector.nflog import decode as nflog
from lab import namespaces
from model import address, asof

_Result = TypeVar("_Result")

SECOND = 1_000_000_000


class Namespace:
    """A network namespace in which 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2 talk over the loopback."""

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

    def socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A socket in it."""
        return self.within(lambda: socket.socket(socket.AF_INET, kind))

    @contextlib.contextmanager
    def process(self, name: str, *words: str) -> Iterator[int]:
        """A process in it that does nothing, under this name and with these words in its command line."""
        command = [name, "-c", "read line", *words]
        with self.within(
            lambda: subprocess.Popen(command, executable="/bin/sh", stdin=subprocess.PIPE)
        ) as started:
            while not pathlib.Path(f"/proc/{started.pid}/cmdline").read_bytes():
                pass  # it runs already, and the kernel is about to note its words
            yield started.pid
            started.kill()

    def netfilter_sockets(self) -> int:
        """How many netfilter sockets are open in it, besides the kernel's own."""
        rows = self.run("cat", "/proc/thread-self/net/netlink").splitlines()[1:]
        return sum(row.split()[1] == "12" for row in rows) - 1

    def nft(self, ruleset: str) -> None:
        """Load a ruleset."""
        self.run("nft", "-f", "-", text=ruleset)

    def sysctl(self, **values: int) -> None:
        """Set switches of conntrack."""
        self.within(
            lambda: namespaces.set_sysctls(
                {f"net.netfilter.nf_conntrack_{name}": str(value) for name, value in values.items()}
            )
        )


@pytest.fixture
def felix(namespace: Namespace) -> Iterator[int]:
    """A process that looks like Felix, in the namespace."""
    with namespace.process("calico-felix") as process:
        yield process


@pytest.fixture
def namespace(tmp_path: pathlib.Path) -> Iterator[Namespace]:
    """A namespace of its own with accounting and timestamps on, where every packet is tracked."""
    path = tmp_path / "namespace"
    namespaces.create(path)
    made = Namespace(path)
    try:
        made.within(_addresses)
        made.sysctl(acct=1, timestamp=1)
        made.nft("table inet track { chain input { type filter hook input priority 0; ct state new; }; }")
        yield made
    finally:
        namespaces.remove(path)


def _addresses() -> None:
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        for last in (1, 2):
            links.addr("add", index=1, address=f"10.0.0.{last}", prefixlen=32)
            links.addr("add", index=1, address=f"fd00::{last}", prefixlen=128, flags=2)  # no detection


@pytest.fixture(scope="session")
def connections() -> Callable[..., conntrack.Connections]:
    """Builds entries from dictionaries that name only what matters, as a source gives them."""
    return functools.partial(_build, conntrack.CONNECTION, _keyed, {
        "src": "10.0.0.1", "dst": "10.0.0.2", "src_port": 40000, "dst_port": 80, "protocol": 6,
        "state": 3, "status": conntrack.SEEN_REPLY, "id": 1, "started": 100 * SECOND,
        "forward_packets": 3, "forward_bytes": 300, "reverse_packets": 2, "reverse_bytes": 200,
    })  # fmt: skip


@pytest.fixture(scope="session")
def packets() -> Callable[..., nflog.Packets]:
    """Builds logged packets from dictionaries that name only what matters."""
    return functools.partial(_build, nflog.PACKET, lambda rows: rows, {
        "src": "10.0.0.1", "dst": "10.0.0.2", "src_port": 40000, "dst_port": 80, "protocol": 6,
        "time": 100 * SECOND - 1000, "length": 60, "tcp_sequence": 7,
    })  # fmt: skip


def _build(
    kind: np.dtype,
    finish: Callable[[np.ndarray], np.ndarray],
    plain: dict[str, object],
    *rows: dict[str, object],
) -> np.ndarray:
    built = np.zeros(len(rows), kind)
    for place, row in enumerate(rows):
        for name, value in (plain | row).items():
            built[name][place] = (
                np.frombuffer(address.pack(value), np.uint8) if isinstance(value, str) else value
            )
    built["tuple"] = conntrack.five_tuple(
        *(built[name] for name in ("src", "dst", "src_port", "dst_port", "protocol", "icmp_id"))
    )
    return finish(built)


def _keyed(rows: np.ndarray) -> np.ndarray:
    rows["key"] = asof.mix(rows["tuple"], rows["id"], rows["started"].view("u8"))
    return rows[np.argsort(rows["key"])]
