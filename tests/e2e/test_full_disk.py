"""Disks that are full: under the spool, under the embedded ledger, under a server."""

from __future__ import annotations

import collections
import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

import clickhouse_server
import lives
import numpy as np
import pytest

from store import spool, spoolfile

pytestmark = [pytest.mark.net, pytest.mark.e2e]

RATE = 2_000
REFUSED_SECONDS = 3
"""So long a ledger refuses rows, and is offered them twenty times a second."""


class Disk:
    """A small file system."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))

    def free(self) -> None:
        """Leave room again."""
        self._filler.unlink()

    def resize(self, megabytes: int) -> None:
        """Make it larger."""
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(self.folder)], check=True)


@contextlib.contextmanager
def _disk(folder: pathlib.Path, megabytes: int) -> Iterator[Disk]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Spool:
    """A spool, what was put there and what it has counted as discarded."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.discarded: collections.Counter[str] = collections.Counter()
        self.safe: list[int] = []
        self.folder, self._batch, self._count = folder, lives.steady(50_000), 0
        self.open()

    def open(self) -> None:
        self.spool = spool.Spool(
            self.folder, most_bytes=1 << 40, batch_rows=50_000, node="n", discarded=self._discard
        )
        self.spool.open()

    def _discard(self, table: str, reason: str, rows: int) -> None:
        self.discarded[reason] += rows

    def append(self) -> bool:
        first = self._count * len(self._batch)
        self._count += 1
        safe = self.spool.append("flows", lives.numbered(self._batch, first))
        if safe:
            self.safe.append(first)
        return safe

    def take(self) -> int:
        """Have a ledger take the oldest file; the number of its first row."""
        file = self.spool.oldest()
        rows = spoolfile.read(file.path).rows
        assert rows.num_rows == file.rows == len(self._batch)
        numbers = rows.column("started").cast("int64").to_numpy() - lives.MIDNIGHT
        assert np.array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
        self.spool.acknowledge(file)
        return int(numbers[0])


def test_full_disk_under_the_spool_costs_only_what_finds_no_room(tmp_path: pathlib.Path) -> None:
    with _disk(tmp_path / "disk", 200) as disk:
        rows = Spool(disk.folder / "spool")
        while rows.append():
            pass
        assert len(rows.safe) > 30
        assert not rows.append()
        assert rows.discarded == {spool.DISK: 100_000}
        taken = [rows.take()]
        assert rows.append()
        assert not rows.append()
        rows.spool.close()
        rows.open()  # a life that begins on a full disk
        assert not rows.append()
        disk.resize(250)
        assert all(rows.append() for _ in range(5))
        assert rows.discarded == {spool.DISK: 200_000}
        taken += [rows.take() for _ in range(len(rows.safe) - 1)]
        assert taken == rows.safe
        assert rows.spool.state().files == 0
        rows.spool.close()


def test_rows_wait_while_the_embedded_ledger_s_disk_is_full(tmp_path: pathlib.Path) -> None:
    with _disk(tmp_path / "disk", 200) as disk:
        _fill_and_free(disk, f"chdb://{disk.folder}/ledger", tmp_path / "spool")


def test_rows_wait_while_the_server_s_disk_is_full(installed: None, tmp_path: pathlib.Path) -> None:
    with _disk(tmp_path / "disk", 200) as disk:
        server = clickhouse_server.Server(disk.folder / "server")
        server.start()
        try:
            lives.make(server.native_url)
            _fill_and_free(disk, server.native_url, tmp_path / "spool")
        finally:
            server.kill()


def _fill_and_free(disk: Disk, url: str, folder: pathlib.Path) -> None:
    with lives.streaming(url, folder, RATE, hasty=True) as link:
        for _ in range(2):
            lives.listen(link)
        disk.fill()
        while not lives.listen(link).refused:
            pass
        refused = [lives.listen(link).refused for _ in range(REFUSED_SECONDS)]
        assert all(refused)
        disk.free()
        gone = lives.stopped(link)
    assert (gone.delivered, gone.discarded) == (gone.rows, 0), refused[-1]
    assert list((folder / "rejected").iterdir()) == []
    told = lives.Told()
    told.safe += range(gone.rows)
    told.check(lives.finished(url, folder))
