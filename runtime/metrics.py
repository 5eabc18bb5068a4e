"""The metrics of a process, in a registry that is handed in: nothing is registered at import."""

from __future__ import annotations

import prometheus_client

Counter = prometheus_client.Counter

_OTHER = "other"
_NAMESPACES = 200
"""Namespaces with a series of their own; all further ones share the series ``other``."""


class Metrics:
    """Every metric that a Flowledger process has."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.registry = registry
        self._namespaces: set[str] = set()
        self.flows = prometheus_client.Counter(
            "flowledger_collector_flows",
            "Flow rows that were recorded.",
            ["node", "verdict"],
            registry=registry,
        )
        self.denied = prometheus_client.Counter(
            "flowledger_denied_connections",
            "Attempts to connect that a policy denied, by the namespace of the workload that it protects "
            "(ingress) or restricts (egress).",
            ["namespace", "direction"],
            registry=registry,
        )
        self.lost = prometheus_client.Counter(
            "flowledger_collector_lost_events",
            "Events that the kernel threw away because our socket was full.",
            ["node", "source"],
            registry=registry,
        )
        self.discarded = prometheus_client.Counter(
            "flowledger_collector_discarded_events",
            "Events that we threw away because they came faster than they were read.",
            ["node", "source"],
            registry=registry,
        )
        self.incomplete = prometheus_client.Counter(
            "flowledger_collector_incomplete_connections",
            "Connections that were seen alive and vanished without a DESTROY: their last words are missing.",
            ["node", "source"],
            registry=registry,
        )
        self.unreadable = prometheus_client.Counter(
            "flowledger_collector_decode_errors",
            "Messages that could not be read.",
            ["node", "source"],
            registry=registry,
        )
        self.unmatched = prometheus_client.Counter(
            "flowledger_collector_unmatched_attempts",
            "Allowed attempts whose connection never showed.",
            ["node"],
            registry=registry,
        )
        self.interval_errors = prometheus_client.Counter(
            "flowledger_collector_failed_intervals",
            "Intervals in which the collector failed; the log says why.",
            ["node"],
            registry=registry,
        )
        self.living = prometheus_client.Gauge(
            "flowledger_collector_living_connections",
            "Connections being followed.",
            ["node"],
            registry=registry,
        )
        self.interval_seconds = prometheus_client.Histogram(
            "flowledger_collector_interval_seconds",
            "Time to read, join, enrich and store one interval.",
            ["node"],
            registry=registry,
        )
        self.lookups = prometheus_client.Counter(
            "flowledger_enrich_lookups",
            "Addresses looked up, by what they stood for.",
            ["result"],
            registry=registry,
        )

    def namespace(self, name: str) -> str:
        """The metric label for a namespace: its name, or ``other`` once there are too many."""
        if name not in self._namespaces and len(self._namespaces) >= _NAMESPACES:
            return _OTHER
        self._namespaces.add(name)
        return name
