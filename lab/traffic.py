"""The traffic of the lab: every host does what the scenario says, and each attempt is written down."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import time
from collections.abc import Iterator
from typing import TypedDict

from lab import hosts, network, scenario, truth
from model import cluster, enums

_PARALLEL = 400


class Traffic:
    """Servers and clients on all hosts.

    Args:
        services: All services, to dial them.
        log: Where attempts are written down.
        seed: Of all that is random.
    """

    def __init__(self, services: tuple[cluster.Service, ...], log: truth.Log, seed: int = 1) -> None:
        self._services = {f"{s.namespace}/{s.name}": s for s in services}
        self._log = log
        self._random = random.Random(seed)  # noqa: S311  # traffic, not secrets
        self._hosts: dict[str, hosts.Host] = {}
        self._servers: dict[str, hosts.Server] = {}
        self._clients: dict[str, list[asyncio.Task[None]]] = {}
        self._quiet: set[str] = set()
        self._flowing = False
        self._identifiers = itertools.count(1)
        self._room = asyncio.Semaphore(_PARALLEL)
        self.attempts = 0
        self.failed: list[BaseException] = []

    async def add(self, host: hosts.Host, ports: list[tuple[int, enums.Protocol]]) -> None:
        """A host comes up: its servers listen, and its clients begin once traffic flows."""
        server = hosts.Server(host)
        for port, protocol in ports:
            mute = protocol == enums.Protocol.UDP and port in scenario.MUTE_PORTS
            await server.listen(port, protocol, mute=mute)
        self._hosts[host.name], self._servers[host.name] = host, server
        if self._flowing:
            self._begin(host)

    async def remove(self, host: hosts.Host) -> None:
        """A host goes: its clients come to their end, then its servers."""
        await self._finish(host.name)
        await self._servers.pop(host.name).close()
        del self._hosts[host.name]

    def flow(self) -> None:
        """Let all clients begin."""
        self._flowing = True
        for host in list(self._hosts.values()):
            self._begin(host)

    async def end(self) -> None:
        """Let all clients come to their end; each finishes what it is at."""
        self._flowing = False
        await asyncio.gather(*(self._finish(name) for name in list(self._clients)))
        for server in self._servers.values():
            await server.close()

    def _begin(self, host: hosts.Host) -> None:
        patterns = [p for p in scenario.PATTERNS if p.source == host.owner]
        self._clients[host.name] = [asyncio.create_task(self._repeat(host, p)) for p in patterns]

    async def _finish(self, name: str) -> None:
        self._quiet.add(name)
        await asyncio.gather(*self._clients.pop(name, []))

    async def _repeat(self, host: hosts.Host, pattern: scenario.Pattern) -> None:
        families: Iterator[int] = itertools.cycle((0, 1))
        await self._pause(host, self._random.uniform(0, min(pattern.every, 1.5)))
        while host.name not in self._quiet:
            began = time.monotonic()
            try:
                async with self._room:
                    await self._attempt(host, pattern, next(families))
            except (OSError, TimeoutError) as error:  # the lab's own failure; the tests look at these
                self.failed.append(error)
            await self._pause(host, max(0.05, pattern.every - (time.monotonic() - began)))

    async def _pause(self, host: hosts.Host, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        until = time.monotonic() + seconds
        while host.name not in self._quiet and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2))

    async def _attempt(self, host: hosts.Host, pattern: scenario.Pattern, family: int) -> None:
        address = self._dialled(pattern, family)
        if not address:  # nobody of that workload is up just now
            return
        kind, protocol = _SOCKETS[pattern.protocol]
        inet = hosts.FAMILIES[family]
        identifier = next(self._identifiers) & 0xFFFF
        with host.open(inet, kind, protocol[family]) as opened:
            port = identifier if pattern.protocol == scenario.ICMP else opened.getsockname()[1]
            started = time.time_ns()
            outcome = await self._talk(opened, address, identifier, pattern, host)
        self.attempts += 1
        self._log.add(truth.Attempt(
            pattern=pattern.name, protocol=_number(pattern, family), family=4 if family == 0 else 6,
            src=host.name, src_owner=host.owner, src_node=host.node, src_address=host.addresses[family],
            src_port=port, dst_address=address, dst_port=pattern.port,
            dst_owner=pattern.target if isinstance(pattern.target, str) else "", service=pattern.service,
            server=outcome.server, started=started, ended=time.time_ns(), result=outcome.result,
            egress_rule=pattern.rule(enums.Direction.EGRESS, family),
            ingress_rule=pattern.rule(enums.Direction.INGRESS, family),
        ))  # fmt: skip

    async def _talk(
        self, opened: socket.socket, to: str, identifier: int, pattern: scenario.Pattern, host: hosts.Host
    ) -> hosts.Outcome:
        manner = _manner(pattern)
        if pattern.protocol == scenario.ICMP:
            return await hosts.ping(opened, to, identifier, **manner)
        if pattern.protocol == scenario.UDP:
            return await hosts.talk_udp(opened, (to, pattern.port), **manner)
        return await hosts.talk_tcp(opened, (to, pattern.port), lambda: host.name in self._quiet, **manner)

    def _dialled(self, pattern: scenario.Pattern, family: int) -> str:
        """The address to dial; empty if there is nobody."""
        targets = [h for h in self._hosts.values() if h.owner == pattern.target]
        if isinstance(pattern.target, tuple):
            return pattern.target[family]
        if not pattern.service:
            return self._random.choice(targets).addresses[family] if targets else ""
        service = self._services[pattern.service]
        addresses = [a for a in service.addresses if (":" in a) == bool(family)]
        outside = pattern.source.startswith("outside/")
        return addresses[-1 if outside else 0] if targets else ""


def _number(pattern: scenario.Pattern, family: int) -> int:
    ping = pattern.protocol == scenario.ICMP
    return int(enums.Protocol.ICMPV6 if ping and family else pattern.protocol)


def _manner(pattern: scenario.Pattern) -> _Manner:
    return {"size": pattern.size, "requests": pattern.requests, "pause": pattern.pause,
            "patience": pattern.patience}  # fmt: skip


class _Manner(TypedDict):
    size: int
    requests: int
    pause: float
    patience: float


_SOCKETS = {
    scenario.TCP: (socket.SOCK_STREAM, (0, 0)),
    scenario.UDP: (socket.SOCK_DGRAM, (0, 0)),
    scenario.ICMP: (socket.SOCK_RAW, (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)),
}
"""Socket type, and protocol number by family."""


def outside(net: network.Network, ports: hosts.Ports) -> list[hosts.Host]:
    """All hosts of the world outside."""
    return [
        hosts.Host(name=name, owner=f"outside/{name}", node="", addresses=addresses,
                   namespace=net.path(network.WORLD), ports=ports)
        for name, addresses in network.OUTSIDE.items()
    ]  # fmt: skip
