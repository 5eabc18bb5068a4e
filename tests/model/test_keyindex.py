"""Where keys stand, judged by a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import keyindex

KEYS = st.integers(0, 2**64 - 1) | st.integers(0, 20) | st.integers(2**64 - 20, 2**64 - 1)
"""Random ones, and many for one place in the table, the last one included."""


def _array(keys: list[int]) -> np.ndarray:
    return np.array(keys, np.uint64)


@given(st.lists(KEYS, unique=True, max_size=60), st.lists(KEYS, max_size=30))
def test_finds_what_a_dictionary_finds(keys: list[int], others: list[int]) -> None:
    place = {key: at for at, key in enumerate(keys)}
    asked = keys + others
    found = keyindex.KeyIndex(_array(keys)).find(_array(asked))
    assert found.tolist() == [place.get(key, -1) for key in asked]


@pytest.mark.parametrize("count", [0, 1, 100_000])
def test_any_number_of_keys(count: int) -> None:
    keys = np.random.default_rng(1).permutation(count).astype(np.uint64) * np.uint64(2**63 // (count + 1))
    index = keyindex.KeyIndex(keys)
    assert index.find(keys).tolist() == list(range(count))
    assert index.find(keys + np.uint64(1)).tolist() == [-1] * count


def test_no_question_has_no_answer() -> None:
    assert keyindex.KeyIndex(_array([1])).find(_array([])).tolist() == []
