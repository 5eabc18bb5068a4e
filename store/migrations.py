"""From any schema that was ever released to today's, with the rows.

ClickHouse has no transactions over tables, so each step is one that may be done again, or by two processes
at once, and changes nothing the second time: ``IF NOT EXISTS``, an insert with a token, a rename onto a name
that stays taken. What has been reached is written down last.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names and numbers)
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

from model import errors
from store import ddl, parameters

KNOWN = (2, 3, 4, ddl.SCHEMA_VERSION)
"""The schema versions of ledgers that can be brought up to date."""

_PIECE_ROWS = 250_000
"""How many rows are copied at once, about: as one block, which 400 bytes a row make 100 MB."""


class Ledger(Protocol):
    """The part of a transport that this needs."""

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        """The rows that a statement selects."""

    def command(self, sql: str, parameters: parameters.Parameters) -> None:
        """Run a statement that changes the ledger."""


def version(ledger: Ledger) -> int:
    """The schema version of a ledger, on a cluster that of the shard which lags; 0 where there is none yet.

    Raises:
        StoreError: If the ledger does not answer, here and in every function below.
    """
    if not _exists(ledger, "schema_migrations"):
        return 0
    by_shard = "SELECT max(version) AS reached FROM schema_migrations GROUP BY shardNum()"
    return _number(ledger, f"SELECT min(reached) FROM ({by_shard})")


def check(ledger: Ledger) -> None:
    """Make sure that a ledger has today's schema.

    Raises:
        StoreError: If it has another one, or none.
    """
    require_current(version(ledger))


def require_current(found: int) -> None:
    """Refuse a schema version that is not today's.

    Raises:
        StoreError: Then.
    """
    if found == 0:
        raise errors.StoreError("there is no ledger yet: make one with `flowledger store init`")
    require_known(found)
    if found != ddl.SCHEMA_VERSION:
        raise errors.StoreError(
            f"the ledger has schema version {found} and this Flowledger needs {ddl.SCHEMA_VERSION}: "
            "run `flowledger store migrate`"
        )


def require_known(found: int) -> None:
    """Refuse a schema version that cannot be brought up to date.

    Raises:
        StoreError: If it is newer than ours, or older than any that was released.
    """
    if found not in KNOWN:
        raise errors.StoreError(
            f"the ledger has schema version {found} and this Flowledger knows {', '.join(map(str, KNOWN))}: "
            "run the Flowledger that wrote it, or choose another ledger"
        )


def bring_up_to_date(ledger: Ledger, ages: ddl.Ages) -> tuple[int, int]:
    """Make the schema, or bring an older one to today's version, with its rows.

    Args:
        ledger: Where.
        ages: How long rows are kept, in tables that are made now.

    Returns:
        The version before, 0 for none, and the version now.

    Raises:
        StoreError: If the ledger has a version that we do not know; nothing is changed then.
    """
    found = version(ledger)
    if found:
        require_known(found)
    for step in range(found + 1 if found else ddl.SCHEMA_VERSION, ddl.SCHEMA_VERSION + 1):
        _STEPS[step](ledger, ages)
        _write_down(ledger, step)
    _forget_peer_node(ledger)
    return found, ddl.SCHEMA_VERSION


def kept_days(ledger: Ledger, table: str) -> int:
    """How many days a table keeps its rows; 0 for ever. On a cluster it is asked by `cluster.stored`."""
    sql = (
        "SELECT toUInt32OrZero(extract(engine_full, 'toIntervalDay\\\\((\\\\d+)\\\\)')) AS days "
        "FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
    )
    return _number(ledger, sql, {"name": table})


def _to_3(ledger: Ledger, ages: ddl.Ages) -> None:
    """Flows in another order, with rollups; the other tables learn tokens, and to wait for the disk.

    The old flows are set aside and copied day by day, through the views that fill the rollups. A day that is
    copied is dropped there. The emptied table stays until the next version: as long as its name is taken, no
    second process can set aside the new flows.
    """
    if version(ledger) == 2 and _exists(ledger, "flows") and not _exists(ledger, _OLD):
        _set_aside(ledger)
    _add_columns(ledger)  # where an older Flowledger was killed in this very step
    if _exists(ledger, _OLD):  # whoever asked for them then, the days that rows are kept stay what they are
        ages = ddl.ages(kept_days(ledger, _OLD), ages.tokens)
    for statement in ddl.statements(ages):
        ledger.command(statement, {})
    for table in ("label_sets", "completeness", "policy_hits", "schema_migrations"):
        ledger.command(ddl.make_safe(table, ages), {})
    if _exists(ledger, _OLD):
        hours = f"INSERT INTO completeness_hour {_once('schema 3: completeness')} {ddl.COMPLETENESS_HOUR}"
        ledger.command(hours, {})
        for day in _days(ledger):
            _copy(ledger, day)


def _to_4(ledger: Ledger, ages: ddl.Ages) -> None:
    """Flows with the nodes of both ends instead of the other's; claims by uid.

    No row is copied. The new columns have defaults made of the old one, so that they are right for all rows
    from the moment on at which they are there, and those too that come in by the old names meanwhile. What
    the older rows have by default is then written out, as the old column will go.
    """
    _add_columns(ledger)
    if _exists(ledger, "flows"):
        ages = ddl.ages(kept_days(ledger, "flows"), ages.tokens)
    for table in _REBORN:
        if _exists(ledger, table) and not _has_column(ledger, table, _REBORN[table]):
            # no Flowledger has ever put a row into them
            ledger.command(f"DROP TABLE IF EXISTS {table} SYNC", {})
    for statement in ddl.statements(ages):
        ledger.command(statement, {})
    if _has_column(ledger, "flows", "peer_node"):
        for view, table in ddl.VIEWS.items():
            ledger.command(f"ALTER TABLE {view} MODIFY QUERY {ddl.filled(table)}", {})
        written = ", ".join(f"MATERIALIZE COLUMN {name}" for name in ddl.SIDES_OF_PEER)
        ledger.command(f"ALTER TABLE flows {written} SETTINGS mutations_sync = 2", {})


def _to_5(ledger: Ledger, ages: ddl.Ages) -> None:
    """Flows with their origin, and with what staged policies would do; empty in the rows that are there.

    Whoever writes by the old names goes on: what he does not name is empty. The rollups have none of them.
    """
    if _exists(ledger, "flows"):
        names = ddl.TABLES["flows"].names
        for name in ddl.ADDED_IN_5:
            before = names[names.index(name) - 1]
            ledger.command(
                f"ALTER TABLE flows ADD COLUMN IF NOT EXISTS {ddl.column(name)} AFTER {before}", {}
            )
        ages = ddl.ages(kept_days(ledger, "flows"), ages.tokens)
    for statement in ddl.statements(ages):  # `flows_counted` is made again: it has all columns by name
        ledger.command(statement, {})


_STEPS: dict[int, Callable[[Ledger, ddl.Ages], None]] = {3: _to_3, 4: _to_4, 5: _to_5}
"""Version to what leads there from the one before, or from nothing."""

_OLD = "flows_schema_2"
_REBORN = {"endpoints": "uid", "services": "sure_to", "policies": "api_group"}
"""Tables that are made anew, and a column that the older ones do not have."""

_NEW_COLUMNS = ("src_node", "dst_node", "src_zone", "dst_zone", "node_traffic", "correction")


def _add_columns(ledger: Ledger) -> None:
    """Give flows of schema 3 the columns of schema 4, right for every row."""
    if not _has_column(ledger, "flows", "peer_node"):
        return
    for before, name in zip(("reporter", *_NEW_COLUMNS), _NEW_COLUMNS, strict=False):
        kind, _, codec = ddl.column(name).partition(" CODEC")
        default = f" DEFAULT {ddl.SIDES_OF_PEER[name]}" if name in ddl.SIDES_OF_PEER else ""
        ledger.command(
            f"ALTER TABLE flows ADD COLUMN IF NOT EXISTS {kind}{default} CODEC{codec} AFTER {before}", {}
        )


def _forget_peer_node(ledger: Ledger) -> None:
    """Drop the column that new ones stand for, once the new version is written down.

    Whoever still writes the old one is refused then, asks for the version, and keeps his rows. The column
    loses its name first: it cannot go before the defaults made of it, and no row may come in by it later.
    """
    for statement, column, default in _FORGOTTEN:
        if not _has_column(ledger, "flows", column, default):
            continue
        try:
            ledger.command(f"ALTER TABLE flows {statement} SETTINGS mutations_sync = 2", {})
        except errors.StoreError:
            if _has_column(ledger, "flows", column, default):  # else another process was faster
                raise
    if _has_column(ledger, "flows_counted", "peer_node"):  # what it has of all columns, it has by name
        for statement in ddl.statements():
            if statement.startswith("CREATE OR REPLACE VIEW"):
                ledger.command(statement, {})


_UNNAMED = "peer_node_schema_3"
_FORGOTTEN = (
    (f"RENAME COLUMN peer_node TO {_UNNAMED}", "peer_node", ""),
    *((f"MODIFY COLUMN {name} REMOVE DEFAULT", name, _UNNAMED) for name in ddl.SIDES_OF_PEER),
    (f"DROP COLUMN {_UNNAMED}", _UNNAMED, ""),
)
"""What makes the column go; and the column, with what in its default, that is there until it is done."""


def _set_aside(ledger: Ledger) -> None:
    try:
        ledger.command(f"RENAME TABLE flows TO {_OLD}", {})
    except errors.StoreError:
        if not _exists(ledger, _OLD):  # else another process was faster
            raise


def _days(ledger: Ledger) -> list[str]:
    found = ledger.query(f"SELECT DISTINCT toString(toDate(time)) AS day FROM {_OLD} ORDER BY day", {})
    return [str(day) for day in found.column("day").to_pylist()]


def _copy(ledger: Ledger, day: str) -> None:
    """Copy one day, in pieces that are the same whoever copies them, and drop it."""
    sql = (
        f"SELECT toUnixTimestamp(toStartOfHour(time)) AS hour, count() AS rows FROM {_OLD} "
        "WHERE toDate(time) = {day:Date} GROUP BY hour ORDER BY hour"
    )
    for row in ledger.query(sql, {"day": day}).to_pylist():
        pieces = -(-row["rows"] // _PIECE_ROWS)
        for piece in range(pieces):
            _copy_piece(ledger, row["hour"], piece, pieces)
    ledger.command(f"ALTER TABLE {_OLD} DROP PARTITION {{day:Date}}", {"day": day})


def _copy_piece(ledger: Ledger, hour: int, piece: int, pieces: int) -> None:
    old = ledger.query(f"SELECT * FROM {_OLD} LIMIT 0", {}).column_names
    made = {name: name for name in ddl.TABLES["flows"].names if name in old} | ddl.SIDES_OF_PEER
    names, values = ", ".join(made), ", ".join(made.values())
    once = _once(f"schema 3: flows of {hour}, {piece} of {pieces}")
    ledger.command(
        f"INSERT INTO flows ({names}) {once} SELECT {values} FROM {_OLD} "
        f"WHERE toStartOfHour(time) = toDateTime({hour}, 'UTC') "
        f"AND cityHash64(src_address, dst_address, src_port, started) % {pieces} = {piece}",
        {},
    )


def _once(token: str) -> str:
    """The settings by which rows selected for an insert count once, however often it is done."""
    settings = {
        **parameters.inserting(token.encode().hex()),
        "max_threads": "1",
        "max_insert_threads": "1",
        # one block, whatever it is made of: that is what a token stands for
        "min_insert_block_size_rows": str(1 << 40),
        "min_insert_block_size_bytes": "0",
    }
    return "SETTINGS " + ", ".join(f"{name} = '{value}'" for name, value in settings.items())


def _write_down(ledger: Ledger, reached: int) -> None:
    ledger.command(
        f"INSERT INTO schema_migrations SELECT {reached}, now64(3) "
        f"WHERE {reached} NOT IN (SELECT version FROM schema_migrations)",
        {},
    )


def _exists(ledger: Ledger, table: str) -> bool:
    sql = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
    return _number(ledger, sql, {"name": table}) > 0


def _has_column(ledger: Ledger, table: str, column: str, default: str = "") -> bool:
    sql = (
        "SELECT count() FROM system.columns WHERE database = currentDatabase() "
        "AND table = {table:String} AND name = {name:String} "
        "AND position(default_expression, {made:String}) > 0"
    )
    return _number(ledger, sql, {"table": table, "name": column, "made": default}) > 0


def _number(ledger: Ledger, sql: str, values: parameters.Parameters | None = None) -> int:
    return int(ledger.query(sql, values or {}).column(0)[0].as_py())
