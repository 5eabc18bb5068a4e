"""What the ledger lets go of: by age, which ClickHouse does itself, and by size, which is done here.

By size whole days go, the oldest first, and of a day the flows before their minutes; when there is nothing
else, months of hours and then of days. What each table has newest stays, whatever its size, and so does what
is small, statements of completeness among it. How many rows went is written into the ledger, under the source
``retention``, at the time of the newest of them.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names and numbers)
from __future__ import annotations

import dataclasses
import datetime
import logging
import threading

from model import columns, errors
from store import ddl, migrations, parameters, transport

SOURCE = "retention"
"""The source of what is stated here; its note is the table that the rows were in."""

CHECK_SECONDS = 60.0

_BY_DAY = ("flows", "policy_hits", "flows_minute")
_BY_MONTH = ("flows_hour", "flows_hour_mirrored", "flows_day")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A day or month of a table, as ``2026-01-31`` or ``202601``."""

    table: str
    name: str
    rows: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A partition that will be dropped next, and when or why."""

    partition: Partition
    because: str


class Keeper:
    """Keeps a ledger under a size, for as long as it runs.

    Args:
        ledger: The ledger; it must take commands.
        most_bytes: How large it may get.
    """

    def __init__(self, ledger: transport.Transport, most_bytes: int) -> None:
        self._ledger = ledger
        self._most = most_bytes
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Look now, and then every `CHECK_SECONDS`."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the partition that is being dropped."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                for gone in keep_under(self._ledger, self._most):
                    _log.info("dropped for size", extra={"fields": dataclasses.asdict(gone)})
            except errors.StoreError as error:
                _log.warning("retention failed", extra={"fields": {"error": str(error)}})
            if self._stopped.wait(CHECK_SECONDS):
                return


def size(ledger: migrations.Ledger) -> int:
    """How many bytes the ledger's rows take on disk.

    Raises:
        StoreError: If the ledger does not answer, here and in every function below.
    """
    sql = "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND database = currentDatabase()"
    return int(ledger.query(sql, {}).column("bytes")[0].as_py())


def partitions(ledger: migrations.Ledger) -> list[Partition]:
    """All partitions that hold rows, by table and age."""
    sql = (
        "SELECT table, partition AS name, sum(p.rows) AS rows, sum(bytes_on_disk) AS bytes "
        "FROM system.parts AS p WHERE active AND p.rows > 0 AND database = currentDatabase() "
        "GROUP BY table, partition ORDER BY table, partition"
    )
    return [Partition(**row) for row in ledger.query(sql, {}).to_pylist()]


def expendable(present: list[Partition]) -> list[Partition]:
    """What may be dropped for size, in the order in which it goes."""
    newest = {part.table: max(p.name for p in present if p.table == part.table) for part in present}
    old = [part for part in present if part.name != newest[part.table]]
    days = [part for part in old if part.table in _BY_DAY]
    months = [part for part in old if part.table in _BY_MONTH]
    return [
        *sorted(days, key=lambda part: (part.name, _BY_DAY.index(part.table))),
        *sorted(months, key=lambda part: (part.name, _BY_MONTH.index(part.table))),
    ]


def keep_under(ledger: transport.Transport, most_bytes: int) -> list[Partition]:
    """Drop what has to go until the ledger is under a size, and say in the ledger what went.

    Args:
        ledger: The ledger.
        most_bytes: How large it may be; 0 for no bound.

    Returns:
        What was dropped. The ledger may still be too large, where only the newest of each table is left.
    """
    dropped: list[Partition] = []
    left = size(ledger)
    if not most_bytes or left <= most_bytes:
        return dropped
    for part in expendable(partitions(ledger)):
        if left <= most_bytes:
            break
        _drop(ledger, part)
        dropped.append(part)
        left -= part.bytes
    return dropped


_UNDIVIDED = "tuple()"
"""The one partition of a table that has none: rows go from it one by one."""


def next_drops(ledger: migrations.Ledger, most_bytes: int = 0) -> list[Drop]:
    """The oldest partition of each table that forgets by age, and what has to go now for size."""
    sql = (
        "SELECT name, toUInt32OrZero(extract(engine_full, 'toIntervalDay\\\\((\\\\d+)\\\\)')) AS days "
        "FROM system.tables WHERE database = currentDatabase()"
    )
    days = {row["name"]: row["days"] for row in ledger.query(sql, {}).to_pylist() if row["days"]}
    present = partitions(ledger)
    oldest = {
        part.table: part for part in reversed(present) if part.table in days and part.name != _UNDIVIDED
    }
    aged = [
        Drop(partition=part, because=f"{days[table]} days old on {_last_day(part.name) + _days(days[table])}")
        for table, part in sorted(oldest.items())
    ]
    sized, left = [], size(ledger)
    for part in expendable(present):
        if not most_bytes or left <= most_bytes:
            break
        sized.append(Drop(partition=part, because=f"the ledger is over {most_bytes:,} bytes"))
        left -= part.bytes
    return [*sized, *aged]


def _drop(ledger: transport.Transport, part: Partition) -> None:
    """State it first: whoever is killed in between states the same again, with the same token."""
    values: parameters.Parameters = {"name": part.name}
    within = "toDate(time) = toDate({name:String})"
    if part.table in _BY_MONTH:
        within = "toYYYYMM(time) = toUInt32({name:String})"
    sql = f"SELECT toUnixTimestamp64Nano(max(time)) AS last FROM {part.table} WHERE {within}"
    last = ledger.query(sql, values).column("last")[0].as_py()
    said = {
        "time": [last], "node": [""], "source": [SOURCE], "observed": [0], "lost": [0],
        "discarded": [part.rows], "incomplete": [0], "note": [part.table],
    }  # fmt: skip
    token = f"retention {part.table} {part.name} {part.rows}"
    ledger.insert("completeness", columns.batch(ddl.COMPLETENESS, said), token=token)
    ledger.command(f"ALTER TABLE {part.table} DROP PARTITION {{name:String}}", values)


def _last_day(name: str) -> datetime.date:
    if "-" in name:
        return datetime.date.fromisoformat(name)
    first = datetime.date(int(name[:4]), int(name[4:]), 1)
    return (first + _days(31)).replace(day=1) - _days(1)


def _days(count: int) -> datetime.timedelta:
    return datetime.timedelta(days=count)
