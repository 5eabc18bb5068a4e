"""Elements of sets as the kernel writes them, and as it does not."""

from __future__ import annotations

import struct

import hypothesis
import hypothesis.strategies as st
import pytest

from collector.netlink import sockets
from collector.probe import decode, expressions, ruleset

LENGTH = 8


def _element(
    key: bytes = bytes(LENGTH),
    packets: int = 1,
    octets: int = 60,
    expires: int = 5000,
    *more: bytes,
    swapped: bool = False,
) -> bytes:
    counted = [expressions.be64(1, octets), expressions.be64(2, packets)]
    counter = sockets.attribute(1, b"counter\0") + sockets.attribute(
        2, b"".join(counted[::-1] if swapped else counted)
    )
    return sockets.attribute(1, b"".join([
        sockets.attribute(1, sockets.attribute(1, key)), sockets.attribute(7, counter), *more,
        expressions.be64(5, expires),
    ]))  # fmt: skip


def _message(*elements: bytes) -> bytes:
    listed = expressions.nested(3, *elements)
    return sockets.message(
        ruleset.NEW_ELEMENTS,
        0,
        bytes(4) + sockets.attribute(1, b"table\0") + sockets.attribute(2, b"set\0") + listed,
    )


def _key(number: int) -> bytes:
    return struct.pack(">Q", number)


def _decoded(*messages: bytes) -> tuple[list[tuple[int, int, int, int]], int]:
    found, unreadable = decode.elements(bytearray(b"".join(messages)), LENGTH)
    keys = [int.from_bytes(key.tobytes(), "big") for key in found.keys]
    return sorted(zip(keys, found.packets.tolist(), found.bytes.tolist(), found.expires.tolist())), unreadable  # noqa: B905


def test_elements_of_several_messages() -> None:
    first = _message(*(_element(_key(n), n, 60 * n, 1000 + n) for n in range(3)))
    second = _message(_element(_key(1 << 40), 1 << 40, 1 << 50, 9))
    assert _decoded(first, second, _message()) == (
        [(n, n, 60 * n, 1000 + n) for n in range(3)] + [(1 << 40, 1 << 40, 1 << 50, 9)], 0
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(_element(_key(2), 2, 3, 4, swapped=True), id="other order"),
        pytest.param(_element(_key(2), 2, 3, 4, expressions.be64(4, 7000)), id="a timeout of its own"),
        pytest.param(_element(_key(2), 2, 3, 4, sockets.attribute(6, b"note")), id="user data"),
    ],
)
def test_elements_may_differ_in_layout(other: bytes) -> None:
    message = _message(_element(_key(1)), other, _element(_key(3)))
    assert _decoded(message) == ([(1, 1, 60, 5000), (2, 2, 3, 4), (3, 1, 60, 5000)], 0)


def test_element_without_counter_and_timeout_has_zeros() -> None:
    bare = sockets.attribute(1, sockets.attribute(1, sockets.attribute(1, _key(4))))
    assert _decoded(_message(bare)) == ([(4, 0, 0, 0)], 0)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(sockets.attribute(1, expressions.be64(5, 1)), id="no key"),
        pytest.param(_element(bytes(4)), id="short key"),
        pytest.param(_element(bytes(LENGTH + 4)), id="long key"),
        pytest.param(sockets.attribute(1, struct.pack("=HH", 2, 1)), id="length below that of a header"),
        pytest.param(sockets.attribute(1, struct.pack("=HH", 99, 1)), id="length beyond the element"),
    ],
)
def test_malformed_element_is_counted_and_harms_no_other(broken: bytes) -> None:
    found, unreadable = _decoded(_message(_element(_key(1)), broken, _element(_key(3))))
    assert ([key for key, *_ in found], unreadable) == ([1, 3], 1)


def test_cut_off_list_is_counted() -> None:
    whole = bytearray(_message(_element(_key(1)), _element(_key(2))))
    at = whole.index(_element(_key(2)))
    whole[at : at + 2] = struct.pack("=H", 9999)
    assert _decoded(_message(_element(_key(3))), bytes(whole)) == ([(3, 1, 60, 5000)], 1)


@hypothesis.given(st.binary(max_size=200))
def test_elements_of_any_content_never_raise(content: bytes) -> None:
    _decoded(_message(_element(_key(1))), _message(content), _message(sockets.attribute(1, content)))


@hypothesis.given(st.binary(max_size=200))
def test_messages_of_any_content_never_raise(content: bytes) -> None:
    _decoded(content)


def test_counters_by_name() -> None:
    def counter(name: str, packets: int) -> bytes:
        data = expressions.nested(4, expressions.be64(1, 9), expressions.be64(2, packets))
        return sockets.message(ruleset.NEW_OBJECT, 0, bytes(4) + expressions.text(2, name) + data)

    answer = bytearray(counter("one", 1) + counter("many", 1 << 40))
    assert decode.counters(answer) == {"one": 1, "many": 1 << 40}
