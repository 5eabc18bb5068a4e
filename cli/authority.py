"""Who knows a cluster for all others: it writes names into the ledger, and corrects what is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cli import corrector, naming, registrar
from model import errors
from runtime import component, metrics, settings
from store import cluster, transport

if TYPE_CHECKING:
    from enrich.kubernetes import watching

_log = logging.getLogger(__name__)

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


def start(
    group: component.Group, named: naming.Naming, ledger: transport.Transport,
    configured: settings.Settings, measured: metrics.Metrics, leads: Callable[[], bool] = lambda: True,
) -> None:  # fmt: skip
    """Start what writes and what corrects.

    Args:
        group: What they live with.
        named: The names of this process.
        ledger: Where to.
        configured: The settings.
        measured: The process's metrics.
        leads: Whether this process is the one that does it.

    Raises:
        SetupError: If the ledger is on a cluster that its URL does not name.
        StoreError: If one of its hosts does not answer.
    """
    if configured.enrich.correct_hours:
        back = int(configured.enrich.correct_hours * _HOUR)
        hosts = _hosts(configured.store.url, ledger)
        places = hosts.local if hosts else ()
        group.start(corrector.Corrector(named, ledger, measured, back=back, places=places, leads=leads))
    group.start(registrar.Registrar(named, ledger, leads=leads))


def _hosts(url: str, ledger: transport.Transport) -> cluster.Cluster | None:
    """All hosts of the cluster that the ledger is on; None where it is on none."""
    if cluster.named(url):
        return cluster.Cluster(url)
    if name := cluster.place(ledger)[0]:
        raise errors.SetupError(f"the ledger is on a cluster: write ?cluster={name} behind its URL")
    return None
