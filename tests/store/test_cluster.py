"""A ledger on real servers: it answers as one, says what is away, and counts nothing twice.

Replicated tables need Keeper, which the servers of these tests do not have: of them the statements are
tested, and that a server takes these up to the point where it asks Keeper.
"""

from __future__ import annotations

import contextlib
import pathlib
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import prometheus_client
import pyarrow as pa
import pytest
import wires
from clickhouse_server import Server, free_port

from model import errors
from runtime import metrics, settings
from store import cluster, ddl, filters, migrations, native, queries, status, transport, writer

Build = Callable[..., pa.RecordBatch]
HOUR = 3_600_000_000_000
PATIENCE_SECONDS = 120.0


def _url(server: Server, database: str, name: str = "flowledger") -> str:
    return f"{server.native_url}/{database}?cluster={name}"


def _make(url: str) -> tuple[int, int]:
    with contextlib.closing(cluster.Cluster(url)) as made:
        return made.bring_up_to_date(ddl.ages(0))


TOTALLED = ("flows", *ddl.ROLLUPS, *(f"{table}_counted" for table in ("flows", *ddl.ROLLUPS)))


def _totals(ledger: migrations.Ledger) -> list[int]:
    """How often the flows are in each table that has them."""
    sql = "SELECT sum(connections_started) AS c FROM {}"
    return [ledger.query(sql.format(table), {}).column("c")[0].as_py() for table in TOTALLED]


def _rows(ledger: migrations.Ledger, table: str) -> int:
    count: int = ledger.query(f"SELECT count() AS c FROM {table}", {}).column("c")[0].as_py()
    return count


def _connections(flows: Build, count: int, **more: object) -> pa.RecordBatch:
    return flows(*({"src_port": n, "dst_port": n % 7, **more} for n in range(count)))


def _leave(server: Server, database: str, state: str) -> None:
    """A ledger on a host as an older Flowledger has left it, in ``tests/states``, and what is over it."""
    text = (pathlib.Path(__file__).parents[1] / "states" / f"{state}.sql").read_text()
    made = text.partition("\n")[2].strip().rstrip(";").split(";\n\n")
    over = cluster.statements("flowledger", f"{database}_local")
    for name, statements in ((f"{database}_local", made), (database, over)):
        with _opened(server.native_url) as opened:
            opened.command(f"CREATE DATABASE {name}", {})
        with _opened(f"{server.native_url}/{name}") as opened:
            for statement in statements:
                opened.command(statement, {})


def _wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.05)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[transport.Transport]:
    with contextlib.closing(transport.open(url)) as ledger:
        yield ledger


@pytest.fixture
def database(cluster: list[Server]) -> Iterator[str]:
    """Name of a database that nothing is in."""
    name = f"d{uuid.uuid4().hex}"
    yield name
    for server in cluster:
        with contextlib.closing(native.Server(server.native_url)) as opened:
            opened.command(f"DROP DATABASE IF EXISTS {name}", {})
            opened.command(f"DROP DATABASE IF EXISTS {name}_local", {})


@pytest.fixture
def spread(cluster: list[Server], database: str) -> Iterator[list[transport.Transport]]:
    """An empty ledger on the cluster, by each of its hosts."""
    _make(_url(cluster[0], database))
    with contextlib.ExitStack() as undo:
        yield [undo.enter_context(_opened(_url(server, database))) for server in cluster]


# ---- what is made


def test_text_over_the_shards_is_the_golden_one() -> None:
    golden = (pathlib.Path(__file__).parent / "ddl-cluster.sql").read_text()
    made = cluster.statements("flowledger", "ledger_local")
    views = [statement for statement in ddl.statements() if statement in made]
    assert len(views) == len(ddl.ROLLUPS) + 1
    assert made[-len(views) :] == views
    assert ";\n\n".join(made[: -len(views)]) + ";\n" == golden


def test_every_table_that_takes_rows_is_sharded() -> None:
    assert cluster.SHARDED_BY.keys() == ddl.TABLES.keys()


PATH = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"


@pytest.mark.parametrize("at", range(len(ddl.STORED) + 1))
def test_replicated_text_differs_in_engine_and_tokens(at: int) -> None:
    plain = ddl.statements()[at]
    engine = {
        "label_sets": f"ReplacingMergeTree({PATH})",
        "peers": f"ReplacingMergeTree({PATH})",
        "completeness_hour": f"AggregatingMergeTree({PATH})",
        "endpoints": f"ReplacingMergeTree({PATH}, written)",
        "services": f"ReplacingMergeTree({PATH}, written)",
        "policies": f"ReplacingMergeTree({PATH}, written)",
        "watched": f"ReplacingMergeTree({PATH}, written)",
        "flows_minute": f"AggregatingMergeTree({PATH})",
        "flows_hour": f"AggregatingMergeTree({PATH})",
        "flows_day": f"AggregatingMergeTree({PATH})",
        "flows_hour_mirrored": f"AggregatingMergeTree({PATH})",
    }
    table = plain.splitlines()[0].split()[-1]
    changed = set(cluster.replicated(plain).splitlines()) - set(plain.splitlines())
    (line,) = [line for line in plain.splitlines() if line.startswith("SETTINGS")]
    tokens = (
        f"replicated_deduplication_window = {ddl.TOKENS}, replicated_deduplication_window_seconds = 604800"
    )
    window = f"non_replicated_deduplication_window = {ddl.TOKENS}"
    assert changed == {
        f"ENGINE = Replicated{engine.get(table, f'MergeTree({PATH})')}",
        line.replace(window, f"{window}, {tokens}"),
    }


def test_views_are_the_same_where_tables_are_replicated() -> None:
    for statement in ddl.statements()[len(ddl.STORED) + 1 :]:
        assert cluster.replicated(statement) == statement


def test_replicated_tables_are_taken_up_to_keeper(installed: None, tmp_path: pathlib.Path) -> None:
    """A server that is told of a Keeper which is away understands all of it and then misses Keeper."""
    keeper = f"<zookeeper><node><host>127.0.0.1</host><port>{free_port()}</port></node></zookeeper>"
    server = Server(
        tmp_path / "server", more=keeper + "<macros><shard>1</shard><replica>a</replica></macros>"
    )
    server.start()
    try:
        with _opened(server.native_url) as ledger:
            made = [statement for statement in ddl.statements() if statement.startswith("CREATE TABLE")]
            for statement in (made[0], made[1], made[3], made[-2]):  # one of each engine
                with pytest.raises(errors.StoreError, match="KEEPER_EXCEPTION") as caught:
                    ledger.command(cluster.replicated(statement), {})
                assert caught.value.temporary
    finally:
        server.kill()


# ---- making it


def test_ledger_is_made_from_either_host_and_again(cluster: list[Server], database: str) -> None:
    both = f"http://127.0.0.1:{cluster[0].http},127.0.0.1:{cluster[1].http}/{database}?cluster=flowledger"
    assert _make(_url(cluster[1], database)) == (0, ddl.SCHEMA_VERSION)
    for url in (_url(cluster[0], database), _url(cluster[1], database), both):
        assert _make(url) == (ddl.SCHEMA_VERSION, ddl.SCHEMA_VERSION)
    for server in cluster:
        with _opened(f"{server.http_url}/{database}") as ledger:
            migrations.check(ledger)


@pytest.mark.parametrize("scheme", ["clickhouse", "https"])
def test_ledger_is_made_by_tls(
    cluster: list[Server], database: str, authority: wires.Authority, scheme: str
) -> None:
    cert, key = authority.sign("client")
    ports = [server.tcp if scheme == "clickhouse" else server.http for server in cluster]
    with contextlib.ExitStack() as undo:
        tls = authority.server("ledger.example", "127.0.0.1")
        wire = [undo.enter_context(wires.relay(port, tls)) for port in ports]
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in wire)
        ours = f"cluster=flowledger&secure=1&ca={authority.ca}&cert={cert}&key={key}"
        assert _make(f"{scheme}://{hosts}/{database}?{ours}") == (0, ddl.SCHEMA_VERSION)


def test_shard_that_lags_is_brought_up(cluster: list[Server], database: str, spread: object) -> None:
    with _opened(f"{cluster[1].native_url}/{database}_local") as behind:
        behind.command("TRUNCATE TABLE schema_migrations", {})
        behind.command("INSERT INTO schema_migrations VALUES (2, now64(3))", {})
    with _opened(f"{cluster[0].native_url}/{database}") as ledger:
        with pytest.raises(errors.StoreError, match="schema version 2 and this Flowledger needs 5"):
            migrations.check(ledger)
        assert _make(_url(cluster[0], database)) == (2, 5)
        migrations.check(ledger)


def test_older_ledger_comes_up_to_date_with_what_is_over_it(
    cluster: list[Server], database: str, flows: Build
) -> None:
    """Nodes of the older Flowledger write on: by the tables over all shards as they were, and as they are."""
    for server in cluster:
        _leave(server, database, "version-4")
    with _opened(f"{cluster[1].native_url}/{database}") as older:
        names = ", ".join(older.query("SELECT * FROM flows LIMIT 0", {}).column_names)
        assert "origin" not in names
        again = f"INSERT INTO flows ({names}) SELECT {names} FROM flows WHERE src_workload = 'service-2'"
        settings = "SETTINGS distributed_foreground_insert = 1"
        before = _rows(older, "flows")
        assert before == 2 * 72
        older.command(f"{again} {settings}", {})
        came = _rows(older, "flows") - before
        assert came > 0
        assert _make(_url(cluster[0], database)) == (4, 5)
        older.command(f"{again} AND reporter != 'src' {settings}", {})
        assert _rows(older, "flows") > before + came
        assert _rows(older, "flows_counted WHERE origin = '' AND pending_trace = ''") > 0
    with _opened(_url(cluster[1], database)) as ledger:
        migrations.check(ledger)
        ledger.insert("flows", _connections(flows, 20, origin="goldmane", pending_verdict="denied"))
        asked = "flows_counted WHERE origin = 'goldmane' AND pending_verdict = 'denied'"
        assert _rows(ledger, asked) == 20


def test_shard_that_is_added_takes_its_part(installed: None, tmp_path: pathlib.Path, flows: Build) -> None:
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as undo:
        alone = Server(tmp_path / "first", ports[0])
        undo.callback(alone.kill)
        alone.start()
        _make(_url(alone, "ledger"))
        with _opened(_url(alone, "ledger")) as ledger:
            ledger.insert("flows", _connections(flows, 100))
        alone.kill()
        both = [
            Server(tmp_path / name, port, ports)
            for name, port in zip(("first", "second"), ports, strict=True)
        ]
        for server in both:
            undo.callback(server.kill)
            server.start()
        assert _make(_url(both[1], "ledger")) == (0, ddl.SCHEMA_VERSION)
        with _opened(_url(both[1], "ledger")) as ledger:
            ledger.insert("flows", _connections(flows, 100))
            assert _totals(ledger) == [200] * len(TOTALLED)
            assert 100 < _rows(ledger, "flows") - _rows(ledger, "ledger_local.flows") < 200


def test_unknown_version_on_one_shard_changes_nothing(cluster: list[Server], database: str) -> None:
    with _opened(cluster[1].native_url) as server:
        server.command(f"CREATE DATABASE {database}_local", {})
    with _opened(f"{cluster[1].native_url}/{database}_local") as newer:
        newer.command(ddl.MIGRATIONS, {})
        newer.command("INSERT INTO schema_migrations VALUES (999, now64(3))", {})
    with pytest.raises(errors.StoreError, match="schema version 999"):
        _make(_url(cluster[0], database))
    with _opened(cluster[0].native_url) as server:
        sql = "SELECT name FROM system.databases WHERE startsWith(name, {name:String})"
        assert server.query(sql, {"name": database}).num_rows == 0


def test_ledger_of_one_server_is_not_covered_up(cluster: list[Server], database: str) -> None:
    with _opened(cluster[1].native_url) as server:
        server.command(f"CREATE DATABASE {database}", {})
    with _opened(f"{cluster[1].native_url}/{database}") as single:
        migrations.bring_up_to_date(single, ddl.ages(0))
        with pytest.raises(errors.StoreError, match="has a ledger on one server"):
            _make(_url(cluster[0], database))
        assert _rows(single, "flows") == 0


@pytest.mark.parametrize(
    ("where", "says"),
    [
        pytest.param("clickhouse://127.0.0.1:{tcp}/d?cluster=none", "no cluster none", id="unknown cluster"),
        pytest.param("clickhouse://127.0.0.1:{tcp}/d'?cluster=flowledger", "letters", id="odd database"),
        pytest.param("clickhouse://127.0.0.1:{tcp}/d?cluster=a'b", "letters", id="odd cluster"),
        pytest.param(
            "http://127.0.0.1:{http}/d?cluster=flowledger", "name each of them", id="HTTP port of one"
        ),
        pytest.param(
            "clickhouse://127.0.0.1:{tcp},localhost:{tcp}/d?cluster=flowledger",
            "name each",
            id="one host twice",
        ),
    ],
)
def test_wrong_cluster_is_refused(cluster: list[Server], where: str, says: str) -> None:
    with pytest.raises(errors.SetupError, match=says):
        _make(where.format(tcp=cluster[0].tcp, http=cluster[0].http))


def test_cluster_is_named_in_the_url_alone() -> None:
    assert cluster.named("clickhouse://a/b?cluster=c")
    assert not cluster.named("clickhouse://a/b")
    assert not cluster.named("chdb:///a")


def test_host_that_is_away_keeps_the_ledger_from_being_made(mortals: list[Server]) -> None:
    mortals[1].kill()
    with pytest.raises(errors.StoreError, match=f"127.0.0.1:{mortals[1].tcp}") as caught:
        _make(_url(mortals[0], "ledger"))
    assert caught.value.temporary


# ---- answers


def _random_rows(dice: random.Random, hour: int, count: int) -> list[dict[str, object]]:
    """Connections of four nodes over two days; nearly half of them are reported by both ends."""
    rows: list[dict[str, object]] = []
    for _ in range(count):
        src, dst = dice.sample(["a", "b", "c", "silent"], 2)
        row: dict[str, object] = {
            "time": hour + dice.randrange(48 * HOUR), "src_address": f"10.0.0.{dice.randrange(9)}",
            "src_port": dice.randrange(1024, 65536), "dst_port": dice.choice([53, 80, 443]),
            "verdict": dice.choice(["allowed", "allowed", "denied", "unknown"]),
            "src_workload": dice.choice(["web", "cart"]), "src_labels_id": dice.randrange(1, 5),
            "forward_bytes": dice.randrange(1 << 40), "node": src, "src_node": src, "dst_node": dst,
            "reporter": "src",
        }  # fmt: skip
        rows.append(row)
        if dice.random() < 0.5:
            rows.append(row | {"node": dst, "reporter": "dst"})
    return rows


def _answers(ledger: transport.Transport, span: queries.Span, condition: filters.Condition) -> list[object]:
    """What each query says; where the order of rows is open, in an order."""
    tables = [
        queries.timeline(ledger, span, condition), queries.edges(ledger, span, condition),
        queries.graph(ledger, span, condition), queries.nodes(ledger, span),
        queries.flows(ledger, span, condition, limit=100_000),
        queries.since(ledger, span.start + 40 * HOUR, condition, limit=100_000),
    ]  # fmt: skip
    return [
        queries.summary(ledger, span, condition), queries.bounds(ledger),
        *(sorted(map(repr, table.to_pylist())) for table in tables),
    ]  # fmt: skip


CONDITIONS = (
    "",
    "src.workload = web",
    "src.label.app = web and verdict != denied",
    "not src.label.app = web",
)


def test_cluster_answers_like_one_engine(
    spread: list[transport.Transport],
    ledger: transport.Transport,
    flows: Build,
    completeness: Build,
    hour: int,
) -> None:
    dice = random.Random(7)
    rows = [flows(*_random_rows(dice, hour, 300)) for _ in range(3)]
    reports = [
        {"node": node, "time": hour + n * HOUR, "observed": 50, "lost": n % 3}
        for node in ("a", "b", "c") for n in range(48) if dice.random() < 0.8
    ]  # fmt: skip
    labels = pa.Table.from_pylist(
        [{"labels_id": n, "labels": [("app", "web" if n % 2 else "cart")]} for n in range(1, 5)],
        ddl.LABEL_SETS,
    )
    for written in (ledger, spread[1]):
        for batch in rows:
            written.insert("flows", batch)
        written.insert("label_sets", labels)
        written.insert("completeness", completeness(*reports))
    span = queries.Span(hour + 1, hour + 47 * HOUR + 5)
    for condition in map(filters.compile, CONDITIONS):
        expected = _answers(ledger, span, condition)
        assert len(str(expected)) > 10_000
        for asked in spread:
            assert _answers(asked, span, condition) == expected


def test_reports_of_one_connection_lie_together(spread: list[transport.Transport], flows: Build) -> None:
    """Both nodes' and all intervals' of it; and all shards have some."""
    for more in ({"node": "a", "reporter": "src"}, {"node": "b", "reporter": "dst"}, {"forward_bytes": 9}):
        spread[0].insert("flows", _connections(flows, 50, **more))
    sql = (
        "SELECT src_port, uniqExact(shard) AS shards, count() AS rows "
        "FROM (SELECT src_port, shardNum() AS shard FROM flows) GROUP BY src_port"
    )
    found = spread[1].query(sql, {}).to_pylist()
    assert {(row["shards"], row["rows"]) for row in found} == {(1, 3)}
    parts = spread[1].query("SELECT DISTINCT shardNum() AS shard FROM flows", {})
    assert sorted(parts.column("shard").to_pylist()) == [1, 2]


def test_status_is_of_all_shards(spread: list[transport.Transport], flows: Build) -> None:
    spread[0].insert("flows", _connections(flows, 100))
    for ledger in spread:
        found = status.read(ledger)
        tables = {row["table"]: row["rows"] for row in found.tables.to_pylist()}
        assert (tables["flows"], [shard.answers for shard in found.shards]) == (100, [True, True])
        assert found.bytes == sum(found.tables.column("bytes").to_pylist())
        assert found.summary is not None
        assert found.summary.flows == 100


def test_ledger_on_one_server_has_no_shards(ledger: transport.Transport) -> None:
    assert cluster.place(ledger) == ("", "")
    assert cluster.shards(ledger) == []
    assert cluster.stored(ledger) is ledger


# ---- exactly once


@pytest.mark.parametrize("scheme", ["clickhouse", "http"])
def test_same_token_counts_once_by_whatever_host(
    cluster: list[Server], database: str, spread: list[transport.Transport], flows: Build, scheme: str
) -> None:
    batch = _connections(flows, 200)
    for server in [*cluster, *cluster]:
        url = server.native_url if scheme == "clickhouse" else server.http_url
        with _opened(f"{url}/{database}") as ledger:
            ledger.insert("flows", batch, token="node-1/boot/7")
    assert _totals(spread[0]) == [200] * len(TOTALLED)
    spread[1].insert("flows", batch, token="node-1/boot/8")
    spread[0].insert("flows", batch)
    assert _totals(spread[0]) == [600] * len(TOTALLED)


@pytest.mark.parametrize("again", [0, 1], ids=["same host", "other host"])
def test_batch_that_reached_one_shard_is_completed(mortals: list[Server], flows: Build, again: int) -> None:
    """The second shard is slow, and killed when the first has its part."""
    _make(_url(mortals[0], "ledger"))
    batch, failed = _connections(flows, 200), list[errors.StoreError]()
    with contextlib.ExitStack() as undo:
        ledgers = [undo.enter_context(_opened(_url(server, "ledger"))) for server in mortals]
        view = (
            "CREATE MATERIALIZED VIEW ledger_local.slow ENGINE = Memory AS "
            "SELECT sleep(3) FROM ledger_local.flows"
        )
        ledgers[1].command(view, {})

        def offer() -> None:
            try:
                ledgers[0].insert("flows", batch, token="7")
            except errors.StoreError as error:
                failed.append(error)

        offering = threading.Thread(target=offer)
        offering.start()
        _wait_for(lambda: _rows(ledgers[0], "ledger_local.flows") > 0)
        mortals[1].kill()
        offering.join()
        assert 0 < _rows(ledgers[0], "ledger_local.flows") < 200
        assert [(error.temporary, error.code) for error in failed] == [(True, 32)]
        mortals[1].start()
        ledgers[1].command("DROP VIEW ledger_local.slow SYNC", {})
        ledgers[again].insert("flows", batch, token="7")
        ledgers[0].insert("flows", batch, token="7")
        assert _totals(ledgers[1]) == [200] * len(TOTALLED)


def test_shard_that_refuses_leaves_nothing_twice(mortals: list[Server], flows: Build) -> None:
    """It fails after its flows, before its rollups, as often as they are offered."""
    _make(_url(mortals[0], "ledger"))
    batch = _connections(flows, 200)
    with _opened(_url(mortals[0], "ledger")) as ledger, _opened(_url(mortals[1], "ledger")) as other:
        view = (
            "CREATE MATERIALIZED VIEW ledger_local.broken ENGINE = Memory AS "
            "SELECT throwIf(1) FROM ledger_local.flows_minute"
        )
        other.command(view, {})
        for _ in range(3):
            with pytest.raises(errors.StoreError, match="Code: 395"):
                ledger.insert("flows", batch, token="7")
        other.command("DROP VIEW ledger_local.broken SYNC", {})
        ledger.insert("flows", batch, token="7")
        assert _totals(ledger) == [200] * len(TOTALLED)


# ---- a server is lost


@pytest.mark.parametrize("scheme", ["clickhouse", "http"])
def test_other_replica_takes_rows_and_answers(mortals: list[Server], flows: Build, scheme: str) -> None:
    """Its shard goes on; that it also has the rows of the lost one is for Keeper to see to."""
    _make(_url(mortals[0], "ledger", "replicas"))
    ports = [server.tcp if scheme == "clickhouse" else server.http for server in mortals]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    with _opened(f"{scheme}://{hosts}/ledger?cluster=replicas") as ledger:
        ledger.insert("flows", _connections(flows, 5), token="1")
        mortals[0].kill()
        ledger.insert("flows", _connections(flows, 100), token="2")
        ledger.insert("flows", _connections(flows, 100), token="2")
        assert _totals(ledger)[0] in (100, 105)
        (shard,) = status.read(ledger).shards
        assert str(shard) == f"shard 1 of 1 (127.0.0.1:{mortals[0].tcp}, 127.0.0.1:{mortals[1].tcp}) answers"


def _is_missed(ledger: transport.Transport, other: Server, span: queries.Span, words: str) -> bool:
    """Whether a question is refused in these words; it must not be answered in part."""
    other.revive()
    with pytest.raises(errors.StoreError) as caught:
        queries.summary(ledger, span)
    return caught.value.temporary and words in str(caught.value)


@pytest.mark.parametrize("gone", [0, 1], ids=["first host", "second host"])
def test_lost_shard_is_named_and_its_rows_arrive(
    mortals: list[Server], flows: Build, completeness: Build, hour: int, tmp_path: pathlib.Path, gone: int
) -> None:
    """A node writes through a spool; nothing is answered in part, and all is there in the end."""
    _make(_url(mortals[0], "ledger"))
    url = f"clickhouse://127.0.0.1:{mortals[0].tcp},127.0.0.1:{mortals[1].tcp}/ledger?cluster=flowledger"
    away = f"shard {gone + 1} of 2 (127.0.0.1:{mortals[gone].tcp}) does not answer"
    span = queries.Span(hour, hour + HOUR)
    configured = settings.Store(url=url, batch_rows=100, batch_seconds=0.05)
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    with _opened(url) as ledger:
        sending = writer.Writer(ledger, tmp_path / "spool", configured, "n", measured, chance=lambda: 0.0)
        sending.start()
        try:
            sending.insert("completeness", completeness({"observed": 10, "time": hour + 1}))
            sending.insert("flows", _connections(flows, 300))
            _wait_for(lambda: not sending._spool.state().files)
            assert queries.summary(ledger, span).flows == 300
            for n in range(10):
                if n == 5:  # amid what is on its way
                    mortals[gone].kill()
                sending.insert("flows", _connections(flows, 200, forward_bytes=n))
            _wait_for(lambda: bool(sending.check()))
            _wait_for(lambda: _is_missed(ledger, mortals[1 - gone], span, away))
            done = _store("status", url)
            assert (done.returncode, away in done.stderr) == (2, True)
            mortals[gone].start()
            mortals[1 - gone].revive()
            _wait_for(lambda: not sending.check() and not sending._spool.state().files)
        finally:
            sending.stop()
        found = queries.summary(ledger, span)
        assert (found.flows, found.completeness) == (2300, 1.0)
        assert _totals(ledger) == [2300] * len(TOTALLED)
        assert _rows(ledger, "flows") == 2300


# ---- the command


def _command(word: str, url: str) -> list[str]:
    flag = "--ledger" if word == "status" else "--store"
    return [sys.executable, "-m", "cli.main", "store", word, flag, url]


def _store(word: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(word, url), capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def test_command_makes_migrates_and_shows_it(cluster: list[Server], database: str, flows: Build) -> None:
    first, second = (_url(server, database) for server in cluster)
    assert "make one with `flowledger store init`" in _store("migrate", first).stderr
    for url, words in ((first, "new"), (second, "as it was"), (first, "as it was")):
        done = _store("init", url)
        assert (done.returncode, words in done.stdout, done.stderr) == (0, True, "")
    assert "as it was" in _store("migrate", second).stdout
    shown = _store("status", second)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"shard 2 of 2 (127.0.0.1:{cluster[1].tcp}) answers" in shown.stdout
    refused = _store("migrate", f"{cluster[0].native_url}/{database}")
    assert (refused.returncode, "add ?cluster=flowledger" in refused.stderr) == (2, True)


def test_two_processes_make_it_at_once(cluster: list[Server], database: str, flows: Build) -> None:
    urls = [_url(server, database) for server in cluster]
    running = [
        subprocess.Popen(_command("init", url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for url in urls
    ]
    said = [process.communicate(timeout=PATIENCE_SECONDS) for process in running]
    assert [(process.returncode, err) for process, (_, err) in zip(running, said, strict=True)] == [
        (0, "")
    ] * 2
    with _opened(urls[0]) as ledger:
        ledger.insert("flows", _connections(flows, 10, time=time.time_ns()))
        assert _totals(ledger) == [10] * len(TOTALLED)
        migrations.check(ledger)
