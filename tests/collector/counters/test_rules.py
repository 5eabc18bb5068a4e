"""Chain rules, and marks as they set and test them."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from collector.counters import rules

WORDS = strategies.integers(0, rules.MARK_BITS)


@hypothesis.given(WORDS, WORDS, WORDS)
def test_mark_change_is_what_becomes_of_any_mark(mark: int, keep: int, flip: int) -> None:
    sets, clears = rules.mark_change(keep, flip)
    after = mark & keep ^ flip
    assert after & sets == sets
    assert after & clears == 0
    other = ~mark & rules.MARK_BITS
    same = ~(after ^ (other & keep ^ flip)) & rules.MARK_BITS
    assert same == sets | clears, "all other bits depend on what they were"


@pytest.mark.parametrize(
    ("test", "required", "refused"),
    [
        pytest.param(rules.MarkTest(4, 4), 4, 0, id="set"),
        pytest.param(rules.MarkTest(6, 0), 0, 6, id="clear"),
        pytest.param(rules.MarkTest(6, 0, True), 0, 0, id="any of them set"),
        pytest.param(rules.MarkTest(6, 2), 0, 0, id="one of two"),
    ],
)
def test_mark_test_says_what_it_asks_for(test: rules.MarkTest, required: int, refused: int) -> None:
    assert (test.required, test.refused) == (required, refused)


def test_chains_keep_their_rules_in_order() -> None:
    made = [
        rules.Rule(family=4, table="t", chain=chain, position=i, identity=str(i))
        for i, chain in enumerate("abab")
    ]
    found = rules.Ruleset(tuple(made)).chains()
    assert {place: [r.position for r in chain] for place, chain in found.items()} == {
        ("t", "a"): [0, 2], ("t", "b"): [1, 3],
    }  # fmt: skip


def test_bits_of_all_masks() -> None:
    assert rules.bits([]) == 0
    assert rules.bits([1, 4, 5]) == 5


def test_largest_counter_is_read() -> None:
    assert rules.whole(["0", str(2**64 - 1)]).tolist() == [0, 2**64 - 1]
    with pytest.raises(ValueError, match="so far"):
        rules.whole([str(2**64)])
