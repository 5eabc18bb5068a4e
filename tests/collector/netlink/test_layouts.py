"""Netlink messages of any shape, sound or not."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from collector.netlink import layouts, sockets

_Field, _Nest = layouts.Field, layouts.Nest
TREE: layouts.Tree = {
    1: _Field("ONE", "one"),
    2: _Nest("NEST", {
        1: _Field("INNER", "inner"), 2: _Nest("DEEP", {3: _Field("INNERMOST", "innermost")}),
        4: _Field("SIZED", "sized", 4),
    }),
    3: _Field("THREE", "three"),
    4: _Field("WORD", "word", 4),
}  # fmt: skip
GENERAL = bytes(4)
"""``struct nfgenmsg``, which stands before the attributes."""
KIND = 0x100


def _message(*attributes: bytes) -> bytes:
    return sockets.message(KIND, 0, GENERAL + b"".join(attributes))


def _padded(*messages: bytes) -> bytes:
    return b"".join(message + bytes(-len(message) % 4) for message in messages)


def _header(length: int, *, kind: int = KIND, port: int = 0) -> bytes:
    return struct.pack("=IHHII", length, kind, 0, 0, port) + GENERAL


def _laid_out(datagrams: Sequence[bytes], slot: int, stale: bytes = b"") -> layouts.Datagrams:
    """Datagrams in slots of one size, in which something else was before."""
    buffer = np.zeros(len(datagrams) * slot + layouts.LONGEST, np.uint8)
    for number, datagram in enumerate(datagrams):
        for content in (stale, datagram):
            buffer[number * slot : number * slot + len(content)] = np.frombuffer(content, np.uint8)
    starts = np.arange(len(datagrams), dtype=np.int64) * slot
    return layouts.Datagrams(buffer, starts, np.array(list(map(len, datagrams)), np.int64))


def _split(datagrams: layouts.Datagrams) -> tuple[list[int], list[int], int]:
    starts, lengths, torn = layouts.split(datagrams)
    return starts.tolist(), lengths.tolist(), torn


def _groups(buffer: bytes, *, tail: str = "") -> list[layouts.Messages | layouts.MalformedMessageError]:
    datagram = layouts.datagram(buffer)
    starts, lengths, _ = layouts.split(datagram)
    return list(layouts.partition(datagram, starts, lengths, TREE, tail=tail))


def _sound(groups: list[layouts.Messages | layouts.MalformedMessageError]) -> list[layouts.Messages]:
    return [group for group in groups if isinstance(group, layouts.Messages)]


@pytest.mark.parametrize(
    ("buffer", "starts", "lengths", "torn"),
    [
        pytest.param(b"", [], [], 0, id="nothing"),
        pytest.param(_header(20), [0], [20], 0, id="one"),
        pytest.param(_header(20) * 2, [0, 20], [20, 20], 0, id="one after the other"),
        pytest.param(_header(22) + bytes(4) + _header(20), [0, 24], [22, 20], 0, id="unaligned length"),
        pytest.param(_header(20) + _header(22) + b"ab", [0, 20], [20, 22], 0, id="unaligned end"),
        pytest.param(_header(21) + b"abcd", [0], [21], 0, id="one, padded"),
        pytest.param(_header(20) + _header(24) + b"abc", [0], [20], 1, id="truncated tail"),
        pytest.param(_header(24) + b"abc", [], [], 1, id="truncated message"),
        pytest.param(_header(20) + _header(20)[:15], [0], [20], 1, id="truncated header"),
        pytest.param(_header(20) + b"ab", [0], [20], 1, id="two bytes too many"),
        pytest.param(_header(20) + _header(0) + _header(20), [0], [20], 1, id="length of zero"),
        pytest.param(_header(20) + _header(15) + _header(20), [0], [20], 1, id="shorter than a header"),
        pytest.param(_header(20) + _header(0xFFFFFFFF), [0], [20], 1, id="longer than the buffer"),
        pytest.param(_header(80_000) + bytes(79_980), [], [], 1, id="longer than any message"),
        pytest.param(_header(80_000) * 4_001, [], [], 1, id="longer than any message, with others inside"),
        pytest.param(_header(20) + _header(20, kind=3), [0, 20], [20, 20], 0, id="different types"),
        pytest.param(_header(20) + _header(20, port=7), [0, 20], [20, 20], 0, id="different ports"),
    ],
)
def test_split(buffer: bytes, starts: list[int], lengths: list[int], torn: int) -> None:
    assert _split(layouts.datagram(buffer)) == (starts, lengths, torn)


ONE, OTHER, UNALIGNED = _header(20), _header(20, port=7), _header(22) + b"ab"


@pytest.mark.parametrize(
    ("datagrams", "starts", "lengths", "torn"),
    [
        pytest.param([ONE, ONE], [0, 64], [20, 20], 0, id="one in each"),
        pytest.param([ONE, UNALIGNED, OTHER], [0, 64, 128], [20, 22, 20], 0, id="one in each, unaligned"),
        pytest.param([ONE + ONE, ONE], [0, 20, 64], [20, 20, 20], 0, id="several in one"),
        pytest.param([ONE + UNALIGNED, ONE], [0, 20, 64], [20, 22, 20], 0, id="padding left out"),
        pytest.param([ONE, b"", ONE], [0, 128], [20, 20], 0, id="an empty one between"),
        pytest.param([b"", b""], [], [], 0, id="nothing but empty ones"),
        pytest.param([ONE + OTHER, ONE], [0, 20, 64], [20, 20, 20], 0, id="not all alike"),
        pytest.param([ONE[:10], ONE + ONE], [64, 84], [20, 20], 1, id="torn, then whole"),
        pytest.param([_header(24), ONE], [64], [20], 1, id="torn by four bytes"),
        pytest.param([_header(24) + b"abc", ONE], [64], [20], 1, id="torn by one byte"),
        pytest.param(
            [ONE + _header(24) + b"abc", ONE], [0, 64], [20, 20], 1, id="torn at the end of several"
        ),
        pytest.param([_header(64), ONE], [64], [20], 1, id="torn, with the next one where its end would be"),
        pytest.param(
            [ONE * 2 + _header(44), OTHER * 2],
            [0, 20, 64, 84],
            [20] * 4,
            1,
            id="torn, ending inside the next",
        ),
        pytest.param([ONE, ONE[:18], ONE[:19]], [0], [20], 2, id="two torn"),
    ],
)
@pytest.mark.parametrize(
    "stale",
    [
        pytest.param(b"", id="clean slots"),
        pytest.param(ONE * 3, id="slots with old messages"),
        pytest.param(OTHER * 3, id="slots with other old messages"),
        pytest.param(b"\xff" * 64, id="slots with old bytes"),
    ],
)
def test_datagrams_are_split_each_by_itself(
    datagrams: list[bytes], starts: list[int], lengths: list[int], torn: int, stale: bytes
) -> None:
    assert _split(_laid_out(datagrams, 64, stale)) == (starts, lengths, torn)


@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_message_that_holds_perfect_copies_of_messages_is_one(count: int, depth: int) -> None:
    """What is inside has the type, sequence and port of all others, and a length that fits."""
    copy = b""
    for _ in range(depth):
        copy = _message(sockets.attribute(1, copy), sockets.attribute(3, b"abcd" + copy))
    starts = [len(copy) * number for number in range(count)]
    assert _split(layouts.datagram(copy * count)) == (starts, [len(copy)] * count, 0)
    (group,) = _sound(_groups(copy * count))
    assert group.rows.tolist() == list(range(count))


def test_copy_of_a_header_whose_length_leads_to_the_next_message() -> None:
    """Both ways lead from message to message, but only one begins at the start."""
    inside = _header(24) + b"abcd"
    message = _message(sockets.attribute(1, inside))
    assert _split(layouts.datagram(message + message)) == ([0, len(message)], [len(message)] * 2, 0)


def test_messages_of_one_layout_are_read_together() -> None:
    plain = [_message(sockets.attribute(1, struct.pack(">I", i))) for i in range(3)]
    other = _message(sockets.attribute(3, b"abcd"))
    groups = _sound(_groups(_padded(plain[0], other, plain[1], plain[2])))
    assert {tuple(g.rows.tolist()) for g in groups} == {(0, 2, 3), (1,)}
    (ones,) = [g for g in groups if "one" in g]
    assert ones.be32("one").tolist() == [0, 1, 2]
    assert "three" not in ones
    assert len(ones) == 3


def test_messages_in_slots_are_read_from_where_they_lie() -> None:
    sent = [_message(sockets.attribute(1, struct.pack(">I", i))) for i in range(5)]
    datagrams = _laid_out(sent, 1024, stale=b"\xff" * 1024)
    starts, lengths, _ = layouts.split(datagrams)
    (group,) = _sound(list(layouts.partition(datagrams, starts, lengths, TREE)))
    assert group.be32("one").tolist() == list(range(5))


def test_same_length_but_other_order_is_another_layout() -> None:
    first, second = sockets.attribute(1, b"aaaa"), sockets.attribute(3, b"bbbb")
    groups = _sound(_groups(_padded(_message(first, second), _message(second, first))))
    assert [g.raw("one", 4).tobytes() for g in groups] == [b"aaaa", b"aaaa"]


@pytest.mark.parametrize("flag", [0x8000, 0x4000], ids=["NLA_F_NESTED", "NLA_F_NET_BYTEORDER"])
def test_flags_in_the_type_are_ignored(flag: int) -> None:
    (group,) = _sound(_groups(_message(sockets.attribute(flag | 1, b"abcd"))))
    assert group.raw("one", 4).tobytes() == b"abcd"


def test_numbers_are_in_network_order() -> None:
    (group,) = _sound(_groups(_message(sockets.attribute(1, bytes(range(1, 9))))))
    assert group.u8("one", 1).tolist() == [2]
    assert group.be16("one", 2).tolist() == [0x0304]
    assert group.be32("one", 4).tolist() == [0x05060708]
    assert group.be64("one").tolist() == [0x0102030405060708]


def test_resource_is_that_of_the_general_header() -> None:
    message = sockets.message(KIND, 0, bytes(2) + struct.pack(">H", 7) + sockets.attribute(1, b"abcd"))
    (group,) = _sound(_groups(message))
    assert group.resource().tolist() == [7]


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(sockets.attribute(77, b"abcdef"), id="a value"),
        pytest.param(sockets.attribute(0x8000 | 77, sockets.attribute(1, b"inside")), id="a nest"),
        pytest.param(sockets.attribute(77, b"\xff" * 6), id="what would be no nest"),
        pytest.param(sockets.attribute(0, b""), id="type zero"),
        pytest.param(sockets.attribute(2, sockets.attribute(99, b"abcde")), id="inside a nest that we know"),
        pytest.param(
            sockets.attribute(2, sockets.attribute(0x8000 | 99, sockets.attribute(1, b"no"))),
            id="a nest inside a nest that we know",
        ),
    ],
)
def test_unknown_attributes_are_passed_over(unknown: bytes) -> None:
    known = sockets.attribute(1, b"abcd")
    groups = _sound(_groups(_padded(_message(unknown, known), _message(known, unknown), _message(known))))
    assert [group.raw("one", 4).tobytes() for group in groups] == [b"abcd"] * 3
    assert [list(group.layout.fields) for group in groups] == [["one"]] * 3


@pytest.mark.parametrize(
    ("attributes", "attribute", "offset", "reason"),
    [
        pytest.param(struct.pack("=HH", 3, 1), "ONE", 20, "length 3 of 4 bytes", id="shorter than a header"),
        pytest.param(struct.pack("=HH", 0, 1), "ONE", 20, "length 0 of 4 bytes", id="no length"),
        pytest.param(
            sockets.attribute(3, b"abc") + struct.pack("=HH", 12, 1) + b"abcd", "ONE", 28,
            "length 12 of 8 bytes", id="longer than the message",
        ),
        pytest.param(
            sockets.attribute(2, struct.pack("=HH", 40, 1) + b"abcd"), "NEST/INNER", 24,
            "length 40 of 8 bytes", id="inner longer than outer",
        ),
        pytest.param(
            sockets.attribute(2, sockets.attribute(2, struct.pack("=HH", 1, 3))), "NEST/DEEP/INNERMOST", 28,
            "length 1 of 4 bytes", id="innermost too short",
        ),
        pytest.param(sockets.attribute(4, b"abc"), "WORD", 20, "3 bytes, not 4", id="too small a value"),
        pytest.param(
            sockets.attribute(2, sockets.attribute(1, b"") + sockets.attribute(4, b"")), "NEST/SIZED", 28,
            "0 bytes, not 4", id="too small a value inside",
        ),
        pytest.param(struct.pack("=HH", 9, 77), "77", 20, "length 9 of 4 bytes", id="unknown, too long"),
        pytest.param(
            sockets.attribute(2, struct.pack("=HH", 9, 99)), "NEST/99", 24, "length 9 of 4 bytes",
            id="unknown inside, too long",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tail", ["", "three"], ids=["", "with a tail"])
def test_malformed_message_is_named_and_harms_no_other(
    attributes: bytes, attribute: str, offset: int, reason: str, tail: str
) -> None:
    sound = _message(sockets.attribute(1, b"abcd"))
    groups = _groups(_padded(sound, _message(attributes), sound), tail=tail)
    (broken,) = [g for g in groups if isinstance(g, layouts.MalformedMessageError)]
    assert (broken.attribute, broken.offset, broken.reason) == (attribute, offset, reason)
    assert str(broken) == f"{attribute} at byte {offset}: {reason}"
    assert sorted(row for group in _sound(groups) for row in group.rows.tolist()) == [0, 2]


def test_tail_of_any_length_is_of_one_layout() -> None:
    tails = [b"", b"a", b"abcd", b"abcde", b"x" * 1000]
    first = sockets.attribute(1, b"abcd") + sockets.attribute(4, b"word")
    messages = [_message(first, sockets.attribute(3, tail)) for tail in tails]
    (group,) = _sound(_groups(_padded(*messages), tail="three"))
    assert group.sizes("three").tolist() == list(map(len, tails))
    read = [row[:size].tobytes() for row, size in zip(group.rest("three"), group.sizes("three"), strict=True)]
    assert read == tails


@pytest.mark.parametrize("trailing", [1, 2, 3])
def test_bytes_behind_the_tail_that_are_no_attribute(trailing: int) -> None:
    message = _message(sockets.attribute(1, b"abcd"), sockets.attribute(3, b"tail"), bytes(trailing))
    plain = _message(sockets.attribute(1, b"abcd"), sockets.attribute(3, b"tail"))
    (group,) = _sound(_groups(_padded(message, plain, message), tail="three"))
    assert group.rows.tolist() == [0, 1, 2]
    assert group.sizes("three").tolist() == [4, 4, 4]


def test_tail_that_is_not_the_last_is_not_taken_for_one() -> None:
    """Its length makes the layout, like that of any other attribute."""
    first, tail = sockets.attribute(1, b"abcd"), [sockets.attribute(3, b"x" * size) for size in (4, 8, 4)]
    groups = _sound(
        _groups(_padded(*(_message(t, first) for t in tail), _message(first, tail[0])), tail="three")
    )
    assert {tuple(g.rows.tolist()): g.sizes("three").tolist() for g in groups} == {
        (0, 2): [4, 4],
        (1,): [8],
        (3,): [4],
    }


def test_message_that_ends_before_the_tail_of_others() -> None:
    """Where they have its header, it has bytes of the next message, whatever those are."""
    first, tail = sockets.attribute(1, b"abcd"), sockets.attribute(3, b"tail")
    short = _message(first)
    broken = _message(first, struct.pack("=HH", 2, 3))
    groups = _groups(_padded(_message(first, tail), short, broken, _message(first, tail)), tail="three")
    assert sorted(tuple(g.rows.tolist()) for g in _sound(groups)) == [(0, 3), (1,)]
    assert [str(g) for g in groups if isinstance(g, Exception)] == ["THREE at byte 28: length 2 of 4 bytes"]


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


@pytest.mark.parametrize("tail", ["", "three"], ids=["", "with a tail"])
@hypothesis.given(st.lists(_messages(), max_size=8))
def test_what_was_encoded_is_read_back(tail: str, sent: list[tuple[dict[str, bytes], bytes]]) -> None:
    found: dict[int, dict[str, bytes]] = {}
    for group in _sound(_groups(_padded(*(message for _, message in sent)), tail=tail)):
        rest = {name: (group.rest(name), group.sizes(name)) for name in group.layout.fields}
        for place, row in enumerate(group.rows):
            found[int(row)] = {n: data[place, : sizes[place]].tobytes() for n, (data, sizes) in rest.items()}
    assert [found[row] for row in range(len(sent))] == [values for values, _ in sent]


@hypothesis.given(st.lists(st.binary(max_size=80)), st.binary(max_size=40), st.sampled_from(["", "three"]))
def test_random_bytes_never_raise(bodies: list[bytes], end: bytes, tail: str) -> None:
    """Each message is there once, in a group or as an error."""
    buffer = _padded(*(_message(body) for body in bodies)) + end
    rows = [
        g.rows if isinstance(g, layouts.Messages) else np.zeros(1, int) for g in _groups(buffer, tail=tail)
    ]
    assert sum(map(len, rows)) == len(layouts.split(layouts.datagram(buffer))[0])
