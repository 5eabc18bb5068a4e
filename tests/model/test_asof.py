"""The as-of join, judged by a search that looks at every row."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model import asof

KEYS, TIMES = st.integers(0, 4) | st.just(2**64 - 1), st.integers(-5, 5) | st.just(2**62)
ROWS = st.lists(st.tuples(KEYS, TIMES), max_size=30)


def _columns(rows: list[tuple[int, int]]) -> tuple[asof.Keys, asof.Times]:
    return np.array([k for k, _ in rows], np.uint64), np.array([t for _, t in rows], np.int64)


def _naive(rows: list[tuple[int, int]], key: int, time: int) -> int:
    """Position of the latest row of the key that is not later; the last one of several at that time."""
    known = [(t, i) for i, (k, t) in enumerate(rows) if k == key and t <= time]
    return max(known)[1] if known else -1


@given(ROWS, ROWS)
def test_finds_what_a_naive_search_finds(rows: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    found = asof.AsOf(*_columns(rows)).find(*_columns(wanted))
    assert found.tolist() == [_naive(rows, key, time) for key, time in wanted]


def test_nothing_is_found_in_an_empty_index() -> None:
    empty = asof.AsOf(np.zeros(0, np.uint64), np.zeros(0, np.int64))
    assert empty.find(*_columns([(1, 1), (0, 0)])).tolist() == [-1, -1]


def test_no_question_has_no_answer() -> None:
    assert asof.AsOf(*_columns([(1, 1)])).find(*_columns([])).tolist() == []


def test_mix_gives_different_rows_different_keys() -> None:
    """A million rows that differ in one bit here or there, as addresses and ports do."""
    low = np.arange(1_000_000, dtype=np.uint64)
    assert len(np.unique(asof.mix(np.zeros_like(low), low))) == len(low)
    ports = (low % 1000).astype(np.uint16)
    assert len(np.unique(asof.mix(low // 1000, ports))) == len(low)


def test_mix_knows_the_order_of_words() -> None:
    one, two = np.array([1], np.uint64), np.array([2], np.uint64)
    assert asof.mix(one, two) != asof.mix(two, one)
    assert asof.mix(one) != asof.mix(one, np.zeros(1, np.uint64))


def test_mix_is_the_same_for_ever() -> None:
    """Seed 0 of SplitMix64 begins with this number."""
    assert asof.mix(np.zeros(1, np.uint64)).tolist() == [0xE220A8397B1DCDAF]
