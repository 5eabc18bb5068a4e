"""Clients of the local socket: one that behaves like Felix's, and one that speaks HTTP/2 itself.

Felix's client sends an update and waits for its receipt. It keeps what it has sent; when the stream breaks,
it begins another, sends all of that again, in no order, and goes on.
"""

from __future__ import annotations

import pathlib
import queue
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import grpc

METHOD = "/goldmane.FlowCollector/Connect"
DEADLINE = 60.0
_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 50), ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip


def wait_for(claim: Callable[[], object], what: str = "it") -> None:
    """Wait until something is so."""
    until = time.monotonic() + DEADLINE
    while not claim():
        assert time.monotonic() < until, f"waited too long for {what}"
        time.sleep(0.005)


class Stream:
    """One call of ``Connect``: each message sent is answered before the next."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._call = channel.stream_stream(METHOD)(iter(self._messages.get, None), timeout=DEADLINE)

    def send(self, message: bytes) -> None:
        """Send it, and wait for its receipt."""
        self.send_only(message)
        assert next(self._call) == b""

    def send_only(self, message: bytes) -> None:
        """Send it."""
        self._messages.put(message)

    def end(self) -> None:
        """Say that nothing follows, and wait for the server's status."""
        self._messages.put(None)
        assert list(self._call) == []

    def cancel(self) -> None:
        """Cut it off."""
        self._call.cancel()
        self._messages.put(None)


class Felix:
    """A client that loses nothing that it keeps; use as a context."""

    def __init__(self, path: pathlib.Path, seed: int = 0) -> None:
        self._channel = grpc.insecure_channel(f"unix:{path}", options=_OPTIONS)
        self._random = random.Random(seed)
        self._kept: list[bytes] = []
        self._stream: Stream | None = None
        self.streams = 0

    def __enter__(self) -> Felix:
        return self

    def __exit__(self, *_: object) -> None:
        self.break_off()
        self._channel.close()

    def push(self, *messages: bytes) -> None:
        """Send them, each after the receipt of the one before, on as many streams as it takes."""
        for message in messages:
            self._kept.append(message)
            try:
                if self._stream is None:
                    self._reconnect()
                else:
                    self._stream.send(message)
            except (grpc.RpcError, StopIteration):
                self._reconnect()

    def break_off(self) -> None:
        """Cut the stream; the next message begins another."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def _reconnect(self) -> None:
        """Send all that is kept on a new stream, until one takes it."""
        until = time.monotonic() + DEADLINE
        while True:
            self.break_off()
            self._stream = Stream(self._channel)
            self.streams += 1
            self._random.shuffle(self._kept)
            try:
                for message in self._kept:
                    self._stream.send(message)
            except (grpc.RpcError, StopIteration):
                assert time.monotonic() < until, "nobody takes the flows"
                time.sleep(0.02)
            else:
                return


_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8
_ACK, _END_HEADERS = 1, 4
_FRAME = 16_384
_HEADER_FIELDS = (
    (":method", "POST"), (":scheme", "http"), (":path", METHOD), (":authority", "localhost"),
    ("content-type", "application/grpc"), ("te", "trailers"),
)  # fmt: skip


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def grpc_message(message: bytes) -> bytes:
    """A message as gRPC frames it: uncompressed, with its length."""
    return struct.pack(">BI", 0, len(message)) + message


class Raw:
    """One stream in bare HTTP/2 (RFC 9113), which can stop anywhere and costs little; use as a context."""

    def __init__(self, path: pathlib.Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(str(path))
        self._received = b""
        self._windows = {0: 65_535, 1: 65_535}
        self._initial = 65_535
        self.receipts = 0
        fields = b"".join(
            bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
            for name, value in _HEADER_FIELDS
        )  # literal fields without indexing or Huffman code (RFC 7541, 6.2.2)
        self._socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b"")
            + _frame(_HEADERS, _END_HEADERS, 1, fields)
        )  # fmt: skip

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes of the stream as the server's windows allow; it is held back where they do not."""
        at = 0
        while at < len(data):
            room = min(self._windows[0], self._windows[1], _FRAME, len(data) - at)
            if room <= 0:
                self.receive()
                continue
            self._socket.sendall(_frame(_DATA, 0, 1, data[at : at + room]))
            self._windows = {stream: window - room for stream, window in self._windows.items()}
            at += room

    def receive(self) -> None:
        """Take what the server sends next."""
        data = self._socket.recv(1 << 18)
        assert data, "the server has closed the connection"
        self._received += data
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
            payload, self._received = self._received[9 : 9 + size], self._received[9 + size :]
            self._take(kind, flags, stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA and payload:
            self.receipts += len(payload) // 5  # each is a frame of gRPC's without a message in it
            given = struct.pack(">I", len(payload))
            self._socket.sendall(_frame(_WINDOW, 0, 0, given) + _frame(_WINDOW, 0, 1, given))
        elif kind == _WINDOW:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == _PING and not flags & _ACK:
            self._socket.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _SETTINGS and not flags & _ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == 4:  # SETTINGS_INITIAL_WINDOW_SIZE
                    self._windows[1] += value - self._initial
                    self._initial = value
            self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        assert kind != _RESET, f"stream was reset: {payload!r}"

    def flood(self, messages: Iterable[bytes], count: int) -> None:
        """Send messages as fast as they are taken, and wait for all receipts."""
        for chunk in _chunks(messages):
            self.send(chunk)
        wait_for(lambda: self.receive() or self.receipts >= count, "receipts")


def _chunks(messages: Iterable[bytes]) -> Iterator[bytes]:
    """Some dozens of them at a time, as gRPC frames them."""
    chunk: list[bytes] = []
    for message in messages:
        chunk.append(grpc_message(message))
        if len(chunk) == 50:
            yield b"".join(chunk)
            chunk.clear()
    yield b"".join(chunk)


if __name__ == "__main__":
    # felixlike.py PATH COUNT: push so many different updates, and say after each how many were taken.
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "goldmane"))
    import flowmessages

    with Felix(pathlib.Path(sys.argv[1])) as felix:
        for number in range(int(sys.argv[2])):
            felix.push(flowmessages.update(number))
            sys.stdout.write(f"{number + 1}\n")
            sys.stdout.flush()
