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
STATES_KNOWN = {"version-2": 2, "version-3": 3, "version-4": 4}
TOTALS = {
    "version-2": {
        "flows": {"rows": 60, "bytes": 215_192, "packets": 685, "connections": 60},
        "flows_minute": {"bytes": 126_773, "packets": 381, "connections": 36},
        "flows_hour": {"bytes": 126_773, "packets": 381, "connections": 36},
        "flows_day": {"bytes": 126_773, "packets": 381, "connections": 36},
        "flows_hour_mirrored": {"bytes": 88_419, "packets": 304, "connections": 24},
    },
    "version-3": {
        "flows": {"rows": 64, "bytes": 215_792, "packets": 705, "connections": 64},
        "flows_minute": {"bytes": 127_223, "packets": 396, "connections": 39},
        "flows_hour": {"bytes": 127_223, "packets": 396, "connections": 39},
        "flows_day": {"bytes": 127_223, "packets": 396, "connections": 39},
        "flows_hour_mirrored": {"bytes": 88_569, "packets": 309, "connections": 25},
    },
    "version-4": {  # a correction is half done: 72 rows are 70 connections
        "flows": {"rows": 72, "bytes": 229_627, "packets": 742, "connections": 70},
        "flows_minute": {"bytes": 133_541, "packets": 425, "connections": 43},
        "flows_hour": {"bytes": 133_541, "packets": 425, "connections": 43},
        "flows_day": {"bytes": 133_541, "packets": 425, "connections": 43},
        "flows_hour_mirrored": {"bytes": 96_086, "packets": 317, "connections": 27},
    },
}
"""What each version's own engine had added up when the state was dumped, the mirrored reports apart."""
COUNTED = {"version-2": 45, "version-3": 49, "version-4": 55}
_SAID_OF_NODES = {"label_sets": 2, "policy_hits": 1, "completeness": 13}
OTHERS = {
    "version-2": _SAID_OF_NODES,
    "version-3": _SAID_OF_NODES,
    "version-4": _SAID_OF_NODES
    | {"completeness": 15, "endpoints": 2, "services": 1, "policies": 1, "watched": 1},
}
NODES = {
    "version-2": {"src": 24, "dst": 23, "both": 13},
    "version-3": {"src": 25, "dst": 24, "both": 14},
}
"""How many rows of each reporter name nodes, in states that know them by the other one alone."""
SAID = {"completeness": "time", "completeness_hour": "last_seen"}
STATEMENTS = {"version-2": 99, "version-3": 75, "version-4": 29}
"""How many it takes to bring each of them up to date, in pieces of eight rows."""
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


def _totals(ledger: migrations.Ledger, state: str) -> dict[str, dict[str, int]]:
    wanted = TOTALS[state]
    found = {table: ledger.query(_SUMS.format(table), {}).to_pylist()[0] for table in wanted}
    return {table: {name: found[table][name] for name in wanted[table]} for table in wanted}


def _shape(ledger: migrations.Ledger) -> list[dict[str, object]]:
    """The tables and views of a ledger, but for their own settings."""
    sql = (
        "SELECT table, name, type, default_expression, compression_codec, position FROM system.columns "
        "WHERE database = currentDatabase() AND table != 'flows_schema_2' ORDER BY table, position"
    )
    views = (
        "SELECT name, replace(as_select, concat(currentDatabase(), '.'), '') AS says FROM system.tables "
        "WHERE database = currentDatabase() ORDER BY name"
    )
    return [row for asked in (sql, views) for row in ledger.query(asked, {}).to_pylist()]


@pytest.mark.parametrize("state", STATES_KNOWN)
def test_released_state_comes_up_to_date(database: Callable[[], native.Server], state: str) -> None:
    ledger = database()
    _fill(ledger, state)
    assert migrations.bring_up_to_date(ledger, ddl.ages(0)) == (STATES_KNOWN[state], ddl.SCHEMA_VERSION)
    assert _totals(ledger, state) == TOTALS[state]
    for table in ("flows", *ddl.ROLLUPS):
        sql = f"SELECT sum(connections_started) AS c FROM {table}_counted"
        assert ledger.query(sql, {}).column("c").to_pylist() == [COUNTED[state]]
    for table, rows in OTHERS[state].items():
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


@pytest.mark.parametrize("state", STATES_KNOWN)
def test_old_ledger_becomes_what_a_new_one_is(database: Callable[[], native.Server], state: str) -> None:
    ledger = database()
    migrations.bring_up_to_date(ledger, ddl.ages(36_500))
    fresh = _shape(ledger)
    for table in [*ddl.VIEWS, *(f"{table}_counted" for table in ("flows", *ddl.ROLLUPS)),
                  "flows_hour_filled", "flows_day_filled", "peers_filled", "completeness_hour_filled",
                  *ddl.STORED, "schema_migrations"]:  # fmt: skip
        ledger.command(f"DROP TABLE {table} SYNC", {})
    _fill(ledger, state)
    migrations.bring_up_to_date(ledger, ddl.ages(36_500))
    assert [row for row in _shape(ledger) if row["name"] != "flows_schema_2"] == fresh


@pytest.mark.parametrize("state", NODES)
def test_nodes_of_both_ends_come_from_the_other_ones(
    database: Callable[[], native.Server], state: str
) -> None:
    ledger = database()
    _fill(ledger, state)
    ledger.command("CREATE TABLE before AS flows ENGINE = MergeTree ORDER BY time", {})
    ledger.command("INSERT INTO before SELECT * FROM flows", {})
    migrations.bring_up_to_date(ledger, ddl.ages(0))
    keys = "time, started, src_address, src_port, dst_address, dst_port, reporter, node"
    sql = (
        "SELECT toString(reporter) AS said, count() AS rows, "
        "countIf(src_node = if(said = 'dst', peer_node, node) "
        f"AND dst_node = if(said = 'src', peer_node, node)) AS right FROM flows JOIN before USING ({keys}) "
        "WHERE said != 'none' GROUP BY said"
    )
    found = ledger.query(sql, {}).to_pylist()
    assert {row["said"]: row["rows"] for row in found} == NODES[state]
    assert all(row["rows"] == row["right"] for row in found)
    nowhere = "SELECT count() AS c FROM flows WHERE reporter = 'none' AND src_node = '' AND dst_node = ''"
    assert ledger.query(nowhere, {}).column("c").to_pylist() == [state == "version-3"]


def test_rows_of_schema_4_say_what_they_said(database: Callable[[], native.Server]) -> None:
    """And nothing in the columns that are new."""
    ledger = database()
    _fill(ledger, "version-4")
    tables = [name for name in ddl.STORED if name != "completeness_hour"]
    found = {table: ledger.query(f"SELECT * FROM {table} ORDER BY ALL", {}) for table in tables}
    migrations.bring_up_to_date(ledger, ddl.ages(0))
    for table, before in found.items():
        listed = ", ".join(before.column_names)
        now = ledger.query(f"SELECT {listed} FROM {table} ORDER BY ALL", {})
        assert now.to_pylist() == before.to_pylist()
    assert set(ddl.TABLES["flows"].names) - set(found["flows"].column_names) == set(ddl.ADDED_IN_5)
    for table in ("flows", "flows_counted"):
        blank = ledger.query(f"SELECT DISTINCT {', '.join(ddl.ADDED_IN_5)} FROM {table}", {})
        assert blank.to_pylist() == [dict.fromkeys(ddl.ADDED_IN_5, "")]


@pytest.mark.parametrize("state", STATES_KNOWN)
def test_rows_are_kept_as_long_as_before(database: Callable[[], native.Server], state: str) -> None:
    """Whatever is asked for by whoever migrates."""
    ledger = database()
    _fill(ledger, state)
    migrations.bring_up_to_date(ledger, ddl.ages(1))
    sql = (
        "SELECT engine_full AS e FROM system.tables "
        "WHERE database = currentDatabase() AND name IN ('flows', 'endpoints') ORDER BY name"
    )
    claims, flows = ledger.query(sql, {}).column("e").to_pylist()
    assert "toIntervalDay(36500)" in flows
    assert "toIntervalDay(36810)" in claims


@pytest.mark.parametrize("state", STATES_KNOWN)
def test_second_time_changes_nothing(database: Callable[[], native.Server], state: str) -> None:
    ledger = database()
    _fill(ledger, state)
    found, now = STATES_KNOWN[state], ddl.SCHEMA_VERSION
    for expected in ((found, now), (now, now), (now, now)):
        assert migrations.bring_up_to_date(ledger, ddl.ages(0)) == expected
    ledger.command("TRUNCATE TABLE schema_migrations", {})
    ledger.command(f"INSERT INTO schema_migrations VALUES ({found}, now64(3))", {})
    assert migrations.bring_up_to_date(ledger, ddl.ages(0)) == (found, now)
    assert _totals(ledger, state) == TOTALS[state]


def test_rows_by_old_names_come_in_until_the_version_is_written(
    database: Callable[[], native.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes that are not upgraded yet write on while the ledger is brought up to date."""
    ledger, node = database(), database()
    _fill(ledger, "version-3")
    command, came = ledger.command, 0

    def meanwhile(sql: str, values: dict[str, str | int]) -> None:
        nonlocal came
        command(sql, values)
        if migrations.version(node) == 3 and "INSERT INTO schema_migrations" not in sql:
            came += 1
            node.command(
                "INSERT INTO flows (time, src_port, node, reporter, peer_node, verdict, connections_started) "
                f"VALUES ('2026-01-03', {came}, 'n', 'src', 'mute', 'allowed', 1)", {},
            )  # fmt: skip

    monkeypatch.setattr(ledger, "command", meanwhile)
    migrations.bring_up_to_date(ledger, ddl.ages(0))
    assert came > 20
    counted = "SELECT count() AS c, sum(connections_started) AS s FROM {} WHERE {} = 'mute'"
    assert list(node.query(counted.format("flows", "dst_node"), {}).to_pylist()[0].values()) == [came] * 2
    found = node.query(counted.format("flows_hour_mirrored", "peer_node"), {}).to_pylist()
    assert found[0]["s"] == came


def test_rows_without_what_is_new_come_in_whenever(
    database: Callable[[], native.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes of schema 4 name no column that goes, so that none of their rows has to wait; not even later."""
    ledger, node = database(), database()
    _fill(ledger, "version-4")
    names = ledger.query("SELECT * FROM flows LIMIT 0", {}).column_names
    command, came = ledger.command, 0

    def write() -> None:
        nonlocal came
        came += 1
        values = ", ".join({"src_port": str(came), "reporter": "'late'"}.get(name, name) for name in names)
        one = "SELECT * FROM flows WHERE reporter = 'dst' ORDER BY ALL LIMIT 1"
        node.command(f"INSERT INTO flows ({', '.join(names)}) SELECT {values} FROM ({one})", {})

    def meanwhile(sql: str, values: dict[str, str | int]) -> None:
        command(sql, values)
        write()

    before = _totals(ledger, "version-4")["flows_day"]["connections"]
    monkeypatch.setattr(ledger, "command", meanwhile)
    migrations.bring_up_to_date(ledger, ddl.ages(0))
    write()
    assert came > 20
    blank = " AND ".join(f"{name} = ''" for name in ddl.ADDED_IN_5)
    sql = f"SELECT uniqExact(src_port) AS c FROM flows_counted WHERE reporter = 'late' AND {blank}"
    assert node.query(sql, {}).column("c").to_pylist() == [came]
    assert _totals(node, "version-4")["flows_day"]["connections"] == before + came


@pytest.mark.parametrize(
    ("state", "stop_after"),
    [(state, at) for state, given in STATEMENTS.items() for at in range(1, given, 3)],
)
def test_kill_at_any_statement_loses_nothing(
    database: Callable[[], native.Server], monkeypatch: pytest.MonkeyPatch, state: str, stop_after: int
) -> None:
    """The statement is done, and whoever gave it dies before he hears of it."""
    ledger, dying = database(), database()
    _fill(ledger, state)
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
    assert _totals(ledger, state) == TOTALS[state]
    assert ledger.query("SELECT count() AS c FROM flows WHERE dst_node = ''", {}).column("c")[0].as_py() < 2


@pytest.mark.parametrize("state", STATES_KNOWN)
def test_two_at_once_bring_up_each_row_once(
    database: Callable[[], native.Server], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    _fill(database(), state)
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
    assert _totals(database(), state) == TOTALS[state]


def test_new_ledger_gets_todays_schema(database: Callable[[], native.Server]) -> None:
    ledger = database()
    with pytest.raises(errors.StoreError, match="flowledger store init"):
        migrations.check(ledger)
    assert migrations.bring_up_to_date(ledger, ddl.ages()) == (0, ddl.SCHEMA_VERSION)
    migrations.check(ledger)
    assert ledger.query("SELECT version FROM schema_migrations", {}).column(0).to_pylist() == [
        ddl.SCHEMA_VERSION
    ]


@pytest.mark.parametrize("found", [1, 6, 999], ids=["before any release", "next", "far ahead"])
def test_unknown_version_is_refused_and_left(database: Callable[[], native.Server], found: int) -> None:
    ledger = database()
    ledger.command(ddl.MIGRATIONS, {})
    ledger.command(f"INSERT INTO schema_migrations VALUES ({found}, now64(3))", {})
    for ask in (migrations.check, lambda ledger: migrations.bring_up_to_date(ledger, ddl.ages())):
        with pytest.raises(
            errors.StoreError, match=f"schema version {found} and this Flowledger knows 2, 3, 4, 5"
        ):
            ask(ledger)
    tables = ledger.query("SELECT name FROM system.tables WHERE database = currentDatabase()", {})
    assert tables.column("name").to_pylist() == ["schema_migrations"]


def test_old_ledger_is_named_with_the_remedy(database: Callable[[], native.Server]) -> None:
    ledger = database()
    _fill(ledger, "version-2")
    with pytest.raises(errors.StoreError, match="run `flowledger store migrate`"):
        migrations.check(ledger)


@pytest.mark.parametrize("state", STATES_KNOWN)
def test_old_folder_is_brought_up_to_date(tmp_path: pathlib.Path, run: Run, state: str) -> None:
    totals = TOTALS[state]
    (tmp_path / chdb.MARKER).write_text(json.dumps({"schema": STATES_KNOWN[state]}) + "\n")
    fill = (
        "import chdb, json, pathlib\n"
        f"connection = chdb.connect({str(tmp_path / 'clickhouse')!r})\n"
        f"for statement in {_statements(state)!r}: connection.query(statement)\n"
        "connection.close()"
    )
    run(fill)
    ask = (
        "import pathlib, json; from store import chdb\n"
        f"ledger = chdb.Embedded(pathlib.Path({str(tmp_path)!r}), retention_days=0)\n"
        f"asked = {[_SUMS.format(table) for table in totals]!r}\n"
        "print(json.dumps([ledger.query(sql, {}).to_pylist()[0] for sql in asked]))"
    )
    for _ in range(2):
        found = dict(zip(totals, json.loads(run(ask)), strict=True))
        assert {t: {k: found[t][k] for k in totals[t]} for t in totals} == totals
    assert json.loads((tmp_path / chdb.MARKER).read_text()) == {"schema": ddl.SCHEMA_VERSION}
