"""What somebody may type who means harm, and a table that must neither be read nor changed by it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hypothesis import strategies as st

from store import chdb

SECRET = "canary-5d41402a"
"""What the table holds; it stands in no statement of ours and in no answer."""

_ATTACKS = [
    "'",
    "''",
    '"',
    "`",
    "\\",
    "\\'",
    "--",
    "/*",
    "*/",
    "#",
    ";",
    "{p0:String}",
    "{canary:Identifier}",
    "%s",
    "$1",
    "\0",
    "\n",
    "\r\n",
    "‘",
    "＇",
    "é€😀",
    "' OR 1=1 --",
    "; DROP TABLE canary",
    "')) UNION ALL SELECT secret FROM canary --",
    ") OR (SELECT count() FROM canary) > 0 --",
    "' INTO OUTFILE '/x",
    "' SETTINGS readonly='0",
    "\\'; TRUNCATE TABLE canary; --",
    "0) UNION ALL SELECT 1",
    "x' AND throwIf((SELECT count() FROM canary)>0) AND 'x'='x",
    "10.0.0.0/8) OR 1",
    "2026-01-01' OR '1",
    "[(SELECT secret FROM canary)]",
    "\\N",
    "canary",
]

TEXT = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(_ATTACKS),
    st.lists(st.sampled_from(_ATTACKS), min_size=2, max_size=4).map("".join),
)
"""Any text, and what attacks are made of."""


def quoted(value: str) -> str:
    """A value as it stands in a filter expression."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextlib.contextmanager
def canary(ledger: chdb.Embedded) -> Iterator[None]:
    """The table beside the ledger's own; in the end it has to be as it was."""
    ledger.command("CREATE OR REPLACE TABLE canary (secret String) ENGINE = MergeTree ORDER BY secret", {})
    ledger.command(f"INSERT INTO canary VALUES ('{SECRET}')", {})
    try:
        yield
        assert ledger.query("SELECT secret FROM canary", {}).to_pylist() == [{"secret": SECRET}]
    finally:
        ledger.command("DROP TABLE canary SYNC", {})
