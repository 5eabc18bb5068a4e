from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from clickhouse_server import READER, Server

from model import errors
from store import http as store_http


def test_nobody_there_says_what_to_start() -> None:
    with pytest.raises(errors.StoreError, match="flowledger up"):
        store_http.Remote("http://127.0.0.1:1").query("SELECT 1", {})


def test_insert_is_refused(url: str, flows: Callable[..., pa.RecordBatch]) -> None:
    with pytest.raises(errors.StoreError, match="read-only"):
        store_http.Remote(url).insert("flows", flows({}))


def test_what_takes_rows_is_asked(url: str, clickhouse: Server) -> None:
    """While nobody answers, it may: a writer has to be able to start before its server."""
    assert not store_http.Remote(url).takes_rows
    assert store_http.Remote(clickhouse.http_url).takes_rows
    assert not store_http.Remote(clickhouse.http_url.replace("//", f"//{READER}@")).takes_rows
    assert store_http.Remote("http://127.0.0.1:1").takes_rows


def test_late_failure_is_no_short_answer(clickhouse: Server) -> None:
    sql = "SELECT number, throwIf(number = 9000000) AS f FROM numbers(10000000)"
    with pytest.raises(errors.StoreError, match="Code: 395"):
        store_http.Remote(clickhouse.http_url).query(sql, {})


@contextlib.contextmanager
def _page(status: int, body: bytes) -> Iterator[store_http.Remote]:
    """What answers there is another server, once."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield store_http.Remote(f"http://127.0.0.1:{server.server_port}")
        thread.join()


def test_another_server_is_recognised() -> None:
    with _page(200, b"<html>") as ledger, pytest.raises(errors.StoreError, match="not as ClickHouse does"):
        ledger.query("SELECT 1", {})


@pytest.mark.parametrize(("status", "temporary"), [(502, True), (503, True), (404, False)])
def test_proxy_s_own_words_are_shown(status: int, temporary: bool) -> None:
    with _page(status, b"no upstream") as ledger, pytest.raises(errors.StoreError) as caught:
        ledger.query("SELECT 1", {})
    assert "no upstream" in str(caught.value)
    assert caught.value.temporary == temporary
