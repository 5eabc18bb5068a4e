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
from collector.netlink import layouts, sockets
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


def _read(messages: bytes) -> decode.Decoded:
    return decode.decode(layouts.datagram(messages))


def _message(payload: bytes | None, *more: bytes, kind: int = PACKET) -> bytes:
    attributes = b"".join(more) + (b"" if payload is None else sockets.attribute(9, payload))
    message = sockets.message(kind, 0, bytes(2) + struct.pack(">H", 7) + attributes)
    return message + bytes(-len(message) % 4)


def _v4(protocol: int, transport: bytes, *, options: bytes = b"", fragment: int = 0) -> bytes:
    first = 0x40 | (5 + len(options) // 4)
    length = 20 + len(options) + len(transport)
    fields = struct.pack(">BBHHHBBH", first, 0, length, 0, fragment, 64, protocol, 0)
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
    decoded = _read((CAPTURES / f"{name}.bin").read_bytes())
    assert (decoded.malformed, decoded.error) == (0, "")
    expected = json.loads((CAPTURES / f"{name}.json").read_text())
    # where a prefix stands in the list is nobody's business
    found = _plain(decoded.packets)
    found["prefix"] = [decoded.prefixes[code] for code in found["prefix"]]
    expected["packets"]["prefix"] = [expected["prefixes"][code] for code in expected["packets"]["prefix"]]
    assert found == expected["packets"]


@pytest.mark.parametrize("name", RECORDED)
def test_capture_tells_what_was_sent(name: str) -> None:
    """Held against the rules and the traffic of ``record.py``, not against an earlier decoding."""
    decoded = _read((CAPTURES / f"{name}.bin").read_bytes())
    packets, prefixes = decoded.packets, decoded.prefixes
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
    input_hook, only_cable = 1, 2
    assert (packets["hook"] == input_hook).all()
    assert (packets["in_interface"] == only_cable).all()
    assert not packets["out_interface"].any()
    marked = {6: 0x10, 17: 0, 1: 0, 58: 0x20}
    assert packets["mark"].tolist() == [marked[protocol] for protocol in packets["protocol"].tolist()]
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
        pytest.param(_v4(1, bytes([3, 1, 0, 0, 0, 0, 0, 0])), {"icmp_type": 3, "icmp_code": 1}, id="ICMP"),
        pytest.param(_v4(33, UDP), {"protocol": 33, "src_port": 1000, "dst_port": 53}, id="DCCP"),
        pytest.param(_v4(136, UDP), {"protocol": 136, "src_port": 1000, "dst_port": 53}, id="UDPLite"),
        pytest.param(_v4(17, UDP, fragment=0x2000), {"dst_port": 53}, id="first fragment"),
        pytest.param(_v4(17, UDP, fragment=0x2001), {"protocol": 17, "dst_port": 0}, id="later fragment"),
        pytest.param(_v6(44, bytes([17, 0, 0, 1]) + bytes(4) + UDP), {"protocol": 17, "dst_port": 53},
                     id="first IPv6 fragment"),
        pytest.param(_v6(44, bytes([17, 0, 0, 8]) + bytes(4) + UDP), {"protocol": 17, "dst_port": 0},
                     id="later IPv6 fragment"),
        pytest.param(_v6(51, bytes([6, 4]) + bytes(22) + TCP), {"protocol": 6, "dst_port": 443},
                     id="authentication header"),
        pytest.param(_v6(50, bytes(24)), {"protocol": 50, "dst_port": 0}, id="encrypted"),
        pytest.param(_v6(59, b""), {"protocol": 59, "length": 40}, id="nothing behind the IPv6 header"),
        pytest.param(_v6(0, bytes([17, 200]) + bytes(6) + UDP), {"protocol": 17, "dst_port": 0},
                     id="extension header longer than what was captured"),
        pytest.param(_v4(6, TCP + bytes(2000)), {"length": 2040, "dst_port": 443}, id="a long packet"),
    ],
)  # fmt: skip
def test_headers(payload: bytes, expected: dict[str, int]) -> None:
    decoded = _read(_message(payload))
    assert (decoded.malformed, decoded.error) == (0, "")
    assert {name: decoded.packets[name].tolist() for name in expected} == {
        n: [v] for n, v in expected.items()
    }


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        pytest.param(sockets.attribute(1, bytes([8, 0, 3, 0])), {"hook": 3}, id="hook"),
        pytest.param(sockets.attribute(2, bytes([0xAB, 0, 0, 1])), {"mark": 0xAB000001}, id="mark"),
        pytest.param(
            sockets.attribute(3, struct.pack(">QQ", 1_795_479_982, 283_314)),
            {"time": 1_795_479_982_283_314_000}, id="time",
        ),
        pytest.param(sockets.attribute(4, bytes([0, 0, 1, 2])), {"in_interface": 258}, id="interface in"),
        pytest.param(sockets.attribute(5, bytes([0, 0, 1, 2])), {"out_interface": 258}, id="interface out"),
        pytest.param(sockets.attribute(12, b"\xff" * 4), {"sequence": 2**32 - 1}, id="sequence"),
        pytest.param(
            sockets.attribute(18, sockets.attribute(1, bytes(40)) + sockets.attribute(12, b"\xff\0\0\1")),
            {"conntrack_id": 0xFF000001}, id="conntrack's id",
        ),
        pytest.param(sockets.attribute(19, bytes(4)), {"conntrack_id": 0}, id="NFULA_CT_INFO, unknown to us"),
        pytest.param(sockets.attribute(99, b"of a later kernel"), {"mark": 0}, id="of a later kernel"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("behind", [False, True], ids=["before the payload", "behind the payload"])
def test_attributes(attribute: bytes, expected: dict[str, int], behind: bool) -> None:
    message = _message(None, sockets.attribute(9, _v4(17, UDP)), attribute) if behind else _message(
        _v4(17, UDP), attribute
    )  # fmt: skip
    decoded = _read(message)
    assert (decoded.malformed, decoded.error) == (0, "")
    assert {name: decoded.packets[name].tolist() for name in expected} == {
        n: [v] for n, v in expected.items()
    }
    assert decoded.packets["dst_port"].tolist() == [53]
    assert decoded.packets["group"].tolist() == [7]


def test_what_stands_behind_a_short_payload_is_not_its_own() -> None:
    """Neither an attribute nor the padding can be taken for the transport header."""
    cut = _v4(17, UDP)[:27]
    for message in (
        _message(None, sockets.attribute(9, cut[:24]), sockets.attribute(2, bytes(4))),
        _message(cut),
    ):
        decoded = _read(message)
        assert decoded.malformed == 0
        assert decoded.packets["dst_port"].tolist() == [0]


def test_key_is_that_of_the_connection() -> None:
    packets = _read(_message(_v4(17, UDP))).packets
    ends = [np.frombuffer(address.pack(f"10.0.0.{i}"), np.uint8)[None] for i in (1, 2)]
    numbers = [np.array([n], kind) for n, kind in ((1000, "u2"), (53, "u2"), (17, "u1"), (0, "u2"))]
    assert packets["tuple"] == conntrack.five_tuple(*ends, *numbers)


NO_HEADER = "NFULA_PAYLOAD at byte 20: neither an IPv4 nor an IPv6 header"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param(_message(None), "NFULA_PAYLOAD at byte 20: missing", id="no payload"),
        pytest.param(_message(b""), NO_HEADER, id="empty payload"),
        pytest.param(_message(_v4(17, UDP)[:19]), NO_HEADER, id="less than an IPv4 header"),
        pytest.param(_message(_v6(17, UDP)[:39]), NO_HEADER, id="less than an IPv6 header"),
        pytest.param(_message(b"\x44" + _v4(17, UDP)[1:]), NO_HEADER, id="IPv4 header of 16 bytes"),
        pytest.param(_message(bytes(60)), NO_HEADER, id="no IP at all"),
        pytest.param(
            _message(None, struct.pack("=HH", 3, 1)), "NFULA_PACKET_HDR at byte 20: length 3 of 4 bytes",
            id="length shorter than a header",
        ),
        pytest.param(
            _message(_v4(17, UDP), sockets.attribute(12, b"abc")), "NFULA_SEQ at byte 20: 3 bytes, not 4",
            id="sequence too small",
        ),
        pytest.param(
            _message(_v4(17, UDP), sockets.attribute(3, bytes(8))),
            "NFULA_TIMESTAMP at byte 20: 8 bytes, not 16", id="time too small",
        ),
        pytest.param(
            _message(_v4(17, UDP), sockets.attribute(18, sockets.attribute(12, b"a"))),
            "NFULA_CT/CTA_ID at byte 24: 1 bytes, not 4", id="conntrack's id too small",
        ),
        pytest.param(
            _message(None, struct.pack("=HH", 2, 9)), "NFULA_PAYLOAD at byte 20: length 2 of 4 bytes",
            id="payload shorter than its header",
        ),
    ],
)  # fmt: skip
def test_unreadable_message_is_counted_named_and_harms_no_other(message: bytes, error: str) -> None:
    sound = _message(_v4(17, UDP))
    decoded = _read(sound + message + sound)
    assert (len(decoded.packets), decoded.malformed, decoded.error) == (2, 1, error)


def test_torn_datagram_is_counted() -> None:
    sound = _message(_v4(17, UDP))
    decoded = _read(sound + sound[:30])
    assert (len(decoded.packets), decoded.malformed) == (1, 1)
    assert decoded.error == "nlmsghdr at byte 0: a length that cannot be"


def test_other_kinds_of_messages_are_passed_over() -> None:
    decoded = _read(_message(_v4(17, UDP), kind=CONFIG))
    assert (len(decoded.packets), decoded.malformed, decoded.error) == (0, 0, "")


def test_nothing_decodes_to_nothing() -> None:
    decoded = _read(b"")
    assert (len(decoded.packets), decoded.prefixes, decoded.malformed, decoded.error) == (0, [], 0, "")


def test_equal_prefixes_share_a_code_whatever_their_layout() -> None:
    named = sockets.attribute(10, b"API0|np/a/b\0")
    mark = sockets.attribute(2, bytes(4))
    payload = _v4(17, UDP)
    decoded = _read(_message(payload, named) + _message(payload, mark, named) + _message(payload))
    assert [decoded.prefixes[code] for code in decoded.packets["prefix"]] == [
        "API0|np/a/b",
        "API0|np/a/b",
        "",
    ]
    assert sorted(decoded.prefixes) == ["", "API0|np/a/b"]


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"\0", "", id="NUL alone"),
        pytest.param(b"API0\0", "API0", id="with its NUL"),
        pytest.param(b"API0", "API0", id="without a NUL"),
        pytest.param(b"API0\0rest\0", "API0", id="something behind the NUL"),
        pytest.param("größe\0".encode(), "größe", id="UTF-8"),
        pytest.param(b"a\xffb\0", "a\ufffdb", id="no UTF-8"),
        pytest.param(b"x" * 127 + b"\0", "x" * 127, id="as long as the kernel allows"),
    ],
)
def test_prefix_ends_at_its_nul(text: bytes, prefix: str) -> None:
    other = _message(_v4(17, UDP), sockets.attribute(10, b"z" * len(text)))
    decoded = _read(_message(_v4(17, UDP), sockets.attribute(10, text)) + other)
    assert [decoded.prefixes[code] for code in decoded.packets["prefix"]] == [prefix, "z" * len(text)]


def test_packets_of_many_layouts_keep_their_order() -> None:
    """Different lengths, families, prefixes and attributes, mixed."""
    messages, expected = [], []
    for number in range(200):
        packet = _v6(17, UDP + bytes(number % 50)) if number % 3 else _v4(6, TCP + bytes(number % 7))
        more = [sockets.attribute(2, bytes(4))] if number % 2 else []
        named = sockets.attribute(10, b"p%d\0" % (number % 5))
        messages.append(_message(packet, *more, named, sockets.attribute(12, struct.pack(">I", number))))
        expected.append((number, f"p{number % 5}", 53 if number % 3 else 443))
    decoded = _read(b"".join(messages))
    read = [
        (p["sequence"].item(), decoded.prefixes[p["prefix"]], p["dst_port"].item()) for p in decoded.packets
    ]
    assert read == expected


_fields = st.lists(st.tuples(st.sampled_from([1, 2, 3, 9, 10, 12]), st.binary(max_size=100)), max_size=6)


@hypothesis.given(st.lists(_fields, max_size=4))
def test_fields_of_any_length_never_raise(messages: list[list[tuple[int, bytes]]]) -> None:
    encoded = [[sockets.attribute(kind, body) for kind, body in fields] for fields in messages]
    decoded = _read(b"".join(_message(None, *f) for f in encoded))
    assert len(decoded.packets) + decoded.malformed == len(messages)


@hypothesis.given(st.binary(min_size=20, max_size=100), st.sampled_from([0x45, 0x4F, 0x60]))
def test_packets_of_any_content_never_raise(packet: bytes, first: int) -> None:
    _read(_message(bytes([first]) + packet[1:]))
