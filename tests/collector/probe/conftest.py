"""A client, a router that polices, and a server, each in a network namespace of its own."""

from __future__ import annotations

import pathlib
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pyroute2
import pytest

from collector.probe import edges, source
from lab import namespaces
from model import address

_Result = TypeVar("_Result")

_NO_DAD = 0x02  # IFA_F_NODAD: an address that can be used at once
_SETTLE = 0.1
CLIENT, ROUTER, SERVER = "client", "router", "server"
_MACS = {name: f"02:00:00:00:00:{number:02x}" for number, name in enumerate(("c", "rc", "rs", "s"), 1)}


class Network:
    """10.1.0.2 and fd01::2 reach 10.2.0.2 and fd02::2 through a router that is .1 in both networks."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.paths = {name: folder / name for name in (CLIENT, ROUTER, SERVER)}
        self._probes: list[source.Source] = []

    def within(self, name: str, work: Callable[[], _Result]) -> _Result:
        """Do something in one of the namespaces."""
        return namespaces.within(self.paths[name], work)

    def run(self, *command: str, name: str = ROUTER, text: str = "") -> str:
        """Run a command in a namespace; what it printed."""
        return self.within(
            name, lambda: subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        ).stdout

    def nft(self, ruleset: str) -> None:
        """Load a ruleset on the router."""
        self.run("nft", "-f", "-", text=ruleset)

    def deny(self, match: str, *, hook: str = "forward", verdict: str = "drop", priority: int = 0) -> None:
        """One more rule on the router."""
        self.nft(
            f"table inet deny {{ chain {hook} {{ type filter hook {hook} priority {priority}; }}; }}\n"
            f"add rule inet deny {hook} {match} {verdict}"
        )

    def sysctl(self, **values: int) -> None:
        """Set sysctls on the router; two underscores stand for a dot."""
        named = {name.replace("__", "."): str(value) for name, value in values.items()}
        self.within(ROUTER, lambda: namespaces.set_sysctls(named))

    def socket(self, name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket in one of the namespaces."""
        return self.within(name, lambda: socket.socket(family, kind, protocol))

    def send(
        self,
        target: str,
        port: int,
        count: int = 1,
        *,
        sender: str = CLIENT,
        ports: range | None = None,
        payload: bytes = b"",
    ) -> None:
        """Datagrams, each from a source port of its own."""
        family = socket.AF_INET6 if ":" in target else socket.AF_INET

        def work() -> None:
            for number in ports or [0] * count:
                with socket.socket(family, socket.SOCK_DGRAM) as opened:
                    opened.bind(("", number))
                    opened.sendto(payload, (target, port))

        self.within(sender, work)

    def send_raw(self, target: str, protocol: int, payload: bytes, *, sender: str = CLIENT) -> None:
        """One packet of any protocol."""
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with self.socket(sender, family, socket.SOCK_RAW, protocol) as opened:
            opened.sendto(payload, (target, 0))

    def connect(self, target: str, port: int) -> None:
        """One SYN, and no second one."""
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with self.socket(CLIENT, family, socket.SOCK_STREAM) as opened:
            opened.setblocking(False)
            assert opened.connect_ex((target, port))

    def probe(self, **options: float) -> source.Source:
        """A source on the router, begun; it ends with the network."""
        begun = source.Source(self.paths[ROUTER], **({"settle_seconds": _SETTLE} | options))
        self._probes.append(begun)
        begun.start()
        return begun

    def close(self) -> None:
        """Remove what was made."""
        for begun in self._probes:
            begun.stop()
        for path in self.paths.values():
            namespaces.remove(path)


@pytest.fixture
def network(tmp_path: pathlib.Path) -> Iterator[Network]:
    made = Network(tmp_path)
    for path in made.paths.values():
        namespaces.create(path)
    try:
        made.within(ROUTER, lambda: _router(made.paths))
        made.within(CLIENT, lambda: _host("1", _MACS["c"], _MACS["rc"]))
        made.within(SERVER, lambda: _host("2", _MACS["s"], _MACS["rs"]))
        made.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        yield made
    finally:
        made.close()


def _router(paths: dict[str, pathlib.Path]) -> None:
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        for name, network, own, far in ((CLIENT, "1", "rc", "c"), (SERVER, "2", "rs", "s")):
            peer = {"ifname": "eth0", "net_ns_fd": str(paths[name]), "address": _MACS[far]}
            links.link("add", ifname=name, kind="veth", address=_MACS[own], peer=peer)
            index = links.link_lookup(ifname=name)[0]
            links.link("set", index=index, state="up")
            _addresses(links, index, network, 1)
            _neighbours(links, index, network, 2, _MACS[far])


def _host(network: str, mac: str, router: str) -> None:
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        index = links.link_lookup(ifname="eth0")[0]
        links.link("set", index=index, state="up")
        _addresses(links, index, network, 2)
        _neighbours(links, index, network, 1, router)
        links.route("add", dst="default", gateway=f"10.{network}.0.1")
        links.route("add", dst="default", gateway=f"fd0{network}::1", family=socket.AF_INET6)


def _addresses(links: pyroute2.IPRoute, index: int, network: str, last: int) -> None:
    links.addr("add", index=index, address=f"10.{network}.0.{last}", prefixlen=24)
    links.addr("add", index=index, address=f"fd0{network}::{last}", prefixlen=64, flags=_NO_DAD)


def _neighbours(links: pyroute2.IPRoute, index: int, network: str, last: int, mac: str) -> None:
    for far in (f"10.{network}.0.{last}", f"fd0{network}::{last}"):
        links.neigh("add", dst=far, lladdr=mac, ifindex=index, state="permanent")


@pytest.fixture(scope="session")
def settled() -> Callable[[source.Source], list[dict[str, object]]]:
    """Waits until nothing can be on its way any more, and reads; of each row what is not zero, sorted."""

    def read(begun: source.Source) -> list[dict[str, object]]:
        time.sleep(_SETTLE + 0.02)  # the kernel's clock ticks every 10 ms or less
        return sorted((_plain(row) for row in begun.read()), key=str)

    return read


def _plain(row: np.void) -> dict[str, object]:
    plain = {}
    for name in row.dtype.names or ():
        value = address.render(row[name].tobytes()) if row.dtype[name].ndim else row[name].item()
        if value and name not in ("first", "last"):
            plain[name] = edges.Reason(value).name if name == "reason" else value
    return plain


def _checksum(packet: bytes) -> bytes:
    total = sum(struct.unpack(f">{len(packet) // 2}H", packet))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF)


@pytest.fixture(scope="session")
def echo() -> Callable[[str, int], tuple[int, bytes]]:
    """Protocol number and packet of an echo request to an address, with an identifier."""

    def build(target: str, identifier: int) -> tuple[int, bytes]:
        if ":" in target:
            return socket.IPPROTO_ICMPV6, struct.pack(
                ">BBHHH", 128, 0, 0, identifier, 1
            )  # summed by the kernel
        head = struct.pack(">BBHHH", 8, 0, 0, identifier, 1)
        return socket.IPPROTO_ICMP, head[:2] + _checksum(head) + head[4:]

    return build
