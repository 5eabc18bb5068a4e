"""The door that Felix knocks at: a unix socket with Calico's ``goldmane.FlowCollector`` behind it.

Felix looks each ten seconds whether there is such a socket, and connects without TLS
(felix/collector/local). Who has it, gets the flows: ``calico-node flows`` removes whatever is there and
binds its own, and removes that again at its end (node/pkg/flowlogs, felix/collector/local/server.go). So we
look each second whether it is still ours.

The socket is bound under a name of its own, made safe, and only then linked to where Felix looks: nobody
connects before, and to take the place back is one more link, which no open stream notices. gRPC removes
what it has bound when it ends, so it never removes a rival's.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import secrets
import socket
import stat
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from model import errors
from runtime import logs

SERVICE = "goldmane.FlowCollector"
METHOD = "Connect"
LARGEST = 4 << 20
"""Bytes of a message beyond which gRPC ends the stream with RESOURCE_EXHAUSTED: a flow has hundreds."""

_STREAMS = 16
"""At once; one more is refused with RESOURCE_EXHAUSTED. A node has one Felix, with one stream."""
_WATCH_SECONDS = 1.0
_CUT_SECONDS = 0.1
"""When a stream is cut off, gRPC may first say that no more comes: so long until it says the rest."""
_RECEIPT = b""
"""A serialized FlowReceipt, which has no fields."""

_limited = logs.Limited(__name__)

Take = Callable[[bytes, int], None]
_Inode = tuple[int, int]


class Server:
    """One listener, bound from ``start`` to ``stop``, and again whenever the place is free.

    Args:
        path: The socket's path.
        take: Is called with each message and the number of its stream, from 1, by the stream's own thread.
            What follows on the stream waits for it, in Felix's queue.
        prepare: Is called before the socket can be found, each time.

    Attributes:
        error: Why Felix cannot reach us at the moment; empty if it can.
        broken: Streams that were cut off: their client has gone away or cancelled them, or has sent more than
            gRPC takes at once.

    Raises:
        SetupError: If gRPC is not installed.
    """

    def __init__(self, path: pathlib.Path, take: Take, prepare: Callable[[], None] = lambda: None) -> None:
        self._grpc = _imported()
        self._path, self._take, self._prepare = path, take, prepare
        self._listening: Any = None
        self._own = path
        self._ours: _Inode | None = None
        self._streams: set[int] = set()
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="felix socket", daemon=True)
        self.error = ""
        self.broken = 0

    @property
    def connected(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def start(self) -> None:
        """Listen, if that is possible now, and whenever it becomes possible."""
        self.tend()
        self._thread.start()

    def stop(self) -> None:
        """End all streams and remove the socket, if it is ours; once more does nothing."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(OSError):
            if self._ours is not None and _inode(self._path) == self._ours:
                self._path.unlink()
        self._close()

    def tend(self) -> None:
        """Make sure that the path leads to us; else say in ``error`` what is in the way."""
        try:
            self._tend()
            self.error = ""
        except (OSError, RuntimeError, errors.SetupError) as error:
            told = isinstance(error, errors.SetupError)
            self.error = str(error) if told else f"Felix's socket {self._path} cannot be made: {error}"
            _limited.warning("no flows from Felix", source=str(self._path), error=self.error)

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_SECONDS):
            self.tend()

    def _tend(self) -> None:
        there = _inode(self._path)
        if there is not None:
            if there == self._ours:
                return
            _make_room(self._path)
        if self._ours is None or _inode(self._own) != self._ours:
            self._close()
            self._open()
        self._prepare()
        os.link(self._own, self._path)

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        _sweep(self._path)
        self._own = self._path.with_name(f"{_private(self._path)}{secrets.token_hex(4)}")
        listening = self._grpc.server(
            _Threads(),
            handlers=[_Handler(self._grpc, self._serve)],
            options=[("grpc.max_receive_message_length", LARGEST), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=_STREAMS,
        )
        listening.add_insecure_port(f"unix:{urllib.parse.quote(str(self._own.absolute()))}")
        self._own.chmod(0o600)
        self._ours = _inode(self._own)
        listening.start()
        self._listening = listening

    def _close(self) -> None:
        if self._listening is not None:
            self._listening.stop(None)
            self._listening = self._ours = None
            with contextlib.suppress(OSError):
                self._own.unlink()

    def _serve(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Answer each message of a stream with a receipt, which Felix waits for before it sends the next."""
        number, whole, over = next(self._numbers), False, threading.Event()
        if not context.add_callback(over.set):
            over.set()
        self._streams.add(number)
        try:
            for message in messages:
                self._take(message, number)
                yield _RECEIPT
            whole = not over.wait(_CUT_SECONDS)
        finally:
            self.broken += not whole and not self._stopping.is_set()
            self._streams.discard(number)


class _Handler:
    """Calico's method, with messages as bytes (a ``grpc.GenericRpcHandler``)."""

    def __init__(self, grpc: Any, serve: Callable[[Iterator[bytes], object], Iterator[bytes]]) -> None:
        self._method = grpc.stream_stream_rpc_method_handler(serve)

    def service(self, details: Any) -> Any:
        """The handler of a call; None for a method that there is none for."""
        return self._method if details.method == f"/{SERVICE}/{METHOD}" else None


class _Threads(concurrent.futures.Executor):
    """A thread for each stream, none of which a process has to wait for at its end."""

    def submit(self, call: Any, /, *args: Any, **keywords: Any) -> concurrent.futures.Future[Any]:
        """Run it; there are never more than ``_STREAMS``."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(call(*args, **keywords))
            except BaseException as error:  # whoever asked for the result gets it
                future.set_exception(error)

        threading.Thread(target=run, name="felix stream", daemon=True).start()
        return future


def _imported() -> Any:
    try:
        import grpc
    except ImportError as error:
        raise errors.SetupError("gRPC is not installed: pip install 'flowledger[goldmane]'") from error
    return grpc


def _inode(path: pathlib.Path) -> _Inode | None:
    """What is at a path, itself and not what it may link to; None if nothing is."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_room(path: pathlib.Path) -> None:
    """Remove a socket that nobody listens at.

    Raises:
        SetupError: If somebody does, or it is no socket.
    """
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise errors.SetupError(f"{path} is no socket: move it away, so that Felix can reach us there")
    if _answers(path):
        raise errors.SetupError(
            f"another process listens at {path} (`calico-node flows`, or another collector): a Felix that "
            "connects now sends its flows there"
        )
    path.unlink()


def _answers(path: pathlib.Path) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:  # it has so many to take that we would have to wait
            return True
    return True


def _private(path: pathlib.Path) -> str:
    return f".{path.name}."


def _sweep(path: pathlib.Path) -> None:
    """Remove what those of us have left that were killed."""
    for left in path.parent.glob(f"{_private(path)}*"):
        if stat.S_ISSOCK(left.lstat().st_mode) and not _answers(left):
            left.unlink(missing_ok=True)
