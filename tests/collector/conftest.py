"""Entries, packets and a network namespace for the tests of the collector."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import ipaddress
import os
import pathlib
import platform
import socket
import struct
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


LRU_HASH = 9  # BPF_MAP_TYPE_LRU_HASH


class Pinned:
    """A folder of eBPF maps that are made and filled as Calico's programs do it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._descriptors: dict[str, int] = {}

    def create(
        self, name: str, sizes: tuple[int, int] = (16, 88), *, kind: int = LRU_HASH, capacity: int = 10_000
    ) -> None:
        """An empty map with keys and values of these sizes."""
        no_prealloc = 0 if kind == LRU_HASH else 1  # as Calico's maps of type HASH are
        self._descriptors[name] = _bpf(0, struct.pack("=5I", kind, *sizes, capacity, no_prealloc))
        path = ctypes.create_string_buffer(bytes(self.folder / name))
        _bpf(6, struct.pack("=QI", ctypes.addressof(path), self._descriptors[name]))

    def put(self, name: str, entries: list[tuple[bytes, bytes]]) -> None:
        """Write entries; those with the same key are replaced."""
        keys, values = (
            ctypes.create_string_buffer(b"".join(column)) for column in zip(*entries, strict=True)
        )
        _bpf(26, struct.pack("=QQQQIIQQ", 0, 0, ctypes.addressof(keys), ctypes.addressof(values),
                             len(entries), self._descriptors[name], 0, 0))  # fmt: skip

    def delete(self, name: str, key: bytes) -> None:
        """Take an entry away."""
        at = ctypes.create_string_buffer(key, len(key))
        _bpf(3, struct.pack("=IIQQQ", self._descriptors[name], 0, ctypes.addressof(at), 0, 0))

    def remove(self, name: str) -> None:
        """Take a map away."""
        (self.folder / name).unlink()
        os.close(self._descriptors.pop(name))

    def close(self) -> None:
        """Leave no map behind."""
        for name in list(self._descriptors):
            self.remove(name)


def _bpf(command: int, members: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    request = ctypes.create_string_buffer(members, len(members))
    result = libc.syscall(number, command, request, len(request))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@pytest.fixture
def pinned(tmp_path: pathlib.Path) -> Iterator[Pinned]:
    """An empty bpf filesystem."""
    folder = tmp_path / "globals"
    folder.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", folder], check=True)
    made = Pinned(folder)
    try:
        yield made
    finally:
        made.close()
        subprocess.run(["umount", folder], check=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leg:
    """One direction of an entry (``struct calico_ct_leg``)."""

    bytes: int = 0
    packets: int = 0
    bits: int = 0

    def pack(self) -> bytes:
        """As it stands in a value."""
        return struct.pack("<QIIII", self.bytes, self.packets, 0x01020304, self.bits, 7)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of a conntrack map, written down from the members of the dataplane's own structs."""

    a: str = "10.0.0.1"
    b: str = "10.0.0.2"
    a_port: int = 40000
    b_port: int = 80
    protocol: int = 6
    type: int = 0
    flags: int = 0
    ab: Leg = Leg(bytes=300, packets=3, bits=0x33)
    ba: Leg = Leg(bytes=200, packets=2, bits=0x13)
    rst_seen: int = 0
    last_seen: int = 0
    tunnel: str = ""
    dialled: str = ""
    dialled_port: int = 0
    source: str = ""
    source_port: int = 0

    @property
    def key(self) -> bytes:
        """``struct calico_ct_key``."""
        ends = ipaddress.ip_address(self.a).packed + ipaddress.ip_address(self.b).packed
        return struct.pack("<I", self.protocol) + ends + struct.pack("<HH", self.a_port, self.b_port)

    @property
    def value(self) -> bytes:
        """``struct calico_ct_value``."""
        first, second, third, fourth = struct.pack("<I", self.flags)
        head = struct.pack("<QQ4B3sB", self.rst_seen, self.last_seen, self.type, first, third, fourth,
                           bytes(3), second)  # fmt: skip
        ports = struct.pack("<HH", self.dialled_port, self.source_port)
        tail = self._address(self.tunnel) + self._address(self.dialled) + ports + self._address(self.source)
        return head + self.ab.pack() + self.ba.pack() + tail + bytes(4 if ":" in self.a else 0)

    def _address(self, text: str) -> bytes:
        """An address of the family of the ends; void if there is none."""
        return ipaddress.ip_address(text or ("::" if ":" in self.a else "0.0.0.0")).packed

    def pair(self) -> tuple[bytes, bytes]:
        """Key and value."""
        return self.key, self.value


@pytest.fixture(scope="session")
def entry() -> Callable[..., Entry]:
    """Builds entries of a conntrack map from what matters."""
    return lambda **changes: Entry(**changes)


@pytest.fixture(scope="session")
def leg() -> type[Leg]:
    """Builds one direction of an entry."""
    return Leg


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
