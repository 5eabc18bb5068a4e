"""The collector of one node: reads its sources once an interval and delivers what they add up to."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from collector import completeness, join, reconcile, sysctls, traces
from collector.conntrack import scope, statistics
from collector.conntrack import source as conntrack
from collector.counters import source as counters
from collector.nflog import decode as packets_of
from collector.nflog import grammars, owners
from collector.nflog import source as nflog
from model import chainnames, policyhit, prefixgrammar
from runtime import logs, metrics, settings

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

_SETTLE_SECONDS = nflog.FLUSH_SECONDS + 0.1
"""After this, whatever was logged before the end of an interval has reached us."""
_NEARLY_FULL = 0.9
_SHORTEST_SECONDS = 0.5
"""Of an interval that ends early: often enough under the worst load, seldom enough to get on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What is known of the policies whose rules are read.

    Attributes:
        prefixes: NFLOG prefix → its hit.
        chains: Name of a chain of Calico's → its owner.
    """

    prefixes: Mapping[str, policyhit.PolicyHit] = dataclasses.field(default_factory=dict)
    chains: Mapping[str, chainnames.Owner] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One interval of one node.

    Attributes:
        time: Its end in ns since 1970.
        flows: What was recorded, up to stage ``JOIN``.
        policy_hits: What each rule has counted; None where rule counters are not read.
        completeness: How much each source saw.
    """

    node: str
    time: int
    flows: pa.RecordBatch
    policy_hits: counters.Counted | None = None
    completeness: tuple[completeness.Completeness, ...]


class Collector:
    """A component; see ``runtime.component``.

    Args:
        configured: Its settings.
        deliver: Takes each interval's report; what it raises is counted and logged, and the interval's
            rows are gone.
        known: Gives the policies known at the time.
        measured: The process's metrics.

    Raises:
        SetupError: If a source cannot be opened here.
    """

    def __init__(
        self,
        configured: settings.Collector,
        deliver: Callable[[Report], None],
        known: Callable[[], Policies],
        measured: metrics.Metrics,
    ) -> None:
        namespace = pathlib.Path(configured.netns) if configured.netns else None
        self._settings = configured
        self._deliver = deliver
        self._known = known
        self._metrics = measured
        self._account = completeness.Account(configured.node, measured)
        self._stopping, self._early = threading.Event(), threading.Event()
        self._failed = ""
        off = sysctls.missing(namespace, set_them=configured.set_sysctls)
        self._says = ""
        self._note = "; ".join(f"{name} is off: {sysctls.MEANING[name]} unknown" for name in off)
        room = {"receive_buffer": configured.receive_buffer_bytes, "capacity": configured.hold}
        self._conntrack = conntrack.Source(
            namespace, wanted=scope.parse(configured.conntrack_zone, configured.conntrack_mark),
            hurry=self._early.set, **room,
        )  # fmt: skip
        try:
            spoken = grammars.chosen(configured.nflog_grammars, configured.nflog_pattern)
            self._says = "; ".join(_reservations(spoken))
            groups = configured.nflog_groups if "nflog" in configured.sources else ()
            self._nflog = nflog.Source(
                namespace, owners.free(namespace, groups), hurry=self._early.set, **room
            )
        except BaseException:
            self._conntrack.close()
            raise
        self._traces = traces.Traces(known().prefixes, spoken)
        self._counters = (
            counters.Source(namespace, known().prefixes, known().chains)
            if "counters" in configured.sources
            else None
        )
        self._reconciliation = reconcile.Reconciliation()
        self._counting = False
        self._missing = self._unexplained = self._given_up = 0
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
        self._conntrack.start()
        self._nflog.start()
        self._join = join.Join(self._settings.node, self._traces, time.time_ns(), join.Scope())
        self._interval()  # takes note of the connections that are there
        self._thread.start()

    def stop(self) -> None:
        """Report the last, shorter interval, and close the sources."""
        self._stopping.set()
        self._early.set()
        self._thread.join()
        self._interval()
        self._nflog.stop()
        self._conntrack.stop()

    def check(self) -> str:
        """What is wrong with the last interval; empty if nothing is."""
        return self._failed

    def _run(self) -> None:
        interval = self._settings.interval_seconds
        while True:
            self._early.wait(interval - time.time() % interval)
            if self._stopping.is_set():
                return
            self._early.clear()
            began = time.monotonic()
            self._interval()
            self._stopping.wait(max(_SHORTEST_SECONDS - (time.monotonic() - began), 0))

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
        counted = self._counters.read() if self._counters else None  # before the packets that it counts
        connections = self._conntrack.read()
        until = time.time_ns()
        packets, prefixes = self._read_packets()
        self._learn()
        self._join.log.add(packets, prefixes)
        flows = self._join.flows(connections, until)
        self._metrics.living.labels(self._settings.node).set(self._join.living)
        self._metrics.unmatched.labels(self._settings.node).inc(self._join.given_up - self._given_up)
        self._given_up = self._join.given_up
        rows = [*self._connections_seen(until), *self._packets_seen(until, packets)]
        if counted:
            rows.append(self._rules_seen(until, counted, packets, prefixes))
        return Report(
            node=self._settings.node, time=until, flows=flows, policy_hits=counted, completeness=tuple(rows)
        )

    def _learn(self) -> None:
        known = self._known()
        self._traces.learn(known.prefixes)
        if self._counters:
            self._counters.learn(known.prefixes, known.chains)

    def _read_packets(self) -> tuple[packets_of.Packets, list[str]]:
        """What was logged, up to now and a little longer than the kernel holds it back."""
        if not self._nflog.groups:
            return np.zeros(0, packets_of.PACKET), []
        time.sleep(_SETTLE_SECONDS)
        return self._nflog.read()

    def _connections_seen(self, until: int) -> Iterator[completeness.Completeness]:
        source = self._conntrack
        totals = completeness.Totals(
            lost=source.lost, discarded=source.discarded, malformed=source.malformed,
            incomplete=self._join.vanished,
        )  # fmt: skip
        yield self._account.settle(
            "conntrack", until, self._join.begun, totals, note=self._note, error=source.error
        )
        state = source.statistics()
        yield self._account.settle(
            "conntrack_table", until, 0, completeness.Totals(lost=state.refused), note=_fullness(state)
        )

    def _packets_seen(self, until: int, packets: packets_of.Packets) -> Iterator[completeness.Completeness]:
        source = self._nflog
        if source.groups:
            totals = completeness.Totals(
                lost=source.lost, discarded=source.discarded, malformed=source.malformed
            )
            yield self._account.settle(
                "nflog", until, len(packets), totals, note=self._says, error=source.error
            )

    def _rules_seen(
        self, until: int, counted: counters.Counted, packets: packets_of.Packets, prefixes: list[str]
    ) -> completeness.Completeness:
        """The rules' own counts against what they logged: what is missing beyond the losses we know of."""
        read = np.isin(counted.nflog_group, self._nflog.groups)
        numbers = zip(counted.hits, counted.packets.tolist(), read.tolist(), strict=True)
        by_rule = {hit: packets for hit, packets, logs in numbers if logs}
        self._missing += self._reconciliation.settle(by_rule, self._seen(packets, prefixes))
        if not self._counting:  # the first reading only says where counters stand
            self._counting, self._missing = True, 0
            self._reconciliation.restart()
        known = self._nflog.lost + self._nflog.discarded + self._nflog.malformed
        self._unexplained = max(self._unexplained, self._missing - known)
        totals = completeness.Totals(lost=self._unexplained)
        note = f"{counted.resets} rule counters began anew" if counted.resets else ""
        return self._account.settle("counters", until, sum(by_rule.values()), totals, note=note)

    def _seen(self, packets: packets_of.Packets, prefixes: list[str]) -> dict[policyhit.PolicyHit, int]:
        """How many packets each rule has logged."""
        seen: dict[policyhit.PolicyHit, int] = {}
        counts = np.bincount(packets["prefix"], minlength=len(prefixes)).tolist() if len(packets) else []
        for hit, count in zip(self._traces.hits(prefixes), counts, strict=False):
            if hit:
                seen[hit] = seen.get(hit, 0) + count
        return seen


def _reservations(spoken: Sequence[prefixgrammar.Grammar]) -> Iterator[str]:
    """What is not exact in what rules of these grammars log."""
    for one in spoken:
        if one.sampled:
            yield f"{one.name} logs a sample: its rules are rate limited"
        if not one.directed:
            yield f"{one.name} does not say which side denied: ingress is assumed"


def _fullness(state: statistics.Statistics) -> str:
    """What a table that is nearly full, or has been, means for the record."""
    if state.refused:
        return "packets were dropped because the kernel's table of connections had no room for them"
    if state.limit and state.entries > _NEARLY_FULL * state.limit:
        return f"the kernel's table is nearly full: {state.entries} of {state.limit} connections"
    return ""
