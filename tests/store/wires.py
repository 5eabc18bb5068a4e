"""What stands between a client and a server in tests: a relay that breaks, and one that speaks TLS."""

from __future__ import annotations

import contextlib
import pathlib
import selectors
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator


class Relay:
    """Listens on loopback and passes bytes on to a port there, in threads of its own.

    Args:
        port: Where to.
        tls: What it asks of its clients; None for nothing.
        cut_after: Hang up on a client after so many bytes from it.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, cut_after: int | None = None) -> None:
        self._to, self._tls, self.cut_after = port, tls, cut_after
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    @property
    def accepted(self) -> int:
        """How many clients have come."""
        return len(self._threads) - 1

    def close(self) -> None:
        """Stop listening, and wait for the connections to end; their clients have to close them."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self._to)) as server:
                self._pass(client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        seen, waiting = 0, selectors.DefaultSelector()
        with waiting:
            waiting.register(client, selectors.EVENT_READ, server)
            waiting.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in waiting.select():
                    source, target = key.fileobj, key.data
                    data = source.recv(1 << 16)
                    while isinstance(source, ssl.SSLSocket) and source.pending():
                        data += source.recv(1 << 16)
                    seen += len(data) if source is client else 0
                    if not data or (self.cut_after is not None and seen > self.cut_after):
                        return
                    target.sendall(data)


@contextlib.contextmanager
def relay(port: int, tls: ssl.SSLContext | None = None, cut_after: int | None = None) -> Iterator[Relay]:
    """A relay, for as long as the block runs."""
    opened = Relay(port, tls, cut_after)
    try:
        yield opened
    finally:
        opened.close()


class Authority:
    """Signs certificates, in a folder: ``ca.pem``, and a ``.pem`` and ``.key`` for each name."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._run(
            "req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2"
        )

    @property
    def ca(self) -> str:
        """The authority's own certificate."""
        return str(self._folder / "ca.pem")

    def sign(self, name: str, address: str = "") -> tuple[str, str]:
        """Files of a new certificate for a name, and an IP address if given, and of its key."""
        extension = f"subjectAltName=DNS:{name}" + (f",IP:{address}" if address else "")
        (self._folder / "extension").write_text(extension)
        self._run("req", *_KEY, "-keyout", f"{name}.key", "-out", "request", "-subj", f"/CN={name}")
        self._run(
            "x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "extension",
        )  # fmt: skip
        return str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key")

    def server(self, name: str, address: str = "") -> ssl.SSLContext:
        """A server with such a certificate, which wants one from each client."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.load_cert_chain(*self.sign(name, address))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True, timeout=60)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
