"""Random clusters and policies of every kind, as manifests: small enough that everything meets everything."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]

APPS, TEAMS, NAMESPACES = ("web", "cart", "till"), ("red", "blue"), ("shop", "bank", "ops")
PORTS = (80, 81, 443, 53)
NAMES = ("http", "dns", "odd")
NETS = ("10.9.0.0/24", "10.9.1.0/24", "10.9.0.0/16", "203.0.113.0/24", "0.0.0.0/0", "10.9.0.2",
        "2001:db8::/64", "2001:db8:1::/64", "::/0")  # fmt: skip
OUTSIDE = ("203.0.113.9", "198.51.100.1", "172.31.0.1", "192.0.2.2", "2001:db8:1::9", "2001:db8:2::1")


BLOCKS = (
    ("10.9.0.0/16", "10.9.1.0/24"), ("0.0.0.0/0", "10.9.0.0/24"), ("::/0", "2001:db8::/126"),
)  # fmt: skip
"""Networks, and holes in them."""


class Maker:
    """Makes manifests by a seed.

    Args:
        seed: Other manifests for each.
        nets: The networks that policies speak of.
        blocks: Networks with holes.
    """

    def __init__(
        self, seed: int, nets: tuple[str, ...] = NETS, blocks: tuple[tuple[str, str], ...] = BLOCKS
    ) -> None:
        self.dice = random.Random(seed)
        self._nets, self._blocks = nets, blocks

    def maybe(self, share: float = 0.5) -> bool:
        return self.dice.random() < share

    def some(self, words: tuple[Any, ...], most: int = 2) -> list[Any]:
        return self.dice.sample(words, self.dice.randint(1, min(most, len(words))))

    def one(self, words: tuple[Any, ...]) -> Any:
        return self.dice.choice(words)

    def namespaces(self) -> list[Body]:
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": self._team()}}
            for name in NAMESPACES[: self.dice.randint(2, 3)]
        ]

    def cluster(self) -> list[Body]:
        found = self.namespaces()
        found += [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{i}"},
             "status": {"addresses": [{"type": "InternalIP", "address": f"172.31.0.{i}"}]}}
            for i in (1, 2)
        ]  # fmt: skip
        found += [self._pod(i) for i in range(1, self.dice.randint(4, 8))]
        accounts: list[Body] = [
            {"apiVersion": "v1", "kind": "ServiceAccount",
             "metadata": {"name": self.one(("a", "b")), "namespace": namespace, "labels": {"role": "x"}}}
            for namespace in NAMESPACES if self.maybe()
        ]  # fmt: skip
        return [*found, *accounts, *self.sets(), *self.hosts()]

    def hosts(self) -> list[Body]:
        """Host endpoints, sometimes, with what decides about them."""
        if self.maybe():
            return []
        version = "projectcalico.org/v3"
        found: list[Body] = []
        for node in (1, 2):
            addresses = [f"172.31.0.{node}", f"192.0.2.{node}"]
            for interface in self.some(("*", "eth0", "eth1", None)):
                spec: Body = {"node": f"n{node}", "profiles": self.some((
                    "projectcalico-default-allow", "one", "gone"
                )) if self.maybe() else []}  # fmt: skip
                spec |= {"interfaceName": interface} if interface else {}
                if not interface or self.maybe():
                    spec["expectedIPs"] = [self.one(tuple(addresses))]
                ports = [
                    {"name": self.one(NAMES), "port": self.one(PORTS), "protocol": self.one(("TCP", "UDP"))}
                ]
                found.append({
                    "apiVersion": version, "kind": "HostEndpoint",
                    "metadata": {"name": f"h{len(found)}", "labels": {"app": self.one(APPS)}},
                    "spec": spec | ({"ports": ports} if self.maybe() else {}),
                })  # fmt: skip
        rules = {self.one(("ingress", "egress")): self._calico_rules()}
        found.append({"apiVersion": version, "kind": "Profile", "metadata": {"name": "one"}, "spec": rules})
        found.append({"apiVersion": version, "kind": "IPPool", "metadata": {"name": "pods"},
                      "spec": {"cidr": self.one(("10.9.0.0/16", "10.9.1.0/24", "2001:db8::/64")),
                               "vxlanMode": self.one(("Always", "CrossSubnet", "Never"))}})  # fmt: skip
        return found

    def sets(self) -> list[Body]:
        return [self._set(i) for i in range(self.dice.randint(0, 2))]

    def policies(self) -> list[Body]:
        makers = (self.knp, self.np, self.gnp, self.cnp, self.anp)
        tiers = [
            {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name},
             "spec": {"order": self.one((5, 1000, 2_000_000)), "defaultAction": self.one(("Deny", "Pass"))}}
            for name in ("one", "two")
        ]  # fmt: skip
        made = [self.one(makers)(i) for i in range(self.dice.randint(1, 6))]
        return [*tiers, *made, *([self.banp()] if self.maybe(0.2) else [])]

    def _team(self) -> Body:
        return {"team": self.one(TEAMS)} if self.maybe(0.8) else {}

    def _pod(self, i: int) -> Body:
        host, node = self.maybe(0.1), self.one((1, 2))
        ips = [f"172.31.0.{node}"] if host else [f"10.9.{i % 2}.{i}", f"2001:db8::{i}"]
        phase = self.one(("Running",) * 9 + ("Succeeded",))
        return self.pod(f"p{i}", self.one(NAMESPACES), f"n{node}", ips, host=host, phase=phase)

    def pod(
        self, name: str, namespace: str, node: str, ips: list[str], *, host: bool = False,
        phase: str = "Running",
    ) -> Body:  # fmt: skip
        """A pod with random labels, ports and service account."""
        ports = [
            {"name": name, "containerPort": self.one(PORTS), "protocol": self.one(("TCP", "UDP"))}
            for name in self.some(NAMES)
        ]
        labels = {"app": self.one(APPS)} | ({"role": "x"} if self.maybe(0.3) else {})
        return {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"nodeName": node, "hostNetwork": host,
                     "serviceAccountName": self.one(("a", "b")),
                     "containers": [{"name": "c", "ports": ports}]},
            "status": {"phase": phase, "podIPs": [{"ip": ip} for ip in ips]},
        }  # fmt: skip

    def _set(self, i: int) -> Body:
        place = {"namespace": self.one(NAMESPACES)} if self.maybe() else {}
        return {
            "apiVersion": "projectcalico.org/v3", "kind": "NetworkSet" if place else "GlobalNetworkSet",
            "metadata": {"name": f"s{i}", "labels": {"app": self.one(APPS)}, **place},
            "spec": {"nets": self.some(self._nets)},
        }  # fmt: skip

    # Kubernetes

    def labels(self) -> Body:
        """A LabelSelector."""
        kind = self.dice.randrange(5)
        if kind == 0:
            return {}
        if kind == 1:
            return {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": self.some(APPS)}]}
        if kind == 2:
            return {"matchExpressions": [{"key": "role", "operator": self.one(("Exists", "DoesNotExist"))}]}
        return {"matchLabels": {"app": self.one(APPS)}}

    def teams(self) -> Body:
        if self.maybe(0.3):
            return {}
        if self.maybe(0.3):
            return {"matchLabels": {"kubernetes.io/metadata.name": self.one(NAMESPACES)}}
        return {"matchExpressions": [
            {"key": "team", "operator": self.one(("In", "NotIn")), "values": self.some(TEAMS)}
        ]}  # fmt: skip

    def _knp_peer(self) -> Body:
        kind = self.dice.randrange(4)
        if kind == 0:
            return {"podSelector": self.labels()}
        if kind == 1:
            return {"namespaceSelector": self.teams()}
        if kind == 2:
            return {"namespaceSelector": self.teams(), "podSelector": self.labels()}
        cidr, hole = self.one(self._blocks)
        return {"ipBlock": {"cidr": cidr, **({"except": [hole]} if self.maybe() else {})}}

    def _knp_port(self) -> Body:
        found: Body = {"protocol": self.one(("TCP", "UDP"))} if self.maybe(0.7) else {}
        if self.maybe(0.3):
            return {**found, "port": self.one(NAMES)}
        if self.maybe(0.2):
            return {**found, "port": 80, "endPort": self.one((80, 81, 100))}
        return {**found, "port": self.one(PORTS)} if self.maybe(0.9) else found

    def _knp_rules(self, side: str) -> list[Body]:
        return [
            {
                **({side: self._times(0, self._knp_peer)} if self.maybe(0.8) else {}),
                **({"ports": self._times(0, self._knp_port)} if self.maybe() else {}),
            }
            for _ in range(self.dice.randint(0, 2))
        ]

    def _times(self, least: int, make: Callable[[], Body]) -> list[Body]:
        return [make() for _ in range(self.dice.randint(least, 2))]

    def knp(self, i: int) -> Body:
        spec: Body = {"podSelector": self.labels(), "ingress": self._knp_rules("from")}
        if self.maybe():
            spec["egress"] = self._knp_rules("to")
        if self.maybe():
            spec["policyTypes"] = self.some(("Ingress", "Egress"))
        return _policy("networking.k8s.io/v1", "NetworkPolicy", f"k{i}", spec, self.one(NAMESPACES))

    # Calico

    def selector(self) -> str:
        return self.one((
            f"app == '{self.one(APPS)}'", f"app != '{self.one(APPS)}'", "all()", "has(role)", "!has(role)",
            f"app in {{'{self.one(APPS)}', 'x'}}", f"app not in {{'{self.one(APPS)}'}}",
            f"app starts with '{self.one('wct')}' || has(role)", "(app contains 'a' && !(role == 'x'))",
        ))  # fmt: skip

    def _calico_peer(self, ports: bool) -> Body:
        found: Body = {}
        kind = self.dice.randrange(6)
        if kind == 0:
            found["nets"] = self.some(self._nets)
        elif kind == 1:
            found["notNets"] = self.some(self._nets)
        elif kind in (2, 3):
            found["selector"] = self.selector()
        elif kind == 4:
            found["notSelector"] = self.selector()
            if self.maybe(0.3):
                found["selector"] = self.selector()
        if self.maybe(0.3) and "nets" not in found:
            found["namespaceSelector"] = self.one(("all()", "global()", "team == 'red'", "team != 'blue'"))
        if self.maybe(0.2):
            found["serviceAccounts"] = self.one(({"names": ["a"]}, {"selector": "has(role)"}))
        if ports and self.maybe():
            found[self.one(("ports", "ports", "notPorts"))] = self.some((80, "80:81", 443, "http", "odd"))
        return found

    def _calico_rules(self) -> list[Body]:
        found = []
        for _ in range(self.dice.randint(0, 3)):
            rule: Body = {"action": self.one(("Allow", "Allow", "Deny", "Pass", "Log"))}
            protocol = self.one(("TCP", "UDP", "ICMP", "", "", "not TCP"))
            if protocol == "not TCP":
                rule["notProtocol"] = "TCP"
            elif protocol:
                rule["protocol"] = protocol
            if protocol == "ICMP" and self.maybe():
                rule[self.one(("icmp", "notICMP"))] = {"type": self.one((8, 3)), "code": 0}
            if self.maybe(0.15):
                rule["ipVersion"] = self.one((4, 6))
            for side in ("source", "destination"):
                if self.maybe():
                    rule[side] = self._calico_peer(protocol in ("TCP", "UDP"))
            found.append(rule)
        return found

    def _calico(self) -> Body:
        spec: Body = {"selector": self.selector(), "ingress": self._calico_rules()}
        if self.maybe():
            spec["egress"] = self._calico_rules()
        if self.maybe():
            spec["types"] = self.some(("Ingress", "Egress"))
        if self.maybe(0.7):
            spec["order"] = self.one((1, 2, 1000, 1500))
        if self.maybe():
            spec["tier"] = self.one(("one", "two", "default"))
        return spec

    def np(self, i: int) -> Body:
        kind = self.one(("NetworkPolicy", "NetworkPolicy", "StagedNetworkPolicy"))
        return _policy("projectcalico.org/v3", kind, f"c{i}", self._calico(), self.one(NAMESPACES))

    def gnp(self, i: int) -> Body:
        spec = self._calico()
        if self.maybe(0.3):
            spec["namespaceSelector"] = self.one(("all()", "team == 'red'", "team != 'red'"))
        if self.maybe(0.2):
            spec["serviceAccountSelector"] = "projectcalico.org/name == 'a'"
        if self.maybe(0.4):
            spec["applyOnForward"] = True
            early = self.one(("doNotTrack", "preDNAT", "", ""))
            spec |= {early: True} if early else {}
            if early == "preDNAT":
                spec = {name: value for name, value in spec.items() if name not in ("egress", "types")}
        kind = self.one(("GlobalNetworkPolicy", "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy"))
        return _policy("projectcalico.org/v3", kind, f"g{i}", spec)

    # Administrators

    def _subject(self) -> Body:
        if self.maybe():
            return {"namespaces": self.teams()}
        return {"pods": {"namespaceSelector": self.teams(), "podSelector": self.labels()}}

    def _admin_peer(self, side: str) -> Body:
        if side == "to" and self.maybe(0.3):
            return {"networks": self.some(tuple(net for net in self._nets if "/" in net))}
        return self._subject() if self.maybe(0.95) else {}

    def _admin_rules(self, side: str, actions: tuple[str, ...], ports: str) -> list[Body]:
        return [
            {
                "action": self.one(actions), side: self._times(1, lambda: self._admin_peer(side)),
                **({ports: self._times(1, lambda: self._admin_port(ports))} if self.maybe() else {}),
            }
            for _ in range(self.dice.randint(0, 2))
        ]  # fmt: skip

    def _admin_port(self, ports: str) -> Body:
        if self.maybe(0.3):
            return {"namedPort" if ports == "ports" else "destinationNamedPort": self.one(NAMES)}
        if ports == "ports":
            if self.maybe(0.3):
                return {"portRange": {"start": 80, "end": 81}}
            return {"portNumber": {"protocol": self.one(("TCP", "UDP")), "port": self.one(PORTS)}}
        port = {"range": {"start": 80, "end": 82}} if self.maybe(0.3) else {"number": self.one(PORTS)}
        return {self.one(("tcp", "udp")): {"destinationPort": port}}

    def _admin(self, actions: tuple[str, ...], ports: str) -> Body:
        return {
            "subject": self._subject(), "ingress": self._admin_rules("from", actions, ports),
            "egress": self._admin_rules("to", actions, ports),
        }  # fmt: skip

    def cnp(self, i: int) -> Body:
        head = {"tier": self.one(("Admin", "Baseline")), "priority": self.one((1, 2, 3))}
        spec = {**head, **self._admin(("Accept", "Deny", "Pass"), "protocols")}
        return _policy("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", f"a{i}", spec)

    def anp(self, i: int) -> Body:
        spec = {"priority": self.one((1, 2, 3)), **self._admin(("Allow", "Deny", "Pass"), "ports")}
        return _policy("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", f"o{i}", spec)

    def banp(self) -> Body:
        spec = self._admin(("Allow", "Deny"), "ports")
        return _policy("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy", "default", spec)


def _policy(version: str, kind: str, name: str, spec: Body, namespace: str = "") -> Body:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}, "spec": spec}
