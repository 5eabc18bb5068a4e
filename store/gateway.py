"""ClickHouse's HTTP interface in front of a ledger, to be read by app, command line and Grafana."""

from __future__ import annotations

import errno
import http.server
import ipaddress
import re
import socket
import socketserver
import sys
import threading
import urllib.parse

from model import errors
from store import parameters, readonly, transport

_LONGEST_BODY = 1 << 20
_IDLE_SECONDS = 60
_DEFAULT_FORMAT = "TabSeparated"


class Gateway:
    """Serves a ledger, read-only, at ``http://host:port``.

    Args:
        ledger: What to serve; it stays open when the gateway stops.
        host: Where to listen. There is no log-in, so that it should be a loopback address.
        port: 0 takes a free one.
    """

    def __init__(self, ledger: transport.Transport, host: str = "127.0.0.1", port: int = 8123) -> None:
        self._ledger = ledger
        self._address = (host, port)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, once it has started."""
        host, port = self._server.server_address[:2] if self._server else self._address
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Listen and answer, in threads of its own.

        Raises:
            SetupError: If the port is taken, or the address is not one of this machine's.
        """
        try:
            self._server = _Server(self._address, self._ledger)
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

    def __init__(self, address: tuple[str, int], ledger: transport.Transport) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.ledger = ledger
        self.loopback = _names_this_machine(f"[{address[0]}]" if ":" in address[0] else address[0])
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that left before its answer came."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # what the base class gave


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request. Log-ins are neither asked for nor looked at."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "Flowledger"
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer a statement in the URL, or ``/ping``."""
        self._respond("")

    def do_POST(self) -> None:
        """Answer a statement in the URL, in the body, or begun in the one and ended in the other."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST_BODY:
            self.close_connection = True  # the body stays unread, and must not be taken for a request
            self._send(413 if length.isdecimal() else 411, f"give a Content-Length up to {_LONGEST_BODY}\n")
            return
        self._respond(self.rfile.read(int(length)).decode(errors="replace"))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Write nothing: who asked what is nobody's business on a terminal."""

    def _respond(self, body: str) -> None:
        target = urllib.parse.urlsplit(self.path)
        fields = dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
        statement = "\n".join(part for part in (fields.get("query", ""), body) if part.strip())
        if self.server.loopback and not _names_this_machine(self.headers.get("Host", "")):
            # A page from elsewhere, whose name was made to point here, reads with its visitor's browser
            self._send(403, "this ledger is served to this machine alone\n")
        elif target.path == "/ping" or (target.path == "/" and not statement):
            self._send(200, "Ok.\n")
        elif target.path != "/":
            self._send(404, f"there is no {target.path} here; statements go to /\n")
        else:
            self._answer(statement, fields)

    def _answer(self, statement: str, fields: dict[str, str]) -> None:
        output = self.headers.get("X-ClickHouse-Format") or fields.get("default_format") or _DEFAULT_FORMAT
        try:
            answer = ask(self.server.ledger, statement, _bound(fields), output)
        except errors.StoreError as error:
            code = re.search(r"Code: (\d+)", str(error))
            self._send(
                400 if code else 500,
                f"{error}\n",
                {"X-ClickHouse-Exception-Code": code[1] if code else "1002"},
            )
        else:
            self._send(200, answer, {"X-ClickHouse-Format": output})

    def _send(self, status: int, body: str | bytes, headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        kind = "text/plain; charset=UTF-8" if isinstance(body, str) else "application/octet-stream"
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _names_this_machine(host: str) -> bool:
    """Whether a Host header is one that a program on this machine writes; some write none."""
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or "localhost"
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def ask(
    ledger: transport.Transport, statement: str, values: parameters.Parameters, output_format: str
) -> bytes:
    """The answer to somebody else's statement, if it only reads the ledger.

    Raises:
        StoreError: If it does more, or ClickHouse refuses it.
    """
    if not re.fullmatch(r"\w+", output_format):
        raise errors.StoreError(f"Code: 73. DB::Exception: Unknown format {output_format}. (UNKNOWN_FORMAT)")
    canonical = ledger.query_bytes(readonly.CANONICAL, {"query": statement}, "TSVRaw")
    try:
        text = canonical.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise errors.StoreError(
            "Code: 62. DB::Exception: the statement is not UTF-8. (SYNTAX_ERROR)"
        ) from error
    outward = ledger.query(readonly.OUTWARD, {}).column("name").to_pylist()
    readonly.check(text, frozenset(str(name).upper() for name in outward))
    return ledger.query_bytes(text, values, output_format)


def _bound(fields: dict[str, str]) -> dict[str, str]:
    return {
        name.removeprefix("param_"): parameters.decode(value)
        for name, value in fields.items()
        if name.startswith("param_")
    }
