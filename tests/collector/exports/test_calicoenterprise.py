"""Flow logs of Calico Enterprise."""

import json

import pytest

from collector.exports import reading


def test_elasticsearch_and_lines_make_the_same_rows(captured):
    first, second = (
        captured("calico-enterprise", f"calico-enterprise{end}").batch() for end in (".jsonl", "-hits.json")
    )
    assert first.equals(second)


WANTED = [
    {"node": "node-1", "reporter": "src", "verdict": "allowed", "forward_bytes": 48000,
     "reverse_bytes": 90000, "connections_started": 40, "connections_ended": 40,
     "src_workload": "web", "dst_workload": "cart",
     "src_node": "node-1", "service": "cart", "service_port": 80, "service_port_name": "http"},
    {"node": "node-2", "reporter": "dst", "dst_node": "node-2", "forward_bytes": 48000,
     "policy_trace": "ingress|security|gnp:baseline|pass|3 ingress|default|knp:shop/cart|allow|0"},
    {"verdict": "denied", "src_pod": "web-6d9f5c7b8-x2x4z", "src_address": "10.65.0.4", "src_port": 41234,
     "dst_pod": "db-0", "dst_workload": "db", "dst_workload_kind": "StatefulSet",
     "deciding_rule": "ingress|default|end-of-tier|deny|-1"},
    {"dst_kind": "network_set", "dst_workload": "payment-provider", "pending_verdict": "allowed",
     "policy_trace": "egress|security|np:shop/web|allow|0",
     "pending_trace": "egress|security|snp:shop/web-egress|deny|1 egress|security|np:shop/web|allow|0"},
    {"src_kind": "private", "src_address": "172.16.3.9", "verdict": "allowed",
     "policy_trace": "ingress|__PROFILE__|pro:kns.shop|allow|0"},
    {"dst_kind": "public", "verdict": "unknown", "attribution": "none", "connections_started": 2},
    {"dst_kind": "node", "dst_workload": "node-1", "verdict": "denied", "dst_address": "192.0.2.11",
     "egress_action": "deny"},
]  # fmt: skip


def test_captured_rows(captured, plain):
    rows = plain(captured("calico-enterprise", "calico-enterprise.jsonl"))
    assert len(rows) == len(WANTED)
    for row, wanted in zip(rows, WANTED, strict=True):
        assert {name: row.get(name) for name in wanted} == wanted
        assert row["origin"] == "calico-enterprise"
        assert row["time"] - row["started"] == 300 * 10**9


BAD = {
    "reporter": ({"reporter": "both"}, "reporter is 'both', not one of src, dst"),
    "action": ({"action": ""}, "action is '', not one of allow, deny"),
    "type": ({"dest_type": "pod"}, "dest_type is 'pod'"),
    "time": ({"end_time": None}, "end_time is not there"),
    "address": ({"source_ip": "x"}, "source_ip is no address"),
    "policies": ({"policies": "x"}, "policies is no object"),
    "a policy": ({"policies": {"all_policies": ["x"]}}, "four or five parts"),
    "no text": ({"policies": {"all_policies": [5]}}, "a policy is no text"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_log_is_said_and_costs_only_itself(read, captures, case):
    change, reason = BAD[case]
    (piece,) = reading.pieces(captures / "calico-enterprise.jsonl")
    good = json.loads(json.dumps(piece.values[0][1]))
    into = read("calico-enterprise", good, good | change)
    assert len(into) == 1
    ((line, why),) = into.bad
    assert (line, reason in why) == (2, True)


def test_older_service_port_is_a_name(read, captures, plain):
    (piece,) = reading.pieces(captures / "calico-enterprise.jsonl")
    log = piece.values[0][1]
    for said, port, name in ((80, 80, None), ("80", 80, None), ("http", None, "http")):
        change = {"dest_service_port": said, "dest_service_port_num": None}
        (row,) = plain(read("calico-enterprise", log | change))
        assert (row.get("service_port"), row.get("service_port_name")) == (port, name)
