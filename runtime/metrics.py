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
        self.felix_connections = prometheus_client.Counter(
            "flowledger_felix_connections",
            "New connections on nodes whose Felix tells of flows: traced, or why they have no trace of its.",
            ["node", "result"],
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
            "Addresses looked up, by what they stood for; declined where nobody knew yet who had them then.",
            ["result"],
            registry=registry,
        )
        self.corrected_flows = prometheus_client.Counter(
            "flowledger_enrich_corrected_flows",
            "Flows in the ledger that got other names by news that came late.",
            registry=registry,
        )
        self.refused_objects = prometheus_client.Counter(
            "flowledger_enrich_refused_objects",
            "Objects of the cluster that could not be read, or not understood; the log says why.",
            ["kind"],
            registry=registry,
        )

        self._store(registry)
        self._watch(registry)

    def _store(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.spool_bytes = prometheus_client.Gauge(
            "flowledger_store_spool_bytes",
            "Size of the rows on this node's disk that no ledger has yet, or has refused.",
            registry=registry,
        )
        self.spool_files = prometheus_client.Gauge(
            "flowledger_store_spool_files",
            "Batches on this node's disk that no ledger has yet.",
            registry=registry,
        )
        self.spool_oldest_seconds = prometheus_client.Gauge(
            "flowledger_store_spool_oldest_seconds",
            "Age of the oldest rows that no ledger has yet; 0 if there are none.",
            registry=registry,
        )
        self.delivered_rows = prometheus_client.Counter(
            "flowledger_store_delivered_rows",
            "Rows that the ledger has taken.",
            ["table"],
            registry=registry,
        )
        self.discarded_rows = prometheus_client.Counter(
            "flowledger_store_discarded_rows",
            "Rows that were given up: no room in the spool (full), none on the disk (disk), refused by the "
            "ledger (refused), or unreadable (damaged).",
            ["table", "reason"],
            registry=registry,
        )
        self.store_retries = prometheus_client.Counter(
            "flowledger_store_retries",
            "Offers that the ledger did not take, and that will be made again.",
            registry=registry,
        )
        self.store_insert_seconds = prometheus_client.Histogram(
            "flowledger_store_insert_seconds",
            "Time that the ledger needs to take a batch, or to refuse it.",
            registry=registry,
        )

    def _watch(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.watch_events = prometheus_client.Counter(
            "flowledger_watch_events",
            "Events of the Kubernetes API by type; objects of lists are listed, what we had is duplicate.",
            ["kind", "event"],
            registry=registry,
        )
        self.watch_relists = prometheus_client.Counter(
            "flowledger_watch_relists",
            "Times that a kind had to be listed again.",
            ["kind", "reason"],
            registry=registry,
        )
        self.watch_errors = prometheus_client.Counter(
            "flowledger_watch_errors",
            "What the Kubernetes API refused, and what it said that could not be read.",
            ["kind", "reason"],
            registry=registry,
        )
        self.watch_as_of_seconds = prometheus_client.Gauge(
            "flowledger_watch_as_of_seconds",
            "Unix time until which all is known that gives addresses a name; 0 as long as it is not.",
            registry=registry,
        )
        self.watch_written_seconds = prometheus_client.Gauge(
            "flowledger_watch_written_seconds",
            "Unix time until which the ledger was told all that gives addresses a name.",
            registry=registry,
        )
        self.names_as_of_seconds = prometheus_client.Gauge(
            "flowledger_enrich_as_of_seconds",
            "Unix time until which whoever names flows here knows the cluster; 0 as long as it does not.",
            registry=registry,
        )
        self.watch_leader = prometheus_client.Gauge(
            "flowledger_watch_leader",
            "1 while this process is the one that watches for the cluster, else 0.",
            registry=registry,
        )

    def namespace(self, name: str) -> str:
        """The metric label for a namespace: its name, or ``other`` once there are too many."""
        if name not in self._namespaces and len(self._namespaces) >= _NAMESPACES:
            return _OTHER
        self._namespaces.add(name)
        return name
