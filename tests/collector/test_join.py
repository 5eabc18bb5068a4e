"""Connections and logged packets as flows."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from collector import join, traces
from collector.conntrack import decode as conntrack
from collector.nflog import decode as nflog
from model import address, columns

SECOND = 1_000_000_000
SINCE = 50 * SECOND
OUT, IN, DENY_IN, PASS_IN = range(4)
PREFIXES = ["APE0|np/shop/out", "API0|np/shop/in", "DPI|default", "PPI0|np/shop/first"]
TEXTS = [
    "egress||np:shop/out|allow|0",
    "ingress||np:shop/in|allow|0",
    "ingress|default|end-of-tier|deny|-1",
    "ingress||np:shop/first|pass|0",
]
UNREPLIED = {"status": 0, "state": 1, "forward_packets": 1, "forward_bytes": 60,
             "reverse_packets": 0, "reverse_bytes": 0}  # fmt: skip
Build = Callable[..., "conntrack.Connections | nflog.Packets"]


class Node:
    """A join with its intervals of ten seconds, the first of which ends at 110 s."""

    def __init__(self, connections: Build, packets: Build, scope: join.Scope) -> None:
        self._connections, self._packets = connections, packets
        self.join = join.Join("node-1", traces.Traces({}), SINCE, scope)
        self.until = 100 * SECOND
        self.batch: pa.RecordBatch | None = None

    def interval(self, entries: list[dict] = (), logged: list[dict] = ()) -> list[dict]:
        """The rows of the next interval."""
        self.until += 10 * SECOND
        self.join.log.add(self._packets(*logged), PREFIXES)
        self.batch = self.join.flows(self._connections(*entries), self.until)
        rows = self.batch.cast(pa.schema([
            f.with_type(pa.int64()) if f.type == columns.TIME else f for f in self.batch.schema
        ])).to_pylist()  # fmt: skip
        for row in rows:
            row |= {n: address.render(v) for n, v in row.items() if isinstance(v, bytes)}
        return rows


@pytest.fixture
def node(connections: Build, packets: Build) -> Node:
    return Node(connections, packets, join.Scope())


def _of(rows: list[dict], *names: str) -> list[tuple]:
    return [tuple(row[name] for name in names) for row in rows]


@pytest.mark.parametrize(
    ("entries", "logged"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([{}], [], id="connections alone"),
        pytest.param([], [{"prefix": DENY_IN}], id="denied alone"),
        pytest.param([{}], [{"prefix": DENY_IN, "src_port": 1}], id="both"),
    ],
)
def test_batch_has_the_schema_of_its_stage(node: Node, entries: list[dict], logged: list[dict]) -> None:
    assert len(node.interval(entries, logged)) == len(entries) + len(logged)
    assert node.batch.schema == columns.schema(columns.Stage.JOIN)
    node.batch.validate(full=True)


def test_allowed_connection_has_the_rule_that_let_it_through(node: Node) -> None:
    (row,) = node.interval([{}], [{"prefix": OUT}, {"prefix": IN}])
    assert row == {
        "time": 110 * SECOND, "started": 100 * SECOND, "ended": 0, "node": "node-1",
        "src_address": "10.0.0.1", "src_port": 40000, "dst_address": "10.0.0.2", "dst_port": 80,
        "protocol": 6, "icmp_type": 0, "icmp_code": 0,
        "service_address": "", "service_port": 0, "snat_address": "", "snat_port": 0,
        "forward_packets": 3, "forward_bytes": 300, "reverse_packets": 2, "reverse_bytes": 200,
        "connections_started": 1, "connections_ended": 0, "tcp_state": "established", "drop_reason": "",
        "verdict": "allowed", "egress_action": "allow", "ingress_action": "allow",
        "policy_trace": f"{TEXTS[OUT]} {TEXTS[IN]}", "deciding_rule": TEXTS[IN], "attribution": "nflog",
        "origin": "", "pending_verdict": "", "pending_trace": "",
    }  # fmt: skip


def test_denied_attempt(node: Node) -> None:
    (row,) = node.interval([], [
        {"prefix": OUT, "time": 104 * SECOND},
        {"prefix": PASS_IN, "time": 104 * SECOND},
        {"prefix": DENY_IN, "time": 104 * SECOND, "sequence": 1},
        {"prefix": DENY_IN, "time": 105 * SECOND, "sequence": 2},
    ])  # fmt: skip
    assert row == {
        "time": 110 * SECOND, "started": 104 * SECOND, "ended": 0, "node": "node-1",
        "src_address": "10.0.0.1", "src_port": 40000, "dst_address": "10.0.0.2", "dst_port": 80,
        "protocol": 6, "icmp_type": 0, "icmp_code": 0,
        "service_address": "", "service_port": 0, "snat_address": "", "snat_port": 0,
        "forward_packets": 2, "forward_bytes": 120, "reverse_packets": 0, "reverse_bytes": 0,
        "connections_started": 1, "connections_ended": 0, "tcp_state": "", "drop_reason": "",
        "verdict": "denied", "egress_action": "allow", "ingress_action": "deny",
        "policy_trace": f"{TEXTS[OUT]} {TEXTS[PASS_IN]} {TEXTS[DENY_IN]}", "deciding_rule": TEXTS[DENY_IN],
        "attribution": "nflog", "origin": "", "pending_verdict": "", "pending_trace": "",
    }  # fmt: skip


def test_denied_attempt_that_goes_on_starts_once(node: Node) -> None:
    rows = [
        row for at in (104, 115, 121) for row in node.interval([], [{"prefix": DENY_IN, "time": at * SECOND}])
    ]
    assert _of(rows, "connections_started", "started", "forward_packets") == [
        (1, 104 * SECOND, 1),
        (0, 104 * SECOND, 1),
        (0, 104 * SECOND, 1),
    ]


def test_packets_later_than_the_interval_wait(node: Node) -> None:
    assert node.interval([], [{"prefix": DENY_IN, "time": 110 * SECOND + 1}]) == []
    assert _of(node.interval(), "time", "started") == [(120 * SECOND, 110 * SECOND + 1)]


@pytest.mark.parametrize("intervals", [1, 2, 3])
def test_hit_whose_connection_shows_later_is_matched(node: Node, intervals: int) -> None:
    for _ in range(intervals):
        assert node.interval([], [{"prefix": IN}] if node.until == 100 * SECOND else []) == []
    assert _of(node.interval([{}]), "deciding_rule", "connections_started") == [(TEXTS[IN], 1)]
    assert node.join.given_up == 0


def test_hit_whose_connection_never_shows_is_given_up_and_counted(node: Node) -> None:
    node.interval([], [{"prefix": IN}, {"prefix": IN, "src_port": 2}])
    given_up = []
    for _ in range(5):
        node.interval()
        given_up.append(node.join.given_up)
    assert given_up == [0, 0, 0, 2, 2]
    assert _of(node.interval([{}]), "attribution") == [("none",)]


def test_trace_stays_with_the_connection(node: Node) -> None:
    node.interval([{}], [{"prefix": IN}])
    grown = {"forward_packets": 9}
    assert _of(node.interval([grown]), "deciding_rule", "connections_started") == [(TEXTS[IN], 0)]
    ended = {"forward_packets": 9, "destroyed": True, "stopped": 123 * SECOND}
    assert _of(node.interval([ended]), "deciding_rule", "ended") == [(TEXTS[IN], 123 * SECOND)]
    assert node.join.living == 0


def test_the_same_ports_again_get_the_later_hit(node: Node) -> None:
    """The earlier connection keeps its own, though both are there in one interval."""
    rows = node.interval(
        [{"destroyed": True}, {"id": 2, "started": 105 * SECOND, "src": "10.0.0.1"}],
        [{"prefix": OUT}, {"prefix": IN, "time": 105 * SECOND - 1000, "tcp_sequence": 8}],
    )
    assert sorted(_of(rows, "started", "deciding_rule")) == [
        (100 * SECOND, TEXTS[OUT]),
        (105 * SECOND, TEXTS[IN]),
    ]


@pytest.mark.parametrize(
    ("entry", "logged", "verdict"),
    [
        pytest.param({}, [], "allowed", id="answered"),
        pytest.param(UNREPLIED, [], "unknown", id="nobody answers"),
        pytest.param(UNREPLIED, [OUT], "unknown", id="let out, nobody answers"),
        pytest.param(UNREPLIED, [IN], "allowed", id="let in, nobody answers"),
        pytest.param(UNREPLIED, [OUT, IN], "allowed", id="let out and in, nobody answers"),
        pytest.param(
            UNREPLIED | {"reverse_packets": 1, "reverse_bytes": 40, "state": 8, "destroyed": True},
            [OUT], "allowed", id="refused by RST",
        ),
        pytest.param({"protocol": 17, "state": 0}, [], "allowed", id="UDP answered"),
        pytest.param(UNREPLIED | {"protocol": 17, "state": 0}, [OUT], "unknown", id="UDP unanswered"),
    ],
)  # fmt: skip
def test_verdict(node: Node, entry: dict, logged: list[int], verdict: str) -> None:
    hits = [{"prefix": hit, "protocol": entry.get("protocol", 6)} for hit in logged]
    assert _of(node.interval([entry], hits), "verdict") == [(verdict,)]


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        pytest.param({"protocol": 17, "dst_port": 4789}, False, id="VXLAN"),
        pytest.param({"protocol": 6, "dst_port": 4789}, True, id="TCP at VXLAN's port"),
        pytest.param({"protocol": 17, "dst_port": 51820}, True, id="UDP at another port"),
        pytest.param({"protocol": 4}, False, id="IP in IP"),
        pytest.param({"src": "127.0.0.1", "dst": "127.0.0.1"}, False, id="loopback"),
        pytest.param({"src": "10.0.0.1", "dst": "127.0.0.53"}, False, id="to the loopback"),
        pytest.param({"src": "127.0.0.1", "dst": "10.0.0.2"}, False, id="from the loopback, after DNAT"),
        pytest.param({"src": "::1", "dst": "::1"}, False, id="IPv6 loopback"),
        pytest.param({"src": "2001:db8::1", "dst": "2001:db8::7f00:1"}, True, id="IPv6 that looks like it"),
    ],
)
def test_the_networks_own_machinery_is_left_out(node: Node, entry: dict, kept: bool) -> None:
    assert len(node.interval([entry])) == kept
    assert node.join.living == 1


def test_other_overlay_ports(connections: Build, packets: Build) -> None:
    wireguard = Node(connections, packets, join.Scope(overlay_ports=(51820,)))
    entries = [{"protocol": 17, "dst_port": port} for port in (51820, 4789)]
    assert _of(wireguard.interval(entries), "dst_port") == [(4789,)]


def test_vanished_entries_are_counted(node: Node) -> None:
    for vanished in (0, 0, 1, 1):
        node.interval([{}] if node.until == 100 * SECOND else [])
        assert node.join.vanished == vanished


def test_without_timestamps_a_connection_begins_when_it_is_seen(node: Node) -> None:
    node.interval()
    rows = node.interval([{"started": 0}], [{"prefix": IN, "time": 115 * SECOND}])
    assert _of(rows, "started", "connections_started", "deciding_rule") == [(120 * SECOND, 1, TEXTS[IN])]
