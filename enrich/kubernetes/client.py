"""The one door to the official Kubernetes client: where the API server is, how to log in, raw JSON both ways.

From the official client come the configuration (service account, kubeconfig, plugins for credentials) and the
pool of connections that it makes of it. Its typed models stay unused: they cost many times what the JSON
costs, and refuse what they do not know. It is imported when a connection is made, as that takes a second and
40 MB.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from enrich.kubernetes import lines
from model import errors

if TYPE_CHECKING:
    import urllib3

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""How long we wait for the next bytes of an answer."""

_ANSWER_SECONDS = 120.0
"""How long a whole answer may take that keeps coming in drops."""

_ANSWER_BYTES = 64 << 20
"""A page of 500 ordinary pods has 5 MB; one object has at most 1.5 MB, which is etcd's own limit."""

_CHUNK = 1 << 16
_CONNECTIONS = 64
"""Connections that are kept: each kind that is watched holds one."""

Object = dict[str, Any]
"""An object as the API server's JSON has it."""

Query = Mapping[str, str]

JSON = "application/json"

_KUBECONFIG = "~/.kube/config"


class Api:
    """A Kubernetes API server. Threads may share it. Nothing is asked before it is used.

    Args:
        configure: Gives the official client's configuration. It is asked again when the server no longer
            knows who we are (401): certificates and tokens in files are renewed.
        connect_seconds: How long we wait for a connection.
        read_seconds: How long we wait for the next bytes of an answer.
    """

    def __init__(
        self,
        configure: Callable[[], Any],
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._configure = configure
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._lock = threading.Lock()
        self._login = _Login(configure())

    def __str__(self) -> str:
        return self._login.host

    def close(self) -> None:
        """Give the connections back that nobody uses."""
        self._login.close()

    def get(
        self, path: str, query: Query | None = None, accept: str = JSON, *, seconds: float | None = None
    ) -> Object:
        """What is at a path.

        Args:
            path: Where.
            query: What exactly.
            accept: In which form.
            seconds: How long to wait for a connection, and for a whole answer; else as long as ever.

        Raises:
            ApiError: If the server refuses, cannot be reached, or its answer is no JSON object.
        """
        with self._answer("GET", path, query or {}, accept, read=seconds, connect=seconds) as response:
            return self._object(response, seconds)

    def put(self, path: str, body: Object, *, seconds: float | None = None) -> Object:
        """Replace the object at a path, if it still has the ``resourceVersion`` that ours has.

        Args:
            path: Of the object.
            body: All of it.
            seconds: As for `get`.

        Raises:
            ApiError: As for `get`; ``conflict`` if it has changed.
        """
        return self._write("PUT", path, body, seconds)

    def post(self, path: str, body: Object, *, seconds: float | None = None) -> Object:
        """Make an object in a collection.

        Raises:
            ApiError: As for `get`; ``conflict`` if there is one of that name.
        """
        return self._write("POST", path, body, seconds)

    @contextlib.contextmanager
    def stream(
        self, path: str, query: Query, accept: str = JSON, *,
        silence: float | None = None, line_bytes: int = lines.LARGEST,
    ) -> Iterator[Stream]:  # fmt: skip
        """What is at a path, line by line, for as long as the server goes on.

        Args:
            path: Where.
            query: What exactly.
            accept: In which form.
            silence: Seconds without a byte after which the connection counts as broken.
            line_bytes: Lines that are longer are skipped.

        Raises:
            ApiError: As for `get`; while the lines are read too, if the connection breaks or is silent.
        """
        with self._answer("GET", path, query, accept, read=silence) as response:
            yield Stream(response, str(self), line_bytes)

    def versions(self, group: str) -> tuple[str, ...]:
        """The versions of an API group that are served, none if there is no such group.

        Raises:
            ApiError: As for `get`.
        """
        found = self._found(f"/apis/{group}").get("versions")
        versions = found if isinstance(found, list) else []
        return tuple(str(version["version"]) for version in versions if "version" in _mapping(version))

    def resources(self, group: str, version: str) -> frozenset[str]:
        """The resources, by plural name, of a version of a group; none if it is not served.

        Raises:
            ApiError: As for `get`.
        """
        found = self._found(f"/apis/{group}/{version}").get("resources")
        resources = found if isinstance(found, list) else []
        return frozenset(str(one["name"]) for one in resources if "name" in _mapping(one))

    def _found(self, path: str) -> Object:
        try:
            return self.get(path)
        except errors.ApiError as error:
            if error.refusal is errors.Refusal.ABSENT:
                return {}
            raise

    def _write(self, method: str, path: str, body: Object, seconds: float | None) -> Object:
        text = json.dumps(body).encode()
        with self._answer(method, path, {}, JSON, body=text, read=seconds, connect=seconds) as response:
            return self._object(response, seconds)

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: str, query: Query, accept: str, *,
        body: bytes | None = None, read: float | None = None, connect: float | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:  # fmt: skip
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        seconds = connect or self._connect_seconds, read or self._read_seconds
        login = self._login
        response = login.send(method, target, accept, body, seconds)
        if response.status == 401:  # unauthorized: what we show may have been renewed
            response.close()
            response = self._again(login).send(method, target, accept, body, seconds)
        try:
            if not 200 <= response.status < 300:
                raise _refused(response, f"{method} {path}")
            yield response
        finally:
            _end(response)

    def _again(self, stale: _Login) -> _Login:
        """A login made anew, once for all threads that had the same."""
        with self._lock:
            if self._login is stale:
                try:
                    self._login = _Login(self._configure())
                    stale.close()
                except errors.SetupError as error:
                    raise _unavailable(str(error)) from error
            return self._login

    def _object(self, response: urllib3.BaseHTTPResponse, seconds: float | None) -> Object:
        longest = seconds or _ANSWER_SECONDS
        parts, size, until = [], 0, time.monotonic() + longest
        while part := _read(response, str(self)):
            parts.append(part)
            size += len(part)
            if size > _ANSWER_BYTES:
                raise errors.ApiError(
                    f"{self} answers with more than {_ANSWER_BYTES >> 20} MiB",
                    refusal=errors.Refusal.TOO_LARGE, status=response.status,
                )  # fmt: skip
            if time.monotonic() > until:
                raise _unavailable(f"{self} has not ended its answer after {longest:.0f} s")
        try:
            found = json.loads(b"".join(parts))
        except (ValueError, RecursionError) as error:
            raise _unavailable(f"{self} answers, but not with JSON: {error}") from error
        if not isinstance(found, dict):
            raise _unavailable(f"{self} answers, but not with an object")
        return found


class Stream:
    """The lines of an answer that goes on; ``lines.TOO_LARGE`` stands for one that was skipped."""

    def __init__(self, response: urllib3.BaseHTTPResponse, server: str, line_bytes: int) -> None:
        self._response = response
        self._server = server
        self._lines = lines.Lines(line_bytes)

    def __iter__(self) -> Iterator[bytes]:
        while part := _read(self._response, self._server):
            yield from self._lines.add(part)

    def shutdown(self) -> None:
        """Have the thread that reads find the connection broken; another thread may call it."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has ended by itself
            self._response.shutdown()


def connect(kubeconfig: str = "", context: str = "", **seconds: float) -> Api:
    """The API server of the cluster that we run in, or of a kubeconfig.

    Args:
        kubeconfig: Path of a kubeconfig. Empty: the service account of the pod that we are; outside of a
            cluster what ``KUBECONFIG`` names, or ``~/.kube/config``.
        context: One of the kubeconfig's contexts; empty for its current one.
        seconds: ``connect_seconds`` and ``read_seconds``, as `Api` takes them.

    Raises:
        SetupError: If the client is not installed, or there is nothing that says where the server is.
    """
    inside = not kubeconfig and not context and "KUBERNETES_SERVICE_HOST" in os.environ
    given = kubeconfig or os.environ.get("KUBECONFIG", "")
    if not inside:
        _require_files(given)

    def configure() -> Any:
        kubernetes = _imported()
        configuration = kubernetes.client.Configuration()
        configuration.connection_pool_maxsize = _CONNECTIONS
        load = kubernetes.config.load_incluster_config if inside else kubernetes.config.load_kube_config
        where = {} if inside else {
            "config_file": kubeconfig or None, "context": context or None, "persist_config": False
        }  # fmt: skip
        try:
            load(client_configuration=configuration, **where)
        except Exception as error:  # its own errors, and those of YAML, files, plugins
            where_from = "the service account" if inside else given or _KUBECONFIG
            reason = " ".join(str(error).split())
            raise errors.SetupError(f"no Kubernetes API by {where_from}: {reason}") from error
        return configuration

    return Api(configure, **seconds)


def _require_files(given: str) -> None:
    """Make sure that a kubeconfig is there; ``KUBECONFIG`` may name several, of which one is enough."""
    paths = [path for path in (given or _KUBECONFIG).split(os.pathsep) if path]
    if any(pathlib.Path(path).expanduser().exists() for path in paths):
        return
    if given:
        raise errors.SetupError(f"no Kubernetes API: there is no file {given}")
    raise errors.SetupError(
        "no Kubernetes API: this is no pod with a service account, and there is no kubeconfig: name one with "
        f"--kubeconfig or KUBECONFIG, or put one at {_KUBECONFIG}"
    )


def _imported() -> Any:
    try:
        import kubernetes
    except ImportError as error:
        raise errors.SetupError(
            "the Kubernetes client is not installed: pip install 'flowledger[kubernetes]'"
        ) from error
    return kubernetes


class _Login:
    """A configuration and the pool of connections that the official client makes of it."""

    def __init__(self, configuration: Any) -> None:
        self.host = str(configuration.host)
        self._configuration = configuration
        self._lock = threading.Lock()  # the client's own renewal of tokens has none
        try:
            self._pool = _imported().client.ApiClient(configuration).rest_client.pool_manager
        except (OSError, ValueError) as error:
            raise errors.SetupError(f"{self.host} cannot be used: {error}") from error

    def send(
        self, method: str, target: str, accept: str, body: bytes | None, seconds: tuple[float, float]
    ) -> urllib3.BaseHTTPResponse:
        """Ask, and wait for the head of an answer.

        Raises:
            ApiError: If none comes.
        """
        import urllib3

        headers = {"Accept": accept, "User-Agent": "flowledger", **self._credentials()}
        if body is not None:
            headers["Content-Type"] = JSON
        try:
            response: urllib3.BaseHTTPResponse = self._pool.request(
                method, self.host + target, body=body, headers=headers, preload_content=False, retries=False,
                redirect=False, timeout=urllib3.Timeout(connect=seconds[0], read=seconds[1]),
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _unavailable(f"{self.host} does not answer: {error}") from error
        return response

    def close(self) -> None:
        """Give the connections back that nobody uses."""
        self._pool.clear()

    def _credentials(self) -> dict[str, str]:
        try:
            with self._lock:
                settings = self._configuration.auth_settings()
        except Exception as error:  # a file that is away for a moment, a plugin that fails
            raise _unavailable(f"no credentials for {self.host}: {error}") from error
        return {one["key"]: one["value"].strip() for one in settings.values() if one["value"]}


def _read(response: urllib3.BaseHTTPResponse, server: str) -> bytes:
    """What has come; empty at the end.

    Raises:
        ApiError: If the connection broke, or was silent for too long.
    """
    import urllib3

    try:
        return response.read1(_CHUNK)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unavailable(f"{server} broke off: {error}") from error


def _end(response: urllib3.BaseHTTPResponse) -> None:
    """Give the connection back where the answer was read to its end, else close it."""
    response.close()
    response.release_conn()


def _unavailable(message: str) -> errors.ApiError:
    return errors.ApiError(message, refusal=errors.Refusal.UNAVAILABLE)


def _refused(response: urllib3.BaseHTTPResponse, asked: str) -> errors.ApiError:
    with contextlib.suppress(errors.ApiError):
        words = _read(response, asked)
        return refusal(response.status, _status(words), asked, response.headers.get("Retry-After", ""))
    return refusal(response.status, {}, asked, response.headers.get("Retry-After", ""))


def _status(words: bytes) -> Object:
    """The Status object that a refusal has as its body, or the body's text as its message."""
    try:
        found = json.loads(words)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"message": words.decode(errors="replace").strip()[:300]}


_REFUSALS = {
    401: errors.Refusal.FORBIDDEN, 403: errors.Refusal.FORBIDDEN, 404: errors.Refusal.ABSENT,
    409: errors.Refusal.CONFLICT, 410: errors.Refusal.GONE, 429: errors.Refusal.BUSY,
}  # fmt: skip
_SERVER_ERRORS = 500


def refusal(status: int, said: Object, asked: str, retry_after: str = "") -> errors.ApiError:
    """The error for a status and the server's own words (an object of kind Status)."""
    details = _mapping(said.get("details"))
    seconds = retry_after or str(details.get("retryAfterSeconds", ""))
    kind = errors.Refusal.UNAVAILABLE if status >= _SERVER_ERRORS else errors.Refusal.REFUSED
    kind = _REFUSALS.get(status, kind)
    if said.get("reason") in ("Expired", "Gone") or _is_ahead(details):
        kind = errors.Refusal.GONE
    return errors.ApiError(
        f"{asked}: {status} {said.get('message') or said.get('reason') or 'without a word'}",
        refusal=kind, status=status, retry_after=float(seconds) if seconds.isdecimal() else 0.0,
    )  # fmt: skip


def _is_ahead(details: Object) -> bool:
    """Whether the server does not know our revision yet: it was restored from a backup, and never may."""
    causes = details.get("causes")
    return isinstance(causes, list) and any(
        _mapping(cause).get("reason") == "ResourceVersionTooLarge" for cause in causes
    )


def _mapping(value: object) -> Object:
    return value if isinstance(value, dict) else {}
