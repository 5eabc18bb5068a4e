"""``watch``: one process, or several of which one writes, that knows a cluster for all collectors."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import uuid

import prometheus_client

from cli import assembly, authority, feeds, naming, output, up
from model import errors
from runtime import component, metrics, settings
from store import location, migrations, transport

_POD_NAMESPACE = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def run(configured: settings.Settings) -> None:
    """Watch the cluster until told to end.

    Raises:
        FlowledgerError: If a part cannot be had.
    """
    from enrich.kubernetes import lease

    if configured.metrics.port:
        assembly.require_free(configured.metrics.host, configured.metrics.port, "--metrics-port")
    ended = up.Ending()
    registry = prometheus_client.CollectorRegistry()
    measured = metrics.Metrics(registry)
    named = naming.Naming(measured)
    screen = output.console(stderr=True)
    with contextlib.ExitStack() as undo:
        ledger = transport.open(configured.store.url, configured.store.retention_days)
        undo.callback(ledger.close)
        where = location.shown(configured.store.url)
        if not ledger.takes_rows:
            raise errors.SetupError(f"{where} is read-only: names are written into clickhouse:// or chdb:///")
        migrations.check(ledger)
        group = component.Group()
        undo.callback(group.stop)
        cluster = feeds.cluster(configured.enrich, measured, ledger)
        named.follow(cluster)
        elector = None
        if configured.enrich.lease:
            elector = lease.Elector(
                cluster.api, namespace(configured.enrich), configured.enrich.lease, holder()
            )
            measured.watch_leader.set_function(elector.is_leader)
            group.start(elector)
        group.start(cluster)

        def leads() -> bool:
            return cluster.watching.synced() and (elector is None or elector.is_leader())

        authority.start(group, named, ledger, configured, measured, leads)
        if configured.metrics.port:
            checks = {
                "kubernetes": lambda: "" if cluster.watching.synced() else "not all kinds are listed yet"
            }
            group.start(assembly.serve_probes(configured.metrics, registry, checks))
            screen.print(f"metrics   http://{configured.metrics.host}:{configured.metrics.port}/metrics")
        screen.print(f"cluster   {cluster.api}")
        screen.print(f"ledger    {where}")
        screen.print("Ctrl-C ends it.")
        ended.wait()


def namespace(configured: settings.Enrich) -> str:
    """Where the lease is."""
    if configured.lease_namespace:
        return configured.lease_namespace
    try:
        return _POD_NAMESPACE.read_text().strip()
    except OSError:
        return "default"


def holder() -> str:
    """A name that no other process has ever had."""
    return f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4()}"
