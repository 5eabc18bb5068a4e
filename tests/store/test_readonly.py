from __future__ import annotations

import pytest

from model import errors
from store import readonly


@pytest.mark.parametrize(
    "canonical",
    [
        "SELECT 1",
        "(SELECT 1)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SHOW TABLES",
        "DESCRIBE TABLE flows",
        "SELECT name FROM system.settings WHERE name = 'x'",
        "SELECT 'INTO OUTFILE \\' file('",
        "SELECT url FROM t",
    ],
)
def test_reading_passes(canonical: str) -> None:
    readonly.check(canonical, frozenset({"URL"}))


@pytest.mark.parametrize(
    "canonical",
    [
        "",
        "INSERT INTO flows FORMAT Values",
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT file('x')",
        "SELECT `file`('x')",
        'SELECT "file"(1)',
        "SELECT * APPLY file FROM t",
        "SELECT * FROM url('x')",
        "SELECT * FROM Url ('x')",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT aiEmbed('x', 'y')",
        "KILL QUERY WHERE 1 ASYNC",
        "USE system",
    ],
)
def test_anything_else_is_refused(canonical: str) -> None:
    with pytest.raises(errors.StoreError, match="READONLY"):
        readonly.check(canonical, frozenset({"URL"}))
