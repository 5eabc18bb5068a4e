from __future__ import annotations

import pytest

from cli.bench import probe

pytestmark = pytest.mark.net


def test_drops_are_all_told() -> None:
    found = {one.metric: one for one in probe.drops(5000, 50_000)}
    assert (found["recorded"].value, found["recorded"].floor, found["lost"].value) == (10_000, 10_000, 0)
    assert found["a new packet"].floor_of == "without probe"
