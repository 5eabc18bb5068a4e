"""``up`` and ``collect``: run until told to end."""

from __future__ import annotations

import contextlib
import queue
import signal

from cli import assembly, ledger, output
from runtime import settings
from store import transport


class Ending:
    """Whether we are to end; SIGTERM and SIGINT say so.

    A handler runs in the middle of anything, in the middle of itself too. An event has a lock that it could
    then wait for for ever; this kind of queue is made for it.
    """

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._set = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})  # a sandbox blocks them

    def set(self) -> None:
        """Say so."""
        self._said.put(None)

    def is_set(self) -> bool:
        """Whether it was said."""
        return self.wait(0)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is said, or for some seconds; whether it was."""
        with contextlib.suppress(queue.Empty):
            self._set = self._set or self._said.get(timeout=seconds) is None
        return self._set


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
    ended = Ending()
    with assembly.running(
        configured, [configured.collector], with_gateway=with_gateway, with_app=with_app, into=into
    ):
        screen = output.console(stderr=True)
        if with_app:
            screen.print(f"explorer  http://{configured.app.host}:{configured.app.port}")
        if with_gateway:
            screen.print(f"ledger    {ledger.url(configured.gateway)}")
        if configured.metrics.port:
            screen.print(f"metrics   http://{configured.metrics.host}:{configured.metrics.port}/metrics")
        screen.print("Ctrl-C ends it.")
        ended.wait()
