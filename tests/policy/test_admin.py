"""Administrators' policies: what is read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from model import enums, errors, manifest
from policy import admin, objects, selector

ALLOW, DENY, PASS = objects.RuleAction.ALLOW, objects.RuleAction.DENY, objects.RuleAction.PASS
CNP, ANP, BANP = "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"
READ = {
    CNP: admin.cluster_network_policy,
    ANP: admin.admin_network_policy,
    BANP: admin.baseline_admin_network_policy,
}
EVERYBODY = "subject: {namespaces: {}}"
ONE = f"priority: 1, {EVERYBODY},"
TO = f"tier: Admin, {ONE} egress: [{{action: Deny,"


def _read(kind: str, spec: str, name: str = "default") -> objects.Policy:
    body: dict[str, Any] = {"apiVersion": "policy.networking.k8s.io/v1", "kind": kind,
                            "metadata": {"name": name}, "spec": yaml.safe_load(f"{{{spec}}}")}  # fmt: skip
    return READ[kind](manifest.Document("f.yaml", 1, body))


def _admin(rules: str, kind: str = CNP) -> objects.Policy:
    head = {CNP: "tier: Admin, priority: 7, ", ANP: "priority: 7, "}
    return _read(kind, f"{head.get(kind, '')}{EVERYBODY}, {rules}")


@pytest.mark.parametrize(
    ("kind", "head", "tier", "order"),
    [
        pytest.param(CNP, "tier: Admin, priority: 7,", "kube-admin", 7, id="admin"),
        pytest.param(CNP, "tier: Baseline, priority: 0,", "kube-baseline", 0, id="baseline"),
        pytest.param(ANP, "priority: 1000,", "adminnetworkpolicy", 1000, id="v1alpha1"),
        pytest.param(BANP, "", "baselineadminnetworkpolicy", 0, id="v1alpha1 baseline"),
    ],
)
def test_place_among_the_tiers(kind: str, head: str, tier: str, order: int) -> None:
    found = _read(kind, f"{head} {EVERYBODY}")
    assert (found.tier, found.order, found.types, found.namespace) == (tier, order, frozenset(), "")


@pytest.mark.parametrize(
    ("subject", "labels", "selected"),
    [
        pytest.param("{namespaces: {}}", {}, True, id="all namespaces"),
        pytest.param("{namespaces: {matchLabels: {team: red}}}", {"pcns.team": "red"}, True, id="namespace"),
        pytest.param(
            "{namespaces: {namespaceSelector: {matchLabels: {team: red}}}}",
            {"pcns.team": "red"},
            True,
            id="as in v0.1.1",
        ),
        pytest.param(
            "{namespaces: {matchLabels: {team: red}}}", {"team": "red"}, False, id="pod's own label"
        ),
        pytest.param(
            "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}",
            {"app": "web"},
            True,
            id="pods",
        ),
        pytest.param(
            "{pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {}}}",
            {"app": "web"},
            False,
            id="pods of another namespace",
        ),
    ],
)
def test_subjects(subject: str, labels: dict[str, str], selected: bool) -> None:
    found = _read(CNP, f"tier: Admin, priority: 1, subject: {subject}")
    pod = {selector.NAMESPACE_LABEL: "shop", "projectcalico.org/orchestrator": "k8s", **labels}
    assert found.subjects.matches(pod) is selected


def _shown(rule: objects.Rule) -> tuple[object, ...]:
    ports = rule.destination
    return rule.action, rule.protocol, [(r.first, r.last) for r in ports.ports], list(ports.port_names)


TCP, UDP = enums.Protocol.TCP, enums.Protocol.UDP


@pytest.mark.parametrize(
    ("kind", "rule", "expected"),
    [
        pytest.param(CNP, "{action: Accept, from: [{namespaces: {}}]}",
                     [(ALLOW, None, [], [])], id="everything"),
        pytest.param(CNP, "{action: Deny, from: [{namespaces: {}}], protocols: ["
                     "{udp: {destinationPort: {number: 53}}}, {destinationNamedPort: dns}, "
                     "{tcp: {destinationPort: {range: {start: 80, end: 82}}}}]}",
                     [(DENY, None, [], ["dns"]), (DENY, TCP, [(80, 82)], []), (DENY, UDP, [(53, 53)], [])],
                     id="protocols"),
        pytest.param(CNP, "{action: Pass, from: [{namespaces: {}}], protocols: [{sctp: {}}]}",
                     [(PASS, enums.Protocol.SCTP, [], [])], id="all of a protocol"),
        pytest.param(ANP, "{action: Allow, from: [{namespaces: {}}], ports: ["
                     "{portNumber: {port: 80}}, {namedPort: http}, "
                     "{portRange: {protocol: UDP, start: 1, end: 9}}]}",
                     [(ALLOW, None, [], ["http"]), (ALLOW, TCP, [(80, 80)], []), (ALLOW, UDP, [(1, 9)], [])],
                     id="ports"),
        pytest.param(CNP, "{action: Accept, from: [{namespaces: {}}, {}]}", [],
                     id="what nobody can evaluate admits nothing"),
        pytest.param(CNP, "{action: Pass, from: [{}], protocols: [{tcp: {}}]}",
                     [(DENY, None, [], [])], id="and denies all"),
    ],
)  # fmt: skip
def test_rules(kind: str, rule: str, expected: list[tuple[object, ...]]) -> None:
    found = _admin(f"ingress: [{rule}]", kind)
    assert [_shown(one) for one in found.ingress] == expected
    assert found.types == {enums.Direction.INGRESS}


def test_networks_and_what_calico_does_not_support() -> None:
    found = _admin(
        "egress: [{action: Deny, to: [{networks: [10.0.0.0/8, '2001:db8::/32']}]}, "
        "{action: Accept, to: [{nodes: {}}]}, {action: Deny, to: [{domainNames: [a.example]}]}]"
    )
    rules = [(one.action, list(map(str, one.destination.nets)), one.written) for one in found.egress]
    assert rules == [(DENY, ["10.0.0.0/8", "2001:db8::/32"], 0), (DENY, [], 2)]


@pytest.mark.parametrize(
    ("kind", "spec", "field", "reason"),
    [
        (CNP, f"tier: Other, priority: 1, {EVERYBODY}", "spec.tier", "one of Admin, Baseline"),
        (CNP, f"tier: Admin, priority: 1001, {EVERYBODY}", "spec.priority", "between 0 and 1000"),
        (CNP, f"tier: Admin, {EVERYBODY}", "spec.priority", "is missing"),
        (CNP, "tier: Admin, priority: 1, subject: {}", "spec.subject", "namespaces or pods"),
        (CNP, "tier: Admin, priority: 1, subject: {namespaces: {}, pods: {}}", "spec.subject",
         "either"),
        (BANP, f"priority: 1, {EVERYBODY}", "spec.priority", "unknown field"),
        (BANP, f"{EVERYBODY}, ingress: [{{action: Pass, from: [{{namespaces: {{}}}}]}}]",
         "spec.ingress[0].action", "one of Allow, Deny"),
        (ANP, f"{ONE} ingress: [{{action: Allow, from: []}}]", "spec.ingress[0].from", "at least one"),
        (ANP, f"{ONE} ingress: [{{action: Allow, from: [{{networks: [10.0.0.0/8]}}]}}]",
         "spec.ingress[0].from[0].networks", "unknown field"),
        (ANP, f"{ONE} ingress: [{{action: Allow, from: [{{namespaces: {{}}}}], ports: [{{}}]}}]",
         "spec.ingress[0].ports[0]", "one of"),
        (CNP, f"{TO} to: [{{networks: []}}]}}]", "spec.egress[0].to[0].networks", "at least one"),
        (CNP, f"{TO} to: [{{namespaces: {{}}, pods: {{}}}}]}}]", "spec.egress[0].to[0]", "one of"),
        (CNP, f"{TO} to: [{{namespaces: {{}}}}], protocols: [{{}}]}}]",
         "spec.egress[0].protocols[0]", "one of"),
        (CNP, f"{TO} to: [{{namespaces: {{}}}}], protocols: [{{tcp: {{destinationPort: {{}}}}}}]}}]",
         "spec.egress[0].protocols[0].tcp.destinationPort", "one of number, range"),
    ],
    ids=lambda value: str(value)[-40:],
)  # fmt: skip
def test_wrong_field_is_named(kind: str, spec: str, field: str, reason: str) -> None:
    with pytest.raises(errors.ManifestError, match=reason) as caught:
        _read(kind, spec)
    assert caught.value.field == field


def test_baseline_has_one_name() -> None:
    with pytest.raises(errors.ManifestError, match="one of default"):
        _read(BANP, EVERYBODY, "other")
