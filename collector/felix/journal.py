"""What was read lately, on a disk, so that whoever reads after us knows it, however we ended."""

from __future__ import annotations

import math
import os
import pathlib
import struct
import time
from collections.abc import Callable, Iterable, Iterator

_RECORD = struct.Struct("=16sd")


class Journal:
    """Digests of 16 bytes with their time, added at the end, and written anew now and then without the old.

    It should lie where a restart of the machine clears it, as that ends Felix and its memory too. Who cannot
    write there goes without.

    Args:
        file: Where it is; whatever else is there is written over.
        seconds: How long a digest is worth knowing.
        limit: How many are kept; the file has twice as many at the most, of 24 bytes.
        clock: Seconds since the machine began, the same for all processes.

    Attributes:
        error: Why nothing can be noted; empty if it can.
    """

    def __init__(
        self,
        file: pathlib.Path,
        *,
        seconds: float,
        limit: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._seconds, self._limit, self._clock = file, seconds, limit, clock
        self._due = -math.inf
        self._size = 0
        self.error = ""

    def read(self) -> list[bytes]:
        """The digests that are there and not too old."""
        return [digest for digest, _ in self._records()]

    def note(self, digests: Iterable[bytes]) -> None:
        """Add what is delivered now; a torn record of somebody who was killed goes by the way."""
        now = self._clock()
        added = [_RECORD.pack(digest, now) for digest in digests]
        if not added:
            return
        try:
            if now >= self._due or self._size + len(added) > 2 * self._limit:
                self._write_anew(added)
                self._due = now + self._seconds
            else:
                self._append(added)
        except OSError as error:
            self.error = f"what was read cannot be noted, so a restart may count it twice: {error}"
        else:
            self.error = ""

    def _append(self, added: list[bytes]) -> None:
        with self._file.open("ab") as opened:
            opened.write(b"".join(added))
        self._size += len(added)

    def _write_anew(self, added: list[bytes]) -> None:
        kept = [*(_RECORD.pack(*record) for record in self._records()), *added][-self._limit :]
        beside = self._file.with_name(f"{self._file.name}.new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(b"".join(kept))
        beside.replace(self._file)
        self._size = len(kept)

    def _records(self) -> Iterator[tuple[bytes, float]]:
        try:
            content = self._file.read_bytes()
        except OSError:
            return
        now = self._clock()
        whole = len(content) - len(content) % _RECORD.size
        for digest, noted in _RECORD.iter_unpack(content[:whole]):
            if 0 <= now - noted <= self._seconds:  # what is later was noted before the machine restarted
                yield digest, noted
