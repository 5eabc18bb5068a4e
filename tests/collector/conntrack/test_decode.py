"""Conntrack messages as real kernels wrote them, and as none would."""

from __future__ import annotations

import json
import pathlib
import re
import struct

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from collector.conntrack import decode
from collector.netlink import layouts, sockets
from model import address, asof, enums

CAPTURES = pathlib.Path(__file__).parents[2] / "captures"
RECORDED = sorted(path.stem for path in CAPTURES.glob("conntrack-*.bin"))
DUMPS = sorted(path.stem for path in CAPTURES.glob("conntrack-*.txt"))
SCTP_STATES = ("NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED")
"""linux/netfilter/nf_conntrack_sctp.h, as far as the captures need them."""
NEW, DELETE = 0x100, 0x102


def _read(messages: bytes) -> decode.Decoded:
    return decode.decode(layouts.datagram(messages))


def _decoded(name: str) -> decode.Connections:
    decoded = _read((CAPTURES / f"{name}.bin").read_bytes())
    assert (decoded.malformed, decoded.error) == (0, "")
    return decoded.connections


def _plain(rows: np.ndarray) -> dict[str, list]:
    return {
        name: [address.render(bytes(a)) for a in rows[name]] if rows[name].ndim == 2 else rows[name].tolist()
        for name in rows.dtype.names
        if name not in ("key", "tuple")
    }


def test_there_are_captures() -> None:
    assert {name.split("-linux")[0] for name in RECORDED} == {
        f"conntrack-{kind}-{what}"
        for kind in ("counted", "uncounted", "inserted")
        for what in ("dump", "destroy")
    }


@pytest.mark.parametrize("name", RECORDED)
def test_capture_has_the_expected_columns(name: str) -> None:
    assert _plain(_decoded(name)) == json.loads((CAPTURES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", DUMPS)
def test_dump_says_what_conntrack_says(name: str) -> None:
    listed = (CAPTURES / f"{name}.txt").read_text().splitlines()
    decoded = _plain(_decoded(name))
    rows = {
        number: {column: values[i] for column, values in decoded.items()}
        for i, number in enumerate(decoded["id"])
    }
    assert len(rows) == len(listed)
    for line in listed:
        row = rows[int(re.search(r" id=(\d+)$", line)[1])]
        assert _from_text(line) == {name: row[name] for name in _from_text(line)}


def _from_text(line: str) -> dict[str, object]:
    """The columns that a line of ``conntrack -L`` tells."""
    words = line.split()
    pairs = [word.split("=") for word in words if "=" in word]
    original, reply = (
        {name: values[which] for name, values in _grouped(pairs).items() if len(values) > which}
        for which in (0, 1)
    )
    told: dict[str, object] = {"protocol": int(words[1]), "src": original["src"], "dst": reply["src"]}
    for way, said in (("forward", original), ("reverse", reply)):
        for count in ("packets", "bytes"):
            told[f"{way}_{count}"] = int(said.get(count, 0))
    for name, word in (
        ("mark", "mark"), ("use", "use"), ("zone", "zone"), ("src_zone", "zone-orig"),
        ("dst_zone", "zone-reply"),
    ):  # fmt: skip
        told[name] = int(original.get(word, 0))
    is_icmp = told["protocol"] in (enums.Protocol.ICMP, enums.Protocol.ICMPV6)
    for prefix, said in (("", original), ("reply_", reply)):
        for name in ("type", "code", "id"):
            told[f"{prefix}icmp_{name}"] = int(said[name]) if is_icmp else 0
    told |= _ports(original, reply)
    told["state"] = _state(told["protocol"], words[3])
    flags = {word for word in words if word.startswith("[")}
    assert flags <= {"[ASSURED]", "[UNREPLIED]"}
    return told


def _ports(original: dict[str, str], reply: dict[str, str]) -> dict[str, object]:
    """GRE has its keys in their place, in hexadecimal; other protocols may have neither."""
    (src, dst), (seen_src, seen_dst) = (
        [int(said.get(f"{end[0]}port", said.get(f"{end}key", "0")), 0) for end in ("src", "dst")]
        for said in (original, reply)
    )
    dialled, answered = (original["dst"], dst), (reply["src"], seen_src)
    seen, source = (reply["dst"], seen_dst), (original["src"], src)
    told: dict[str, object] = {"src_port": src, "dst_port": seen_src}
    told["service"], told["service_port"] = dialled if dialled != answered else ("", 0)
    told["snat"], told["snat_port"] = seen if seen != source else ("", 0)
    return told


def _state(protocol: object, word: str) -> int:
    if protocol == enums.Protocol.TCP:
        return enums.TCP_STATES.index(word.lower())
    return SCTP_STATES.index(word) if protocol == enums.Protocol.SCTP else 0


def _grouped(pairs: list[list[str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def test_an_entry_keeps_its_key_from_dump_to_destroy() -> None:
    for kind in ("counted", "uncounted", "inserted"):
        (dump,) = [name for name in RECORDED if name.startswith(f"conntrack-{kind}-dump")]
        (destroy,) = [name for name in RECORDED if name.startswith(f"conntrack-{kind}-destroy")]
        living, ended = _decoded(dump), _decoded(destroy)
        assert set(living["key"]) <= set(ended["key"])
        assert not living["destroyed"].any()
        assert ended["destroyed"].all()
        assert len(set(ended["key"])) == len(ended)


def test_times_stand_only_where_the_kernel_kept_them() -> None:
    for name in RECORDED:
        connections = _decoded(name)
        counted = "-counted" in name
        assert (connections["started"] > 0).all() == counted
        if counted and "destroy" in name:
            assert (connections["stopped"] > connections["started"]).all()
        else:
            assert not connections["stopped"].any()


def _number(kind: int, value: int, size: int) -> bytes:
    return sockets.attribute(kind, value.to_bytes(size, "big"))


def _tuple(kind: int, src: str, dst: str, protocol: int, *more: bytes) -> bytes:
    v6 = ":" in src
    ends = [address.pack(end) if v6 else address.pack(end)[12:] for end in (src, dst)]
    first = 3 if v6 else 1
    addresses = b"".join(sockets.attribute(first + i, end) for i, end in enumerate(ends))
    transport = b"".join([_number(1, protocol, 1), *more])
    return sockets.attribute(
        0x8000 | kind, sockets.attribute(0x8001, addresses) + sockets.attribute(0x8002, transport)
    )


def _ends(src: int, dst: int) -> bytes:
    return _number(2, src, 2) + _number(3, dst, 2)


ORIGINAL = _tuple(1, "10.0.0.1", "10.0.0.2", 6, _ends(40_000, 80))
REPLY = _tuple(2, "10.0.0.2", "10.0.0.1", 6, _ends(80, 40_000))


def _message(*attributes: bytes, kind: int = NEW) -> bytes:
    return sockets.message(kind, 0, bytes(4) + b"".join(attributes))


DIRECT = {"service": "", "service_port": 0, "snat": "", "snat_port": 0}


@pytest.mark.parametrize(
    ("original", "reply", "expected"),
    [
        pytest.param(ORIGINAL, REPLY, {"src_port": 40_000, "dst": "10.0.0.2", "dst_port": 80} | DIRECT,
                     id="no translation"),
        pytest.param(
            ORIGINAL, _tuple(2, "10.0.0.9", "10.0.0.1", 6, _ends(8080, 40_000)),
            {"dst": "10.0.0.9", "dst_port": 8080, "service": "10.0.0.2", "service_port": 80, "snat": ""},
            id="DNAT",
        ),
        pytest.param(
            ORIGINAL, _tuple(2, "10.0.0.2", "10.0.0.1", 6, _ends(8080, 40_000)),
            {"dst": "10.0.0.2", "dst_port": 8080, "service": "10.0.0.2", "service_port": 80, "snat": ""},
            id="DNAT of the port alone",
        ),
        pytest.param(
            ORIGINAL, _tuple(2, "10.0.0.2", "10.0.0.7", 6, _ends(80, 1024)),
            {"dst_port": 80, "service": "", "snat": "10.0.0.7", "snat_port": 1024}, id="SNAT",
        ),
        pytest.param(
            ORIGINAL, _tuple(2, "10.0.0.2", "10.0.0.1", 6, _ends(80, 1024)),
            {"src_port": 40_000, "service": "", "snat": "10.0.0.1", "snat_port": 1024},
            id="SNAT of the port alone",
        ),
        pytest.param(
            ORIGINAL, _tuple(2, "10.0.0.9", "10.0.0.7", 6, _ends(8080, 1024)),
            {"dst": "10.0.0.9", "dst_port": 8080, "service": "10.0.0.2", "service_port": 80,
             "snat": "10.0.0.7", "snat_port": 1024},
            id="both",
        ),
        pytest.param(
            _tuple(1, "fd00::1", "fd00::2", 17, _ends(1, 2)),
            _tuple(2, "fd00::2", "fd00::1", 17, _ends(2, 1)),
            {"src": "fd00::1", "dst": "fd00::2", "protocol": 17} | DIRECT, id="IPv6",
        ),
        pytest.param(
            _tuple(1, "fd00::1", "fd00::2", 17, _ends(1, 2)),
            _tuple(2, "fd00::3", "fd00::1", 17, _ends(2, 1)),
            {"dst": "fd00::3", "service": "fd00::2", "service_port": 2}, id="IPv6 DNAT",
        ),
        pytest.param(
            _tuple(1, "10.0.0.1", "10.0.0.2", 1, _number(4, 7, 2), _number(5, 8, 1), _number(6, 3, 1)),
            _tuple(2, "10.0.0.2", "10.0.0.1", 1, _number(4, 9, 2), _number(5, 0, 1), _number(6, 4, 1)),
            {"src_port": 0, "dst_port": 0, "icmp_id": 7, "icmp_type": 8, "icmp_code": 3, "reply_icmp_id": 9,
             "reply_icmp_type": 0, "reply_icmp_code": 4} | DIRECT,
            id="ICMP whose identifier is translated",
        ),
        pytest.param(
            _tuple(1, "fd00::1", "fd00::2", 58, _number(7, 7, 2), _number(8, 128, 1), _number(9, 0, 1)),
            _tuple(2, "fd00::2", "fd00::1", 58, _number(7, 7, 2), _number(8, 129, 1), _number(9, 0, 1)),
            {"icmp_id": 7, "icmp_type": 128, "reply_icmp_id": 7, "reply_icmp_type": 129}, id="ICMPv6",
        ),
        pytest.param(
            _tuple(1, "10.0.0.1", "10.0.0.2", 99), _tuple(2, "10.0.0.2", "10.0.0.1", 99),
            {"protocol": 99, "src_port": 0, "dst_port": 0} | DIRECT, id="protocol without ports",
        ),
    ],
)  # fmt: skip
def test_tuples(original: bytes, reply: bytes, expected: dict[str, object]) -> None:
    decoded = _read(_message(original, reply))
    assert (decoded.malformed, decoded.error) == (0, "")
    assert {name: _plain(decoded.connections)[name] for name in expected} == {
        name: [value] for name, value in expected.items()
    }


def _nest(kind: int, *inside: bytes) -> bytes:
    return sockets.attribute(0x8000 | kind, b"".join(inside))


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        pytest.param(_nest(4, _nest(1, _number(1, 3, 1))), {"state": 3}, id="TCP state"),
        pytest.param(_nest(4, _nest(2, _number(1, 5, 1))), {"state": 5}, id="DCCP state"),
        pytest.param(_nest(4, _nest(3, _number(1, 4, 1))), {"state": 4}, id="SCTP state"),
        pytest.param(_number(8, 0xABCD0123, 4), {"mark": 0xABCD0123}, id="mark"),
        pytest.param(_number(18, 65_535, 2), {"zone": 65_535, "src_zone": 0, "dst_zone": 0}, id="zone"),
        pytest.param(_number(11, 2, 4), {"use": 2}, id="use"),
        pytest.param(_number(3, 0xE, 4), {"status": 0xE}, id="status"),
        pytest.param(_number(7, 431_999, 4), {"timeout": 431_999}, id="timeout"),
        pytest.param(_number(12, 0xFFFFFFFF, 4), {"id": 0xFFFFFFFF}, id="id"),
        pytest.param(
            _nest(9, _number(1, 2**40, 8), _number(2, 2**63, 8))
            + _nest(10, _number(1, 1, 8), _number(2, 9, 8)),
            {"forward_packets": 2**40, "forward_bytes": 2**63, "reverse_packets": 1, "reverse_bytes": 9},
            id="counters beyond 32 bits",
        ),
        pytest.param(
            _nest(20, _number(1, 1_795_479_982_283_314_521, 8), _number(2, 1_795_479_983_000_000_001, 8)),
            {"started": 1_795_479_982_283_314_521, "stopped": 1_795_479_983_000_000_001},
            id="times to the ns",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [False, True], ids=["behind the tuples", "before the tuples"])
def test_attributes(attribute: bytes, expected: dict[str, int], first: bool) -> None:
    tuples = [ORIGINAL, REPLY]
    decoded = _read(_message(*([attribute, *tuples] if first else [*tuples, attribute])))
    assert (decoded.malformed, decoded.error) == (0, "")
    assert {name: decoded.connections[name].tolist() for name in expected} == {
        name: [value] for name, value in expected.items()
    }


def test_zones_of_one_direction() -> None:
    original, reply = (
        _nest(which, tuple_[4:], _number(3, zone, 2))
        for which, tuple_, zone in ((1, ORIGINAL, 6), (2, REPLY, 7))
    )
    (row,) = _read(_message(original, reply)).connections
    assert (row["zone"], row["src_zone"], row["dst_zone"]) == (0, 6, 7)


def test_key_tells_apart_what_the_kernel_does() -> None:
    """An id alone may be used anew, and so may a five-tuple."""
    tuples = ORIGINAL + REPLY
    other = _tuple(1, "10.0.0.1", "10.0.0.2", 6, _ends(40_001, 80)) + REPLY
    messages = [
        _message(tuples, _number(12, 1, 4)),
        _message(tuples, _number(12, 2, 4)),
        _message(other, _number(12, 1, 4)),
        _message(tuples, _number(12, 1, 4), _nest(20, _number(1, 5, 8))),
        _message(tuples, _number(12, 1, 4), _number(8, 5, 4), _number(7, 5, 4), kind=DELETE),
    ]
    keys = _read(b"".join(messages)).connections["key"].tolist()
    assert len(set(keys[:4])) == 4
    assert keys[4] == keys[0]


def test_tuple_is_that_of_policies() -> None:
    """Source before SNAT, destination after DNAT."""
    translated = _tuple(2, "10.0.0.9", "10.0.0.7", 6, _ends(8080, 1024))
    decoded = _read(_message(ORIGINAL, translated)).connections
    ends = [np.frombuffer(address.pack(f"10.0.0.{i}"), np.uint8)[None] for i in (1, 9)]
    numbers = [np.array([n], kind) for n, kind in ((40_000, "u2"), (8080, "u2"), (6, "u1"), (0, "u2"))]
    assert decoded["tuple"] == decode.five_tuple(*ends, *numbers)
    assert decoded["key"] == asof.mix(decoded["tuple"], decoded["id"], decoded["started"].view("u8"))


V4_ENDS = sockets.attribute(1, bytes(4)) + sockets.attribute(2, bytes(4))
MISSING = "CTA_TUPLE_{} at byte 20: missing"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param(_message(), MISSING.format("ORIG/CTA_TUPLE_PROTO/CTA_PROTO_NUM"), id="nothing"),
        pytest.param(
            _message(REPLY), MISSING.format("ORIG/CTA_TUPLE_PROTO/CTA_PROTO_NUM"), id="no original tuple"
        ),
        pytest.param(
            _message(ORIGINAL), MISSING.format("REPLY/CTA_TUPLE_PROTO/CTA_PROTO_NUM"), id="no reply tuple"
        ),
        pytest.param(
            _message(_nest(1, _nest(2, _number(1, 6, 1))), REPLY), MISSING.format("ORIG/CTA_TUPLE_IP"),
            id="no addresses",
        ),
        pytest.param(
            _message(_nest(1, _nest(1, V4_ENDS[:8]), _nest(2, _number(1, 6, 1))), REPLY),
            MISSING.format("ORIG/CTA_TUPLE_IP"), id="no destination",
        ),
        pytest.param(
            _message(ORIGINAL, _nest(2, _nest(1, V4_ENDS), _nest(2, _ends(1, 2)))),
            MISSING.format("REPLY/CTA_TUPLE_PROTO/CTA_PROTO_NUM"), id="no protocol",
        ),
        pytest.param(
            _message(ORIGINAL, REPLY, _number(3, 1, 2)), "CTA_STATUS at byte 124: 2 bytes, not 4",
            id="status too small",
        ),
        pytest.param(
            _message(ORIGINAL, REPLY, _nest(9, _number(1, 1, 4))),
            "CTA_COUNTERS_ORIG/CTA_COUNTERS_PACKETS at byte 128: 4 bytes, not 8", id="counter too small",
        ),
        pytest.param(
            _message(ORIGINAL, REPLY, _nest(20, _number(1, 1, 8), _number(2, 1, 7))),
            "CTA_TIMESTAMP/CTA_TIMESTAMP_STOP at byte 140: 7 bytes, not 8", id="time too small",
        ),
        pytest.param(
            _message(_nest(1, _nest(1, _number(3, 1, 15))), REPLY),
            "CTA_TUPLE_ORIG/CTA_TUPLE_IP/CTA_IP_V6_SRC at byte 28: 15 bytes, not 16", id="address too small",
        ),
        pytest.param(
            _message(_nest(1, _nest(2, _number(1, 6, 1), _number(2, 1, 1))), REPLY),
            "CTA_TUPLE_ORIG/CTA_TUPLE_PROTO/CTA_PROTO_SRC_PORT at byte 36: 1 bytes, not 2",
            id="port too small",
        ),
        pytest.param(
            _message(ORIGINAL, REPLY, _nest(4, _nest(3, _number(1, 0, 0)))),
            "CTA_PROTOINFO/CTA_PROTOINFO_SCTP/CTA_PROTOINFO_SCTP_STATE at byte 132: 0 bytes, not 1",
            id="state too small",
        ),
        pytest.param(
            _message(ORIGINAL, REPLY, struct.pack("=HH", 2, 8)), "CTA_MARK at byte 124: length 2 of 4 bytes",
            id="length shorter than a header",
        ),
        pytest.param(
            _message(ORIGINAL, REPLY, kind=NEW + 1), "nlmsghdr at byte 0: not a message about a connection",
            id="another kind of message",
        ),
        pytest.param(
            struct.pack("=IHHII", 400, NEW, 0, 0, 0) + bytes(100),
            "nlmsghdr at byte 0: a length that cannot be",
            id="torn",
        ),
    ],
)  # fmt: skip
def test_malformed_message_is_counted_named_and_harms_no_other(message: bytes, error: str) -> None:
    alone = _read(message)
    assert (len(alone.connections), alone.malformed, alone.error) == (0, 1, error)
    sound = _message(ORIGINAL, REPLY)
    behind = b"" if "length that cannot be" in error else sound  # what follows a torn one is lost with it
    among = _read(sound + message + behind)
    assert (len(among.connections), among.malformed, among.error) == (1 + bool(behind), 1, error)
    assert _plain(among.connections)["src"] == ["10.0.0.1"] * (1 + bool(behind))


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(sockets.attribute(16, bytes(8)), id="CTA_SECCTX, which we do not read"),
        pytest.param(sockets.attribute(22, bytes(16)), id="CTA_LABELS, which we do not read"),
        pytest.param(sockets.attribute(99, b"of a later kernel"), id="of a later kernel"),
        pytest.param(_nest(99, _nest(1, ORIGINAL, REPLY)), id="a nest of a later kernel"),
        pytest.param(_nest(20, sockets.attribute(9, bytes(8))), id="inside a nest that we know"),
        pytest.param(_nest(4, _nest(9, _number(1, 7, 1))), id="state of another protocol"),
    ],
)
def test_unknown_attributes_are_passed_over(unknown: bytes) -> None:
    plain = _message(ORIGINAL, REPLY)
    decoded = _read(_message(unknown, ORIGINAL, REPLY) + plain + _message(ORIGINAL, REPLY, unknown))
    assert (decoded.malformed, decoded.error) == (0, "")
    assert len(set(map(bytes, decoded.connections))) == 1


def test_capture_with_one_broken_length() -> None:
    (name,) = [name for name in RECORDED if name.startswith("conntrack-counted-dump")]
    whole = bytearray((CAPTURES / f"{name}.bin").read_bytes())
    whole[20:22] = b"\xff\xff"  # the length of the first attribute of the first message
    decoded = _read(whole)
    assert (len(decoded.connections), decoded.malformed) == (len(_decoded(name)) - 1, 1)
    assert decoded.error.startswith("CTA_TUPLE_ORIG at byte 20: length 65535 of ")


def test_nothing_decodes_to_nothing() -> None:
    for nothing in (layouts.datagram(b""), layouts.Datagrams(np.zeros(layouts.LONGEST, np.uint8), *_NO_ROWS)):
        decoded = decode.decode(nothing)
        assert (len(decoded.connections), decoded.malformed, decoded.error) == (0, 0, "")


_NO_ROWS = np.zeros(0, np.int64), np.zeros(0, np.int64)


def test_pieces_are_put_together_and_rows_taken() -> None:
    connections = _decoded(RECORDED[0])
    whole = decode.concatenate([connections[:3], connections[:0], connections[3:]])
    assert whole.tobytes() == connections.tobytes()
    assert len(decode.concatenate([])) == 0
    assert decode.take(whole, np.array([2, 0])).tobytes() == connections[[2, 0]].tobytes()


_attributes = st.recursive(
    st.binary(max_size=20),
    lambda inner: st.lists(st.tuples(st.integers(1, 21), inner), max_size=6).map(
        lambda pairs: b"".join(sockets.attribute(kind, body) for kind, body in pairs)
    ),
    max_leaves=20,
)


@hypothesis.given(st.lists(st.tuples(st.integers(1, 21), _attributes), max_size=6), st.binary(max_size=24))
def test_fields_of_any_length_never_raise(attributes: list[tuple[int, bytes]], tail: bytes) -> None:
    """Not the kernel's, but what a kernel of another year might make of them."""
    body = ORIGINAL + b"".join(sockets.attribute(kind, b) for kind, b in attributes)
    _read(_message(body) + tail)
