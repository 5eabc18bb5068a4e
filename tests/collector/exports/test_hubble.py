"""Hubble's events, made connections."""

import pytest

WANTED = [
    {"node": "node-1", "reporter": "src", "verdict": "allowed", "connections_started": 1,
     "connections_ended": 1, "forward_packets": 2, "reverse_packets": 1, "src_address": "10.0.1.20",
     "src_port": 40001, "dst_port": 8080,
     "src_workload_kind": "Deployment", "src_workload": "web", "src_pod": "web-6d9f5c7b8-x2x4z",
     "src_node": "node-1", "dst_node": None, "attribution": "imported",
     "deciding_rule": "egress||CiliumNetworkPolicy:shop/web|allow|-1"},
    {"node": "node-2", "reporter": "dst", "verdict": "allowed", "dst_node": "node-2", "forward_packets": 2,
     "reverse_packets": 1, "deciding_rule": "ingress||knp:shop/cart|allow|-1"},
    {"reporter": "both", "verdict": "denied", "connections_started": 1, "forward_packets": 3,
     "ingress_action": "deny", "deciding_rule": "ingress||default-deny|deny|-1", "drop_reason": None},
    {"node": "node-1", "protocol": 17, "verdict": "allowed", "connections_started": 1, "reverse_packets": 1},
    {"node": "node-2", "protocol": 17, "verdict": "allowed", "reporter": "dst"},
    {"dst_kind": "public", "verdict": "unknown", "connections_started": 1, "attribution": "none"},
    {"verdict": "denied", "egress_action": "deny", "attribution": "imported",
     "deciding_rule": "egress||CiliumNetworkPolicy:shop/no-mail|deny|-1"},
    {"verdict": "denied", "drop_reason": "routing", "attribution": "none"},
    {"verdict": "allowed", "pending_verdict": "denied", "dst_port": 9187},
    {"protocol": 1, "icmp_type": 8, "src_port": None, "verdict": "allowed", "reverse_packets": 1},
]  # fmt: skip


def test_captured_rows(captured, plain):
    made = captured("hubble", "hubble-observe.jsonl")
    rows = plain(made)
    assert len(rows) == len(WANTED)
    for row, wanted in zip(rows, WANTED, strict=True):
        assert {name: row.get(name) for name in wanted} == wanted
        assert "forward_bytes" not in row  # Hubble knows none
    assert (made.skipped, made.bad) == (1, [])
    assert dict(made.lost) == {("node-2", 1_785_578_405 * 10**9): 12}
    assert {"app": "web"} in made.label_sets.values()  # without what Cilium adds


def _event(second=0.0, **more):
    flow = {
        "time": f"2026-08-01T10:{int(second // 60):02}:{second % 60:09.6f}Z", "verdict": "FORWARDED",
        "IP": {"source": "10.0.1.1", "destination": "203.0.113.9"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 443, "flags": {"SYN": True}}},
        "source": {"ID": 7, "namespace": "shop", "pod_name": "web-6d9f5c7b8-x2x4z"}, "destination": {},
        "node_name": "kind/node-1", "trace_observation_point": "TO_STACK", "is_reply": False,
    } | more  # fmt: skip
    return {key: value for key, value in flow.items() if value is not None}


def _answer(second=0.5, **more):
    back = {"IP": {"source": "203.0.113.9", "destination": "10.0.1.1"},
            "l4": {"TCP": {"source_port": 443, "destination_port": 40000,
                           "flags": {"SYN": True, "ACK": True}}},
            "source": {}, "destination": {"ID": 7}, "is_reply": True}  # fmt: skip
    return _event(second, **(back | more))


TCP = {"source_port": 40000, "destination_port": 443}
UDP = {"l4": {"UDP": {"source_port": 40000, "destination_port": 53}}}

GROUPS = {
    "one SYN": ([_event()], [("unknown", 1, 1)]),
    "answered": ([_event(), _answer()], [("allowed", 1, 1)]),
    "an answer that nobody calls one": ([_event(), _answer(is_reply=None)], [("allowed", 1, 1)]),
    "answers alone": ([_answer()], []),
    "SYN again and again": ([_event(second) for second in (0, 1, 3, 7, 15, 31)], [("unknown", 1, 6)]),
    "the port again after a while": ([_event(), _event(100)], [("unknown", 1, 1), ("unknown", 1, 1)]),
    "one packet at two places": (
        [_event(trace_observation_point="FROM_ENDPOINT"), _event(0.001)], [("unknown", 1, 1)],
    ),
    "in the middle": ([_event(l4={"TCP": TCP | {"flags": {"ACK": True}}})], [("allowed", 0, 1)]),
    "flags left out": ([_event(l4={"TCP": TCP})], [("unknown", 0, 1)]),
    "flags left out, a new one": ([_event(l4={"TCP": TCP}, trace_reason="NEW")], [("unknown", 1, 1)]),
    "UDP": ([_event(**UDP)], [("unknown", 1, 1)]),
    "UDP that goes on": ([_event(**UDP, trace_reason="ESTABLISHED")], [("unknown", 0, 1)]),
    "dropped by a policy": (
        [_event(verdict="DROPPED", drop_reason_desc="POLICY_DENIED", is_reply=None)], [("denied", 1, 1)],
    ),
    "let out, and then dropped": (
        [_event(), _event(0.001, verdict="DROPPED", drop_reason_desc="POLICY_DENIED", is_reply=None)],
        [("denied", 1, 1)],
    ),
    "a stray packet dropped at the end": (
        [_event(), _answer(), _event(1, verdict="DROPPED", drop_reason_desc="CT_UNKNOWN_L4_PROTOCOL")],
        [("allowed", 1, 1)],
    ),
    "redirected to a proxy of the node": ([_event(verdict="REDIRECTED")], [("unknown", 1, 1)]),
    "error": ([_event(verdict="ERROR")], [("unknown", 1, 1)]),
    "traced": ([_event(verdict="TRACED")], []),
    "of a socket": ([_event(Type="SOCK", verdict="TRANSLATED")], []),
    "another layer": ([_event(Type="L7")], []),
    "no address": ([_event(IP=None)], []),
}  # fmt: skip


@pytest.mark.parametrize("case", GROUPS, ids=str)
def test_events_make_connections(read, plain, case):
    events, wanted = GROUPS[case]
    made = read("hubble", *events)
    assert made.bad == []
    assert [
        (row["verdict"], row.get("connections_started", 0), row["forward_packets"]) for row in plain(made)
    ] == wanted
    assert bool(made.skipped) == (not wanted)


def test_without_numbers_of_endpoints_the_direction_tells_the_end(read, plain):
    for direction, reporter in (("EGRESS", "src"), ("INGRESS", "dst")):
        event = _event(source={"namespace": "shop", "pod_name": "web"}, traffic_direction=direction)
        (row,) = plain(read("hubble", event))
        assert row["reporter"] == reporter


def test_nodes_are_known_by_their_label(read, plain):
    (row,) = plain(read("hubble", _event(destination={"labels": ["reserved:host"], "ID": 1})))
    assert (row["dst_kind"], row["dst_workload"], row["reporter"]) == ("node", "node-1", "both")
    (row,) = plain(read("hubble", _event(destination={"labels": ["reserved:remote-node"]})))
    assert (row["dst_kind"], row.get("dst_workload")) == ("node", None)


BAD = {
    "no verdict": (_event(verdict=None), "verdict is not there"),
    "no time": (_event(time=None), "time is not there"),
    "address": (_event(IP={"source": "x"}), "source is no address"),
    "protocol": (_event(l4={"XYZ": {}}), "l4 has no protocol that we know: XYZ"),
    "port": (_event(l4={"TCP": {"source_port": 70000}}), "source_port is out of range"),
    "policy": (_event(egress_allowed_by=[5]), "a policy is no object"),
    "endpoint": (_event(source="x"), "source is no object"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_event_is_said_and_costs_only_itself(read, case):
    event, reason = BAD[case]
    other = _event(l4={"TCP": TCP | {"source_port": 40001}})
    into = read("hubble", other, event)
    assert len(into) == 1
    ((line, why),) = into.bad
    assert (line, reason in why) == (2, True)
