"""The collector of one node: reads its sources once an interval and delivers what they add up to."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Mapping

import pyarrow as pa

from collector import join, sysctls, traces
from collector.conntrack import source as conntrack
from collector.nflog import source as nflog
from model import policyhit
from runtime import logs, metrics, settings

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

_SETTLE_SECONDS = nflog.FLUSH_SECONDS + 0.1
"""After this, whatever was logged before the end of an interval has reached us."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """How much of an interval one source saw.

    Attributes:
        observed: Events that were read.
        lost: Events that the kernel threw away.
        discarded: Events that we threw away.
        note: What is not counted at all, in words; empty if nothing is.
    """

    time: int
    node: str
    source: str
    observed: int
    lost: int
    discarded: int
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """One interval of one node."""

    node: str
    flows: pa.RecordBatch
    completeness: tuple[Completeness, ...]


class Collector:
    """A component; see ``runtime.component``.

    Args:
        configured: Its settings.
        deliver: Takes each interval's report; what it raises is counted and logged, and the interval's
            rows are gone.
        known_prefixes: Gives the NFLOG prefixes of the policies known at the time.
        measured: The process's metrics.

    Raises:
        SetupError: If a source cannot be opened here.
    """

    def __init__(
        self,
        configured: settings.Collector,
        deliver: Callable[[Report], None],
        known_prefixes: Callable[[], Mapping[str, policyhit.PolicyHit]],
        measured: metrics.Metrics,
    ) -> None:
        namespace = pathlib.Path(configured.netns) if configured.netns else None
        self._settings = configured
        self._deliver = deliver
        self._known_prefixes = known_prefixes
        self._metrics = measured
        off = sysctls.missing(namespace, set_them=configured.set_sysctls)
        self._note = "; ".join(f"{name} is off: {sysctls.MEANING[name]} unknown" for name in off)
        room = {"receive_buffer": configured.receive_buffer_bytes, "capacity": configured.hold_bytes}
        self._conntrack = conntrack.Source(namespace, **room)
        try:
            self._nflog = nflog.Source(namespace, configured.nflog_groups, **room)
        except BaseException:
            self._conntrack.close()
            raise
        self._traces = traces.Traces(known_prefixes())
        self._counted: dict[tuple[str, str], int] = {}
        self._stopping = threading.Event()
        self._failed = ""
        self._thread = threading.Thread(target=self._run, name=f"collector {configured.node}", daemon=True)

    @property
    def node(self) -> str:
        """Name of the node."""
        return self._settings.node

    def close(self) -> None:
        """Close the sources, whether it was started or not."""
        self._nflog.close()
        self._conntrack.close()

    def start(self) -> None:
        """Say what this node offers, and report from now on."""
        for line in self.offer():
            _log.info(line, extra={"fields": {"node": self._settings.node}})
        self._conntrack.start()
        self._nflog.start()
        self._join = join.Join(self._settings.node, self._traces, time.time_ns(), join.Scope())
        self._interval()  # takes note of the connections that are there
        self._thread.start()

    def stop(self) -> None:
        """Report the last, shorter interval, and close the sources."""
        self._stopping.set()
        self._thread.join()
        self._interval()
        self._nflog.stop()
        self._conntrack.stop()

    def offer(self) -> list[str]:
        """What this node offers: what will be exact, what unknown, and how to improve it."""
        groups = ", ".join(map(str, self._settings.nflog_groups))
        lines = ["connections: exact, from conntrack"]
        lines.append(
            f"policy rules: exact, from NFLOG groups {groups}" if groups else "policy rules: unknown"
        )
        lines.append(
            f"{self._note}; set with --set-sysctls" if self._note else "packets, bytes, times: exact"
        )
        return lines

    def check(self) -> str:
        """What is wrong with the last interval; empty if nothing is."""
        return self._failed

    def _run(self) -> None:
        interval = self._settings.interval_seconds
        while not self._stopping.wait(interval - time.time() % interval):
            self._interval()

    def _interval(self) -> None:
        started = time.perf_counter()
        try:
            self._deliver(self._read())
            self._failed = ""
        except Exception as error:  # the edge of the loop: the next interval may well succeed
            self._failed = f"{type(error).__name__}: {error}"
            _log.debug("interval failed", exc_info=True)
            self._metrics.interval_errors.labels(self._settings.node).inc()
            _limited.warning("interval failed", node=self._settings.node, error=self._failed)
        self._metrics.interval_seconds.labels(self._settings.node).observe(time.perf_counter() - started)

    def _read(self) -> Report:
        connections = self._conntrack.read()
        until = time.time_ns()
        time.sleep(_SETTLE_SECONDS)
        packets, prefixes = self._nflog.read()
        self._traces.learn(self._known_prefixes())
        self._join.log.add(packets, prefixes)
        flows = self._join.flows(connections, until)
        self._metrics.living.labels(self._settings.node).set(self._join.living)
        self._count("unmatched", "", self._join.given_up, self._metrics.unmatched.labels(self._settings.node))
        return Report(self._settings.node, flows, (
            self._completeness("conntrack", until, len(connections), self._conntrack.lost,
                               self._conntrack.discarded, self._conntrack.malformed),
            self._completeness("nflog", until, len(packets), self._nflog.lost,
                               self._nflog.discarded, self._nflog.unreadable),
        ))  # fmt: skip

    def _completeness(
        self, source: str, until: int, observed: int, lost: int, discarded: int, unreadable: int
    ) -> Completeness:
        """One source's completeness, from its totals since the start."""
        labels = (self._settings.node, source)
        new = [
            self._count(what, source, total, metric.labels(*labels))
            for what, total, metric in (
                ("lost", lost, self._metrics.lost),
                ("discarded", discarded, self._metrics.discarded),
                ("unreadable", unreadable, self._metrics.unreadable),
            )
        ]
        if any(new):
            _limited.warning("events lost", node=labels[0], source=source, lost=new[0], discarded=new[1])
        return Completeness(
            time=until, node=labels[0], source=source, observed=observed, lost=new[0],
            discarded=new[1] + new[2], note=self._note if source == "conntrack" else "",
        )  # fmt: skip

    def _count(self, what: str, source: str, total: int, metric: metrics.Counter) -> int:
        """What a total has grown by since the last interval, which the metric is told too."""
        new = total - self._counted.get((what, source), 0)
        self._counted[what, source] = total
        metric.inc(new)
        return new
