"""Netlink messages of any shape, sound or not."""

from __future__ import annotations

import struct

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from collector.netlink import layouts, sockets

TREE: layouts.Tree = {1: "one", 2: {1: "inner", 2: {3: "innermost"}}, 3: "three"}
GENERAL = bytes(4)
"""``struct nfgenmsg``, which stands before the attributes."""


def _message(*attributes: bytes) -> bytes:
    return sockets.message(0x100, 0, GENERAL + b"".join(attributes))


def _padded(*messages: bytes) -> bytearray:
    return bytearray(b"".join(message + bytes(-len(message) % 4) for message in messages))


def _groups(buffer: bytearray, tree: layouts.Tree = TREE) -> list:
    starts, lengths = layouts.split(buffer)
    return list(layouts.partition(layouts.aligned(buffer), starts, lengths, tree))


def _header(length: int) -> bytes:
    return struct.pack("=IHHII", length, 0x100, 0, 0, 0) + GENERAL


@pytest.mark.parametrize(
    ("buffer", "starts", "lengths"),
    [
        pytest.param(b"", [], [], id="nothing"),
        pytest.param(_header(20) * 2, [0, 20], [20, 20], id="one after the other"),
        pytest.param(_header(22) + bytes(4) + _header(20), [0, 24], [22, 20], id="unaligned length"),
        pytest.param(_header(20) + _header(22) + b"ab", [0, 20], [20, 22], id="unaligned end of the buffer"),
        pytest.param(_header(20) + _header(24) + b"abc", [0], [20], id="truncated tail"),
        pytest.param(_header(20) + _header(20)[:15], [0], [20], id="truncated header"),
        pytest.param(_header(20) + _header(0) + _header(20), [0], [20], id="length of zero"),
        pytest.param(_header(20) + _header(15) + _header(20), [0], [20], id="shorter than a header"),
        pytest.param(_header(20) + _header(0xFFFFFFFF), [0], [20], id="longer than the buffer"),
    ],
)
def test_split(buffer: bytes, starts: list[int], lengths: list[int]) -> None:
    found, sizes = layouts.split(bytearray(buffer))
    assert (found.tolist(), sizes.tolist()) == (starts, lengths)


def test_messages_of_one_layout_are_read_together() -> None:
    plain = [_message(sockets.attribute(1, struct.pack(">I", i))) for i in range(3)]
    other = _message(sockets.attribute(3, b"abcd"))
    groups = _groups(_padded(plain[0], other, plain[1], plain[2]))
    assert {tuple(g.rows.tolist()) for g in groups} == {(0, 2, 3), (1,)}
    (ones,) = [g for g in groups if "one" in g]
    assert ones.be32("one").tolist() == [0, 1, 2]
    assert "three" not in ones


def test_same_length_but_other_order_is_another_layout() -> None:
    first, second = sockets.attribute(1, b"aaaa"), sockets.attribute(3, b"bbbb")
    groups = _groups(_padded(_message(first, second), _message(second, first)))
    assert [g.raw("one", 4).tobytes() for g in groups] == [b"aaaa", b"aaaa"]


@pytest.mark.parametrize("flag", [0x8000, 0x4000], ids=["NLA_F_NESTED", "NLA_F_NET_BYTEORDER"])
def test_flags_in_the_type_are_ignored(flag: int) -> None:
    (group,) = _groups(_padded(_message(sockets.attribute(flag | 1, b"abcd"))))
    assert group.raw("one", 4).tobytes() == b"abcd"


def test_numbers_are_in_network_order() -> None:
    (group,) = _groups(_padded(_message(sockets.attribute(1, bytes(range(1, 9))))))
    assert group.u8("one", 1).tolist() == [2]
    assert group.be16("one", 2).tolist() == [0x0304]
    assert group.be32("one", 4).tolist() == [0x05060708]
    assert group.be64("one").tolist() == [0x0102030405060708]


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param(struct.pack("=HH", 3, 1), id="shorter than its header"),
        pytest.param(struct.pack("=HH", 12, 1) + b"abcd", id="longer than the message"),
        pytest.param(sockets.attribute(2, struct.pack("=HH", 40, 1) + b"abcd"), id="inner longer than outer"),
    ],
)
def test_malformed_message_comes_alone_and_harms_no_other(attributes: bytes) -> None:
    sound = _message(sockets.attribute(1, b"abcd"))
    groups = _groups(_padded(sound, _message(attributes), sound))
    broken = [g for g in groups if isinstance(g, layouts.MalformedMessageError)]
    assert len(broken) == 1
    assert "at byte" in str(broken[0])
    (read,) = [g for g in groups if isinstance(g, layouts.Messages)]
    assert read.rows.tolist() == [0, 2]


_values = st.fixed_dictionaries(
    {},
    optional={name: st.binary(max_size=40) for name in ("one", "inner", "innermost", "three")},
)


@st.composite
def _messages(draw: st.DrawFn) -> tuple[dict[str, bytes], bytes]:
    """Fields with their values, and a message that holds them in any order among attributes unknown to us."""
    values = draw(_values)
    unknown = st.lists(st.binary(max_size=9).map(lambda b: sockets.attribute(77, b)), max_size=2)

    def encoded(*names_or_parts: bytes) -> bytes:
        return b"".join(draw(st.permutations([*names_or_parts, *draw(unknown)])))

    innermost = [sockets.attribute(3, values["innermost"])] if "innermost" in values else []
    inner = [sockets.attribute(1, values["inner"])] if "inner" in values else []
    nested = sockets.attribute(0x8002, encoded(*inner, sockets.attribute(2, encoded(*innermost))))
    flat = [sockets.attribute(kind, values[n]) for kind, n in ((1, "one"), (3, "three")) if n in values]
    return values, _message(*flat[:1], encoded(nested, *flat[1:]))


@hypothesis.given(st.lists(_messages(), max_size=8))
def test_what_was_encoded_is_read_back(sent: list[tuple[dict[str, bytes], bytes]]) -> None:
    found: dict[int, dict[str, bytes]] = {}
    for group in _groups(_padded(*(message for _, message in sent))):
        raw = {name: group.raw(name, group.size(name)) for name in group.layout.fields}
        for place, row in enumerate(group.rows):
            found[int(row)] = {name: values[place].tobytes() for name, values in raw.items()}
    assert [found[row] for row in range(len(sent))] == [values for values, _ in sent]


@hypothesis.given(st.lists(st.binary(max_size=80)), st.binary(max_size=40))
def test_random_bytes_never_raise(bodies: list[bytes], tail: bytes) -> None:
    """Each message is there once, in a group or as an error."""
    buffer = bytearray(_padded(*(_message(body) for body in bodies)) + tail)
    rows = [g.rows if isinstance(g, layouts.Messages) else np.zeros(1, int) for g in _groups(buffer)]
    assert sum(map(len, rows)) == len(layouts.split(buffer)[0])
