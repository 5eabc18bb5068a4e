"""What a ruleset's counters have gone on by, from reading to reading."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from collector.counters import attribution, dumps, iptables, progress

KNOWN = attribution.Known()


def _dump(*lines: tuple[str, int]) -> dumps.Dump:
    """A ruleset of these rules, with as many packets each, and ten times as many bytes."""
    chains = dict.fromkeys(line.split()[1] for line, _ in lines)
    text = "\n".join([
        "*filter", *(f":{chain} - [0:0]" for chain in chains),
        *(f"[{count}:{count * 10}] {line}" for line, count in lines), "COMMIT", "",
    ])  # fmt: skip
    numbers = iptables.split(text)
    return dumps.Dump("iptables-legacy", numbers, lambda: iptables.parse(numbers.shape, 4))


def _rule(number: int, hash_: str = "") -> str:
    comment = f'-m comment --comment "cali:{hash_:x<16}" ' if hash_ else ""
    return f"-A X {comment}-p {number} -j DROP"


def _deltas(read: progress.Progress) -> list[tuple[int, int]]:
    return list(zip(read.packets.tolist(), read.bytes.tolist(), strict=True))


def test_first_reading_is_no_news() -> None:
    read = progress.Progress()
    assert read.update(_dump((_rule(1), 5)), KNOWN, baseline=True)
    assert (_deltas(read), read.resets, len(read.counted)) == ([(0, 0)], 0, 1)
    assert not read.update(_dump((_rule(1), 7)), KNOWN, baseline=False)
    assert (_deltas(read), read.resets) == ([(2, 20)], 0)


@pytest.mark.parametrize(
    ("after", "deltas", "resets"),
    [
        pytest.param([(_rule(1), 5), (_rule(2), 6)], [(0, 0), (0, 0)], 0, id="nothing"),
        pytest.param([(_rule(1), 4), (_rule(2), 9)], [(4, 40), (3, 30)], 1, id="one went back"),
        pytest.param([(_rule(1), 0), (_rule(2), 0)], [(0, 0), (0, 0)], 2, id="all went back"),
        pytest.param([(_rule(2), 7)], [(1, 10)], 0, id="one is gone"),
        pytest.param([(_rule(1), 6), (_rule(3), 2), (_rule(2), 8)], [(1, 10), (2, 20), (2, 20)], 0, id="new"),
        pytest.param([(_rule(2), 8), (_rule(1), 6)], [(2, 20), (1, 10)], 0, id="other order"),
        pytest.param([("-A X -j DROP", 9), (_rule(2), 6)], [(9, 90), (0, 0)], 1, id="another in its place"),
        pytest.param([], [], 0, id="all are gone"),
    ],
)
def test_deltas_are_by_rule(after: list[tuple[str, int]], deltas: list[tuple[int, int]], resets: int) -> None:
    read = progress.Progress()
    read.update(_dump((_rule(1), 5), (_rule(2), 6)), KNOWN, baseline=True)
    read.update(_dump(*after), KNOWN, baseline=False)
    assert (_deltas(read), read.resets) == (deltas, resets)


def test_rewritten_rule_is_a_reset_wherever_its_counter_is() -> None:
    read = progress.Progress()
    read.update(_dump((_rule(1, "a"), 5)), KNOWN, baseline=True)
    read.update(_dump((_rule(1, "b"), 9)), KNOWN, baseline=False)
    assert (_deltas(read), read.resets) == ([(9, 90)], 1)


def test_silent_reading_is_made_up_for() -> None:
    read = progress.Progress()
    read.update(_dump((_rule(1), 5)), KNOWN, baseline=True)
    read.rest()
    assert _deltas(read) == [(0, 0)]
    read.update(_dump((_rule(1), 9)), KNOWN, baseline=False)
    assert _deltas(read) == [(4, 40)]


def test_what_is_no_ruleset_changes_nothing() -> None:
    read = progress.Progress()
    read.update(_dump((_rule(1), 5)), KNOWN, baseline=True)
    cut = iptables.split("*filter\n[9:9] -A X -j DROP\n")
    with pytest.raises(ValueError, match="no end"):
        read.update(dumps.Dump("x", cut, lambda: iptables.parse(cut.shape, 4)), KNOWN, baseline=False)
    read.update(_dump((_rule(1), 6)), KNOWN, baseline=False)
    assert _deltas(read) == [(1, 10)]


def test_new_knowledge_is_used_and_counters_go_on() -> None:
    read = progress.Progress()
    log = "-A X -j NFLOG --nflog-prefix mine"
    read.update(_dump((log, 5)), KNOWN, baseline=True)
    read.forget_shape()
    assert read.update(_dump((log, 7)), KNOWN, baseline=False)
    assert (_deltas(read), read.resets) == ([(2, 20)], 0)


@hypothesis.given(
    strategies.lists(strategies.dictionaries(strategies.integers(0, 4), strategies.integers(0, 9)))
)
def test_sum_of_deltas_is_what_was_counted(steps: list[dict[int, int]]) -> None:
    """Rules come, count and go; what each counts after the first reading is told once."""
    read, counters, told = progress.Progress(), {0: 3}, 0
    read.update(_dump(*((_rule(n), c) for n, c in counters.items())), KNOWN, baseline=True)
    for step in steps:
        counters = {number: counters.get(number, 0) + more for number, more in step.items()}
        read.update(_dump(*((_rule(n), c) for n, c in counters.items())), KNOWN, baseline=False)
        told += int(read.packets.sum())
    assert told == sum(sum(step.values()) for step in steps)
