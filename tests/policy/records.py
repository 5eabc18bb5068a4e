"""Random clusters and what was seen in them: workloads in several versions, named ports, strangers, scans."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from model import address, cluster, enums, manifest
from policy import record

DAY, HOUR = 86_400 * 10**9, 3600 * 10**9
END = 1_767_225_600_000_000_000
START = END - 14 * DAY
NAMESPACES = ("shop", "bank")
PORTS = (80, 443, 5432, 53)
OUTSIDE = (
    "203.0.113.9", "203.0.113.10", "198.51.100.7", "2001:db8:1::9", "2001:db8:1::a", "172.31.0.1",
    "192.0.2.40",
)  # fmt: skip
TCP, UDP, SCTP, ICMP = (
    enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP, enums.Protocol.ICMP
)  # fmt: skip


class Maker:
    """Makes a record by a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.documents = [_namespace(name) for name in NAMESPACES] + self._sets()
        self.variants = [
            variant for space in NAMESPACES for i in range(self.dice.randint(2, 5))
            for variant in self._workload(space, i)
        ]  # fmt: skip

    def maybe(self, share: float = 0.5) -> bool:
        return self.dice.random() < share

    def policies(self) -> list[manifest.Document]:
        """Some that are there already: default denies, an allowed port, an explicit denial, other tiers."""
        made: list[dict[str, Any]] = []
        for space in NAMESPACES:
            place = {"namespace": space}
            if self.maybe(0.3):
                types = self.dice.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
                made.append({
                    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": {"name": "default-deny", **place},
                    "spec": {"podSelector": {}, "policyTypes": types},
                })  # fmt: skip
            if self.maybe(0.5):
                made.append({
                    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": {"name": self.dice.choice(("w0", "w1", "mine")), **place},
                    "spec": {"podSelector": {"matchLabels": {"app": self.dice.choice(("w0", "w1"))}},
                             "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 80}]}]},
                })  # fmt: skip
            if self.maybe(0.5):
                made.append({
                    "apiVersion": "projectcalico.org/v3",
                    "kind": self.dice.choice(("NetworkPolicy", "StagedNetworkPolicy")),
                    "metadata": {"name": "ours.w0", **place},
                    "spec": {"tier": self.dice.choice(("default", "ours")), "selector": "app == 'w0'",
                             "types": ["Ingress", "Egress"],
                             "ingress": [{"action": self.dice.choice(("Deny", "Allow")), "protocol": "UDP"}],
                             "egress": [{"action": self.dice.choice(("Pass", "Allow")), "protocol": "TCP"}]},
                })  # fmt: skip
        order = {
            "order": self.dice.choice((1, 2_000_000)),
            "defaultAction": self.dice.choice(("Deny", "Pass")),
        }
        tier = {
            "apiVersion": "projectcalico.org/v3",
            "kind": "Tier",
            "metadata": {"name": "ours"},
            "spec": order,
        }
        return [manifest.Document("policies", i, body) for i, body in enumerate([tier, *made])]

    def _sets(self) -> list[manifest.Document]:
        if self.maybe():
            return []
        body = {
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
            "metadata": {"name": "partners", "labels": {"partner": "yes"} if self.maybe() else {}},
            "spec": {"nets": ["192.0.2.0/24", "2001:db8:9::/64"]},
        }  # fmt: skip
        return [manifest.Document("sets", 1, body)]

    def _workload(self, space: str, i: int) -> list[record.Variant]:
        """One workload in one or two versions."""
        kind = self.dice.choice(("Deployment", "Deployment", "StatefulSet", "DaemonSet", "CronJob"))
        owner = record.Workload(space, kind, f"w{i}")
        labels = {"app": f"w{i}"} if self.maybe(0.9) else {"app": "same", "role": self.dice.choice("ab")}
        labels |= {"team": self.dice.choice(("red", "blue"))} if self.maybe() else {}
        ports = tuple(
            cluster.ContainerPort(name=self.dice.choice(("http", "web", "")), number=number, protocol=TCP)
            for number in self.dice.sample(PORTS, self.dice.randint(0, 2))
        )
        return [
            record.Variant(
                workload=owner, labels_id=version + 1,
                labels={**labels, "pod-template-hash": f"{i}x{version}"},
                ports=ports if self.maybe(0.8) else (), account=f"a{i}",
                addresses=self._addresses(), pods=2, first=START, last=0, longest=DAY,
            ) for version in range(self.dice.randint(1, 2))
        ]  # fmt: skip

    def _addresses(self) -> tuple[str, ...]:
        number = self.dice.randint(1, 60_000)
        both = (f"10.65.{number >> 8}.{number & 255}", f"fd00:65::{number:x}")
        return both if self.maybe(0.7) else both[:1]

    def record(self) -> record.Record:
        """What was seen."""
        outside = [*OUTSIDE, "192.0.2.7"] if len(self.documents) > len(NAMESPACES) else list(OUTSIDE)
        rows = [self._edge(outside) for _ in range(self.dice.randint(3, 30))]
        rows = [row for row in rows if row]
        hours = [sorted({self.dice.randrange(336) for _ in range(self.dice.randint(1, 9))}) for _ in rows]
        column = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
        ints = {name: column.get(name, np.zeros(0)).astype(np.int64) for name in (
            "connections", "forward_packets", "reverse_packets")}  # fmt: skip
        codes = {name: column.get(name, np.zeros(0)).astype(np.int32) for name in (
            "src", "dst", "protocol", "port", "icmp_type", "family")}  # fmt: skip
        return record.Record(
            variants=tuple(self.variants),
            packed=np.frombuffer(b"".join(map(address.pack, outside)), np.uint8).reshape(-1, 16),
            kinds=tuple(_kind(text) for text in outside), names=tuple(_name(text) for text in outside),
            namespaces=("",) * len(outside), icmp_code=np.zeros(len(rows), np.int32),
            verdict=np.array([row["verdict"] for row in rows], object),
            attribution=np.array(["nflog"] * len(rows), object), bytes=np.ones(len(rows), np.int64),
            first=np.full(len(rows), START), last=np.full(len(rows), END),
            starts=np.cumsum([0, *map(len, hours)]).astype(np.int64),
            hours=np.array([START // HOUR + one for some in hours for one in some], np.uint32),
            **ints, **codes,
        )  # fmt: skip

    def _edge(self, outside: list[str]) -> dict[str, Any]:
        src, dst = (
            self.dice.randrange(len(self.variants))
            if self.maybe(0.75)
            else -1 - self.dice.randrange(len(outside))
            for _ in range(2)
        )
        family = self._family(src, dst, outside)
        protocol = int(self.dice.choice((TCP, TCP, TCP, UDP, SCTP, ICMP, 47)))
        protocol = int(enums.Protocol.ICMPV6) if protocol == ICMP and family == 6 else protocol
        count = self.dice.randint(1, 40)
        answers = self.dice.choice((0, count, 3 * count, 3 * count, 3 * count))
        verdict = "denied" if self.maybe(0.05) else "unknown" if not answers else "allowed"
        return {
            "src": src, "dst": dst, "protocol": protocol, "family": family or (4 if protocol == ICMP else 0),
            "port": self.dice.choice(PORTS) if protocol in (TCP, UDP, SCTP) else 0,
            "icmp_type": {ICMP: 8, enums.Protocol.ICMPV6: 128}.get(protocol, 0),
            "connections": count, "forward_packets": 4 * count,
            "reverse_packets": answers, "verdict": verdict,
        }  # fmt: skip

    def _family(self, src: int, dst: int, outside: list[str]) -> int:
        """Of what the addresses have in common; 0 between pods."""
        texts = [outside[-1 - end] for end in (src, dst) if end < 0]
        return (6 if ":" in texts[0] else 4) if texts else 0


def _kind(text: str) -> str:
    if text.startswith("172.31."):
        return "node"
    return "network_set" if text == "192.0.2.7" else "public"


def _name(text: str) -> str:
    return {"node": "n1", "network_set": "partners"}.get(_kind(text), "")


def _namespace(name: str) -> manifest.Document:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return manifest.Document("namespaces", 1, body)
