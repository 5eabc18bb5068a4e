from __future__ import annotations

import pathlib
import socket
import urllib.error
import urllib.parse
import urllib.request

import pytest

from model import errors
from store import chdb, gateway

Answer = tuple[int, str, str]


def _ask(
    url: str, body: str | None = None, path: str = "/", host: str = "localhost", **fields: str
) -> Answer:
    """Status, exception code and text of the answer to a GET, or with a body to a POST."""
    target = f"{url}{path}?{urllib.parse.urlencode(fields)}"
    request = urllib.request.Request(target, body.encode() if body is not None else None)
    request.add_header("Authorization", "Basic dXNlcjpwYXNz")
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
    assert (status, code) == (400, "60")
    assert "nowhere" in text


def test_strange_format_is_refused(url: str) -> None:
    assert _ask(url, query="SELECT 1", default_format="CSV; DROP TABLE flows")[:2] == (400, "73")


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
    assert status == 400
    assert code in ("164", "62", "47")
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
    assert status == 400
    assert "hunter2" not in text
    assert not out.exists()


def test_identifier_parameter_names_no_function(url: str) -> None:
    assert _ask(url, query="SELECT {f:Identifier}('/etc/passwd')", param_f="file")[0] == 400
    assert _ask(url, query="SELECT * FROM {f:Identifier}", param_f="file('/etc/passwd')")[0] == 400


def test_body_without_length_is_refused(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 411")


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
