"""Denied edges: what became of the packets of one address family between the stages of the probe."""

from __future__ import annotations

import enum
import itertools
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from collector.probe import counts, decode, ruleset, table
from model import address, enums

EDGE = np.dtype([
    ("src", "u1", (16,)), ("dst", "u1", (16,)), ("service", "u1", (16,)), ("packets", "u8"), ("bytes", "u8"),
    ("first", "i8"), ("last", "i8"), ("dst_port", "u2"), ("service_port", "u2"),
    ("protocol", "u1"), ("icmp_type", "u1"), ("icmp_code", "u1"), ("reason", "u1"),
])  # fmt: skip
"""Packets that were dropped between one source and one destination, whatever port they came from.

``dst`` is who would have answered, ``service`` who was dialled, zero where that is the same. ``first`` and
``last`` in ns since 1970: not before and not after which they were seen. ``reason`` is a ``Reason``."""

ATTEMPT = np.dtype([
    ("src", "u1", (16,)), ("dst", "u1", (16,)), ("last", "i8"), ("src_port", "u2"), ("dst_port", "u2"),
    ("protocol", "u1"), ("icmp_type", "u1"), ("icmp_code", "u1"),
])  # fmt: skip
"""One attempt that was dropped; ``dst`` is who was dialled, ``src_port`` the identifier in case of ICMP."""

Edges = npt.NDArray[np.void]
NOTHING: Edges = np.zeros(0, EDGE)
Attempts = npt.NDArray[np.void]


class Reason(enum.IntEnum):
    """Who dropped a packet, as far as the place tells where it was last seen."""

    UNKNOWN = 0
    """Nobody, perhaps: a set was full, and what passed may have gone uncounted."""
    POLICY = 1
    """A rule: in front of routing, or where packets are forwarded, come to this node, or leave it."""
    ROUTING = 2
    """The kernel's routing: no route, reverse path filter, hop limit, forwarding is off."""


_REASONS = {
    ruleset.Stage.ADMITTED: Reason.POLICY,
    ruleset.Stage.REACHED: Reason.ROUTING,
    ruleset.Stage.PASSED: Reason.POLICY,
}
_ICMP = (enums.Protocol.ICMP, enums.Protocol.ICMPV6)
_DCCP = 33
_WITH_PORTS = (
    enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP, enums.Protocol.UDPLITE, _DCCP,
)  # fmt: skip
_SERVICE_STAGES = (ruleset.Stage.REACHED, ruleset.Stage.PASSED)


class Family:
    """The edges of IPv4 or of IPv6.

    Args:
        read: The table that counts them.
        family: 4 or 6.
        plan: How the table was made.
    """

    def __init__(self, read: table.Table, family: int, plan: ruleset.Plan) -> None:
        self._table, self._family, self._plan = read, family, plan
        self._length = ruleset.key_length(ruleset.EDGE, family)
        self._service_length = ruleset.key_length(ruleset.TRANSLATED, family)
        self._counts = {s: counts.Counts(self._length, plan.timeout_seconds) for s in ruleset.STAGES}
        self._service_counts = {
            s: counts.Counts(self._service_length, plan.timeout_seconds) for s in _SERVICE_STAGES
        }
        self.unreadable = 0
        self.undetermined = 0
        self.forget()

    def forget(self) -> None:
        """Tell nothing of what was counted until now."""
        self._balances = {s: counts.Balance(self._length) for s in ruleset.STAGES[1:]}
        self._services = counts.Balance(self._service_length)

    def read(self, since: int) -> None:
        """Take in what was counted since the last look, each stage after the one ahead of it.

        So what a later stage counts meanwhile can only hide a drop until the next look, and never feign one.

        Args:
            since: Time of the last look, in ns since 1970.

        Raises:
            OSError: The kernel's error.
        """
        new = {}
        for stage in ruleset.STAGES:
            name = ruleset.counting_set(stage, self._family)
            new[stage] = self._take(self._counts[stage], name, self._length, since)
        for before, after in itertools.pairwise(ruleset.STAGES):
            self._balances[after].add(new[before], new[after])
        reached, passed = (
            self._take(counted, ruleset.service_set(stage, self._family), self._service_length, since)
            for stage, counted in self._service_counts.items()
        )
        self._services.add(reached, passed)

    def _take(self, counted: counts.Counts, name: str, length: int, since: int) -> counts.Rows:
        found, unreadable = self._table.elements(name, length)
        self.unreadable += unreadable
        return counted.take(found, time.time_ns(), since)

    def denied(self, since: int, settle: int, missed: Mapping[ruleset.Stage, int]) -> Edges:
        """What was dropped, each packet told once.

        Args:
            since: Time of the last look, in ns since 1970.
            settle: How long a packet may be on its way, in ns.
            missed: How many packets each stage could not count lately.

        Raises:
            OSError: The kernel's error.
        """
        now, told = time.time_ns(), []
        for before, after in itertools.pairwise(ruleset.STAGES):
            balance = self._balances[after]
            due = balance.due(now, settle)
            if len(due):
                self._verify(before, after, due["edge"], since)
                due = balance.due(now, settle)
                balance.tell(due)
            doubtful = np.minimum(due["packets"], missed[after])  # they may all have been of that edge
            self.undetermined += int(doubtful.sum())
            told.append(_plain(_part(due, doubtful), Reason.UNKNOWN))
            sure = _part(due, due["packets"] - doubtful)
            told += (
                self._by_service(sure) if after is ruleset.Stage.PASSED else [_plain(sure, _REASONS[after])]
            )
        for balance in (*self._balances.values(), self._services):
            balance.settle(now, settle, now - 2 * self._plan.timeout_seconds * counts.SECOND)
        return np.concatenate(told)

    def _verify(self, before: ruleset.Stage, after: ruleset.Stage, edges: counts.Keys, since: int) -> None:
        """Look up what the next stage has counted of some edges: a dump may have left some of it out."""
        keys = self._counts[before].keys_of(edges, self._plan.period_seconds)
        found = self._table.look_up(ruleset.counting_set(after, self._family), keys)
        grown = self._counts[after].take(found, time.time_ns(), since)
        none = grown[:0]
        self._balances[after].add(none, grown)
        if after is not ruleset.STAGES[-1]:
            following = ruleset.STAGES[ruleset.STAGES.index(after) + 1]
            self._balances[following].add(grown, none)

    def _by_service(self, dropped: counts.Rows) -> list[Edges]:
        """What was dropped by filters, with who would have answered where the destination was translated."""
        left = self._services.left()
        names = counts.edge_names(left["key"][:, : self._length - counts.PERIOD])
        left, names = left[np.isin(names, dropped["edge"])], names[np.isin(names, dropped["edge"])]
        if not len(left):
            return [_plain(dropped, Reason.POLICY)]
        at = np.searchsorted(dropped["edge"], names)
        order = np.argsort(at, kind="stable")
        left, at = left[order], at[order]
        ahead = np.cumsum(left["packets"]) - left["packets"]
        _, first, group = np.unique(at, return_index=True, return_inverse=True)
        share = np.clip(dropped["packets"][at] - (ahead - ahead[first][group]), 0, left["packets"])
        translated = _part(left, share)
        self._services.tell(translated)
        rest = dropped["packets"].copy()
        np.subtract.at(rest, at, share)
        return [self._translated(translated), _plain(_part(dropped, rest), Reason.POLICY)]

    def _translated(self, rows: counts.Rows) -> Edges:
        width = 4 if self._family == 4 else 16
        out = _plain(rows, Reason.POLICY)
        out["service"], out["service_port"] = out["dst"], out["dst_port"]
        at = self._length - counts.PERIOD
        out["dst"] = _address(rows["key"][:, at : at + width])
        out["dst_port"] = _be16(rows["key"], at + width) if len(rows) else 0
        return out

    def examples(self, settle: int) -> Attempts:
        """Attempts that were dropped, some of them: those that the table holds at the moment.

        Args:
            settle: How long a packet may be on its way, in ns.

        Raises:
            OSError: The kernel's error.
        """
        length = ruleset.key_length(ruleset.ATTEMPT, self._family)
        found, unreadable = self._table.elements(ruleset.example_set(self._family), length)
        self.unreadable += unreadable
        age = ruleset.EXAMPLE_SECONDS * counts.SECOND - found.expires * (counts.SECOND // 1000)
        old = age >= settle
        out = np.zeros(int(old.sum()), ATTEMPT)
        _fill(out, found.keys[old])
        out["src_port"] = _be16(found.keys[old], self._length - counts.PERIOD)
        out["last"] = time.time_ns() - age[old]
        return out


def _part(rows: counts.Rows, packets: counts.Numbers) -> counts.Rows:
    """Rows with fewer packets, and bytes in proportion; without those that have none left."""
    out = rows.copy()
    out["bytes"] = rows["bytes"] * packets // np.maximum(rows["packets"], 1)
    out["packets"] = packets
    return out[packets > 0]


def _plain(rows: counts.Rows, reason: Reason) -> Edges:
    out = np.zeros(len(rows), EDGE)
    for name in ("packets", "bytes", "first", "last"):
        out[name] = rows[name]
    _fill(out, rows["key"])
    out["reason"] = reason
    return out


def _fill(out: npt.NDArray[np.void], keys: decode.Bytes) -> None:
    """Who, whom, and what port or ICMP type: the parts with which every key begins."""
    width = 4 if keys.shape[1] < 2 * 16 else 16
    out["src"], out["dst"] = _address(keys[:, :width]), _address(keys[:, width : 2 * width])
    protocol = out["protocol"] = keys[:, 2 * width]
    first, second = keys[:, 2 * width + 4], keys[:, 2 * width + 5]
    out["dst_port"] = np.where(np.isin(protocol, _WITH_PORTS), _be16(keys, 2 * width + 4), 0)
    icmp = np.isin(protocol, _ICMP)
    out["icmp_type"], out["icmp_code"] = np.where(icmp, first, 0), np.where(icmp, second, 0)


def _address(raw: decode.Bytes) -> decode.Bytes:
    return address.map_v4(raw) if raw.shape[1] == 4 else raw


def _be16(keys: decode.Bytes, at: int) -> npt.NDArray[np.uint16]:
    return (keys[:, at].astype(np.uint16) << np.uint16(8)) | keys[:, at + 1]
