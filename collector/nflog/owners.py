"""Who reads NFLOG groups here: in a network namespace one socket owns a group, and a second is refused."""

from __future__ import annotations

import pathlib

from collector.felix import processes
from collector.netlink import sockets

FELIX_GROUPS = frozenset({1, 2})
"""The groups that Felix reads once flow logs are on (felix/rules/rule_defs.go). It tries to bind them when it
starts and never again, so whoever is there before it silences it."""

_OWNERS = pathlib.Path("/proc/thread-self/net/netfilter/nfnetlink_log")
_INTERFACES = pathlib.Path("/proc/thread-self/net/dev")
_LISTENING = (pathlib.Path("/proc/thread-self/net/tcp"), pathlib.Path("/proc/thread-self/net/tcp6"))
_FELIX_HEALTH_PORT = 9099
_LISTEN = "0A"  # TCP_LISTEN as /proc/net/tcp writes it


def held(namespace: pathlib.Path | None) -> frozenset[int]:
    """The groups that somebody reads."""
    return sockets.within(namespace, _held)


def _held() -> frozenset[int]:
    try:
        lines = _OWNERS.read_text().splitlines()
    except OSError:  # the kernel has no NFLOG yet, or does not show it to us
        return frozenset()
    return frozenset(int(line.split()[0]) for line in lines if line.strip())


def felix(namespace: pathlib.Path | None) -> str:
    """How we know that Felix runs here; empty if nothing says so.

    Its process can be seen from the host's PID namespace only. From a container, the port that it answers
    health checks at, beside interfaces that it has named, is as good.
    """
    return sockets.within(namespace, lambda: _process() or _traces())


def _process() -> str:
    process = processes.find(pathlib.Path("/proc/thread-self/ns/net").stat().st_ino)
    return f"Felix runs here as process {process}" if process else ""


def _traces() -> str:
    interfaces = [line.split(":")[0].strip() for line in _INTERFACES.read_text().splitlines() if ":" in line]
    named = next((name for name in interfaces if name.startswith("cali")), "")
    if named and any(_listens(table, _FELIX_HEALTH_PORT) for table in _LISTENING):
        return f"there is interface {named}, and Felix's health port {_FELIX_HEALTH_PORT} is open"
    return ""


def _listens(table: pathlib.Path, port: int) -> bool:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:  # no IPv6
        return False
    columns = [line.split() for line in lines]
    return any(state[3] == _LISTEN and state[1].endswith(f":{port:04X}") for state in columns)


def free(namespace: pathlib.Path | None, groups: tuple[int, ...]) -> tuple[int, ...]:
    """Those groups that we may read: where Felix runs, its own are left to it even if they are free."""
    return tuple(sorted(set(groups) - FELIX_GROUPS)) if felix(namespace) else groups
