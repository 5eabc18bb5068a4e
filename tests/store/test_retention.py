from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from store import ddl, retention, transport

Build = Callable[..., pa.RecordBatch]
DAY = 86_400_000_000_000


def _part(table: str, name: str) -> retention.Partition:
    return retention.Partition(table=table, name=name, rows=1, bytes=1)


def test_oldest_day_goes_first_and_the_newest_stays() -> None:
    days = ("2026-01-30", "2026-01-31", "2026-02-01")
    present = [_part(table, day) for table in ("completeness", "flows", "flows_minute") for day in days]
    present += [_part("flows_hour", month) for month in ("202511", "202601", "202602")]
    present += [_part("flows_day", month) for month in ("202511", "202602")]
    present += [_part("label_sets", "tuple()")]
    assert [(p.table, p.name) for p in retention.expendable(present)] == [
        ("flows", "2026-01-30"), ("flows_minute", "2026-01-30"),
        ("flows", "2026-01-31"), ("flows_minute", "2026-01-31"),
        ("flows_hour", "202511"), ("flows_day", "202511"), ("flows_hour", "202601"),
    ]  # fmt: skip


@pytest.fixture
def four_days(owner: transport.Transport, flows: Build, hour: int) -> transport.Transport:
    """Four days of a hundred flows each."""
    for day in range(4):
        moments = ({"time": hour + day * DAY + n, "dst_port": n} for n in range(100))
        owner.insert("flows", flows(*moments))
    return owner


def _rows(ledger: transport.Transport, table: str) -> int:
    return int(ledger.query(f"SELECT count() AS c FROM {table}", {}).column("c")[0].as_py())


def test_enough_is_dropped_and_stated(four_days: transport.Transport, hour: int) -> None:
    all_bytes = retention.size(four_days)
    dropped = retention.keep_under(four_days, all_bytes - 1)
    assert [(p.table, p.name, p.rows) for p in dropped] == [("flows", "2026-01-01", 100)]
    assert (_rows(four_days, "flows"), _rows(four_days, "flows_minute")) == (300, 400)
    sql = (
        "SELECT toUnixTimestamp64Nano(time) AS t, toString(source) AS s, discarded AS d, toString(note) AS n "
    )
    assert [tuple(row.values()) for row in four_days.query(f"{sql} FROM completeness", {}).to_pylist()] == [
        (hour + 99, "retention", 100, "flows")
    ]


def test_bound_that_cannot_be_kept_leaves_the_newest(four_days: transport.Transport) -> None:
    retention.keep_under(four_days, 1)
    assert {table: _rows(four_days, table) for table in ("flows", *ddl.ROLLUPS)} == {
        "flows": 100, "flows_minute": 100, "flows_hour": 400, "flows_day": 400,
    }  # fmt: skip
    assert retention.keep_under(four_days, 1) == []
    assert _rows(four_days, "completeness") == 6


@pytest.mark.parametrize("most", [0, 1 << 50], ids=["no bound", "far away"])
def test_nothing_goes_without_need(four_days: transport.Transport, most: int) -> None:
    assert retention.keep_under(four_days, most) == []
    assert _rows(four_days, "flows") == 400


def test_kill_before_the_drop_states_it_once(four_days: transport.Transport) -> None:
    (first, *_) = retention.expendable(retention.partitions(four_days))

    class KilledError(Exception):
        pass

    class Dying:
        query, insert = four_days.query, four_days.insert

        def command(self, *_: object) -> None:
            raise KilledError

    for _ in range(3):
        with pytest.raises(KilledError):
            retention._drop(Dying(), first)  # type: ignore[arg-type]
    retention._drop(four_days, first)
    assert _rows(four_days, "completeness") == 1


def test_next_drops_say_when_and_why(four_days: transport.Transport) -> None:
    assert retention.next_drops(four_days) == []
    four_days.command("ALTER TABLE flows_hour MODIFY TTL toDate(time) + toIntervalDay(40000)", {})
    four_days.command("ALTER TABLE flows MODIFY TTL toDate(time) + toIntervalDay(30000)", {})
    try:
        found = retention.next_drops(four_days, retention.size(four_days) - 1)
        assert [(d.partition.table, d.partition.name, d.because.partition(" bytes")[0]) for d in found] == [
            ("flows", "2026-01-01", f"the ledger is over {retention.size(four_days) - 1:,}"),
            ("flows", "2026-01-01", "30000 days old on 2108-02-21"),
            ("flows_hour", "202601", "40000 days old on 2135-08-08"),
        ]
    finally:
        for table in ("flows", "flows_hour"):
            four_days.command(f"ALTER TABLE {table} REMOVE TTL", {})


def test_table_without_partitions_has_none_to_drop(four_days: transport.Transport) -> None:
    four_days.command("INSERT INTO endpoints (uid) VALUES ('a')", {})
    four_days.command("ALTER TABLE endpoints MODIFY TTL toDate(written) + toIntervalDay(40000)", {})
    try:
        assert retention.next_drops(four_days) == []
    finally:
        four_days.command("ALTER TABLE endpoints REMOVE TTL", {})


def test_keeper_looks_at_once_and_ends(four_days: transport.Transport) -> None:
    keeper = retention.Keeper(four_days, 1)
    keeper.start()
    end = time.monotonic() + 20
    while _rows(four_days, "flows") > 100 and time.monotonic() < end:
        time.sleep(0.01)
    keeper.stop()
    assert _rows(four_days, "flows") == 100
