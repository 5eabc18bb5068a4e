"""ClickHouse's HTTP interface in front of a ledger, to be read by app, command line and Grafana.

Here are the sockets and the threads; `store.asking` has what is said, `store.access` who may ask.
"""

from __future__ import annotations

import dataclasses
import errno
import http.server
import io
import re
import socket
import socketserver
import sys
import threading
from typing import Any

from model import errors
from store import access, asking, exceptions, limits, transport

_IDLE_SECONDS = 60
_WAITING_SECONDS = 10
"""For how long a statement waits for its turn before it is refused."""
_CONNECTIONS = 256
"""More are hung up on."""
_HEADERS = 100
"""More are refused."""


class Gateway:
    """Serves a ledger, read-only, at ``http://host:port``.

    Args:
        ledger: What to serve; it stays open when the gateway stops.
        host: Where to listen.
        port: 0 takes a free one.
        admitted: What clients have to show; by default nothing, so that the host must be a loopback address.
        most: What a statement may take.
    """

    def __init__(
        self,
        ledger: transport.Transport,
        host: str = "127.0.0.1",
        port: int = 8123,
        admitted: access.Access | None = None,
        most: limits.Limits | None = None,
    ) -> None:
        self._address = (host, port)
        self._admitted = admitted or access.given(host)
        self._ledger, self._most = ledger, most or limits.Limits()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it has started."""
        return int(self._server.server_address[1]) if self._server else self._address[1]

    @property
    def url(self) -> str:
        """The same as a URL."""
        host = self._address[0]
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen and answer, in threads of its own.

        Raises:
            SetupError: If the port is taken, or the address is not one of this machine's.
        """
        try:
            self._server = _Server(self._address, self._ledger, self._admitted, self._most)
        except OSError as error:
            raise _cannot_listen(*self._address, error) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="gateway", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; a second time does nothing."""
        if self._server and self._thread:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None


def _cannot_listen(host: str, port: int, error: OSError) -> errors.SetupError:
    if error.errno == errno.EADDRINUSE:
        return errors.SetupError(f"gateway: port {port} is taken; choose another with --gateway-port")
    return errors.SetupError(f"gateway: cannot listen on {host}:{port}: {error.strerror or error}")


class _Server(socketserver.ThreadingTCPServer):
    """One thread a connection. Not ``HTTPServer``, which asks the name service who we are at each start."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        ledger: transport.Transport,
        admitted: access.Access,
        most: limits.Limits,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.ledger, self.admitted, self.most = ledger, admitted, most
        self.turns = threading.BoundedSemaphore(most.statements)
        self._connections = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, _Handler)

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002 (the base's)
        """Whether there is room for one more connection."""
        return self._connections.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, from its first request to its last."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that left before its answer came."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # what the base class gave


class _Handler(http.server.BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def parse_request(self) -> bool:
        """Read the first line and the headers; some libraries unbind how many Python takes."""
        read = super().parse_request()
        if read and len(self.headers) > _HEADERS:
            self.send_error(431)
            return False
        return read

    def do_GET(self) -> None:
        """Answer a statement in the URL, or say that we live."""
        self._respond()

    def do_HEAD(self) -> None:
        """The same without the answer itself."""
        self._respond()

    def do_POST(self) -> None:
        """Answer a statement in the URL, in the body, or begun in the one and ended in the other."""
        self._respond()

    def version_string(self) -> str:
        """Who answers, without the version of Python."""
        return "Flowledger"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Write nothing: who asked what is nobody's business on a terminal."""

    def _respond(self) -> None:
        request, self._unread = None, self._has_body()
        try:
            request = asking.read(self.path, self.headers)
            if request.path != "/ping":
                self.server.admitted.check(request.fields, request.headers)
            said = self._turn(dataclasses.replace(request, body=self._body()))
        except errors.StoreError as error:
            said = asking.refusal(error, request)
        self.close_connection |= self._unread
        self._send(said)

    def _turn(self, request: asking.Request) -> asking.Reply:
        if not self.server.turns.acquire(timeout=_WAITING_SECONDS):
            words = f"Too many simultaneous queries. Maximum: {self.server.most.statements}"
            raise exceptions.told(202, "TOO_MANY_SIMULTANEOUS_QUERIES", words)
        try:
            return asking.reply(self.server.ledger, request, self.server.most)
        finally:
            self.server.turns.release()

    def _has_body(self) -> bool:
        """Whether a body follows; while it is unread, it could be taken for the next request."""
        return self.command == "POST" or not {"Content-Length", "Transfer-Encoding"}.isdisjoint(self.headers)

    def _body(self) -> bytes:
        if not self._has_body():
            return b""
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            content = _chunks(self.rfile)
        elif not re.fullmatch(r"[0-9]{1,18}", length):
            raise exceptions.told(381, "HTTP_LENGTH_REQUIRED", "a body needs a Content-Length, or chunks")
        else:
            content = _exactly(self.rfile, _bounded(int(length)))
        self._unread = False
        return content

    def _send(self, said: asking.Reply) -> None:
        self.send_response(said.status)
        for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
            self.send_header(name, value)
        self.send_header("Connection", "close" if self.close_connection else "Keep-Alive")
        if not self.close_connection:
            self.send_header("Keep-Alive", f"timeout={_IDLE_SECONDS}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.body)


def _bounded(length: int) -> int:
    if length > asking.LONGEST_BODY:
        words = f"a body has at most {asking.LONGEST_BODY} bytes"
        raise exceptions.told(229, "QUERY_IS_TOO_LARGE", words)
    return length


def _exactly(stream: io.BufferedIOBase, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise ConnectionError("the client hung up")
    return content


def _chunks(stream: io.BufferedIOBase) -> bytes:
    """A body in chunks: each after its length in hexadecimal digits, the last one empty."""
    content = b""
    while True:
        line = stream.readline(100).partition(b";")[0].strip()
        try:
            length = int(line, 16) if line.isalnum() else -1
        except ValueError:
            length = -1
        if length < 0:
            raise exceptions.told(36, "BAD_ARGUMENTS", "the chunks of the body cannot be read")
        _bounded(len(content) + length)
        content += _exactly(stream, length)
        if length:
            stream.readline(3)
        else:
            _skip_trailers(stream)
            return content


def _skip_trailers(stream: io.BufferedIOBase) -> None:
    """What may follow the last chunk, up to an empty line."""
    for _ in range(100):
        if not stream.readline(1000).strip():
            return
    raise exceptions.told(36, "BAD_ARGUMENTS", "too much follows the last chunk of the body")
