"""What the benchmark of the probe says of a few packets."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.net
def test_every_drop_is_recorded(bench: Callable[..., dict]) -> None:
    told = bench("probe", "--count", "3000", "--rate", "30000")
    assert told.keys() == {
        ("a new packet", "without probe"), ("rate", ""), ("CPU", ""), ("recorded", "sent"), ("lost", ""),
    }  # fmt: skip
    assert (told["recorded", "sent"]["value"], told["recorded", "sent"]["floor"]) == (6000, 6000)
    assert told["lost", ""]["value"] == 0
    assert told["CPU", ""]["unit"] == "us/edge"
