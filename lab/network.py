"""The lab's network: nodes, pods and outside hosts as network namespaces, joined as Calico joins them.

    pod ──veth (cali…)── node-1 ──VXLAN── node-2 ──veth── pod
                            │               │
                            └──── world ────┘     a bridge, and the addresses of all outside hosts

No interface and no route leads out of it.
"""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import pyroute2

from lab import controlplane, namespaces, rules
from model import cluster, errors

WORLD = "world"
WORLD_ADDRESSES = ("172.20.0.1", "fd00:172:20::1")
OUTSIDE = {
    "customer": ("198.51.100.20", "2001:db8:51::20"),
    "card-network": ("203.0.113.10", "2001:db8:113::10"),
    "card-network-test": ("203.0.113.200", "2001:db8:113:8000::200"),
    "mirror": ("198.51.100.80", "2001:db8:51::80"),
}
"""Hosts outside the cluster: name → IPv4 and IPv6 address (RFC 5737, RFC 3849)."""

_VIRTUAL = ("192.0.2.80", "2001:db8:80::80")
"""The load balancer's addresses, which the world reaches through the first node."""
_VXLAN_ID, _VXLAN_PORT, _MTU = 4096, 4789, 1450
_GATEWAY = ("169.254.1.1", "fe80::ecee:eeff:feee:eeee")
_GATEWAY_MAC = "ee:ee:ee:ee:ee:ee"
_BITS = (32, 128)
_NO_DAD = 0x02
"""IFA_F_NODAD: the address can be used at once, not only when the kernel has got round to it."""

_EVERYWHERE = {
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}
_NODE = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.netfilter.nf_conntrack_acct": "1",
    "net.netfilter.nf_conntrack_timestamp": "1",
}


class Network:
    """All namespaces of the lab.

    Args:
        folder: Where the namespaces are mounted, each under its name.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> pathlib.Path:
        """The namespace of a node, a pod (``namespace.name``) or the world."""
        return self._folder / name

    def pod_path(self, pod: cluster.Pod) -> pathlib.Path:
        """The namespace of a pod."""
        return self.path(f"{pod.namespace}.{pod.name}")

    def build(self) -> None:
        """Make the world and the nodes.

        Raises:
            SetupError: If the right to do so is missing.
        """
        try:
            self._create(WORLD)
            for node in controlplane.NODES:
                self._create(node.name, _NODE)
        except OSError as error:
            raise errors.SetupError(
                f"cannot make network namespaces ({error}): run as root, or allow unprivileged user "
                "namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0, and "
                "kernel.apparmor_restrict_unprivileged_userns=0)"
            ) from error
        self._configure(WORLD, _build_world)
        for node in controlplane.NODES:
            self._build_node(node)
        self._configure(WORLD, _route_world)

    def _create(self, name: str, sysctls: dict[str, str] | None = None) -> None:
        namespaces.create(self.path(name))
        namespaces.within(self.path(name), lambda: namespaces.set_sysctls(_EVERYWHERE | (sysctls or {})))
        self._configure(name, lambda links: links.link("set", index=1, state="up"))

    def _configure(self, name: str, work: Callable[[Any], object]) -> None:
        """Do something with the rtnetlink door of a namespace."""

        def inside() -> None:  # pyroute2 opens its sockets when they are used, so all of it happens there
            with pyroute2.IPRoute() as links:
                work(links)

        namespaces.within(self.path(name), inside)

    def _build_node(self, node: controlplane.Node) -> None:
        self._configure(WORLD, lambda links: _plug_in(links, node, self.path(node.name)))
        self._configure(node.name, lambda links: _connect(links, node))

    def add_pod(self, pod: cluster.Pod) -> None:
        """A namespace for the pod, with its addresses, and the way there from its node."""
        path = self.pod_path(pod)
        self._create(path.name)
        self._configure(pod.node, lambda links: _attach_pod(links, pod, path))
        self._configure(path.name, lambda links: _connect_pod(links, pod))

    def remove_pod(self, pod: cluster.Pod) -> None:
        """Take the pod's addresses away from its node, then its namespace."""
        name = rules.interface_name(pod.namespace, pod.name)
        self._configure(pod.node, lambda links: links.link("del", index=_index(links, name)))
        namespaces.remove(self.pod_path(pod))

    def load(self, name: str, script: str) -> None:
        """Give an nftables script to a namespace.

        Raises:
            SetupError: If nft is missing or refuses the script.
        """
        command = ["nft", "-f", "-"]
        try:
            done = namespaces.within(self.path(name), lambda: subprocess.run(
                command, input=script, capture_output=True, text=True, check=False
            ))  # fmt: skip
        except FileNotFoundError:
            raise errors.SetupError("nft is missing: install the package nftables") from None
        if done.returncode:
            raise errors.SetupError(f"nft refused the rules of {name}: {done.stderr.strip()}")


def _build_world(links: Any) -> None:
    links.link("add", ifname="fabric", kind="bridge")
    fabric = _index(links, "fabric")
    _address(links, fabric, WORLD_ADDRESSES, (24, 64))
    links.link("set", index=fabric, state="up")
    for addresses in OUTSIDE.values():
        _address(links, 1, addresses, _BITS)


def _route_world(links: Any) -> None:
    """The way from outside to the load balancer's addresses; pods' own addresses have none."""
    for virtual, gateway, bits in zip(_VIRTUAL, controlplane.NODES[0].addresses, _BITS, strict=True):
        links.route("add", dst=f"{virtual}/{bits}", gateway=gateway)


def _plug_in(links: Any, node: controlplane.Node, namespace: pathlib.Path) -> None:
    """In the world: a cable from the fabric to the node."""
    port = f"to-{node.name}"
    links.link("add", ifname=port, kind="veth", peer={"ifname": "eth0", "net_ns_fd": str(namespace)})
    links.link("set", index=_index(links, port), master=_index(links, "fabric"), state="up")


def _connect(links: Any, node: controlplane.Node) -> None:
    """In the node: its uplink, and the overlay to the other nodes."""
    uplink = _index(links, "eth0")
    _address(links, uplink, node.addresses, (24, 64))
    links.link("set", index=uplink, state="up")
    for gateway in WORLD_ADDRESSES:
        links.route("add", dst="default", gateway=gateway, family=_family(gateway))
    links.link(
        "add", ifname="vxlan.calico", kind="vxlan", vxlan_id=_VXLAN_ID, vxlan_port=_VXLAN_PORT,
        vxlan_link=uplink, vxlan_local=node.addresses[0], vxlan_learning=False, address=_tunnel_mac(node),
        mtu=_MTU,
    )  # fmt: skip
    tunnel = _index(links, "vxlan.calico")
    _address(links, tunnel, node.tunnel, _BITS)
    links.link("set", index=tunnel, state="up")
    for other in controlplane.NODES:
        if other != node:
            _join(links, tunnel, other)


def _attach_pod(links: Any, pod: cluster.Pod, namespace: pathlib.Path) -> None:
    """In the node: the pod's veth pair, and the routes to its addresses."""
    outer = rules.interface_name(pod.namespace, pod.name)
    peer = {"ifname": "eth0", "net_ns_fd": str(namespace), "mtu": _MTU}
    links.link("add", ifname=outer, kind="veth", address=_GATEWAY_MAC, mtu=_MTU, peer=peer)
    index = _index(links, outer)
    links.link("set", index=index, state="up")
    for address, bits in zip(pod.addresses, _BITS, strict=True):
        links.route("add", dst=f"{address}/{bits}", oif=index)


def _connect_pod(links: Any, pod: cluster.Pod) -> None:
    """In the pod: its addresses, and one gateway that is always there."""
    inner = _index(links, "eth0")
    _address(links, inner, pod.addresses, _BITS)
    links.link("set", index=inner, state="up")
    for gateway in _GATEWAY:
        links.neigh("add", dst=gateway, lladdr=_GATEWAY_MAC, ifindex=inner, state="permanent")
    links.route("add", dst=f"{_GATEWAY[0]}/32", oif=inner, scope="link")
    for gateway in _GATEWAY:
        links.route("add", dst="default", gateway=gateway, oif=inner, family=_family(gateway))


def _index(links: Any, name: str) -> int:
    index: int = links.link_lookup(ifname=name)[0]
    return index


def _family(address: str) -> int:
    inet, inet6 = 2, 10
    return inet6 if ":" in address else inet


def _address(links: Any, index: int, addresses: tuple[str, ...], lengths: tuple[int, ...]) -> None:
    for address, length in zip(addresses, lengths, strict=True):
        flags = _NO_DAD if ":" in address else 0
        links.addr("add", index=index, address=address, prefixlen=length, flags=flags)


def _tunnel_mac(node: controlplane.Node) -> str:
    return f"66:00:00:00:00:{node.name.rpartition('-')[2]:0>2}"


def _join(links: Any, tunnel: int, other: controlplane.Node) -> None:
    """The way to another node's pods, written down as Calico does: nothing is learned."""
    links.fdb("add", ifindex=tunnel, lladdr=_tunnel_mac(other), dst=other.addresses[0])
    for far, network, length in zip(other.tunnel, other.pod_networks, (26, 122), strict=True):
        links.neigh("add", dst=far, lladdr=_tunnel_mac(other), ifindex=tunnel, state="permanent")
        onlink = 4
        links.route("add", dst=f"{network}0/{length}" if ":" not in network else f"{network}/{length}",
                    gateway=far, oif=tunnel, flags=onlink)  # fmt: skip
