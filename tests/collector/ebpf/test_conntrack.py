"""Entries of Calico's conntrack maps, written down from its structs and read as columns."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.conntrack import decode as connections
from collector.ebpf import conntrack, maps
from model import address, enums, errors

BOOT = 1_000_000 * 1_000_000_000
V4, V6 = (
    maps.Info(kind=maps.LRU_HASH, key_size=16, value_size=88, capacity=100),
    maps.Info(kind=maps.LRU_HASH, key_size=40, value_size=128, capacity=100),
)
BEGUN_BY_B = 0x100
FORWARD, REVERSE = 1, 2
SYN, ACK, FIN, RST = 1, 2, 4, 8


def _layout(family: int) -> conntrack.Layout:
    pin = conntrack.parse_pin(f"cali_v{family}_ct4")
    assert pin
    return conntrack.layout(pin, V4 if family == 4 else V6)


def _decode(*entries: Any) -> connections.Decoded:
    keys, values = (
        np.frombuffer(b"".join(column), np.uint8).reshape(len(entries), -1)
        for column in zip(*(one.pair() for one in entries), strict=True)
    )
    return conntrack.decode(_layout(6 if ":" in entries[0].a else 4), keys, values, BOOT)


def _row(one: Any) -> dict[str, Any]:
    """What is said of one entry, but for what is zero and for its keys."""
    (row,) = _decode(one).connections
    told = {}
    for name in connections.CONNECTION.names:
        value = address.render(row[name].tobytes()) if row[name].shape else row[name].item()
        if value and value != "::" and name not in ("key", "tuple"):
            told[name] = value
    return told


@pytest.mark.parametrize(
    ("name", "family", "version"),
    [("cali_v4_ct3", 4, 3), ("cali_v4_ct4", 4, 4), ("cali_v6_ct4", 6, 4), ("cali_v4_ct", 4, 1),
     ("cali_v6_ct12", 6, 12)],
)  # fmt: skip
def test_pin(name: str, family: int, version: int) -> None:
    assert conntrack.parse_pin(name) == conntrack.Pin(name, family, version)


@pytest.mark.parametrize(
    "name", ["cali_v4_ctx4", "cali_v4_ct4_old", "cali_v5_ct4", "cali_v4_nat_fe3", "cali_ct"]
)
def test_what_is_no_conntrack_map(name: str) -> None:
    assert conntrack.parse_pin(name) is None


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        pytest.param("cali_v4_ct5", {}, "cali_v4_ct5 has version 5, of which only 3 and 4 are known",
                     id="newer"),
        pytest.param("cali_v4_ct2", {}, "cali_v4_ct2 has version 2,", id="older"),
        pytest.param("cali_v4_ct", {}, "cali_v4_ct has version 1,", id="first"),
        pytest.param("cali_v4_ct4", {"key_size": 20},
                     "its keys have 20 bytes and its values 88, instead of 16 and 88",
                     id="key"),
        pytest.param("cali_v4_ct4", {"value_size": 96}, "cali_v4_ct4 is not version 4 as it is known",
                     id="value"),
        pytest.param("cali_v6_ct4", {}, "keys have 16 bytes and its values 88, instead of 40 and 128",
                     id="family"),
        pytest.param("cali_v4_ct4", {"kind": 5}, "its type is 5", id="type"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(name: str, changes: dict[str, int], said: str) -> None:
    pin = conntrack.parse_pin(name)
    assert pin
    with pytest.raises(errors.SetupError, match=said):
        conntrack.layout(pin, dataclasses.replace(V4, **changes))


@pytest.mark.parametrize("kind", [maps.HASH, maps.LRU_HASH])
@pytest.mark.parametrize("name", ["cali_v4_ct3", "cali_v4_ct4", "cali_v6_ct3", "cali_v6_ct4"])
def test_what_is_known(name: str, kind: int) -> None:
    pin = conntrack.parse_pin(name)
    assert pin
    info = dataclasses.replace(V4 if pin.family == 4 else V6, kind=kind)
    known = conntrack.layout(pin, info)
    assert (known.key.itemsize, known.value.itemsize) == (info.key_size, info.value_size)


PLAIN = {
    "src": "10.0.0.1", "dst": "10.0.0.2", "src_port": 40000, "dst_port": 80, "protocol": 6, "state": 3,
    "forward_packets": 3, "forward_bytes": 300, "reverse_packets": 2, "reverse_bytes": 200,
    "status": connections.SEEN_REPLY, "stopped": BOOT + 5,
}  # fmt: skip


def test_begun_by_a(entry: Callable[..., Any]) -> None:
    assert _row(entry(last_seen=5)) == PLAIN


def test_begun_by_b(entry: Callable[..., Any]) -> None:
    assert _row(entry(last_seen=5, flags=BEGUN_BY_B)) == PLAIN | {
        "src": "10.0.0.2", "dst": "10.0.0.1", "src_port": 80, "dst_port": 40000, "forward_packets": 2,
        "forward_bytes": 200, "reverse_packets": 3, "reverse_bytes": 300,
    }  # fmt: skip


def test_other_flags_change_nothing(entry: Callable[..., Any]) -> None:
    assert _row(entry(last_seen=5, flags=0xFFFFFFFF & ~BEGUN_BY_B, rst_seen=9, tunnel="10.9.9.9")) == PLAIN


def test_without_answer(entry: Callable[..., Any], leg: Callable[..., Any]) -> None:
    row = _row(entry(protocol=17, ba=leg()))
    assert "status" not in row
    assert "state" not in row


def test_service(entry: Callable[..., Any]) -> None:
    """Who was dialled is kept beside who answers; nobody has hidden the source."""
    one = entry(last_seen=5, type=REVERSE, dialled="10.96.0.10", dialled_port=8080, source="10.0.0.1",
                source_port=40000)  # fmt: skip
    assert _row(one) == PLAIN | {"service": "10.96.0.10", "service_port": 8080}


def test_service_dialled_by_b(entry: Callable[..., Any]) -> None:
    row = _row(entry(type=REVERSE, flags=BEGUN_BY_B, dialled="10.96.0.10", dialled_port=8080))
    assert [row[name] for name in ("src", "dst", "service", "service_port")] == [
        "10.0.0.2", "10.0.0.1", "10.96.0.10", 8080,
    ]  # fmt: skip


def test_service_with_another_port_alone(entry: Callable[..., Any]) -> None:
    row = _row(entry(type=REVERSE, dialled="10.0.0.2", dialled_port=8080))
    assert (row["service"], row["service_port"]) == ("10.0.0.2", 8080)


def test_translation_to_itself_is_none(entry: Callable[..., Any]) -> None:
    assert _row(entry(last_seen=5, type=REVERSE, dialled="10.0.0.2", dialled_port=80)) == PLAIN


def test_source_that_was_hidden(entry: Callable[..., Any]) -> None:
    """The node put its tunnel's address in place of the client's, and another port."""
    one = entry(last_seen=5, type=REVERSE, dialled="10.96.0.10", dialled_port=8080, source="10.7.7.7",
                source_port=1234)  # fmt: skip
    assert _row(one) == PLAIN | {
        "src": "10.7.7.7", "src_port": 1234, "snat": "10.0.0.1", "snat_port": 40000,
        "service": "10.96.0.10", "service_port": 8080,
    }  # fmt: skip


def test_source_port_that_was_hidden(entry: Callable[..., Any]) -> None:
    row = _row(entry(type=REVERSE, dialled="10.96.0.10", dialled_port=8080, source_port=1234))
    assert [row[name] for name in ("src", "src_port", "snat", "snat_port")] == [
        "10.0.0.1", 1234, "10.0.0.1", 40000,
    ]  # fmt: skip


def test_original_ends_of_a_plain_entry_mean_nothing(entry: Callable[..., Any]) -> None:
    one = entry(last_seen=5, dialled="1.1.1.1", dialled_port=1, source="2.2.2.2", source_port=2)
    assert _row(one) == PLAIN


def test_entry_of_the_way_there_is_passed_over(entry: Callable[..., Any]) -> None:
    decoded = _decode(entry(type=FORWARD), entry(a_port=40001), entry(type=FORWARD, b_port=81))
    assert decoded.connections["src_port"].tolist() == [40001]
    assert (decoded.malformed, decoded.error) == (0, "")


def test_type_that_is_not_known_is_counted(entry: Callable[..., Any]) -> None:
    decoded = _decode(entry(type=7), entry(a_port=40001), entry(type=9))
    assert len(decoded.connections) == 1
    assert (decoded.malformed, decoded.error) == (2, "value at byte 16: type 7 is not known")


def test_ipv6(entry: Callable[..., Any]) -> None:
    one = entry(a="fd00::1", b="fd00::2", last_seen=5, type=REVERSE, flags=BEGUN_BY_B, dialled="fd96::10",
                dialled_port=8080, source="fd00::7", source_port=1234, protocol=17)  # fmt: skip
    assert _row(one) == {
        "src": "fd00::7", "dst": "fd00::1", "src_port": 1234, "dst_port": 40000, "service": "fd96::10",
        "service_port": 8080, "snat": "fd00::2", "snat_port": 80, "protocol": 17, "forward_packets": 2,
        "forward_bytes": 200, "reverse_packets": 3, "reverse_bytes": 300, "status": connections.SEEN_REPLY,
        "stopped": BOOT + 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("forward", "reverse", "state"),
    [
        pytest.param(SYN, 0, "syn_sent", id="asked"),
        pytest.param(SYN, SYN | ACK, "syn_recv", id="answered"),
        pytest.param(SYN | ACK, SYN | ACK, "established", id="both"),
        pytest.param(SYN | ACK | FIN, SYN | ACK, "fin_wait", id="one end closed"),
        pytest.param(SYN | ACK, SYN | ACK | FIN, "fin_wait", id="the other closed"),
        pytest.param(SYN | ACK | FIN, SYN | ACK | FIN, "time_wait", id="both closed"),
        pytest.param(SYN, RST, "close", id="refused"),
        pytest.param(SYN | ACK | FIN | RST, SYN | ACK, "close", id="reset"),
        pytest.param(0, 0, "", id="met in the middle"),
        pytest.param(0xFFFFFFF0, 0xFFFFFFF0, "", id="other bits"),
    ],
)
def test_tcp_state(
    entry: Callable[..., Any], leg: Callable[..., Any], forward: int, reverse: int, state: str
) -> None:
    ends = {"ab": leg(bits=forward, packets=1), "ba": leg(bits=reverse)}
    assert enums.TCP_STATES[_row(entry(**ends)).get("state", 0)] == state
    turned = {"ba": ends["ab"], "ab": ends["ba"], "flags": BEGUN_BY_B}
    assert enums.TCP_STATES[_row(entry(**turned)).get("state", 0)] == state
    assert "state" not in _row(entry(**ends, protocol=17))


def test_keys_are_those_of_the_kernel_s_own_table(
    entry: Callable[..., Any], connections: Callable[..., np.ndarray]
) -> None:
    ours = _decode(entry()).connections
    theirs = connections({"id": 0, "started": 0})
    assert ours["tuple"].tolist() == theirs["tuple"].tolist()
    assert ours["key"].tolist() == theirs["key"].tolist()


def test_no_entries() -> None:
    decoded = conntrack.decode(_layout(6), np.zeros((0, 40), np.uint8), np.zeros((0, 128), np.uint8), BOOT)
    assert (len(decoded.connections), decoded.malformed) == (0, 0)


PORTS, WORDS, LONGS = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
LEGS = st.fixed_dictionaries({"bytes": LONGS, "packets": WORDS, "bits": WORDS})


def _ends(kind: Any) -> st.SearchStrategy[dict[str, str]]:
    texts = st.builds(lambda number: str(kind(number)), st.integers(1, 2 ** kind(0).max_prefixlen - 1))
    return st.fixed_dictionaries(dict.fromkeys(("a", "b", "dialled", "source"), texts))


@given(
    ends=st.one_of(_ends(ipaddress.IPv4Address), _ends(ipaddress.IPv6Address)),
    legs=st.tuples(LEGS, LEGS),
    numbers=st.fixed_dictionaries({
        "a_port": PORTS, "b_port": PORTS, "dialled_port": PORTS, "source_port": PORTS, "flags": WORDS,
        "protocol": st.integers(0, 255), "type": st.sampled_from([0, 2]), "last_seen": st.integers(0, 2**62),
        "rst_seen": LONGS,
    }),
)  # fmt: skip
def test_whatever_is_written_is_read(
    entry: Callable[..., Any], leg: Callable[..., Any], ends: dict[str, str],
    legs: tuple[dict[str, int], dict[str, int]], numbers: dict[str, int],
) -> None:  # fmt: skip
    one = entry(**ends, **numbers, ab=leg(**legs[0]), ba=leg(**legs[1]))
    (row,) = _decode(one).connections
    (first, port), (second, other) = (one.a, one.a_port), (one.b, one.b_port)
    there, back = one.ab, one.ba
    if one.flags & BEGUN_BY_B:
        first, port, second, other, there, back = second, other, first, port, back, there
    keyed = (first, port)
    if one.type == REVERSE:
        first, port = one.source, one.source_port or port
    assert (_text(row, "src"), row["src_port"], _text(row, "dst"), row["dst_port"]) == (
        first,
        port,
        second,
        other,
    )
    assert (row["forward_bytes"], row["forward_packets"]) == (there.bytes, there.packets)
    assert (row["reverse_bytes"], row["reverse_packets"]) == (back.bytes, back.packets)
    assert (row["protocol"], row["stopped"], row["destroyed"]) == (one.protocol, one.last_seen + BOOT, False)
    void = ("::", 0)
    dialled = (one.dialled, one.dialled_port)
    serves = one.type == REVERSE and dialled != (second, other)
    assert (_text(row, "service"), row["service_port"]) == (dialled if serves else void)
    assert (_text(row, "snat"), row["snat_port"]) == (keyed if keyed != (first, port) else void)


def _text(row: Any, name: str) -> str:
    """An address as text, in the form in which the test wrote it."""
    found = ipaddress.IPv6Address(row[name].tobytes())
    return str(found.ipv4_mapped or found)
