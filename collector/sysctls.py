"""What the kernel has to be told before it counts: accounting and timestamps of connections."""

from __future__ import annotations

import pathlib

from collector.netlink import sockets
from model import errors

_FOLDER = pathlib.Path("/proc/sys/net/netfilter")
ACCOUNTING = "nf_conntrack_acct"
TIMESTAMPS = "nf_conntrack_timestamp"
MEANING = {
    ACCOUNTING: "packets and bytes of connections",
    TIMESTAMPS: "when connections began and ended",
}


def missing(namespace: pathlib.Path | None, *, set_them: bool) -> list[str]:
    """The switches that are off, after turning them on where that is asked for.

    They only hold for connections that begin after they are turned on.

    Raises:
        SetupError: If a switch is to be set and may not be, or the kernel has no connection tracking.
    """
    return sockets.within(namespace, lambda: _missing(set_them))


def _missing(set_them: bool) -> list[str]:
    try:
        off = [name for name in MEANING if (_FOLDER / name).read_text().strip() != "1"]
    except FileNotFoundError as error:
        raise errors.SetupError("the kernel tracks no connections here: modprobe nf_conntrack") from error
    if not set_them:
        return off
    for name in off:
        try:
            (_FOLDER / name).write_text("1\n")
        except OSError as error:
            raise errors.SetupError(
                f"cannot turn on net.netfilter.{name} ({error.strerror}): set it as root with "
                f"`sysctl net.netfilter.{name}=1`, or leave out --set-sysctls"
            ) from error
    return []
