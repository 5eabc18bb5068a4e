"""Who owned a key when, judged by asking every claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import identity, spans

MOMENTS = st.integers(0, 12) | st.just(identity.FOREVER - 1)
TIMES = MOMENTS | st.just(identity.FOREVER)
KEYS = (7, 8, 2**64 - 1)


@dataclasses.dataclass(frozen=True)
class Claim:
    key: int
    owner: int
    valid_from: int
    sure_from: int
    sure_to: int
    valid_to: int


def _index(claims: Sequence[Claim]) -> spans.Spans:
    kinds = {"key": np.uint64, "owner": np.int32}
    columns = {
        field.name: np.array([getattr(c, field.name) for c in claims], kinds.get(field.name, np.int64))
        for field in dataclasses.fields(Claim)
    }
    return spans.Spans(spans.Claimed(keys=columns.pop("key"), owners=columns.pop("owner"), **columns))


def _found(claims: Sequence[Claim], *asked: tuple[int, int]) -> list[int]:
    keys, times = zip(*asked, strict=True)
    return _index(claims).find(np.array(keys, np.uint64), np.array(times, np.int64)).tolist()


def _naive(claims: Sequence[Claim], key: int, time: int) -> int:
    """The rule as it is written, for one moment."""
    here = [claim for claim in claims if claim.key == key]
    sure = {c.owner for c in here if c.sure_from <= time < c.sure_to}
    possible = {c.owner for c in here if c.valid_from <= time < c.valid_to}
    for owners in (sure, possible):
        if owners:
            return owners.pop() if len(owners) == 1 else spans.AMBIGUOUS
    return spans.NOBODY


CLAIMS = st.lists(
    st.builds(
        lambda key, owner, times, inner: Claim(key, owner, times[0], *sorted(inner), times[1]),
        st.sampled_from(KEYS),
        st.integers(0, 3),
        st.tuples(TIMES, TIMES),
        st.tuples(TIMES, TIMES),
    ),
    max_size=12,
)
"""Any four times: an end before its beginning, and a sure span outside of the possible one, too."""


@given(CLAIMS, st.lists(st.tuples(st.sampled_from([*KEYS, 9]), MOMENTS), min_size=1, max_size=30))
def test_finds_what_asking_every_claim_finds(claims: list[Claim], asked: list[tuple[int, int]]) -> None:
    assert _found(claims, *asked) == [_naive(claims, key, time) for key, time in asked]


A, B, X, N = 0, 1, spans.AMBIGUOUS, spans.NOBODY


@pytest.mark.parametrize(
    ("claims", "owners"),
    [
        pytest.param([], [N] * 6, id="nobody"),
        pytest.param([(A, 1, 2, 3, 4)], [N, A, A, A, N, N], id="alone, and so possible is enough"),
        pytest.param([(A, 0, 0, 3, 5), (B, 2, 3, 9, 9)], [A, A, A, B, B, B], id="who is sure wins"),
        pytest.param([(A, 0, 0, 2, 4), (B, 2, 4, 9, 9)], [A, A, X, X, B, B], id="either may be it"),
        pytest.param([(A, 0, 0, 4, 4), (B, 2, 2, 9, 9)], [A, A, X, X, B, B], id="both are sure"),
        pytest.param([(A, 0, 9, 0, 3), (A, 2, 9, 0, 5)], [A] * 5 + [N], id="one owner twice"),
        pytest.param(
            [(A, 0, 0, 6, 6), (A, 1, 1, 2, 2), (B, 4, 4, 5, 5)],
            [A, A, A, A, X, A],
            id="one owner within itself",
        ),
    ],
)
def test_key_belongs_to_who_is_sure_or_alone(
    claims: list[tuple[int, int, int, int, int]], owners: list[int]
) -> None:
    assert _found([Claim(7, *claim) for claim in claims], *((7, time) for time in range(6))) == owners


def test_many_spans_of_one_key_are_told_apart() -> None:
    claims = [Claim(7, n, 10 * n, 10 * n, 10 * n + 5, 10 * n + 5) for n in range(1000)]
    times = np.random.default_rng(1).integers(0, 10_000, 500).tolist()
    assert _found(claims, *((7, time) for time in times)) == [_naive(claims, 7, time) for time in times]


def test_no_question_has_no_answer() -> None:
    nothing = np.zeros(0, np.int64)
    assert _index([Claim(7, 0, 0, 0, 9, 9)]).find(nothing.astype(np.uint64), nothing).tolist() == []


def test_many_claims_are_found_as_few_are() -> None:
    """More than are untangled at once: each key has an owner until 5, and another one from 6 on."""
    count = 30_000
    keys = np.random.default_rng(5).permutation(np.arange(count, dtype=np.uint64) * (2**64 // count) + 1)
    first, second = np.arange(count, dtype=np.int32), np.arange(count, 2 * count, dtype=np.int32)
    since, until = (np.repeat(np.array(pair, np.int64), count) for pair in ((0, 6), (5, identity.FOREVER)))
    index = spans.Spans(spans.Claimed(
        keys=np.tile(keys, 2), owners=np.concatenate([first, second]),
        valid_from=since, sure_from=since, sure_to=until, valid_to=until,
    ))  # fmt: skip
    for time, expected in ((-1, np.full(count, N)), (4, first), (5, np.full(count, N)), (6, second)):
        assert (index.find(keys, np.full(count, time)) == expected).all()
