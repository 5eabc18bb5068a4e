"""Numbers for hashes, against a dictionary."""

from __future__ import annotations

import random

from enrich import numbering


def test_is_as_a_dictionary() -> None:
    draw = random.Random(7)
    known: dict[int, int] = {}
    numbers = numbering.Numbering()
    for _ in range(20_000):
        hashed = draw.choice([draw.randrange(-(2**63), 2**63), draw.randrange(-6_000, 6_000)])
        assert numbers.find(hashed) == known.get(hashed)
        if hashed not in known:
            known[hashed] = numbers.add(hashed)
    assert list(known.values()) == list(range(len(numbers)))
    assert all(numbers.find(hashed) == number for hashed, number in known.items())


def test_bounds_are_found() -> None:
    numbers = numbering.Numbering()
    for hashed in (2**63 - 1, -(2**63), *range(5_000)):
        numbers.add(hashed)
    assert [numbers.find(hashed) for hashed in (2**63 - 1, -(2**63), 4_999, 5_000, -1)] == [
        0,
        1,
        5_001,
        None,
        None,
    ]
