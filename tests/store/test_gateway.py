from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import datetime
import http.client
import pathlib
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

import clickhouse_connect
import hostile
import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pytest
from clickhouse_connect.driver import exceptions
from clickhouse_server import READER, Server

from model import errors
from store import access, chdb, encodings, gateway, limits, parameters

Answer = tuple[int, str, str]


def _ask(
    url: str, body: str | None = None, path: str = "/", host: str = "localhost", **fields: str
) -> Answer:
    """Status, exception code and text of the answer to a GET, or with a body to a POST."""
    target = f"{url}{path}?{urllib.parse.urlencode(fields)}"
    request = urllib.request.Request(target, body.encode() if body is not None else None)
    request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, "", response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("X-ClickHouse-Exception-Code", ""), error.read().decode()


def test_statement_in_the_url_is_answered(url: str) -> None:
    assert _ask(url, query="SELECT {x:UInt8} + 1", param_x="1") == (200, "", "2\n")


def test_statement_in_the_body_is_answered(url: str) -> None:
    assert _ask(url, "SELECT 1 AS a", default_format="CSVWithNames", database="default") == (
        200,
        "",
        '"a"\n1\n',
    )


def test_statement_begun_in_the_url_ends_in_the_body(url: str) -> None:
    assert _ask(url, "+ 1", query="SELECT 1") == (200, "", "2\n")


def test_format_in_the_statement_wins(url: str) -> None:
    assert _ask(url, query="SELECT 1 FORMAT TSV", default_format="JSON")[2] == "1\n"


def test_ping_says_ok(url: str) -> None:
    assert _ask(url, path="/ping") == (200, "", "Ok.\n")


def test_other_paths_are_not_there(url: str) -> None:
    assert _ask(url, path="/play")[0] == 404


def test_mistake_carries_clickhouse_s_code(url: str) -> None:
    status, code, text = _ask(url, query="SELECT * FROM nowhere")
    assert (status, code) == (404, "60")
    assert "nowhere" in text


def test_strange_format_is_refused(url: str) -> None:
    assert _ask(url, query="SELECT 1", default_format="CSV; DROP TABLE flows")[:2] == (404, "73")


WRITES = [
    "INSERT INTO flows SELECT * FROM flows",
    "INSERT INTO label_sets VALUES (1, map())",
    "CREATE TABLE t (x Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE t (x Int8)",
    "CREATE DATABASE d",
    "CREATE FUNCTION f AS x -> x",
    "CREATE USER u",
    "DROP TABLE flows",
    "TRUNCATE TABLE flows",
    "ALTER TABLE flows DELETE WHERE 1",
    "DELETE FROM flows WHERE 1",
    "RENAME TABLE flows TO f",
    "OPTIMIZE TABLE flows",
    "DETACH TABLE flows",
    "ATTACH TABLE f",
    "SYSTEM FLUSH LOGS",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "SET readonly = 0",
    "SET max_threads = 1",
    "USE system",
    "GRANT ALL ON *.* TO default",
    "BACKUP TABLE flows TO File('x')",
    "/* harmless */ DROP TABLE flows",
    "-- harmless\nDROP TABLE flows",
    "SELECT 1; DROP TABLE flows",
    "SELECT 1 /* ; */; SET readonly = 0",
    "WITH a AS (SELECT 1) INSERT INTO label_sets SELECT 1, map() FROM a",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_threads = 2",
    "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)",
    "INSERT INTO label_sets SELECT 1, map() SETTINGS readonly = 0",
    "exit",
    "\\q",
    "?? drop it",
]


@pytest.mark.parametrize("statement", WRITES)
def test_writing_is_refused(url: str, ledger: chdb.Embedded, statement: str) -> None:
    status, code, _ = _ask(url, statement)
    assert (status, code) in ((500, "164"), (400, "62"), (404, "47"))
    assert (
        _ask(url, query="SELECT (SELECT count() FROM flows) + (SELECT count() FROM label_sets)")[2] == "0\n"
    )


REACHES = [
    "SELECT file('{secret}')",
    "SELECT `file`('{secret}')",
    "SELECT \"file\"('{secret}')",
    "SELECT fi/**/le('{secret}')",
    "SELECT * APPLY(file) FROM (SELECT '{secret}')",
    "SELECT arrayMap(x -> file(x), ['{secret}'])",
    "SELECT * FROM file('{secret}', 'LineAsString')",
    "DESCRIBE TABLE file('{secret}')",
    "EXPLAIN SELECT file('{secret}')",
    "\\i {secret}",
    "SELECT * FROM `{secret}`",
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO/**/OUTFILE '{out}' TRUNCATE FORMAT CSV",
    "SHOW TABLES INTO OUTFILE '{out}'",
    "INSERT INTO label_sets FROM INFILE '{secret}' FORMAT CSV",
    "SELECT 1 FORMAT Template SETTINGS format_template_row = '{secret}'",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')",
    "DESCRIBE TABLE url('http://127.0.0.1:1/', 'CSV')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV', 'x String')",
    "DESCRIBE TABLE s3('http://127.0.0.1:1/bucket/x')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM executable('x.sh', 'CSV', 'x String')",
    "SELECT * FROM Python(ledger)",
    "SELECT * FROM sqlite('{secret}', 't')",
    "SELECT * FROM icebergLocal('/tmp')",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'x String')",
    "SELECT aiClassify('x', ['a'])",
    "SELECT * FROM eval('SELECT 1')",
]


@pytest.mark.parametrize("statement", REACHES)
def test_files_and_network_are_out_of_reach(url: str, tmp_path: pathlib.Path, statement: str) -> None:
    secret, out = tmp_path / "secret", tmp_path / "out"
    secret.write_text("hunter2")
    status, _, text = _ask(url, statement.replace("{secret}", str(secret)).replace("{out}", str(out)))
    assert status >= 400
    assert "hunter2" not in text
    assert not out.exists()


HARMLESS = {
    "cluster", "clusterAllReplicas", "eval", "fuzzJSON", "fuzzQuery", "generateRandom", "generateSeries",
    "generate_series", "input", "merge", "mergeTreeAnalyzeIndexes", "mergeTreeAnalyzeIndexesUUID",
    "mergeTreeCodecBlockCounts", "mergeTreeIndex", "mergeTreeProjection", "mergeTreeTextIndex", "null",
    "numbers", "numbers_mt", "primes", "SQLStandardValues", "values", "view", "viewIfPermitted",
}  # fmt: skip
"""Table functions that stay in the ledger: nobody has given it clusters, and ``eval`` is refused by name."""


def test_every_other_table_function_is_refused(url: str, ledger: chdb.Embedded) -> None:
    """A new engine may have new ones, and must not let them through."""
    known = ledger.query("SELECT name FROM system.table_functions", {}).column("name").to_pylist()
    outward = set(known) - HARMLESS
    assert {"file", "url", "s3", "remote", "executable", "mysql"} <= outward
    for name in outward:
        assert _ask(url, f"SELECT * FROM {name}('http://127.0.0.1:1/x')")[:2] == (500, "164"), name


@pytest.mark.parametrize("name", ["cluster", "clusterAllReplicas"])
def test_there_is_no_cluster_to_ask(url: str, name: str) -> None:
    assert _ask(url, f"SELECT * FROM {name}('127.0.0.1:1', system.one)")[1] in ("170", "701", "36", "46")


def test_identifier_parameter_names_no_function(url: str) -> None:
    assert _ask(url, query="SELECT {f:Identifier}('/etc/passwd')", param_f="file")[0] >= 400
    assert _ask(url, query="SELECT * FROM {f:Identifier}", param_f="file('/etc/passwd')")[0] >= 400


def _exchange(url: str, sent: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, headers and body of the answer to those very bytes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        return _received(connection)


def _received(connection: socket.socket) -> tuple[bytes, dict[str, str], bytes]:
    answer = http.client.HTTPResponse(connection, method="GET")
    answer.begin()
    body = answer.read()
    return f"{answer.status}".encode(), {k.lower(): v for k, v in answer.getheaders()}, body


def test_body_without_length_is_refused(url: str) -> None:
    status, headers, _ = _exchange(url, b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSELECT 1")
    assert (status, headers["x-clickhouse-exception-code"]) == (b"411", "381")
    assert headers["connection"] == "close"


def test_too_long_a_body_is_refused_unread(url: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n"
    for length, refused in ((b"1048577", b"413"), (b"9" * 5000, b"411"), (b"-1", b"411")):
        status, headers, _ = _exchange(url, head % length)
        assert (status, headers["connection"]) == (refused, "close")


CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        pytest.param(b"7;x=y\r\nSELECT \r\n2\r\n42\r\n0\r\nTrailer: t\r\n\r\n", b"200", id="two chunks"),
        pytest.param(b"100001\r\n", b"413", id="too long"),
        pytest.param(b"-1\r\n", b"400", id="below zero"),
        pytest.param(b"x\r\n", b"400", id="no number"),
        pytest.param(b"0\r\n" + b"T: t\r\n" * 101, b"400", id="trailers without end"),
    ],
)
def test_body_in_chunks_is_read(url: str, chunks: bytes, status: bytes) -> None:
    answered, _, body = _exchange(url, CHUNKED + chunks)
    assert answered == status
    assert body == b"42\n" or status != b"200"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_body_of_any_method_is_no_request(url: str, method: bytes) -> None:
    """Left unread it would be the next one's beginning."""
    host, port = url.removeprefix("http://").split(":")
    sent = method + b" /?query=SELECT HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n7"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent + b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.endswith(b"Ok.\n")


def test_connection_is_kept(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    get = b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nSELECT 2"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for sent, body in ((get, b"1\n"), (post, b"2\n"), (get, b"1\n")):
            connection.sendall(sent)
            _, headers, answered = _received(connection)
            assert (answered, headers["connection"]) == (body, "Keep-Alive")


def test_head_has_no_body(url: str) -> None:
    request = urllib.request.Request(f"{url}/?query=SELECT+1", method="HEAD")
    with urllib.request.urlopen(request, timeout=20) as response:
        assert (response.headers["Content-Length"], response.read()) == ("2", b"")


def test_headers_have_their_bounds(url: str) -> None:
    many = b"".join(b"X-%d: y\r\n" % number for number in range(200))
    status, _, _ = _exchange(url, b"GET /ping HTTP/1.1\r\n" + many + b"\r\n")
    assert status == b"431"
    assert _exchange(url, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n")[0] == b"414"


@pytest.fixture(scope="session")
def guarded(_engine: chdb.Embedded) -> Iterator[str]:
    """Served to whoever knows the token, with narrow limits."""
    most = limits.Limits(statement_seconds=1, answer_rows=5000, statement_bytes=64 << 20, statements=1)
    served = gateway.Gateway(_engine, port=0, admitted=access.Access("s3cret"), most=most)
    served.start()
    yield served.url
    served.stop()


def _with(url: str, headers: dict[str, str], **fields: str) -> Answer:
    target = f"{url}/?{urllib.parse.urlencode({'query': 'SELECT 1', **fields})}"
    request = urllib.request.Request(target, headers={"Host": "ledger.example", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, "", response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["X-ClickHouse-Exception-Code"], error.read().decode()


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"default:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "fields", "status", "code"),
    [
        pytest.param({}, {}, 401, "194", id="nothing"),
        pytest.param({"Authorization": "Bearer s3cret"}, {}, 200, "", id="bearer"),
        pytest.param({"Authorization": _basic("s3cret")}, {}, 200, "", id="basic"),
        pytest.param({"X-ClickHouse-Key": "s3cret"}, {}, 200, "", id="header of ClickHouse's own"),
        pytest.param({}, {"user": "x", "password": "s3cret"}, 200, "", id="URL"),
        pytest.param({"Authorization": "Bearer S3cret"}, {}, 403, "516", id="wrong bearer"),
        pytest.param({"Authorization": _basic("")}, {}, 401, "194", id="basic without password"),
        pytest.param({"Authorization": "Basic !"}, {}, 403, "516", id="no basic at all"),
        pytest.param({"X-ClickHouse-Key": "schl\u00fcssel"}, {}, 403, "516", id="not ASCII"),
        pytest.param({}, {"password": "s3"}, 403, "516", id="part of it"),
    ],
)
def test_token_lets_in(
    guarded: str, headers: dict[str, str], fields: dict[str, str], status: int, code: str
) -> None:
    answered, said, text = _with(guarded, headers, **fields)
    assert (answered, said) == (status, code)
    assert "s3cret" not in text


def test_ping_needs_no_token(guarded: str) -> None:
    assert _ask(guarded, path="/ping") == (200, "", "Ok.\n")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        pytest.param("SELECT sum(cityHash64(number)) FROM numbers(1e12)", "159", id="time"),
        pytest.param("SELECT number FROM numbers(5001)", "396", id="rows"),
        pytest.param("SELECT length(groupArray(number)) FROM numbers(1e8)", "241", id="memory"),
    ],
)
@pytest.mark.parametrize("raised", ["", "0", "99999999999"])
def test_limits_cannot_be_raised(guarded: str, statement: str, code: str, raised: str) -> None:
    chosen = dict.fromkeys(("max_execution_time", "max_result_rows", "max_memory_usage"), raised)
    assert _with(guarded, {"X-ClickHouse-Key": "s3cret"}, query=statement, **chosen)[1] == code


def test_statements_wait_for_their_turn(guarded: str) -> None:
    """Only one may run: the second waits for the first, which ends at its limit of one second."""
    slow = "SELECT sum(cityHash64(number)) FROM numbers(1e12)"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(_with, guarded, {"X-ClickHouse-Key": "s3cret"}, query=slow)
        second = pool.submit(_with, guarded, {"X-ClickHouse-Key": "s3cret"})
        assert (first.result()[1], second.result()) == ("159", (200, "", "1\n"))


def test_too_many_statements_are_refused(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_WAITING_SECONDS", 0)
    slow = "SELECT sum(cityHash64(number)) FROM numbers(1e12)"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = [pool.submit(_with, guarded, {"X-ClickHouse-Key": "s3cret"}, query=slow) for _ in range(3)]
        codes = sorted(one.result()[1] for one in asked)
    assert codes == ["159", "202", "202"]


def test_too_many_connections_are_hung_up_on(ledger: chdb.Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_CONNECTIONS", 1)
    served = gateway.Gateway(ledger, port=0)
    served.start()
    try:
        ping = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as first:
            first.sendall(ping)
            assert _received(first)[2] == b"Ok.\n"
            with socket.create_connection(("127.0.0.1", served.port), timeout=20) as second:
                assert second.recv(1) == b""
            first.sendall(ping)
            assert _received(first)[2] == b"Ok.\n"
    finally:
        served.stop()


def test_other_addresses_need_a_token(ledger: chdb.Embedded) -> None:
    with pytest.raises(errors.SetupError, match="others could read"):
        gateway.Gateway(ledger, "0.0.0.0", 0)


def test_curl_is_answered(url: str) -> None:
    """Compressed both ways, with a parameter and a format, over one connection that it keeps."""
    asked = ["-d", "SELECT {x:String} AS a, version() != '' AS b FORMAT JSONEachRow"]
    target = f"{url}/?param_x=it%27s&enable_http_compression=1"
    command = ["-sS", "--fail", "-w", "%{http_code} %{num_connects}\n", "--compressed"]
    done = subprocess.run(
        ["curl", *command, *asked, target, "--next", *command, f"{url}/?query=SELECT+1"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == '{"a":"it\'s","b":1}\n200 1\n1\n200 0\n'


@hypothesis.given(
    st.sampled_from(
        [
            "param_v",
            "default_format",
            "database",
            "query_id",
            "session_id",
            "session_timezone",
            "max_result_rows",
            "result_overflow_mode",
            "network_compression_method",
            "client_protocol_version",
            "nope",
            "user",
        ]
    ),
    hostile.TEXT,
)
@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None, max_examples=100
)
def test_no_field_reads_or_changes_anything_else(
    url: str, ledger: chdb.Embedded, name: str, value: str
) -> None:
    statement = "SELECT count() FROM flows WHERE src_pod = {v:String}"
    with hostile.canary(ledger):
        status, _, text = _ask(url, statement, **{"param_v": "x", "compress": "0", name: value})
    assert hostile.SECRET not in text
    assert status != 200 or "0" in text


@hypothesis.given(hostile.TEXT)
@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
def test_parameter_is_a_value(url: str, value: str) -> None:
    written = parameters.encode({"v": value})["v"]
    assert _ask(url, "SELECT hex({v:String})", param_v=written) == (
        200,
        "",
        value.encode().hex().upper() + "\n",
    )


def _client(url: str, **options: object) -> clickhouse_connect.driver.client.Client:
    host, port = url.removeprefix("http://").split(":")
    return clickhouse_connect.get_client(host=host, port=int(port), **options)


@pytest.fixture
def filled(url: str, ledger: chdb.Embedded, flows: Callable[..., pa.RecordBatch]) -> str:
    """Three flows, two of them denied."""
    ledger.insert(
        "flows", flows({"node": "a"}, {"node": "b", "verdict": "denied"}, {"node": "c", "verdict": "denied"})
    )
    return url


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False], ids=str)
def test_clickhouse_connect_queries(filled: str, compress: str | bool) -> None:
    with contextlib.closing(_client(filled, compress=compress)) as client:
        sql = "SELECT node, src_address, time FROM flows WHERE verdict = {v:String} ORDER BY node"
        found = client.query(sql, parameters={"v": "denied"})
        assert [(row[0], str(row[1])) for row in found.result_rows] == [
            ("b", "::ffff:a00:1"),
            ("c", "::ffff:a00:1"),
        ]
        assert client.ping()
        assert client.command("SELECT count() FROM flows") == 3


@pytest.mark.parametrize("value", ['it\'s \\ a "test"\t\n', "", "\\N", "ü"])
def test_clickhouse_connect_binds_any_text(url: str, value: str) -> None:
    with contextlib.closing(_client(url)) as client:
        assert client.query("SELECT {v:String} AS v", parameters={"v": value}).result_rows == [(value,)]


def test_clickhouse_connect_binds_other_types(url: str) -> None:
    values = {"a": ["x", "it's"], "n": None, "t": datetime.datetime(2026, 1, 1)}
    with contextlib.closing(_client(url)) as client:
        sql = "SELECT {a:Array(String)} AS a, {n:Nullable(UInt8)} AS n, {t:DateTime('UTC')} AS t"
        assert client.query(sql, parameters=values).result_rows == [tuple(values.values())]


def test_clickhouse_connect_gets_tables(filled: str) -> None:
    with contextlib.closing(_client(filled)) as client:
        assert client.query_arrow("SELECT node, dst_port FROM flows ORDER BY node").to_pydict() == {
            "node": ["a", "b", "c"], "dst_port": [80, 80, 80],
        }  # fmt: skip
        frame = client.query_df("SELECT verdict, count() AS n FROM flows GROUP BY verdict ORDER BY n")
        assert frame.to_dict("list") == {"verdict": ["allowed", "denied"], "n": [1, 2]}
        assert client.query("SELECT * FROM flows LIMIT 0").column_names[0] == "time"


def test_clickhouse_connect_streams(url: str) -> None:
    with contextlib.closing(_client(url)) as client:
        sql = "SELECT number, toString(number) AS s FROM numbers(200000)"
        with client.query_row_block_stream(sql, settings={"max_block_size": 10_000}) as stream:
            blocks = [len(block) for block in stream]
    assert (sum(blocks), len(blocks) > 1) == (200_000, True)


def test_clickhouse_connect_chooses_settings(url: str) -> None:
    sql = "SELECT value FROM system.settings WHERE name = {name:String}"
    with contextlib.closing(_client(url, settings={"max_result_rows": 10})) as client:
        for name, given, seen in (
            ("max_execution_time", 5, "5"), ("max_execution_time", 10**6, "60"), ("join_use_nulls", 1, "1"),
        ):  # fmt: skip
            assert client.query(sql, parameters={"name": name}, settings={name: given}).result_rows == [
                (seen,)
            ]
        with pytest.raises(exceptions.DatabaseError, match="Code: 396"):
            client.query("SELECT number FROM numbers(11)")
        with pytest.raises(exceptions.ProgrammingError, match="max_threads is readonly"):
            client.query("SELECT 1", settings={"max_threads": 3})
        with pytest.raises(exceptions.DatabaseError, match="Code: 115"):
            client.query("SELECT 1", settings={"no_such_thing": 3})


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        pytest.param("SELECT * FROM nowhere", 60, id="table"),
        pytest.param("SELEC 1", 62, id="syntax"),
        pytest.param("SELECT nope FROM flows", 47, id="column"),
        pytest.param("TRUNCATE TABLE flows", 164, id="write"),
    ],
)
def test_clickhouse_connect_hears_the_code(url: str, statement: str, code: int) -> None:
    with (
        contextlib.closing(_client(url)) as client,
        pytest.raises(exceptions.DatabaseError, match=f"Code: {code}") as caught,
    ):
        client.raw_query(statement)
    assert caught.value.code == code


def test_clickhouse_connect_shows_the_token(guarded: str) -> None:
    with contextlib.closing(_client(guarded, username="default", password="s3cret")) as client:
        assert client.query("SELECT 1").result_rows == [(1,)]
    with contextlib.closing(_client(guarded, access_token="s3cret")) as client:
        assert client.query("SELECT 1").result_rows == [(1,)]
    with pytest.raises(exceptions.DatabaseError, match="Code: 516"):
        _client(guarded, username="default", password="wrong")


@pytest.mark.parametrize("compress", ["lz4", "zstd"])
def test_clickhouse_connect_asks_side_by_side(filled: str, compress: str) -> None:
    async def ask() -> list[object]:
        host, port = filled.removeprefix("http://").split(":")
        client = await clickhouse_connect.get_async_client(host=host, port=int(port), compress=compress)
        try:
            statements = [f"SELECT {number}, count() FROM flows" for number in range(6)]
            answers = await asyncio.gather(*(client.query(sql) for sql in statements))
            return [answer.result_rows for answer in answers]
        finally:
            await client.close()

    assert asyncio.run(ask()) == [[(number, 3)] for number in range(6)]


HELLO = (
    b"POST /?client_protocol_version=54460&database=default&default_format=Native&max_execution_time=24"
    b"%s HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: clickhouse-go/2.51.0 (lv:go/1.26.8; os:linux)\r\n"
    b"Content-Length: 55\r\nAuthorization: Basic ZGVmYXVsdDpodW50ZXIy\r\n\r\n"
    b"SELECT displayName(), version(), revision(), timezone()"
)
"""What clickhouse-go 2.51 sends first, and so Grafana's data source; with a place for its compression."""


def test_clickhouse_go_s_greeting_is_answered(url: str) -> None:
    """That client itself, over HTTP, has read 99,999 rows so: plain, lz4, zstd and gzip."""
    status, headers, plain = _exchange(url, HELLO % b"")
    assert (status, headers["x-clickhouse-format"]) == (b"200", "Native")
    assert plain.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x04\x01\x0ddisplayName()\x06String\x00")
    for method in (b"LZ4", b"ZSTD"):
        _, _, framed = _exchange(url, HELLO % (b"&compress=1&network_compression_method=" + method))
        assert encodings.unframe(framed, 1 << 20).startswith(plain[:40])


MISTAKES = [
    "SELECT * FROM nowhere", "SELECT * FROM nowhere.t", "SELEC 1", "SELECT nope", "SELECT nope()",
    "SELECT 1 FORMAT Nope", "SELECT 1 AS a, {x:UInt8}", "SELECT toUInt8('x')", "SELECT throwIf(1)",
    "SELECT CAST(1 AS Nope)",
]  # fmt: skip


@pytest.mark.parametrize("statement", MISTAKES)
def test_mistake_is_answered_as_a_server_does(url: str, clickhouse: Server, statement: str) -> None:
    ours, theirs = _ask(url, statement), _ask(clickhouse.http_url, statement, readonly="1")
    assert ours[:2] == theirs[:2]
    assert ours[2].startswith(f"Code: {ours[1]}. DB::Exception: ")


@pytest.mark.parametrize(
    "fields", [{"nope": "1"}, {"max_threads": "3"}, {"readonly": "0"}, {"database": "nope"}], ids=str
)
def test_wrong_field_is_answered_as_a_server_does(
    url: str, clickhouse: Server, fields: dict[str, str]
) -> None:
    target = (
        clickhouse.http_url.replace("//", f"//{READER}@")
        if "nope" not in str(fields)
        else clickhouse.http_url
    )
    login = urllib.parse.urlsplit(target)
    ours = _ask(url, "SELECT 1", **fields)
    theirs = _ask(
        f"http://{login.hostname}:{login.port}", "SELECT 1", user=login.username or "default", **fields
    )
    assert ours[:2] == theirs[:2]


def test_taken_port_names_the_option(ledger: chdb.Embedded, url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with pytest.raises(errors.SetupError, match=f"port {port} is taken; choose another with --gateway-port"):
        gateway.Gateway(ledger, "127.0.0.1", port).start()


def test_stopped_gateway_frees_its_port(ledger: chdb.Embedded) -> None:
    served = gateway.Gateway(ledger, "127.0.0.1", 0)
    served.start()
    port = int(served.url.rsplit(":", 1)[1])
    served.stop()
    served.stop()
    again = gateway.Gateway(ledger, "127.0.0.1", port)
    again.start()
    assert _ask(again.url, path="/ping")[0] == 200
    again.stop()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("127.0.0.1:8123", 200, id="address"),
        pytest.param("localhost", 200, id="name"),
        pytest.param("[::1]:8123", 200, id="IPv6"),
        pytest.param("ledger.attacker.example:8123", 403, id="a name from elsewhere that points here"),
        pytest.param("192.0.2.7", 403, id="an address from elsewhere"),
        pytest.param("[::1", 403, id="nonsense"),
    ],
)
def test_only_names_of_this_machine_are_answered_on_loopback(url: str, host: str, status: int) -> None:
    assert _ask(url, query="SELECT 1", host=host)[0] == status
