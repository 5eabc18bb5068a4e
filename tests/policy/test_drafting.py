"""Rules as each kind of policy says them: what is written, and what it means where it is judged."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import observed
import records
from observed import edge, network_set, ping, pod, port

from model import cluster, enums, manifest
from policy import drafting, needs, objects, parse, replay, stable

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
TCP, UDP, SCTP, UDPLITE = (
    enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP, enums.Protocol.UDPLITE
)  # fmt: skip
KUBERNETES, CALICO, STAGED = drafting.Kind.KUBERNETES, drafting.Kind.CALICO, drafting.Kind.STAGED
KINDS = pytest.mark.parametrize("kind", drafting.Kind)
PODS = [
    pod("web"), pod("db", ports=(port(5432, "sql"),), labels={"app": "db", "v": "1"}),
    pod("db", ports=(port(5433, "sql"),), labels={"app": "db", "v": "2"}), pod("cart"), pod("till", "bank"),
    pod("bare", "bank", labels={}), pod("bald", labels={}),
]  # fmt: skip
PARTNERS = network_set("partners", "192.0.2.0/24", "2001:db8:9::/64", labels={"partner": "yes"})
TILLS = network_set("tills", "198.51.100.0/28", labels={"tills": "yes"}, namespace="bank")
OWN = network_set("own", "198.51.100.16/28", labels={"own": "yes"}, namespace="shop")
NAMELESS = network_set("nameless", "198.51.100.32/32", "2001:db8:8::/128")
SETS = (PARTNERS, TILLS, OWN, NAMELESS)
OUTSIDE = {
    "192.0.2.7": ("network_set", "", "partners"), "2001:db8:9::7": ("network_set", "", "partners"),
    "198.51.100.7": ("network_set", "bank", "tills"), "198.51.100.17": ("network_set", "shop", "own"),
    "198.51.100.32": ("network_set", "", "nameless"), "2001:db8:8::": ("network_set", "", "nameless"),
}  # fmt: skip


class Drafted:
    """A policy about the pods of one group, made of some edges, with others that are asked about."""

    def __init__(
        self, kind: drafting.Kind, learned: Sequence[observed.Edge], asked: Sequence[observed.Edge] = (),
        direction: enums.Direction = EGRESS, tier: str = objects.DEFAULT_TIER,
    ) -> None:  # fmt: skip
        self.seen = observed.seen(PODS, [*learned, *asked], OUTSIDE)
        self._documents, self._kind, self._asked = observed.documents(*SETS), kind, len(asked)
        groups = stable.groups(PODS)
        made = needs.Needs(self.seen, groups, cluster.read(self._documents), needs.Bounds())
        self.rules = drafting.said(kind, made.needed(direction, range(len(learned))).rules, self.seen)
        web = next(group for group in groups if group.name == "web")
        self.bodies = [drafting.rule(kind, "shop", direction, one) for one in self.rules]
        self.body = drafting.policy(kind, tier, web, "web", {direction: self.bodies})

    def denied(self) -> list[bool]:
        """What becomes of all edges, if the policy is the only one."""
        policies = parse.parse([*self._documents, manifest.Document("drafted", 1, self.body)])
        policies = policies.pending() if self._kind is STAGED else policies
        again = replay.Replay(self.seen, cluster.read(self._documents))
        outcome = again.judge(again.engine(policies))
        assert not outcome.uncertain.any()
        return outcome.denied.tolist()


PORTS = [edge("web", "db", number) for number in range(8000, 8080, 2)]


@pytest.mark.parametrize(
    ("learned", "others", "kinds"),
    [
        pytest.param([edge("web", "cart")],
                     [edge("web", "cart", 81), edge("web", "cart", 80, protocol=UDP), edge("web", "till"),
                      edge("web", "web"), edge("web", "203.0.113.9"), ping("web", "cart")],
                     drafting.Kind, id="pods at a port"),
        pytest.param([edge("web", "till")], [edge("web", "bare"), edge("web", "cart")], drafting.Kind,
                     id="pods of another namespace"),
        pytest.param([edge("web", "web")], [edge("web", "cart")], drafting.Kind, id="pods of its own"),
        pytest.param([edge("web", "cart", 53, protocol=UDP), edge("web", "cart", 53)],
                     [edge("web", "cart", 53, protocol=SCTP)], drafting.Kind, id="DNS"),
        pytest.param([edge("web", "cart", 9, protocol=SCTP)], [edge("web", "cart", 9)], drafting.Kind,
                     id="SCTP"),
        pytest.param([edge("web", 1, 5432), edge("web", 2, 5433)],
                     [edge("web", 1, 5433), edge("web", 2, 5432), edge("web", "cart", 5432)],
                     drafting.Kind, id="a port's name"),
        pytest.param(PORTS, [edge("web", "db", 7999), edge("web", "db", 8079)], drafting.Kind, id="a range"),
        pytest.param([edge("web", "203.0.113.9"), edge("web", "2001:db8::9")],
                     [edge("web", "203.0.113.8"), edge("web", "2001:db8::8"), edge("web", "cart")],
                     drafting.Kind, id="addresses"),
        pytest.param([ping("web", "cart"), ping("web", "cart", six=True)],
                     [ping("web", "cart", icmp_type=13), ping("web", "cart", six=True, icmp_type=8),
                      edge("web", "cart", 0)], (CALICO, STAGED), id="messages"),
        pytest.param([ping("web", "203.0.113.9"), ping("web", "2001:db8::9", six=True)],
                     [ping("web", "203.0.113.8"), ping("web", "203.0.113.9", icmp_type=13)],
                     (CALICO, STAGED), id="messages to addresses"),
        pytest.param([edge("web", "cart", 0, protocol=47)], [edge("web", "cart", 0, protocol=50)],
                     (CALICO, STAGED), id="a protocol by its number"),
        pytest.param([edge("web", "cart", 9, protocol=UDPLITE)], [edge("web", "cart", 9, protocol=UDP)],
                     (CALICO, STAGED), id="UDPLite"),
        pytest.param([edge("web", "192.0.2.7"), edge("web", "192.0.2.8"), edge("web", "2001:db8:9::7")],
                     [edge("web", "192.0.3.7"), edge("web", "192.0.2.7", 81), edge("web", "cart")],
                     drafting.Kind, id="a network set"),
        pytest.param([edge("web", "198.51.100.7")], [edge("web", "198.51.100.17"), edge("web", "till")],
                     drafting.Kind, id="a network set of another namespace"),
        pytest.param([edge("web", "198.51.100.17")], [edge("web", "198.51.100.7"), edge("web", "cart")],
                     drafting.Kind, id="a network set of its own namespace"),
        pytest.param([edge("web", "198.51.100.32"), edge("web", "2001:db8:8::", 53, protocol=UDP)],
                     [edge("web", "198.51.100.33"), edge("web", "cart")],
                     drafting.Kind, id="a network set without labels"),
        pytest.param([edge("web", "bare")], [edge("web", "cart"), edge("web", "203.0.113.9")], drafting.Kind,
                     id="pods that no label names"),
        pytest.param([edge("web", "bald")], [edge("web", "till"), edge("web", "203.0.113.9")], drafting.Kind,
                     id="pods of its own namespace that no label names"),
    ],
)  # fmt: skip
def test_policy_allows_what_it_was_made_of_alone(
    learned: list[observed.Edge], others: list[observed.Edge], kinds: Sequence[drafting.Kind]
) -> None:
    for kind in kinds:
        assert Drafted(kind, learned, others).denied() == [False] * len(learned) + [True] * len(others), kind


@pytest.mark.parametrize(
    ("learned", "others", "kinds"),
    [
        pytest.param([edge("cart", "web")], [edge("cart", "web", 81), edge("till", "web")], drafting.Kind,
                     id="pods at a port"),
        pytest.param([edge("till", "web")], [edge("bare", "web"), edge("cart", "web")], drafting.Kind,
                     id="pods of another namespace"),
        pytest.param([ping("cart", "web")], [ping("cart", "web", icmp_type=13)], (CALICO, STAGED),
                     id="messages"),
        pytest.param([edge("192.0.2.7", "web"), edge("2001:db8:9::7", "web"), edge("203.0.113.9", "web")],
                     [edge("192.0.3.7", "web"), edge("203.0.113.8", "web"), edge("cart", "web")],
                     drafting.Kind, id="network set and address"),
        pytest.param([edge("bare", "web")], [edge("cart", "web"), edge("203.0.113.9", "web")], drafting.Kind,
                     id="pods that no label names"),
    ],
)  # fmt: skip
def test_policy_lets_in_what_it_was_made_of_alone(
    learned: list[observed.Edge], others: list[observed.Edge], kinds: Sequence[drafting.Kind]
) -> None:
    for kind in kinds:
        found = Drafted(kind, learned, others, direction=INGRESS)
        assert found.denied() == [False] * len(learned) + [True] * len(others), kind


def test_pods_that_no_label_names_are_all_of_their_namespace() -> None:
    for kind in drafting.Kind:
        assert Drafted(kind, [edge("web", "bare")], [edge("web", "till")]).denied() == [False, False]


@pytest.mark.parametrize(
    "one", [ping("web", "cart"), edge("web", "cart", 0, protocol=47)], ids=["ping", "GRE"]
)
def test_kubernetes_policy_allows_everything_where_a_protocol_was_admitted(one: observed.Edge) -> None:
    """A rule with a port would not be a policy; the peer says how far the rule goes."""
    found = Drafted(KUBERNETES, [one, edge("web", "cart")], [edge("web", "cart", 81), edge("web", "till")])
    assert found.denied() == [False, False, False, True]
    assert found.bodies == [{"to": [{"podSelector": {"matchLabels": {"app": "cart"}}}]}]
    name = enums.protocol_name(one.protocol)
    assert [part.peer.note for rule in found.rules for part in rule.parts] == [
        f"all protocols and ports are allowed, as {name} cannot be by itself"
    ]


@KINDS
@pytest.mark.parametrize("seed", range(25))
def test_each_rule_allows_the_edges_that_it_is_about(seed: int, kind: drafting.Kind) -> None:
    """Each by itself; and of all that is needed each edge is in a rule, as far as the kind can say it."""
    maker = records.Maker(seed)
    seen, groups = maker.record(), stable.groups(maker.variants)
    found = cluster.read(maker.documents)
    made, again = needs.Needs(seen, groups, found, needs.Bounds()), replay.Replay(seen, found)
    for direction, near in ((INGRESS, seen.dst), (EGRESS, seen.src)):
        for group in groups:
            ours = [i for i, one in enumerate(maker.variants) if one.workload in group.workloads]
            edges = [i for i, end in enumerate(near.tolist()) if end in ours]
            if not group.labels or not edges:
                continue
            rules = drafting.said(kind, made.needed(direction, edges).rules, seen)
            assert {edge for rule in rules for part in rule.parts for edge in part.edges} == set(edges)
            for one in rules:
                body = drafting.rule(kind, group.namespace, direction, one)
                policy = drafting.policy(kind, "default", group, "x", {direction: [body]})
                policies = parse.parse([manifest.Document("f", 1, policy)]).pending()
                denied = again.judge(again.engine(policies)).denied
                assert all(part.edges for part in one.parts)
                assert not any(denied[list(part.edges)].any() for part in one.parts), (one, body)


@pytest.mark.parametrize(
    ("kind", "learned", "bodies"),
    [
        pytest.param(KUBERNETES, [edge("web", "db", 5432), edge("web", "db", 53, protocol=UDP)], [
            {"to": [{"podSelector": {"matchLabels": {"app": "db"}}}],
             "ports": [{"protocol": "TCP", "port": "sql"}, {"protocol": "UDP", "port": 53}]},
        ], id="Kubernetes"),
        pytest.param(KUBERNETES, [edge("web", "till"), edge("web", "cart")], [
            {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bank"}},
                     "podSelector": {"matchLabels": {"app": "till"}}},
                    {"podSelector": {"matchLabels": {"app": "cart"}}}],
             "ports": [{"protocol": "TCP", "port": 80}]},
        ], id="Kubernetes, peers of two namespaces"),
        pytest.param(KUBERNETES, PORTS, [
            {"to": [{"podSelector": {"matchLabels": {"app": "db"}}}],
             "ports": [{"protocol": "TCP", "port": 8000, "endPort": 8078}]},
        ], id="Kubernetes, a range"),
        pytest.param(KUBERNETES, [edge("web", "203.0.113.9"), edge("web", "2001:db8::9")], [
            {"to": [{"ipBlock": {"cidr": "203.0.113.9/32"}}, {"ipBlock": {"cidr": "2001:db8::9/128"}}],
             "ports": [{"protocol": "TCP", "port": 80}]},
        ], id="Kubernetes, addresses"),
        pytest.param(CALICO, [edge("web", "db", 5432), edge("web", "db", 53, protocol=UDP)], [
            {"action": "Allow", "protocol": protocol,
             "destination": {"selector": "app == 'db'", "ports": [number]}}
            for protocol, number in (("TCP", "sql"), ("UDP", 53))
        ], id="Calico, a rule for each protocol"),
        pytest.param(CALICO, [*PORTS, edge("web", "db", 53)], [
            {"action": "Allow", "protocol": "TCP",
             "destination": {"selector": "app == 'db'", "ports": ["53:8078"]}},
        ], id="Calico, a range"),
        pytest.param(CALICO, [edge("web", "till")], [
            {"action": "Allow", "protocol": "TCP", "destination": {
                "selector": "app == 'till'", "namespaceSelector": "projectcalico.org/name == 'bank'",
                "ports": [80]}},
        ], id="Calico, another namespace"),
        pytest.param(CALICO, [ping("web", "cart"), ping("web", "cart", six=True)], [
            {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8},
             "destination": {"selector": "app == 'cart'"}},
            {"action": "Allow", "protocol": "ICMPv6", "icmp": {"type": 128},
             "destination": {"selector": "app == 'cart'"}},
        ], id="Calico, messages"),
        pytest.param(CALICO, [edge("web", "203.0.113.9"), edge("web", "2001:db8::9")], [
            {"action": "Allow", "protocol": "TCP", "destination": {"nets": [net], "ports": [80]}}
            for net in ("203.0.113.9/32", "2001:db8::9/128")
        ], id="Calico, families apart"),
        pytest.param(CALICO, [edge("web", "192.0.2.7"), edge("web", "2001:db8:9::7")], [
            {"action": "Allow", "protocol": "TCP", "destination": {
                "selector": "partner == 'yes'", "namespaceSelector": "global()", "ports": [80]}},
        ], id="Calico, a network set"),
        pytest.param(CALICO, [edge("web", "198.51.100.17")], [
            {"action": "Allow", "protocol": "TCP",
             "destination": {"selector": "own == 'yes'", "ports": [80]}},
        ], id="Calico, a network set of its own namespace"),
        pytest.param(CALICO, [edge("web", "198.51.100.32"), edge("web", "2001:db8:8::", 53, protocol=UDP)], [
            {"action": "Allow", "protocol": protocol, "destination": {"nets": [net], "ports": [number]}}
            for protocol, net, number in (("TCP", "198.51.100.32/32", 80), ("UDP", "2001:db8:8::/128", 53))
        ], id="Calico, each family with its protocols"),
        pytest.param(CALICO, [edge("web", "cart", 0, protocol=47)], [
            {"action": "Allow", "protocol": 47, "destination": {"selector": "app == 'cart'"}},
        ], id="Calico, a protocol by its number"),
    ],
)  # fmt: skip
def test_bodies(kind: drafting.Kind, learned: list[observed.Edge], bodies: list[observed.Body]) -> None:
    assert Drafted(kind, learned).bodies == bodies


def test_peers_of_ingress_are_sources_and_ports_the_destinations() -> None:
    learned = [edge("cart", "web")]
    peer = {"podSelector": {"matchLabels": {"app": "cart"}}}
    assert Drafted(KUBERNETES, learned, direction=INGRESS).bodies == [
        {"from": [peer], "ports": [{"protocol": "TCP", "port": 80}]}
    ]
    assert Drafted(CALICO, learned, direction=INGRESS).bodies == [
        {"action": "Allow", "protocol": "TCP", "source": {"selector": "app == 'cart'"},
         "destination": {"ports": [80]}},
    ]  # fmt: skip


def test_rules_of_calico_have_the_edges_that_they_are_about() -> None:
    learned = [
        edge("web", "203.0.113.9"), edge("web", "2001:db8::9"), edge("web", "203.0.113.9", 53, protocol=UDP),
        ping("web", "cart"), ping("web", "cart", icmp_type=13), edge("web", "2001:db8::9", 53, protocol=UDP),
    ]  # fmt: skip
    found = Drafted(CALICO, learned)
    assert [[part.edges for part in rule.parts] for rule in found.rules] == [
        [(3,)], [(4,)], [(0,)], [(2,)], [(1,)], [(5,)]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "tier", "name", "spec"),
    [
        pytest.param(KUBERNETES, "default", "web", {"podSelector": {"matchLabels": {"app": "web"}},
                     "policyTypes": ["Egress"], "egress": []}, id="Kubernetes"),
        pytest.param(CALICO, "default", "web", {"tier": "default", "selector": "app == 'web'",
                     "types": ["Egress"], "egress": []}, id="Calico"),
        pytest.param(CALICO, "ours", "ours.web", {"tier": "ours", "selector": "app == 'web'",
                     "types": ["Egress"], "egress": []}, id="Calico in a tier"),
        pytest.param(STAGED, "ours", "ours.web", {"stagedAction": "Set", "tier": "ours",
                     "selector": "app == 'web'", "types": ["Egress"], "egress": []}, id="staged in a tier"),
    ],
)  # fmt: skip
def test_policy(kind: drafting.Kind, tier: str, name: str, spec: observed.Body) -> None:
    found = Drafted(kind, [], tier=tier).body
    assert (found["metadata"], found["spec"]) == ({"name": name, "namespace": "shop"}, spec)
    (policy,) = parse.parse([manifest.Document("f", 1, found)]).everything()
    assert (policy.tier, policy.kind, policy.types) == (tier, drafting.WORD[kind], {EGRESS})


def test_kubernetes_policies_know_of_no_tiers() -> None:
    assert drafting.full_name(KUBERNETES, "ours", "web") == "web"


def test_policy_of_both_directions_decides_about_both() -> None:
    web = stable.groups(PODS)[-1]
    for kind in drafting.Kind:
        body = drafting.policy(kind, "default", web, "web", {EGRESS: [], INGRESS: []})
        (policy,) = parse.parse([manifest.Document("f", 1, body)]).everything()
        assert policy.types == {INGRESS, EGRESS}


@KINDS
def test_labels_of_any_form_are_selected(kind: drafting.Kind) -> None:
    labels = {"app.kubernetes.io/name": "a.b_c-d", "empty": ""}
    variants = [
        pod("web", labels=labels),
        pod("db", labels={"app.kubernetes.io/name": "a.b_c-d", "empty": "x"}),
    ]
    group = next(one for one in stable.groups(variants) if one.name == "web")
    group = stable.Group(group.namespace, group.workloads, tuple(labels.items()))
    seen = observed.seen(variants, [edge("web", "203.0.113.9"), edge("db", "203.0.113.9")])
    body = drafting.policy(kind, "default", group, "web", {EGRESS: []})
    again = replay.Replay(seen, cluster.read(observed.documents()))
    policies = parse.parse([manifest.Document("f", 1, body)]).pending()
    assert again.judge(again.engine(policies)).denied.tolist() == [True, False]


def test_kinds_are_those_that_identities_have() -> None:
    assert set(drafting.WORD.values()) <= objects.KIND_NAMES.keys()
    assert drafting.WORD.keys() == drafting.EXPRESSIBLE.keys() == set(drafting.Kind)


def test_peers_are_called_what_people_call_them() -> None:
    found = [str(rule.parts[0].peer) for rule in Drafted(
        KUBERNETES, [edge("web", "till"), edge("web", "198.51.100.7", 81), edge("web", "203.0.113.9", 82)]
    ).rules]  # fmt: skip
    assert found == ["bank/till", "network set bank/tills", "203.0.113.9/32"]
