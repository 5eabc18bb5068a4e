"""The one door to gRPC: Goldmane's ``Flows.List`` and ``Flows.Stream`` over mutual TLS.

What Goldmane does is known from its source (Calico 3.30 to 3.34; goldmane/pkg). A window is 15 s long and
begins at a multiple of them (storage/utils.go). ``List`` adds up over the windows that begin and end in
what is asked for, so that we ask for one at a time. Pages by time are in another order with each call
(storage/ring_index.go), pages by the destination's name are not (storage/index.go); so a window is asked
for in one piece, and in pages by name only where it is larger than we take.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

from collector.goldmane import certificates, handshake
from model import errors

WINDOW_SECONDS = 15
SERVER_NAME = "goldmane.calico-system.svc"

_LIST_SECONDS = 30.0
_LARGEST = 64 << 20
_PAGE = 10_000
_TRIES = 3
"""How often a window is paged through anew that changed meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """The flows of one window.

    Attributes:
        start: When it began, in seconds since 1970.
        results: ``FlowResult`` messages.
        missing: How many flows Goldmane counted and did not tell of.
    """

    start: int
    results: list[Any]
    missing: int = 0


def require() -> None:
    """Make sure that gRPC is there.

    Raises:
        SetupError: If it is not.
    """
    _grpc()


class Client:
    """Goldmane at an address.

    Args:
        address: ``host:port``.
        credentials: What to show; asked at each connect, as certificates are renewed.
        server_name: The name that Goldmane's certificate has to be for, whatever the address is.
        list_seconds: How long an answer may take.
        largest: How many bytes an answer may have.
        page: How many flows a page has, where a window is larger than that.

    Raises:
        SetupError: If gRPC is not installed, or the address is none.
    """

    def __init__(
        self, address: str, credentials: Callable[[], certificates.Credentials],
        server_name: str = SERVER_NAME, *, list_seconds: float = _LIST_SECONDS, largest: int = _LARGEST,
        page: int = _PAGE,
    ) -> None:  # fmt: skip
        self._grpc = _grpc()
        try:
            host, port = handshake.split(address)
        except ValueError as error:
            raise errors.SetupError(f"Goldmane's address {address!r}: {error}") from error
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._credentials, self._server_name = credentials, server_name or SERVER_NAME
        self._list_seconds, self._largest, self._page = list_seconds, largest, page

    def connect(self) -> Connection:
        """A connection with the credentials as they are now; nothing is sent before it is used.

        Raises:
            SetupError: If there are none.
        """
        shown = self._credentials()
        made = self._grpc.ssl_channel_credentials(
            shown.authorities, shown.key or None, shown.certificate or None
        )
        channel = self._grpc.secure_channel(self.address, made, [
            ("grpc.ssl_target_name_override", self._server_name),
            ("grpc.max_receive_message_length", self._largest),
            ("grpc.use_local_subchannel_pool", 1),  # a new connection is one, with the new certificate
            ("grpc.enable_http_proxy", 0),
        ])  # fmt: skip

        def say(error: Any, asked: str) -> errors.GoldmaneError:
            return self._refused(error, asked, shown)

        return Connection(channel, say, self._list_seconds, self._page)

    def _refused(self, error: Any, asked: str, shown: certificates.Credentials) -> errors.GoldmaneError:
        """The error for what gRPC says."""
        codes, where = self._grpc.StatusCode, f"Goldmane at {self.address}"
        details = " ".join((error.details() or "").split())
        code = error.code()
        if code is codes.UNAVAILABLE:
            because = handshake.why_not(self.address, self._server_name, shown) or details
            return errors.GoldmaneError(f"{where}: {because}")
        if code is codes.UNIMPLEMENTED:
            return errors.GoldmaneError(
                f"{where} knows no {asked}: is it a Goldmane of Calico 3.30 or later, and its own port?"
            )
        if code is codes.DEADLINE_EXCEEDED:
            return errors.GoldmaneError(f"{where} has not answered after {self._list_seconds:g} s")
        if code in (codes.UNAUTHENTICATED, codes.PERMISSION_DENIED):
            return errors.GoldmaneError(f"{where} does not let us in: {details}")
        full = code is codes.RESOURCE_EXHAUSTED
        return errors.GoldmaneError(f"{where}: {asked}: {details or code.name.lower()}", full=full)


class Connection:
    """One connection; to be closed, and made anew after an error. Threads may share it."""

    def __init__(
        self, channel: Any, say: Callable[[Any, str], errors.GoldmaneError], list_seconds: float, page: int
    ) -> None:
        from collector.goldmane import goldmane_pb2

        self._channel, self._say = channel, say
        messages: Any = goldmane_pb2  # its classes are made when it is imported
        self._messages, self._error = messages, _grpc().RpcError
        self._list_seconds, self._page = list_seconds, page
        self._list = channel.unary_unary(
            "/goldmane.Flows/List", messages.FlowListRequest.SerializeToString,
            messages.FlowListResult.FromString,
        )  # fmt: skip
        self._stream = channel.unary_stream(
            "/goldmane.Flows/Stream", messages.FlowStreamRequest.SerializeToString,
            messages.FlowResult.FromString,
        )  # fmt: skip

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all that goes on; streams end in the threads that read them."""
        self._channel.close()

    def list(self, since: int, until: int) -> Iterator[Listed]:
        """The windows from one moment to another, oldest first; both are beginnings of windows.

        Args:
            since: Seconds since 1970.
            until: Seconds since 1970.

        Raises:
            GoldmaneError: If it does not answer.
        """
        for start in range(since, until, WINDOW_SECONDS):
            yield self.window(start)

    def window(self, start: int) -> Listed:
        """The flows of the window that began then, as they are by now.

        Raises:
            GoldmaneError: If it does not answer.
        """
        try:
            return Listed(start, list(self._answer(start).flows))
        except errors.GoldmaneError as error:
            if not error.full:
                raise
        size = self._page
        while True:
            try:
                return self._paged(start, size)
            except errors.GoldmaneError as error:
                if not error.full or size == 1:
                    raise
            size = max(size // 10, 1)

    def stream(self, since: int) -> Stream:
        """What Goldmane tells by itself, from the window that began then on.

        Args:
            since: Seconds since 1970; it must still hold the window, or tells of new ones alone.
        """
        request = self._messages.FlowStreamRequest(start_time_gte=since, aggregation_interval=WINDOW_SECONDS)
        return Stream(self._stream(request), lambda error: self._say(error, "Flows.Stream"), self._error)

    def _paged(self, start: int, size: int) -> Listed:
        """A window page by page, again if that has not told of all that Goldmane counts."""
        found: dict[bytes, Any] = {}
        total = 0
        for _ in range(_TRIES):
            page, total = 0, 0
            while page == 0 or page * size < total:
                answer = self._answer(start, page, size)
                total = max(total, answer.meta.totalResults)
                found |= {one.flow.Key.SerializeToString(deterministic=True): one for one in answer.flows}
                page += 1
            if len(found) >= total:
                break
        return Listed(start, list(found.values()), max(total - len(found), 0))

    def _answer(self, start: int, page: int = 0, size: int = 0) -> Any:
        request = self._messages.FlowListRequest(
            start_time_gte=start, start_time_lt=start + WINDOW_SECONDS, aggregation_interval=WINDOW_SECONDS
        )
        if size:
            request.page, request.page_size = page, size
            request.sort_by.add(sort_by=self._messages.DestName)
        try:
            return self._list(request, timeout=self._list_seconds)
        except self._error as error:
            raise self._say(error, "Flows.List") from error


class Stream:
    """Flows as they come, until it is cancelled or breaks."""

    def __init__(
        self, call: Any, say: Callable[[Any], errors.GoldmaneError], error: type[BaseException]
    ) -> None:
        self._call, self._say, self._error = call, say, error
        self._cancelled = False

    def __iter__(self) -> Iterator[Any]:
        """``FlowResult`` messages.

        Raises:
            GoldmaneError: If Goldmane ends it, or the connection breaks.
        """
        try:
            yield from self._call
        except self._error as error:
            if self._cancelled:
                return
            raise self._say(error) from error
        raise errors.GoldmaneError("Goldmane has ended its stream")

    def cancel(self) -> None:
        """End it; another thread may call this."""
        self._cancelled = True
        self._call.cancel()


def _grpc() -> Any:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it has to say about handshakes we say better
    try:
        import google.protobuf  # noqa: F401  # what the messages need
        import grpc
    except ImportError as error:
        raise errors.SetupError(
            "gRPC is not installed, which Goldmane speaks: pip install 'flowledger[goldmane]'"
        ) from error
    return grpc
