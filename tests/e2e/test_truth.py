"""The ledger against the lab's own truth, connection by connection.

A connection is its five-tuple as policies see it, after service translation. As with kube-proxy, each SYN of
a denied attempt is translated anew, so one `connect()` to a service may try several pods: it is there once
for each of them, and their packets add up to what the client sent.
"""

import collections
import datetime

import pytest

from lab import network, truth
from model import enums

pytestmark = [pytest.mark.net, pytest.mark.e2e]

ICMP = (enums.Protocol.ICMP, enums.Protocol.ICMPV6)
COUNTED = ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes")


class Report:
    """All rows that one node wrote about one connection."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows = sorted(rows, key=lambda row: row["time"])
        self.last = self.rows[-1]

    def __getitem__(self, name: str) -> object:
        return self.last[name]

    def total(self, name: str) -> int:
        return sum(row[name] for row in self.rows)

    def values(self, name: str) -> set:
        return {row[name] for row in self.rows}


def _reports(rows: list[dict]) -> dict[tuple, list[Report]]:
    """By who began it: address, port and protocol; for pings address, destination and protocol."""
    grouped = collections.defaultdict(list)
    for row in rows:
        grouped[_key(row), row["node"], row["dst_address"], row["started"]].append(row)
    reports = collections.defaultdict(list)
    for (key, _, _, _), its_rows in grouped.items():
        reports[key].append(Report(its_rows))
    return reports


def _key(row: dict) -> tuple:
    second = row["dst_address"] if row["protocol"] in ICMP else row["src_port"]
    return row["src_address"], second, row["protocol"]


@pytest.fixture(scope="module")
def matched(recording) -> list[tuple[truth.Attempt, list[Report]]]:
    """Each attempt with the reports about it."""
    reports = _reports(recording.rows)
    pairs = []
    for attempt in recording.attempts:
        second = attempt.dst_address if attempt.protocol in ICMP else attempt.src_port
        found = reports[attempt.src_address, second, attempt.protocol]
        pairs.append(
            (attempt, [r for r in found if attempt.started <= _nanoseconds(r["started"]) <= attempt.ended])
        )
    return pairs


def _nanoseconds(text: str) -> int:
    whole, fraction = text.rstrip("Z").split(".")
    moment = datetime.datetime.fromisoformat(whole + "+00:00")
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction)


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def pairs(request, matched) -> list[tuple[truth.Attempt, list[Report]]]:
    """The attempts of one address family with their reports."""
    return [(attempt, reports) for attempt, reports in matched if attempt.family == request.param]


def _by_destination(reports: list[Report]) -> dict[str, list[Report]]:
    grouped = collections.defaultdict(list)
    for report in reports:
        grouped[report["dst_address"]].append(report)
    return grouped


def _pod_at(address: str, attempt: truth.Attempt, pods: dict):
    """The pod that had an address when the attempt was made; None for outside hosts."""
    return next((pod for pod in pods.values() if address in pod.addresses and _alive(pod, attempt)), None)


def _alive(pod, attempt: truth.Attempt) -> bool:
    return pod.started <= attempt.started and (not pod.deleted or attempt.started < pod.deleted)


def _expected_nodes(attempt: truth.Attempt, destination: str) -> dict[str, str]:
    """Node → reporter of each report that there has to be."""
    source = attempt.src_node
    if source == destination:
        return {source: "both"}
    if "|deny|" in attempt.egress_rule:
        return {source: "src"}
    ends = {source: "src", destination: "dst"}
    return {node: reporter for node, reporter in ends.items() if node}


def _expected_verdict(attempt: truth.Attempt, reporter: str) -> tuple[str, str]:
    """Verdict and deciding rule as one report has to have them."""
    if "|deny|" in attempt.egress_rule:
        return "denied", attempt.egress_rule
    if reporter == "src":
        answered = attempt.result in ("answered", "refused")
        return "allowed" if answered else "unknown", attempt.egress_rule
    return ("denied" if "|deny|" in attempt.ingress_rule else "allowed"), attempt.ingress_rule


def test_the_lab_did_what_it_was_meant_to(pairs):
    """Otherwise the rest would prove nothing: every pattern ran, and ended as its policies say."""
    assert len({attempt.pattern for attempt, _ in pairs}) >= 25
    for attempt, _ in pairs:
        denied = "|deny|" in attempt.egress_rule + attempt.ingress_rule
        assert (attempt.result == "timeout") == denied, attempt


def test_each_connection_is_there_once_per_report(pairs, recording):
    wrong = []
    for attempt, reports in pairs:
        for address, found in _by_destination(reports).items():
            pod = _pod_at(address, attempt, recording.pods)
            expected = _expected_nodes(attempt, pod.node if pod else "")
            once = all(report.total("connections_started") == 1 for report in found)
            if not once or sorted((r["node"], r["reporter"]) for r in found) != sorted(expected.items()):
                wrong.append((attempt, found, expected))
        if not reports:
            wrong.append((attempt, "missing"))
    assert wrong == []


def test_who_answered_is_who_is_recorded(pairs, recording):
    """The server told the client its name; where nobody answered, it is a pod behind what was dialled."""
    wrong = []
    for attempt, reports in pairs:
        found = {_name(r, "dst") for r in reports}
        if attempt.server in recording.pods and found != {attempt.server}:
            wrong.append((attempt, found))
        if not attempt.service and {r["dst_address"] for r in reports} != {attempt.dst_address}:
            wrong.append((attempt, found))
    assert wrong == []


def test_nothing_is_there_that_did_not_happen(recording, matched):
    explained = {id(report.last) for _, reports in matched for report in reports}
    left = [
        r.last
        for reports in _reports(recording.rows).values()
        for r in reports
        if id(r.last) not in explained
    ]
    assert left == []


def test_both_ends_have_their_right_names(pairs, recording):
    wrong = []
    for attempt, reports in pairs:
        for report in reports:
            pod = _pod_at(report["dst_address"], attempt, recording.pods)
            src = _name(report, "src") if attempt.src_node else report["src_address"]
            if src != (attempt.src if attempt.src_node else attempt.src_address):
                wrong.append((attempt, "src", src))
            if pod and _name(report, "dst") != f"{pod.namespace}/{pod.name}":
                wrong.append((attempt, "dst", _name(report, "dst")))
            if pod and f"{report['dst_namespace']}/{report['dst_workload']}" != attempt.dst_owner:
                wrong.append((attempt, "workload", report["dst_workload"]))
            if not pod and report["dst_address"] != attempt.dst_address:
                wrong.append((attempt, "dst", report["dst_address"]))
    assert wrong == []


def _name(report: Report, side: str) -> str:
    return f"{report[f'{side}_namespace']}/{report[f'{side}_pod']}"


def test_the_service_that_was_dialled_is_named(pairs):
    """On the node that translated; a denied packet is logged after translation and has no entry."""
    wrong = []
    for attempt, reports in pairs:
        for report in reports:
            translated = attempt.service and report["verdict"] != "denied"
            translated = translated and (report["reporter"] in ("src", "both") or not attempt.src_node)
            found = (
                report["service_address"],
                report["service_port"],
                f"{report['service_namespace']}/{report['service']}",
            )
            expected = (
                (attempt.dst_address, attempt.dst_port, attempt.service) if translated else ("", 0, "/")
            )
            if found != expected:
                wrong.append((attempt, found, expected))
    assert wrong == []


def test_verdict_and_deciding_rule_are_the_policies_own(pairs):
    wrong = []
    for attempt, reports in pairs:
        for report in reports:
            found = (report["verdict"], report["deciding_rule"])
            if found != _expected_verdict(attempt, report["reporter"]):
                wrong.append((attempt, found))
            if report["attribution"] != "nflog":
                wrong.append((attempt, report["attribution"]))
    assert wrong == []


def test_packets_and_bytes_are_the_kernels_own(pairs, recording):
    """As the client's own kernel counted them, in and out, at each end that saw them.

    With one exception, which is conntrack's: it does not count a SYN that is sent again (after three SYNs,
    `conntrack -L` shows packets=1). Such a connection has what conntrack has; an end that denied it, which is
    told by NFLOG, has all.
    """
    wrong = []
    for attempt, reports in pairs:
        sent, received = _counted(attempt, recording.counters)
        if attempt.result in ("answered", "refused"):
            sent = _without_repeated_syns(sent, attempt, recording.counters)
        denied_at_once = "|deny|" in attempt.egress_rule  # then no other end ever sees it
        for ends in [("src", "both")] if denied_at_once else [("src", "both"), ("dst", "both")]:
            seen = [r for r in reports if r["reporter"] in ends]
            found = tuple(sum(r.total(name) for r in seen) for name in COUNTED)
            unanswered = [
                r for r in seen if r["verdict"] == "unknown" and r["protocol"] == enums.Protocol.TCP
            ]
            if unanswered and any(r.total("forward_packets") != 1 for r in unanswered):
                wrong.append((attempt, found, "one SYN"))
            if seen and not unanswered and found != (*sent, *received):
                wrong.append((attempt, found, sent, received))
    assert wrong == []


def _counted(attempt: truth.Attempt, counters: dict) -> tuple[tuple[int, int], tuple[int, int]]:
    here, there = (attempt.src_address, attempt.src_port), (attempt.dst_address, attempt.dst_port)
    if attempt.protocol in ICMP:
        names = (f"sent {here[0]} {here[1]} {there[0]}", f"received {there[0]} {here[1]} {here[0]}")
    else:
        names = (_name_of("sent", here, there, attempt), _name_of("received", there, here, attempt))
    return tuple(tuple(_host(attempt, counters).get(name, (0, 0))) for name in names)


def _without_repeated_syns(sent: tuple[int, int], attempt: truth.Attempt, counters: dict) -> tuple[int, int]:
    """On a busy machine an answer may take longer than the second after which a SYN is sent again."""
    here, there = (attempt.src_address, attempt.src_port), (attempt.dst_address, attempt.dst_port)
    syns, size = _host(attempt, counters).get(_name_of("syn", here, there, attempt), (1, 0))
    return sent[0] - (syns - 1), sent[1] - (syns - 1) * (size // syns)


def _host(attempt: truth.Attempt, counters: dict) -> dict[str, tuple[int, int]]:
    return counters[attempt.src if attempt.src_node else network.WORLD]


def _name_of(way: str, a: tuple[str, int], b: tuple[str, int], attempt: truth.Attempt) -> str:
    return f"{way} {a[0]} {attempt.protocol} {a[1]} {b[0]} {b[1]}"


def test_tcp_connections_have_ended_once(pairs):
    wrong = [
        (attempt, report.rows)
        for attempt, reports in pairs
        for report in reports
        if attempt.protocol == enums.Protocol.TCP and attempt.result in ("answered", "refused")
        and report.total("connections_ended") != 1
    ]  # fmt: skip
    assert wrong == []


def test_long_connections_are_reported_as_they_go(pairs):
    """Row by row with what came in between, not once at their end."""
    long = [
        r
        for attempt, reports in pairs
        if attempt.pattern == "keep session"
        for r in reports
        if len(r.rows) > 3
    ]
    assert long
    for report in long:
        assert all(row["forward_packets"] > 0 for row in report.rows[:-1])


def test_summary_counts_each_connection_once(recording, matched):
    """Whatever the number of nodes that saw it."""
    connections = [(a, len(_by_destination(reports))) for a, reports in matched]
    denied = sum(n for a, n in connections if "|deny|" in a.egress_rule + a.ingress_rule)
    assert recording.summary["flows"] == sum(n for _, n in connections)
    assert recording.summary["denied"] == denied
    assert recording.summary["completeness"] == 1.0


def test_reused_address_is_named_by_its_time(recording):
    """Report and visitor take turns at one address; each keeps what it did."""
    owners = collections.defaultdict(set)
    for row in recording.rows:
        if row["src_workload"] in ("report", "visitor"):
            owners[row["src_address"]].add((row["src_namespace"], row["src_pod"]))
    shared = [pods for pods in owners.values() if len(pods) >= 3]
    assert shared
    for row in recording.rows:
        pod = recording.pods.get(f"{row['src_namespace']}/{row['src_pod']}")
        if pod:
            assert pod.started <= _nanoseconds(row["started"])
            assert not pod.deleted or _nanoseconds(row["started"]) < pod.deleted
