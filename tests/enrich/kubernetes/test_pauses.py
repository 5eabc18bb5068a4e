"""How long to wait after failures."""

from __future__ import annotations

import random

import pytest

from enrich.kubernetes import pauses


@pytest.fixture
def waits() -> pauses.Pauses:
    return pauses.Pauses(1.0, 10.0, random.Random(1))


def test_each_is_twice_as_long_up_to_a_bound(waits: pauses.Pauses) -> None:
    found = [waits.next() for _ in range(6)]
    for pause, most in zip(found, [1, 2, 4, 8, 10, 10], strict=True):
        assert most / 2 <= pause <= most
    waits.reset()
    assert waits.next() <= 1.0


def test_server_gets_the_time_that_it_asks_for(waits: pauses.Pauses) -> None:
    assert waits.next(17.0) == 17.0
    assert waits.next(1e9) == pauses.LONGEST_ASKED


def test_two_clients_do_not_come_at_the_same_time() -> None:
    one, other = (pauses.Pauses(1.0, 10.0, random.Random(seed)) for seed in (1, 2))
    assert one.next() != other.next()
