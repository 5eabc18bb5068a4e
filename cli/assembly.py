"""The composition root: builds the parts of a process, in an order that leaves no half-made thing.

First everything is opened that can be refused (manifests, sockets), then the ledger, then all is started.
Rows go from the recorder to the writer, which has them on the disk before it offers them to the ledger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

import prometheus_client

from app import launch
from cli import authority, feeds, naming, recorder, registrar
from cli import ledger as ledgers
from collector import collector
from model import errors
from runtime import component, metrics, probes, settings
from store import access, gateway, limits, location, retention, spool, transport, writer

_APP_SECONDS = 20


class App:
    """The explorer, a process of its own; a component."""

    def __init__(self, ledger_url: str, configured: settings.App) -> None:
        self._command, self._environment = launch.command(ledger_url, configured.host, configured.port)
        self._address = configured.host, configured.port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            SetupError: If it does not come up.
        """
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + _APP_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=1):
                return
            time.sleep(0.1)
        self.stop()
        raise errors.SetupError("the app did not come up; is Streamlit there? pip install 'flowledger[app]'")

    def stop(self) -> None:
        """End it."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def require_free(host: str, port: int, flag: str) -> None:
    """Make sure that a port can be had.

    Raises:
        SetupError: If it is taken; it names the flag that chooses another.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:  # the latter for a number that is no port
            reason = error.strerror if isinstance(error, OSError) else "is not from 0 to 65535"
            raise errors.SetupError(f"port {port} at {host}: {reason}; choose another with {flag}") from error


def require_ports(configured: settings.Settings, *, with_app: bool) -> None:
    """Make sure that all ports of a process can be had, before anything is made.

    Raises:
        SetupError: If one is taken.
    """
    require_free(configured.gateway.host, configured.gateway.port, "--gateway-port")
    if configured.metrics.port:
        require_free(configured.metrics.host, configured.metrics.port, "--metrics-port")
    if with_app:
        require_free(configured.app.host, configured.app.port, "--app-port")


@contextlib.contextmanager
def running(
    configured: settings.Settings,
    nodes: Sequence[settings.Collector],
    *,
    with_gateway: bool,
    with_app: bool,
    into: transport.Transport | None = None,
) -> Iterator[transport.Transport]:
    """Collectors, ledger, gateway, app and probes, all running; ended in reverse.

    Args:
        configured: All settings but the collectors'.
        nodes: One collector's settings each.
        with_gateway: Whether to serve the ledger over HTTP.
        with_app: Whether to start the explorer, which needs the gateway.
        into: Where flows go, without a spool; None for the ledger of the settings.

    Raises:
        FlowledgerError: If a part cannot be had; then nothing runs.
    """
    registry = prometheus_client.CollectorRegistry()
    measured = metrics.Metrics(registry)
    which = "none" if into and not configured.enrich.feed else "store"
    which = feeds.kind(configured.enrich, "kubernetes" if with_gateway else which)
    if which == "store" and into:
        raise errors.SetupError(
            "--feed store reads names from a ledger, and flows that are printed go to none: leave -o out, or "
            "name them with --feed kubernetes or --manifests FOLDER"
        )
    reader, named = feeds.Ledger(), naming.Naming(measured)
    known = feeds.local(which, configured.enrich, reader)
    if known:
        named.follow(known)
    recording = recorder.Recorder(named, measured)
    admitted = gateway_access(configured.gateway) if with_gateway else access.Access()
    with contextlib.ExitStack() as undo:
        collectors = []
        for node in nodes:
            collectors.append(collector.Collector(node, recording.record, named.policies, measured))
            undo.callback(collectors[-1].close)
        ledger = into or transport.open(configured.store.url, configured.store.retention_days)
        undo.callback(ledger.close)
        if not into and nodes and not ledger.takes_rows:
            raise errors.SetupError(
                f"{location.shown(configured.store.url)} is read-only: record into a folder, with --store chdb:///FOLDER"
            )
        reader.open(ledger)
        group = component.Group()
        undo.callback(group.stop)
        checks = {one.node: one.check for one in collectors}
        if into or not nodes:
            recording.open(ledger)
        else:
            # first of all that is started, so that it is the last to stop, when nobody has rows any more
            spooled = writer.Writer(
                ledger, spool.place(configured.store), configured.store, configured.collector.node, measured,
                discarded=recording.discarded,
            )  # fmt: skip
            group.start(spooled)
            recording.open(spooled)
            checks["store"] = spooled.check
            if configured.store.retention_bytes:
                group.start(retention.Keeper(ledger, configured.store.retention_bytes))
        writes_names = with_gateway and bool(nodes) and ledger.takes_rows
        cluster_id, leads = "", _alone
        if which == "kubernetes":
            cluster = feeds.cluster(configured.enrich, measured, ledger if writes_names else None)
            if writes_names:
                cluster_id = authority.identity(cluster.api)
                registrar.require_same(ledger, cluster_id, configured.store.url)
                if not configured.store.url.startswith("chdb:"):  # others may write into a server too
                    leads = authority.elected(group, cluster.api, configured.enrich, measured)
            named.follow(cluster)
            group.start(cluster)
            authority.wait(cluster.watching)
        if writes_names and which in ("kubernetes", "manifests"):
            authority.start(
                group, named, ledger, configured, measured, cluster=lambda: cluster_id, leads=leads
            )
        if with_gateway:
            at = configured.gateway
            served = gateway.Gateway(ledger, at.host, at.port, admitted, _limits(at))
            group.start(served)
            if with_app:
                url = ledgers.url(dataclasses.replace(at, port=served.port))
                group.start(App(url, configured.app))
        if configured.metrics.port:
            group.start(serve_probes(configured.metrics, registry, checks))
        for one in collectors:
            group.start(one)
        yield ledger


def _alone() -> bool:
    """Whether this process is the one that writes, where there is no other."""
    return True


def gateway_access(configured: settings.Gateway) -> access.Access:
    """What clients of the gateway have to show.

    Raises:
        SetupError: If there is no token where one has to be.
    """
    return access.given(configured.host, configured.token_file, configured.token_env)


def _limits(configured: settings.Gateway) -> limits.Limits:
    return limits.Limits(
        statements=configured.statements,
        statement_seconds=configured.statement_seconds,
        statement_bytes=configured.statement_bytes,
        answer_rows=configured.answer_rows,
        answer_bytes=configured.answer_bytes,
    )


def serve_probes(
    configured: settings.Metrics,
    registry: prometheus_client.CollectorRegistry,
    checks: Mapping[str, probes.Check],
) -> probes.Probes:
    """The metrics and the health of a process, for Prometheus and Kubernetes."""
    return probes.Probes(configured.host, configured.port, registry, alive={}, ready=checks)
