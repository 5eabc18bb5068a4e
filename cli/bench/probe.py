"""``bench probe``: what the probe costs each packet of a new connection, and whether it misses any."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

from cli.bench import measure, nflog
from collector.probe import source

_UNHURRIED = 1e9
_SETTLE_SECONDS = 0.2
_RULES = """
table inet bench {
  chain input {
    type filter hook input priority 0;
    udp dport 30000-40000 drop
  }
}
"""


def drops(count: int, rate: float) -> Iterator[measure.Measure]:
    """Dropped packets that the probe tells of, and their cost to the kernel and to us.

    Raises:
        SetupError: If the kernel cannot do it, or a right is missing.
    """
    name = "probe"
    with measure.namespace() as path:
        nflog.prepare(path, _RULES)
        bare = _per_packet(path, count)
        reader = source.Source(path, settle_seconds=_SETTLE_SECONDS)
        try:
            reader.start()
            watched = _per_packet(path, count)
            time.sleep(2 * _SETTLE_SECONDS)
            dropped = int(reader.read()["packets"].sum())
            generator = measure.Load("datagrams", path, count, rate)
            generator.go()
            done = generator.wait()
            time.sleep(2 * _SETTLE_SECONDS)
            began = time.process_time()
            edges = reader.read()
            spent = time.process_time() - began
            missed = reader.overflowed
        finally:
            reader.stop()
    yield measure.Measure(
        bench=name,
        metric="a new packet",
        value=watched,
        unit="us/message",
        floor=bare,
        floor_of="without probe",
    )
    yield measure.Measure(bench=name, metric="rate", value=done["done"] / done["seconds"], unit="messages/s")
    yield measure.Measure(bench=name, metric="CPU", value=spent / max(len(edges), 1) * 1e6, unit="us/edge")
    recorded = dropped + int(edges["packets"].sum())
    yield measure.Measure(
        bench=name,
        metric="recorded",
        value=recorded,
        unit="messages",
        floor=count + done["done"],
        floor_of="sent",
    )
    yield measure.Measure(bench=name, metric="lost", value=missed, unit="messages")


def _per_packet(path: pathlib.Path, count: int) -> float:
    """Microseconds that the kernel needs for one packet, sent as fast as it goes."""
    generator = measure.Load("datagrams", path, count, _UNHURRIED)
    generator.go()
    done = generator.wait()
    return float(done["seconds"]) / count * 1e6
