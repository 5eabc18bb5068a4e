"""``up`` and ``collect``: run until told to end."""

from __future__ import annotations

import signal
import threading

from cli import assembly, output
from runtime import settings
from store import transport


def ending() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})  # a sandbox blocks them
    return event


def run(
    configured: settings.Settings,
    *,
    with_gateway: bool,
    with_app: bool,
    into: transport.Transport | None = None,
) -> None:
    """Run one node's process; flows go into the ledger of the settings unless told otherwise.

    Raises:
        FlowledgerError: If a part cannot be had.
    """
    if with_gateway:
        assembly.require_ports(configured, with_app=with_app)
    ended = ending()
    with assembly.running(
        configured, [configured.collector], with_gateway=with_gateway, with_app=with_app, into=into
    ):
        screen = output.console(stderr=True)
        if with_app:
            screen.print(f"explorer  http://{configured.app.host}:{configured.app.port}")
        if with_gateway:
            screen.print(f"ledger    http://{configured.gateway.host}:{configured.gateway.port}")
        if configured.metrics.port:
            screen.print(f"metrics   http://{configured.metrics.host}:{configured.metrics.port}/metrics")
        screen.print("Ctrl-C ends it.")
        ended.wait()
