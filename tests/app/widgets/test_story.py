import pytest

from app.widgets import story

FLOW = {
    "dst_kind": "pod", "dst_namespace": "shop", "dst_workload_kind": "StatefulSet",
    "dst_workload": "postgres",
    "dst_pod": "postgres-0", "dst_address": "10.244.3.15", "dst_port": 5432,
    "service": "", "service_namespace": "", "service_port_name": "", "service_address": "",
    "service_port": 0,
    "snat_address": "", "snat_port": 0,
    "forward_bytes": 1_500, "forward_packets": 2, "reverse_bytes": 0, "reverse_packets": 0,
    "connections_started": 1, "connections_ended": 0, "tcp_state": "",
}  # fmt: skip


def test_end_names_the_owner_and_its_kind():
    assert ("Workload", "StatefulSet postgres") in story.end(FLOW, "dst")


def test_end_leaves_out_what_is_not_known():
    outside = {f"dst_{part}": "" for part in ("namespace", "workload_kind", "workload", "pod")}
    facts = story.end({**FLOW, **outside, "dst_kind": "public", "dst_address": "203.0.113.1"}, "dst")
    assert [label for label, _ in facts] == ["Kind", "Address", "Port"]


def test_translation_says_that_there_is_none():
    assert story.translation(FLOW) == [("None", "both ends saw the addresses above")]


def test_translation_tells_who_was_dialled_and_who_answered():
    service = {
        "service": "db",
        "service_namespace": "shop",
        "service_address": "10.96.0.15",
        "service_port": 5432,
    }
    assert story.translation({**FLOW, **service}) == [
        ("Service", "shop/db"),
        ("Dialled", "10.96.0.15:5432"),
        ("Answered by", "10.244.3.15:5432"),
    ]


def test_translation_of_an_address_without_a_service():
    changed = {
        "service_address": "192.0.2.1",
        "service_port": 80,
        "snat_address": "192.0.2.9",
        "snat_port": 4,
    }
    labels = [label for label, _ in story.translation({**FLOW, **changed})]
    assert labels == ["Dialled", "Answered by", "Source seen as"]


@pytest.mark.parametrize(
    ("verdict", "pending", "said"),
    [
        ("allowed", "denied", "would be denied, and was allowed"),
        ("unknown", "denied", "would be denied, and was unanswered"),
        ("denied", "allowed", "would be allowed, and was denied"),
        ("denied", "denied", "denied, as it was"),
        ("unknown", "allowed", "allowed, as far as policies go"),
    ],
)
def test_pending_ends_with_what_would_be_new(verdict, pending, said):
    trace = "egress|security|gnp:lab|pass|1 egress|default|sgnp:lab|deny|0 unheard-of"
    facts = story.pending({"verdict": verdict, "pending_verdict": pending, "pending_trace": trace})
    assert [label for label, _ in facts] == ["security: pass", "default: deny", "", "Verdict"]
    assert facts[-1][1] == said


def test_provenance_names_who_recorded_it_if_no_collector_did():
    moments = dict.fromkeys(("started", "ended", "time"), 1)
    flow = {**moments, "node": "n", "reporter": "dst", "verdict": "allowed", "attribution": "felix"}
    assert story.provenance({**flow, "origin": ""})[-1] == ("Rule", "told by Calico")
    assert story.provenance({**flow, "origin": "goldmane"})[-1] == ("Recorded by", "goldmane")


def test_traffic_tells_what_the_interval_saw_of_the_connection():
    facts = dict(story.traffic(FLOW))
    assert facts["Sent"] == "1.5 kB in 2 packets →"
    assert facts["Connection"] == "began in this interval"
    ended = dict(story.traffic({**FLOW, "connections_started": 0, "connections_ended": 1}))
    assert ended["Connection"] == "went on and ended in this interval"
