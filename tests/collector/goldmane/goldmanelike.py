"""A server that stands in for Goldmane: buckets of 15 s, List with pages, Stream, over mutual TLS.

It does what Goldmane's source says (goldmane/pkg/storage, stream): equal keys of a window add up, List adds
up over the windows asked for, pages by time come in any order, a window is streamed once, by `roll`. Time
is what the test says. As a program it serves until it is killed: ``goldmanelike.py FOLDER PORT``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import pathlib
import queue
import random
import threading
from collections.abc import Iterator
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.goldmane import certificates
from collector.goldmane import goldmane_pb2 as _messages

messages: Any = _messages
SERVER_NAME = "goldmane.calico-system.svc"
DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "tigera-operator-signer") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.pem = _pem(
            _builder(self._name, self._name, self._key, -10 * DAY, 10 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def sign(
        self, name: str, *, since: datetime.timedelta = -DAY, until: datetime.timedelta = DAY
    ) -> tuple[bytes, bytes]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(_name(name), self._name, key, since, until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(made), private

    def client(self, **times: datetime.timedelta) -> certificates.Credentials:
        """What a client shows that believes us."""
        certificate, key = self.sign("flowledger", **times)
        return certificates.Credentials(certificate=certificate, key=key, authorities=self.pem)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Any, since: datetime.timedelta, until: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), now + since, now + until
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key(name: str, *, reporter: int = 2, **more: Any) -> Any:
    """A key of flows from a pod ``name`` to the pod ``web``."""
    given = {
        "source_name": name, "source_namespace": "shop", "source_type": 1, "dest_name": "web-6d9f5c-*",
        "dest_namespace": "shop", "dest_type": 1, "dest_port": 80, "proto": "tcp", "reporter": reporter,
        "action": 1,
    }  # fmt: skip
    return messages.FlowKey(**{**given, **more})


@dataclasses.dataclass
class Bucket:
    """What came of each key in one window."""

    flows: dict[bytes, Any] = dataclasses.field(default_factory=dict)


class Goldmane:
    """The server.

    Args:
        authority: Who signs its certificate, and those of its clients.
        port: Where it listens; 0 for any.
        streams: How many it serves at once.
    """

    def __init__(self, authority: Authority, port: int = 0, *, streams: int = 100) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[int, Bucket] = {}
        self._streams: list[queue.Queue[Any]] = []
        self._most = streams
        self._rolled = 0
        self.asked: list[Any] = []
        """Every request of List."""
        self.unlisted = 0
        """How many flows a page leaves out."""
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        handlers = {
            "List": grpc.unary_unary_rpc_method_handler(
                self._list, messages.FlowListRequest.FromString, messages.FlowListResult.SerializeToString
            ),
            "Stream": grpc.unary_stream_rpc_method_handler(
                self._stream, messages.FlowStreamRequest.FromString, messages.FlowResult.SerializeToString
            ),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("goldmane.Flows", handlers),)
        )
        certificate, private = authority.sign(SERVER_NAME)
        shown = grpc.ssl_server_credentials([(private, certificate)], authority.pem, True)
        self.port = self._server.add_secure_port(f"127.0.0.1:{port}", shown)
        self.address = f"127.0.0.1:{self.port}"

    def start(self) -> Goldmane:
        self._server.start()
        return self

    def stop(self) -> None:
        """It is killed: all connections break."""
        self._server.stop(0).wait()
        for stream in self._streams:
            stream.put(None)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """It takes requests and does not answer."""
        with self._lock:
            yield

    @property
    def streaming(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def add(self, start: int, flow_key: Any, packets: int = 1, **more: Any) -> None:
        """A flow of a node comes in; nothing else changes, even where its window was streamed."""
        text = flow_key.SerializeToString(deterministic=True)
        with self._lock:
            flows = self._buckets.setdefault(start, Bucket()).flows
            told = flows.setdefault(
                text,
                messages.Flow(Key=flow_key, start_time=start, end_time=start + 15, **more),
            )
            told.packets_in += packets
            told.bytes_in += 100 * packets
            told.num_connections_started += 1

    def roll(self, start: int) -> None:
        """The window that began then is streamed."""
        with self._lock:
            self._rolled = max(self._rolled, start + 15)
            for stream in self._streams:
                for flow in self._told(start):
                    stream.put(flow)

    def _told(self, start: int) -> list[Any]:
        found = [messages.Flow.FromString(one.SerializeToString())
                 for one in self._buckets.get(start, Bucket()).flows.values()]  # fmt: skip
        random.shuffle(found)
        return found

    def _list(self, request: Any, context: Any) -> Any:
        with self._lock:
            self.asked.append(request)
            since, until = request.start_time_gte, request.start_time_lt
            found: dict[bytes, Any] = {}
            for start in sorted(self._buckets):
                if start >= since and start + 15 <= (until or start + 15):
                    for flow in self._told(start):
                        _merge(found, flow)
        told = list(found.values())
        if request.sort_by:
            told.sort(key=lambda flow: (flow.Key.dest_name, flow.Key.SerializeToString(deterministic=True)))
        answer = messages.FlowListResult()
        answer.meta.totalResults = len(told)
        if request.page_size:
            first = request.page * request.page_size
            told = told[first : first + request.page_size - self.unlisted]
        for flow in told:
            answer.flows.add(id=1, flow=flow)
        return answer

    def _stream(self, request: Any, context: Any) -> Iterator[Any]:
        own: queue.Queue[Any] = queue.Queue()
        with self._lock:
            if len(self._streams) >= self._most:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "max number of streams reached")
            self._streams.append(own)
            past = [start for start in sorted(self._buckets)
                    if request.start_time_gte and request.start_time_gte <= start < self._rolled]  # fmt: skip
            for start in past:
                for flow in self._told(start):
                    own.put(flow)
        context.add_callback(lambda: self._leave(own))
        while (flow := own.get()) is not None:
            yield messages.FlowResult(id=1, flow=flow)

    def _leave(self, stream: queue.Queue[Any]) -> None:
        with self._lock:
            if stream in self._streams:
                self._streams.remove(stream)
        stream.put(None)


def _merge(found: dict[bytes, Any], flow: Any) -> None:
    text = flow.Key.SerializeToString(deterministic=True)
    if text not in found:
        found[text] = flow
        return
    for name in ("packets_in", "bytes_in", "num_connections_started"):
        setattr(found[text], name, getattr(found[text], name) + getattr(flow, name))


def write(folder: pathlib.Path, shown: certificates.Credentials) -> tuple[str, str, str]:
    """Credentials as files: certificate, key, authorities."""
    paths = []
    for name, content in (
        ("tls.crt", shown.certificate),
        ("tls.key", shown.key),
        ("ca.crt", shown.authorities),
    ):
        path = folder / name
        path.write_bytes(content)
        paths.append(str(path))
    return paths[0], paths[1], paths[2]
