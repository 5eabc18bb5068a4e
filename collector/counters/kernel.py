"""The counters of an nftables table as the kernel gives them, without knowing what the rules mean.

nft needs ten times as long to print a ruleset as the kernel needs to tell it. So nft is asked only when the
rules are not the same as before; the counters in between come from here.
"""

from __future__ import annotations

import dataclasses
import re
import socket

import numpy as np

from collector.counters import rules, tables
from collector.netlink import dump, sockets

_GET_RULE = 0x0A07  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETRULE
_TABLE, _HANDLE = 1, 3  # NFTA_RULE_TABLE, NFTA_RULE_HANDLE
_CHANGING = np.arange(8, 20)
"""Of a message: its number, our port, and the ruleset's generation, which a set's new element changes too."""
_PLACE = b"(counter)"


def _header(kind: int, *lengths: int) -> bytes:
    """An attribute's header, of one of these lengths."""
    flagged = [sockets.ATTRIBUTE.pack(length, kind | flag) for length in lengths for flag in (0, _NESTED)]
    return b"(?:" + b"|".join(map(re.escape, flagged)) + b")"


_NESTED = 0x8000
_PAD = _header(3, 4) + b"?"  # NFTA_COUNTER_PAD, where the processor cannot do without
_COUNTER = re.compile(
    _header(1, 44, 48, 52)  # NFTA_LIST_ELEM; that of a set's elements stands in something else
    + (_header(1, 12) + rb"counter\0")  # NFTA_EXPR_NAME
    + _header(2, 28, 32, 36)  # NFTA_EXPR_DATA
    + (_PAD + _header(1, 12) + b"(.{8})")  # NFTA_COUNTER_BYTES
    + (_PAD + _header(2, 12) + b"(.{8})"),  # NFTA_COUNTER_PACKETS
    re.DOTALL,
)
"""A rule's counter. No text in a rule can look like it, as texts have no zeros."""


def read(opened: socket.socket, table: tables.Table) -> bytes:
    """All rules of a table in the kernel's own form.

    Raises:
        OSError: If the kernel does not tell, or there is no such table any more.
    """
    family = bytes([tables.FAMILIES[table.family], 0, 0, 0])
    name = sockets.attribute(_TABLE, table.name.encode() + b"\0")
    return dump.whole(opened, sockets.message(_GET_RULE, sockets.NLM_F_DUMP, family + name))


def split(answer: bytes, table: tables.Table) -> rules.Numbers[bytes]:
    """The counters of all rules, and the answer without them and without whatever else changes by itself."""
    fixed = np.frombuffer(answer, np.uint8).copy()
    starts = np.array([start for start, _ in tables.messages(answer)], np.int64)
    fixed[starts[:, np.newaxis] + _CHANGING] = 0
    parts = _COUNTER.split(fixed.tobytes())
    shape = table.handle.to_bytes(8, "big") + _PLACE.join(parts[::3])
    return rules.Numbers(shape, packets=_numbers(parts[2::3]), bytes=_numbers(parts[1::3]))


def _numbers(raw: list[bytes]) -> rules.Counts:
    return np.frombuffer(b"".join(raw), ">u8").astype(np.uint64)


def align(ruleset: rules.Ruleset, answer: bytes, table: tables.Table) -> rules.Ruleset:
    """The rules that nft printed, with the places that their counters have in the kernel's answer.

    Raises:
        ValueError: If they are not the same rules, since they were asked for one after the other.
    """
    places = _places(answer, table)
    aligned = []
    for rule in ruleset.rules:
        if rule.counter != rules.NO_COUNTER:
            if rule.identity not in places:
                raise ValueError(f"rule {rule.identity} of table {table.name} was not there before")
            rule = dataclasses.replace(rule, counter=places[rule.identity])
        aligned.append(rule)
    return dataclasses.replace(ruleset, rules=tuple(aligned))


def _places(answer: bytes, table: tables.Table) -> dict[str, int]:
    """Identity of each rule that counts → place of its counter; of several, the last."""
    found: dict[str, int] = {}
    counters = 0
    for start, end in tables.messages(answer):
        own = len(_COUNTER.findall(answer, start, end))
        if own:
            counters += own
            handle = int.from_bytes(tables.attributes(answer, start, end).get(_HANDLE, b""), "big")
            found[f"{table.handle}.{handle}"] = counters - 1
    return found
