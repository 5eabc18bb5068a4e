"""A sandbox for the lab and all that watches it: nothing in it can outlive it.

The process that runs inside is the first of a PID namespace of its own, with its own mounts. However its
parent ends, SIGKILL included, the kernel ends everything inside, and with the last process and the mounts go
all network namespaces, interfaces and rules. Without root, a user namespace gives the rights to make them.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Callable

from model import errors

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
_PR_SET_PDEATHSIG = 1
_PASSED_ON = {signal.SIGTERM, signal.SIGINT}
_SOFTWARE_ERROR = 70
"""EX_SOFTWARE of sysexits.h."""
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 16384, 1 << 18

_HOW_TO_ALLOW = (
    "run as root, or allow unprivileged user namespaces: sysctl "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), kernel.unprivileged_userns_clone=1 (Debian), "
    "user.max_user_namespaces above 0"
)


def run(inside: Callable[[], int]) -> int:
    """Run a function in a sandbox; its exit code, or 128 and the number of the signal that ended it.

    SIGTERM and SIGINT are passed on; the function is expected to come to an end then.

    Raises:
        SetupError: If this system does not allow it; it says how to allow it.
    """
    # The process that unshares keeps the new mounts alive, so it must not be the caller itself.
    return _child(lambda libc: _unshared(libc, inside))


def _unshared(libc: ctypes.CDLL, inside: Callable[[], int]) -> int:
    """Leave this process's namespaces, and run the function as the first process of the new ones."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID):  # not root, or root without rights as in a container
        _call(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWPID), "make namespaces")
        _map_root(user, group)
    return _child(lambda libc: _first(libc, inside))


def _first(libc: ctypes.CDLL, inside: Callable[[], int]) -> int:
    """Process 1 of the sandbox: mounts of its own, and a /proc that shows its own processes."""
    _call(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make private mounts")
    protected = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _call(libc.mount(b"proc", b"/proc", b"proc", protected, None), "mount /proc")
    return inside()


def _child(work: Callable[[ctypes.CDLL], int]) -> int:
    """Run a function in a child that dies with us; its exit code."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()
    # A signal that arrives before anybody listens must not be lost: here it waits, and the child inherits
    # the mask. The child's end is a signal like the others: one wait for all has no moment between them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() not in (0, parent):  # it died before we asked to be told
            os._exit(_SOFTWARE_ERROR)
        os._exit(_guarded(libc, work))
    code = _wait(child)
    while signal.sigtimedwait(_PASSED_ON, 0):  # meant for a child that has ended by now
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return code


def _guarded(libc: ctypes.CDLL, work: Callable[[ctypes.CDLL], int]) -> int:
    """The exit code of the work, whatever it raises."""
    try:
        return work(libc)
    except errors.FlowledgerError as error:
        os.write(2, f"error: {error}\n".encode())
        return 2
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return _SOFTWARE_ERROR
    finally:
        sys.stdout.flush()


def _call(result: int, what: str) -> None:
    if result:
        reason = os.strerror(ctypes.get_errno())
        raise errors.SetupError(f"cannot {what} ({reason}): {_HOW_TO_ALLOW}")


def _map_root(user: int, group: int) -> None:
    """Be root inside, and ourselves outside."""
    try:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise errors.SetupError(
            f"cannot make a user namespace ({error.strerror}): {_HOW_TO_ALLOW}"
        ) from error


def _wait(child: int) -> int:
    """Wait for the child; pass on what we are told. The signals are blocked."""
    while True:
        if signal.sigwait({*_PASSED_ON, signal.SIGCHLD}) != signal.SIGCHLD:
            os.kill(child, signal.SIGTERM)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
