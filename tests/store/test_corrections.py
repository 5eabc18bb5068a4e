"""Rows that are put under better names leave a ledger as if they had been written so at once."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import prometheus_client
import pyarrow as pa
import pytest
from clickhouse_server import Server

from model import address, columns, errors
from runtime import metrics, settings
from store import cluster as clusters
from store import (
    corrections,
    counting,
    ddl,
    filters,
    migrations,
    native,
    parameters,
    queries,
    transport,
    writer,
)

Build = Callable[..., pa.RecordBatch]
Rows = dict[int, dict[str, object]]
"""Rows by their source port."""

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
_ALWAYS = (("flows_day", 0), ("flows_hour", 0), ("flows_minute", 0))
"""Levels that make any span worth a look at the rollups."""
_COUNTS = [c.name for c in columns.COLUMNS if c.rollup is columns.Rollup.SUM]


@dataclasses.dataclass(frozen=True)
class Book:
    """A ledger, and the ledgers of its hosts on a cluster."""

    ledger: transport.Transport
    places: Sequence[migrations.Ledger] = ()

    def correct(self, old: pa.RecordBatch, new: pa.RecordBatch) -> int:
        return corrections.correct(self.ledger, old, new, self.places)

    def empty(self) -> None:
        for place in self.places or (self.ledger,):
            for table in ddl.STORED:
                place.command(f"TRUNCATE TABLE {table}", {})


@pytest.fixture(params=["chdb", "native", "cluster"])
def book(request: pytest.FixtureRequest) -> Book:
    """Each kind of ledger, empty."""
    if request.param == "cluster":
        spread: Book = request.getfixturevalue("spread")
        return spread
    made = Book(request.getfixturevalue({"chdb": "ledger", "native": "made"}[request.param]))
    made.empty()
    return made


@pytest.fixture
def spread(cluster: list[Server]) -> Iterator[Book]:
    """An empty ledger over two shards."""
    name = f"d{uuid.uuid4().hex}"
    url = f"{cluster[0].native_url}/{name}?cluster=flowledger"
    with contextlib.closing(clusters.Cluster(url)) as hosts:
        hosts.bring_up_to_date(ddl.ages(0))
        with contextlib.closing(transport.open(url)) as opened:
            yield Book(opened, hosts.local)
    for server in cluster:
        with contextlib.closing(native.Server(server.native_url)) as one:
            for database in (name, f"{name}_local"):
                one.command(f"DROP DATABASE IF EXISTS {database}", {})


def _random_rows(dice: random.Random, hour: int, count: int) -> Rows:
    """Connections of four nodes, close together in a few hours of three days."""
    rows: Rows = {}
    for port in range(1024, 1024 + count):
        reporter = dice.choice(["src", "dst", "both"])
        moment = dice.choice([0, 5 * HOUR, 30 * HOUR]) + dice.randrange(3) * MINUTE + dice.randrange(5)
        rows[port] = {
            "time": hour + moment, "started": hour - 1, "src_port": port, "node": dice.choice("abc"),
            "src_address": f"10.0.0.{dice.randrange(4)}", "dst_address": f"10.0.1.{dice.randrange(2)}",
            "verdict": dice.choice(["allowed", "allowed", "denied", "unknown"]), "reporter": reporter,
            "connections_started": dice.randrange(2), "connections_ended": 1,
            "forward_bytes": dice.randrange(1 << 40), **_names(dice),
        }  # fmt: skip
    return rows


def _names(dice: random.Random) -> dict[str, object]:
    return {
        "src_workload": dice.choice(["web", "cart", ""]), "src_pod": dice.choice(["p", "q"]),
        "src_labels_id": dice.randrange(1, 3), "src_node": dice.choice("ab"),
        "dst_node": dice.choice(["a", "silent", ""]), "dst_kind": dice.choice(["pod", "private"]),
    }  # fmt: skip


def _renamed(dice: random.Random, rows: Rows, share: float) -> Rows:
    return {port: row | (_names(dice) if dice.random() < share else {}) for port, row in rows.items()}


def _write(book: Book, flows: Build, rows: Rows) -> None:
    """Rows in three inserts, so that they lie in several parts."""
    listed = list(rows.values())
    for some in (listed[0::3], listed[1::3], listed[2::3]):
        book.ledger.insert("flows", flows(*some))


def _all(book: Book, limit: int = 10_000) -> Iterator[pa.RecordBatch]:
    wanted = [address.pack(f"10.0.0.{n}") for n in range(4)]
    return corrections.candidates(book.ledger, wanted, 0, limit=limit)


def _become(flows: Build, old: pa.RecordBatch, rows: Rows) -> pa.RecordBatch:
    return flows(*(rows[port] for port in old.column("src_port").to_pylist()))


def _rename(book: Book, flows: Build, rows: Rows, limit: int = 10_000) -> int:
    return sum(book.correct(old, _become(flows, old, rows)) for old in _all(book, limit))


def _both(book: Book, spans: Sequence[queries.Span], monkeypatch: pytest.MonkeyPatch) -> list[list[object]]:
    """What is said of some spans, by the rows themselves and by the rollups."""
    answers = []
    for levels in ((), _ALWAYS):
        monkeypatch.setattr(counting, "LEVELS", levels)
        answers.append([_everything(book.ledger, span) for span in spans])
    return answers


def _everything(ledger: transport.Transport, span: queries.Span) -> list[object]:
    rows = queries.flows(ledger, span).drop_columns(["correction"]).to_pylist()
    return [
        queries.bounds(ledger), queries.summary(ledger, span, filters.compile("src.workload = web")),
        queries.timeline(ledger, span).to_pylist(), queries.graph(ledger, span).to_pylist(),
        *(queries.edges(ledger, span, limit=n).to_pylist() for n in (4, 10_000)), sorted(map(repr, rows)),
    ]  # fmt: skip


def _rollups(book: Book) -> list[list[str]]:
    return [
        _rollup(place, table)
        for place in book.places or (book.ledger,)
        for table in (*ddl.ROLLUPS, "flows_hour_mirrored")
    ]


def _rollup(place: migrations.Ledger, table: str) -> list[str]:
    """What a rollup has that is not nothing, whatever is merged already."""
    keys = ", ".join([*ddl.level(table)[2], "time"])
    sums = ", ".join(f"sum({name}) AS s_{name}" for name in _COUNTS)
    sql = (
        f"SELECT {keys}, {sums}, toString(min(first_seen)), toString(max(last_seen)) FROM {table} "
        f"GROUP BY {keys} HAVING {' OR '.join(f's_{name} != 0' for name in _COUNTS)}"
    )
    return sorted(map(repr, place.query(sql, {}).to_pylist()))


def _said(book: Book, completeness: Build, hour: int) -> None:
    """One node of three says, in two hours of three, that it reports."""
    book.ledger.insert(
        "completeness", completeness({"node": "a", "time": hour + 5}, {"node": "a", "time": hour + 30 * HOUR})
    )


@pytest.mark.parametrize("seed", range(2))
def test_rows_twice_corrected_are_as_if_written_so_at_once(
    book: Book, flows: Build, completeness: Build, hour: int, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    ends = ((-DAY, 3 * DAY), (MINUTE, 30 * HOUR + 2 * MINUTE), (3, HOUR))
    spans = [queries.Span(hour + start, hour + end) for start, end in ends]
    dice = random.Random(seed)
    first = _random_rows(dice, hour, 45)
    second = _renamed(dice, first, 0.5)
    third = _renamed(dice, second, 0.3) | {port: first[port] for port in range(1030, 1036)}
    _said(book, completeness, hour)
    _write(book, flows, third)
    expected, summed = _both(book, spans, monkeypatch), _rollups(book)
    assert expected[0] == expected[1]
    book.empty()
    _said(book, completeness, hour)
    _write(book, flows, first)
    assert _rename(book, flows, second, limit=30) == sum(first[port] != second[port] for port in first)
    _rename(book, flows, third)
    assert _both(book, spans, monkeypatch) == expected
    assert _rollups(book) == summed
    assert _rename(book, flows, third) == 0
    assert corrections.finish(book.ledger, book.places) == 0


class Dying:
    """A ledger that dies once it has done so many changes, before it can say so."""

    takes_rows = True

    def __init__(self, ledger: transport.Transport, changes: int) -> None:
        self._ledger, self._left = ledger, changes

    def query(self, sql: str, values: parameters.Parameters) -> pa.Table:
        return self._ledger.query(sql, values)

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table, *, token: str = "") -> None:
        self._ledger.insert(table, batch, token=token)
        self._die()

    def command(self, sql: str, values: parameters.Parameters) -> None:
        self._ledger.command(sql, values)
        self._die()

    def _die(self) -> None:
        self._left -= 1
        if not self._left:
            raise errors.StoreError("died", temporary=True)


@pytest.mark.parametrize("again", ["offered", "finished"])
def test_death_at_any_step_leaves_it_to_be_finished(
    ledger: transport.Transport, flows: Build, hour: int, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """Sums are right all the time; and all is, once somebody offers the same again, or finishes it."""
    book, dice, spans = Book(ledger), random.Random(5), [queries.Span(hour - DAY, hour + 3 * DAY)]
    first = _random_rows(dice, hour, 9)
    second = _renamed(dice, first, 0.8)
    _write(book, flows, second)
    expected, summed = _both(book, spans, monkeypatch), _rollups(book)
    for changes in range(1, 99):
        book.empty()
        _write(book, flows, first)
        (old,) = _all(book)
        new = _become(flows, old, second)
        with contextlib.suppress(errors.StoreError):
            corrections.correct(Dying(ledger, changes), old, new)  # type: ignore[arg-type]
            break
        for found, right in zip(_both(book, spans, monkeypatch), expected, strict=True):
            assert [one[:2] for one in found] == [one[:2] for one in right]
        assert all(set(old.column("src_port").to_pylist()).issuperset(_ports(one)) for one in _all(book))
        if again == "offered":
            book.correct(old, new)
        else:
            corrections.finish(ledger)
        assert _both(book, spans, monkeypatch) == expected
        assert _rollups(book) == summed
    assert changes > 4


def _ports(batch: pa.RecordBatch) -> list[int]:
    return [int(port) for port in batch.column("src_port").to_pylist()]


def test_rows_go_through_a_spool(
    ledger: transport.Transport, flows: Build, tmp_path: pathlib.Path, hour: int
) -> None:
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    spooled = writer.Writer(ledger, tmp_path / "spool", settings.Store(), "node-1", measured)
    ledger.insert("flows", flows({"src_workload": "old"}, {"src_port": 5}))
    old = next(_all(Book(ledger)))
    spooled.start()
    assert corrections.correct(spooled, old, flows({"src_workload": "new"}, {"src_port": 5})) == 1
    spooled.stop()
    assert _ports(next(_all(Book(ledger)))) == [5]
    assert corrections.finish(ledger) == 1
    found = queries.edges(ledger, queries.Span(hour, hour + HOUR))
    assert sorted(found.column("src").to_pylist()) == ["shop/new", "shop/web"]


def test_copies_of_a_row_are_corrected_together(ledger: transport.Transport, flows: Build, hour: int) -> None:
    ledger.insert("flows", flows({}, {}, {"src_port": 5}))
    batches = list(corrections.candidates(ledger, [address.pack("10.0.0.1")], 0, limit=1))
    assert sorted(map(len, batches)) == [1, 2]
    for old in batches:
        new = flows(*({"src_workload": "new", "src_port": port} for port in _ports(old)))
        assert corrections.correct(ledger, old, new) == len(old)
    (edge,) = queries.edges(ledger, queries.Span(hour, hour + HOUR)).to_pylist()
    assert (edge["src"], edge["connections"], edge["bytes"]) == ("shop/new", 3, 450)


@pytest.mark.parametrize(
    ("wanted", "start", "end", "found"),
    [
        ("10.0.0.1", 0, 0, [1, 2, 3, 4]),
        ("192.0.2.1", 0, 0, [2]),
        ("192.0.2.2", 0, 0, [3]),
        ("2001:db8::1", 0, 0, [4]),
        ("10.0.0.1", HOUR, 0, [3, 4]),
        ("10.0.0.1", 0, HOUR, [1, 2]),
        ("10.0.0.7", 0, 0, []),
    ],
    ids=["source", "dialled", "translated", "destination", "late", "early", "nobody"],
)
def test_candidates_are_about_an_address(
    asker: transport.Transport, ledger: transport.Transport, flows: Build, hour: int, wanted: str, start: int,
    end: int, found: list[int],
) -> None:  # fmt: skip
    late = {"time": hour + 2 * HOUR, "started": hour + HOUR}
    rows = ({}, {"service_address": "192.0.2.1"}, late | {"snat_address": "192.0.2.2"},
            late | {"dst_address": "2001:db8::1"})  # fmt: skip
    batch = flows(*(row | {"src_port": n} for n, row in enumerate(rows, 1)))
    (asker if asker.takes_rows else ledger).insert("flows", batch)
    asked = [hour + moment if moment else 0 for moment in (start, end)]
    batches = list(corrections.candidates(asker, [address.pack(wanted)], *asked, limit=2))
    assert sorted(port for batch in batches for port in _ports(batch)) == found
    assert all(batch.schema == ddl.TABLES["flows"] for batch in batches)


def test_rows_that_are_soon_dropped_are_left_alone(clickhouse: Server, flows: Build) -> None:
    name, now = f"d{uuid.uuid4().hex}", time.time_ns()
    with contextlib.closing(native.Server(clickhouse.native_url)) as server:
        server.command(f"CREATE DATABASE {name}", {})
        with contextlib.closing(native.Server(f"{clickhouse.native_url}/{name}")) as ledger:
            migrations.bring_up_to_date(ledger, ddl.ages(4))
            ledger.insert("flows", flows(*({"time": now - n * DAY, "src_port": n} for n in (1, 2, 4))))
            (found,) = corrections.candidates(ledger, [address.pack("10.0.0.1")], 0)
            assert sorted(_ports(found)) == [1, 2]
        server.command(f"DROP DATABASE {name}", {})


def test_what_others_have_recorded_keeps_its_names(
    ledger: transport.Transport, flows: Build, hour: int
) -> None:
    given = [{"time": hour, "src_port": 1}, {"time": hour, "src_port": 2, "origin": "hubble"}]
    ledger.insert("flows", flows(*given))
    (found,) = corrections.candidates(ledger, [address.pack("10.0.0.1")], 0)
    assert _ports(found) == [1]


def test_longest_addresses_fit_into_one_question(ledger: transport.Transport) -> None:
    many = [(2**128 - 1 - n).to_bytes(16, "big") for n in range(corrections.MOST_ADDRESSES)]
    assert list(corrections.candidates(ledger, many, 0)) == []


def test_what_cannot_be_done_is_refused(spread: Book, flows: Build) -> None:
    with pytest.raises(ValueError, match="2 rows cannot become 1"):
        corrections.correct(spread.ledger, flows({}, {}), flows({}))
    with pytest.raises(ValueError, match="name its hosts"):
        corrections.finish(spread.ledger)
    many = [n.to_bytes(16, "big") for n in range(corrections.MOST_ADDRESSES + 1)]
    with pytest.raises(ValueError, match="1001 addresses"):
        next(corrections.candidates(spread.ledger, many, 0))
    assert list(corrections.candidates(spread.ledger, many[:-1], 0)) == []
    assert list(corrections.candidates(spread.ledger, [], 0)) == []
