"""Processes that write numbered flows, and what a ledger then holds of them.

Each process is forked from one that has imported all that it needs (but not chDB, whose threads a fork would
leave behind), says which rows it puts into its spool, and whether they are safe; it may be killed at any
moment. A flow bears its number as its beginning; flows of one batch lie on both sides of midnight, so that an
insert is several blocks, in several partitions.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing import connection
from typing import Any

import numpy as np
import numpy.typing as npt
import prometheus_client
import pyarrow as pa

from lab import ledger as lab
from model import columns
from runtime import metrics, settings
from store import ddl, migrations, transport, writer

MIDNIGHT = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
LIFE = 1_000_000
"""How many numbers a life has for its rows."""

BATCH_ROWS = 200
"""Rows that are offered at once, at most."""

_SECOND = 1_000_000_000
_ROWS = 8
"""Rows that are put into the spool at once, at most."""

_PATIENCE_SECONDS = 120.0
"""Who says nothing for so long hangs."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["lab.ledger", "store.writer", "store.native"])


def numbered(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """The same flows under numbers of their own."""
    numbers = np.arange(first, first + len(batch), dtype=np.int64)
    with_numbers = {"started": MIDNIGHT + numbers, "forward_bytes": numbers * 2654435761 % (1 << 32)}
    for name, values in with_numbers.items():
        field = batch.schema.field(name)
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, field, pa.array(values).cast(field.type))
    return batch


def flows(first: int, count: int) -> pa.RecordBatch:
    """Numbered flows around midnight."""
    number = np.arange(first, first + count, dtype=np.int64)
    said: dict[str, npt.ArrayLike] = {
        "time": MIDNIGHT + (number % 7 - 3) * 20 * _SECOND,
        "connections_started": np.ones(count),
        "src_workload": [f"w{one % 5}" for one in number.tolist()],
        # every third is a mirrored report, which the hours alone have, in a table of its own
        "reporter": ["src" if one % 3 else "dst" for one in number.tolist()],
        "dst_node": ["node-2" if one % 3 == 1 else "" for one in number.tolist()],
    }
    blank = [
        columns.blank(c.arrow, count) if c.name not in said else _array(c.arrow, said[c.name])
        for c in columns.COLUMNS
    ]
    return numbered(pa.record_batch(blank, schema=columns.schema(columns.Stage.IDENTITY)), first)


def _array(kind: pa.DataType, values: npt.ArrayLike) -> pa.Array:
    if kind == columns.TEXT:
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values).cast(kind)


def hurry() -> None:
    """Let writers of this process wait for their ledgers for moments only."""
    writer._FIRST_WAIT_SECONDS, writer._LONGEST_WAIT_SECONDS = 0.01, 0.05


class Node:
    """A writer on a spool, before a ledger, with what was measured of it."""

    def __init__(self, url: str, spool: pathlib.Path, **options: float) -> None:
        self.ledger = transport.open(url, 0)
        self.registry = prometheus_client.CollectorRegistry()
        configured = settings.Store(**{"batch_rows": BATCH_ROWS, "batch_seconds": 0.1, **options})
        self.writer = writer.Writer(self.ledger, spool, configured, "node-1", metrics.Metrics(self.registry))
        self.writer.start()

    @classmethod
    def hasty(cls, url: str, spool: pathlib.Path) -> Node:
        """One that offers rows at once, and again at once."""
        hurry()
        made = cls(url, spool)
        made.writer._batch_seconds = 0.0
        return made

    def append(self, batch: pa.RecordBatch) -> bool:
        """Put flows into the spool; whether they are safe there."""
        safe = self.writer._spool.append("flows", batch)
        self.writer._wake.set()
        return safe

    def state(self, time: int) -> None:
        """Say how complete all is, as a collector does each interval."""
        row = {"time": MIDNIGHT + time, "node": "node-1", "source": "conntrack", "observed": 0, "lost": 0,
               "discarded": 0, "incomplete": 0, "note": ""}  # fmt: skip
        self.writer.insert("completeness", columns.batch(ddl.COMPLETENESS, {k: [v] for k, v in row.items()}))

    def deliver(self) -> None:
        """Wait until nothing is in the spool."""
        while self.writer._spool.state().files:
            time.sleep(0.01)

    def metric(self, name: str) -> int:
        """A metric of the store, added up."""
        return int(sum(
            sample.value for family in self.registry.collect() for sample in family.samples
            if sample.name == f"flowledger_store_{name}"
        ))  # fmt: skip

    def close(self) -> None:
        self.writer.stop()
        self.ledger.close()


def live(says: connection.Connection, url: str, spool: pathlib.Path, life: int, seed: int) -> None:
    """Write flows until the kill: ``number count`` before, ``safe`` after they are in the spool."""
    chance, number = random.Random(seed), life * LIFE
    node = Node.hasty(url, spool)
    while True:
        count = chance.randint(1, _ROWS)
        says.send((number, count))
        says.send(node.append(flows(number, count)))
        number += count
        time.sleep(chance.random() / 200)


def finish(says: connection.Connection, url: str, spool: pathlib.Path) -> None:
    """Deliver what is left, and say what the ledger holds."""
    node = Node.hasty(url, spool)
    node.deliver()
    says.send(read(node.ledger))
    node.close()


@dataclasses.dataclass(frozen=True)
class Going:
    """How a stream of flows goes on: how many there were, and the writer's memory and spool in bytes."""

    rows: int
    resident: int
    spooled: int
    refused: str


@dataclasses.dataclass(frozen=True)
class Gone:
    """What became of a stream of flows."""

    rows: int
    delivered: int
    discarded: int


def stream(
    link: connection.Connection,
    url: str,
    spool: pathlib.Path,
    rate: int,
    options: dict,
    *,
    hasty: bool = False,
) -> None:
    """Write flows at a rate, a second's at once, until told to stop; then deliver them."""
    if hasty:
        hurry()
    node = Node(url, spool, **{"batch_rows": 50_000, "batch_seconds": 0.5, **options})
    batch, second, began = steady(rate), 0, time.monotonic()

    def say() -> None:
        spooled, refused = node.writer._spool.state().bytes, node.writer.check()
        link.send(Going(second * rate, resident(), spooled, refused))

    while not link.poll(max(began + second - time.monotonic(), 0)):
        node.append(numbered(batch, second * rate))
        node.state(second)
        second += 1
        say()
    while node.writer._spool.state().files:
        say()
        time.sleep(0.2)
    node.state(second)
    node.deliver()
    delivered = node.registry.get_sample_value("flowledger_store_delivered_rows_total", {"table": "flows"})
    link.send(Gone(second * rate, int(delivered or 0), node.metric("discarded_rows_total")))
    node.close()


@dataclasses.dataclass(frozen=True)
class Held:
    """What a ledger holds: the numbers of its flows, and for each rollup its sums and those of the flows."""

    numbers: list[int]
    rollups: list[tuple[list[dict], list[dict]]]

    def twice(self) -> list[int]:
        """The numbers that are there more than once."""
        return [number for number, times in collections.Counter(self.numbers).items() if times > 1]


_SUMS = """
SELECT {start}(time) AS bucket, toString(src_workload) AS workload,
    sum(connections_started) AS connections, sum(forward_bytes) AS bytes
FROM {table} WHERE {which} GROUP BY bucket, workload ORDER BY bucket, workload
"""
_ROLLUPS = {
    "flows_minute": ("toStartOfMinute", f"NOT ({ddl.MIRRORED})"),
    "flows_hour": ("toStartOfHour", f"NOT ({ddl.MIRRORED})"),
    "flows_day": ("toStartOfDay", f"NOT ({ddl.MIRRORED})"),
    "flows_hour_mirrored": ("toStartOfHour", ddl.MIRRORED),
}
"""How each is made: the beginning of its stretch, and of which flows."""


def read(ledger: transport.Transport) -> Held:
    """All that a ledger holds."""
    found = ledger.query(f"SELECT toUnixTimestamp64Nano(started) - {MIDNIGHT} AS n FROM flows ORDER BY n", {})
    rollups = [
        tuple(
            ledger.query(_SUMS.format(start=start, table=table, which=test), {}).to_pylist()
            for table, test in ((rollup, "1"), ("flows", which))
        )
        for rollup, (start, which) in _ROLLUPS.items()
    ]
    return Held(found.column("n").to_pylist(), rollups)


class Told:
    """What processes have said about their rows."""

    def __init__(self) -> None:
        self.safe: list[int] = []
        self.doubtful: list[range] = []

    def check(self, held: Held) -> None:
        """Make sure that a ledger holds what was safe, once, and no more but what a kill left in doubt."""
        assert not held.twice(), f"{len(held.twice())} rows are there twice"
        self.check_complete(held)
        for said, true in held.rollups:
            assert said == true

    def check_complete(self, held: Held) -> None:
        """Make sure that a ledger holds what was safe, and no other rows but what a kill left in doubt."""
        stored = set(held.numbers)
        missing = set(self.safe) - stored
        assert not missing, f"{len(missing)} rows are missing"
        halves = [
            rows for rows in self.doubtful if not stored.isdisjoint(rows) and not stored.issuperset(rows)
        ]
        assert not halves, f"rows that were put there at once are there in part: {halves}"
        others = stored - set(self.safe) - {number for rows in self.doubtful for number in rows}
        assert not others, f"{len(others)} rows came from nowhere"


def listen(hears: connection.Connection) -> Any:
    """What a process says next.

    Raises:
        EOFError: If it has ended.
    """
    assert hears.poll(_PATIENCE_SECONDS), "a process hangs"
    return hears.recv()


class Process:
    """A life: `live` in a process of its own."""

    def __init__(self, url: str, spool: pathlib.Path, life: int, seed: int) -> None:
        self._hears, says = processes.Pipe(duplex=False)
        self._process = processes.Process(target=live, args=(says, url, spool, life, seed))
        self._process.start()
        says.close()

    def hear(self, told: Told) -> None:
        """Wait until rows are safe."""
        self._read(told)

    def stop(self) -> None:
        """Let it not run on; returns when it does not."""
        os.kill(self._process.pid, signal.SIGSTOP)
        while pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2][0] != "T":
            time.sleep(0.001)

    def kill(self, told: Told) -> None:
        """SIGKILL, and hear what it had still said."""
        self._process.kill()
        self._process.join()
        with contextlib.suppress(EOFError):
            while True:
                self._read(told)
        self._hears.close()

    def _read(self, told: Told) -> None:
        first, count = listen(self._hears)
        try:
            assert listen(self._hears), "rows were discarded"
        except EOFError:
            told.doubtful.append(range(first, first + count))
            raise
        told.safe += range(first, first + count)


def finished(url: str, spool: pathlib.Path) -> Held:
    """Deliver what is left in a spool, in a process of its own, and read the ledger there."""
    hears, says = processes.Pipe(duplex=False)
    process = processes.Process(target=finish, args=(says, url, spool))
    process.start()
    says.close()
    held: Held = listen(hears)
    process.join()
    assert process.exitcode == 0
    return held


@contextlib.contextmanager
def streaming(
    url: str, spool: pathlib.Path, rate: int, options: dict | None = None, *, hasty: bool = False
) -> Iterator[connection.Connection]:
    """A `stream`, which is gone in the end."""
    here, there = processes.Pipe()
    process = processes.Process(
        target=stream, args=(there, url, spool, rate, options or {}), kwargs={"hasty": hasty}
    )
    process.start()
    there.close()
    try:
        yield here
        process.join(10)
    finally:
        process.kill()
        process.join()


def stopped(link: connection.Connection) -> Gone:
    """Tell a stream to stop, and wait until it has delivered its rows."""
    link.send("stop")
    while isinstance(said := listen(link), Going):
        pass
    return said


def make(url: str) -> None:
    """The tables of a server."""
    with contextlib.closing(transport.open(url)) as ledger:
        migrations.bring_up_to_date(ledger, ddl.ages(0))


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def steady(rate: int) -> pa.RecordBatch:
    """What a node of a cluster reports in a second, before it is numbered."""
    return next(lab.Cluster().batches(rate, rate))
