from __future__ import annotations

import pytest

from cli.bench import benches

pytestmark = pytest.mark.net


def test_one_bench_takes_the_count_that_is_given() -> None:
    found = {one.metric: one for one in benches.run("conntrack-events", 1000, None, 20)}
    assert (found["recorded"].value, found["recorded"].floor) == (1000, 1000)


def test_every_bench_has_a_usual_size() -> None:
    assert all(count > 0 for _, count, _ in benches.BENCHES.values())
    assert list(benches.BENCHES) == ["conntrack-dump", "conntrack-events", "nflog", "probe", "collector"]
