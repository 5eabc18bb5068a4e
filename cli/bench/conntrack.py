"""``bench conntrack-dump`` and ``conntrack-events``."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

from cli.bench import measure
from collector import snapshot
from collector.conntrack import scope, source
from collector.netlink import sockets
from lab import entries, load, namespaces
from model import errors

_ROUNDS = 5
"""The best of each counts: what else the machine does can only make one slower."""
_DONE = sockets.NLMSG_DONE


def dump(count: int) -> Iterator[measure.Measure]:
    """The kernel's whole table to record batches, against receiving it and against ``conntrack -L``.

    Raises:
        SetupError: If conntrack is missing, or a right.
    """
    if not shutil.which("conntrack"):
        raise errors.SetupError("conntrack is missing: install the package conntrack")
    with measure.namespace() as path, measure.room_for(2 * count):
        refused = namespaces.within(path, lambda: _fill(count))
        if refused:
            raise errors.SetupError(f"the kernel refused {refused} of {count} connections")
        rounds = [(_ours(path, count), _receive(path), _listing(path)) for _ in range(_ROUNDS)]
    ours, received, listed = (min(times) for times in zip(*rounds, strict=True))
    name = "conntrack-dump"
    yield measure.Measure(
        bench=name, metric="dump to batch", value=ours, unit="s", floor=received, floor_of="receive"
    )
    yield measure.Measure(
        bench=name, metric="dump to batch", value=ours, unit="s", floor=listed, floor_of="conntrack -L"
    )
    yield measure.Measure(bench=name, metric="rate", value=count / ours, unit="rows/s")


def _fill(count: int) -> int:
    with load.open_table() as opened:
        return entries.send(opened, entries.insertions(entries.mix(), count))


def _ours(path: pathlib.Path, count: int) -> float:
    began = time.perf_counter()
    rows = sum(len(batch) for batch in snapshot.batches(path, scope.EVERYTHING))
    took = time.perf_counter() - began
    if rows != count:
        raise errors.SetupError(f"{rows} of {count} connections were read")
    return took


def _receive(path: pathlib.Path) -> float:
    """Ask for the same bytes, look at the last message only, and throw all away."""
    with sockets.within(path, sockets.open_netfilter) as opened:
        buffer = bytearray(1 << 16)
        began = time.perf_counter()
        opened.send(scope.EVERYTHING.request())
        while not _is_last(buffer, opened):
            pass
        return time.perf_counter() - began


def _is_last(buffer: bytearray, opened: socket.socket) -> bool:
    size = opened.recv_into(buffer)
    return bool(sockets.HEADER.unpack_from(buffer, size - sockets.HEADER.size - 4)[1] == _DONE)


def _listing(path: pathlib.Path) -> float:
    def run() -> None:
        subprocess.run(["conntrack", "-L"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    return namespaces.within(path, lambda: measure.seconds(run))


def events(count: int, rate: float) -> Iterator[measure.Measure]:
    """DESTROY events to columns: what each costs, and whether any is lost."""
    with measure.namespace() as path, measure.room_for(count):
        reader = source.Source(path, receive_buffer=8 << 20, capacity=2 * count)
        reader.start()
        try:
            generator = measure.Load("lives", path, count, rate)
            began = time.process_time()
            generator.go()
            done = generator.wait()
            rows = len(reader.read())
            spent = time.process_time() - began
            lost = reader.lost
        finally:
            reader.stop()
    yield from measure.received("conntrack-events", done, rows, spent, lost)
