"""Memory that is free goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime import memory

SCRIPT = """
import pathlib, threading
import pyarrow as pa
from runtime import memory

def resident():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024

kept = []

def work():
    pieces = [bytes(4000) for _ in range(25_000)]
    kept.append(pieces[-1])  # what lives at the end of it keeps the C library from giving back the rest

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
    thread.join()
before = resident()
memory.trim()
print(before - resident(), pa.default_memory_pool().bytes_allocated())
"""


def test_what_is_free_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    given_back, allocated = map(int, done.stdout.split())
    assert given_back > 50  # MB, of nearly 100 in each thread's arena
    assert allocated == 0


def test_other_c_libraries_have_nothing_to_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_libc", object())
    memory.trim()
