"""The power goes, and with it all that was not on the disk: no row that was safe is missing.

The batch that was being inserted may be there twice: the engine puts a part on the disk, but not the token
that stands for it.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import random
import struct
import subprocess
import sys

import lives
import pytest

pytestmark = [pytest.mark.net, pytest.mark.e2e]

_CUTS = 3
_SHUTDOWN, _NOTHING_MORE = 0x8004587D, 2
"""``EXT4_IOC_SHUTDOWN``: from now on nothing gets to the disk, and with this flag, not even the journal."""


class Disk:
    """An ext4 file system in a file, which can lose its power."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self._image = folder / "disk", folder / "image"
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(512 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(self._image)], check=True)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.folder)], check=True)

    def cut(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NOTHING_MORE))
        os.close(descriptor)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


def test_power_cuts_lose_no_row_and_count_one_batch_twice_at_most(tmp_path: pathlib.Path) -> None:
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    chance, told, disk = random.Random(seed), lives.Told(), Disk(tmp_path)
    url, spool = f"chdb://{disk.folder}/ledger", disk.folder / "spool"
    for life in range(_CUTS):
        disk.mount()
        try:
            node = lives.Process(url, spool, life, chance.randrange(1 << 32))
            for _ in range(chance.randrange(20, 200)):
                node.hear(told)
            node.stop()
            disk.cut()
            node.kill(told)
        finally:
            disk.unmount()
    disk.mount()
    try:
        held = lives.finished(url, spool)
        told.check_complete(held)
        assert len(held.twice()) <= _CUTS * lives.BATCH_ROWS
    finally:
        disk.unmount()
