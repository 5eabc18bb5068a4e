from __future__ import annotations

import email.message
import json

import pytest

from model import errors
from store import asking, chdb, encodings, limits

MOST = limits.Limits()


def _request(target: str, body: bytes = b"", **headers: str) -> asking.Request:
    message = email.message.Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    read = asking.read(target, message)
    return asking.Request(path=read.path, fields=read.fields, headers=read.headers, body=body)


@pytest.mark.parametrize(
    ("target", "body", "answer"),
    [
        pytest.param("/?query=SELECT+1", b"", b"1\n", id="URL"),
        pytest.param("/", b"SELECT 1", b"1\n", id="body"),
        pytest.param("/?query=SELECT", b"1", b"1\n", id="both"),
        pytest.param("/?default_format=JSONEachRow", b"SELECT 1 AS a", b'{"a":1}\n', id="default format"),
        pytest.param(
            "/?default_format=CSV", b"SELECT 1 AS a FORMAT TSVWithNames", b"a\n1\n", id="own format"
        ),
        pytest.param("/?database=default", b"SELECT currentDatabase()", b"default\n", id="database"),
        pytest.param("/?session_id=a&session_timeout=60&session_check=0", b"SELECT 1", b"1\n", id="session"),
        pytest.param("/?user=a&password=b&quota_key=c&role=d", b"SELECT 1", b"1\n", id="who"),
        pytest.param("/?param_a=[1,2]", b"SELECT {a:Array(UInt8)}", b"[1,2]\n", id="parameter"),
        pytest.param("/?client_protocol_version=" + "9" * 5000, b"SELECT 1", b"1\n", id="strange revision"),
        pytest.param("/ping", b"", b"Ok.\n", id="ping"),
        pytest.param("/replicas_status", b"", b"Ok.\n", id="replicas"),
        pytest.param("/", b"", b"Ok.\n", id="nothing"),
    ],
)
def test_request_is_answered(ledger: chdb.Embedded, target: str, body: bytes, answer: bytes) -> None:
    said = asking.reply(ledger, _request(target, body), MOST)
    assert (said.status, said.body) == (200, answer)


def test_answer_says_what_it_is(ledger: chdb.Embedded) -> None:
    said = asking.reply(ledger, _request("/?query=SELECT+1+FORMAT+JSON&query_id=mine"), MOST)
    zone = ledger.query("SELECT timezone() AS z", {}).column("z")[0].as_py()
    about = {name.removeprefix("X-ClickHouse-"): value for name, value in said.headers.items()}
    summary = json.loads(about.pop("Summary"))
    assert about == {
        "Query-Id": "mine", "Server-Display-Name": "flowledger", "Timezone": zone, "Format": "JSON",
        "Content-Type": "application/json; charset=UTF-8",
    }  # fmt: skip
    assert int(summary["result_bytes"]) == len(said.body)
    assert int(summary["elapsed_ns"]) > 0


@pytest.mark.parametrize("query_id", ["", "a%0d%0aSet-Cookie:%20x", "%C3%BC", "x" * 201])
def test_strange_query_id_is_replaced(ledger: chdb.Embedded, query_id: str) -> None:
    said = asking.reply(ledger, _request(f"/?query=SELECT+1&query_id={query_id}"), MOST)
    assert len(said.headers["X-ClickHouse-Query-Id"]) == 36


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "br", "deflate"])
def test_both_bodies_may_be_encoded(ledger: chdb.Embedded, encoding: str) -> None:
    body = encodings.encode(b"SELECT 'x'", encoding)
    headers = {"Content_Encoding": encoding, "Accept_Encoding": encoding}
    said = asking.reply(ledger, _request("/?enable_http_compression=1", body, **headers), MOST)
    assert said.headers["Content-Encoding"] == encoding
    assert encodings.decode(said.body, encoding, 100) == b"x\n"


def test_answer_is_plain_unless_asked(ledger: chdb.Embedded) -> None:
    said = asking.reply(ledger, _request("/?query=SELECT+1", Accept_Encoding="gzip"), MOST)
    assert (said.body, "Content-Encoding" in said.headers) == (b"1\n", False)


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
def test_both_bodies_may_be_framed(ledger: chdb.Embedded, method: str) -> None:
    target = f"/?compress=1&decompress=1&network_compression_method={method}"
    said = asking.reply(ledger, _request(target, encodings.frame(b"SELECT 'x'", method)), MOST)
    assert encodings.unframe(said.body, 100) == b"x\n"


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        pytest.param("/?database=nope", b"SELECT 1", 81, id="database"),
        pytest.param("/?default_format=Nope", b"SELECT 1", 73, id="format"),
        pytest.param("/?default_format=a.b", b"SELECT 1", 73, id="no format"),
        pytest.param("/", b"SELECT '\xff", 62, id="not UTF-8"),
        pytest.param("/?decompress=1", b"SELECT 1", 271, id="not framed"),
        pytest.param("/?param_a=x", b"SELECT {a:UInt8}", 457, id="parameter"),
        pytest.param("/?query=DROP+TABLE+flows", b"", 164, id="write"),
    ],
)
def test_request_is_refused(ledger: chdb.Embedded, target: str, body: bytes, code: int) -> None:
    with pytest.raises(errors.StoreError) as caught:
        asking.reply(ledger, _request(target, body), MOST)
    assert f"Code: {code}." in str(caught.value)


def test_refusal_has_code_and_status() -> None:
    for code, status in ((62, 400), (194, 401), (516, 403), (60, 404), (159, 408), (241, 500)):
        said = asking.refusal(errors.StoreError(f"Code: {code}. x", code=code))
        assert (said.status, said.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
        assert ("WWW-Authenticate" in said.headers) == (status == 401)
    unknown = asking.refusal(errors.StoreError("no ledger answers"))
    assert (unknown.status, unknown.headers["X-ClickHouse-Exception-Code"]) == (500, "1002")


def test_strange_path_is_not_there(ledger: chdb.Embedded) -> None:
    assert asking.reply(ledger, _request("/play?query=SELECT+1"), MOST).status == 404


@pytest.mark.parametrize("target", ["http://[", "/?" + "a=1&" * 1001])
def test_strange_target_is_refused(target: str) -> None:
    with pytest.raises(errors.StoreError, match="BAD_ARGUMENTS"):
        _request(target)


def test_settings_table_says_what_can_be_chosen(ledger: chdb.Embedded) -> None:
    sql = b"SELECT name FROM system.settings WHERE NOT readonly ORDER BY name"
    said = asking.reply(ledger, _request("/", sql), MOST)
    found = set(said.body.decode().split())
    assert found >= limits.CHOSEN
    assert not found & {"readonly", "max_threads", "format_template_row"}
    other = b"SELECT s.name, 'FROM system.settings' FROM system.settings AS s WHERE s.name = 'readonly'"
    assert asking.reply(ledger, _request("/", other), MOST).body == b"readonly\tFROM system.settings\n"
