from __future__ import annotations

import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from model import columns, errors
from store import chdb, http, transport

Build = Callable[..., pa.RecordBatch]


def test_open_makes_a_remote_for_http() -> None:
    assert isinstance(transport.open("http://127.0.0.1:1"), http.Remote)


@pytest.mark.parametrize("url", ["clickhouse://host", "host:8123", "", "file:///x"])
def test_unknown_scheme_lists_the_known(url: str) -> None:
    with pytest.raises(errors.SetupError, match="chdb, http"):
        transport.open(url)


@pytest.mark.parametrize("url", ["chdb://", "chdb:///", "chdb://folder"])
def test_folder_must_be_absolute(url: str) -> None:
    with pytest.raises(errors.SetupError, match="three slashes"):
        transport.open(url)


def test_open_makes_a_ledger_for_chdb(tmp_path: object, run: Callable[[str], str]) -> None:
    script = f"from store import transport; ledger = transport.open('chdb://{tmp_path}/a%20b'); "
    assert run(script + "print(ledger.query('SELECT 1 AS a', {}).num_rows)") == "1"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "it's",
        'a "b"',
        "tab\there",
        "new\nline",
        "back\\slash",
        "\\N",
        "\\n",
        "é€😀",
        "{p:String}",
        "a&b=c+%20",
        "\r\b\f",
    ],
)
def test_bound_text_arrives_as_it_is(reader: transport.Transport, value: str) -> None:
    assert reader.query("SELECT {p:String} AS v", {"p": value}).column("v").to_pylist() == [value]


def test_numbers_and_addresses_are_bound(reader: transport.Transport) -> None:
    table = reader.query("SELECT {n:UInt64} AS n, {a:IPv6} AS a", {"n": 2**64 - 1, "a": "::ffff:10.0.0.1"})
    assert table.to_pylist() == [{"n": 2**64 - 1, "a": bytes(10) + b"\xff\xff\x0a\x00\x00\x01"}]


def test_empty_answer_has_its_columns(reader: transport.Transport) -> None:
    table = reader.query("SELECT * FROM flows", {})
    assert (table.num_rows, table.column_names) == (0, [c.name for c in columns.COLUMNS])


def test_rows_come_back_as_they_went_in(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build
) -> None:
    batch = flows({"src_address": "2001:db8::1"}, {"dst_port": 443, "verdict": "denied"})
    ledger.insert("flows", batch)
    back = reader.query("SELECT * FROM flows ORDER BY dst_port", {})
    assert back.cast(pa.schema(back.schema)).to_pydict() == pa.Table.from_batches([batch]).to_pydict()


def test_bytes_come_in_the_format_asked_for(reader: transport.Transport) -> None:
    assert reader.query_bytes("SELECT 1 AS a", {}, "CSVWithNames") == b'"a"\n1\n'


def test_refusal_carries_the_engine_s_words(reader: transport.Transport) -> None:
    with pytest.raises(errors.StoreError, match=r"Code: 60.*nowhere"):
        reader.query("SELECT * FROM nowhere", {})


@pytest.mark.parametrize("sql", ["DROP TABLE flows", "TRUNCATE TABLE flows", "SET readonly = 0"])
def test_query_only_reads(reader: transport.Transport, sql: str) -> None:
    with pytest.raises(errors.StoreError, match="READONLY"):
        reader.query(sql, {})


def test_threads_share_a_transport(reader: transport.Transport) -> None:
    found: list[int] = []

    def ask(first: int) -> None:
        for n in range(first, first + 20):
            found.extend(reader.query("SELECT {n:UInt64} AS n", {"n": n}).column("n").to_pylist())

    threads = [threading.Thread(target=ask, args=(100 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [100 * i + n for i in range(8) for n in range(20)]
