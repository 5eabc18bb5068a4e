"""Memory that was needed for a moment, given back to the system."""

from __future__ import annotations

import ctypes
from typing import Any

import pyarrow as pa

_libc: Any = ctypes.CDLL(None)


def trim() -> None:
    """Give back what is free.

    An interval needs ten times what is kept of it. The C library would hold on to that, in an arena for each
    thread, and Arrow's allocator as well. Other C libraries than GNU's have no arenas, and no such call.
    """
    pa.default_memory_pool().release_unused()
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(ctypes.c_size_t(0))
