"""What the lab's hosts do all day, and what the policies have to make of it.

The expectations are written by hand from the manifests, not computed: they are what the rest is judged by.
"""

from __future__ import annotations

import dataclasses

from model import enums

TCP, UDP, ICMP = enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.ICMP

Rule = str | tuple[str, str]
"""A policy hit's text form; two where IPv4 and IPv6 meet different rules."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One kind of conversation.

    Attributes:
        source: ``namespace/workload``, or ``outside/host``.
        service: ``namespace/service`` to dial; empty to dial ``target`` itself.
        target: ``namespace/workload`` whose pods are dialled, ``outside/host``, or two addresses.
        port: The port to dial; 0 for ICMP.
        every: Seconds between two conversations of one host.
        size: Bytes in each answer (TCP) or datagram.
        requests: How often the client asks in one conversation.
        pause: Seconds between two requests.
        patience: Seconds to wait for an answer; 0 to wait for none.
        egress: What decides at the source; empty where nothing polices it.
        ingress: What decides at the destination; empty where nothing polices it, or it is never reached.
    """

    name: str
    source: str
    target: str | tuple[str, str]
    service: str = ""
    port: int = 0
    protocol: enums.Protocol = TCP
    every: float = 2.0
    size: int = 800
    requests: int = 1
    pause: float = 0.0
    patience: float = 2.2
    egress: Rule = ""
    ingress: Rule = ""

    def rule(self, direction: enums.Direction, family: int) -> str:
        """The rule that decides in a direction; ``family`` is 0 for IPv4, 1 for IPv6."""
        rule = self.egress if direction == enums.Direction.EGRESS else self.ingress
        return rule if isinstance(rule, str) else rule[family]

    def denied(self, family: int) -> bool:
        """Whether a policy forbids it."""
        return any("|deny|" in self.rule(direction, family) for direction in enums.Direction)


_WEB = ("ingress|default|knp:shop/web|allow|0", "ingress|default|knp:shop/web|allow|1")
_DNS_OUT = ("egress|default|knp:shop/allow-dns|allow|1", "egress|default|knp:shop/allow-dns|allow|0")
_OPEN_OUT = {ns: f"egress|__PROFILE__|pro:kns.{ns}|allow|0" for ns in ("monitoring", "guest", "kube-system")}
_OPEN_IN = {ns: f"ingress|__PROFILE__|pro:kns.{ns}|allow|0" for ns in ("monitoring", "guest", "kube-system")}
_METRICS = "ingress|platform|gnp:platform.monitoring|allow|0"
_PING = (
    "ingress|platform|gnp:platform.monitoring|allow|1",
    "ingress|platform|gnp:platform.monitoring|allow|2",
)
_STRANGER = "ingress|security|gnp:security.no-strangers|deny|0"
_NOTHING_OUT = "egress|default|end-of-tier|deny|-1"
_NOTHING_IN = "ingress|default|end-of-tier|deny|-1"

_ALLOWED = [
    Pattern(name="browse", source="outside/customer", service="shop/web", target="shop/web", port=80,
            every=0.25, size=12_000, ingress=_WEB),
    Pattern(name="fill cart", source="shop/web", service="shop/cart", target="shop/cart", port=80, every=0.5,
            requests=2, egress="egress|default|knp:shop/web|allow|0",
            ingress="ingress|default|knp:shop/cart|allow|0"),
    Pattern(name="check out", source="shop/web", service="shop/checkout", target="shop/checkout", port=9000,
            every=1, egress="egress|default|knp:shop/web|allow|1",
            ingress="ingress|default|knp:shop/checkout|allow|0"),
    Pattern(name="keep session", source="shop/cart", service="shop/redis", target="shop/redis", port=6379,
            every=1, requests=24, pause=0.5, size=200, egress="egress|default|knp:shop/cart|allow|0",
            ingress="ingress|default|np:shop/redis|allow|0"),
    Pattern(name="pay", source="shop/checkout", service="shop/payments", target="shop/payments", port=443,
            every=1, egress="egress|default|knp:shop/checkout|allow|0",
            ingress="ingress|default|knp:shop/payments|allow|0"),
    Pattern(name="store order", source="shop/checkout", service="shop/postgres", target="shop/postgres",
            port=5432, every=2, requests=10, pause=0.7, egress="egress|default|knp:shop/checkout|allow|1",
            ingress="ingress|default|np:shop/postgres|allow|0"),
    Pattern(name="settle", source="shop/payments", target="outside/card-network", port=443, every=1,
            size=3000, egress=("egress|default|knp:shop/payments|allow|0",
                               "egress|default|knp:shop/payments|allow|1")),
    Pattern(name="report", source="shop/report", service="shop/postgres", target="shop/postgres", port=5432,
            every=3, size=300_000, egress="egress|default|np:shop/report|allow|0",
            ingress="ingress|default|np:shop/postgres|allow|0"),
    *(Pattern(name="resolve", source=source, service="kube-system/kube-dns", target="kube-system/coredns",
              port=53, protocol=UDP, every=1, size=60, egress=_DNS_OUT[0],
              ingress=_OPEN_IN["kube-system"])
      for source in ("shop/web", "shop/cart", "shop/checkout", "shop/payments", "shop/report")),
    Pattern(name="resolve", source="guest/visitor", service="kube-system/kube-dns",
            target="kube-system/coredns", port=53, protocol=UDP, every=0.5, size=60,
            egress=_OPEN_OUT["guest"], ingress=_OPEN_IN["kube-system"]),
    Pattern(name="resolve by TCP", source="shop/web", service="kube-system/kube-dns",
            target="kube-system/coredns", port=53, every=5, egress=_DNS_OUT[1],
            ingress=_OPEN_IN["kube-system"]),
    Pattern(name="count", source="shop/web", service="monitoring/statsd", target="monitoring/statsd",
            port=8125, protocol=UDP, every=1, size=120, requests=3, pause=0.1, patience=0,
            egress="egress|default|knp:shop/allow-statsd|allow|0", ingress=_OPEN_IN["monitoring"]),
    *(Pattern(name="scrape", source="monitoring/prometheus", target=f"shop/{app}", port=9100, every=2,
              size=20_000, egress=_OPEN_OUT["monitoring"], ingress=_METRICS)
      for app in ("web", "cart", "checkout", "payments", "postgres")),
    Pattern(name="scrape", source="monitoring/prometheus", target="kube-system/coredns", port=9153, every=2,
            size=20_000, egress=_OPEN_OUT["monitoring"], ingress=_OPEN_IN["kube-system"]),
    Pattern(name="ping", source="monitoring/prometheus", target="shop/web", protocol=ICMP, every=2, size=56,
            requests=3, pause=0.2, egress=_OPEN_OUT["monitoring"], ingress=_PING),
    Pattern(name="knock at a closed port", source="monitoring/prometheus", target="kube-system/coredns",
            port=9999, every=5, egress=_OPEN_OUT["monitoring"], ingress=_OPEN_IN["kube-system"]),
    Pattern(name="fetch", source="guest/intruder", target="outside/mirror", port=80, every=3, size=50_000,
            egress=_OPEN_OUT["guest"]),
]  # fmt: skip

_DENIED = [
    Pattern(name="shortcut to the database", source="shop/web", service="shop/postgres",
            target="shop/postgres", port=5432, every=4, egress=_NOTHING_OUT),
    Pattern(name="wrong card network", source="shop/payments", target="outside/card-network-test", port=443,
            every=5, egress=_NOTHING_OUT),
    Pattern(name="report asks redis", source="shop/report", service="shop/redis", target="shop/redis",
            port=6379, every=4, egress=_NOTHING_OUT),
    Pattern(name="scrape redis", source="monitoring/prometheus", target="shop/redis", port=6379, every=4,
            egress=_OPEN_OUT["monitoring"], ingress="ingress|default|np:shop/redis|deny|1"),
    Pattern(name="look at the cart", source="monitoring/prometheus", service="shop/cart", target="shop/cart",
            port=80, every=5, egress=_OPEN_OUT["monitoring"], ingress=_NOTHING_IN),
    Pattern(name="scrape coupons", source="monitoring/prometheus", target="shop/coupons", port=9100, every=5,
            egress=_OPEN_OUT["monitoring"], ingress="ingress|security|gnp:security.quarantine|deny|0"),
    Pattern(name="coupons call home", source="shop/coupons", service="shop/web", target="shop/web", port=80,
            every=4, egress="egress|security|gnp:security.quarantine|deny|0"),
    Pattern(name="coupons resolve", source="shop/coupons", service="kube-system/kube-dns",
            target="kube-system/coredns", port=53, protocol=UDP, every=3, size=60,
            egress="egress|security|gnp:security.quarantine|deny|0"),
    Pattern(name="steal credentials", source="guest/intruder", target=("169.254.169.254", "fd00:ec2::254"),
            port=80, every=5, egress="egress|security|gnp:security.no-metadata|deny|0"),
    *(Pattern(name="scan", source="guest/intruder", target="shop/cart", port=port, every=6,
              egress=_OPEN_OUT["guest"], ingress=_STRANGER)
      for port in (22, 80, 443, 3306, 5432, 8080)),
    Pattern(name="reach for the cart", source="guest/intruder", service="shop/cart", target="shop/cart",
            port=80, every=3, egress=_OPEN_OUT["guest"], ingress=_STRANGER),
    Pattern(name="ping the database", source="guest/intruder", target="shop/postgres", protocol=ICMP, every=5,
            size=56, requests=2, pause=0.2, patience=1, egress=_OPEN_OUT["guest"], ingress=_STRANGER),
    Pattern(name="visitor asks the database", source="guest/visitor", service="shop/postgres",
            target="shop/postgres", port=5432, every=3, egress=_OPEN_OUT["guest"], ingress=_STRANGER),
]  # fmt: skip

PATTERNS = tuple(_ALLOWED + _DENIED)

SUCCESSION = ("shop/report", "guest/visitor")
"""Workloads that take turns at one address."""

OUTSIDE_SERVERS = {"outside/card-network": (443,), "outside/mirror": (80,)}
"""Ports that outside hosts answer at."""

MUTE_PORTS = (8125,)
"""UDP ports whose servers take and never answer."""
