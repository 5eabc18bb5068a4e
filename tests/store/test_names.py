"""The latest word about each claim, by every way to a ledger."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from clickhouse_server import Server

from model import address
from store import cluster, ddl, names, native, transport

Ask = Callable[..., pa.Table]
_TABLES = {"endpoints": names.endpoints, "services": names.services, "policies": names.policies}
_KEY = {"endpoints": "uid", "services": "service", "policies": "name"}


def _claims(table: str, *rows: dict[str, object]) -> pa.Table:
    schema = ddl.TABLES[table]
    plain = {field.name: "" if pa.types.is_string(field.type) else 0 for field in schema}
    if "address" in plain:
        plain["address"] = address.pack("10.0.0.1")
    named = [{_KEY[table] if name == "key" else name: value for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist([plain | row for row in named], schema=schema)


def _said(table: pa.Table, key: str) -> list[tuple[object, int, int]]:
    """Key, when it was written, end."""
    times = {name: table.column(name).cast(pa.int64()).to_pylist() for name in ("written", "valid_to")}
    return sorted(zip(table.column(key).to_pylist(), times["written"], times["valid_to"], strict=True))


@pytest.mark.parametrize("table", _TABLES)
def test_latest_word_of_each_claim_is_what_is_said(asker: transport.Transport, ledger: transport.Transport,
    request: pytest.FixtureRequest, table: str) -> None:  # fmt: skip
    owner = asker if asker.takes_rows else ledger
    ask, key = _TABLES[table], _KEY[table]
    owner.insert(table, _claims(table, {"key": "a", "written": 10}, {"key": "b", "written": 11}))
    owner.insert(table, _claims(table, {"key": "a", "written": 20, "valid_to": 15}))
    owner.insert(table, _claims(table, {"key": "c", "written": 21, "valid_to": 5}))
    assert ask(asker).schema == ddl.TABLES[table]
    assert _said(ask(asker), key) == [("a", 20, 15), ("b", 11, 0), ("c", 21, 5)]
    assert _said(ask(asker, ended_after=5), key) == [("a", 20, 15), ("b", 11, 0)]
    assert _said(ask(asker, ended_after=15), key) == [("b", 11, 0)]
    assert _said(ask(asker, written_after=20), key) == [("c", 21, 5)]
    assert _said(ask(asker, written_after=9), key) == [("a", 20, 15), ("b", 11, 0), ("c", 21, 5)]
    assert _said(ask(asker, written_after=21), key) == []
    owner.insert(table, _claims(table, {"key": "b", "written": 30, "valid_to": 1}))
    assert _said(ask(asker, written_after=10), key) == [("a", 20, 15), ("b", 30, 1), ("c", 21, 5)]
    assert ask(asker, written_after=30).schema == ddl.TABLES[table]


def test_claims_of_one_pod_follow_one_another(ledger: transport.Transport) -> None:
    first = {"key": "a", "valid_from": 1, "labels_id": 1, "written": 2}
    second = {"key": "a", "valid_from": 5, "labels_id": 2, "written": 6}
    ledger.insert("endpoints", _claims("endpoints", first))
    ledger.insert("endpoints", _claims("endpoints", first | {"valid_to": 5, "written": 6}, second))
    assert _said(names.endpoints(ledger), "labels_id") == [(1, 6, 5), (2, 6, 0)]
    assert _said(names.endpoints(ledger, written_after=5), "labels_id") == [(1, 6, 5), (2, 6, 0)]


def test_label_sets_by_number(asker: transport.Transport, ledger: transport.Transport) -> None:
    owner = asker if asker.takes_rows else ledger
    sets = [{"labels_id": n, "labels": [("app", f"a{n}")]} for n in (1, 2, 2**63)]
    for _ in range(2):
        owner.insert("label_sets", pa.Table.from_pylist(sets, schema=ddl.LABEL_SETS))
    found = names.labels(asker, [2**63, 1, 1, 7])
    assert found.schema == ddl.LABEL_SETS
    assert found.to_pylist() == [
        {"labels_id": 1, "labels": [("app", "a1")]}, {"labels_id": 2**63, "labels": [("app", f"a{2**63}")]},
    ]  # fmt: skip
    assert names.labels(asker, []).schema == ddl.LABEL_SETS


def test_last_word_of_each_source_is_how_far_it_has_watched(
    asker: transport.Transport, ledger: transport.Transport
) -> None:
    owner = asker if asker.takes_rows else ledger
    for written in (5, 9, 7):
        row = {"source": "kubernetes", "cluster": "", "since": 1, "as_of": written, "written": written}
        owner.insert("watched", pa.Table.from_pylist([row], schema=ddl.WATCHED))
    found = names.watched(asker)
    assert found.schema == ddl.WATCHED
    assert found.column("as_of").cast(pa.int64()).to_pylist() == [9]


@pytest.fixture
def spread(cluster: list[Server]) -> Iterator[transport.Transport]:
    """An empty ledger over two shards."""
    name = f"d{uuid.uuid4().hex}"
    url = f"{cluster[0].native_url}/{name}?cluster=flowledger"
    with contextlib.closing(_made(url)):
        pass
    with contextlib.closing(transport.open(url)) as opened:
        yield opened
    for server in cluster:
        with contextlib.closing(native.Server(server.native_url)) as one:
            for database in (name, f"{name}_local"):
                one.command(f"DROP DATABASE IF EXISTS {database}", {})


def _made(url: str) -> cluster.Cluster:
    made = cluster.Cluster(url)
    made.bring_up_to_date(ddl.ages(0))
    return made


@pytest.mark.parametrize("table", _TABLES)
def test_all_shards_are_asked(spread: transport.Transport, table: str) -> None:
    ask, key = _TABLES[table], _KEY[table]
    kind = [{"key": f"k{n}", "address": address.pack(f"10.0.0.{n}")} for n in range(50)]
    if table == "policies":
        kind = [{"key": f"k{n}"} for n in range(50)]
    spread.insert(table, _claims(table, *(one | {"written": 5} for one in kind)))
    spread.insert(table, _claims(table, *(one | {"written": 6, "valid_to": 3} for one in kind[:20])))
    expected = sorted((f"k{n}", 6, 3) if n < 20 else (f"k{n}", 5, 0) for n in range(50))
    assert _said(ask(spread), key) == expected
    assert _said(ask(spread, written_after=5), key) == [one for one in expected if one[1] == 6]
    assert len(ask(spread, ended_after=3)) == 30


def test_claim_of_long_ago_that_never_was_stays_taken_back(ledger: transport.Transport) -> None:
    """The word that it never was must not be forgotten before the word that it is."""
    now = time.time_ns()
    said = {"key": "a", "valid_from": 5}
    ledger.insert("endpoints", _claims("endpoints", said | {"written": now - 9}))
    ledger.insert("endpoints", _claims("endpoints", said | {"valid_to": 5, "written": now}))
    try:
        ledger.command(f"ALTER TABLE endpoints MODIFY {ddl.forgotten(30)} SETTINGS mutations_sync = 2", {})
        ledger.command("ALTER TABLE endpoints MATERIALIZE TTL SETTINGS mutations_sync = 2", {})
        assert _said(names.endpoints(ledger), "uid") == [("a", now, 5)]
    finally:
        ledger.command("ALTER TABLE endpoints REMOVE TTL", {})
