from __future__ import annotations

import urllib.parse
import urllib.request

import pytest
from clickhouse_server import Server

from model import errors
from store import chdb, revisions

COLUMNS = [
    "1 AS a", "'x' AS b, toString(number) AS c", "toLowCardinality('q') AS d", "['a', 'b'] AS e",
    "map('k', number) AS f", "toIPv6('::1') AS g, toIPv4('1.2.3.4') AS h", "tuple(1, 'x') AS i",
    "toNullable(number) AS j, NULL AS k", "toDateTime64('2026-01-01 00:00:00', 9, 'UTC') AS l",
    "[map('a', tuple(1, [toLowCardinality('z')]))] AS m", "toDecimal64(1.5, 3) AS n",
    "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS o",
]  # fmt: skip


def _ask(url: str, sql: str, revision: int) -> bytes:
    fields = {"client_protocol_version": str(revision), "default_format": "Native", "query": sql}
    with urllib.request.urlopen(f"{url}/?{urllib.parse.urlencode(fields)}", timeout=20) as response:
        return response.read()


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("revision", [54405, 54454, 54460])
def test_blocks_are_those_of_a_server(url: str, clickhouse: Server, columns: str, revision: int) -> None:
    sql = f"SELECT {columns} FROM numbers(3)"
    assert _ask(url, sql, revision) == _ask(clickhouse.http_url, sql, revision)


def test_every_block_is_marked(ledger: chdb.Embedded) -> None:
    sql = "SELECT number, toString(number) FROM numbers(10) SETTINGS max_block_size = 4"
    with chdb._borrowed(ledger._writers) as writer:
        content = writer.query(sql, "Native").bytes()
    assert revisions.written_for(content, 54405).count(b"\x01\x00\x02\xff\xff\xff\xff\x00\x02") == 3


def test_nothing_stays_nothing() -> None:
    assert revisions.written_for(b"", 54460) == b""


def test_strange_type_is_refused(ledger: chdb.Embedded) -> None:
    content = ledger.query_bytes("SELECT sumState(1) AS s", {}, "Native")
    with pytest.raises(errors.StoreError, match="cast it"):
        revisions.written_for(content, 54460)
