"""Network namespaces at paths of our own, entered for the moment in which a socket is made.

pyroute2 can do this as well, but forks a child for it, which shares our event loop's signal descriptor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
from collections.abc import Iterator

_CLONE_NEWNET, _MS_BIND, _MNT_DETACH = 0x40000000, 0x1000, 2
_libc = ctypes.CDLL(None, use_errno=True)


def create(path: pathlib.Path) -> None:
    """Make a network namespace that lives as long as it is mounted at ``path``.

    Raises:
        OSError: If the right to do so is missing.
    """
    path.touch(exist_ok=False)
    with _home():
        _check(_libc.unshare(_CLONE_NEWNET))
        _check(_libc.mount(b"/proc/thread-self/ns/net", bytes(path), b"none", _MS_BIND, None))


def remove(path: pathlib.Path) -> None:
    """Give the namespace up; it ends when its last socket is closed."""
    _check(_libc.umount2(bytes(path), _MNT_DETACH))
    path.unlink()


@contextlib.contextmanager
def inside(path: pathlib.Path) -> Iterator[None]:
    """This thread inside a network namespace. A socket stays for ever where it was made."""
    with _home():
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(there, _CLONE_NEWNET))
        finally:
            os.close(there)
        yield


@contextlib.contextmanager
def _home() -> Iterator[None]:
    """Come back to the namespace that this thread is in now."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _check(_libc.setns(home, _CLONE_NEWNET))
        os.close(home)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def set_sysctls(values: dict[str, str]) -> None:
    """Set sysctls of the namespace that this thread is in; names as ``sysctl`` has them."""
    for name, value in values.items():
        pathlib.Path("/proc/sys", *name.split(".")).write_text(value)
