"""Manifests to policies: what is read, in which order, and what is refused."""

from __future__ import annotations

import math

import pytest
import yaml

from model import enums, errors, manifest
from policy import objects, parse

BOTH = frozenset(enums.Direction)
INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS


def _documents(text: str) -> list[manifest.Document]:
    bodies = [body for body in yaml.safe_load_all(text) if body]
    return [manifest.Document("policies.yaml", i, body) for i, body in enumerate(bodies, 1)]


def _calico(spec: str, kind: str = "NetworkPolicy", name: str = "p", group: str = "projectcalico.org") -> str:
    head = f"apiVersion: {group}/v3\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}"
    return f"---\n{head}\nspec: {spec}\n"


def _kubernetes(spec: str, name: str = "p") -> str:
    head = (
        f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}"
    )
    return f"---\n{head}\nspec: {spec}\n"


def _one(text: str) -> objects.Policy:
    (policy,) = parse.parse(_documents(text)).policies
    return policy


def test_policies_come_in_order_of_judgement() -> None:
    found = parse.parse(_documents(
        _calico("{order: 100}", "Tier", "late") + _calico("{order: 50, defaultAction: Pass}", "Tier", "early")
        + _calico("{}", name="unordered") + _calico("{order: 1000}", name="q") + _kubernetes("{}", "q")
        + _kubernetes("{}", "a") + _calico("{order: 1}", "GlobalNetworkPolicy", "first")
        + _calico("{tier: missing}", name="lost") + _calico("{tier: late}", name="l")
        + _calico("{tier: early}", name="e", group="crd.projectcalico.org")
        + "---\n{apiVersion: v1, kind: Pod, metadata: {name: x}}\n"
    ))  # fmt: skip
    assert [policy.identity for policy in found.policies] == [
        "np/shop/e", "np/shop/l", "gnp/first", "knp/shop/a", "knp/shop/q", "np/shop/q", "np/shop/unordered",
        "np/shop/lost",
    ]  # fmt: skip
    assert [(tier.name, tier.order, str(tier.default_action)) for tier in found.tiers] == [
        ("early", 50, "pass"), ("late", 100, "deny"), ("kube-admin", 1000, "pass"),
        ("default", 1_000_000, "deny"), ("kube-baseline", 10_000_000, "pass"), ("missing", math.inf, "deny"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "types"),
    [
        pytest.param(_kubernetes("{}"), {INGRESS}, id="kubernetes, nothing"),
        pytest.param(_kubernetes("{egress: [{}]}"), BOTH, id="kubernetes, egress implies both"),
        pytest.param(_kubernetes("{egress: []}"), {INGRESS}, id="kubernetes, empty egress"),
        pytest.param(_kubernetes("{policyTypes: [Egress]}"), {EGRESS}, id="kubernetes, written"),
        pytest.param(_calico("{}"), {INGRESS}, id="calico, nothing"),
        pytest.param(_calico("{egress: [{action: Deny}]}"), {EGRESS}, id="calico, egress alone"),
        pytest.param(
            _calico("{ingress: [{action: Deny}], egress: [{action: Deny}]}"), BOTH, id="calico, both"
        ),
        pytest.param(_calico("{types: [Ingress, Egress]}"), BOTH, id="calico, written"),
    ],
)
def test_types_default_as_api_does(text: str, types: set[enums.Direction]) -> None:
    assert _one(text).types == types


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        pytest.param(_kubernetes("{podSelector: {matchLabels: {app: web}}}"),
                     '((projectcalico.org/orchestrator == "k8s" && app == "web")'
                     ' && projectcalico.org/namespace == "shop")', id="kubernetes"),
        pytest.param(_calico("{selector: app == 'web'}"),
                     '(app == "web" && projectcalico.org/namespace == "shop")', id="namespaced"),
        pytest.param(_calico("{}"), 'projectcalico.org/namespace == "shop"', id="namespaced, no selector"),
        pytest.param(_calico("{serviceAccountSelector: a == 'b'}"),
                     '(projectcalico.org/namespace == "shop" && pcsa.a == "b")', id="service account"),
        pytest.param(_calico("{}", "GlobalNetworkPolicy"), "all()", id="global"),
        pytest.param(_calico("{selector: all(), namespaceSelector: team == 'red'}", "GlobalNetworkPolicy"),
                     '(has(projectcalico.org/namespace) && pcns.team == "red")', id="global with namespaces"),
    ],
)  # fmt: skip
def test_subjects_are_limited_to_their_scope(text: str, subjects: str) -> None:
    assert _one(text).subjects.render() == subjects


@pytest.mark.parametrize(
    ("kind", "peer", "members", "not_members"),
    [
        pytest.param("NetworkPolicy", "{selector: a == 'b'}",
                     '(projectcalico.org/namespace == "shop" && a == "b")', None, id="own namespace"),
        pytest.param("NetworkPolicy", "{notSelector: a == 'b'}",
                     '(projectcalico.org/namespace == "shop" && !a == "b")', None, id="own, negative alone"),
        pytest.param("NetworkPolicy", "{selector: has(x), namespaceSelector: team == 'red'}",
                     '(pcns.team == "red" && has(x))', None, id="selected namespaces"),
        pytest.param("NetworkPolicy", "{namespaceSelector: all()}",
                     "has(projectcalico.org/namespace)", None, id="any namespace"),
        pytest.param("NetworkPolicy", "{namespaceSelector: global()}",
                     "!has(projectcalico.org/namespace)", None, id="no namespace"),
        pytest.param("NetworkPolicy", "{nets: [10.0.0.0/8]}", None, None, id="no selector at all"),
        pytest.param("NetworkPolicy", "{serviceAccounts: {names: [z, a], selector: r == 's'}}",
                     '(projectcalico.org/namespace == "shop" && '
                     '(pcsa.r == "s" && projectcalico.org/serviceaccount in {"a", "z"}))',
                     None, id="accounts"),
        pytest.param("GlobalNetworkPolicy", "{selector: a == 'b'}", 'a == "b"', None, id="global"),
        pytest.param("GlobalNetworkPolicy", "{notSelector: a == 'b'}",
                     None, 'a == "b"', id="global, negative"),
        pytest.param("GlobalNetworkPolicy", "{selector: has(x), notSelector: a == 'b'}",
                     '(has(x) && !a == "b")', None, id="global, both"),
    ],
)  # fmt: skip
def test_peer_selectors_are_scoped(
    kind: str, peer: str, members: str | None, not_members: str | None
) -> None:
    found = _one(_calico(f"{{ingress: [{{action: Allow, source: {peer}}}]}}", kind)).ingress[0].source
    assert (found.members and found.members.render()) == members
    assert (found.not_members and found.not_members.render()) == not_members


def test_kubernetes_rule_expands_by_protocol_and_peer() -> None:
    policy = _one(_kubernetes("""
      ingress:
      - from:
        - podSelector: {matchLabels: {app: a}}
        - namespaceSelector: {}
        - ipBlock: {cidr: 10.0.0.7/8, except: [10.9.0.0/16]}
        ports: [{protocol: UDP, port: 53}, {port: 81}, {port: 80}, {port: http}, {port: 82, endPort: 90}]
      - ports: [{protocol: SCTP}, {protocol: SCTP, port: 9}]
    """.replace("\n", "\n      ")))  # fmt: skip
    pods, spaces, block = (rule.source for rule in policy.ingress[:3])
    assert [rule.protocol for rule in policy.ingress] == [6, 6, 6, 17, 17, 17, 132]
    assert pods.members is not None
    assert pods.members.render() == (
        '(projectcalico.org/namespace == "shop" && (projectcalico.org/orchestrator == "k8s" && app == "a"))'
    )
    assert spaces.members is not None
    assert spaces.members.render() == (
        '(has(projectcalico.org/namespace) && projectcalico.org/orchestrator == "k8s")'
    )
    assert [str(net) for net in (*block.nets, *block.not_nets)] == ["10.0.0.0/8", "10.9.0.0/16"]
    tcp, whole = policy.ingress[0].destination, policy.ingress[6].destination
    assert tcp.ports == (objects.PortRange(80, 90),)
    assert tcp.port_names == ("http",)
    assert whole == objects.Peer()


def test_kubernetes_egress_puts_peer_and_ports_together() -> None:
    rule = _one(_kubernetes("{egress: [{to: [{ipBlock: {cidr: '::/0'}}], ports: [{port: 443}]}]}")).egress[0]
    assert rule.source == objects.Peer()
    assert rule.destination.ports == (objects.PortRange(443, 443),)
    assert [str(net) for net in rule.destination.nets] == ["::/0"]


def test_calico_rule_keeps_every_field() -> None:
    rule = _one(_calico("""
      egress:
      - action: Log
        protocol: udp
        notProtocol: 6
        ipVersion: 4
        metadata: {annotations: {note: why}}
        source: {notPorts: [1, "2:3"]}
        destination: {nets: [192.0.2.1], notNets: ["2001:db8::/32"], ports: [80, "90:91", http, "99"]}
    """)).egress[0]  # fmt: skip
    assert (rule.action, rule.protocol, rule.not_protocol, rule.ip_version) == ("log", 17, 6, 4)
    assert rule.source.not_ports == (objects.PortRange(1, 1), objects.PortRange(2, 3))
    assert [port.first for port in rule.destination.ports] == [80, 90, 99]
    assert rule.destination.port_names == ("http",)
    assert not rule.allows_family(4)  # its notNets hold nothing of this family
    assert not rule.allows_family(6)


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        pytest.param(_calico("{order: first}"), "spec.order", "number", id="order"),
        pytest.param(_calico("{selectors: x}"), "spec.selectors", "unknown", id="unknown field"),
        pytest.param(_calico("{selector: app = 'x'}"), "spec.selector", "position 4", id="selector"),
        pytest.param(_calico("{ingress: [{}]}"), "spec.ingress[0].action", "missing", id="no action"),
        pytest.param(_calico("{ingress: [{action: allow}]}"), "spec.ingress[0].action",
                     "one of", id="action"),
        pytest.param(_calico("{ingress: [{action: Allow, protocol: TCPP}]}"), "spec.ingress[0].protocol",
                     "one of", id="protocol"),
        pytest.param(_calico("{ingress: [{action: Allow, source: {nets: [10.0.0.0/33]}}]}"),
                     "spec.ingress[0].source.nets[0]", "CIDR", id="CIDR"),
        pytest.param(_calico("{ingress: [{action: Allow, source: {nets: [10.0.0.0/255.0.0.0]}}]}"),
                     "spec.ingress[0].source.nets[0]", "CIDR", id="netmask"),
        pytest.param(_calico("{ingress: [{action: Allow, destination: {ports: [80]}}]}"),
                     "spec.ingress[0].destination.ports", "need protocol", id="ports without protocol"),
        pytest.param(_calico("{ingress: [{action: Allow, protocol: TCP, destination: {ports: ['9:8']}}]}"),
                     "spec.ingress[0].destination.ports[0]", "range", id="empty range"),
        pytest.param(_calico("{ingress: [{action: Allow, icmp: {type: 8}}]}"), "spec.ingress[0].icmp",
                     "needs protocol", id="icmp without protocol"),
        pytest.param(_calico("{ingress: [{action: Allow, ipVersion: 5}]}"), "spec.ingress[0].ipVersion",
                     "4 or 6", id="ip version"),
        pytest.param(_calico("{ingress: [{action: Deny, source: {services: {name: x}, nets: [10.0.0.1]}}]}"),
                     "spec.ingress[0].source.nets", "beside services", id="services and nets"),
        pytest.param(_calico("{egress: [{action: Allow, protocol: TCP, destination: {services: {name: x}, "
                             "ports: [1]}}]}"),
                     "spec.egress[0].destination.ports", "beside services", id="services and ports"),
        pytest.param(_calico("{ingress: [{action: Allow, notICMP: {type: 8}}]}"), "spec.ingress[0].notICMP",
                     "needs protocol", id="notICMP without protocol"),
        pytest.param(_calico("{preDNAT: true}", "GlobalNetworkPolicy"), "spec", "needs applyOnForward",
                     id="preDNAT alone"),
        pytest.param(_calico("{preDNAT: true, applyOnForward: true, types: [Egress]}", "GlobalNetworkPolicy"),
                     "spec", "leave Egress away", id="preDNAT on the way out"),
        pytest.param(_calico("{egress: [{action: Allow, destination: {services: {name: a}}}]}",
                             "GlobalNetworkPolicy"),
                     "spec.egress[0].destination.services", "needs a namespace", id="a service"),
        pytest.param(_calico("{preDNAT: true, doNotTrack: true}", "GlobalNetworkPolicy"), "spec", "both",
                     id="preDNAT and doNotTrack"),
        pytest.param(_calico("{stagedAction: Perhaps}", "StagedNetworkPolicy"), "spec.stagedAction", "one of",
                     id="staged action"),
        pytest.param(_calico("{defaultAction: Allow}", "Tier"), "spec.defaultAction", "one of", id="tier"),
        pytest.param(_kubernetes("{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}"),
                     "spec.ingress[0].from[0].ipBlock", "beside", id="block and selector"),
        pytest.param(_kubernetes("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}"),
                     "spec.ingress[0].from[0].ipBlock.cidr", "prefix length", id="block without length"),
        pytest.param(_kubernetes("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/9]}}]}]}"),
                     "spec.egress[0].to[0].ipBlock.except[0]", "within", id="hole outside"),
        pytest.param(_kubernetes("{ingress: [{to: []}]}"), "spec.ingress[0].to", "unknown",
                     id="to in ingress"),
        pytest.param(_kubernetes("{ingress: [{ports: [{port: http, endPort: 90}]}]}"),
                     "spec.ingress[0].ports[0].endPort", "number", id="range of a name"),
        pytest.param(_kubernetes("{ingress: [{ports: [{port: 90, endPort: 80}]}]}"),
                     "spec.ingress[0].ports[0].endPort", "range", id="range backwards"),
        pytest.param(_kubernetes("{ingress: [{ports: [{port: '80'}]}]}"), "spec.ingress[0].ports[0].port",
                     "port name", id="number as text"),
        pytest.param(_calico("{}") + _calico("{}"), "", "twice", id="same policy twice"),
        pytest.param(_calico("{}", "CiliumNetworkPolicy", group="cilium.io"), "", "does not know",
                     id="another system's kind"),
        pytest.param(_calico("{}", "GlobalNetworkPolcy"), "",
                     "GlobalNetworkPolicy is one", id="mistyped kind"),
    ],
)  # fmt: skip
def test_wrong_manifest_names_field_and_reason(text: str, field: str, reason: str) -> None:
    with pytest.raises(errors.ManifestError, match=reason) as caught:
        parse.parse(_documents(text))
    assert caught.value.field == field
    assert caught.value.file == "policies.yaml"
