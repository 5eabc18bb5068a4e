"""Load for a network namespace, from a process of its own: ``python -m lab.load KIND --netns PATH …``.

It prepares all, says ``ready``, waits for a line, works at the asked rate, and says what it has done as JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import pathlib
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from lab import entries, namespaces

NETFILTER = 12  # NETLINK_NETFILTER
_SOCKETS = 64


class _Vector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """``struct msghdr``."""

    _fields_ = (
        ("name", ctypes.c_char_p), ("name_length", ctypes.c_uint32), ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )  # fmt: skip


class _Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


_libc = ctypes.CDLL(None, use_errno=True)


def paced(pieces: Iterable[tuple[int, Callable[[], object]]], rate: float) -> tuple[int, float]:
    """Do pieces of work, each worth so many; how many that were, in how many seconds.

    Args:
        pieces: How much each is worth, and the work.
        rate: How many a second at the most.
    """
    began, done = time.perf_counter(), 0
    for worth, work in pieces:
        ahead = done / rate - (time.perf_counter() - began)
        if ahead > 0.0005:
            time.sleep(ahead)
        work()
        done += worth
    return done, time.perf_counter() - began


def open_table() -> socket.socket:
    """A netfilter socket of this namespace."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    opened.bind((0, 0))
    return opened


Pieces = Iterator[tuple[int, Callable[[], object]]]


def _lives(given: argparse.Namespace) -> Pieces:
    """Connections that are born and die at once."""
    requests = list(entries.lives(entries.Kind(state=3), given.count, first=given.first))
    share, rest = divmod(given.count, len(requests))

    def pieces() -> Pieces:
        with open_table() as opened:
            for number, request in enumerate(requests):
                yield share + (number < rest), functools.partial(entries.send, opened, iter([request]))

    return pieces()


def _datagrams(given: argparse.Namespace) -> Pieces:
    """UDP datagrams to 10.0.0.2: from each of 64 ports one to each of some ports, and then once more."""
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(_SOCKETS)]
    for place, one in enumerate(opened):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # several loads, side by side
        one.bind(("10.0.0.1", 20_000 + place))
    head, host = struct.pack("=H", socket.AF_INET), socket.inet_aton("10.0.0.2") + bytes(8)
    names = [head + struct.pack(">H", given.port + place) + host for place in range(given.ports)]
    text = _Vector(b"x" * 32, 32)
    messages = (_Message * given.ports)()
    for message, name in zip(messages, names, strict=True):
        message.header = _Header(
            name=name, name_length=len(name), vectors=ctypes.pointer(text), vector_count=1
        )

    def pieces() -> Pieces:
        for number in range(0, given.count, given.ports):
            sender = opened[number // given.ports % _SOCKETS].fileno()
            worth = min(given.ports, given.count - number)
            yield worth, functools.partial(_libc.sendmmsg, sender, messages, worth, 0)

    return pieces()


_KINDS = {"lives": _lives, "datagrams": _datagrams}


def _work(given: argparse.Namespace) -> None:
    pieces = _KINDS[given.kind](given)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    done, seconds = paced(pieces, given.rate)
    sys.stdout.write(json.dumps({"done": done, "seconds": seconds}) + "\n")


def main() -> None:
    """Make load as asked."""
    parser = argparse.ArgumentParser(prog="lab.load", description=__doc__)
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("--netns", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, default=1e9)
    parser.add_argument("--first", type=int, default=0, help="number of the first connection")
    parser.add_argument("--port", type=int, default=30_000, help="the first port to send to")
    parser.add_argument("--ports", type=int, default=128, help="how many ports to send to")
    given = parser.parse_args()
    namespaces.within(given.netns, lambda: _work(given))


if __name__ == "__main__":
    main()
