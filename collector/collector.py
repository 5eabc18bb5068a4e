"""The collector of one node: reads its sources once an interval and delivers what they add up to."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import completeness, join, matrix, reconcile, sysctls, traces
from collector.conntrack import scope, statistics
from collector.conntrack import source as conntrack
from collector.counters import source as counters
from collector.ebpf import source as ebpf
from collector.felix import source as felix
from collector.goldmane import flows as goldmane
from collector.nflog import decode as packets_of
from collector.nflog import grammars, owners
from collector.nflog import source as nflog
from collector.probe import edges
from collector.probe import source as probe
from model import chainnames, columns, errors, policyhit, prefixgrammar
from runtime import logs, memory, metrics, settings

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

SOURCES = ("conntrack", "nflog", "felix", "counters", "probe")
_LAST_GROUP = 65535
_SETTLE_SECONDS = nflog.FLUSH_SECONDS + nflog.LATE_SECONDS
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
class Told:
    """What Felix has told since the last interval.

    Attributes:
        flows: The flows, as they came.
        keys: The key of each.
        connected: Whether it is connected just now.
    """

    flows: goldmane.Flows
    keys: Sequence[goldmane.Key]
    connected: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One interval of one node.

    Attributes:
        time: Its end in ns since 1970.
        flows: What was recorded, up to stage ``JOIN``.
        policy_hits: What each rule has counted; None where rule counters are not read.
        completeness: How much each source saw.
        told: What Felix has told meanwhile; None where it is not listened to.
        last: Whether there will be no other.
    """

    node: str
    time: int
    flows: pa.RecordBatch
    policy_hits: counters.Counted | None = None
    completeness: tuple[completeness.Completeness, ...]
    told: Told | None = None
    last: bool = False


def check_sources(configured: settings.Collector) -> None:
    """Make sure that all sources and groups exist that are asked for.

    Raises:
        SetupError: If one does not.
    """
    for name in configured.sources:
        if name not in SOURCES:
            raise errors.SetupError(f"there is no source {name!r}: there are {', '.join(SOURCES)}")
    for group in configured.nflog_groups:
        if not 0 <= group <= _LAST_GROUP:
            raise errors.SetupError(f"there is no NFLOG group {group}: there are 0 to {_LAST_GROUP}")


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
        spoken = grammars.chosen(configured.nflog_grammars, configured.nflog_pattern)
        self._traces = traces.Traces(known().prefixes, spoken)
        self._sampled = any(one.sampled for one in spoken)
        self._offers = matrix.offers(configured)  # before our own sockets are among what is there
        self._reconciliation = reconcile.Reconciliation()
        self._given_up = 0
        with contextlib.ExitStack() as undo:
            self._open(namespace, undo)
            off = sysctls.missing(namespace, set_them=configured.set_sysctls)  # once nothing else can fail
            self._opened = undo.pop_all()
        self._notes = {
            "conntrack": "; ".join(f"{name} is off: {sysctls.MEANING[name]} unknown" for name in off),
            "nflog": "; ".join(_reservations(spoken)),
        }
        self._thread = threading.Thread(target=self._run, name=f"collector {configured.node}", daemon=True)

    def _open(self, namespace: pathlib.Path | None, undo: contextlib.ExitStack) -> None:
        """Open the sources that are asked for."""
        configured = self._settings
        check_sources(configured)
        hurry, room = self._early.set, configured.receive_buffer_bytes
        wanted = scope.parse(configured.conntrack_zone, configured.conntrack_mark)
        self._conntrack = conntrack.Source(
            namespace, receive_buffer=room, capacity=configured.hold, hurry=hurry, wanted=wanted
        )
        undo.callback(self._conntrack.close)
        self._ebpf = ebpf.Source(
            pathlib.Path(configured.bpf_folder) if configured.bpf_folder else None, wanted
        )
        groups = configured.nflog_groups if "nflog" in configured.sources else ()
        self._nflog = nflog.Source(
            namespace, owners.free(namespace, groups), receive_buffer=room, capacity=configured.hold,
            hurry=hurry,
        )  # fmt: skip
        undo.callback(self._nflog.close)
        self._counters: counters.Source | None = None
        if "counters" in configured.sources:
            self._counters = counters.Source(namespace, self._known().prefixes, self._known().chains)
            self._counters.read()  # counts begin here, as close as can be to where packets are logged to us
        self._felix = self._open_felix(pathlib.Path(configured.felix_socket), undo)
        self._probe: probe.Source | None = None
        if "probe" in configured.sources:
            self._probe = probe.Source(
                namespace, interval_seconds=configured.interval_seconds, size=configured.probe_edges
            )
            undo.callback(self._probe.close)

    def _open_felix(self, path: pathlib.Path, undo: contextlib.ExitStack) -> felix.Source | None:
        """Listen to Felix, where Calico is on this node; without gRPC the other sources do."""
        if "felix" not in self._settings.sources or not path.parent.parent.is_dir():
            return None
        try:
            source = felix.Source(path, hurry=self._early.set, capacity=self._settings.hold)
        except errors.SetupError as error:
            _log.warning("Felix is not heard", extra={"fields": {"because": str(error)}})
            return None
        undo.callback(source.close)
        return source

    @property
    def node(self) -> str:
        """Name of the node."""
        return self._settings.node

    def close(self) -> None:
        """Close the sources, whether it was started or not."""
        self._opened.close()

    def start(self) -> None:
        """Say what this node offers, and report from now on."""
        facts = {offer.fact.replace(" ", "_"): offer.known.value for offer in self._offers}
        _log.info("node offers", extra={"fields": {"node": self._settings.node} | facts})
        for offer in self._offers:
            if offer.known is not matrix.Known.EXACT and offer.source in self._settings.sources:
                fields = {"fact": offer.fact, "known": offer.known.value, "because": offer.because,
                          "improve": offer.improve}  # fmt: skip
                _log.warning("not exact here", extra={"fields": {"node": self._settings.node} | fields})
        self._conntrack.start()
        self._nflog.start()
        if self._felix:
            self._felix.start()
        if self._probe:
            self._probe.start()
        self._join = join.Join(self._settings.node, self._traces, time.time_ns(), join.Scope())
        self._interval()  # takes note of the connections that are there
        self._thread.start()

    def stop(self) -> None:
        """Report the last, shorter interval, and close the sources."""
        self._stopping.set()
        self._early.set()
        self._thread.join()
        self._interval(last=True)
        self._nflog.stop()
        if self._felix:
            self._felix.stop()
        self._conntrack.stop()
        self.close()

    def check(self) -> str:
        """What is wrong with the last interval; empty if nothing is."""
        return self._failed

    def _run(self) -> None:
        interval = self._settings.interval_seconds
        while True:
            self._early.wait(interval - time.time() % interval)
            self._early.clear()
            if self._stopping.is_set():
                return
            began = time.monotonic()
            self._interval()
            self._stopping.wait(max(_SHORTEST_SECONDS - (time.monotonic() - began), 0))

    def _interval(self, *, last: bool = False) -> None:
        started = time.perf_counter()
        report: Report | None = None
        try:
            report = self._read(last)
            self._deliver(report)
            self._failed = ""
        except Exception as error:  # the edge of the loop: the next interval may well succeed
            self._failed = f"{type(error).__name__}: {error}"
            _log.debug("interval failed", exc_info=True)
            self._metrics.interval_errors.labels(self._settings.node).inc()
            _limited.warning("interval failed", node=self._settings.node, error=self._failed)
        if last and report is None and self._felix:
            self._part()
        memory.trim()
        self._metrics.interval_seconds.labels(self._settings.node).observe(time.perf_counter() - started)

    def _part(self) -> None:
        """A last report of nothing, where there is no other: earlier ones may still wait for Felix's word."""
        told = Told(flows=np.zeros(0, goldmane.FLOW), keys=(), connected=False)
        schema = columns.schema(columns.Stage.JOIN)
        nothing = pa.RecordBatch.from_arrays([columns.blank(one.type, 0) for one in schema], schema=schema)
        report = Report(
            node=self._settings.node, time=time.time_ns(), flows=nothing, completeness=(), told=told,
            last=True,
        )  # fmt: skip
        try:
            self._deliver(report)
        except Exception as error:  # nothing comes after it
            _limited.warning("interval failed", node=self._settings.node, error=repr(error))

    def _read(self, last: bool) -> Report:
        # rules' counters before the packets that they count
        counted = self._attempt("counters", self._counters.read) if self._counters else None
        connections = self._ebpf.read(self._conntrack.read())
        until = time.time_ns()
        packets, prefixes = self._read_packets()
        self._learn()
        self._join.log.add(packets, prefixes)
        found = self._attempt("probe", self._probe.read) if self._probe else None
        dropped = edges.NOTHING if found is None else found
        flows = self._join.flows(connections, until, dropped)
        self._metrics.living.labels(self._settings.node).set(self._join.living)
        self._metrics.unmatched.labels(self._settings.node).inc(self._join.given_up - self._given_up)
        self._given_up = self._join.given_up
        rows = [*self._connections_seen(until)]
        if self._nflog.groups:
            rows.append(self._packets_seen(until, len(packets)))
        told = self._hear()
        if self._felix and told:
            rows.append(self._told(until, self._felix, len(told.flows)))
        if self._probe:
            rows.append(self._drops_seen(until, self._probe, int(dropped["packets"].sum())))
        if counted:
            self._compare(counted, packets, prefixes, last)
            rows.append(self._rules_seen(until, counted))
        return Report(
            node=self._settings.node, time=until, flows=flows, policy_hits=counted,
            completeness=tuple(rows), told=told, last=last,
        )  # fmt: skip

    def _hear(self) -> Told | None:
        """What Felix has told; no interval fails because it cannot be heard."""
        if not self._felix:
            return None
        heard = self._attempt("felix", self._felix.read)
        flows = np.zeros(0, goldmane.FLOW) if heard is None else heard
        numbers, places = np.unique(flows["key"], return_inverse=True)
        known = [self._as_known(self._felix.keys[number]) for number in numbers.tolist()]
        keys = [known[place] for place in places.tolist()]
        return Told(flows=flows, keys=keys, connected=bool(self._felix.connected))

    def _attempt(self, source: str, read: Callable[[], _Result]) -> _Result | None:
        """Read a source without which the others still have something to say; None if it cannot be read."""
        try:
            return read()
        except (OSError, errors.FlowledgerError) as error:
            self._metrics.interval_errors.labels(self._settings.node).inc()
            _limited.warning("source not read", node=self._settings.node, source=source, error=repr(error))
            return None

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
        # what maps have is told by them
        begun = max(self._join.begun - self._ebpf.fresh, 0)
        yield self._settle("conntrack", until, begun, totals, note=self._offloaded(), error=source.error)
        state = source.statistics()
        totals = completeness.Totals(lost=state.refused)
        yield self._settle("conntrack_table", until, 0, totals, note=_fullness(state))
        if self._ebpf.present:
            yield self._maps_seen(until, self._ebpf)

    def _maps_seen(self, until: int, source: ebpf.Source) -> completeness.Completeness:
        for problem in source.problems:
            self._metrics.interval_errors.labels(self._settings.node).inc()
            _limited.warning("source not read", node=self._settings.node, source="ebpf", error=problem)
        totals = completeness.Totals(malformed=source.malformed)
        note = "; ".join([*source.problems, *source.notes])
        return self._settle("ebpf", until, source.fresh, totals, note=note, error=source.error)

    def _offloaded(self) -> str:
        """What connections that bypass the netfilter hooks mean for the record."""
        if not self._join.offloaded:
            return ""
        known = [self._notes["conntrack"]] if self._notes["conntrack"] else []
        return "; ".join([*known, "some connections are offloaded: their packets may not be counted"])

    def _packets_seen(self, until: int, observed: int) -> completeness.Completeness:
        source = self._nflog
        unread = self._join.log.unread
        totals = completeness.Totals(
            lost=source.lost, discarded=source.discarded + unread, malformed=source.malformed
        )
        note = f"{unread} packets since the start have a prefix that no grammar reads" if unread else ""
        return self._settle("nflog", until, observed, totals, note=note, error=source.error)

    def _as_known(self, key: goldmane.Key) -> goldmane.Key:
        """A key whose rules are called what they are called where they log."""
        known = self._known().prefixes
        enforced, pending = (
            tuple(known.get(hit.prefix(), hit) for hit in hits) for hits in (key.enforced, key.pending)
        )
        return dataclasses.replace(key, enforced=enforced, pending=pending)

    def _told(self, until: int, source: felix.Source, observed: int) -> completeness.Completeness:
        totals = completeness.Totals(lost=source.lost, discarded=source.discarded, malformed=source.malformed)
        note = "" if source.connected else "no Felix is connected"
        return self._settle("felix", until, observed, totals, note=note, error=source.error)

    def _drops_seen(self, until: int, source: probe.Source, observed: int) -> completeness.Completeness:
        totals = completeness.Totals(discarded=source.overflowed, malformed=source.unreadable)
        note = f"{source.late} times since the start it was read too late to tell" if source.late else ""
        return self._settle("probe", until, observed, totals, note=note)

    def _rules_seen(self, until: int, counted: counters.Counted) -> completeness.Completeness:
        """The rules' own counts, of those that log to us, and what of them nobody has told us of."""
        observed = int(counted.packets[self._logging(counted)].sum())
        totals = completeness.Totals(lost=self._reconciliation.unexplained)
        note = f"{counted.resets} rule counters began anew" if counted.resets else ""
        return self._settle("counters", until, observed, totals, note=note)

    def _logging(self, counted: counters.Counted) -> npt.NDArray[np.bool_]:
        """Which rules log to a group that we read."""
        return np.isin(counted.nflog_group, self._nflog.groups)

    def _compare(
        self, counted: counters.Counted, packets: packets_of.Packets, prefixes: list[str], last: bool
    ) -> None:
        """Hold the rules' own counts against what they have logged."""
        numbers = zip(counted.hits, counted.packets.tolist(), self._logging(counted).tolist(), strict=True)
        # A sample proves no loss; and a rule of somebody's own has another name here than in what it logs.
        comparable = {
            hit: packets
            for hit, packets, logs in numbers
            if logs and hit.kind != policyhit.CUSTOM and not self._sampled
        }
        source = self._nflog
        known = source.lost + source.discarded + source.malformed
        self._reconciliation.settle(comparable, self._seen(packets, prefixes), known, last=last)

    def _settle(
        self,
        source: str,
        until: int,
        observed: int,
        totals: completeness.Totals,
        *,
        note: str = "",
        error: str = "",
    ) -> completeness.Completeness:
        note = note or self._notes.get(source, "")
        return self._account.settle(source, until, observed, totals, note=note, error=error)

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
