"""Reading all rulesets of a network namespace, with the tools that made them."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
from collections.abc import Callable

from collector.counters import iptables, kernel, nftables, rules, tables
from collector.netlink import sockets
from model import errors

_POLICING = ("filter", "mangle")
"""Tables of iptables that can hold policies."""
_OTHER_IPTABLES = ("nat", "raw", "security")
"""Its other tables, which are left out."""
_INCOMPATIBLE = re.compile(r"^# Table `\w+' (is|contains) incompatible", re.MULTILINE)
"""iptables can print none of a table, or not all of it, as it was made with nft."""
_NOT_POLICING = frozenset({"kube-proxy", "flowledger_probe"})
"""nftables tables that are left out: services, which can be many, and our own drop probe."""
_TIMEOUT_SECONDS = 60
_FAMILY = {4: "ip", 6: "ip6"}
_COMMAND = {4: "iptables", 6: "ip6tables"}


@dataclasses.dataclass(frozen=True, slots=True)
class Dump:
    """One ruleset as it was printed.

    Attributes:
        name: Of the ruleset; the same at each reading.
        numbers: Its counters.
        parse: Gives the rules; raises ValueError if it is no ruleset. It may ask nft, which is slow.
    """

    name: str
    numbers: rules.Numbers[str] | rules.Numbers[bytes]
    parse: Callable[[], rules.Ruleset]


@dataclasses.dataclass(slots=True)
class Reading:
    """All rulesets at one moment.

    Attributes:
        dumps: Those that could be read.
        failed: Names of those that are there and could not, or beginnings of such names.
        skipped: Names of those that no tool was there for.
        unavailable: Tools that would be needed and are not installed.
    """

    dumps: list[Dump] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)
    unavailable: set[str] = dataclasses.field(default_factory=set)


def read(namespace: pathlib.Path | None) -> Reading:
    """All rulesets of a network namespace; whatever goes wrong with one is told in the answer.

    Args:
        namespace: Where they are; None for the namespace that we are in.

    Raises:
        SetupError: If there is no such namespace, or no right to enter it.
    """
    reading = Reading()
    sockets.within(namespace, functools.partial(_read, reading, namespace))
    return reading


def _read(reading: Reading, namespace: pathlib.Path | None) -> None:
    for family, command in _COMMAND.items():
        _read_legacy(reading, f"{command}-legacy", family)
    try:
        with sockets.open_netfilter() as opened:
            _read_nftables(reading, namespace, opened)
    except (OSError, errors.SetupError):
        reading.failed += ["nft", *(f"{command}-nft" for command in _COMMAND.values())]


def _read_legacy(reading: Reading, name: str, family: int) -> None:
    try:
        present = [table for table in _POLICING if table in tables.legacy(family)]
    except OSError:
        reading.failed.append(name)
    else:
        if present:
            _read_iptables(reading, name, family, present)


def _read_nftables(reading: Reading, namespace: pathlib.Path | None, opened: socket.socket) -> None:
    found = tables.nftables(opened)
    for family, command in _COMMAND.items():
        names = {table.name for table in found if table.family == _FAMILY[family]}
        present = [name for name in _POLICING if name in names]
        taken = _read_iptables(reading, f"{command}-nft", family, present) if present else []
        if taken:
            left_out = (*taken, *_OTHER_IPTABLES)
            found = [t for t in found if t.family != _FAMILY[family] or t.name not in left_out]
    for table in found:
        if table.name not in _NOT_POLICING:
            _read_table(reading, namespace, opened, table)


def _read_table(
    reading: Reading, namespace: pathlib.Path | None, opened: socket.socket, table: tables.Table
) -> None:
    name = f"nft {table.family} {table.name}"
    if shutil.which("nft") is None:
        reading.unavailable.add("nft")
        reading.skipped.append(name)
        return
    try:
        answer = kernel.read(opened, table)
    except OSError:
        reading.failed.append(name)
        return
    parse = functools.partial(_meaning, namespace, table, answer)
    reading.dumps.append(Dump(name, kernel.split(answer, table), parse))


def _meaning(namespace: pathlib.Path | None, table: tables.Table, answer: bytes) -> rules.Ruleset:
    """What the rules in the kernel's answer mean, which nft knows."""
    command = ("nft", "-j", "-t", "list", "table", table.family, table.name)
    try:
        text = sockets.within(namespace, functools.partial(_run, *command))
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"nft fails: {error}") from error
    return kernel.align(nftables.read(text)[0], answer, table)


def _read_iptables(reading: Reading, name: str, family: int, present: list[str]) -> list[str]:
    """Reads these tables; those among them that are iptables' indeed, and not just called like its own."""
    tool = f"{name}-save"
    if shutil.which(tool) is None:
        reading.unavailable.add(tool)
        reading.skipped.append(name)
        return []
    try:
        printed = {table: _run(tool, "-c", "-t", table) for table in present}
        texts = {table: text for table, text in printed.items() if not _INCOMPATIBLE.search(text)}
        numbers = iptables.split("".join(texts.values()))
    except (OSError, ValueError, subprocess.SubprocessError):
        reading.failed.append(name)
        return present
    if texts:
        parse = functools.partial(iptables.parse, numbers.shape, family)
        reading.dumps.append(Dump(name, numbers, parse))
    return list(texts)


def _run(*command: str) -> str:
    """What a tool prints.

    Raises:
        OSError: If it cannot be started.
        SubprocessError: If it fails, or does not come to an end.
    """
    done = subprocess.run(
        command, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL, timeout=_TIMEOUT_SECONDS,
    )  # fmt: skip
    return done.stdout.decode(errors="replace")
