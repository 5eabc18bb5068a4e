"""Every state that a release has left behind, in ``tests/states``, comes up to date with its rows."""

from __future__ import annotations

import json
import pathlib
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from clickhouse_server import Server

from model import errors
from store import chdb, ddl, migrations, native

Run = Callable[[str], str]
STATES = pathlib.Path(__file__).parents[1] / "states"
TOTALS = {
    "flows": {"rows": 60, "bytes": 215_192, "packets": 685, "connections": 60},
    "flows_minute": {"bytes": 126_773, "packets": 381, "connections": 36},
    "flows_hour": {"bytes": 126_773, "packets": 381, "connections": 36},
    "flows_hour_mirrored": {"bytes": 88_419, "packets": 304, "connections": 24},
}
"""What version 2's own engine had added up when the state was dumped, the mirrored reports apart."""
COUNTED = 45
SAID = {"completeness": "time", "completeness_hour": "last_seen"}
_SUMS = (
    "SELECT count() AS rows, sum(forward_bytes + reverse_bytes) AS bytes, "
    "sum(forward_packets + reverse_packets) AS packets, sum(connections_started) AS connections FROM {}"
)


def _statements(state: str) -> list[str]:
    text = (STATES / f"{state}.sql").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part.strip().rstrip(";") for part in lines.split(";\n\n")]


@pytest.fixture
def database(clickhouse: Server) -> Iterator[Callable[[], native.Server]]:
    """Opens a database that nothing is in, as often as asked."""
    name = f"d{uuid.uuid4().hex}"
    default = native.Server(clickhouse.native_url)
    default.command(f"CREATE DATABASE {name}", {})
    opened: list[native.Server] = []

    def another() -> native.Server:
        opened.append(native.Server(f"{clickhouse.native_url.partition('?')[0].rstrip('/')}/{name}"))
        return opened[-1]

    yield another
    default.command(f"DROP DATABASE {name}", {})
    for one in [*opened, default]:
        one.close()


def _fill(ledger: migrations.Ledger, state: str) -> None:
    for statement in _statements(state):
        ledger.command(statement, {})


def _totals(ledger: migrations.Ledger) -> dict[str, dict[str, int]]:
    found = {table: ledger.query(_SUMS.format(table), {}).to_pylist()[0] for table in TOTALS}
    return {table: {name: found[table][name] for name in TOTALS[table]} for table in TOTALS}


@pytest.mark.parametrize("state", ["version-2"])
def test_released_state_comes_up_to_date(database: Callable[[], native.Server], state: str) -> None:
    ledger = database()
    _fill(ledger, state)
    assert migrations.bring_up_to_date(ledger, ddl.ages(0)) == (2, 3)
    assert _totals(ledger) == TOTALS
    for table in ("flows", *ddl.ROLLUPS):
        sql = f"SELECT sum(connections_started) AS c FROM {table}_counted"
        assert ledger.query(sql, {}).column("c").to_pylist() == [COUNTED]
    for table, rows in {"label_sets": 2, "policy_hits": 1, "completeness": 13}.items():
        assert ledger.query(f"SELECT count() AS c FROM {table}", {}).column("c").to_pylist() == [rows]
    said = [f"SELECT sum(observed), max({seen}) FROM {table}" for table, seen in SAID.items()]
    raw, hours = (list(ledger.query(sql, {}).to_pylist()[0].values()) for sql in said)
    assert raw == hours
    safe = f"fsync_part_directory = 1, non_replicated_deduplication_window = {ddl.TOKENS}"
    found = ledger.query(
        "SELECT create_table_query AS q FROM system.tables WHERE database = currentDatabase() "
        f"AND engine LIKE '%Tree' AND name != '{migrations._OLD}'", {},
    )  # fmt: skip
    assert all(safe in query for query in found.column("q").to_pylist())
    migrations.check(ledger)


def test_rows_are_kept_as_long_as_before(database: Callable[[], native.Server]) -> None:
    """Whatever is asked for by whoever migrates."""
    ledger = database()
    _fill(ledger, "version-2")
    migrations.bring_up_to_date(ledger, ddl.ages(1))
    sql = "SELECT engine_full AS e FROM system.tables WHERE database = currentDatabase() AND name = 'flows'"
    assert "toIntervalDay(36500)" in ledger.query(sql, {}).column("e")[0].as_py()


def test_second_time_changes_nothing(database: Callable[[], native.Server]) -> None:
    ledger = database()
    _fill(ledger, "version-2")
    for expected in ((2, 3), (3, 3), (3, 3)):
        assert migrations.bring_up_to_date(ledger, ddl.ages(0)) == expected
    ledger.command("TRUNCATE TABLE schema_migrations", {})
    ledger.command("INSERT INTO schema_migrations VALUES (2, now64(3))", {})
    assert migrations.bring_up_to_date(ledger, ddl.ages(0)) == (2, 3)
    assert _totals(ledger) == TOTALS


@pytest.mark.parametrize("stop_after", range(1, 40, 3))
def test_kill_at_any_statement_loses_nothing(
    database: Callable[[], native.Server], monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """The statement is done, and whoever gave it dies before he hears of it."""
    ledger, dying = database(), database()
    _fill(ledger, "version-2")
    monkeypatch.setattr(migrations, "_PIECE_ROWS", 8)
    left = iter(range(stop_after))
    command = dying.command

    def until(sql: str, values: dict[str, str | int]) -> None:
        command(sql, values)
        if next(left, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(dying, "command", until)
    try:
        migrations.bring_up_to_date(dying, ddl.ages(0))
    except KeyboardInterrupt:
        migrations.bring_up_to_date(ledger, ddl.ages(0))
    assert _totals(ledger) == TOTALS


def test_two_at_once_copy_each_row_once(
    database: Callable[[], native.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(database(), "version-2")
    monkeypatch.setattr(migrations, "_PIECE_ROWS", 3)
    start, failed = threading.Barrier(3), list[BaseException]()

    def work(ledger: native.Server) -> None:
        start.wait()
        try:
            migrations.bring_up_to_date(ledger, ddl.ages(0))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(database(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert _totals(database()) == TOTALS


def test_new_ledger_gets_todays_schema(database: Callable[[], native.Server]) -> None:
    ledger = database()
    with pytest.raises(errors.StoreError, match="flowledger store init"):
        migrations.check(ledger)
    assert migrations.bring_up_to_date(ledger, ddl.ages()) == (0, ddl.SCHEMA_VERSION)
    migrations.check(ledger)
    assert ledger.query("SELECT version FROM schema_migrations", {}).column(0).to_pylist() == [3]


@pytest.mark.parametrize("found", [1, 4, 999], ids=["before any release", "next", "far ahead"])
def test_unknown_version_is_refused_and_left(database: Callable[[], native.Server], found: int) -> None:
    ledger = database()
    ledger.command(ddl.MIGRATIONS, {})
    ledger.command(f"INSERT INTO schema_migrations VALUES ({found}, now64(3))", {})
    for ask in (migrations.check, lambda ledger: migrations.bring_up_to_date(ledger, ddl.ages())):
        with pytest.raises(errors.StoreError, match=f"schema version {found} and this Flowledger knows 2, 3"):
            ask(ledger)
    tables = ledger.query("SELECT name FROM system.tables WHERE database = currentDatabase()", {})
    assert tables.column("name").to_pylist() == ["schema_migrations"]


def test_old_ledger_is_named_with_the_remedy(database: Callable[[], native.Server]) -> None:
    ledger = database()
    _fill(ledger, "version-2")
    with pytest.raises(errors.StoreError, match="run `flowledger store migrate`"):
        migrations.check(ledger)


def test_old_folder_is_brought_up_to_date(tmp_path: pathlib.Path, run: Run) -> None:
    (tmp_path / chdb.MARKER).write_text('{"schema": 2}\n')
    fill = (
        "import chdb, json, pathlib\n"
        f"connection = chdb.connect({str(tmp_path / 'clickhouse')!r})\n"
        f"for statement in {_statements('version-2')!r}: connection.query(statement)\n"
        "connection.close()"
    )
    run(fill)
    ask = (
        "import pathlib, json; from store import chdb\n"
        f"ledger = chdb.Embedded(pathlib.Path({str(tmp_path)!r}), retention_days=0)\n"
        f"asked = {[_SUMS.format(table) for table in TOTALS]!r}\n"
        "print(json.dumps([ledger.query(sql, {}).to_pylist()[0] for sql in asked]))"
    )
    for _ in range(2):
        found = dict(zip(TOTALS, json.loads(run(ask)), strict=True))
        assert {t: {k: found[t][k] for k in TOTALS[t]} for t in TOTALS} == TOTALS
    assert json.loads((tmp_path / chdb.MARKER).read_text()) == {"schema": 3}
