from __future__ import annotations

import pytest

from cli.bench import nflog

pytestmark = pytest.mark.net


def test_packets_are_all_there() -> None:
    found = {one.metric: one for one in nflog.packets(5000, 50_000)}
    assert (found["recorded"].value, found["recorded"].floor, found["lost"].value) == (5000, 5000, 0)
    assert {one.bench for one in found.values()} == {"nflog"}
