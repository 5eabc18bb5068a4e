"""A whole collector on a real kernel: what it records of real packets, and what it says it has not seen."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import queue
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent / "felix"))
sys.path.insert(0, str(pathlib.Path(__file__).parent / "goldmane"))
import felixlike
import flowmessages
import prometheus_client
import pyroute2
import pytest

from collector import collector, completeness
from collector.netlink import sockets
from collector.nflog import owners
from collector.nflog import source as nflog
from collector.probe import source as probe
from lab import entries, namespaces
from model import address, errors, policyhit
from runtime import metrics, settings

pytestmark = pytest.mark.net

RULES = """
table inet firewall {
  chain input {
    type filter hook input priority 0;
    tcp dport 7001 ct state new counter log prefix "API0|np/shop/web" group 1
    udp dport 7002 counter log prefix "DPI1|np/shop/web" group 1 drop
    udp dport 7003 drop
    udp dport 7004 counter meta mark 1 log prefix "DPI2|np/shop/web" group 1
    udp dport 7004 drop
  }
  chain output {
    type filter hook output priority 0;
    tcp dport 7011 ct state new counter log prefix "APE0|np/shop/out" group 2
    udp dport 7012 counter log prefix "DPE1|np/shop/out" group 2 drop
  }
  chain untracked {
    type filter hook prerouting priority raw;
    udp dport 7999 notrack
  }
}
"""
LAST = 7999
ALLOWED, DENIED = "ingress||np:shop/web|allow|0", "ingress||np:shop/web|deny|1"
CONNTRACK, NFLOG, FELIX, COUNTERS, PROBE = collector.SOURCES
BY_RULE = (CONNTRACK, NFLOG, COUNTERS)
CLIENT, SERVER = "10.1.0.1", "10.1.0.2"
SETTLED = 1.1  # seconds after which the probe tells what was dropped
UDP = entries.Kind(protocol=17)
Row = dict[str, Any]


class Node:
    """A namespace with rules, a client at the other end of a wire, and what collectors in it report."""

    def __init__(self, namespace: Any, client: pathlib.Path) -> None:
        self.namespace, self._client = namespace, client
        self.reports: queue.SimpleQueue[collector.Report] = queue.SimpleQueue()
        self.registry = prometheus_client.CollectorRegistry()
        self._metrics = metrics.Metrics(self.registry)

    def build(
        self, deliver: Callable[[collector.Report], None] | None = None, **changes: object
    ) -> collector.Collector:
        """A collector of this namespace."""
        plain = settings.Collector(
            node="node-1", netns=str(self.namespace.path), interval_seconds=3600, sources=(CONNTRACK,)
        )
        configured = dataclasses.replace(plain, **changes)
        policies = collector.Policies()
        return collector.Collector(configured, deliver or self.reports.put, lambda: policies, self._metrics)

    @contextlib.contextmanager
    def running(self, **changes: Any) -> Iterator[collector.Collector]:
        """A collector that has taken note of what was there; it ends with the last interval."""
        made = self.build(**changes)
        made.start()
        try:
            self.first = self.reports.get(timeout=5) if not changes.get("deliver") else None
            yield made
        finally:
            made.stop()

    def last(self) -> collector.Report:
        """The one report since the first."""
        report = self.reports.get(timeout=5)
        assert self.reports.empty()
        return report

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of a metric of this node."""
        return self.registry.get_sample_value(name, {"node": "node-1"} | labels)

    def socket(self, kind: socket.SocketKind, port: int = 0) -> socket.socket:
        """A socket of the client's."""
        opened = namespaces.within(self._client, lambda: socket.socket(socket.AF_INET, kind))
        opened.bind((CLIENT, port))
        opened.settimeout(5)
        return opened

    def send(self, port: int, count: int = 1) -> None:
        """Datagrams from one socket; they have come to the end of their way."""
        with self.socket(socket.SOCK_DGRAM) as sending, self.namespace.socket(socket.SOCK_DGRAM) as behind:
            behind.bind((SERVER, LAST))
            behind.settimeout(5)
            for _ in range(count):
                sending.sendto(b"four", (SERVER, port))
            sending.sendto(b"last", (SERVER, LAST))
            assert behind.recv(10) == b"last"

    @contextlib.contextmanager
    def connection(self, port: int) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A TCP connection, by both its ends."""
        with self.namespace.socket() as listening, self.socket(socket.SOCK_STREAM) as calling:
            listening.bind((SERVER, port))
            listening.listen()
            calling.connect((SERVER, port))
            with listening.accept()[0] as answering:
                yield calling, answering

    def lives(self, count: int, first: int = 0) -> None:
        """Connections that are born and die at once."""
        with sockets.within(self.namespace.path, sockets.open_netfilter) as opened:
            assert entries.send(opened, entries.lives(UDP, count, first=first)) == 0


@pytest.fixture
def node(namespace, tmp_path: pathlib.Path) -> Iterator[Node]:
    namespace.nft(RULES)
    client = tmp_path / "client"
    namespaces.create(client)
    quiet = {"net.ipv6.conf.default.disable_ipv6": "1"}  # a new link would announce itself
    try:
        namespaces.within(client, lambda: namespaces.set_sysctls(quiet))
        namespace.within(lambda: namespaces.set_sysctls(quiet))
        namespace.within(lambda: _wire(client))
        namespaces.within(client, lambda: _up("eth0", CLIENT))
        yield Node(namespace, client)
    finally:
        namespaces.remove(client)


def _wire(client: pathlib.Path) -> None:
    with pyroute2.IPRoute() as links:
        peer = {"ifname": "eth0", "net_ns_fd": str(client)}
        links.link("add", ifname="eth0", kind="veth", peer=peer)
    _up("eth0", SERVER)


def _up(name: str, address: str) -> None:
    with pyroute2.IPRoute() as links:
        (index,) = links.link_lookup(ifname=name)
        links.link("set", index=index, state="up")
        links.addr("add", index=index, address=address, prefixlen=24)


def _rows(report: collector.Report) -> list[Row]:
    """Flows with addresses as text, and nothing of what says nothing."""
    plain = []
    for row in report.flows.drop_columns(["time", "started", "ended"]).to_pylist():
        told = {name: address.render(v) if isinstance(v, bytes) else v for name, v in row.items()}
        plain.append({name: value for name, value in told.items() if value})
    return plain


def _seen(report: collector.Report) -> dict[str, tuple[int, int, int, str]]:
    """Observed, lost, discarded and note of each source."""
    assert {row.time for row in report.completeness} == {report.time}
    assert {row.node for row in report.completeness} == {"node-1"}
    return {row.source: (row.observed, row.lost, row.discarded, row.note) for row in report.completeness}


def _hits(report: collector.Report) -> tuple[list[policyhit.PolicyHit], list[int]]:
    assert report.policy_hits is not None
    return report.policy_hits.hits, report.policy_hits.packets.tolist()


def test_allowed_and_denied_are_told_by_their_rules(node: Node) -> None:
    made = node.build(sources=BY_RULE)
    made.start()
    assert len(node.reports.get().flows) == 0
    with node.connection(7001) as (calling, answering):
        port = calling.getsockname()[1]
        calling.sendall(b"question")
        assert answering.recv(100) == b"question"
        answering.sendall(b"answer" * 100)
        assert len(calling.recv(600, socket.MSG_WAITALL)) == 600
        node.send(7002, 3)
        made.stop()
        listed = node.namespace.run("conntrack", "-L", "-p", "tcp")
    report = node.last()
    assert len(report.flows) == 2
    allowed, denied = sorted(_rows(report), key=lambda row: row["verdict"])
    counted = [int(word.split("=")[1]) for word in listed.split() if word.startswith(("packets", "bytes"))]
    assert allowed == {
        "node": "node-1", "src_address": CLIENT, "src_port": port, "dst_address": SERVER,
        "dst_port": 7001, "protocol": 6, "forward_packets": counted[0], "forward_bytes": counted[1],
        "reverse_packets": counted[2], "reverse_bytes": counted[3], "connections_started": 1,
        "tcp_state": "established", "verdict": "allowed", "ingress_action": "allow", "policy_trace": ALLOWED,
        "deciding_rule": ALLOWED, "attribution": "nflog",
    }  # fmt: skip
    assert denied.pop("src_port") > 0
    assert denied == {
        "node": "node-1", "src_address": CLIENT, "dst_address": SERVER, "dst_port": 7002, "protocol": 17,
        "forward_packets": 3, "forward_bytes": 3 * (20 + 8 + 4), "connections_started": 1,
        "verdict": "denied", "ingress_action": "deny", "policy_trace": DENIED, "deciding_rule": DENIED,
        "attribution": "nflog",
    }  # fmt: skip
    hits = {hit.render(): count for hit, count in zip(*_hits(report), strict=True)}
    assert {rule: count for rule, count in hits.items() if count} == {ALLOWED: 1, DENIED: 3}
    assert _seen(report) == {
        CONNTRACK: (1, 0, 0, ""), "conntrack_table": (0, 0, 0, ""), NFLOG: (4, 0, 0, ""),
        COUNTERS: (4, 0, 0, ""),
    }  # fmt: skip
    assert node.metric("flowledger_collector_living_connections") == 1


def test_what_begins_on_the_node_is_told_by_its_rules_too(node: Node) -> None:
    """The kernel gives no time to what is logged on its way out."""
    made = node.build(sources=BY_RULE)
    made.start()
    node.reports.get()
    with node.socket(socket.SOCK_STREAM, 7011) as listening, node.namespace.socket() as calling:
        listening.listen()
        calling.connect((CLIENT, 7011))
        with node.namespace.socket(socket.SOCK_DGRAM) as sending, pytest.raises(PermissionError):
            sending.sendto(b"four", (CLIENT, 7012))
        made.stop()
    told = {row["dst_port"]: (row["verdict"], row["attribution"]) for row in _rows(node.last())}
    assert told == {7011: ("allowed", "nflog"), 7012: ("denied", "nflog")}


def test_connection_that_was_there_is_not_new(node: Node) -> None:
    with node.connection(7001) as (calling, _), node.running(sources=BY_RULE):
        assert len(node.first.flows) == 0
        assert _seen(node.first)[CONNTRACK] == (0, 0, 0, "")
        calling.sendall(b"more")
    (row,) = _rows(node.last())
    assert row["forward_packets"] == 1
    assert "connections_started" not in row


def test_denied_where_nothing_logs_is_found_by_the_probe(node: Node) -> None:
    with node.running(sources=(CONNTRACK, PROBE)):
        node.send(7003, 3)
        node.send(7005)  # nobody is there, and no rule: it goes its way
        time.sleep(SETTLED)
    report = node.last()
    denied = [row for row in _rows(report) if row["dst_port"] == 7003]
    assert denied == [{
        "node": "node-1", "src_address": CLIENT, "dst_address": SERVER, "dst_port": 7003, "protocol": 17,
        "forward_packets": 3, "forward_bytes": 3 * (20 + 8 + 4), "connections_started": 1,
        "verdict": "denied", "attribution": "probe", "drop_reason": "policy",
    }]  # fmt: skip
    assert "probe" not in {row["attribution"] for row in _rows(report) if row["dst_port"] == 7005}
    assert report.policy_hits is None
    seen = _seen(report)
    assert seen.keys() == {CONNTRACK, "conntrack_table", PROBE}
    assert seen[PROBE] == (3, 0, 0, "")
    assert "flowledger_probe" not in node.namespace.run("nft", "list", "tables")


def test_what_a_rule_has_logged_the_probe_does_not_tell_again(node: Node) -> None:
    with node.running(sources=collector.SOURCES):
        node.send(7002, 3)
        node.send(7003, 2)
        time.sleep(SETTLED)
    report = node.last()
    told = {row["dst_port"]: (row["attribution"], row["forward_packets"]) for row in _rows(report)}
    assert told == {7002: ("nflog", 3), 7003: ("probe", 2)}
    assert len(report.flows) == 2
    seen = _seen(report)
    assert (seen[NFLOG][:3], seen[COUNTERS][:3], seen[PROBE][:3]) == ((3, 0, 0), (3, 0, 0), (5, 0, 0))


def test_denied_before_the_start_are_not_missing(node: Node) -> None:
    """Rules have counted them, and nobody was there to whom they were logged."""
    node.send(7002, 5)
    made = node.build(sources=BY_RULE)
    node.send(7002, 7)
    made.start()
    node.send(7002, 11)
    made.stop()
    first, last = node.reports.get(), node.last()
    for report, count in ((first, 7), (last, 11)):
        assert (_seen(report)[NFLOG], _seen(report)[COUNTERS]) == ((count, 0, 0, ""), (count, 0, 0, ""))


def test_lost_packets_are_counted_exactly(node: Node) -> None:
    with node.running(sources=BY_RULE, receive_buffer_bytes=4096):
        node.send(7002, 5000)
        time.sleep(2 * nflog.FLUSH_SECONDS)
        node.send(7002)  # a gap shows by what comes after it
    observed = lost = counted = unexplained = 0
    while not node.reports.empty():  # a loss ends an interval early
        seen = _seen(node.reports.get())
        observed, lost = observed + seen[NFLOG][0], lost + seen[NFLOG][1]
        counted, unexplained = counted + seen[COUNTERS][0], unexplained + seen[COUNTERS][1]
    assert lost > 0
    assert observed + lost == counted == 5001
    assert unexplained == 0
    labels = {"node": "node-1", "source": NFLOG}
    assert node.registry.get_sample_value("flowledger_collector_lost_events_total", labels) == lost


def test_counted_and_never_logged_is_lost(node: Node) -> None:
    """The rule counts, but what it matches further on is not there, so it logs nothing."""
    with node.running(sources=BY_RULE):
        node.send(7004, 4)
    seen = _seen(node.last())
    assert (seen[NFLOG], seen[COUNTERS]) == ((0, 0, 0, ""), (4, 4, 0, ""))


SOMEBODY_ELSES = [
    pytest.param('log prefix "hello" group 3', {}, id="prefix of no grammar"),
    pytest.param("log group 3", {}, id="no prefix"),
    pytest.param('log prefix "DROP shop/web" group 3', {"nflog_pattern": "^(?P<action>DROP) (?P<policy>.+)"},
                 id="pattern"),
    pytest.param("limit rate 1/minute burst 2 packets log group 3", {"nflog_grammars": ("kube-router",)},
                 id="sample"),
    pytest.param('limit rate 1/minute burst 2 packets log prefix "DROP by policy shop/web" group 3',
                 {"nflog_grammars": ("kube-router",)}, id="named sample"),
]  # fmt: skip


@pytest.mark.parametrize(("logs", "changes"), SOMEBODY_ELSES)
def test_what_cannot_be_compared_is_not_missing(node: Node, logs: str, changes: dict[str, object]) -> None:
    node.namespace.nft(
        "table inet other { chain input { type filter hook input priority 10;\n"
        f"udp dport 7006 {logs}\nudp dport 7006 counter drop\n}} \n}}"
    )
    with node.running(sources=BY_RULE, nflog_groups=(3,), **changes):
        node.send(7006, 10)
    assert _seen(node.last())[COUNTERS][:3] == (10, 0, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"sources": (*collector.SOURCES, "ebpf")},
                     "no source 'ebpf': there are conntrack, nflog, felix, counters, probe", id="source"),
        pytest.param({"nflog_pattern": "("}, "NFLOG pattern", id="pattern"),
        pytest.param({"nflog_grammars": ("cilium",)}, "no NFLOG grammar 'cilium'", id="grammar"),
        pytest.param({"conntrack_mark": "red"}, "conntrack mark 'red'", id="mark"),
        pytest.param({"conntrack_zone": 70_000}, "conntrack zone 70000", id="zone"),
        pytest.param({"nflog_groups": (1, 2, 70_000)}, "no NFLOG group 70000: there are 0 to 65535",
                     id="group"),
    ],
)  # fmt: skip
def test_mistake_is_refused_and_nothing_stays_open(node: Node, changes: dict[str, object], said: str) -> None:
    opened = node.namespace.netfilter_sockets()
    with pytest.raises(errors.SetupError, match=said):
        node.build(**{"sources": collector.SOURCES} | changes)
    _assert_free(node, opened)


def _assert_free(node: Node, opened: int) -> None:
    """Everything that a collector takes can be had."""
    assert node.namespace.netfilter_sockets() == opened
    assert owners.held(node.namespace.path) == frozenset()
    assert "flowledger_probe" not in node.namespace.run("nft", "list", "tables")
    node.build(sources=collector.SOURCES).close()


@pytest.mark.parametrize("held", ["group", "probe"])
def test_what_another_holds_is_refused_and_nothing_stays_open(node: Node, held: str) -> None:
    opened = node.namespace.netfilter_sockets()
    path = node.namespace.path
    if held == "group":
        other = nflog.Source(path, (2,), receive_buffer=1 << 16, capacity=100)
    else:
        other = probe.Source(path)
    try:
        said = "NFLOG group 2 is held" if held == "group" else "another collector looks for drops"
        with pytest.raises(errors.SetupError, match=said):
            node.build(sources=collector.SOURCES)
    finally:
        other.close()
    _assert_free(node, opened)


def test_close_and_stop_leave_nothing_open(node: Node) -> None:
    opened = node.namespace.netfilter_sockets()
    node.build(sources=collector.SOURCES).close()
    _assert_free(node, opened)
    with node.running(sources=collector.SOURCES) as running:
        assert node.namespace.netfilter_sockets() > opened
        assert owners.held(node.namespace.path) == {1, 2}
    _assert_free(node, opened)
    running.close()  # once more does nothing


def test_felix_keeps_its_groups_though_they_are_free(node: Node) -> None:
    with node.namespace.process("calico-felix"):
        beside = node.build(sources=BY_RULE, nflog_groups=(1, 2, 100))
        assert owners.held(node.namespace.path) == {100}
        beside.close()
        with node.running(sources=BY_RULE):
            assert owners.held(node.namespace.path) == frozenset()
            node.send(7002)
        assert _seen(node.last()).keys() == {CONNTRACK, "conntrack_table", COUNTERS}
    with node.running(sources=BY_RULE):
        assert owners.held(node.namespace.path) == {1, 2}


def test_interval_that_cannot_be_delivered_is_counted_and_the_next_one_works(node: Node) -> None:
    reports: list[collector.Report] = []
    failing = [OSError("no space left"), None, OSError("not again"), None]

    def deliver(report: collector.Report) -> None:
        if error := failing.pop(0):
            raise error
        reports.append(report)

    running = node.build(deliver)
    running.start()
    failed = "flowledger_collector_failed_intervals_total"
    assert (running.check(), node.metric(failed)) == ("OSError: no space left", 1)
    node.lives(5)
    running._interval()
    assert (running.check(), node.metric(failed)) == ("", 1)
    assert _seen(reports[0])[CONNTRACK][0] == 5
    node.lives(3, first=10)
    running._interval()
    assert (running.check(), node.metric(failed)) == ("OSError: not again", 2)
    node.lives(2, first=20)
    running.stop()
    assert (running.check(), node.metric(failed)) == ("", 2)
    assert _seen(reports[1])[CONNTRACK][0] == 2  # the rows of the failed one are gone
    assert node.metric("flowledger_collector_interval_seconds_count") == 4


def test_last_interval_that_fails_lets_go_of_what_waits_for_felix(
    node: Node, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flows" / "flows.sock"
    with node.running(sources=(CONNTRACK, "felix"), felix_socket=str(path)) as running:
        monkeypatch.setattr(running._conntrack, "read", lambda: 1 / 0)
    report = node.last()
    assert (report.last, len(report.flows), report.flows.schema) == (True, 0, node.first.flows.schema)
    assert node.metric("flowledger_collector_failed_intervals_total") == 1


def test_full_hold_ends_the_interval_early(node: Node) -> None:
    with node.running(hold=10_000):
        node.lives(9000)
        early = node.reports.get(timeout=5)
        assert 5000 < _seen(early)[CONNTRACK][0] <= 9000
    late = node.last()
    assert _seen(early)[CONNTRACK][0] + _seen(late)[CONNTRACK][0] == 9000
    assert _seen(early)[CONNTRACK][2] == _seen(late)[CONNTRACK][2] == 0


def test_loss_ends_the_interval_early_and_is_counted(node: Node) -> None:
    with node.running(receive_buffer_bytes=4096):
        node.lives(3000)
        reports = [node.reports.get(timeout=5)]
    while not node.reports.empty():
        reports.append(node.reports.get())
    seen = [row for report in reports for row in report.completeness if row.source == CONNTRACK]
    lost = sum(row.lost for row in seen)
    assert lost > 0
    # One may be met alive, by the dump that a loss calls for, and its end be lost then. It has been given up
    # since, or the collector ended before it had gone without a word twice and still takes it for alive.
    alive = node.metric("flowledger_collector_living_connections")
    assert sum(row.observed - row.incomplete for row in seen) - alive + lost == 3000


def test_what_is_beyond_the_hold_is_discarded_and_counted(node: Node) -> None:
    with node.running(hold=1000):
        node.lives(1500)
    seen = _seen(node.last())[CONNTRACK]
    assert seen == (1000, 0, 500, "")
    labels = {"node": "node-1", "source": CONNTRACK}
    assert node.registry.get_sample_value("flowledger_collector_discarded_events_total", labels) == 500


def test_interval_ends_by_the_clock_and_stop_reports_the_last(node: Node) -> None:
    with node.running(interval_seconds=0.5):
        node.lives(3)
        report = node.reports.get(timeout=2)
        while not _seen(report)[CONNTRACK][0]:
            report = node.reports.get(timeout=2)
        node.lives(4, first=10)
    rest = [report]
    while not node.reports.empty():
        rest.append(node.reports.get())
    assert sum(_seen(one)[CONNTRACK][0] for one in rest) == 7
    times = [one.time for one in rest]
    assert times == sorted(times)


BYTES = "nf_conntrack_acct is off: packets and bytes of connections unknown"
TIMES = "nf_conntrack_timestamp is off: when connections began and ended unknown"


@pytest.mark.parametrize(
    ("switches", "set_them", "note"),
    [
        pytest.param((1, 1), False, "", id="on"),
        pytest.param((0, 1), False, BYTES, id="bytes"),
        pytest.param((1, 0), False, TIMES, id="times"),
        pytest.param((0, 0), False, f"{BYTES}; {TIMES}", id="both"),
        pytest.param((0, 0), True, "", id="both, and turned on"),
    ],
)
def test_switch_that_is_off_is_noted(
    node: Node, switches: tuple[int, int], set_them: bool, note: str
) -> None:
    node.namespace.sysctl(acct=switches[0], timestamp=switches[1])
    with node.running(set_sysctls=set_them):
        pass
    for report in (node.first, node.last()):
        assert _seen(report)[CONNTRACK] == (0, 0, 0, note)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        pytest.param({}, "", id="Calico's"),
        pytest.param(
            {"nflog_grammars": ("kube-router",)},
            "kube-router logs a sample: its rules are rate limited; "
            "kube-router does not say which side denied: ingress is assumed",
            id="kube-router's",
        ),
        pytest.param(
            {"nflog_pattern": "(?P<policy>.*)"},
            "pattern does not say which side denied: ingress is assumed",
            id="pattern without direction",
        ),
        pytest.param({"nflog_pattern": "(?P<direction>in|out)"}, "", id="pattern with direction"),
    ],
)
def test_what_a_grammar_cannot_say_is_noted(node: Node, changes: dict[str, object], note: str) -> None:
    with node.running(sources=BY_RULE, **changes):
        pass
    assert _seen(node.last())[NFLOG] == (0, 0, 0, note)


def test_table_that_is_nearly_full_is_noted() -> None:
    state = collector.statistics.Statistics(entries=91, limit=100, refused=0, evicted=0)
    assert collector._fullness(state) == "the kernel's table is nearly full: 91 of 100 connections"
    assert collector._fullness(dataclasses.replace(state, entries=90)) == ""
    assert "had no room" in collector._fullness(dataclasses.replace(state, refused=1))


def test_rules_that_are_loaded_anew_are_noted(node: Node) -> None:
    with node.running(sources=BY_RULE):
        node.send(7002, 2)
        node.namespace.nft("flush ruleset\n" + RULES)
        node.send(7002, 3)
    seen = _seen(node.last())
    assert (seen[NFLOG][0], seen[COUNTERS][1]) == (5, 0)


def test_namespace_that_is_not_there(tmp_path: pathlib.Path) -> None:
    wanted = settings.Collector(netns=str(tmp_path / "nothing"))
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    with pytest.raises(errors.SetupError, match="cannot enter network namespace"):
        collector.Collector(wanted, lambda report: None, collector.Policies, measured)


WITHOUT_PANDAS = """
import sys
import prometheus_client
from collector import collector
from runtime import metrics, settings

reports = []
wanted = settings.Collector(node="n", netns=sys.argv[1], sources=collector.SOURCES)
made = collector.Collector(
    wanted, reports.append, collector.Policies, metrics.Metrics(prometheus_client.CollectorRegistry())
)
made.start()
print("started", flush=True)
sys.stdin.readline()
made.stop()
print(sum(len(report.flows) for report in reports), *sorted(
    {name.split(".")[0] for name in sys.modules} & {"pandas", "chdb", "streamlit", "yaml"}
))
"""


def test_collector_at_work_needs_no_pandas(node: Node) -> None:
    """It would take 60 MB of each node; Arrow brings it along by itself where it is installed."""
    command = [sys.executable, "-c", WITHOUT_PANDAS, str(node.namespace.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        node.send(7002)
        node.lives(10)
        flows, *loaded = process.communicate("stop\n", timeout=10)[0].split()
    assert (int(flows), loaded) == (11, [])


def test_report_is_up_to_the_join(node: Node) -> None:
    with node.running():
        pass
    report = node.last()
    assert report.flows.schema == collector.join.columns.schema(collector.join.columns.Stage.JOIN)
    assert isinstance(report.completeness[0], completeness.Completeness)
    assert report.node == "node-1"


def test_connections_of_ebpf_maps_are_told_beside_the_kernel_s(node: Node, pinned, entry, leg) -> None:
    """A pod dials a service before and after the collector has started; the kernel has two of its own."""
    pinned.create("cali_v4_ct4")
    pods = {"a": "10.65.0.1", "b": "10.65.0.2"}
    pinned.put("cali_v4_ct4", [entry(**pods, a_port=1).pair()])
    with node.running(bpf_folder=str(pinned.folder)) as running:
        assert len(node.first.flows) == 0
        assert _seen(node.first)["ebpf"] == (0, 0, 0, "")
        service = {"type": 2, "dialled": "10.96.0.1", "dialled_port": 443, "last_seen": time.monotonic_ns()}
        pinned.put("cali_v4_ct4", [entry(**pods, **service).pair()])
        node.lives(2)
        running._interval()
        first = node.reports.get(timeout=5)
        more = leg(bytes=350, packets=4, bits=0x33)
        pinned.put("cali_v4_ct4", [entry(**pods, **service, ab=more).pair()])
        running._interval()
        second = node.reports.get(timeout=5)
        pinned.delete("cali_v4_ct4", entry(**pods).key)
    last = node.last()
    assert (_seen(first)["ebpf"], _seen(first)[CONNTRACK]) == ((1, 0, 0, ""), (2, 0, 0, ""))
    plain = {
        "node": "node-1", "src_address": "10.65.0.1", "src_port": 40000, "dst_address": "10.65.0.2",
        "dst_port": 80, "service_address": "10.96.0.1", "service_port": 443, "protocol": 6,
        "tcp_state": "established", "verdict": "allowed", "attribution": "none",
    }  # fmt: skip
    (row,) = [row for row in _rows(first) if row["protocol"] == 6]
    assert row == plain | {
        "forward_packets": 3, "forward_bytes": 300, "reverse_packets": 2, "reverse_bytes": 200,
        "connections_started": 1,
    }  # fmt: skip
    assert _rows(second) == [plain | {"forward_packets": 1, "forward_bytes": 50}]
    assert _rows(last) == [plain | {"connections_ended": 1}]
    assert _seen(last)["ebpf"] == (0, 0, 0, "")
    assert node.metric("flowledger_collector_living_connections") == 1


def test_map_of_a_layout_that_is_not_known_is_noted(node: Node, pinned) -> None:
    pinned.create("cali_v4_ct9")
    with node.running(bpf_folder=str(pinned.folder)):
        node.lives(3)
    seen = _seen(node.last())
    assert seen[CONNTRACK] == (3, 0, 0, "")
    assert seen["ebpf"] == (0, 0, 0, "cali_v4_ct9 has version 9, of which only 3 and 4 are known")
    assert node.metric("flowledger_collector_failed_intervals_total") == 2


def test_entry_of_an_unknown_type_is_discarded_and_counted(node: Node, pinned, entry) -> None:
    pinned.create("cali_v4_ct4")
    with node.running(bpf_folder=str(pinned.folder)):
        pinned.put("cali_v4_ct4", [entry(type=7).pair()])
    assert _seen(node.last())["ebpf"] == (0, 0, 1, "")


def test_no_folder_of_maps(node: Node) -> None:
    with node.running(bpf_folder=""):
        pass
    assert "ebpf" not in _seen(node.last())


@pytest.fixture
def calico() -> Iterator[pathlib.Path]:
    """Calico's folder on a node: a path short enough for a socket in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield pathlib.Path(folder)


def test_what_felix_tells_is_in_the_next_report(node: Node, calico: pathlib.Path) -> None:
    path = calico / "flows" / "flows.sock"
    with node.running(sources=(CONNTRACK, FELIX), felix_socket=str(path)) as running:
        assert node.first.told is not None
        assert (len(node.first.told.flows), node.first.told.connected) == (0, False)
        key = flowmessages.some_key(dst_port=443)
        with felixlike.Felix(path) as felix:
            felix.push(flowmessages.update(1, key), flowmessages.update(2, key), b"\xff")
            running._interval()
        report = node.reports.get(timeout=5)
    assert report.told is not None
    assert (report.told.keys, report.told.connected, report.last) == ([key, key], True, False)
    assert report.told.flows["forward_bytes"].tolist() == [1, 2]
    assert _seen(report)[FELIX][:3] == (2, 0, 1)
    assert node.last().last


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sources": (CONNTRACK, FELIX)}, id="without Calico"),
        pytest.param({"sources": (CONNTRACK,)}, id="not asked for"),
    ],
)
def test_nothing_is_heard_of_felix(node: Node, tmp_path: pathlib.Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "none" / "flows" / "flows.sock"
    with node.running(felix_socket=str(path), **changes):
        pass
    report = node.last()
    assert report.told is None
    assert FELIX not in _seen(report)
    assert not path.parent.parent.exists()
