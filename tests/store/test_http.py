from __future__ import annotations

import http.server
import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from model import errors
from store import http as store_http


def test_nobody_there_says_what_to_start() -> None:
    with pytest.raises(errors.StoreError, match="flowledger up"):
        store_http.Remote("http://127.0.0.1:1").query("SELECT 1", {})


def test_insert_is_refused(url: str, flows: Callable[..., pa.RecordBatch]) -> None:
    with pytest.raises(errors.StoreError, match="read-only"):
        store_http.Remote(url).insert("flows", flows({}))


def test_another_server_is_recognised() -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *args: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(errors.StoreError, match="not as ClickHouse does"):
            store_http.Remote(f"http://127.0.0.1:{server.server_port}").query("SELECT 1", {})
        thread.join()
