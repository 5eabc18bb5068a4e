"""The benchmark of the policy engine, on fewer edges."""

from __future__ import annotations

from cli.bench import judging


def test_all_kinds_of_policies_judge_edges_that_differ() -> None:
    found = {one.metric: one.value for one in judging.judged(2_000)}
    assert (found["pods"], found["policies"], found["edges"]) == (10_000, 1_000, 2_000)
    assert 0 < found["denied"] < 2_000
    assert found["traces that differ"] > 100
