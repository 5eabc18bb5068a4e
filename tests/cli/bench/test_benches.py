"""The benchmarks by name."""

from __future__ import annotations

import pytest

from cli import main
from cli.bench import benches, measure


def test_command_knows_every_benchmark() -> None:
    (name,) = (parameter for parameter in main.bench.params if parameter.name == "name")
    assert list(name.type.choices) == [*benches.BENCHES, "all"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the benchmarks, which measure nothing here, are asked for."""
    found: list[tuple[object, ...]] = []

    def measured(name: str) -> benches.Measures:
        def work(*wanted: object) -> benches.Measures:
            found.append((name, *wanted))
            yield measure.Measure(bench=name, metric="m", value=1, unit="s")

        return work

    table = {name: (measured(name), *usual) for name, (_, *usual) in benches.BENCHES.items()}
    monkeypatch.setattr(benches, "BENCHES", table)
    return found


@pytest.mark.parametrize(
    ("name", "count", "rate", "expected"),
    [
        pytest.param("nflog", None, None, [("nflog", 1_000_000, 135_000.0, 9)], id="as usual"),
        pytest.param("nflog", 5, 7.0, [("nflog", 5, 7.0, 9)], id="as asked"),
        pytest.param("all", 5, None, [(name, 5, usual[2], 9) for name, usual in benches.BENCHES.items()],
                     id="all"),
    ],
)  # fmt: skip
def test_each_is_asked_for(
    asked: list[tuple[object, ...]], name: str, count: int | None, rate: float | None, expected: list
) -> None:
    figures = benches.run(name, count, rate, 9)
    assert asked == []  # figures come one after the other
    assert [figure.bench for figure in figures] == [one[0] for one in expected]
    assert asked == expected
