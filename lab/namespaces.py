"""Network namespaces at paths of our own, in which a thread does one thing and ends.

pyroute2 can enter namespaces as well, but forks a child for it, which shares our event loop's signal
descriptor. And to come back is not allowed in a user namespace, so the thread is never seen again.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import os
import pathlib
from collections.abc import Callable
from typing import TypeVar

_CLONE_NEWNET, _MS_BIND, _MNT_DETACH = 0x40000000, 0x1000, 2
_libc = ctypes.CDLL(None, use_errno=True)
_Result = TypeVar("_Result")


def leave() -> None:
    """Move this thread, and all that it will start, to a new and empty network namespace.

    Whatever they do by mistake outside the namespaces made for it happens there.

    Raises:
        OSError: If the right to do so is missing.
    """
    _check(_libc.unshare(_CLONE_NEWNET))


def create(path: pathlib.Path) -> None:
    """Make a network namespace that lives as long as it is mounted at ``path``.

    Raises:
        OSError: If the right to do so is missing.
    """
    path.touch(exist_ok=False)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(_create, path).result()


def _create(path: pathlib.Path) -> None:
    leave()
    _check(_libc.mount(b"/proc/thread-self/ns/net", bytes(path), b"none", _MS_BIND, None))


def remove(path: pathlib.Path) -> None:
    """Give the namespace up; it ends when its last socket is closed."""
    _check(_libc.umount2(bytes(path), _MNT_DETACH))
    path.unlink()


def within(path: pathlib.Path, work: Callable[[], _Result]) -> _Result:
    """Do something in a network namespace. A socket stays for ever where it was made."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(_enter, path).result()
        return thread.submit(work).result()


def _enter(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, _CLONE_NEWNET))
    finally:
        os.close(descriptor)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def set_sysctls(values: dict[str, str]) -> None:
    """Set sysctls of the namespace that this thread is in; names as ``sysctl`` has them."""
    for name, value in values.items():
        pathlib.Path("/proc/sys", *name.split(".")).write_text(value)
