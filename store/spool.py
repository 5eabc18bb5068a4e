"""The spool: rows on this node's disk, from the moment they are taken until a ledger has them.

A folder of files (``spoolfile``), in the order in which they were begun. One process owns it. It is bounded:
where there is no room, the oldest rows go first, and are counted. What cannot be read, or was refused, is set
aside into a folder ``rejected`` inside of it, which counts for the bound as well and is emptied first; a file
that is moved back from there is offered again at the next start.

The promise: once ``append`` has returned true, the rows are on the disk and outlive a kill and a power cut,
until a ledger has acknowledged them or they are counted as discarded. What is acknowledged is gone from the
disk before the next is offered, so that one batch at most is offered again after a power cut.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import fcntl
import itertools
import logging
import os
import pathlib
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator

import pyarrow as pa

from model import errors
from runtime import logs, settings
from store import spoolfile

REJECTED = "rejected"
LOCK = "flowledger.lock"

FULL, DISK, REFUSED, DAMAGED = "full", "disk", "refused", "damaged"
REASONS = (FULL, DISK, REFUSED, DAMAGED)
"""Why rows are discarded: no room left of ours; the disk takes none; the ledger does not; unreadable."""

BULK = frozenset({"flows", "policy_hits"})
"""The tables that fill a disk. The others are small, and say what these mean and what is missing in them."""

_BATCH_BYTES = 64 << 20
"""A batch of long texts ends here, whatever its rows: it is in memory when it is offered."""

_PLACE = pathlib.Path("/var/lib/flowledger/spool")
_NOT_OURS = {"lost+found"}
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that waits for its turn.

    Attributes:
        name: What its name says or, of one whose end we did not see, what it holds.
        path: Where it is.
        bytes: How large it is.
        born: When it was begun, in seconds of the spool's clock.
    """

    name: spoolfile.Name
    path: pathlib.Path
    bytes: int
    born: float

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return self.name.rows or 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How full the spool is.

    Attributes:
        bytes: What all its files take, those set aside too.
        files: How many wait, the growing ones too.
        oldest_seconds: Age of the oldest row that waits; 0 if none does.
    """

    bytes: int
    files: int
    oldest_seconds: float


class Spool:
    """A folder of rows. Threads may share it.

    Args:
        folder: Where it is; made if it is not there, with its parents.
        most_bytes: How large its files may get together.
        batch_rows: How many rows a file holds at most.
        node: This node's name, a part of every token.
        discarded: Told of rows that are given up: table, reason (one of ``REASONS``), how many.
        clock: Seconds that only go on.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        most_bytes: int,
        batch_rows: int,
        node: str,
        discarded: Callable[[str, str, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._most_bytes, self._batch_rows = most_bytes, batch_rows
        self._discarded, self._clock = discarded, clock
        # Two lives of a process share no token, not even within one boot of the kernel.
        self._life = f"{node}/{_BOOT_ID.read_text().strip()}/{secrets.token_hex(8)}"
        self._lock = threading.Lock()
        self._owner = -1
        self._sequence = 0
        self._growing: dict[str, spoolfile.Growing] = {}
        self._waiting: collections.deque[File] = collections.deque()
        self._aside: collections.deque[tuple[pathlib.Path, int]] = collections.deque()
        self._offered: File | None = None
        self._in_doubt: File | None = None
        self._bytes = 0

    def open(self) -> None:
        """Take the folder, and what an earlier life left in it.

        Raises:
            SetupError: If another process has it, it holds other things, or it cannot be used.
        """
        try:
            _make(self._folder, 0o700)
            self._own()
            _make(self._folder / REJECTED, 0o700)
            self._find()
        except OSError as error:
            self.close()
            raise errors.SetupError(
                f"the spool {self._folder} cannot be used: {error.strerror}; choose another with store.spool"
            ) from error

    def append(self, table: str, batch: pa.RecordBatch) -> bool:
        """Put rows on the disk, or discard them; whether all of them are there.

        They are in one file if they are not more than a file takes.

        Raises:
            StoreError: If the spool is not open.
        """
        with self._lock:
            if self._owner < 0:
                raise errors.StoreError(f"the spool {self._folder} is closed")
            parts = range(0, batch.num_rows, self._batch_rows)
            there = [self._append(table, batch.slice(start, self._batch_rows)) for start in parts]
            return all(there)

    def oldest(self) -> File | None:
        """The file whose turn it is; it is safe from being discarded until it is done with."""
        with self._lock:
            self._offered = self._waiting[0] if self._waiting else None
            return self._offered

    def cut(self) -> None:
        """End the files that grow, so that their turn comes."""
        with self._lock:
            self._cut()

    def growing_since(self) -> float | None:
        """When the oldest of the files that grow was begun, by the clock; None if there is none."""
        with self._lock:
            return min((one.born for one in self._growing.values()), default=None)

    def acknowledge(self, file: File) -> None:
        """The ledger has it: remove it."""
        with self._lock:
            self._waiting.remove(file)
            self._remove(file.path, file.bytes)
            self._offered = self._in_doubt = None
            with contextlib.suppress(OSError):
                spoolfile.sync(self._folder)

    def release(self, *, sent: bool = False) -> None:
        """The file that was offered stays, and goes if there is no room.

        One that was sent, without an answer that it is there, goes after all others: the ledger may have it,
        and to discard it would count rows as missing that are not.
        """
        with self._lock:
            self._in_doubt = self._offered if sent else self._in_doubt
            self._offered = None

    def set_aside(self, file: File, reason: str) -> None:
        """No ledger will have it: keep it among those set aside, and count its rows as discarded."""
        with self._lock:
            self._waiting.remove(file)
            self._offered = self._in_doubt = None
            self._move_aside(file.path, file.bytes)
            self._discarded(file.name.table, reason, file.rows)

    def state(self) -> State:
        """How full it is."""
        with self._lock:
            born = [one.born for one in self._growing.values()]
            born += [one.born for one in itertools.islice(self._waiting, 1)]
            age = max(self._clock() - min(born), 0.0) if born else 0.0
            files = len(self._waiting) + len(self._growing)
            return State(bytes=self._bytes, files=files, oldest_seconds=age)

    def close(self) -> None:
        """Leave the folder, with all that is in it, to the next one; a second time does nothing."""
        with self._lock:
            if self._owner >= 0:
                self._cut()
                os.close(self._owner)
                self._owner = -1

    # the rest is called with the lock held, or before there is anybody to share with

    def _own(self) -> None:
        """Take the folder's lock, which the kernel takes back however this process ends."""
        lock = self._folder / LOCK
        if not lock.exists() and {entry.name for entry in self._folder.iterdir()} - _NOT_OURS:
            raise errors.SetupError(
                f"the spool {self._folder} holds other things: choose another folder with store.spool"
            )
        self._owner = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._owner)
            self._owner = -1
            raise errors.SetupError(
                f"the spool {self._folder} is in use by another process: stop it, or choose another folder "
                "with store.spool"
            ) from error

    def _find(self) -> None:
        """Take stock of what is there."""
        for path, size in _files(self._folder / REJECTED):
            self._aside.append((path, size))
            self._bytes += size
            self._pass(spoolfile.parse(path.name))
        found = []
        for path, size in _files(self._folder):
            name = spoolfile.parse(path.name)
            self._pass(name)
            if path.name == LOCK:
                continue
            self._bytes += size
            file = _stored(path, size, name, self._born(path)) if name else None
            if file:
                found.append(file)
            else:  # foreign, or torn before its first rows were on the disk
                _log.warning("unreadable file in the spool set aside", extra={"fields": {"file": path.name}})
                self._move_aside(path, size)
        self._waiting.extend(sorted(found, key=lambda file: (file.name.sequence, file.path.name)))
        if found:
            rows = sum(file.rows for file in found)
            _log.info("rows of an earlier life found", extra={"fields": {"files": len(found), "rows": rows}})

    def _pass(self, name: spoolfile.Name | None) -> None:
        """No file of ours will have the name of one that is there."""
        self._sequence = max(self._sequence, name.sequence if name else 0)

    def _born(self, path: pathlib.Path) -> float:
        """The clock of an earlier life is gone; the file's own time tells how old it is."""
        with contextlib.suppress(OSError):
            return self._clock() - max(time.time() - path.stat().st_mtime, 0.0)
        return self._clock()

    def _append(self, table: str, batch: pa.RecordBatch) -> bool:
        file = self._file_for(table, batch)
        encoded = file.encode(batch)
        if not self._make_room(len(encoded)):
            if self._growing:  # these can make room too, once they are ended
                self._cut()
                return self._append(table, batch)
            self._discard(table, FULL, batch.num_rows)
            return False
        try:
            file.append(encoded, batch)
        except OSError as error:
            self._growing.pop(table, None)
            self._seal(file)
            self._discard(table, DISK, batch.num_rows, error=error.strerror, folder=str(self._folder))
            return False
        self._bytes += len(encoded)
        self._growing[table] = file
        if file.rows >= self._batch_rows or file.nbytes >= _BATCH_BYTES:
            self._cut()
        return True

    def _file_for(self, table: str, batch: pa.RecordBatch) -> spoolfile.Growing:
        """The file that takes the next rows of a table."""
        file = self._growing.get(table)
        schema = batch.schema.remove_metadata()
        if file and (file.rows + batch.num_rows > self._batch_rows or file.schema != schema):
            self._cut()
            file = None
        if file is None:
            self._sequence += 1
            name = spoolfile.Name(sequence=self._sequence, table=table)
            token = f"{self._life}/{self._sequence}"
            file = spoolfile.Growing(self._folder, name, schema, token, self._clock())
        return file

    def _make_room(self, wanted: int) -> bool:
        """Give up the oldest rows until there is room; False if there cannot be."""
        while self._bytes + wanted > self._most_bytes:
            if self._aside:
                self._remove(*self._aside.popleft())
                continue
            victim = self._victim()
            if victim is None:
                return False
            self._waiting.remove(victim)
            self._remove(victim.path, victim.bytes)
            self._discard(victim.name.table, FULL, victim.rows)
        return True

    def _victim(self) -> File | None:
        """What goes next: the oldest, but the tables that explain the others only after these."""
        there = [file for file in self._waiting if file is not self._offered]
        return min(
            there, key=lambda file: (file is self._in_doubt, file.name.table not in BULK), default=None
        )

    def _discard(self, table: str, reason: str, rows: int, **fields: object) -> None:
        self._discarded(table, reason, rows)
        _limited.warning("rows discarded", reason=reason, table=table, rows=rows, **fields)

    def _cut(self) -> None:
        """End all that grow, so that the order among tables stays what it was."""
        for file in sorted(self._growing.values(), key=lambda one: one.name.sequence):
            self._seal(file)
        self._growing.clear()

    def _seal(self, file: spoolfile.Growing) -> None:
        path = file.seal() if file.rows else None
        if path is None:
            file.close()
            return
        name = dataclasses.replace(file.name, rows=file.rows)
        self._waiting.append(File(name=name, path=path, bytes=file.bytes, born=file.born))

    def _remove(self, path: pathlib.Path, size: int) -> None:
        self._bytes -= size
        with contextlib.suppress(FileNotFoundError):
            try:
                path.unlink()
            except OSError as error:
                _limited.warning("file of the spool not removed", file=str(path), error=error.strerror)

    def _move_aside(self, path: pathlib.Path, size: int) -> None:
        target = self._folder / REJECTED / path.name
        try:
            path.rename(target)
            self._aside.append((target, size))
        except OSError as error:
            self._bytes -= size
            _limited.warning("file of the spool not set aside", file=str(path), error=error.strerror)


def place(configured: settings.Store) -> pathlib.Path:
    """Where rows are on their way to the ledger."""
    if configured.spool:
        return pathlib.Path(configured.spool)
    parts = urllib.parse.urlsplit(configured.url)
    return pathlib.Path(urllib.parse.unquote(parts.path), "spool") if parts.scheme == "chdb" else _PLACE


def _make(folder: pathlib.Path, mode: int = 0o777) -> None:
    """Make a folder that is still there after a power cut, and those above it."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(mode, exist_ok=True)
        spoolfile.sync(folder.parent)


def _files(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, int]]:
    """The files in a folder and their sizes, by name."""
    for entry in sorted(folder.iterdir()):
        if entry.is_file() and not entry.is_symlink():
            yield entry, entry.stat().st_size


def _stored(path: pathlib.Path, size: int, name: spoolfile.Name, born: float) -> File | None:
    """A file that was left; None if there are no rows in it. One whose end nobody saw is read."""
    if name.rows is None:
        try:
            rows = spoolfile.read(path).rows.num_rows
        except pa.ArrowInvalid:
            return None
        name = dataclasses.replace(name, rows=rows)
    if not name.rows:
        return None
    return File(name=name, path=path, bytes=size, born=born)
