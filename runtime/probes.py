"""/metrics, /healthz and /readyz of a long-running process."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Mapping

import prometheus_client

from model import errors

Check = Callable[[], str]
"""Says what is wrong; empty if nothing is."""


class Probes:
    """A small HTTP server.

    Args:
        host: Address to listen at.
        port: Port to listen at.
        registry: The metrics to show.
        alive: Checks of /healthz: a failing process should be started anew.
        ready: Checks of /readyz: it works, or will in a moment.

    Raises:
        SetupError: If the port is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: prometheus_client.CollectorRegistry,
        *,
        alive: Mapping[str, Check],
        ready: Mapping[str, Check],
    ) -> None:
        pages = {
            "/metrics": lambda: (200, prometheus_client.generate_latest(registry)),
            "/healthz": lambda: _checked(alive),
            "/readyz": lambda: _checked({**alive, **ready}),
        }
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), _handler(pages))
        except OSError as error:
            raise errors.SetupError(
                f"metrics port {host}:{port}: {error.strerror}; choose another with --metrics-port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="probes", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _checked(checks: Mapping[str, Check]) -> tuple[int, bytes]:
    wrong = [f"{name}: {said}" for name, check in checks.items() if (said := check())]
    return (503, "\n".join(wrong).encode() + b"\n") if wrong else (200, b"ok\n")


def _handler(
    pages: Mapping[str, Callable[[], tuple[int, bytes]]],
) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            code, body = page() if page else (404, b"there are /metrics, /healthz and /readyz\n")
            self.send_response(code)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing: probes come every few seconds."""

    return Handler
