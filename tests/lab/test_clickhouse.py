"""A real server, killed and come back."""

from __future__ import annotations

import pathlib
import platform
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from lab import clickhouse
from model import errors


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[clickhouse.Server]:
    try:
        clickhouse.install()
    except errors.SetupError as error:
        pytest.skip(str(error))
    made = clickhouse.Server(tmp_path / "server")
    made.start()
    yield made
    made.kill()


def _ask(server: clickhouse.Server, sql: str) -> str:
    request = urllib.request.Request(f"{server.http_url}/?{urllib.parse.urlencode({'query': sql})}", data=b"")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def test_rows_are_there_after_a_kill(server: clickhouse.Server) -> None:
    _ask(server, "CREATE TABLE numbers (n UInt64) ENGINE = MergeTree ORDER BY n")
    _ask(server, "INSERT INTO numbers SELECT number FROM system.numbers LIMIT 10")
    before = server.http_url, server.native_url
    server.kill()
    assert server.pid == 0
    server.start()
    assert (server.http_url, server.native_url) == before
    assert _ask(server, "SELECT sum(n) FROM numbers") == "45\n"


def test_only_one_that_has_ended_by_itself_is_revived(server: clickhouse.Server) -> None:
    pid = server.pid
    server.revive()
    assert server.pid == pid
    server._process.kill()
    server._process.wait()
    server.revive()
    assert server.pid not in (0, pid)
    assert _ask(server, "SELECT 1") == "1\n"


def test_unknown_machine_is_a_clear_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(errors.SetupError, match="no ClickHouse server for linux on vax"):
        clickhouse.install()
