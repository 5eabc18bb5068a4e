"""What the benchmark of logged packets says of a few."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.net
def test_every_packet_is_recorded(bench: Callable[..., dict]) -> None:
    told = bench("nflog", "--count", "3000", "--rate", "30000")
    assert told.keys() == {("rate", ""), ("CPU", ""), ("recorded", "sent"), ("lost", "")}
    assert (told["recorded", "sent"]["value"], told["recorded", "sent"]["floor"]) == (3000, 3000)
    assert told["lost", ""]["value"] == 0
