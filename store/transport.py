"""How to reach a ledger: one interface, whatever is behind it."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

from model import errors
from store import http, location, parameters


class Transport(Protocol):
    """A ledger that answers, and perhaps takes, columns. Threads may share one."""

    @property
    def takes_rows(self) -> bool:
        """Whether ``insert`` can work."""

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        """The rows that a statement selects.

        Raises:
            StoreError: If the ledger refuses, with its own words, or cannot be reached.
        """

    def query_bytes(
        self,
        sql: str,
        parameters: parameters.Parameters,
        output_format: str,
        settings: parameters.Parameters = parameters.NONE,
    ) -> bytes:
        """The answer in one of ClickHouse's output formats, unless the statement names one itself.

        Args:
            sql: The statement.
            parameters: Its values.
            output_format: The format.
            settings: ClickHouse's settings for this statement alone.

        Raises:
            StoreError: As for `query`.
        """

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table, *, token: str = "") -> None:
        """Append rows to a table, all or none of them; columns are matched by name.

        Args:
            table: One of `ddl.TABLES`.
            batch: Its columns, with the types that stand there.
            token: Names these rows. Whoever offers them again with the same token, because the first answer
                was lost, adds nothing, in rollups either, for as long as the tables remember tokens; rows
                with another token, or with none, are always added.

        Raises:
            StoreError: If the ledger refuses, or if this way to it is read-only. It is ``temporary`` where
                the same rows may be taken later; whether they were taken this time is not known then.
        """

    def command(self, sql: str, parameters: parameters.Parameters) -> None:
        """Run a statement that changes the ledger, such as one of its schema.

        Raises:
            StoreError: As for `insert`.
        """

    def close(self) -> None:
        """Let go of it; a second time does nothing."""


def open(url: str, retention_days: int | None = None) -> Transport:  # noqa: A001 (called as transport.open)
    """The ledger at a URL: ``chdb:///folder``, ``clickhouse://host:port/database`` or ``http://host:port``.

    A server is not asked before it is used, so that it may be away; `store.location` has its options.

    Args:
        url: Where it is.
        retention_days: How long a ledger that is made now keeps flows; 0 for ever. None for whoever only
            asks: a ledger in a folder has to be there then, with today's schema.

    Raises:
        SetupError: If the URL names no way that we know, or is wrong, or a part of ours is not installed.
        StoreError: If there is no ledger that we can use behind it.
    """
    try:
        scheme = urllib.parse.urlsplit(url).scheme
    except ValueError as error:
        raise errors.SetupError(f"the store {location.shown(url)!r} is no URL: {error}") from error
    if scheme not in SCHEMES:
        raise errors.SetupError(
            f"the store {location.shown(url)!r} is not one of {', '.join(SCHEMES)}: "
            "write chdb:///folder, clickhouse://host:9000/database or http://host:8123"
        )
    return SCHEMES[scheme](url, retention_days)


def _embedded(url: str, retention_days: int | None) -> Transport:
    # Only who owns a folder needs the engine, half a gigabyte of it.
    try:
        from store import chdb
    except ImportError as error:
        raise errors.SetupError(
            "chDB is not installed: pip install 'flowledger[store]', or use clickhouse:// or http://"
        ) from error
    return chdb.Embedded(folder(url), retention_days)


def folder(url: str) -> pathlib.Path:
    """The folder that a URL of an embedded ledger names.

    Raises:
        SetupError: If it names none.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.netloc or not parts.path.strip("/") or parts.query:
        raise errors.SetupError(
            f"the store {location.shown(url)!r} names no folder: "
            "write three slashes and nothing behind it, as in chdb:///var/lib/flowledger"
        )
    return pathlib.Path(urllib.parse.unquote(parts.path))


def _native(url: str, _: int | None) -> Transport:
    try:
        from store import native
    except ImportError as error:
        raise errors.SetupError(
            "clickhouse-driver is not installed: pip install 'flowledger[clickhouse]', or use http://"
        ) from error
    return native.Server(url)


def _remote(url: str, _: int | None) -> Transport:
    return http.Remote(url)


SCHEMES: dict[str, Callable[[str, int | None], Transport]] = {
    "chdb": _embedded,
    "clickhouse": _native,
    "http": _remote,
    "https": _remote,
}
"""Scheme of a URL to what opens it."""
