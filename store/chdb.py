"""The one door to chDB: the ClickHouse engine in this process, over one folder.

One connection runs one statement at a time, and several run side by side, so that each statement borrows a
connection. Those that answer questions are read-only for good: ClickHouse lets nobody take ``readonly = 1``
back inside a session.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import queue
from collections.abc import Iterator
from typing import Any, TextIO

import chdb
import pyarrow as pa

from model import errors
from store import ddl, exceptions, migrations, parameters, rows, spoolfile, tokens

MARKER = "flowledger.json"
"""Tells a ledger's folder from any other, and its schema version before the engine touches it."""

_LOCK = "flowledger.lock"
_DRAFT = "flowledger.new"
_BEGUN = {_LOCK, _DRAFT}
"""What there may be in a folder that a kill left before it had become a ledger."""

_ENGINE = "clickhouse"
_READERS = 4
_WRITERS = 2
"""An insert is the work of one thread, but for the merges that it calls for."""


class Embedded:
    """A ledger in a folder, owned by this process until it is closed. Threads may share it.

    Args:
        folder: Where the ledger is; made if it is not there, with its parents.
        retention_days: How long a new ledger keeps flows; 0 for ever. One that is there keeps its own, and
            is brought up to date. None for one that has to be there, with today's schema.

    Raises:
        StoreError: If the folder is no ledger, is of another version, or is in use; it is left as it was.
    """

    takes_rows = True

    def __init__(self, folder: pathlib.Path, retention_days: int | None = ddl.RETENTION_DAYS) -> None:
        found = version(folder)
        if retention_days is None:
            migrations.require_current(found)
        self._lock = _own(folder)
        try:
            with _translated():
                _mark(folder)
                self._open(folder / _ENGINE, ddl.RETENTION_DAYS if retention_days is None else retention_days)
        except BaseException:
            self._lock.close()
            raise

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        """The rows that a statement selects; anything but reading is refused.

        Raises:
            StoreError: With ClickHouse's own words, if it refuses.
        """
        table: pa.Table = self._ask(sql, parameters, "ArrowTable")
        return table

    def query_bytes(
        self,
        sql: str,
        parameters: parameters.Parameters,
        output_format: str,
        settings: parameters.Parameters = parameters.NONE,
    ) -> bytes:
        """The answer in one of ClickHouse's output formats, unless the statement names one itself.

        With settings it has a connection for itself, which takes them before it becomes read-only.

        Raises:
            StoreError: As for `query`.
        """
        answer: bytes = self._ask(sql, parameters, output_format, settings).bytes()
        return answer

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table, *, token: str = "") -> None:
        """Append rows to one of `ddl.TABLES`; all or none of them.

        Raises:
            StoreError: If a column is missing or has the wrong type.
        """
        names = ", ".join(ddl.TABLES[table].names)
        # The engine finds the variable `given` here by its name.
        given = rows.fitting(table, batch)  # noqa: F841 (see above)
        # One thread, so that the same rows make the same blocks again. A setting's value cannot be bound; as
        # hexadecimal digits any token can be pasted.
        settings = {**parameters.inserting(token.encode().hex()), "max_threads": "1"}
        pasted = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
        with _borrowed(self._writers) as writer, _translated():
            writer.query(
                f"INSERT INTO {table} ({names}) SETTINGS {pasted} "  # noqa: S608 (our own names)
                f"SELECT {names} FROM Python(given)"
            )

    def command(self, sql: str, parameters: parameters.Parameters) -> None:
        """Run a statement that changes the ledger, such as one of its schema.

        Raises:
            StoreError: With ClickHouse's own words, if it refuses.
        """
        self._change(sql, parameters)

    def close(self) -> None:
        """Wait for the statements that run, close the folder and let others have it."""
        if self._lock.closed:
            return
        for connections, count in ((self._readers, _READERS), (self._writers, _WRITERS)):
            for _ in range(count):
                connections.get().close()
            connections.put(None)  # whoever comes now learns that it is closed
        self._lock.close()

    def _open(self, folder: pathlib.Path, retention_days: int) -> None:
        tokens.mend(folder)
        self._readers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._folder = folder
        self._writers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(_WRITERS):
            self._writers.put(chdb.connect(str(folder)))
        for _ in range(_READERS):
            self._readers.put(self._reader(parameters.NONE))
        migrations.bring_up_to_date(self, ddl.ages(retention_days, ddl.OWN_TOKENS))

    def _change(self, sql: str, values: parameters.Parameters) -> None:
        with _borrowed(self._writers) as writer, _translated():
            writer.query(sql, params=parameters.encode(values))

    def _reader(self, settings: parameters.Parameters) -> Any:
        """A connection that can do no more than read, with those settings; nobody takes either back."""
        reader = chdb.connect(str(self._folder))
        try:
            if settings:
                reader.query(f"SET {parameters.assigned(settings)}")
            reader.query("SET readonly = 1")
        except BaseException:
            reader.close()
            raise
        return reader

    def _ask(
        self,
        sql: str,
        values: parameters.Parameters,
        output_format: str,
        settings: parameters.Parameters = parameters.NONE,
    ) -> Any:
        with _borrowed(self._readers) as idle, _translated(), contextlib.ExitStack() as undo:
            reader = undo.enter_context(contextlib.closing(self._reader(settings))) if settings else idle
            return reader.query(sql, output_format, params=parameters.encode(values))


@contextlib.contextmanager
def _borrowed(connections: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """A connection for one statement."""
    connection = connections.get()
    try:
        if connection is None:
            raise errors.StoreError("the ledger has been closed")
        yield connection
    finally:
        connections.put(connection)


def version(folder: pathlib.Path) -> int:
    """The schema version of the ledger in a folder, by what is written on it; 0 for none yet.

    Raises:
        StoreError: If what is there is not ours, or of a version that we do not know.
    """
    marker = folder / MARKER
    try:
        if not marker.exists():
            if folder.exists() and {entry.name for entry in folder.iterdir()} - _BEGUN:
                raise errors.StoreError(f"{folder} is not empty and not a ledger: choose another folder")
            return 0
        found: int = json.loads(marker.read_text())["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.StoreError(
            f"{folder} cannot be read as a ledger ({error}): choose another folder"
        ) from error
    migrations.require_known(found)
    return found


def _own(folder: pathlib.Path) -> TextIO:
    """The folder's lock, which the kernel takes back however this process ends."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a")
    except OSError as error:
        raise errors.StoreError(f"{folder} cannot hold a ledger: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise errors.StoreError(
            f"{folder} is in use by another process: stop it, or ask it through http://host:port"
        ) from error
    return lock


def _mark(folder: pathlib.Path) -> None:
    """Say whose folder it is, before it is brought to that version: an older Flowledger must not touch it."""
    marker, said = folder / MARKER, json.dumps({"schema": ddl.SCHEMA_VERSION}) + "\n"
    if not marker.exists() or marker.read_text() != said:
        draft = folder / _DRAFT
        with draft.open("w") as file:
            file.write(said)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(marker)
        spoolfile.sync(folder)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """A refusal in our words; chDB raises RuntimeError for all that the engine says, and nothing narrower."""
    try:
        yield
    except (RuntimeError, OSError, pa.ArrowInvalid) as error:
        raise exceptions.refusal(str(error)) from error
