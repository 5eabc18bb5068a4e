"""What a benchmark says, and where it says it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from lab import namespaces
from model import errors

_Result = TypeVar("_Result")

_LIMIT = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")
_ON = {"net.netfilter.nf_conntrack_acct": "1", "net.netfilter.nf_conntrack_timestamp": "1"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure.

    Attributes:
        bench: The benchmark's name.
        metric: What was measured.
        unit: ``s``, ``rows/s``, ``bytes/row``, ``us/message``, ``messages`` …
        floor: What the value is held against, measured in the same run and unit; None for nothing.
        floor_of: What that is.
    """

    bench: str
    metric: str
    value: float
    unit: str
    floor: float | None = None
    floor_of: str = ""

    def fields(self) -> dict[str, object]:
        """The figure as one JSON object, with the ratio of value to floor where there is a floor."""
        plain: dict[str, object] = {
            "bench": self.bench, "metric": self.metric, "value": _rounded(self.value), "unit": self.unit,
        }  # fmt: skip
        if self.floor is not None:
            plain |= {"floor": _rounded(self.floor), "floor_of": self.floor_of}
            plain["ratio"] = _rounded(self.value / self.floor) if self.floor else None
        return plain

    def sentence(self) -> str:
        """The figure for a person."""
        said = f"{self.bench}: {self.metric} {_rounded(self.value)} {self.unit}"
        if self.floor:
            said += (
                f", {self.value / self.floor:.2f} times {self.floor_of} ({_rounded(self.floor)} {self.unit})"
            )
        return said


def _rounded(number: float) -> float:
    """Four digits: more of them are noise."""
    return float(f"{number:.4g}")


def say(measures: Iterator[Measure], *, as_json: bool) -> None:
    """Print figures as they come."""
    for one in measures:
        sys.stdout.write((json.dumps(one.fields()) if as_json else one.sentence()) + "\n")
        sys.stdout.flush()


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextlib.contextmanager
def namespace() -> Iterator[pathlib.Path]:
    """A network namespace of its own in which connections are counted and timed.

    Raises:
        SetupError: If the right to make one is missing.
    """
    with tempfile.TemporaryDirectory(prefix="flowledger-bench-") as folder:
        path = pathlib.Path(folder, "netns")
        try:
            namespaces.create(path)
        except OSError as error:
            raise errors.SetupError(
                f"cannot make a network namespace ({error.strerror}): run as root"
            ) from error
        try:
            namespaces.within(path, lambda: namespaces.set_sysctls(_ON))
            yield path
        finally:
            namespaces.remove(path)


@contextlib.contextmanager
def room_for(connections: int) -> Iterator[None]:
    """Let the kernel's table hold so many, for a while.

    Raises:
        SetupError: If it may hold fewer and we may not change that.
    """
    before = _LIMIT.read_text()
    if int(before) < connections:
        try:
            _LIMIT.write_text(str(connections))
        except OSError as error:
            raise errors.SetupError(
                f"the kernel's table holds {before.strip()} connections: as root of the machine, "
                f"sysctl -w net.netfilter.nf_conntrack_max={connections}"
            ) from error
    try:
        yield
    finally:
        if int(before) < connections:
            _LIMIT.write_text(before)


class Load:
    """A process that makes load in a namespace, ready to begin."""

    def __init__(self, kind: str, path: pathlib.Path, count: int, rate: float, *more: str) -> None:
        command = [sys.executable, "-m", "lab.load", kind, "--netns", str(path), "--count", str(count),
                   "--rate", str(rate), *more]  # fmt: skip
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._hear("ready")

    def _hear(self, wanted: str = "") -> str:
        try:
            heard = self._process.stdout.readline().strip() if self._process.stdout else ""
        except BaseException:  # we are to end: it ends with us
            self.stop()
            raise
        if not heard or (wanted and heard != wanted):
            self.stop()
            raise errors.SetupError("the load generator has failed; its words are above")
        return heard

    def go(self) -> None:
        """Begin."""
        if self._process.stdin:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        """End it, whatever is left to do."""
        self._process.kill()
        self._process.communicate()

    def wait(self) -> dict[str, Any]:
        """What was done, once all is: ``done`` and ``seconds``."""
        done: dict[str, Any] = json.loads(self._hear())
        self._process.communicate()
        return done


def received(name: str, sent: dict[str, Any], rows: int, spent: float, lost: int) -> Iterator[Measure]:
    """The figures of a source under load.

    Args:
        name: Name of the benchmark.
        sent: What the load has done, in its own words.
        rows: What the source has recorded of it.
        spent: Seconds of CPU that this has taken.
        lost: What the source knows to be lost.
    """
    yield Measure(bench=name, metric="rate", value=sent["done"] / sent["seconds"], unit="messages/s")
    yield Measure(bench=name, metric="CPU", value=spent / max(rows, 1) * 1e6, unit="us/message")
    yield Measure(
        bench=name, metric="recorded", value=rows, unit="messages", floor=sent["done"], floor_of="sent"
    )
    yield Measure(bench=name, metric="lost", value=lost, unit="messages")
