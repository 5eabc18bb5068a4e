"""``bench collector``: what a whole collector takes of a node, and whether that grows with time."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

from cli.bench import measure, nflog
from model import errors

_NAME = "collector"
_SOURCES = ("conntrack", "nflog", "counters", "probe")
_SOURCE_PORTS = 64
_PERIOD_SECONDS = 8.0
"""Each living connection carries a packet so often: in every interval, and before its 30 seconds are over."""
_FIRST_PORT = 50_000
_REST_SECONDS = 60
_SAMPLES = 30
_TICKS = os.sysconf("SC_CLK_TCK")


def watch(living: int, rate: float, seconds: int) -> Iterator[measure.Measure]:
    """CPU and memory of ``flowledger collect`` with all sources.

    Args:
        living: Connections that carry traffic all the time.
        rate: New connections a second, and as many denied attempts.
        seconds: How long the load lasts.

    Raises:
        SetupError: If a tool or a right is missing.
    """
    with measure.namespace() as path, measure.room_for(20 * living), contextlib.ExitStack() as undo:
        nflog.prepare(path)
        process = undo.enter_context(_collector(path))
        yield from _at_rest(process.pid, min(seconds, _REST_SECONDS))
        ports = -(-living // _SOURCE_PORTS)
        total = int(rate * seconds * 1.2)
        loads = [
            measure.Load("lives", path, total, rate), measure.Load("datagrams", path, total, rate),
            measure.Load("datagrams", path, total * living, living / _PERIOD_SECONDS,
                         "--port", str(_FIRST_PORT), "--ports", str(ports)),
        ]  # fmt: skip
        for load in loads:
            undo.callback(load.stop)
            load.go()
        yield from _under_load(process.pid, seconds)


@contextlib.contextmanager
def _collector(path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """A collector that prints its flows to nobody, once it runs.

    Raises:
        SetupError: If it does not come up.
    """
    chosen = [word for source in _SOURCES for word in ("--source", source)]
    command = [sys.executable, "-m", "cli.main", "collect", "--netns", str(path), "-o", "arrow",
               "--metrics-port", "0", "--nflog-groups", str(nflog.GROUP), *chosen]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stderr or ()))
            if process.poll() is not None:
                raise errors.SetupError(f"the collector has ended: {''.join(said).strip()}")
            yield process
        finally:
            process.kill()


def _at_rest(pid: int, seconds: float) -> Iterator[measure.Measure]:
    began, spent = time.monotonic(), _cpu(pid)
    time.sleep(seconds)
    share = (_cpu(pid) - spent) / (time.monotonic() - began)
    yield measure.Measure(bench=_NAME, metric="CPU at rest", value=100 * share, unit="% of a core")
    yield measure.Measure(bench=_NAME, metric="memory at rest", value=_resident(pid), unit="MB")


def _under_load(pid: int, seconds: float) -> Iterator[measure.Measure]:
    """The load's first tenth does not count: by then as many connections live as will live."""
    time.sleep(seconds / 10)
    began, spent, sizes = time.monotonic(), _cpu(pid), [_resident(pid)]
    for _ in range(_SAMPLES):
        time.sleep(seconds * 0.9 / _SAMPLES)
        sizes.append(_resident(pid))
    share = (_cpu(pid) - spent) / (time.monotonic() - began)
    half = len(sizes) // 2
    yield measure.Measure(bench=_NAME, metric="CPU under load", value=100 * share, unit="% of a core")
    yield measure.Measure(bench=_NAME, metric="memory under load, most", value=max(sizes), unit="MB")
    yield measure.Measure(
        bench=_NAME, metric="memory, second half", value=sum(sizes[half:]) / len(sizes[half:]), unit="MB",
        floor=sum(sizes[:half]) / half, floor_of="first half",
    )  # fmt: skip


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process and its ended children have taken."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(fields[place]) for place in (11, 12, 13, 14)) / _TICKS


def _resident(pid: int) -> float:
    """Resident memory in MB."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
