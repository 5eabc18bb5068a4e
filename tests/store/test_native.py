"""The native protocol, and what goes wrong between us and a server, by HTTP too."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
import wires
from clickhouse_server import PASSWORD, READER, USER, Server, free_port

from model import errors
from store import ddl, native, transport

Build = Callable[..., pa.RecordBatch]

both = pytest.mark.parametrize("scheme", ["clickhouse", "http"])


def _port(server: Server, scheme: str) -> int:
    return server.tcp if scheme.startswith("clickhouse") else server.http


@contextlib.contextmanager
def _open(url: str) -> Iterator[transport.Transport]:
    with contextlib.closing(transport.open(url)) as opened:
        yield opened


def _refused(ledger: transport.Transport) -> errors.StoreError:
    with pytest.raises(errors.StoreError) as caught:
        ledger.query("SELECT 1 AS a", {})
    return caught.value


def _asked(ledger: transport.Transport, sql: str = "SELECT currentUser() AS a") -> object:
    return ledger.query(sql, {}).column(0)[0].as_py()


@both
def test_nobody_there_is_temporary(scheme: str) -> None:
    with _open(f"{scheme}://u:hunter2@127.0.0.1:{free_port()}") as ledger:
        error = _refused(ledger)
    assert error.temporary
    assert "127.0.0.1" in str(error)
    assert "hunter2" not in str(error)


@both
def test_unknown_name_is_temporary(scheme: str) -> None:
    with _open(f"{scheme}://ledger.invalid") as ledger:
        assert _refused(ledger).temporary


@both
def test_insert_is_offered_again_after_a_kill(mortal: Server, flows: Build, scheme: str) -> None:
    """It had been taken, and counts once; one that came while nobody was there counts too."""
    with _open(f"{scheme}://127.0.0.1:{_port(mortal, scheme)}") as ledger:
        for statement in ddl.statements(ddl.Ages(flows=0, rollups=0)):
            ledger.command(statement, {})
        ledger.insert("flows", flows({}), token="1")
        mortal.kill()
        with pytest.raises(errors.StoreError) as caught:
            ledger.insert("flows", flows({}), token="2")
        assert caught.value.temporary
        mortal.start()
        ledger.insert("flows", flows({}), token="1")
        ledger.insert("flows", flows({}), token="2")
        found = (
            "SELECT (SELECT count() FROM flows) = 2 AND sum(connections_started) = 2 AS a FROM flows_minute"
        )
        assert _asked(ledger, found) == 1


@both
def test_hang_up_inside_an_insert_is_temporary(clickhouse: Server, flows: Build, scheme: str) -> None:
    rows = pa.Table.from_batches([flows({})]).take(pa.array([0] * 1000))
    random = pa.array([f"{i * 7919 % 1000003:x}" * 8 for i in range(1000)]).dictionary_encode()
    rows = rows.set_column(rows.schema.get_field_index("src_pod"), "src_pod", random)
    with (
        wires.relay(_port(clickhouse, scheme), cut_after=4000) as wire,
        _open(f"{scheme}://127.0.0.1:{wire.port}") as ledger,
    ):
        with pytest.raises(errors.StoreError) as caught:
            ledger.insert("flows", rows)
        assert caught.value.temporary
        wire.cut_after = None
        assert _asked(ledger) == "default"


@both
def test_silent_server_is_given_up(mortal: Server, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{_port(mortal, scheme)}?connect_timeout=0.3&timeout=0.3"
    with _open(url) as ledger:
        assert _asked(ledger) == "default"
        mortal.freeze()
        assert _refused(ledger).temporary
        mortal.thaw()
        assert _asked(ledger) == "default"


def test_long_silence_is_given_up(clickhouse: Server) -> None:
    """Over the native protocol a server that works says so all the time."""
    with _open(f"{clickhouse.http_url}?timeout=0.2") as ledger:
        with pytest.raises(errors.StoreError) as caught:
            ledger.query("SELECT sleep(1) AS a", {})
        assert caught.value.temporary


@both
@pytest.mark.parametrize("first", ["closed", "hangs up", "silent"])
def test_next_host_is_taken(clickhouse: Server, scheme: str, first: str) -> None:
    with contextlib.ExitStack() as undo:
        dead = free_port()
        if first == "hangs up" and scheme == "clickhouse":
            dead = undo.enter_context(wires.relay(clickhouse.tcp, cut_after=0)).port
        elif first == "silent" and scheme == "clickhouse":
            dead = undo.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        url = f"{scheme}://127.0.0.1:{dead},127.0.0.1:{_port(clickhouse, scheme)}?connect_timeout=0.3"
        assert _asked(undo.enter_context(_open(url))) == "default"


@both
def test_password_is_sent(clickhouse: Server, tmp_path: pathlib.Path, scheme: str) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    where = f"127.0.0.1:{_port(clickhouse, scheme)}"
    for url in (
        f"{scheme}://{USER}:{urllib.parse.quote(PASSWORD, safe='')}@{where}",
        f"{scheme}://{USER}@{where}?password_file={tmp_path}/password",
    ):
        with _open(url) as ledger:
            assert _asked(ledger) == USER


@both
@pytest.mark.parametrize(
    ("login", "database", "code"),
    [
        pytest.param(f"{USER}:hunter2@", "", 516, id="wrong password"),
        pytest.param("nobody:hunter2@", "", 516, id="unknown user"),
        pytest.param("", "nowhere", 81, id="unknown database"),
    ],
)
def test_wrong_log_in_is_refused_for_now(
    mortal: Server, scheme: str, login: str, database: str, code: int
) -> None:
    with _open(f"{scheme}://{login}127.0.0.1:{_port(mortal, scheme)}/{database}") as ledger:
        error = _refused(ledger)
    assert (error.code, error.temporary) == (code, True)
    assert "hunter2" not in str(error)


@both
def test_reader_writes_nothing(clickhouse: Server, made: native.Server, flows: Build, scheme: str) -> None:
    with _open(f"{scheme}://{READER}@127.0.0.1:{_port(clickhouse, scheme)}") as ledger:
        assert _asked(ledger) == READER
        with pytest.raises(errors.StoreError, match=r"READONLY|read-only"):
            ledger.insert("flows", flows({}))


@both
def test_database_of_the_url_is_used(clickhouse: Server, scheme: str) -> None:
    with _open(f"{scheme}://127.0.0.1:{_port(clickhouse, scheme)}/system") as ledger:
        assert _asked(ledger, "SELECT currentDatabase() AS a") == "system"
        assert _asked(ledger, "SELECT count() > 0 AS a FROM tables") == 1


SECURE = {"clickhouse": "clickhouse", "http": "https"}


@both
def test_tls_with_certificates_on_both_sides(
    clickhouse: Server, authority: wires.Authority, scheme: str
) -> None:
    name = SECURE[scheme]
    cert, key = authority.sign("client")
    server = authority.server("ledger.example", "127.0.0.1")
    with wires.relay(_port(clickhouse, scheme), server) as wire:
        url = f"{name}://127.0.0.1:{wire.port}?secure=1&ca={authority.ca}&cert={cert}&key={key}"
        for more in ("", "&server_name=ledger.example"):
            with _open(url + more) as ledger:
                assert _asked(ledger) == "default"
                assert _asked(ledger, "SELECT count() AS a FROM numbers(100000)") == 100_000
        with _open(f"{url}&server_name=another.example") as ledger:
            assert "certificate" in str(_refused(ledger)).lower()
        with _open(f"{name}://127.0.0.1:{wire.port}?secure=1&cert={cert}&key={key}") as ledger:
            assert "certificate" in str(_refused(ledger)).lower()  # of an authority that nobody knows
        with _open(f"{name}://127.0.0.1:{wire.port}?secure=1&ca={authority.ca}") as ledger:
            assert _refused(ledger).temporary  # without our own


@both
def test_tls_with_a_password_from_a_file(
    clickhouse: Server, authority: wires.Authority, tmp_path: pathlib.Path, scheme: str
) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    cert, key = authority.sign("client")
    ours = f"secure=1&cert={cert}&key={key}&password_file={tmp_path}/password"
    another = wires.Authority(tmp_path / "another")
    with wires.relay(_port(clickhouse, scheme), authority.server("ledger.example", "127.0.0.1")) as wire:
        url = f"{SECURE[scheme]}://{USER}@127.0.0.1:{wire.port}?{ours}"
        with _open(f"{url}&ca={authority.ca}") as ledger:
            assert _asked(ledger) == USER
        with _open(f"{url}&ca={another.ca}") as ledger:
            error = _refused(ledger)
    assert ("certificate verify failed" in str(error), error.temporary) == (True, True)
    assert PASSWORD not in str(error)


@both
def test_certificate_of_another_authority_is_no_log_in(
    clickhouse: Server, authority: wires.Authority, tmp_path: pathlib.Path, scheme: str
) -> None:
    cert, key = wires.Authority(tmp_path / "another").sign("client")
    with wires.relay(_port(clickhouse, scheme), authority.server("ledger.example", "127.0.0.1")) as wire:
        ours = f"secure=1&ca={authority.ca}&cert={cert}&key={key}"
        with _open(f"{SECURE[scheme]}://127.0.0.1:{wire.port}?{ours}") as ledger:
            assert _refused(ledger).temporary


@both
def test_plain_text_is_not_taken_for_tls(mortal: Server, scheme: str) -> None:
    name = SECURE[scheme]
    with _open(f"{name}://127.0.0.1:{_port(mortal, scheme)}?secure=1") as ledger:
        assert _refused(ledger).temporary


def test_cluster_answers_as_one(cluster: list[Server]) -> None:
    for server in cluster:
        for url in (server.native_url, server.http_url):
            with _open(url) as ledger:
                shards = "SELECT count() AS a FROM clusterAllReplicas('flowledger', system.one)"
                assert _asked(ledger, shards) == 2


def test_collector_s_ways_need_no_pandas(
    clickhouse: Server, made: native.Server, run: Callable[[str], str]
) -> None:
    """It costs each node a second and 60 MB."""
    script = (
        "import sys; from model import columns; from store import ddl, transport; import pyarrow as pa\n"
        "schema = columns.schema(columns.Stage.IDENTITY)\n"
        "blank = [columns.blank(c.arrow, 3) for c in columns.COLUMNS]\n"
        "rows = pa.RecordBatch.from_arrays(blank, schema=schema)\n"
        "labels = columns.batch(ddl.LABEL_SETS, {'labels_id': [1], 'labels': [{'a': 'b'}]})\n"
        f"for url in ({clickhouse.native_url!r}, {clickhouse.http_url!r}):\n"
        "    ledger = transport.open(url); ledger.insert('flows', rows)\n"
        "    ledger.insert('label_sets', labels)\n"
        "    ledger.query('SELECT count() AS c FROM flows', {}); ledger.close()\n"
        "print('pandas' in sys.modules)"
    )
    assert run(script) == "False"


# ---- what only the native protocol has


def test_closed_ledger_says_so(clickhouse: Server) -> None:
    ledger = native.Server(clickhouse.native_url)
    ledger.query("SELECT 1 AS a", {})
    ledger.close()
    ledger.close()
    with pytest.raises(errors.StoreError, match="closed"):
        ledger.query("SELECT 1 AS a", {})


@pytest.mark.parametrize("name", ["Parquet", "JSON", "TSVRow'", "JSONEachRowWithNames"])
def test_other_formats_are_refused_with_those_there_are(clickhouse: Server, name: str) -> None:
    with (
        contextlib.closing(native.Server(clickhouse.native_url)) as ledger,
        pytest.raises(errors.StoreError, match=r"Code: 73.*CSV.*http://") as caught,
    ):
        ledger.query_bytes("SELECT 1", {}, name)
    assert caught.value.code == 73


def test_connection_is_kept_until_it_fails(clickhouse: Server) -> None:
    with (
        wires.relay(clickhouse.tcp) as wire,
        contextlib.closing(native.Server(f"clickhouse://127.0.0.1:{wire.port}")) as ledger,
    ):
        for _ in range(3):
            ledger.query("SELECT 1 AS a", {})
        assert wire.accepted == 1
        with pytest.raises(errors.StoreError):
            ledger.query("SELEKT", {})
        ledger.query("SELECT 1 AS a", {})
        assert wire.accepted == 2


def test_few_idle_connections_are_kept(clickhouse: Server) -> None:
    together = threading.Barrier(10)

    def ask() -> None:
        together.wait(10)
        ledger.query("SELECT sleep(0.2) AS a", {})

    with contextlib.closing(native.Server(clickhouse.native_url)) as ledger:
        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger._idle.qsize() == native._IDLE


def test_type_that_is_not_read_leaves_the_ledger_usable(clickhouse: Server) -> None:
    with contextlib.closing(native.Server(clickhouse.native_url)) as ledger:
        with pytest.raises(errors.StoreError, match="Code: 50"):
            ledger.query("SELECT CAST(1, 'Dynamic') AS a", {})
        assert ledger.query("SELECT 1 AS a", {}).num_rows == 1
