"""Where a ClickHouse server is and how to log in, as a URL says it.

    scheme://[user[:password]@]host[:port][,host[:port]…]/[database][?option=value…]

Options: ``secure=1`` (TLS; always so for https), ``ca``, ``cert`` and ``key`` (PEM files: who may have signed
the server's certificate, and our own), ``server_name`` (what that certificate is for, if not the host),
``password_file`` or ``password_env`` (where the password stands), ``connect_timeout`` and ``timeout``
(seconds for reaching a host, and for each sending and receiving), ``cluster`` (the servers' name for theirs;
the ledger is made and migrated on all of it) and ``replicated=1`` (its shards have replicas, through Keeper).
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence

from model import errors

PORTS = {"clickhouse": (9000, 9440), "http": (8123, 8443), "https": (8123, 8443)}
"""ClickHouse's own, by scheme, without TLS and with it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How to know the server, and to be known by it. Empty: the system's authorities; no certificate."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """For a client; a server whose certificate does not fit its name is refused.

        Raises:
            SetupError: If a file is not there or is not what it should be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except OSError as error:  # which an SSLError is
            files = ", ".join(file for file in (self.ca, self.cert, self.key) if file)
            raise errors.SetupError(f"the store's certificates ({files}) cannot be used: {error}") from error
        else:
            return context


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """What a URL says; the password is not shown.

    Attributes:
        hosts: Names and ports, in the order in which to try them.
        database: Empty for the one that the server gives this user.
        tls: None without TLS.
        connect_timeout: Seconds.
        timeout: Seconds.
        cluster: Empty for a ledger on one server.
        replicated: Whether its tables are to be replicated ones.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = dataclasses.field(repr=False)
    database: str
    tls: Tls | None
    connect_timeout: float
    timeout: float
    cluster: str = ""
    replicated: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}://{_joined(self.hosts)}/{self.database}"


def parse(
    url: str, ports: Sequence[int], *, timeout: float = 60.0, environment: Mapping[str, str] = os.environ
) -> Location:
    """Read a URL.

    Args:
        url: The whole of it.
        ports: What is meant where it names none: without TLS, and with it.
        timeout: Seconds to wait for an answer, unless it says so.
        environment: Where the password is looked up that is in a variable.

    Raises:
        SetupError: If it is not such a URL, or the password is not where it says; without the password.
    """
    parts, options = _split(url)
    if unknown := sorted(options.keys() - _OPTIONS):
        raise _wrong(url, f"there is no option {unknown[0]!r}; there are {', '.join(sorted(_OPTIONS))}")
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    secure = parts.scheme == "https" or _is_true(url, options, "secure")
    replicated = _is_true(url, options, "replicated")
    if replicated and not options.get("cluster"):
        raise _wrong(url, "replicated needs cluster")
    return Location(
        scheme=parts.scheme,
        hosts=tuple(_host(url, host, ports[secure]) for host in hosts.split(",")),
        user=urllib.parse.unquote(user) or "default",
        password=_password(url, urllib.parse.unquote(password), options, environment),
        database=_database(url, urllib.parse.unquote(parts.path.strip("/"))),
        tls=_tls(url, secure, options),
        connect_timeout=_seconds(url, options.get("connect_timeout", "10")),
        timeout=_seconds(url, options.get("timeout", str(timeout))),
        cluster=options.get("cluster", ""),
        replicated=replicated,
    )


_OPTIONS = frozenset(
    {
        "ca", "cert", "cluster", "connect_timeout", "key", "password_env", "password_file", "replicated",
        "secure", "server_name", "timeout",
    }
)  # fmt: skip
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def shown(url: str) -> str:
    """A URL, right or wrong, without the password that may be in it."""
    scheme, separator, rest = url.partition("://")
    login, at, where = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{where}"


def moved(url: str, hosts: Sequence[tuple[str, int]], database: str) -> str:
    """The URL of a database on other hosts, reached and logged into in the same way."""
    parts = urllib.parse.urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    path = "/" + urllib.parse.quote(database, safe="") if database else ""
    return parts._replace(netloc=login + at + _joined(hosts), path=path).geturl()


def _joined(hosts: Sequence[tuple[str, int]]) -> str:
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)


def _split(url: str) -> tuple[urllib.parse.SplitResult, dict[str, str]]:
    """A URL and its options, or the refusal of what would be read as something else than was meant."""
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.fragment or ("@" in url and "@" not in parts.netloc):
            raise _wrong(url, "in names and passwords, / ? # @ have to be written as %2F %3F %23 %40")
        pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise _wrong(url, "it is no URL") from error
    return parts, dict(pairs)


def _wrong(url: str, reason: str) -> errors.SetupError:
    return errors.SetupError(f"the store {shown(url)!r} cannot be used: {reason}")


def _is_true(url: str, options: Mapping[str, str], name: str) -> bool:
    word = options.get(name, "0").lower()
    if word not in _TRUTH:
        raise _wrong(url, f"{name} is 1 or 0")
    return _TRUTH[word]


def _seconds(url: str, word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise _wrong(url, "a timeout is a number of seconds above 0")
    return seconds


def _host(url: str, host: str, port: int) -> tuple[str, int]:
    try:
        parts = urllib.parse.urlsplit(f"//{host}")
        name, number = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(url, "where it should name host:port it does not") from error
    if not name:
        raise _wrong(url, f"it names no host: write {urllib.parse.urlsplit(url).scheme}://host:{port}")
    return name, number if number is not None else port


def _database(url: str, path: str) -> str:
    if "/" in path:
        raise _wrong(url, "one database follows the host")
    return path


def _password(url: str, given: str, options: Mapping[str, str], environment: Mapping[str, str]) -> str:
    file, variable = options.get("password_file", ""), options.get("password_env", "")
    if sum(map(bool, (given, file, variable))) > 1:
        raise _wrong(url, "it gives a password in more than one way")
    if variable:
        if variable not in environment:
            raise _wrong(url, f"there is no variable {variable} with its password")
        return environment[variable]
    if file:
        try:
            return pathlib.Path(file).read_text().rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise _wrong(url, f"its password cannot be read from {file}: {reason}") from error
    return given


def _tls(url: str, secure: bool, options: Mapping[str, str]) -> Tls | None:
    names = ("ca", "cert", "key", "server_name")
    if not secure:
        if given := [name for name in names if name in options]:
            raise _wrong(url, f"{given[0]} needs secure=1")
        return None
    if options.get("key") and not options.get("cert"):
        raise _wrong(url, "key needs cert")
    return Tls(**{name: options.get(name, "") for name in names})
