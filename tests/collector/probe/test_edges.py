"""What is told of an edge, by what each stage has counted and what a dump has left out of it."""

from __future__ import annotations

import ipaddress
import struct
import time

import numpy as np
import pytest

from collector.probe import decode, edges, ruleset
from model import address

PLAN = ruleset.Plan(size=64, timeout_seconds=32, period_seconds=32)
STAGES = ("seen", "admitted", "reached", "passed")
NONE_MISSED = dict.fromkeys(ruleset.STAGES, 0)
SECOND = 1_000_000_000
CLIENT, POD, OTHER, SERVICE = (ipaddress.IPv4Address(text).packed for text in (
    "10.1.0.2", "10.2.0.2", "10.2.0.3", "10.96.0.1",
))  # fmt: skip


class Table:
    """Answers as the kernel's table does, with an answer to a dump from which some elements are left out."""

    def __init__(self) -> None:
        self.counted: dict[str, dict[bytes, int]] = {}
        self.left_out: set[str] = set()

    def count(self, key: bytes, *names: str, packets: int = 1) -> None:
        for name in names:
            counted = self.counted.setdefault(name, {})
            counted[key] = counted.get(key, 0) + packets

    def elements(self, name: str, key_length: int) -> tuple[decode.Elements, int]:
        counted = {} if name in self.left_out else self.counted.get(name, {})
        return self._found(counted, key_length), 0

    def look_up(self, name: str, keys: decode.Bytes) -> decode.Elements:
        wanted = {key.tobytes() for key in keys}
        counted = {key: n for key, n in self.counted.get(name, {}).items() if key in wanted}
        return self._found(counted, keys.shape[1])

    def _found(self, counted: dict[bytes, int], length: int) -> decode.Elements:
        packets = np.array(list(counted.values()), np.int64)
        return decode.Elements(
            keys=np.frombuffer(b"".join(counted), np.uint8).reshape(-1, length), packets=packets,
            bytes=60 * packets, expires=np.full(len(packets), 30_000),  # so the last packet came 2 s ago
        )  # fmt: skip


def _period() -> bytes:
    return struct.pack("=I", (time.time_ns() // SECOND - 2) % 86_400 & -PLAN.period_seconds)


def _edge(target: bytes = POD, port: int = 80, protocol: int = 6) -> bytes:
    return CLIENT + target + bytes([protocol, 0, 0, 0]) + struct.pack(">HH", port, 0) + _period()


def _translated(answering: bytes, port: int) -> bytes:
    edge = _edge(SERVICE, 53, 17)
    return edge[:-4] + answering + struct.pack(">HH", port, 0) + edge[-4:]


def _told(family: edges.Family, missed: dict[ruleset.Stage, int] = NONE_MISSED) -> list[tuple[object, ...]]:
    since = time.time_ns() - 10 * SECOND
    family.read(since)
    rows = family.denied(since, SECOND, missed)
    return sorted(
        (
            *(address.render(row[name].tobytes()) for name in ("dst", "service")),
            *(row[name].item() for name in ("dst_port", "packets")),
            edges.Reason(row["reason"]).name,
        )
        for row in rows
    )


def _names(*stages: str) -> list[str]:
    return [f"{stage}4" for stage in stages]


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def family(table: Table) -> edges.Family:
    return edges.Family(table, 4, PLAN)


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        pytest.param(1, "POLICY", id="in front of routing"),
        pytest.param(2, "ROUTING", id="in routing"),
        pytest.param(3, "POLICY", id="in filters"),
        pytest.param(4, None, id="nowhere"),
    ],
)
def test_reason_is_where_it_was_last_seen(table: Table, family: edges.Family, last: int, reason: str) -> None:
    table.count(_edge(), *_names(*STAGES[:last]), packets=3)
    assert _told(family) == ([("10.2.0.2", "", 80, 3, reason)] if reason else [])
    assert _told(family) == []


@pytest.mark.parametrize("stage", STAGES[1:])
def test_what_a_dump_leaves_out_is_not_taken_for_dropped(table: Table, family, stage: str) -> None:
    table.left_out = {f"{stage}4"}
    table.count(_edge(), *_names(*STAGES), packets=3)
    assert _told(family) == []
    table.left_out = set()
    table.count(_edge(), *_names(*STAGES[:3]))
    assert _told(family) == [("10.2.0.2", "", 80, 1, "POLICY")]


def test_what_a_dump_leaves_out_of_the_first_stage_is_told_later(table: Table, family: edges.Family) -> None:
    table.left_out = {"seen4"}
    table.count(_edge(), "seen4", packets=3)
    assert _told(family) == []
    table.left_out = set()
    assert _told(family) == [("10.2.0.2", "", 80, 3, "POLICY")]


def test_packet_that_crosses_into_the_next_period_has_passed(table: Table, family: edges.Family) -> None:
    edge = _edge()
    period = struct.unpack("=I", edge[-4:])[0]
    table.count(edge, *_names(*STAGES[:3]))
    table.count(edge[:-4] + struct.pack("=I", (period + 32) % 86_400), "passed4")
    assert _told(family) == []


def test_what_a_full_set_may_have_missed_is_of_unknown_reason(table: Table, family: edges.Family) -> None:
    table.count(_edge(port=80), *_names(*STAGES[:3]), packets=3)
    table.count(_edge(port=81), *_names(*STAGES[:3]), packets=7)
    assert _told(family, NONE_MISSED | {ruleset.Stage.PASSED: 5}) == [
        ("10.2.0.2", "", 80, 3, "UNKNOWN"), ("10.2.0.2", "", 81, 2, "POLICY"),
        ("10.2.0.2", "", 81, 5, "UNKNOWN"),
    ]  # fmt: skip
    assert family.undetermined == 8
    assert _told(family) == []


def test_dropped_packets_of_a_service_are_shared_out(table: Table, family: edges.Family) -> None:
    """Nine were dropped; of seven is known behind which pod, of two not, as that set was full."""
    table.count(_edge(SERVICE, 53, 17), *_names(*STAGES[:3]), packets=12)
    table.count(_edge(SERVICE, 53, 17), "passed4", packets=3)
    table.count(_translated(POD, 5353), "service_reached4", packets=8)
    table.count(_translated(POD, 5353), "service_passed4", packets=3)
    table.count(_translated(OTHER, 5354), "service_reached4", packets=2)
    assert _told(family) == [
        ("10.2.0.2", "10.96.0.1", 5353, 5, "POLICY"), ("10.2.0.3", "10.96.0.1", 5354, 2, "POLICY"),
        ("10.96.0.1", "", 53, 2, "POLICY"),
    ]  # fmt: skip
    assert _told(family) == []


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        pytest.param(6, (0x0801, 0, 0), id="TCP"),
        pytest.param(1, (0, 8, 1), id="ICMP"),
        pytest.param(47, (0, 0, 0), id="GRE, whose key is no port"),
    ],
)
def test_meaning_of_the_port(table: Table, family: edges.Family, protocol: int, expected) -> None:
    table.count(_edge(port=0x0801, protocol=protocol), "seen4")
    since = time.time_ns() - SECOND
    family.read(since)
    (row,) = family.denied(since, SECOND, NONE_MISSED)
    assert (row["dst_port"], row["icmp_type"], row["icmp_code"]) == expected


def test_forgotten_counts_are_not_told(table: Table, family: edges.Family) -> None:
    table.count(_edge(), "seen4", packets=3)
    family.read(time.time_ns() - SECOND)
    family.forget()
    assert _told(family) == []
    table.count(_edge(), "seen4", packets=2)
    assert _told(family) == [("10.2.0.2", "", 80, 2, "POLICY")]
