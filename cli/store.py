"""``store``: the ledger itself: made, brought up to date, and looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from cli import output
from model import errors
from runtime import settings
from store import cluster, ddl, location, migrations, spool, status, tokens, transport

_LARGEST = 12
"""How many columns a terminal shows; programs get all."""


def make(configured: settings.Store, form: str) -> None:
    """Make the ledger; one that is there stays as it is.

    Raises:
        FlowledgerError: If it cannot be made, or is there with another schema.
    """
    with _opened(configured) as ledger:
        if found := ledger.version():
            migrations.require_current(found)
        ledger.bring_up_to_date(ddl.ages(configured.retention_days))
    _say(configured.url, found, form)


def migrate(configured: settings.Store, form: str) -> None:
    """Bring the ledger's schema up to date, with its rows.

    Raises:
        FlowledgerError: If there is no ledger, or one that we do not know.
    """
    with _opened(configured) as ledger:
        if not (found := ledger.version()):
            migrations.require_current(found)
        ledger.bring_up_to_date(ddl.ages(configured.retention_days))
    _say(configured.url, found, form)


def show(url: str, configured: settings.Store, form: str) -> None:
    """Print what the ledger holds, and what waits for it on this machine, if anything does.

    Raises:
        FlowledgerError: If it does not answer, or its schema is not ours.
    """
    waiting = _spooled(spool.place(configured))
    if form == "table" and waiting:  # first, as it matters most where no ledger answers
        _show_spool(waiting, configured.spool_bytes)
    with contextlib.closing(transport.open(url)) as ledger:
        found = status.read(ledger, configured.retention_bytes)
    if form == "json":
        sys.stdout.write(json.dumps(_plain(found) | {"spool": waiting}, indent=2) + "\n")
    else:
        _show(url, found, configured.retention_bytes)


def mend(data: pathlib.Path) -> None:
    """Take tokens without rows out of the folder of a server that does not run (`store.tokens`).

    Raises:
        FlowledgerError: If it is no server's folder, a server runs there, or a file is out of reach.
    """
    try:
        present = {entry.name for entry in data.iterdir()}
        if present and not present & {"store", "metadata", "status"}:
            raise errors.SetupError(f"{data} is no ClickHouse server's folder: name the one in its `path`")
        with _unused(data):
            for log in tokens.mend(data):
                sys.stdout.write(f"{log}: forgot a token whose rows a kill had kept out\n")
    except OSError as error:
        raise errors.SetupError(f"{error.filename or data} cannot be mended: {error.strerror}") from error


@contextlib.contextmanager
def _unused(data: pathlib.Path) -> Iterator[None]:
    """A server's folder which no server uses meanwhile: each locks its file ``status``."""
    status_file = data / "status"
    if not status_file.exists():
        yield
        return
    with status_file.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.SetupError(f"a server runs on {data}: stop it first") from error
        yield


class _Ledger(Protocol):
    """A ledger on one server or on a cluster, as far as making it goes."""

    @property
    def takes_rows(self) -> bool: ...

    def version(self) -> int: ...

    def bring_up_to_date(self, ages: ddl.Ages) -> tuple[int, int]: ...

    def close(self) -> None: ...


class _Folder:
    """A ledger in a folder, which nobody opens before it is to be changed."""

    takes_rows = True

    def __init__(self, configured: settings.Store) -> None:
        self._configured = configured

    def version(self) -> int:
        from store import chdb  # the engine is half a gigabyte

        return chdb.version(transport.folder(self._configured.url))

    def bring_up_to_date(self, ages: ddl.Ages) -> tuple[int, int]:
        found = self.version()
        transport.open(self._configured.url, ages.flows).close()
        return found, ddl.SCHEMA_VERSION

    def close(self) -> None:
        pass


class _Single:
    """A ledger on one server."""

    def __init__(self, configured: settings.Store) -> None:
        self._ledger = transport.open(configured.url)
        self.close = self._ledger.close

    @property
    def takes_rows(self) -> bool:
        return self._ledger.takes_rows

    def version(self) -> int:
        if name := cluster.place(self._ledger)[0]:
            raise errors.SetupError(f"the ledger is on the cluster {name}: add ?cluster={name} to its URL")
        return migrations.version(self._ledger)

    def bring_up_to_date(self, ages: ddl.Ages) -> tuple[int, int]:
        return migrations.bring_up_to_date(self._ledger, ages)


@contextlib.contextmanager
def _opened(configured: settings.Store) -> Iterator[_Ledger]:
    """A ledger that can be changed, closed in the end."""
    url = configured.url
    if url.startswith("chdb:"):
        opened: _Ledger = _Folder(configured)
    else:
        opened = cluster.Cluster(url) if cluster.named(url) else _Single(configured)
    with contextlib.closing(opened) as ledger:
        if not ledger.takes_rows:
            raise errors.SetupError(f"{location.shown(url)} is read-only: its owner makes and migrates it")
        yield ledger


def _say(url: str, found: int, form: str) -> None:
    now, url = ddl.SCHEMA_VERSION, location.shown(url)
    if form == "json":
        sys.stdout.write(json.dumps({"store": url, "before": found, "schema": now}) + "\n")
    else:
        was = {0: ", new", now: ", as it was"}.get(found, f", brought up from version {found}")
        sys.stdout.write(f"{url}: schema version {now}{was}\n")


def _plain(found: status.Status) -> dict[str, Any]:
    span = found.span
    return {
        "schema": found.schema,
        "bytes": found.bytes,
        "first": _moment(span.start) if span else None,
        "last": _moment(span.end - 1) if span else None,
        "summary": dataclasses.asdict(found.summary) if found.summary else None,
        "tables": found.tables.to_pylist(),
        "columns": found.columns.to_pylist(),
        "next_drops": _drops(found).to_pylist(),
        "shards": [dataclasses.asdict(shard) for shard in found.shards],
    }


def _spooled(folder: pathlib.Path) -> dict[str, Any] | None:
    """What waits in a folder, or why we do not know; None if there is no spool."""
    try:
        found = status.spooled(folder)
    except OSError as error:  # such as the folder of a collector that is another user
        return {"folder": str(folder), "error": error.strerror}
    return {"folder": str(folder), **dataclasses.asdict(found)} if found else None


def _show_spool(waiting: dict[str, Any], most_bytes: int) -> None:
    said = waiting.get("error")
    if said is None:
        said = f"{waiting['files']:,} files wait, {_size(waiting['bytes'])} of {_size(most_bytes)}"
        if waiting["files"]:
            said += f", the oldest for {waiting['oldest_seconds']:,.0f} s"
        if waiting["rejected_files"]:
            said += f"; {waiting['rejected_files']:,} set aside, {_size(waiting['rejected_bytes'])}"
    output.console().print(f"spool {waiting['folder']}: {said}", markup=False)


def _drops(found: status.Status) -> pa.Table:
    rows = [{**dataclasses.asdict(drop.partition), "because": drop.because} for drop in found.next_drops]
    names = ("table", "name", "rows", "bytes", "because")
    return pa.table({name: [row[name] for row in rows] for name in names})


def _show(url: str, found: status.Status, most_bytes: int) -> None:
    console = output.console()
    bound = f" of {_size(most_bytes)}" if most_bytes else ""
    console.print(
        f"{location.shown(url)}: schema version {found.schema}, {_size(found.bytes)}{bound} on disk",
        markup=False,
    )
    for shard in found.shards:
        console.print(str(shard), markup=False, highlight=False)
    if found.span is None or found.summary is None:
        console.print("no flow yet")
        return
    said = found.summary
    console.print(
        f"{said.flows:,} connections and attempts from {_moment(found.span.start)[:19]} to "
        f"{_moment(found.span.end)[:19]} UTC: {said.allowed:,} allowed, {said.denied:,} denied, "
        f"{said.unknown:,} unknown"
    )
    console.print(f"{found.completeness}\n", markup=False)
    output.write(found.tables, "table", sys.stdout)
    if len(found.columns):
        console.print("The largest columns of flows:")
        output.write(found.columns.slice(0, _LARGEST), "table", sys.stdout)
    if found.next_drops:
        console.print("What retention drops next:")
        output.write(_drops(found), "table", sys.stdout)


def _moment(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _size(count: int) -> str:
    for unit, worth in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= worth:
            return f"{count / worth:.1f} {unit}"
    return f"{count} bytes"
