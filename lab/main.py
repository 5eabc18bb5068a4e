"""The lab as a process: ``python -m lab.main --folder DIR`` builds it, says ``ready``, waits for ``go``.

It ends when its standard input does, or at SIGTERM. What it made in the kernel ends with its mount and
network namespaces, so it has to run inside a sandbox (``lab.sandbox``).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import pathlib
import signal
import sys

from lab import (
    churn,
    controlplane,
    hosts,
    namespaces,
    network,
    rules,
    scenario,
    services,
    tables,
    traffic,
    truth,
)
from model import cluster, enums, errors

_TURN_SECONDS = 9.0
_GAP_SECONDS = 1.0


class Lab:
    """The whole lab.

    Args:
        folder: Where it keeps its namespaces (``netns``), the cluster's state as manifests (``cluster``) and
            its truth (``truth.jsonl``, ``counters.json``).
        manifests: What to build.
    """

    def __init__(self, folder: pathlib.Path, manifests: pathlib.Path) -> None:
        self._folder = folder
        self._control = controlplane.ControlPlane(manifests, folder / "cluster")
        self._network = network.Network(folder / "netns")
        self._ports = hosts.Ports()
        self._log = truth.Log(folder / "truth.jsonl")
        self.traffic = traffic.Traffic(self._control.state.services, self._log)
        self._hosts: dict[str, hosts.Host] = {}
        self._counted: dict[str, dict[str, tuple[int, int]]] = {}
        self._tables: dict[tuple[str, str], tables.Table] = {}

    async def build(self) -> None:
        """Nodes, pods, rules, servers."""
        # pyroute2 and nft block, and pyroute2 brings an event loop of its own
        await asyncio.to_thread(self._network.build)
        await asyncio.to_thread(self._network.load, network.WORLD, truth.counters())
        for host in traffic.outside(self._network, self._ports):
            ports = [(p, enums.Protocol.TCP) for p in scenario.OUTSIDE_SERVERS.get(host.owner, ())]
            await self.traffic.add(host, ports)
        for pod in self._control.initial():
            await self._start(pod, reload=False)
        await asyncio.to_thread(self._load_rules)

    async def _start(self, pod: cluster.Pod, *, reload: bool = True) -> None:
        await asyncio.to_thread(self._network.add_pod, pod)
        await asyncio.to_thread(self._network.load, self._network.pod_path(pod).name, truth.counters())
        running = self._control.run(pod)
        if reload:
            await asyncio.to_thread(self._load_rules)
        host = hosts.Host(
            name=f"{pod.namespace}/{pod.name}", owner=_owner(running), node=pod.node,
            addresses=pod.addresses, namespace=self._network.pod_path(pod), ports=self._ports,
        )  # fmt: skip
        self._hosts[host.name] = host
        await self.traffic.add(host, [(p.number, p.protocol) for p in pod.ports])

    async def _stop(self, pod: cluster.Pod) -> None:
        host = self._hosts.pop(f"{pod.namespace}/{pod.name}")
        await self.traffic.remove(host)
        self._counted[host.name] = truth.count(host.namespace)
        await asyncio.to_thread(self._network.remove_pod, pod)
        self._control.finish(pod)
        await asyncio.to_thread(self._load_rules)

    def _load_rules(self) -> None:
        world = rules.World(cluster=self._control.state, policies=self._control.policies)
        for node in controlplane.NODES:
            # One table at a time: in a user namespace a netlink message is bounded by net.core.wmem_max
            for family in (4, 6):
                self._load_table(node.name, rules.table(world, node.name, family))
            self._network.load(node.name, services.render(world.cluster, node.name))

    def _load_table(self, node: str, table: tables.Table) -> None:
        before = self._tables.get((node, table.name))
        self._network.load(node, table.update(before) if before else table.render())
        self._tables[node, table.name] = table

    async def run(self, ended: asyncio.Event) -> None:
        """Traffic until the end; now and then a pod ends, and another workload's pod gets its address."""
        self.traffic.flow()
        turn = 0
        while not await _happened(ended, _TURN_SECONDS):
            old, new = (scenario.SUCCESSION[(turn + i) % 2] for i in (0, 1))
            pod = next((p for p in self._control.pods.values() if _owner(p) == old), None)
            if pod is None:  # these manifests have no such workload
                continue
            await self._stop(pod)
            await asyncio.sleep(_GAP_SECONDS)
            await self._start(self._control.new_pod(self._control.workload(new), like=pod))
            turn += 1

    async def end(self) -> None:
        """Bring all traffic to its end and write the truth down."""
        await self.traffic.end()
        self._log.close()
        for host in self._hosts.values():
            self._counted[host.name] = truth.count(host.namespace)
        self._counted[network.WORLD] = truth.count(self._network.path(network.WORLD))
        (self._folder / "counters.json").write_text(json.dumps(self._counted))
        if self.traffic.failed:
            first = self.traffic.failed[0]
            sys.stderr.write(f"lab: {len(self.traffic.failed)} attempts failed, the first: {first!r}\n")


async def _happened(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, but not longer than some seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


def _owner(pod: cluster.Pod) -> str:
    suffix = f"-{pod.labels.get('pod-template-hash', '')}"
    return f"{pod.namespace}/{pod.owner_name.removesuffix(suffix)}"


def _say(word: str) -> None:
    """Tell whoever started us; they read line by line."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _heed(lines: asyncio.StreamReader, go: asyncio.Event) -> None:
    """Wait for the word ``go``, then for the end of the input."""
    while line := await lines.readline():
        if line.strip() == b"go":
            go.set()


async def _run(lab: Lab | churn.Churn) -> None:
    loop, go, ended = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    lines = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    heeding = asyncio.create_task(_heed(lines, go))
    for event in (go, ended):
        heeding.add_done_callback(lambda _, event=event: event.set())  # type: ignore[misc]  # bound now
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heeding.cancel)
    await lab.build()
    _say("ready")
    await go.wait()
    if not ended.is_set():
        await lab.run(ended)
    await lab.end()
    reading.close()
    _say("ended")


def _leave() -> None:
    """Never touch the network that we were started in, not even by mistake."""
    try:
        namespaces.leave()
    except OSError as error:
        raise errors.SetupError(f"cannot make a network namespace ({error.strerror}): run as root") from error


def main() -> None:
    """Run the lab until told to end."""
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--manifests", type=pathlib.Path, default=controlplane.built_in())
    parser.add_argument(
        "--churn", type=float, help="replace one pod every so many seconds, and do nothing else"
    )
    given = parser.parse_args()
    try:
        _leave()
        churning = given.churn is not None
        lab = churn.Churn(given.folder, given.churn) if churning else Lab(given.folder, given.manifests)
        asyncio.run(_run(lab))
    except errors.FlowledgerError as error:
        _say(f"error: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
