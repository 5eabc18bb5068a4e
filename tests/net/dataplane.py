"""The lab's dataplane under whatever policies, and single packets through it: what arrives, it has allowed.

Pods on two nodes, hosts outside and the nodes themselves send one packet for each connection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import pathlib
import socket
import struct
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pyroute2
import worlds

from lab import controlplane, namespaces, network, rules, tables
from model import cluster, manifest
from policy import evaluate, world

PODS = (
    ("shop", "web", 0, 2), ("shop", "cart", 1, 2), ("bank", "till", 0, 3), ("bank", "desk", 1, 3),
    ("ops", "probe", 0, 4), ("ops", "agent", 1, 4),
)  # fmt: skip
"""Namespace, name, node and the last part of the addresses."""
NETS = (
    "10.65.1.0/24", "10.65.0.0/16", "10.65.2.2", "0.0.0.0/0", "198.51.100.0/24", "172.20.0.0/24",
    "fd00:10:65:1::/64", "fd00:10:65::/48", "2001:db8:51::/64", "::/0",
)  # fmt: skip
BLOCKS = (
    ("10.65.0.0/16", "10.65.2.0/24"), ("0.0.0.0/0", "10.65.1.0/24"), ("::/0", "fd00:10:65:1::/64"),
)  # fmt: skip
TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
ARRIVED = """
table inet arrived {
  set four { typeof ip saddr . meta l4proto . th sport; flags dynamic; size 65535; }
  set six { typeof ip6 saddr . meta l4proto . th sport; flags dynamic; size 65535; }
  set pings4 { typeof ip saddr . meta l4proto . icmp id; flags dynamic; size 65535; }
  set pings6 { typeof ip6 saddr . meta l4proto . icmpv6 id; flags dynamic; size 65535; }
  chain input {
    type filter hook input priority 300; policy accept;
    meta nfproto ipv4 meta l4proto { tcp, udp, sctp } add @four { ip saddr . meta l4proto . th sport }
    meta nfproto ipv6 meta l4proto { tcp, udp, sctp } add @six { ip6 saddr . meta l4proto . th sport }
    icmp type echo-request add @pings4 { ip saddr . meta l4proto . icmp id }
    icmpv6 type echo-request add @pings6 { ip6 saddr . meta l4proto . icmpv6 id }
  }
}
"""


@dataclasses.dataclass(frozen=True)
class End:
    """Somebody who sends and receives."""

    namespace: str
    pod: int | None
    address: str


class Lab:
    """Two nodes, their pods and the world, under changing policies."""

    def __init__(self, folder: pathlib.Path, undo: contextlib.ExitStack) -> None:
        self.network = network.Network(folder / "netns")
        self.network.build()
        for name in (network.WORLD, *(node.name for node in controlplane.NODES)):
            undo.callback(namespaces.remove, self.network.path(name))
        self.pods = tuple(cluster.pod(document(one)) for one in self._bodies(worlds.Maker(0)))
        for pod in self.pods:
            self.network.add_pod(pod)
            undo.callback(namespaces.remove, self.network.pod_path(pod))
        namespaces.within(self.network.path(network.WORLD), self._route)
        self._tables: dict[tuple[str, int], tables.Table] = {}
        self._kept = undo.enter_context(contextlib.ExitStack())

    def ends(self) -> list[End]:
        found = [
            End(self.network.pod_path(pod).name, i, text)
            for i, pod in enumerate(self.pods) for text in pod.addresses
        ]  # fmt: skip
        found += [End(network.WORLD, None, text) for texts in network.OUTSIDE.values() for text in texts]
        return found + [End(node.name, None, text) for node in controlplane.NODES for text in node.addresses]

    def bodies(self, maker: worlds.Maker) -> list[worlds.Body]:
        """A cluster of these pods, with other labels, ports and policies each time."""
        nodes = [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name},
             "status": {"addresses": [{"type": "InternalIP", "address": one} for one in node.addresses]}}
            for node in controlplane.NODES
        ]  # fmt: skip
        return [*maker.namespaces(), *nodes, *self._bodies(maker), *maker.sets(), *maker.policies()]

    @staticmethod
    def _bodies(maker: worlds.Maker) -> list[worlds.Body]:
        return [
            maker.pod(name, namespace, controlplane.NODES[node].name,
                      [f"{start}{last}" for start in controlplane.NODES[node].pod_networks])
            for namespace, name, node, last in PODS
        ]  # fmt: skip

    @staticmethod
    def _route() -> None:
        """The way from outside to pods."""
        with pyroute2.IPRoute() as links:
            for node in controlplane.NODES:
                for start, gateway, bits in zip(
                    node.pod_networks, node.addresses, ("0/24", "/64"), strict=True
                ):
                    links.route("add", dst=f"{start}{bits}", gateway=gateway)

    def enforce(self, whole: rules.World) -> None:
        """Have the nodes enforce these policies."""
        for node in controlplane.NODES:
            for family in (4, 6):
                table = rules.table(whole, node.name, family)
                before = self._tables.get((node.name, family))
                self.network.load(node.name, table.update(before) if before else table.render())
                self._tables[node.name, family] = table

    def sent(self, tries: list[Try], least: int) -> set[tuple[str, int, int]]:
        """Send packets, and say which have arrived; they need no time but that of the kernel.

        Args:
            tries: The packets.
            least: How many should arrive: they are waited for, a while.
        """
        self.listen()
        for name in {one.src.namespace for one in tries}:
            mine = [one for one in tries if one.src.namespace == name]
            namespaces.within(self.network.path(name), lambda mine=mine: send(mine))
        before: set[tuple[str, int, int]] = set()
        for _ in range(100):
            found = self.arrived()
            if len(found) >= least and found == before:
                return found
            before = found
            time.sleep(0.02)
        return before

    def listen(self) -> None:
        """Note from now on what arrives."""
        for name in {end.namespace for end in self.ends()}:
            self.network.load(name, f"add table inet arrived\ndelete table inet arrived\n{ARRIVED}")

    def arrived(self) -> set[tuple[str, int, int]]:
        """Source, protocol and source port or identifier of all that has arrived anywhere."""
        listed = [
            namespaces.within(self.network.path(name), _listed)
            for name in {end.namespace for end in self.ends()}
        ]
        return {
            (src, int(protocol), int(port))
            for text in listed
            for item in json.loads(text)["nftables"]
            for src, protocol, port in (one["concat"] for one in item.get("set", {}).get("elem", []))
        }


def _listed() -> bytes:
    command = ["nft", "-nj", "list", "table", "inet", "arrived"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def document(body: worlds.Body) -> manifest.Document:
    return manifest.Document("lab", 1, body)


@contextlib.contextmanager
def built(folder: pathlib.Path) -> Iterator[Lab]:
    """A lab that is gone in the end."""
    with contextlib.ExitStack() as undo:
        yield Lab(folder, undo)


@dataclasses.dataclass(frozen=True)
class Try:
    src: End
    dst: End
    protocol: int
    src_port: int
    dst_port: int

    @property
    def key(self) -> tuple[str, int, int]:
        """How `Lab.sent` knows it."""
        return self.src.address, self.protocol, self.src_port

    def packet(self) -> bytes:
        """What goes behind the IP header."""
        if self.protocol == UDP:
            return self._summed(struct.pack("!HHHH", self.src_port, self.dst_port, 9, 0) + b"x", 6)
        if self.protocol == TCP:
            syn = struct.pack("!HHIIBBHHH", self.src_port, self.dst_port, 1, 0, 5 << 4, 2, 1024, 0, 0)
            return self._summed(syn, 16)
        if self.protocol == SCTP:
            init = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 1500, 1, 1, 1)
            common = struct.pack("!HHI", self.src_port, self.dst_port, 0)
            return common + struct.pack("<I", _crc32c(common + bytes(4) + init)) + init
        kind = 8 if self.protocol == ICMP else 128
        return self._summed(struct.pack("!BBHHH", kind, 0, 0, self.src_port, 1), 2)

    def _summed(self, data: bytes, place: int) -> bytes:
        """With the checksum of RFC 1071 over itself and the pseudo header, which IPv4's ICMP lacks."""
        src, dst = (ipaddress.ip_address(end.address).packed for end in (self.src, self.dst))
        pseudo = b"" if self.protocol == ICMP else src + dst + struct.pack("!II", len(data), self.protocol)
        padded = pseudo + data + bytes(len(data) % 2)
        total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return data[:place] + struct.pack("!H", ~total & 0xFFFF or 0xFFFF) + data[place + 2 :]


def _crc32c(data: bytes) -> int:
    """Of RFC 9260, appendix A."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def send(tries: list[Try]) -> None:
    """From the namespace that this thread is in."""
    with contextlib.ExitStack() as opened:
        sockets: dict[tuple[str, int], socket.socket] = {}
        for one in tries:
            key = one.src.address, one.protocol
            if key not in sockets:
                family = socket.AF_INET6 if ":" in one.src.address else socket.AF_INET
                made = opened.enter_context(socket.socket(family, socket.SOCK_RAW, one.protocol))
                made.bind((one.src.address, 0))
                sockets[key] = made
            with contextlib.suppress(PermissionError):  # dropped on its way out
                sockets[key].sendto(one.packet(), (one.dst.address, 0))


def judged(engine: evaluate.Engine, ends: list[End], tries: list[Try]) -> list[bool]:
    """Which of them the engine denies."""
    number = {end: i for i, end in enumerate(ends)}
    names = {(pod.namespace, pod.name): i for i, pod in enumerate(engine.world.pods)}
    pods = [world.NOBODY if end.pod is None else names[PODS[end.pod][:2]] for end in ends]

    def column(values: Iterator[int]) -> np.ndarray:
        return np.fromiter(values, np.int32)

    pings = column(8 if one.protocol == ICMP else 128 for one in tries)
    found = engine.judge(evaluate.Edges(
        ends=world.Ends(np.array(pods, np.int32), world.pack(end.address for end in ends)),
        src=column(number[one.src] for one in tries), dst=column(number[one.dst] for one in tries),
        protocol=column(one.protocol for one in tries), src_port=column(one.src_port for one in tries),
        dst_port=column(one.dst_port for one in tries), icmp_type=pings, icmp_code=np.zeros_like(pings),
    ))  # fmt: skip
    return found.denied.tolist()
