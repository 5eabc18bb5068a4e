"""``watch``: one process, or several of which one writes, that knows a cluster for all collectors."""

from __future__ import annotations

import contextlib

import prometheus_client

from cli import assembly, authority, feeds, goldmaneaccess, naming, output, registrar, up
from model import errors
from runtime import component, metrics, settings
from store import location, migrations, transport


def run(configured: settings.Settings) -> None:
    """Watch the cluster until told to end.

    Raises:
        FlowledgerError: If a part cannot be had.
    """
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
        cluster_id = authority.identity(cluster.api)
        registrar.require_same(ledger, cluster_id, configured.store.url)
        named.follow(cluster)
        elected = authority.elected(group, cluster.api, configured.enrich, measured)
        group.start(cluster)

        def leads() -> bool:
            return cluster.watching.synced() and elected()

        writing = authority.start(
            group, named, ledger, configured, measured, cluster=lambda: cluster_id, leads=leads
        )
        checks = {"kubernetes": cluster.watching.check, "ledger": writing.check}
        if configured.goldmane.address:
            checks["goldmane"] = goldmaneaccess.start(
                group, configured.goldmane, cluster.api, ledger, measured, leads=elected
            ).check
        if configured.metrics.port:
            group.start(assembly.serve_probes(configured.metrics, registry, checks))
            screen.print(f"metrics   http://{configured.metrics.host}:{configured.metrics.port}/metrics")
        screen.print(f"cluster   {cluster.api}")
        screen.print(f"ledger    {where}")
        if configured.goldmane.address:
            screen.print(f"goldmane  {configured.goldmane.address}")
        screen.print("Ctrl-C ends it.")
        ended.wait()
