"""What Calico's flow logs have in common."""

import pytest

from collector.exports import calico
from collector.goldmane import flows
from model import enums, policyhit

EGRESS, INGRESS = enums.Direction.EGRESS, enums.Direction.INGRESS
ALLOW, DENY, PASS = enums.Action.ALLOW, enums.Action.DENY, enums.Action.PASS

HITS = {
    "3.32 in a namespace": ("0|default|knp:shop/cart|allow|2", "ingress|default|knp:shop/cart|allow|2"),
    "3.32 of the cluster": ("1|security|gnp:base|pass|0", "ingress|security|gnp:base|pass|0"),
    "3.32 staged": ("0|default|sgnp:x|deny|0", "ingress|default|sgnp:x|deny|0"),
    "3.32 profile": ("0|__PROFILE__|pro:kns.shop|allow|0", "ingress|__PROFILE__|pro:kns.shop|allow|0"),
    "older profile": (
        "0|__PROFILE__|__PROFILE__.kns.shop|allow|0", "ingress|__PROFILE__|pro:kns.shop|allow|0",
    ),
    "no profile": (
        "0|__PROFILE__|__PROFILE__.__NO_MATCH__|deny|-1", "ingress|__PROFILE__|no-profile|deny|-1",
    ),
    "end of tier": ("0|default|knp:shop/db|deny|-1", "ingress|default|end-of-tier|deny|-1"),
    "older in a namespace": ("0|sec|shop/sec.web|allow|1", "ingress|sec|np:shop/web|allow|1"),
    "older of the cluster": ("0|sec|sec.web.x|allow|1", "ingress|sec|gnp:web.x|allow|1"),
    "older of Kubernetes": ("0|default|shop/knp.default.a.b|allow|0", "ingress|default|knp:shop/a.b|allow|0"),
    "older staged": ("0|sec|shop/sec.staged:web|deny|0", "ingress|sec|snp:shop/web|deny|0"),
    "older staged of the cluster": ("0|sec|sec.staged:web|deny|0", "ingress|sec|sgnp:web|deny|0"),
    "older staged of Kubernetes": (
        "0|default|shop/staged:knp.default.x|allow|0", "ingress|default|sknp:shop/x|allow|0",
    ),
    "without a rule": ("0|sec|shop/sec.web|allow", "ingress|sec|np:shop/web|allow|-1"),
}  # fmt: skip


@pytest.mark.parametrize("case", HITS, ids=str)
def test_hit_in_every_form(case):
    text, rendered = HITS[case]
    hit = calico.parse_hit(text, INGRESS)
    assert hit.render() == rendered
    assert policyhit.parse(rendered) == hit


@pytest.mark.parametrize("text", ["", "x", "0|a|b", "0|a|b|shrug|1", "0|a|b|allow|1|2"])
def test_what_is_no_hit_is_refused(text):
    with pytest.raises(ValueError):
        calico.parse_hit(text, INGRESS)


def test_volume_follows_the_connection():
    forth = {"forward_packets": 1, "forward_bytes": 10, "reverse_packets": 2, "reverse_bytes": 20}
    assert calico.volume(enums.Reporter.DST, (1, 10), (2, 20)) == forth
    assert calico.volume(enums.Reporter.SRC, (2, 20), (1, 10)) == forth


VERDICTS = {
    "denied": (enums.Reporter.DST, DENY, 3, 0, "denied"),
    "let in": (enums.Reporter.DST, ALLOW, 3, 0, "allowed"),
    "answered": (enums.Reporter.SRC, ALLOW, 3, 2, "allowed"),
    "nobody answered": (enums.Reporter.SRC, ALLOW, 3, 0, "unknown"),
    "nothing sent": (enums.Reporter.SRC, ALLOW, 0, 0, "allowed"),
}


@pytest.mark.parametrize("case", VERDICTS, ids=str)
def test_verdict(case):
    reporter, action, sent, answered, verdict = VERDICTS[case]
    counted = {"forward_packets": sent, "reverse_packets": answered}
    assert calico.verdict(reporter, action, counted) == verdict


def test_policies_are_felix_s_word():
    hits = (calico.parse_hit("0|default|knp:shop/cart|allow|2", EGRESS),)
    staged = (calico.parse_hit("0|default|sgnp:x|deny|0", EGRESS),)
    found = calico.policies(hits, staged)
    assert found["attribution"] == "felix"
    assert found["egress_action"] == "allow"
    assert found["deciding_rule"] == "egress|default|knp:shop/cart|allow|2"
    assert found["pending_verdict"] == "denied"
    assert calico.policies((), ())["attribution"] == "none"


ENDS = {
    "pod": (calico.POD, "shop", "web-6d9f5c7b8-*", "", ("pod", "shop", "Deployment", "web", "")),
    "pod by its name": (
        calico.POD, "shop", "db-*", "db-0", ("pod", "shop", "", "db", "db-0"),
    ),
    "host": (calico.HOST, "", "node-1", "eth0", ("node", "", "", "node-1", "")),
    "set": (calico.SET, "shop", "partners", "partners", ("network_set", "shop", "", "partners", "")),
    "public": (calico.NETWORK, "", "pub", "", ("public", "", "", "", "")),
    "private": (calico.NETWORK, "", "pvt", "", ("private", "", "", "", "")),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDS, ids=str)
def test_end(case):
    kind, namespace, name, pod, wanted = ENDS[case]
    end = calico.end(flows.End(kind=kind, namespace=namespace, name=name), {}, pod=pod)
    assert (end.kind, end.namespace, end.workload_kind, end.workload, end.pod) == wanted


def test_ports_where_the_protocol_has_some():
    assert [calico.port(protocol, 53) for protocol in (6, 17, 132, 136, 1, 58)] == [53] * 4 + [0] * 2
