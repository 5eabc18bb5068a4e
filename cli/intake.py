"""Exports into the ledger, once each, with statements of which nodes have reported.

**Once.** Each piece of a file goes in under a token made of its format and a digest of its lines, one for
each day in it, so that the same file again adds nothing, in rollups either. Tokens are forgotten after many
inserts (`store.ddl`); what has been completed is known for longer, by its statements of completeness, whose
note ends in the digest of the file.

**Completeness.** A source's report counts unless the destination's node has itself reported in that hour, and
whether it has is known by its statements. So an import states for each node and hour in which the node has
reported as a destination how many of its rows came in (source ``import``), and what the exporter says that it
has lost (of other nodes under no node's name). It claims no more than that: a node that has reported as a
source alone gets no statement (and a file of nothing else one of nothing, under no node's name), and rows
name the destination's node only where the export has its report (`collector.exports.mirrors`). What a
statement cannot know is whether the export was filtered, and what a collector on another node has told of the
same hour: that one's reports towards a node of the import then count as mirrored. An import is therefore for
hours that no collector recorded.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from cli import exported
from collector.exports import mirrors
from model import columns, errors
from runtime import settings
from store import ddl, location, migrations, transport

SOURCE = "import"
"""The source of an import's statements of completeness."""

_HOUR, _DAY = 3600 * 10**9, 86_400 * 10**9


@dataclasses.dataclass(slots=True)
class _Stated:
    """What there is to state of a node and an hour.

    Attributes:
        rows: How many came in.
        last: The time of the last one, in ns since 1970.
        as_destination: Whether one of them was reported as a destination.
    """

    rows: int = 0
    last: int = 0
    as_destination: bool = False


_Statements = dict[tuple[str, int], _Stated]
"""By node and hour since 1970."""


def require_writable(url: str) -> None:
    """Refuse a ledger that only answers, before any work is done; one in a folder is looked at later.

    Raises:
        FlowledgerError: If it takes no rows, or there is no such way to a ledger.
    """
    if not url.startswith("chdb:"):
        with contextlib.closing(transport.open(url)) as ledger:
            _require_writable(ledger, url)


def _require_writable(ledger: transport.Transport, url: str) -> None:
    if not ledger.takes_rows:
        raise errors.SetupError(
            f"{location.shown(url)} is read-only: import into chdb:///folder while no `flowledger up` runs "
            "on it, or into clickhouse://host:9000/database"
        )


def opened(configured: settings.Store) -> transport.Transport:
    """The ledger; one in a folder is made if there is none.

    Raises:
        FlowledgerError: If it takes no rows, is in use, or has another schema.
    """
    ledger = transport.open(configured.url, configured.retention_days)
    try:
        _require_writable(ledger, configured.url)
        migrations.check(ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger


def write(
    ledger: transport.Transport,
    read: exported.Exported,
    kept: Any,
    advance: Callable[[int], None] = lambda _: None,
) -> list[exported.File]:
    """Write what was read.

    Args:
        ledger: Where to.
        read: What the files have come to.
        kept: Their flows.
        advance: Told how many rows have been written.

    Returns:
        The files that the ledger has already.

    Raises:
        StoreError: If it refuses.
    """
    there, batches, done = _there(ledger), exported.batches(kept), 0
    for file in read.files:
        is_new, stated = file.mark not in there, _Statements()
        if is_new:
            _write_labels(ledger, file)
        for (count, digest), batch in zip(file.pieces, batches, strict=False):
            if is_new and count:
                flows = read.mirrors[file.origin].fill(batch)
                _write_flows(ledger, flows, f"{SOURCE}-{file.origin}-{digest}")
                _count(flows, stated)
            done += count
            advance(done)
        if is_new and stated:
            _write_completeness(ledger, file, read.mirrors[file.origin], stated)
    return [file for file in read.files if file.mark in there]


def _there(ledger: transport.Transport) -> set[str]:
    """The marks of files whose import has been completed, under whatever name."""
    sql = "SELECT DISTINCT toString(note) AS note FROM completeness_hour WHERE source = {source:String}"
    notes = ledger.query(sql, {"source": SOURCE}).column("note").to_pylist()
    return {str(note).rpartition(" ")[2] for note in notes}


def _write_labels(ledger: transport.Transport, file: exported.File) -> None:
    if file.label_sets:
        sets: dict[str, list[Any]] = {
            "labels_id": list(file.label_sets),
            "labels": list(file.label_sets.values()),
        }
        ledger.insert("label_sets", columns.batch(ddl.LABEL_SETS, sets))


def _write_flows(ledger: transport.Transport, flows: pa.RecordBatch, token: str) -> None:
    """Write rows day by day: a statement may fill but so many partitions, and an export may be of a year."""
    days = columns.numbers(flows.column("time")) // _DAY
    for day in np.unique(days).tolist():
        of_day = flows.take(columns.array(np.flatnonzero(days == day), pa.int64()))
        ledger.insert("flows", of_day, token=f"{token}-{day}")


def _count(flows: pa.RecordBatch, stated: _Statements) -> None:
    times = columns.numbers(flows.column("time")).tolist()
    codes, nodes = columns.coded(flows, "node")
    as_destination = mirrors.reported_by_destination(flows).tolist()
    for code, at, told in zip(codes.tolist(), times, as_destination, strict=True):
        one = stated.setdefault((nodes[code], at // _HOUR), _Stated())
        one.rows += 1
        one.last = max(one.last, at)
        one.as_destination |= told


def _write_completeness(
    ledger: transport.Transport, file: exported.File, known: mirrors.Mirrors, counted: _Statements
) -> None:
    stated = {place: one for place, one in counted.items() if one.as_destination}
    lost = collections.Counter[tuple[str, int]]()
    for (node, hour), number in file.lost.items():
        lost[node if (node, hour) in stated else "", hour] += number
    hours = {hour for _, hour in stated} if file.origin.value in known.nodes else set()
    for place in [*((file.origin.value, hour) for hour in hours), *lost]:
        stated.setdefault(place, _Stated(last=place[1] * _HOUR))
    if not stated:  # so that it is known again
        stated["", min(hour for _, hour in counted)] = _Stated(last=max(one.last for one in counted.values()))
    places = sorted(stated)
    count = len(places)
    said: dict[str, list[Any]] = {
        "time": [stated[place].last for place in places], "node": [node for node, _ in places],
        "source": [SOURCE] * count, "observed": [stated[place].rows for place in places],
        "lost": [lost[place] for place in places], "discarded": [0] * count,
        "incomplete": [0] * count, "note": [file.note] * count,
    }  # fmt: skip
    token = f"{SOURCE}-{file.origin}-{file.digest}"
    ledger.insert("completeness", columns.batch(ddl.COMPLETENESS, said), token=token)
