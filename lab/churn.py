"""Churn: a pod that is replaced all the time, and whose address the next one has at once.

Pods of two workloads take turns. Each talks to the peers, and they to it, for as long as it lives; nothing
else happens, and but for their namespace's profile no policy is in force. It is as hard as it gets for who
names addresses.
"""

from __future__ import annotations

import asyncio
import itertools
import pathlib
import socket
import time

from lab import controlplane, hosts, network, truth
from model import cluster, enums

_TURNS = ("churn/tick", "churn/tock")
_PEERS = "churn/peer"
_PORT = 8080
_CONNECTIONS = 50
"""In each life: so many begin as soon as the pod is there."""
_PATIENCE_SECONDS = 5.0
_RULES = """
table inet churn {
    chain seen {
        type filter hook forward priority 0
        ct state new iifname "cali*" log prefix "ARE0|kns.churn" snaplen 80 group 2
        ct state new oifname "cali*" log prefix "ARI0|kns.churn" snaplen 80 group 1
    }
}
"""
"""Has the kernel follow connections, and logs as Calico's rules do for a profile that allows all."""


def built_in() -> pathlib.Path:
    """The folder of the manifests that churn needs."""
    return pathlib.Path(__file__).with_name("churned")


class Churn:
    """A lab of its own; `lab.main` runs it as it runs the other.

    Args:
        folder: Where it keeps its namespaces, the cluster's state and its truth.
        every: Seconds from one pod to the next.
    """

    def __init__(self, folder: pathlib.Path, every: float) -> None:
        self._control = controlplane.ControlPlane(built_in(), folder / "cluster")
        self._network = network.Network(folder / "netns")
        self._ports = hosts.Ports()
        self._log = truth.Log(folder / "truth.jsonl")
        self._every = every
        self._peers: list[hosts.Host] = []
        self._servers: list[hosts.Server] = []

    async def build(self) -> None:
        """Nodes and peers."""
        await asyncio.to_thread(self._network.build)
        for node in controlplane.NODES:
            await asyncio.to_thread(self._network.load, node.name, _RULES)
        workload = self._control.workload(_PEERS)
        for index in range(workload.replicas):
            host, server = await self._start(self._control.new_pod(workload, index))
            self._peers.append(host)
            self._servers.append(server)

    async def run(self, ended: asyncio.Event) -> None:
        """One pod after the other, until the end."""
        pod: cluster.Pod | None = None
        for name in itertools.cycle(_TURNS):
            if ended.is_set():
                return
            began = time.monotonic()
            pod = self._control.new_pod(self._control.workload(name), like=pod)
            await self._live(pod)
            await asyncio.sleep(max(0.0, began + self._every - time.monotonic()))

    async def end(self) -> None:
        """Write the truth down."""
        for server in self._servers:
            await server.close()
        self._log.close()

    async def _start(self, pod: cluster.Pod) -> tuple[hosts.Host, hosts.Server]:
        await asyncio.to_thread(self._network.add_pod, pod)
        running = self._control.run(pod)
        host = hosts.Host(
            name=f"{pod.namespace}/{pod.name}", owner=f"{pod.namespace}/{pod.owner_name}", node=pod.node,
            addresses=running.addresses, namespace=self._network.pod_path(pod), ports=self._ports,
        )  # fmt: skip
        server = hosts.Server(host)
        await server.listen(_PORT, enums.Protocol.TCP)
        return host, server

    async def _live(self, pod: cluster.Pod) -> None:
        """A whole life."""
        host, server = await self._start(pod)
        peers = itertools.cycle(self._peers)
        pairs = [(host, next(peers)) if turn % 2 else (next(peers), host) for turn in range(_CONNECTIONS)]
        await asyncio.gather(*(
            self._talk(src, dst, turn // 2 % 2) for turn, (src, dst) in enumerate(pairs)
        ))  # fmt: skip
        await server.close()
        await asyncio.to_thread(self._network.remove_pod, pod)
        self._control.finish(self._control.pods[host.name])

    async def _talk(self, src: hosts.Host, dst: hosts.Host, family: int) -> None:
        with src.open(hosts.FAMILIES[family], socket.SOCK_STREAM) as opened:
            started, port = time.time_ns(), opened.getsockname()[1]
            outcome = await hosts.talk_tcp(
                opened, (dst.addresses[family], _PORT), lambda: False, size=100, requests=1, pause=0.0,
                patience=_PATIENCE_SECONDS,
            )  # fmt: skip
        self._log.add(truth.Attempt(
            pattern="churn", protocol=enums.Protocol.TCP.value, family=6 if family else 4, src=src.name,
            src_owner=src.owner, src_node=src.node, src_address=src.addresses[family], src_port=port,
            dst_address=dst.addresses[family], dst_port=_PORT, dst_owner=dst.owner, service="",
            server=outcome.server, started=started, ended=time.time_ns(), result=outcome.result,
            egress_rule="", ingress_rule="",
        ))  # fmt: skip
