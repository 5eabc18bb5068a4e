"""Conntrack messages as real kernels wrote them, and as none would."""

from __future__ import annotations

import json
import pathlib
import re

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from collector.conntrack import decode
from collector.netlink import sockets
from model import address, enums

CAPTURES = pathlib.Path(__file__).parents[2] / "captures"
RECORDED = sorted(path.stem for path in CAPTURES.glob("conntrack-*.bin"))
DUMPS = sorted(path.stem for path in CAPTURES.glob("conntrack-*.txt"))


def _decoded(name: str) -> decode.Connections:
    connections, malformed = decode.decode(bytearray((CAPTURES / f"{name}.bin").read_bytes()))
    assert malformed == 0
    return connections


def _plain(rows: np.ndarray) -> dict[str, list]:
    return {
        name: [address.render(bytes(a)) for a in rows[name]] if rows[name].ndim == 2 else rows[name].tolist()
        for name in rows.dtype.names
        if name not in ("key", "tuple")
    }


def test_there_are_captures() -> None:
    assert {name.split("-linux")[0] for name in RECORDED} == {
        "conntrack-counted-dump",
        "conntrack-counted-destroy",
        "conntrack-uncounted-dump",
        "conntrack-uncounted-destroy",
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
    told["service"] = original["dst"] if original["dst"] != reply["src"] else ""
    told["snat"] = reply["dst"] if reply["dst"] != original["src"] else ""
    for way, said in (("forward", original), ("reverse", reply)):
        for count in ("packets", "bytes"):
            told[f"{way}_{count}"] = int(said.get(count, 0))
    if told["protocol"] in (enums.Protocol.ICMP, enums.Protocol.ICMPV6):
        told |= {f"icmp_{name}": int(original[name]) for name in ("type", "code")}
        told["icmp_id"] = int(re.search(r" code=0 id=(\d+) ", line)[1])
    else:
        told |= {"src_port": int(original["sport"]), "dst_port": int(reply["sport"])}
        translated = (original["dst"], original["dport"]) != (reply["src"], reply["sport"])
        told["service_port"] = int(original["dport"]) if translated else 0
    if told["protocol"] == enums.Protocol.TCP:
        told["tcp_state"] = enums.TCP_STATES.index(words[3].lower())
    return told


def _grouped(pairs: list[list[str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def test_an_entry_keeps_its_key_from_dump_to_destroy() -> None:
    for kind in ("counted", "uncounted"):
        (dump,) = [name for name in RECORDED if name.startswith(f"conntrack-{kind}-dump")]
        (destroy,) = [name for name in RECORDED if name.startswith(f"conntrack-{kind}-destroy")]
        living, ended = _decoded(dump), _decoded(destroy)
        assert set(living["key"]) < set(ended["key"])
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


def test_malformed_message_is_counted() -> None:
    (name,) = [name for name in RECORDED if name.startswith("conntrack-counted-dump")]
    whole = bytearray((CAPTURES / f"{name}.bin").read_bytes())
    whole[20:22] = b"\xff\xff"  # the length of the first attribute of the first message
    connections, malformed = decode.decode(whole)
    assert (len(connections), malformed) == (len(_decoded(name)) - 1, 1)


def test_nothing_decodes_to_nothing() -> None:
    connections, malformed = decode.decode(bytearray())
    assert (len(connections), malformed) == (0, 0)


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
    tuple_ip = sockets.attribute(2, sockets.attribute(1, b"\x06"))
    body = sockets.attribute(1, tuple_ip) + b"".join(sockets.attribute(kind, b) for kind, b in attributes)
    decode.decode(bytearray(sockets.message(0x100, 0, bytes(4) + body) + tail))
