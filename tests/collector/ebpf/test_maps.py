"""Maps of the real kernel, made by bpf(2) and read back."""

from __future__ import annotations

import concurrent.futures
import errno
import os
import pathlib
import platform
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from collector.ebpf import maps
from model import errors

pytestmark = pytest.mark.net

NAME = "cali_v4_ct4"
SIZES = [pytest.param((16, 88), id="IPv4"), pytest.param((40, 128), id="IPv6")]
KINDS = [pytest.param(maps.LRU_HASH, id="LRU_HASH"), pytest.param(maps.HASH, id="HASH")]


def _made(count: int, sizes: tuple[int, int]) -> list[tuple[bytes, bytes]]:
    """Entries of which each byte depends on which it is."""
    return [
        (struct.pack("<Q", one).ljust(sizes[0], b"k"), struct.pack("<Q", one * 7).ljust(sizes[1], b"v"))
        for one in range(count)
    ]


def _read(path: pathlib.Path, **how: int) -> list[tuple[bytes, bytes]]:
    with maps.Map(path) as opened:
        keys, values = opened.entries(**how)
    return [(key.tobytes(), value.tobytes()) for key, value in zip(keys, values, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", SIZES)
def test_info(pinned, sizes: tuple[int, int], kind: int) -> None:
    pinned.create(NAME, sizes, kind=kind, capacity=512)
    with maps.Map(pinned.folder / NAME) as opened:
        assert opened.info == maps.Info(kind=kind, key_size=sizes[0], value_size=sizes[1], capacity=512)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", SIZES)
def test_all_entries_come_back(pinned, sizes: tuple[int, int], kind: int) -> None:
    pinned.create(NAME, sizes, kind=kind)
    entries = _made(1000, sizes)
    pinned.put(NAME, entries)
    assert sorted(_read(pinned.folder / NAME)) == sorted(entries)


@pytest.mark.parametrize("batch", [1, 2, 7, 300, 1000, 5000])
def test_batches_of_any_size_give_each_entry_once(pinned, batch: int) -> None:
    """A bucket with more entries than are asked for needs more room, and so does nothing else."""
    pinned.create(NAME)
    entries = _made(900, (16, 88))
    pinned.put(NAME, entries)
    assert sorted(_read(pinned.folder / NAME, batch=batch)) == sorted(entries)


def test_map_without_entries(pinned) -> None:
    pinned.create(NAME)
    with maps.Map(pinned.folder / NAME) as opened:
        keys, values = opened.entries()
    assert (keys.shape, values.shape) == ((0, 16), (0, 88))


def test_hundred_thousand_entries(pinned) -> None:
    pinned.create(NAME, capacity=300_000)
    entries = _made(100_000, (16, 88))
    pinned.put(NAME, entries)
    with maps.Map(pinned.folder / NAME) as opened:
        keys, values = opened.entries()
    numbers = keys[:, :8].copy().view("<u8")[:, 0]
    assert len(numbers) == len(np.unique(numbers)) == 100_000
    assert (values[:, :8].copy().view("<u8")[:, 0] == numbers * 7).all()


@pytest.mark.parametrize("batch", [1, 50, 5000])
@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_is_read_while_others_come_and_go(pinned, kind: int, batch: int) -> None:
    pinned.create(NAME, kind=kind)
    staying, passing = _made(500, (16, 88)), _made(1500, (16, 88))[500:]
    pinned.put(NAME, staying)
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            pinned.put(NAME, passing)
            for key, _ in passing:
                pinned.delete(NAME, key)

    with concurrent.futures.ThreadPoolExecutor(1) as other:
        churning = other.submit(churn)
        try:
            for _ in range(20):
                found = _read(pinned.folder / NAME, batch=batch)
                assert set(staying) <= set(found) <= {*staying, *passing}
        finally:
            over.set()
        churning.result()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, 524])
def test_kernel_without_batches_is_read_one_by_one(
    pinned, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    pinned.create(NAME)
    entries = _made(300, (16, 88))
    pinned.put(NAME, entries)
    call = maps._call

    def older(command: int, request: object) -> int:
        if command == maps._LOOKUP_BATCH:
            raise OSError(code, os.strerror(code))
        return call(command, request)

    monkeypatch.setattr(maps, "_call", older)
    assert sorted(_read(pinned.folder / NAME)) == sorted(entries)


def test_other_failure_is_one(pinned, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned.create(NAME)
    with maps.Map(pinned.folder / NAME) as opened:
        monkeypatch.setattr(maps, "_code", lambda command, request: errno.ENOMEM)
        with pytest.raises(OSError, match="Cannot allocate memory"):
            opened.entries()


def test_what_is_not_there_is_refused(pinned) -> None:
    with pytest.raises(errors.SetupError, match=f"{NAME} cannot be read: No such file or directory"):
        maps.Map(pinned.folder / NAME)


def test_what_is_no_map_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / NAME).touch()
    with pytest.raises(errors.SetupError, match=f"{NAME} needs CAP_BPF|{NAME} cannot be read"):
        maps.Map(tmp_path / NAME)


def test_machine_whose_number_is_not_known(pinned, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned.create(NAME)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(errors.SetupError, match="reading eBPF maps is not known on riscv64"):
        maps.Map(pinned.folder / NAME)


def _open_files() -> int:
    return sum(1 for _ in pathlib.Path("/proc/self/fd").iterdir())


def test_nothing_stays_open(pinned) -> None:
    pinned.create(NAME)
    before = _open_files()
    with maps.Map(pinned.folder / NAME) as opened:
        assert _open_files() == before + 1
    opened.close()
    assert _open_files() == before


WITHOUT_RIGHT = "import pathlib, sys; from collector.ebpf import maps; maps.Map(pathlib.Path(sys.argv[1]))"


LESS = "--bounding-set=-bpf,-sys_admin,-dac_override,-dac_read_search"


def test_without_the_right(pinned) -> None:
    """Since Linux 5.19 the right to read the pin is enough, and before CAP_BPF is needed as well."""
    pinned.create(NAME)
    path = pinned.folder / NAME
    os.chown(path, 65534, 65534)
    command = ["setpriv", LESS, sys.executable, "-c", WITHOUT_RIGHT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"SetupError: reading {NAME} needs CAP_BPF: run as root" in done.stderr
