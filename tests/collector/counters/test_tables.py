"""Lists of tables, as the kernel gives them."""

from __future__ import annotations

import struct
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from collector.counters import tables
from collector.netlink import sockets


def _message(family: int, *attributes: bytes) -> bytes:
    return sockets.message(0x0A00, 0, struct.pack("=BBH", family, 0, 0) + b"".join(attributes))


MINE = _message(2, sockets.attribute(1, b"calico\0"), sockets.attribute(4, (7).to_bytes(8, "big")))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(b"", [], id="none"),
        pytest.param(MINE, [tables.Table("ip", "calico", 7)], id="one"),
        pytest.param(MINE + MINE[:-3], [tables.Table("ip", "calico", 7)], id="cut"),
        pytest.param(MINE[:30], [], id="all cut"),
        pytest.param(_message(3, sockets.attribute(1, b"arp\0")), [], id="family that polices nothing"),
        pytest.param(_message(10, sockets.attribute(4, bytes(8))), [], id="no name"),
        pytest.param(
            _message(1, struct.pack("=HH", 2, 1), b"abcd"), [], id="attribute without room for itself"
        ),
        pytest.param(
            _message(1, sockets.attribute(1, b"x\0")), [tables.Table("inet", "x", 0)], id="no handle"
        ),
    ],
)
def test_answer_is_read(answer: bytes, expected: list[tables.Table]) -> None:
    assert tables.decode(answer) == expected


@hypothesis.given(strategies.binary())
def test_any_answer_is_read(answer: bytes) -> None:
    tables.decode(answer)


@pytest.mark.net
def test_kernel_lists_its_tables(namespace: Any) -> None:
    namespace.nft("table ip6 a { }; table arp b { }; table inet c { };")
    with namespace.within(sockets.open_netfilter) as opened:
        found = tables.nftables(opened)
    assert {(t.family, t.name) for t in found} == {("ip6", "a"), ("inet", "c"), ("inet", "track")}
    assert len({t.handle for t in found}) == 3


@pytest.mark.net
def test_legacy_tables_are_those_that_are_there(namespace: Any) -> None:
    assert namespace.within(lambda: tables.legacy(4)) == []
    namespace.run("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    assert namespace.within(lambda: tables.legacy(4)) == ["filter"]
    assert namespace.within(lambda: tables.legacy(6)) == []
