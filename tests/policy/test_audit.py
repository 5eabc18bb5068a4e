"""What an audit finds, and what it leaves in peace."""

from __future__ import annotations

import ipaddress
import pathlib
from typing import Any

import pytest
import yaml

from model import cluster, manifest
from policy import audit, evaluate, granted, parse, subjects

Body = dict[str, Any]


def _pod(name: str, namespace: str = "shop") -> Body:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]},
        "status": {"podIPs": [{"ip": f"10.0.0.{len(name)}"}]},
    }  # fmt: skip


def _knp(name: str, **spec: Any) -> Body:
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"}, "spec": {"podSelector": {}, **spec},
    }  # fmt: skip


def _np(name: str, service: str) -> Body:
    """Calico's, with a rule about what stands behind a service."""
    rule = {"action": "Allow", "destination": {"services": {"name": service, "namespace": "shop"}}}
    return {
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": "app == 'web'", "types": ["Egress"], "egress": [rule]},
    }  # fmt: skip


def _gnp(name: str, **spec: Any) -> Body:
    return {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name},
            "spec": spec}  # fmt: skip


def _cnp(name: str, action: str = "Deny") -> Body:
    subject = {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
    rule = {"action": action, "from": [{"namespaces": {"matchLabels": {"team": "red"}}}]}
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"tier": "Admin", "priority": 5, "subject": subject, "ingress": [rule]},
    }  # fmt: skip


RED = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "red"}}}
DENY = _knp("default-deny")
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}  # fmt: skip
WEB = {"podSelector": {"matchLabels": {"app": "web"}}}


def _found(*bodies: Body) -> list[audit.Finding]:
    documents = [manifest.Document("f", i, body) for i, body in enumerate([_pod("web"), RED, *bodies])]
    engine = evaluate.Engine(parse.parse(documents), cluster.read(documents))
    return audit.Auditor(engine, documents).findings()


def _only(check: str, *bodies: Body) -> audit.Finding:
    (found,) = _found(*bodies)
    assert found.check == check
    return found


def test_cluster_in_order_has_no_findings() -> None:
    peer = {"podSelector": {"matchLabels": {"app": "web"}}}
    assert _found(DENY, _knp("web", **WEB, ingress=[{"from": [peer], "ports": [{"port": "http"}]}])) == []


def _from(app: str) -> Body:
    return {"from": [{"podSelector": {"matchLabels": {"app": app}}}]}


TCP_80 = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}}
CASES = {
    "open": ([], "not-isolated", "medium"),
    "passed on": ([_gnp("pass", selector="all()", ingress=[{"action": "Pass"}])], "not-isolated", "medium"),
    "no default deny": ([_knp("web", **WEB)], "no-default-deny", "medium"),
    "everybody in": ([DENY, _knp("all", ingress=[{}])], "allow-all", "high"),
    "all networks": ([DENY, _knp("all", ingress=[
        {"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]}
    ])], "allow-all", "high"),
    "everything out": ([DENY, _knp("out", policyTypes=["Egress"], egress=[{}])], "allow-all", "medium"),
    "nobody": ([DENY, _knp("till", podSelector={"matchLabels": {"app": "x"}})], "selects-nothing", "medium"),
    "tier": ([DENY, _gnp("lost", tier="lost", ingress=[{"action": "Pass"}])], "missing-tier", "high"),
    "port": ([DENY, _knp("web", **WEB, ingress=[{"ports": [{"port": "grpc"}]}])], "missing-port", "medium"),
    "port of TCP": ([DENY, _knp("web", **WEB, ingress=[{"ports": [{"port": "http", "protocol": "UDP"}]}])],
                    "missing-port", "medium"),
    "peer": ([DENY, _knp("web", **WEB, ingress=[_from("x")])], "missing-peer", "low"),
    "service": ([DENY, SERVICE, _np("web", "gone")], "missing-peer", "low"),
    "priority": ([DENY, _cnp("a"), _cnp("b", "Pass")], "same-priority", "medium"),
    "shadowed": ([DENY, _gnp("g", order=1, selector="all()", ingress=[
        {"action": "Log"}, {"action": "Deny", "protocol": "TCP"}, TCP_80, {"action": "Deny"}
    ])], "shadowed-rule", "low"),
    "duplicate": ([DENY, _knp("again")], "duplicate", "low"),
}  # fmt: skip
SENTENCES = yaml.safe_load((pathlib.Path(__file__).parent / "findings.yaml").read_text())


@pytest.mark.parametrize("name", CASES)
def test_finding(name: str) -> None:
    """Whoever changes a sentence reads it aloud, and writes the golden file anew."""
    bodies, check, severity = CASES[name]
    found = _only(check, *bodies)
    assert (str(found.severity), found.sentence) == (severity, SENTENCES[name])


def test_services_are_missing_only_where_any_are_known() -> None:
    assert _found(DENY, SERVICE, _np("web", "cart")) == []
    assert _found(DENY, _np("web", "gone")) == []
    (found,) = _found(DENY, SERVICE, _np("web", "gone"))
    assert found.evidence == ("services of that namespace: cart",)


def test_policy_for_nobody_is_not_told_whom_its_rules_miss() -> None:
    till = _knp("till", podSelector={"matchLabels": {"app": "x"}}, ingress=[_from("y")])
    assert _only("selects-nothing", DENY, till).rule == -1


def test_selectors_are_told_as_people_wrote_them() -> None:
    """Calico's conversion adds which orchestrator a pod is of; nobody has written that."""
    till = _knp("till", podSelector={"matchLabels": {"app": "x"}})
    (selected,) = _only("selects-nothing", DENY, till).evidence
    assert selected == 'its selector is (app == "x" && projectcalico.org/namespace == "shop")'
    (peer,) = _only("missing-peer", DENY, _knp("web", **WEB, ingress=[_from("x")])).evidence
    assert peer == 'nothing matches (projectcalico.org/namespace == "shop" && app == "x")'


def test_fix_of_an_open_namespace_is_a_policy() -> None:
    fix = _only("not-isolated").fix.splitlines()
    assert fix[:2] == ["--- /dev/null", "+++ b/NetworkPolicy/shop/default-deny"]
    assert "+  podSelector: {}" in fix


def _tier(name: str, order: int) -> Body:
    return {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name},
            "spec": {"order": order}}  # fmt: skip


def _isolated(name: str, **spec: Any) -> Body:
    """A policy that isolates one pod, so that its namespace is not open as a whole."""
    return _knp(name, podSelector={"matchLabels": {"app": name}}, **spec)


CLOSES = "open now, and closed by the fix to all that no policy allows: "
NOTHING_CHANGES = "all pods there are isolated already: the fix changes nothing for them"
FIRST_TIER = {"tier": "first", "selector": "app == 'cart'"}


@pytest.mark.parametrize(
    ("bodies", "evidence"),
    [
        pytest.param([], [NOTHING_CHANGES], id="all isolated"),
        pytest.param([_pod("till"), _pod("cashier")], [f"{CLOSES}till, cashier"], id="open"),
        pytest.param([_pod("cart"), _tier("first", 1), _gnp("deny", **FIRST_TIER, ingress=[])],
                     [NOTHING_CHANGES], id="isolated in another tier"),
        pytest.param([_pod("cart"), _tier("first", 1),
                      _gnp("pass", **FIRST_TIER, ingress=[{"action": "Pass", "protocol": "TCP"}])],
                     ["the fix denies what policies of other tiers pass on to: cart"], id="passed on"),
    ],
)  # fmt: skip
def test_default_deny_says_what_it_breaks(bodies: list[Body], evidence: list[str]) -> None:
    (found,) = (one for one in _found(_isolated("web"), *bodies) if one.check == "no-default-deny")
    assert list(found.evidence) == evidence
    assert found.fix


def test_default_deny_says_how_much_of_what_is_recorded_it_denies() -> None:
    hits = {"ingress|__PROFILE__|pro:kns.shop|allow|0": audit.Met(1200, 20)}
    use = audit.Use(hits=hits, since={}, start=10, evidence="30 days, 100 % complete")
    expected = (
        "1,200 connections were let into namespace shop as no policy decides, which the fix denies "
        "(30 days, 100 % complete)"
    )
    for check in ("not-isolated", "no-default-deny"):
        found = _audited(use, _isolated("web"), _pod("till"))
        assert [one.evidence for one in found if one.check == check] == [(f"{CLOSES}till", expected)]


def test_default_deny_is_no_fix_where_its_tier_passes_on() -> None:
    found = _only("not-isolated", _gnp("pass", selector="all()", ingress=[{"action": "Pass"}]))
    assert (found.fix, found.evidence[0]) == ("", "web")
    assert found.evidence[1].startswith("a default deny would not help")


def test_fix_of_a_superfluous_rule_takes_it_away() -> None:
    rules = [{"from": [{"podSelector": {}}]}, {"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]
    found = _only("shadowed-rule", DENY, _knp("web", **WEB, ingress=rules))
    assert (found.subject, found.direction, found.rule) == ("knp/shop/web", "ingress", 1)
    assert [line for line in found.fix.splitlines() if line.startswith("-")] == [
        "--- a/NetworkPolicy/shop/web", "-  - from:", "-    - podSelector: {}", "-    ports:",
        "-    - port: 80",
    ]  # fmt: skip


def test_fix_leaves_the_policy_alone_that_has_its_name() -> None:
    taken = _knp("default-deny", policyTypes=["Egress"])
    assert "+++ b/NetworkPolicy/shop/default-deny-ingress" in _only("not-isolated", taken).fix


def test_fix_of_a_superfluous_policy_takes_it_away() -> None:
    found = _only("duplicate", DENY, _knp("again"))
    assert found.fix.splitlines()[1] == "+++ /dev/null"


def test_rule_that_is_covered_in_part_is_left() -> None:
    peers, more = [{"podSelector": {}}], {"port": 81, "protocol": "UDP"}
    rules = [{"from": peers, "ports": [{"port": 80}]}, {"from": peers, "ports": [{"port": 80}, more]}]
    assert _found(DENY, _knp("web", **WEB, ingress=rules)) == []


_JOB = "ingress|default|knp:shop/job|allow|0"
RULES = [{"from": [{"podSelector": {}}]}, {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]


def _met(*hits: str) -> dict[str, audit.Met]:
    """Each met by two connections, the last at 20."""
    return dict.fromkeys(hits, audit.Met(2, 20))


def _audited(use: audit.Use, *bodies: Body) -> list[audit.Finding]:
    documents = [manifest.Document("f", i, body) for i, body in enumerate([_pod("web"), RED, *bodies])]
    engine = evaluate.Engine(parse.parse(documents), cluster.read(documents))
    return audit.Auditor(engine, documents, use).findings()


@pytest.mark.parametrize(
    ("hits", "since", "checks"),
    [
        pytest.param([_JOB], 5, [], id="its pods have ended"),
        pytest.param([_JOB], 20, ["selects-nothing"], id="met before it was changed"),
        pytest.param([], 5, ["selects-nothing", "unused"], id="never met"),
    ],
)
def test_policy_that_was_met_had_pods(hits: list[str], since: int, checks: list[str]) -> None:
    job = _knp("job", podSelector={"matchLabels": {"app": "job"}}, ingress=[{"from": [{"podSelector": {}}]}])
    use = audit.Use(hits=_met(*hits), since={"knp/shop/job": since}, start=10, evidence="")
    assert [one.check for one in _audited(use, DENY, job)] == checks


def _unused(met: set[str], since: int = 0) -> list[tuple[str, str, int]]:
    """What is found unused, where these hits were met from 10 on."""
    use = audit.Use(
        hits=_met(*met), since={"knp/shop/web": since}, start=10, evidence="30 days, 100 % complete"
    )
    found = _audited(use, DENY, _knp("web", **WEB, ingress=RULES))
    assert all(one.evidence == ("30 days, 100 % complete",) for one in found)
    return [(one.sentence, str(one.direction), one.rule) for one in found]


def test_rule_that_nobody_met_is_unused() -> None:
    assert _unused({"ingress|default|knp:shop/web|allow|0"}) == [
        ("The second ingress rule of NetworkPolicy shop/web was met by no connection.", "ingress", 1)
    ]
    assert _unused({f"ingress|default|knp:shop/web|allow|{i}" for i in (0, 1)}) == []


def test_policy_none_of_whose_rules_was_met_is_unused_as_a_whole() -> None:
    """But one that isolates by having no rules is never unused."""
    assert _unused(set()) == [("No rule of NetworkPolicy shop/web was met by any connection.", "", -1)]


def test_policy_that_is_too_new_is_not_said_to_be_unused() -> None:
    assert _unused(set(), since=11) == []


def _wide(policy: Body, used: dict[str, granted.Used]) -> list[str]:
    """What is said of a policy's rules of which this was used, by the text of their hits."""
    use = audit.Use(hits=_met(*used), rules=used, since={}, start=10, evidence="")
    found = _audited(use, DENY, policy)
    return [one.sentence for one in found if one.check == "wide"]


def _hit(rule: int) -> str:
    return f"ingress|default|knp:shop/web|allow|{rule}"


def _addresses(*texts: str) -> set[subjects.Address]:
    return set(map(ipaddress.ip_address, texts))


FIRST = "The first ingress rule of NetworkPolicy shop/web allows"


@pytest.mark.parametrize(
    ("rule", "used", "sentences"),
    [
        pytest.param({"from": [{"podSelector": {}}]}, granted.Used({(6, 80), (17, 53)}, set(), True),
                     [f"{FIRST} every port, and only TCP 80 and UDP 53 were used."], id="every port"),
        pytest.param({"from": [{"podSelector": {}}], "ports": [{"port": 8000, "endPort": 9000}]},
                     granted.Used({(6, 8080)}, set(), True),
                     [f"{FIRST} 1,001 ports, and only TCP 8080 was used."], id="range"),
        pytest.param({"from": [{"podSelector": {}}], "ports": [{"port": 80}, {"port": 81}]},
                     granted.Used({(6, 80)}, set(), True), [], id="few ports"),
        pytest.param({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 80}]},
                     granted.Used({(6, 80)}, _addresses("10.1.2.0", "10.1.2.1"), False),
                     [f"{FIRST} 10.0.0.0/8, and only 10.1.2.0/31 was used."], id="network"),
        pytest.param({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 80}]},
                     granted.Used({(6, 80)}, _addresses("192.0.2.7"), False),
                     [f"{FIRST} 0.0.0.0/0, and only 192.0.2.7 was used."], id="one address"),
        pytest.param({"from": [{"ipBlock": {"cidr": "10.1.2.0/28"}}], "ports": [{"port": 80}]},
                     granted.Used({(6, 80)}, _addresses("10.1.2.1"), False), [], id="small network"),
        pytest.param({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 80}]},
                     granted.Used({(6, 80)}, _addresses("10.1.2.1"), True), [], id="pods in a network"),
    ],
)  # fmt: skip
def test_rule_that_allows_more_than_is_used(rule: Body, used: granted.Used, sentences: list[str]) -> None:
    assert _wide(_knp("web", **WEB, ingress=[rule]), {_hit(0): used}) == sentences


def test_what_a_rule_leaves_out_is_not_said_to_be_granted() -> None:
    block = {"cidr": "10.0.0.0/8", "except": ["10.128.0.0/9", "10.5.0.0/16", "10.5.1.0/24"]}
    rule = {"from": [{"ipBlock": block}], "ports": [{"port": 80}]}
    used = granted.Used({(6, 80)}, _addresses("10.1.2.1"), False)
    assert _wide(_knp("web", **WEB, ingress=[rule]), {_hit(0): used}) == [
        f"{FIRST} 10.0.0.0/8 (except 10.5.0.0/16, 10.128.0.0/9), and only 10.1.2.1 was used."
    ]
    source = {"nets": ["10.0.0.0/27", "10.9.0.0/16"], "notNets": ["10.9.0.0/16", "10.0.0.0/28"]}
    ports = {"notPorts": [22, "8000:8080"]}
    of_calico = {"action": "Allow", "protocol": "TCP", "source": source, "destination": ports}
    nets = {"ingress|default|gnp:g|allow|0": granted.Used({(6, 80)}, _addresses("10.0.0.17"), False)}
    (sentence,) = _wide(_gnp("g", selector="all()", ingress=[of_calico]), nets)
    assert sentence.endswith(" allows every port (except 22, 8000-8080), and only TCP 80 was used.")


def test_rule_about_icmp_allows_no_port() -> None:
    policy = _gnp("ping", selector="all()", ingress=[{"action": "Allow", "protocol": "ICMP"}])
    assert _wide(policy, {"ingress|default|gnp:ping|allow|0": granted.Used({(1, 0)}, set(), True)}) == []


def test_what_all_peers_of_a_rule_use_counts() -> None:
    rule = {"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "192.0.2.0/30"}}]}
    used = {
        _hit(0): granted.Used({(6, 80)}, set(), True),
        _hit(1): granted.Used({(6, 81)}, _addresses("192.0.2.1"), False),
    }
    assert _wide(_knp("web", **WEB, ingress=[rule]), used) == [
        f"{FIRST} every port, and only TCP 80 and TCP 81 were used."
    ]


def test_worst_come_first() -> None:
    found = _found(_knp("all", ingress=[{}]), _knp("again", ingress=[{}]))
    assert [str(one.severity) for one in found] == ["high", "high", "low"]
