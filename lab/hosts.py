"""Hosts of the lab, pods and outside ones: the sockets that live in their namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import socket
import struct
import typing
from collections.abc import Callable, Iterator

from lab import namespaces
from model import enums

_FIRST_PORT = 20_000
FAMILIES = (socket.AF_INET, socket.AF_INET6)
_ECHO = {socket.AF_INET: 8, socket.AF_INET6: 128}


class Ports:
    """Source ports, none given out twice for an address, so that a connection's name is never used again."""

    def __init__(self) -> None:
        self._next: dict[str, Iterator[int]] = {}

    def take(self, address: str) -> int:
        """The next port of an address."""
        return next(self._next.setdefault(address, itertools.count(_FIRST_PORT)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A namespace with an IPv4 and an IPv6 address, whatever runs in it.

    Attributes:
        name: ``namespace/pod``, or the name of an outside host.
        owner: ``namespace/workload``, or ``outside/name``.
        node: The pod's node; empty for an outside host.
    """

    name: str
    owner: str
    node: str
    addresses: tuple[str, ...]
    namespace: pathlib.Path
    ports: Ports

    def address(self, family: int) -> str:
        """Its address in a family."""
        return self.addresses[FAMILIES.index(socket.AddressFamily(family))]

    def open(self, family: int, kind: int, protocol: int = 0, *, port: int | None = None) -> socket.socket:
        """A socket in the host's namespace, bound to its address and to a port never used before."""
        flags = kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        opened = namespaces.within(self.namespace, lambda: socket.socket(family, flags, protocol))
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        raw = kind == socket.SOCK_RAW
        address = self.address(family)
        opened.bind((address, 0 if raw else self.ports.take(address) if port is None else port))
        return opened


class Server:
    """Answers on a host's ports: to a line with a number, with its own name and so many bytes."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._servers: list[asyncio.Server] = []
        self._transports: list[asyncio.BaseTransport] = []
        self._conversations: set[asyncio.Task[None]] = set()

    async def listen(self, port: int, protocol: enums.Protocol, *, mute: bool = False) -> None:
        """Listen on a port in both families; a mute UDP port takes and never answers."""
        for family in FAMILIES:
            if protocol == enums.Protocol.TCP:
                opened = self._host.open(family, socket.SOCK_STREAM, port=port)
                self._servers.append(await asyncio.start_server(self._converse, sock=opened, backlog=512))
            else:
                opened = self._host.open(family, socket.SOCK_DGRAM, port=port)
                name = b"" if mute else self._host.name.encode()
                loop = asyncio.get_running_loop()
                transport, _ = await loop.create_datagram_endpoint(
                    functools.partial(_Echo, name), sock=opened
                )
                self._transports.append(transport)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._conversations.add(task)
            task.add_done_callback(self._conversations.discard)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(self._host.name.encode() + b"\n" + bytes(int(line)))
                await writer.drain()
        writer.close()

    async def close(self) -> None:
        """Stop listening, and end what is left of conversations."""
        for server in self._servers:
            server.close()
        for transport in self._transports:
            transport.close()
        for task in list(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # CPython's own datagram transport is no asyncio.DatagramTransport, though it behaves like one
        self._transport = typing.cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        if self._name and data:
            self._transport.sendto(self._name, address)


Enough = Callable[[], bool]
"""Says whether a conversation should come to its end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt: ``answered``, ``refused``, ``timeout`` or ``sent``, and who answered."""

    result: str
    server: str = ""


async def talk_tcp(
    opened: socket.socket,
    to: tuple[str, int],
    enough: Enough,
    *,
    size: int,
    requests: int,
    pause: float,
    patience: float,
) -> Outcome:
    """Connect and ask some times for so many bytes."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            await loop.sock_connect(opened, to)
    except TimeoutError:
        return Outcome("timeout")
    except ConnectionRefusedError:
        return Outcome("refused")
    server = b""
    async with asyncio.timeout(patience + requests * (pause + 1)):
        for turn in range(requests):
            await asyncio.sleep(pause if turn else 0)
            if turn and enough():
                break
            await loop.sock_sendall(opened, b"%d\n" % size)
            answer = b""
            while b"\n" not in answer or len(answer) < answer.index(b"\n") + 1 + size:
                answer += await loop.sock_recv(opened, 1 << 18)
            server = answer[: answer.index(b"\n")]
    return Outcome("answered", server.decode())


async def talk_udp(
    opened: socket.socket, to: tuple[str, int], *, size: int, requests: int, pause: float, patience: float
) -> Outcome:
    """Send some datagrams and wait for an answer to each; no patience, no waiting."""
    loop = asyncio.get_running_loop()
    opened.connect(to)
    server = b""
    for turn in range(requests):
        await asyncio.sleep(pause if turn else 0)
        await loop.sock_sendall(opened, bytes(size))
        if not patience:
            continue
        try:
            async with asyncio.timeout(patience):
                server = await loop.sock_recv(opened, 2048)
        except TimeoutError:
            return Outcome("timeout")
        except ConnectionRefusedError:
            return Outcome("refused")
    return Outcome("answered", server.decode()) if patience else Outcome("sent")


async def ping(
    opened: socket.socket,
    to: str,
    identifier: int,
    *,
    size: int,
    requests: int,
    pause: float,
    patience: float,
) -> Outcome:
    """ICMP or ICMPv6 echo requests; the kernel of the other end answers."""
    loop = asyncio.get_running_loop()
    for turn in range(requests):
        await asyncio.sleep(pause if turn else 0)
        packet = struct.pack(">BBHHH", _ECHO[opened.family], 0, 0, identifier, turn) + bytes(size)
        if opened.family == socket.AF_INET:  # the kernel sums ICMPv6 itself
            packet = packet[:2] + struct.pack(">H", _checksum(packet)) + packet[4:]
        await loop.sock_sendto(opened, packet, (to, 0))
        try:
            async with asyncio.timeout(patience):
                await _reply(opened, identifier)
        except TimeoutError:
            return Outcome("timeout")
    return Outcome("answered")


async def _reply(opened: socket.socket, identifier: int) -> None:
    """Wait for an echo reply with our identifier; a raw socket hears everything."""
    loop = asyncio.get_running_loop()
    header = 20 if opened.family == socket.AF_INET else 0
    reply = 0 if opened.family == socket.AF_INET else 129
    while True:
        packet = await loop.sock_recv(opened, 2048)
        kind, _, _, found = struct.unpack_from(">BBHH", packet, header)
        if kind == reply and found == identifier:
            return


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1])) + (data[-1] << 8) * (
        len(data) & 1
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
