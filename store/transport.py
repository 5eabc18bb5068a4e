"""How to reach a ledger: one interface, whatever is behind it."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

from model import errors
from store import ddl, http, parameters


class Transport(Protocol):
    """A ledger that answers, and perhaps takes, columns. Threads may share one.

    Attributes:
        takes_rows: Whether ``insert`` can work.
    """

    takes_rows: bool

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        """The rows that a statement selects.

        Raises:
            StoreError: If the ledger refuses, with its own words, or cannot be reached.
        """

    def query_bytes(self, sql: str, parameters: parameters.Parameters, output_format: str) -> bytes:
        """The answer in one of ClickHouse's output formats, unless the statement names one itself.

        Raises:
            StoreError: As for `query`.
        """

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table) -> None:
        """Append rows to a table; columns are matched by name.

        Raises:
            StoreError: If the ledger refuses, or if this way to it is read-only.
        """

    def close(self) -> None:
        """Let go of it; a second time does nothing."""


def open(url: str, retention_days: int = ddl.RETENTION_DAYS) -> Transport:  # noqa: A001 (called as transport.open)
    """The ledger at a URL: ``chdb:///folder`` or ``http://host:port``.

    Args:
        url: Where it is.
        retention_days: How long a ledger that is made now keeps flows; 0 for ever.

    Raises:
        SetupError: If the URL names no way that we know.
        StoreError: If there is no ledger that we can use behind it.
    """
    try:
        scheme = urllib.parse.urlsplit(url).scheme
    except ValueError as error:
        raise errors.SetupError(f"the store {url!r} is no URL: {error}") from error
    if scheme not in SCHEMES:
        raise errors.SetupError(
            f"the store {url!r} is not one of {', '.join(SCHEMES)}: write chdb:///folder or http://host:port"
        )
    return SCHEMES[scheme](url, retention_days)


def _embedded(url: str, retention_days: int) -> Transport:
    # Only who owns a folder needs the engine, half a gigabyte of it.
    try:
        from store import chdb
    except ImportError as error:
        raise errors.SetupError(
            "chDB is not installed: pip install 'flowledger[store]', or use http://host:port"
        ) from error
    parts = urllib.parse.urlsplit(url)
    if parts.netloc or not parts.path.strip("/"):
        raise errors.SetupError(
            f"the store {url!r} names no folder: write three slashes, as in chdb:///var/lib/flowledger"
        )
    return chdb.Embedded(pathlib.Path(urllib.parse.unquote(parts.path)), retention_days)


def _remote(url: str, _: int) -> Transport:
    return http.Remote(url)


SCHEMES: dict[str, Callable[[str, int], Transport]] = {"chdb": _embedded, "http": _remote}
"""Scheme of a URL to what opens it."""
