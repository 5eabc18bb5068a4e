"""A server that is away while rows flow at full rate: they wait on the disk, and all are there in the end.

``pytest tests/e2e/test_server_away.py --away 600 -s`` is the long form.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import sys

import clickhouse_server
import lives
import numpy as np
import pytest

from store import transport

pytestmark = pytest.mark.e2e

RATE = 5_000
"""Rows a second: a node with 10,000 connections reported every five seconds, and 3,000 new ones a second."""

OVERLOAD = 40_000

_MOST_GROWTH = 48 << 20


@pytest.fixture
def away(request: pytest.FixtureRequest) -> int:
    seconds: int = request.config.getoption("away")
    return seconds


def test_all_rows_of_an_outage_are_delivered_once_in_order(
    mortal: clickhouse_server.Server, tmp_path: pathlib.Path, away: int
) -> None:
    seen, gone = _outage(mortal, tmp_path, away, RATE, {})
    with contextlib.closing(transport.open(mortal.native_url)) as ledger:
        numbers = _numbers(ledger)
        assert np.array_equal(numbers, np.arange(gone.rows))
        assert gone.discarded == 0
        assert _stated(ledger) == (gone.rows, 0)
        assert _in_order(ledger)
    growth = seen[-1].resident - seen[1].resident
    _say(f"{gone.rows} rows; spool {seen[-1].spooled >> 20} MiB; memory {_megabytes(seen)}")
    assert growth < _MOST_GROWTH


def test_oldest_rows_go_where_an_outage_outlasts_the_spool(
    mortal: clickhouse_server.Server, tmp_path: pathlib.Path, away: int
) -> None:
    bound = max(OVERLOAD * away * 30, 1 << 20)
    seen, gone = _outage(mortal, tmp_path, away, OVERLOAD, {"spool_bytes": bound})
    with contextlib.closing(transport.open(mortal.native_url)) as ledger:
        numbers = _numbers(ledger)
        assert gone.discarded > 0
        assert len(numbers) == gone.delivered == gone.rows - gone.discarded
        assert _stated(ledger) == (gone.delivered, gone.discarded)
        assert _in_order(ledger)
    steps = np.diff(numbers)
    _say(f"{gone.rows} rows, {gone.discarded} discarded; spool {bound >> 20} MiB; memory {_megabytes(seen)}")
    assert steps.min() == 1
    assert np.count_nonzero(steps > 1) <= 2, "only the oldest go, but perhaps for what was being offered"
    assert numbers[-1] == gone.rows - 1
    assert max(one.spooled for one in seen) <= bound
    assert seen[-1].resident - seen[1].resident < _MOST_GROWTH


def _outage(
    server: clickhouse_server.Server, folder: pathlib.Path, away: int, rate: int, options: dict
) -> tuple[list[lives.Going], lives.Gone]:
    """What a writer says in each second in which its server is away, and what became of its rows."""
    lives.make(server.native_url)
    with lives.streaming(server.native_url, folder / "spool", rate, options) as link:
        for _ in range(2):
            lives.listen(link)
        server.kill()
        seen = [lives.listen(link) for _ in range(away)]
        assert "no ClickHouse answers" in seen[-1].refused
        server.start()
        return seen, lives.stopped(link)


def _numbers(ledger: transport.Transport) -> np.ndarray:
    sql = f"SELECT toUnixTimestamp64Nano(started) - {lives.MIDNIGHT} AS n FROM flows ORDER BY n"
    return ledger.query(sql, {}).column("n").to_numpy()


def _stated(ledger: transport.Transport) -> tuple[int, int]:
    """What the writer says in the ledger that it has delivered and discarded."""
    sql = "SELECT sum(observed) AS o, sum(discarded) AS d FROM completeness WHERE source = 'store'"
    (row,) = ledger.query(sql, {}).to_pylist()
    return row["o"], row["d"]


def _in_order(ledger: transport.Transport) -> bool:
    """Parts are numbered as they came, and merges keep the order."""
    sql = (
        "SELECT toUInt64(splitByChar('_', _part)[2]) AS block, min(started) AS first, max(started) AS last "
        "FROM flows GROUP BY _part ORDER BY block"
    )
    parts = ledger.query(sql, {}).to_pylist()
    return all(a["last"] < b["first"] for a, b in itertools.pairwise(parts))


def _megabytes(seen: list[lives.Going]) -> str:
    said = [one.resident >> 20 for one in seen]
    return f"{said[0]} MiB at first, {said[-1]} at last, {max(said)} at most"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
