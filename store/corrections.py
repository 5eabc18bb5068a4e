"""Late news: rows that are in the ledger already get better names, and all that was summed of them follows.

A row is corrected by two more: its own counts, negated modulo 2^64 under its old names (``taken_back``), and
the row under its new ones (``named_again``). Both come in by one insert, so that every rollup follows by its
own view, additively, whatever else is written meanwhile. Then the old row and the one that takes it back go
from `flows`, which nothing is summed of again.

Two things in the rollups are no sums. What has come to nothing stays there as a row of zeros, which the
answers leave out (`queries`). And when an edge was first and last seen is made right from what is left:
minutes from the flows, hours from the minutes, days from the hours.

`finish` does all that follows an insert. It looks for rows that take something back, and so can be done again
after any crash. Until then sums are right, and raw answers show the corrected row twice; while it removes
rows, part by part, a raw sum may have one of the two without the other.

One process at a time may correct a ledger, and it finishes what an earlier one has left before it asks for
candidates. An insert that is not answered has to be offered again as it was, since the server may have died
between the flows and their rollups: either the caller offers the same two batches again, or rows go through a
`writer.Writer`, whose spool does that across crashes, and `finish` is called when it has delivered them.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names and numbers)
from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model import columns
from store import cluster, ddl, migrations, transport, writer

_SCHEMA = ddl.TABLES["flows"]
_COUNTS = tuple(c.name for c in columns.COLUMNS if c.rollup is columns.Rollup.SUM)
_SAID = tuple(name for name in _SCHEMA.names if name not in (*_COUNTS, "correction"))

_TAKEN = f"correction = '{ddl.TAKEN_BACK}'"
_KEY = f"cityHash64({', '.join((*_SAID, *_COUNTS))})"
"""What tells a row from all others but its exact copies."""
_TAKEN_KEY = f"cityHash64({', '.join((*_SAID, *(f'bitNot({name}) + 1' for name in _COUNTS)))})"
"""The key of the row that this one takes back."""
_CONNECTION = "time, src_port, dst_port, src_address, dst_address"
"""What a row, and what it is corrected by, have in common; enough to leave it alone for a while."""

_PARTS = ("src_address", "src_port", "dst_address", "dst_port", "protocol")
_ARRIVED = ", ".join(_PARTS)
_TOGETHER = 2_000_000_000
"""Nanoseconds: how far apart two nodes may see the beginning of one connection."""

MOST_ADDRESSES = 1_000
"""How many addresses fit into one question, the longest ones of IPv6 too: each is in it four times."""

_AT_ONCE = 10_000
"""How many rows are finished at once, about."""
_LITERALS = 1_500
"""How many values are pasted into one statement, of which ClickHouse reads 262,144 bytes."""
_TRIES = 5
"""How often the moments of an edge are made right where rows of it come in that very moment."""

_MADE_OF = {
    "flows_minute": ("flows", "time", "time"),
    "flows_hour_mirrored": ("flows", "time", "time"),
    "flows_hour": ("flows_minute", "first_seen", "last_seen"),
    "flows_day": ("flows_hour", "first_seen", "last_seen"),
}
"""What each rollup's first and last moments are made of, in the order in which that is right."""
_SECONDS = {**ddl.ROLLUPS, "flows_hour_mirrored": 3600}


class Halves(NamedTuple):
    """Rows as they were recorded, and as they would be by what is behind them."""

    old: pa.RecordBatch
    new: pa.RecordBatch


def candidates(
    ledger: transport.Transport, addresses: Iterable[bytes], start: int, end: int = 0, limit: int = 10_000
) -> Iterator[pa.RecordBatch]:
    """Rows that may be about some addresses, oldest first, for whoever has learned more about these.

    Rows that retention takes within a day are left out, and those of connections whose correction is not
    finished. Exact copies of a row are all in one batch.

    Args:
        ledger: Where to ask.
        addresses: Source, destination, dialled or translated address, 16 bytes each; `MOST_ADDRESSES` at
            most.
        start: Rows at this moment or later, in nanoseconds since 1970.
        end: Rows of connections that began before this moment; 0 for all.
        limit: Rows of a batch, about.

    Raises:
        ValueError: If there are more addresses.
        StoreError: If the ledger does not answer, here and in every function below.
    """
    wanted = sorted(set(addresses))
    if len(wanted) > MOST_ADDRESSES:
        raise ValueError(f"{len(wanted)} addresses at once: ask for {MOST_ADDRESSES} at most")
    if not wanted:
        return
    listed = ", ".join(f"toIPv6('{ipaddress.IPv6Address(one)}')" for one in wanted)
    sides = ("src_address", "dst_address", "service_address", "snat_address")
    about = " OR ".join(f"{side} IN ({listed})" for side in sides)
    began = f" AND started < {_moment(end)}" if end else ""
    yield from _pages(ledger, f"({about}){began}", max(start, _oldest(ledger)), limit)


def _pages(ledger: transport.Transport, test: str, start: int, limit: int) -> Iterator[pa.RecordBatch]:
    """Rows that pass a test and whose correction is not under way, from a moment on, in the order of time.

    What others have recorded has the names that they gave it.
    """
    after = ""
    while True:
        within = f"time >= {_moment(start)}"
        sql = (
            f"SELECT {', '.join(_SCHEMA.names)}, {_KEY} AS row_key FROM flows "
            f"WHERE {within}{after} AND origin = '' AND NOT ({_TAKEN}) AND {test} "
            f"AND ({_CONNECTION}) GLOBAL NOT IN "
            f"(SELECT {_CONNECTION} FROM flows WHERE {within} AND {_TAKEN}) "
            f"ORDER BY time, row_key LIMIT {int(limit)} WITH TIES"
        )
        with cluster.whole(ledger):
            found = ledger.query(sql, {})
        if found.num_rows:
            yield _recorded(found)
        if found.num_rows < limit:
            return
        start, last = (int(_numbers(found, name)[-1]) for name in ("time", "row_key"))
        after = f" AND (time > {_moment(start)} OR {_KEY} > {last})"


def behind(ledger: transport.Transport, start: int, limit: int = 10_000) -> Iterator[Halves]:
    """Second halves of connections whose source was translated on the way, with who is behind it.

    Where one node masquerades and another sees what comes out of it, the ledger has both: who began it and
    how it left, and how it arrived. They belong together where all five parts agree and they began at the
    same time. What could be two is left alone.

    Args:
        ledger: Where to ask.
        start: Rows at this moment or later, in nanoseconds since 1970.
        limit: Rows of a batch, about.
    """
    first = (
        f"SELECT snat_address, snat_port, dst_address, dst_port, protocol FROM flows "
        f"WHERE time >= {_moment(start)} AND snat_port != 0"
    )
    test = f"snat_port = 0 AND src_port != 0 AND ({_ARRIVED}) GLOBAL IN ({first})"
    for rows in _pages(ledger, test, start, limit):
        known = _first_halves(ledger, rows, start)
        parts = rows.select([*_PARTS, "node"]).to_pylist()
        found = [_only(known, *one) for one in zip(parts, _numbers(rows, "started").tolist(), strict=True)]
        at = columns.array(np.flatnonzero([one is not None for one in found]), pa.int64())
        if len(at):
            old = rows.take(at)
            yield Halves(old, _undone(old, [one for one in found if one is not None]))


def _first_halves(
    ledger: transport.Transport, rows: pa.RecordBatch, start: int
) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """What may be the first halves of some rows, by how they arrived."""
    ports = ", ".join(sorted({str(port) for port in rows.column("src_port").to_pylist()}))
    sql = (
        "SELECT DISTINCT snat_address, snat_port, dst_address, dst_port, protocol, src_address, src_port, "
        "node, toUnixTimestamp64Nano(started) AS began FROM flows "
        f"WHERE time >= {_moment(start)} AND snat_port IN ({ports}) AND NOT ({_TAKEN})"
    )
    with cluster.whole(ledger):
        found = ledger.query(sql, {})
    known: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in found.to_pylist():
        left = (row["snat_address"], row["snat_port"], row["dst_address"], row["dst_port"], row["protocol"])
        known.setdefault(left, []).append(row)
    return known


def _only(
    known: dict[tuple[Any, ...], list[dict[str, Any]]], row: dict[str, Any], began: int
) -> tuple[bytes, int] | None:
    """Address and port of the one who is behind a row; None where nobody is, or more than one may be."""
    halves = known.get(tuple(row[part] for part in _PARTS), [])
    origins = {
        (half["src_address"], half["src_port"])
        for half in halves
        if half["node"] != row["node"] and abs(half["began"] - began) < _TOGETHER
    }
    return origins.pop() if len(origins) == 1 else None


def _undone(old: pa.RecordBatch, origins: list[tuple[bytes, int]]) -> pa.RecordBatch:
    """Rows as they would be had nobody translated their sources."""
    packed = np.frombuffer(b"".join(address for address, _ in origins), np.uint8).reshape(-1, 16)
    made = {
        "src_address": columns.array(packed, columns.ADDRESS),
        "src_port": columns.array(np.array([port for _, port in origins], np.uint16), pa.uint16()),
        "snat_address": old.column("src_address"), "snat_port": old.column("src_port"),
    }  # fmt: skip
    arrays = [made[name] if name in made else old.column(name) for name in old.schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=old.schema)


def correct(
    into: transport.Transport | writer.Writer,
    old: pa.RecordBatch,
    new: pa.RecordBatch,
    places: Sequence[migrations.Ledger] = (),
) -> int:
    """Put rows under other names: one insert, and with a ledger all that follows (`finish`).

    Args:
        into: The ledger; or a writer to it, which takes the rows and goes on with them by itself.
        old: Rows as `candidates` gave them, with all exact copies of each.
        new: The same rows, one for one, as they should have been.
        places: As for `finish`.

    Returns:
        How many rows differed and are corrected.

    Raises:
        ValueError: If the batches are not equally long.
        StoreError: If the ledger has not answered; the same batches may be offered again, and count once.
    """
    old, new = _differing(old, new)
    if not old.num_rows:
        return 0
    pairs = _pairs(old, new)
    if isinstance(into, writer.Writer):
        into.insert("flows", pairs)
        return old.num_rows
    into.insert("flows", pairs, token=f"correction {_digest(old, new)}")
    times = _numbers(old, "time")
    finish(into, places, start=int(times.min()), end=int(times.max()) + 1)
    return old.num_rows


def finish(
    ledger: transport.Transport, places: Sequence[migrations.Ledger] = (), *, start: int = 0, end: int = 0
) -> int:
    """Do what corrections have left to do: make the rollups' moments right, and remove what was taken back.

    Args:
        ledger: The ledger.
        places: On a cluster the ledgers of all its hosts (`cluster.Cluster.local`): each has rows and rollups
            of its own, and rows go where they lie. Not needed for a ledger on one server.
        start: Rows from this moment on, in nanoseconds since 1970.
        end: Rows before this moment; 0 for all.

    Returns:
        How many rows had been taken back.

    Raises:
        ValueError: If the ledger is on a cluster and no places are given.
    """
    if not places and cluster.place(ledger)[0]:
        raise ValueError("on a cluster rows are removed where they lie: name its hosts' ledgers")
    within = f"time >= {_moment(start)}" + (f" AND time < {_moment(end)}" if end else "")
    return sum(_finish(place, within) for place in (places or (ledger,)))


def _finish(place: migrations.Ledger, within: str) -> int:
    done = 0
    while True:
        sql = (
            f"SELECT {_TAKEN_KEY} AS row_key, toUnixTimestamp64Nano(time) AS at FROM flows "
            f"WHERE {within} AND {_TAKEN} ORDER BY at LIMIT {_AT_ONCE} WITH TIES"
        )
        found = place.query(sql, {})
        if not found.num_rows:
            return done
        times = _numbers(found, "at")
        first, last = int(times[0]), int(times[-1])
        for table in _MADE_OF:
            _make_right(place, table, first, last)
        _remove(place, np.unique(_numbers(found, "row_key")), first, last)
        done += found.num_rows


def _make_right(place: migrations.Ledger, table: str, first: int, last: int) -> None:
    """Make the moments of the edges right of which rows between two moments were taken back."""
    for _ in range(_TRIES):
        found = place.query(_wrong(table, first, last), {})
        edges, seen_first, seen_last = (_numbers(found, name) for name in ("edge_key", "first", "last"))
        for some in _pieces(len(edges)):
            _update(place, table, (first, last), edges[some], seen_first[some], seen_last[some])
        if not len(edges):
            return


def _wrong(table: str, first: int, last: int) -> str:
    """The edges whose moments are not those of what is left of them, and what these are: a SELECT."""
    bucket, belongs, keys = ddl.level(table)
    source, first_seen, last_seen = _MADE_OF[table]
    of_flows = f"cityHash64({bucket}, {', '.join(keys.values())})"
    stretch = _stretch(table, first, last)
    left = "1"
    made = f"cityHash64({bucket}, {', '.join(keys)})"
    if source == "flows":
        taken = f"SELECT {_TAKEN_KEY} FROM flows WHERE {stretch} AND {_TAKEN}"
        left, made = f"{belongs} AND NOT ({_TAKEN}) AND {_KEY} NOT IN ({taken})", of_flows
    touched = (
        f"SELECT {of_flows} FROM flows WHERE time >= {_moment(first)} AND time <= {_moment(last)} "
        f"AND {_TAKEN} AND {belongs}"
    )
    seen = (
        "SELECT {0} AS edge_key, toUnixTimestamp64Nano(min({1})) AS {3}first, "
        "toUnixTimestamp64Nano(max({2})) AS {3}last FROM {4} "
        f"WHERE {stretch} AND edge_key IN ({touched}) AND {{5}} GROUP BY edge_key"
    )
    held = seen.format(_held(keys), "first_seen", "last_seen", "held_", table, "1")
    rest = seen.format(made, first_seen, last_seen, "left_", source, left)
    return (
        f"SELECT edge_key, if(left_last = 0, {ddl.NEVER}, left_first) AS first, left_last AS last "
        f"FROM ({held}) AS held LEFT JOIN ({rest}) AS rest USING edge_key "
        "WHERE held_first != first OR held_last != last"
    )


def _update(
    place: migrations.Ledger,
    table: str,
    moments: tuple[int, int],
    edges: npt.NDArray[np.uint64],
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
) -> None:
    """Say of some edges when they were first and last seen."""
    edge, known = _held(ddl.level(table)[2]), _listed(edges)

    def told(values: npt.NDArray[np.int64]) -> str:
        moment = f"transform({edge}, [{known}]::Array(UInt64), [{_listed(values)}]::Array(Int64), 0::Int64)"
        return f"fromUnixTimestamp64Nano({moment}, 'UTC')"

    place.command(
        f"ALTER TABLE {table} UPDATE first_seen = {told(first)}, last_seen = {told(last)} "
        f"WHERE {_stretch(table, *moments)} AND {edge} IN ({known}) SETTINGS mutations_sync = 2",
        {},
    )


def _held(keys: Iterable[str]) -> str:
    """What tells the edges of a rollup apart there."""
    return f"cityHash64(time, {', '.join(keys)})"


def _stretch(table: str, first: int, last: int) -> str:
    """The test for whatever is in the same rows of a rollup as two moments and all between them."""
    unit = _SECONDS[table] * 1_000_000_000
    return f"time >= {_moment(first // unit * unit)} AND time < {_moment((last // unit + 1) * unit)}"


def _remove(place: migrations.Ledger, keys: npt.NDArray[np.uint64], first: int, last: int) -> None:
    """Remove rows and what took them back. The keys are pasted: what a subquery finds changes meanwhile."""
    for some in _pieces(len(keys)):
        place.command(
            f"DELETE FROM flows WHERE time >= {_moment(first)} AND time <= {_moment(last)} "
            f"AND if({_TAKEN}, {_TAKEN_KEY}, {_KEY}) IN ({_listed(keys[some])}) "
            "SETTINGS lightweight_deletes_sync = 2",
            {},
        )


def _differing(old: pa.RecordBatch, new: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The rows that are not the same in both."""
    if len(old) != len(new):
        raise ValueError(f"{len(old)} rows cannot become {len(new)}")
    differ = np.zeros(len(old), bool)
    for name in (*_SAID, *_COUNTS):
        differ |= np.asarray(pc.not_equal(old.column(name), new.column(name)))
    at = columns.array(np.flatnonzero(differ), pa.int64())
    return old.take(at), new.take(at)


def _pairs(old: pa.RecordBatch, new: pa.RecordBatch) -> pa.Table:
    """The rows of the insert, each old one before its new one, in one piece."""
    negated = {name: columns.array(-_numbers(old, name), pa.uint64()) for name in _COUNTS}
    taken = _marked(old, ddl.TAKEN_BACK, negated)
    both = pa.Table.from_batches([taken, _marked(new, ddl.NAMED_AGAIN, {})]).unify_dictionaries()
    order = np.arange(2 * len(old)).reshape(2, -1).T.ravel()
    return both.combine_chunks().take(columns.array(order, pa.int64())).combine_chunks()


def _marked(batch: pa.RecordBatch, word: str, counts: dict[str, pa.Array[Any]]) -> pa.RecordBatch:
    made = counts | {"correction": columns.text([word], np.zeros(len(batch), np.int32))}
    arrays = [made[name] if name in made else batch.column(name) for name in _SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _digest(*batches: pa.RecordBatch) -> str:
    sink = pa.BufferOutputStream()
    for batch in batches:
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _recorded(found: pa.Table) -> pa.RecordBatch:
    """Rows of `flows` as they were inserted, from the columns of an answer."""
    table = found.select(_SCHEMA.names).cast(_SCHEMA).unify_dictionaries().combine_chunks()
    return table.to_batches()[0]


def _numbers(found: pa.Table | pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    """A column of whole numbers or times."""
    column = found.column(name)
    return columns.numbers(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)


def _pieces(count: int) -> Iterator[slice]:
    for at in range(0, count, _LITERALS):
        yield slice(at, at + _LITERALS)


def _listed(values: npt.NDArray[np.integer[Any]]) -> str:
    return ", ".join(map(str, values.tolist()))


def _oldest(ledger: transport.Transport) -> int:
    """From when on rows stay for another day at least, in nanoseconds since 1970."""
    days = migrations.kept_days(cluster.stored(ledger), "flows")
    if not days:
        return 0
    sql = f"SELECT toUnixTimestamp(today() - {days - 1}) AS oldest"
    return int(ledger.query(sql, {}).column("oldest")[0].as_py()) * 1_000_000_000


def _moment(nanoseconds: int) -> str:
    return f"fromUnixTimestamp64Nano({int(nanoseconds)}, 'UTC')"
