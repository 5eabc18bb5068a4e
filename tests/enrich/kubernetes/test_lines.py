"""Bytes made into lines, however they come."""

from __future__ import annotations

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from enrich.kubernetes import lines


def _taken(pieces: list[bytes], largest: int) -> list[bytes]:
    made = lines.Lines(largest)
    return [line for piece in pieces for line in made.add(piece)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"a\nb\n"], [b"a", b"b"], id="two at once"),
        pytest.param([b"a", b"b", b"\n"], [b"ab"], id="one in pieces"),
        pytest.param([b"a\r\n\n\nb\n"], [b"a", b"b"], id="empty ones left out"),
        pytest.param([b"a\nb"], [b"a"], id="the last is not ended"),
        pytest.param([b"12345678\n"], [b"12345678"], id="just as large as may be"),
        pytest.param([b"123456789\na\n"], [lines.TOO_LARGE, b"a"], id="too large"),
        pytest.param([b"12345", b"67890", b"1", b"\na\n"], [lines.TOO_LARGE, b"a"], id="too large in pieces"),
    ],
)
def test_lines_are(pieces: list[bytes], expected: list[bytes]) -> None:
    assert _taken(pieces, 8) == expected


@hypothesis.given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_cuts_change_nothing(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert _taken(pieces, 20) == _taken([data], 20)
