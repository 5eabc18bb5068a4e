"""Who knows a cluster for all others: it writes names into the ledger, and corrects what is there."""

from __future__ import annotations

import logging
import os
import pathlib
import socket
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from cli import corrector, naming, registrar
from model import errors
from runtime import component, metrics, settings
from store import cluster, transport

if TYPE_CHECKING:
    from enrich.kubernetes import client, watching

_log = logging.getLogger(__name__)

_POD_NAMESPACE = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SYNC_SECONDS = 30.0
_HOUR = 3600 * 1_000_000_000


def wait(watched: watching.Watching, seconds: float = _SYNC_SECONDS) -> None:
    """Wait until all objects of a cluster have been listed once, but not for ever: flows come anyway."""
    deadline = time.monotonic() + seconds
    while not watched.synced() and time.monotonic() < deadline:
        time.sleep(0.05)
    if not watched.synced():
        states = {kind: state.value for kind, state in watched.states().items()}
        _log.warning("the cluster is not known yet", extra={"fields": states})


def identity(api: client.Api) -> str:
    """What tells a cluster from all others; empty if it does not say."""
    from enrich.kubernetes import feed

    return feed.identity(api)


def elected(
    group: component.Group, api: client.Api, configured: settings.Enrich, measured: metrics.Metrics
) -> Callable[[], bool]:
    """Take part in the election of the one that writes, unless the settings name no lease.

    Returns:
        Whether this process is the one.
    """
    from enrich.kubernetes import lease

    if not configured.lease:
        return lambda: True
    elector = lease.Elector(api, namespace(configured), configured.lease, holder())
    measured.watch_leader.set_function(elector.is_leader)
    group.start(elector)
    return elector.is_leader


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


def start(
    group: component.Group, named: naming.Naming, ledger: transport.Transport,
    configured: settings.Settings, measured: metrics.Metrics, *, cluster: Callable[[], str] = lambda: "",
    leads: Callable[[], bool] = lambda: True,
) -> registrar.Registrar:  # fmt: skip
    """Start what writes and what corrects.

    Args:
        group: What they live with.
        named: The names of this process.
        ledger: Where to.
        configured: The settings.
        measured: The process's metrics.
        cluster: Which cluster it is.
        leads: Whether this process is the one that does it.

    Raises:
        SetupError: If the ledger is on a cluster that its URL does not name.
        StoreError: If one of its hosts does not answer.
    """
    writing = registrar.Registrar(named, ledger, measured, cluster=cluster, leads=leads)
    if configured.enrich.correct_hours:
        back = int(configured.enrich.correct_hours * _HOUR)
        hosts = _hosts(configured.store.url, ledger)
        places = hosts.local if hosts else ()
        # not before all names are there: what is learned on the way might name flows wrongly
        group.start(corrector.Corrector(
            named, ledger, measured, back=back, places=places, leads=lambda: leads() and writing.writes
        ))  # fmt: skip
    group.start(writing)
    return writing


def _hosts(url: str, ledger: transport.Transport) -> cluster.Cluster | None:
    """All hosts of the cluster that the ledger is on; None where it is on none."""
    if cluster.named(url):
        return cluster.Cluster(url)
    if name := cluster.place(ledger)[0]:
        raise errors.SetupError(f"the ledger is on a cluster: write ?cluster={name} behind its URL")
    return None
