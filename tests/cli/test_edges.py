"""Edges in words, the same ones in the same order, in whatever order a ledger tells them."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from cli import edges
from model import address, enums
from policy import record

TCP, ICMP = enums.Protocol.TCP, enums.Protocol.ICMP
WEB, CART = (
    record.Variant(workload=record.Workload("shop", "Deployment", name), labels={"app": name})
    for name in ("web", "cart")
)
ADDRESSES = ("203.0.113.9", "2001:db8::9")
ROWS = [
    # src, dst, protocol, port, icmp_type, connections
    (0, 1, TCP, 8080, -1, 5), (1, 0, TCP, 80, -1, 1), (0, -1, TCP, 443, -1, 2), (0, -2, ICMP, 0, 8, 2),
    (-1, 0, TCP, 80, -1, 1),
]  # fmt: skip
NAMES = [
    "shop/web to shop/cart TCP 8080", "shop/web to 2001:db8::9 ICMP 8", "shop/web to 203.0.113.9 TCP 443",
    "203.0.113.9 to shop/web TCP 80", "shop/cart to shop/web TCP 80",
]  # fmt: skip
"""By connections, the most first, then by name."""


def _record(rows: list[tuple[int, ...]]) -> record.Record:
    src, dst, protocol, port, icmp_type, connections = (
        np.array([row[i] for row in rows], np.int32) for i in range(6)
    )
    zero = np.zeros(len(rows), np.int64)
    none = np.full(len(rows), "", object)
    packed = np.frombuffer(b"".join(map(address.pack, ADDRESSES)), np.uint8).reshape(-1, 16)
    return record.Record(
        variants=(WEB, CART), packed=packed,
        kinds=("public", "public"), names=("", ""), namespaces=("", ""), src=src, dst=dst, protocol=protocol,
        port=port, icmp_type=icmp_type, icmp_code=src, family=src, verdict=none, attribution=none,
        connections=connections.astype(np.int64), forward_packets=zero, reverse_packets=zero, bytes=zero,
        first=zero, last=zero, starts=np.zeros(len(rows) + 1, np.int64), hours=np.zeros(0, np.uint32),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_order_is_not_that_of_the_ledger(seed: int) -> None:
    """Neither that of its rows, nor that in which it has named addresses and pods."""
    dice = random.Random(seed)
    rows = dice.sample(ROWS, len(ROWS))
    told = edges.Edges(_record(rows))
    found = [told.name(row) for row in told.ordered(range(len(rows))).tolist()]
    assert found == NAMES
    turned = [(*({0: 1, 1: 0, -1: -2, -2: -1}[end] for end in row[:2]), *row[2:]) for row in rows]
    seen = _record(turned)
    seen = dataclasses.replace(seen, variants=seen.variants[::-1], packed=seen.packed[::-1].copy())
    told = edges.Edges(seen)
    assert [told.name(row) for row in told.ordered(range(len(rows))).tolist()] == NAMES


@pytest.mark.parametrize(
    ("rows", "count", "said"),
    [
        pytest.param([0], 3, "5 connections, shop/web to shop/cart TCP 8080", id="one"),
        pytest.param([1], 3, "1 connection, shop/cart to shop/web TCP 80", id="one of one"),
        pytest.param([0, 2], 3, f"7 connections of 2 edges: {NAMES[0]}; {NAMES[2]}", id="all of them"),
        pytest.param([2, 0], 1, f"7 connections of 2 edges, such as {NAMES[0]}", id="the largest"),
        pytest.param([0, 0], 1, f"10 connections of 2 edges: {NAMES[0]}", id="two of one name"),
    ],
)
def test_some_edges_in_words(rows: list[int], count: int, said: str) -> None:
    assert edges.Edges(_record(ROWS)).some(rows, count) == said


def test_examples_are_found_among_many() -> None:
    many = [(0, 1, TCP, port, -1, 1) for port in range(1, 1001)]
    names, more = edges.Edges(_record(many)).examples(range(1000))
    assert names == [f"shop/web to shop/cart TCP {port}" for port in (1, 2, 3)]
    assert more
