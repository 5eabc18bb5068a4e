"""NetObserv's records."""

import pytest

START = 1_785_578_400_000

WANTED = [
    {"node": "node-1", "reporter": "src", "verdict": "allowed", "forward_bytes": 900,
     "connections_started": 1,
     "src_workload_kind": "Deployment", "src_workload": "web", "src_pod": "web-6d9f5c7b8-x2x4z",
     "src_zone": "zone-a", "src_node": "node-1", "dst_node": "node-2", "src_port": 40001, "dst_port": 8080},
    {"node": "node-1", "reporter": "src", "verdict": "allowed", "reverse_bytes": 4000, "forward_bytes": None,
     "connections_started": None, "src_workload": "web", "src_port": 40001},
    {"node": "node-2", "reporter": "dst", "attribution": "imported", "ingress_action": "allow",
     "deciding_rule": "ingress||knp:shop/cart|allow|-1"},
    {"node": "node-2", "reporter": "dst", "reverse_packets": 5},
    {"node": "node-1", "reporter": "both", "verdict": "denied", "drop_reason": None,
     "deciding_rule": "ingress||knp:shop/db|deny|-1", "dst_workload_kind": "StatefulSet"},
    {"dst_kind": "public", "verdict": "unknown", "connections_started": 1},
    {"protocol": 17, "verdict": "allowed", "connections_started": 1, "forward_bytes": 72},
    {"protocol": 17, "verdict": "allowed", "connections_started": None, "reverse_bytes": 140,
     "src_port": 53211, "dst_port": 53},
    {"protocol": 1, "icmp_type": 8, "verdict": "allowed", "forward_packets": 1},
    {"protocol": 1, "icmp_type": 8, "verdict": "allowed", "reverse_packets": 1},
]  # fmt: skip


def test_captured_rows(captured, plain):
    made = captured("netobserv", "netobserv.jsonl")
    rows = plain(made)
    assert len(rows) == len(WANTED)
    for row, wanted in zip(rows, WANTED, strict=True):
        assert {name: row.get(name) for name in wanted} == wanted
    assert (made.skipped, made.bad) == (3, [])


def test_loki_has_the_same(captured):
    first, second = (captured("netobserv", f"netobserv{end}").batch() for end in (".jsonl", "-loki.json"))
    assert first.equals(second)


def _record(**more):
    flow = {
        "SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2", "SrcPort": 40000, "DstPort": 80, "Proto": 6,
        "Flags": 0x10, "Bytes": 100, "Packets": 2, "TimeFlowStartMs": START, "TimeFlowEndMs": START + 5000,
        "AgentIP": "192.0.2.11",
    } | more  # fmt: skip
    return {key: value for key, value in flow.items() if value is not None}


DIRECTIONS = {
    "SYN": ({"Flags": 0x02}, True),
    "SYN and what came after": ({"Flags": 0x02 | 0x10 | 0x200}, True),
    "SYN+ACK": ({"Flags": 0x100 | 0x10}, False),
    "an agent without flags of its own": ({"Flags": 0x12}, True),
    "the same, the other way": ({"Flags": 0x12, "SrcPort": 80, "DstPort": 40000}, False),
    "UDP to a service": ({"Proto": 17, "DstPort": 53}, True),
    "UDP from a service": ({"Proto": 17, "SrcPort": 53, "DstPort": 40000}, False),
    "from a Kubernetes service": ({"SrcK8S_Type": "Service", "SrcPort": 8443, "DstPort": 9000}, False),
    "between high ports": ({"SrcPort": 50000, "DstPort": 60000}, True),
    "between low ports": ({"SrcPort": 53, "DstPort": 53}, True),
    "ping": ({"Proto": 1, "IcmpType": 8, "SrcPort": None, "DstPort": None}, True),
    "pong": ({"Proto": 58, "IcmpType": 129, "SrcPort": None, "DstPort": None}, False),
}


@pytest.mark.parametrize("case", DIRECTIONS, ids=str)
def test_direction_of_a_record(read, plain, case):
    change, forward = DIRECTIONS[case]
    (row,) = plain(read("netobserv", _record(**change)))
    assert ("forward_bytes" in row, "reverse_bytes" in row) == (forward, not forward)
    assert row["src_address"] == ("10.0.0.1" if forward else "10.0.0.2")


REPORTERS = {
    "ingress": ({"FlowDirection": 0, "DstK8S_HostName": "b"}, ("dst", "b")),
    "egress": ({"FlowDirection": "1", "SrcK8S_HostName": "a"}, ("src", "a")),
    "inner": ({"FlowDirection": 2, "SrcK8S_HostName": "a", "DstK8S_HostName": "a"}, ("both", "a")),
    "by the agent": ({"SrcK8S_HostIP": "192.0.2.11", "SrcK8S_HostName": "a"}, ("src", "a")),
    "nobody": ({}, ("none", "192.0.2.11")),
    "no agent": ({"AgentIP": None}, ("none", "told")),
    "answer": ({"FlowDirection": 0, "DstK8S_HostName": "b", "Flags": 0x100}, ("src", "b")),
}


@pytest.mark.parametrize("case", REPORTERS, ids=str)
def test_reporter_and_node(read, plain, case):
    change, wanted = REPORTERS[case]
    (row,) = plain(read("netobserv", _record(**change)))
    assert (row["reporter"], row["node"]) == wanted


ALL = {"PktDropPackets": 2, "Packets": 2, "Flags": 0x02}

VERDICTS = {
    "SYN": ({"Flags": 0x02}, ("unknown", None)),
    "established": ({"Flags": 0x10}, ("allowed", None)),
    "refused": ({"Flags": 0x400}, ("allowed", None)),
    "UDP": ({"Proto": 17}, ("unknown", None)),
    "dropped by netfilter": (
        ALL | {"PktDropLatestDropCause": "SKB_DROP_REASON_NETFILTER_DROP"}, ("denied", "policy"),
    ),
    "without a route": (
        ALL | {"PktDropLatestDropCause": "SKB_DROP_REASON_IP_INNOROUTES"}, ("denied", "routing"),
    ),
    "by the reverse path": (
        ALL | {"PktDropLatestDropCause": "SKB_DROP_REASON_IP_RPFILTER"}, ("denied", "routing"),
    ),
    "nobody listens": (ALL | {"PktDropLatestDropCause": "SKB_DROP_REASON_NO_SOCKET"}, ("unknown", None)),
    "some of its packets": (
        ALL | {"Packets": 9, "PktDropLatestDropCause": "SKB_DROP_REASON_NETFILTER_DROP"}, ("unknown", None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VERDICTS, ids=str)
def test_verdict(read, plain, case):
    change, wanted = VERDICTS[case]
    (row,) = plain(read("netobserv", _record(**change)))
    assert (row["verdict"], row.get("drop_reason")) == wanted


EVENTS = {
    "allowed": ({"Feature": "acl", "Type": "NetworkPolicy", "Action": "allow-related", "Direction": "Egress",
                 "Namespace": "a", "Name": "b"}, "egress||knp:a/b|allow|-1"),
    "of the cluster": ({"Feature": "acl", "Type": "AdminNetworkPolicy", "Action": "pass",
                        "Direction": "Ingress", "Name": "b"}, "ingress||kanp:b|pass|-1"),
    "of another kind": ({"Feature": "acl", "Type": "NetpolNode", "Action": "allow", "Direction": "Ingress"},
                        "ingress||NetpolNode|allow|-1"),
    "no rule": ({"Feature": "other"}, None),
    "a text": ("Dropped by network policy b in namespace a, direction Egress", None),
}  # fmt: skip


@pytest.mark.parametrize("case", EVENTS, ids=str)
def test_network_events_name_rules(read, plain, case):
    event, trace = EVENTS[case]
    (row,) = plain(read("netobserv", _record(NetworkEvents=[event])))
    assert row.get("policy_trace") == trace
    assert row["attribution"] == ("imported" if trace else "none")


def test_service_that_was_dialled(read, plain):
    change = {"DstK8S_Type": "Service", "DstK8S_Name": "cart", "DstK8S_Namespace": "shop"}
    (row,) = plain(read("netobserv", _record(**change)))
    assert (row["service_namespace"], row["service"], row["service_port"]) == ("shop", "cart", 80)
    assert (row["service_address"], row["dst_kind"]) == ("10.0.0.2", "private")


def test_without_a_handshake_the_first_record_begins(read, plain):
    rows = plain(read("netobserv", *[_record(Proto=17, DstPort=53)] * 3))
    assert [row.get("connections_started") for row in rows] == [1, None, None]


BAD = {
    "no addresses": ({"SrcAddr": None, "DstAddr": None}, "SrcAddr and DstAddr are not there"),
    "protocol": ({"Proto": None}, "Proto is not there"),
    "time": ({"TimeFlowEndMs": "soon"}, "TimeFlowEndMs is no time"),
    "bytes": ({"Bytes": -1}, "Bytes is out of range"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_record_is_said_and_costs_only_itself(read, case):
    change, reason = BAD[case]
    into = read("netobserv", _record(), _record(**change))
    assert len(into) == 1
    ((line, why),) = into.bad
    assert (line, reason in why) == (2, True)
