"""Some thousand mutated messages for each decoder, always the same; ``mutate.py`` itself runs millions."""

from __future__ import annotations

import random

import hypothesis
import hypothesis.strategies as st
import mutate
import pytest

_numbers = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=100)
"""Each makes a few messages: a failure shrinks to those that it needs."""


@pytest.mark.parametrize("name", sorted(mutate.DECODERS))
@hypothesis.settings(derandomize=True, deadline=None, max_examples=500)
@hypothesis.given(_numbers, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05]))
def test_mutated_messages_are_read_as_they_are_plainly(
    name: str, numbers: list[int], packing: int, torn: float
) -> None:
    decoder = mutate.DECODERS[name]
    seeds = decoder.seeds()
    messages = [
        mutate.mutated(chance.choice(seeds), seeds, chance, torn=torn)
        for chance in map(random.Random, numbers)
        for _ in range(5)
    ]
    mutate.check(decoder, *mutate.packed(messages, random.Random(packing), cuts=torn))


@pytest.mark.parametrize("name", sorted(mutate.DECODERS))
def test_captures_are_read_as_they_are_plainly(name: str) -> None:
    """All of them are sound, so that a mutation that is refused is refused for what was done to it."""
    decoder = mutate.DECODERS[name]
    datagrams, plain = mutate.packed(decoder.seeds(), random.Random(1), cuts=0)
    assert mutate.check(decoder, datagrams, plain).malformed == 0


@pytest.mark.parametrize("name", sorted(mutate.DECODERS))
def test_mutations_are_neither_all_sound_nor_all_broken(name: str) -> None:
    decoder = mutate.DECODERS[name]
    seeds, chance = decoder.seeds(), random.Random(1)
    messages = [mutate.mutated(chance.choice(seeds), seeds, chance, torn=0) for _ in range(1000)]
    said = decoder.plain(messages)
    assert min(len(said.rows), said.malformed) > 100
