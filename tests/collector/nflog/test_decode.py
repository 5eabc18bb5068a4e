"""NFLOG messages as real kernels wrote them, and as none would."""

from __future__ import annotations

import json
import pathlib
import struct

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from collector.conntrack import decode as conntrack
from collector.netlink import sockets
from collector.nflog import decode
from model import address

CAPTURES = pathlib.Path(__file__).parents[2] / "captures"
RECORDED = sorted(path.stem for path in CAPTURES.glob("nflog-*.bin"))
PACKET, CONFIG = 0x400, 0x401


def _plain(rows: np.ndarray) -> dict[str, list]:
    return {
        name: [address.render(bytes(a)) for a in rows[name]] if rows[name].ndim == 2 else rows[name].tolist()
        for name in rows.dtype.names
        if name not in ("key", "tuple")
    }


def _message(payload: bytes | None, *more: bytes, kind: int = PACKET) -> bytes:
    attributes = b"".join(more) + (b"" if payload is None else sockets.attribute(9, payload))
    message = sockets.message(kind, 0, bytes(2) + struct.pack(">H", 7) + attributes)
    return message + bytes(-len(message) % 4)


def _v4(protocol: int, transport: bytes, *, options: bytes = b"") -> bytes:
    first = 0x40 | (5 + len(options) // 4)
    length = 20 + len(options) + len(transport)
    fields = struct.pack(">BBHHHBBH", first, 0, length, 0, 0, 64, protocol, 0)
    return fields + bytes([10, 0, 0, 1]) + bytes([10, 0, 0, 2]) + options + transport


def _v6(following: int, rest: bytes) -> bytes:
    ends = address.pack("fd00::1") + address.pack("fd00::2")
    return struct.pack(">IHBB", 6 << 28, len(rest), following, 64) + ends + rest


UDP = struct.pack(">HHHH", 1000, 53, 8, 0)
TCP = struct.pack(">HHII", 1000, 443, 0xDEADBEEF, 0) + bytes(8)


def test_there_are_captures() -> None:
    assert RECORDED


@pytest.mark.parametrize("name", RECORDED)
def test_capture_has_the_expected_columns(name: str) -> None:
    packets, prefixes, unreadable = decode.decode(bytearray((CAPTURES / f"{name}.bin").read_bytes()))
    assert unreadable == 0
    expected = json.loads((CAPTURES / f"{name}.json").read_text())
    # where a prefix stands in the list is nobody's business
    found = _plain(packets)
    found["prefix"] = [prefixes[code] for code in found["prefix"]]
    expected["packets"]["prefix"] = [expected["prefixes"][code] for code in expected["packets"]["prefix"]]
    assert found == expected["packets"]


@pytest.mark.parametrize("name", RECORDED)
def test_capture_tells_what_was_sent(name: str) -> None:
    """Held against the rules and the traffic of ``record.py``, not against an earlier decoding."""
    packets, prefixes, _ = decode.decode(bytearray((CAPTURES / f"{name}.bin").read_bytes()))
    told: dict[tuple, list] = {}
    for packet in packets:
        key = (packet["protocol"].item(), packet["dst_port"].item(), packet["icmp_type"].item())
        source = address.render(packet["src"].tobytes())
        told.setdefault(key, []).append((source, prefixes[packet["prefix"]], packet["length"].item()))
    long = "PPI12|knp/shop/a-rather-long-name-for-one-policy"
    datagrams = [("10.0.0.1", size + 28) for size in (0, 1, 100, 1000)]
    datagrams += [("fd00::1", size + 48) for size in (0, 1, 100, 1000)]
    datagrams += [("fd00::1", 48 + 8 + len("with a hop-by-hop header"))]
    assert told == {
        (6, 9001, 0): [(source, prefix, length) for source, length in (("10.0.0.1", 60), ("fd00::1", 80))
                       for prefix in ("API0|np/a/b", "DPI|default")],
        (17, 9002, 0): [(source, prefix, length) for source, length in datagrams for prefix in (long, "")],
        (1, 0, 8): [("10.0.0.1", "DRI", 44)],
        (58, 0, 128): [(told[58, 0, 128][0][0], "ARI0|kns.default", 64)],
    }  # fmt: skip
    assert packets["sequence"].tolist() == list(range(len(packets)))
    assert (packets["group"] == 7).all()
    assert (np.diff(packets["time"]) > 0).all()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(
            _v4(17, UDP), {"src_port": 1000, "dst_port": 53, "protocol": 17, "length": 28}, id="UDP"
        ),
        pytest.param(_v4(6, TCP), {"dst_port": 443, "tcp_sequence": 0xDEADBEEF}, id="TCP"),
        pytest.param(_v4(6, TCP, options=bytes(8)), {"dst_port": 443}, id="IPv4 options"),
        pytest.param(_v4(132, UDP), {"protocol": 132, "dst_port": 53}, id="SCTP"),
        pytest.param(_v4(47, UDP), {"protocol": 47, "dst_port": 0}, id="protocol without ports"),
        pytest.param(_v4(6, TCP)[:27], {"protocol": 6, "dst_port": 0, "tcp_sequence": 0}, id="cut off"),
        pytest.param(_v6(17, UDP), {"dst_port": 53, "length": 48}, id="IPv6"),
        pytest.param(_v6(0, bytes([17, 0]) + bytes(6) + UDP), {"protocol": 17, "dst_port": 53},
                     id="hop-by-hop header"),
        pytest.param(_v6(60, bytes([43, 1]) + bytes(14) + bytes([6, 0]) + bytes(6) + TCP),
                     {"protocol": 6, "tcp_sequence": 0xDEADBEEF}, id="two extension headers"),
        pytest.param(_v6(58, bytes([128, 0, 0, 0, 0x12, 0x34, 0, 0])),
                     {"icmp_type": 128, "icmp_id": 0x1234, "src_port": 0}, id="ICMPv6 echo"),
    ],
)  # fmt: skip
def test_headers(payload: bytes, expected: dict[str, int]) -> None:
    packets, _, unreadable = decode.decode(bytearray(_message(payload)))
    assert unreadable == 0
    assert {name: packets[name].tolist() for name in expected} == {n: [v] for n, v in expected.items()}


def test_key_is_that_of_the_connection() -> None:
    packets, _, _ = decode.decode(bytearray(_message(_v4(17, UDP))))
    ends = [np.frombuffer(address.pack(f"10.0.0.{i}"), np.uint8)[None] for i in (1, 2)]
    numbers = [np.array([n]) for n in (1000, 53, 17, 0)]
    assert packets["tuple"] == conntrack.five_tuple(*ends, *numbers)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(_message(None), id="no payload"),
        pytest.param(_message(b""), id="empty payload"),
        pytest.param(_message(_v4(17, UDP)[:19]), id="less than an IPv4 header"),
        pytest.param(_message(_v6(17, UDP)[:39]), id="less than an IPv6 header"),
        pytest.param(_message(bytes(60)), id="no IP at all"),
        pytest.param(_message(None, struct.pack("=HH", 3, 1)), id="malformed attribute"),
    ],
)
def test_unreadable_message_is_counted_and_harms_no_other(message: bytes) -> None:
    sound = _message(_v4(17, UDP))
    packets, _, unreadable = decode.decode(bytearray(sound + message + sound))
    assert (len(packets), unreadable) == (2, 1)


def test_other_kinds_of_messages_are_passed_over() -> None:
    packets, _, unreadable = decode.decode(bytearray(_message(_v4(17, UDP), kind=CONFIG)))
    assert (len(packets), unreadable) == (0, 0)


def test_equal_prefixes_share_a_code_whatever_their_layout() -> None:
    named = sockets.attribute(10, b"API0|np/a/b\0")
    mark = sockets.attribute(2, bytes(4))
    payload = _v4(17, UDP)
    packets, prefixes, _ = decode.decode(
        bytearray(_message(payload, named) + _message(payload, mark, named) + _message(payload))
    )
    assert [prefixes[code] for code in packets["prefix"]] == ["API0|np/a/b", "API0|np/a/b", ""]
    assert sorted(prefixes) == ["", "API0|np/a/b"]


_fields = st.lists(st.tuples(st.sampled_from([1, 2, 3, 9, 10, 12]), st.binary(max_size=100)), max_size=6)


@hypothesis.given(st.lists(_fields, max_size=4))
def test_fields_of_any_length_never_raise(messages: list[list[tuple[int, bytes]]]) -> None:
    encoded = [[sockets.attribute(kind, body) for kind, body in fields] for fields in messages]
    packets, _, unreadable = decode.decode(bytearray(b"".join(_message(None, *f) for f in encoded)))
    assert len(packets) + unreadable == len(messages)


@hypothesis.given(st.binary(min_size=20, max_size=100), st.sampled_from([0x45, 0x4F, 0x60]))
def test_packets_of_any_content_never_raise(packet: bytes, first: int) -> None:
    decode.decode(bytearray(_message(bytes([first]) + packet[1:])))
