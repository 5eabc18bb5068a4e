"""What all ways to a ledger promise: chDB, the native protocol, HTTP, and to read, our gateway."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from model import columns, errors
from store import chdb, ddl, http, native, transport

Build = Callable[..., pa.RecordBatch]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://127.0.0.1:1", http.Remote, id="http"),
        pytest.param("https://127.0.0.1", http.Remote, id="https"),
        pytest.param("clickhouse://127.0.0.1:1", native.Server, id="native"),
        pytest.param("clickhouse://a,b:9001/db", native.Server, id="native, two hosts"),
    ],
)
def test_open_asks_nothing_of_a_server(url: str, kind: type) -> None:
    opened = transport.open(url)
    assert isinstance(opened, kind)
    opened.close()
    opened.close()


@pytest.mark.parametrize("url", ["mysql://host", "host:8123", "", "file:///x"])
def test_unknown_scheme_lists_the_known(url: str) -> None:
    with pytest.raises(errors.SetupError, match="chdb, clickhouse, http, https"):
        transport.open(url)


@pytest.mark.parametrize("scheme", ["mysql", "chdb", "clickhouse", "http"])
@pytest.mark.parametrize("rest", ["u:hunter2@h:x", "u:hun/ter2@h", "u:hunter2@h/d?wrong=1", "u:hunter2@[h"])
def test_no_refusal_shows_a_password(scheme: str, rest: str) -> None:
    with pytest.raises(errors.SetupError) as caught:
        transport.open(f"{scheme}://{rest}")
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["chdb://", "chdb:///", "chdb://folder"])
def test_folder_must_be_absolute(url: str) -> None:
    with pytest.raises(errors.SetupError, match="three slashes"):
        transport.open(url)


def test_open_makes_a_ledger_for_chdb(tmp_path: object, run: Callable[[str], str]) -> None:
    script = f"from store import transport; ledger = transport.open('chdb://{tmp_path}/a%20b', 0); "
    assert run(script + "print(ledger.query('SELECT 1 AS a', {}).num_rows)") == "1"


# ---- to ask


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
        "nul\0 bell\a",
        "' OR 1 = 1 --",
    ],
)
def test_bound_text_arrives_as_it_is(asker: transport.Transport, value: str) -> None:
    assert asker.query("SELECT {p:String} AS v", {"p": value}).column("v").to_pylist() == [value]


def test_numbers_and_addresses_are_bound(asker: transport.Transport) -> None:
    table = asker.query(
        "SELECT {n:UInt64} AS n, {i:Int64} AS i, {a:IPv6} AS a, {l:Array(String)} AS l",
        {"n": 2**64 - 1, "i": -(2**63), "a": "::ffff:10.0.0.1", "l": "['a','b c']"},
    )
    address = bytes(10) + b"\xff\xff\x0a\x00\x00\x01"
    assert table.to_pylist() == [{"n": 2**64 - 1, "i": -(2**63), "a": address, "l": ["a", "b c"]}]


def test_missing_parameter_is_refused(asker: transport.Transport) -> None:
    with pytest.raises(errors.StoreError, match="Code: 456"):
        asker.query("SELECT {p:String}", {"q": "x"})


def test_empty_answer_has_its_columns(asker: transport.Transport) -> None:
    table = asker.query("SELECT * FROM flows", {})
    assert (table.num_rows, table.column_names) == (0, [c.name for c in columns.COLUMNS])


TYPES = {
    "UInt8": 1, "UInt16": 1, "UInt32": 1, "UInt64": 2**64 - 1, "Int8": -1, "Int16": -1, "Int32": -1,
    "Int64": -1, "Int128": -1, "Float32": 1.5, "Float64": 1.5, "Bool": 1,
    "String": "'1'", "FixedString(2)": "'1'",
    "LowCardinality(String)": "'1'", "LowCardinality(Nullable(String))": "NULL", "Nullable(String)": "'1'",
    "Nullable(UInt16)": "NULL", "Date": "'2026-01-02'", "Date32": "'1920-01-02'",
    "DateTime('UTC')": "'2026-01-02 03:04:05'", "DateTime64(0, 'UTC')": "'2026-01-02 03:04:05'",
    "DateTime64(3, 'UTC')": "'2026-01-02 03:04:05.678'",
    "DateTime64(5, 'UTC')": "'2026-01-02 03:04:05.67891'",
    "DateTime64(9, 'UTC')": "'2026-01-02 03:04:05'", "IPv4": "'192.0.2.1'", "IPv6": "'2001:db8::1'",
    "UUID": "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'", "Decimal(9, 2)": -1.25, "Decimal(18, 2)": -1.25,
    "Decimal(38, 2)": -1.25, "Decimal(76, 2)": -1.25, "Enum8('1' = 1, 'a(, b' = 2)": 1,
    "Array(UInt8)": "[1, 2]",
    "Array(LowCardinality(String))": "['1', '']", "Array(Array(String))": "[['1', ''], []]",
    "Map(String, String)": "map('1', '2')", "Map(LowCardinality(String), UInt8)": "map('1', 2)",
    "Tuple(a UInt8, b String)": "(1, '1')", "Tuple(UInt8, LowCardinality(String))": "(1, '1')",
    "Array(Tuple(UInt8, Map(String, String)))": "[(1, map('a', 'b'))]",
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_types_are_those_of_clickhouse_s_arrow(
    kind: str, asker: transport.Transport, ledger: chdb.Embedded
) -> None:
    """A constant, a column and one without rows, as the engine itself gives them."""
    value = f"SELECT CAST({TYPES[kind]}, $${kind}$$) AS v"
    sql = f"SELECT v, materialize(v) AS w FROM ({value}) ARRAY JOIN [1, 2]"
    for statement in (sql, f"{sql} LIMIT 0"):
        expected, found = ledger.query(statement, {}), asker.query(statement, {})
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()


def test_what_is_mostly_zero_is_read(owner: transport.Transport) -> None:
    """A server writes such columns with what is not zero alone, and says where that stands."""
    owner.command(
        "CREATE TABLE sparse (n UInt32, z UInt64, s String, a IPv6, t Tuple(UInt8, String)) "
        "ENGINE = MergeTree ORDER BY n SETTINGS ratio_of_defaults_for_sparse_serialization = 0.1",
        {},
    )
    try:
        owner.command(
            "INSERT INTO sparse SELECT number, if(number % 97 = 5, number, 0), if(number % 89 = 0, 'x', ''), "
            "if(number % 83 = 0, toIPv6('::1'), toIPv6('::')), (number % 91 = 0, '') FROM numbers(1000)",
            {},
        )
        rows = owner.query("SELECT * FROM sparse ORDER BY n", {}).to_pylist()
    finally:
        owner.command("DROP TABLE sparse", {})
    for n, row in enumerate(rows):
        assert (row["z"], row["s"]) == (n if n % 97 == 5 else 0, "x" if n % 89 == 0 else "")
        assert row["a"] == bytes(15) + bytes([n % 83 == 0])
        assert row["t"] == {"1": int(n % 91 == 0), "2": ""}


def test_many_blocks_are_one_table(asker: transport.Transport) -> None:
    table = asker.query("SELECT number AS n, toString(number) AS s FROM numbers(300000) ORDER BY n", {})
    assert table.num_rows == 300_000
    assert table.slice(299_999).to_pylist() == [{"n": 299_999, "s": "299999"}]


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ("CSVWithNames", b'"a","b"\n1,"x\ty"\n2,"x\ty"\n'),
        ("CSV", b'1,"x\ty"\n2,"x\ty"\n'),
        ("TSV", b"1\tx\\ty\n2\tx\\ty\n"),
        ("TSVRaw", b"1\tx\ty\n2\tx\ty\n"),
        ("TSVWithNames", b"a\tb\n1\tx\\ty\n2\tx\\ty\n"),
        ("JSONEachRow", b'{"a":1,"b":"x\\ty"}\n{"a":2,"b":"x\\ty"}\n'),
    ],
)
def test_bytes_come_in_the_format_asked_for(
    asker: transport.Transport, output_format: str, expected: bytes
) -> None:
    sql = "SELECT toUInt8(number + 1) AS a, {b:String} AS b FROM numbers(2) ORDER BY a"
    assert asker.query_bytes(sql, {"b": "x\ty"}, output_format) == expected
    assert asker.query_bytes(f"{sql} FORMAT {output_format}", {"b": "x\ty"}, "Null") == expected


def test_arrow_stream_is_a_format(asker: transport.Transport) -> None:
    answer = asker.query_bytes("SELECT 1 AS a", {}, "ArrowStream")
    assert pa.ipc.open_stream(answer).read_all().to_pylist() == [{"a": 1}]


MISTAKES = [
    pytest.param("SELECT * FROM nowhere", 60, True, id="unknown table"),
    pytest.param("SELECT * FROM nowhere.t", 81, True, id="unknown database"),
    pytest.param("SELECT nothing FROM flows", 47, False, id="unknown column"),
    pytest.param("SELECT CAST(1, 'Nothing1')", 50, False, id="unknown type"),
    pytest.param("SELEKT 1", 62, False, id="syntax"),
]


@pytest.mark.parametrize(("sql", "code", "temporary"), MISTAKES)
def test_refusal_carries_the_engine_s_words_and_code(
    asker: transport.Transport, sql: str, code: int, temporary: bool
) -> None:
    with pytest.raises(errors.StoreError, match=rf"Code: {code}\b") as caught:
        asker.query(sql, {})
    assert (caught.value.code, caught.value.temporary) == (code, temporary)
    assert "Stack trace" not in str(caught.value)
    assert asker.query("SELECT 1 AS a", {}).num_rows == 1


@pytest.mark.parametrize("sql", ["DROP TABLE flows", "TRUNCATE TABLE flows", "SET readonly = 0"])
def test_query_only_reads(asker: transport.Transport, sql: str) -> None:
    with pytest.raises(errors.StoreError, match="READONLY"):
        asker.query(sql, {})


def test_threads_share_a_transport(asker: transport.Transport) -> None:
    found: list[int] = []

    def ask(first: int) -> None:
        for n in range(first, first + 20):
            found.extend(asker.query("SELECT {n:UInt64} AS n", {"n": n}).column("n").to_pylist())

    threads = [threading.Thread(target=ask, args=(100 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [100 * i + n for i in range(8) for n in range(20)]


# ---- to write


def _sample(kind: pa.DataType, row: int) -> object:
    """A value that is nobody's default, and the extremes of its type in the first rows."""
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return ["", "naïve ☃", "x" * 300, f"word {row}"][min(row, 3)]
    if pa.types.is_boolean(kind):
        return row % 2 == 0
    if pa.types.is_map(kind):
        return [(f"k{i}", f"v{row}") for i in range(row % 3)]
    if pa.types.is_fixed_size_binary(kind):
        return [bytes(16), b"\xff" * 16, bytes(10) + b"\xff\xff\x0a\0\0\1"][row % 3]
    if pa.types.is_timestamp(kind):
        return pa.scalar(
            [0, 1_767_225_600_123_456_789, 1_767_225_600_000_000_000 + row][min(row, 2)], pa.int64()
        )
    signed = pa.types.is_signed_integer(kind)
    top = 2 ** (kind.bit_width - signed) - 1
    return [0, top, -top - 1 if signed else 1][min(row, 2)] if row < 3 else row % 100


def _rows(table: str, count: int = 7) -> pa.Table:
    schema = ddl.TABLES[table]
    arrays = []
    for field in schema:
        values = [_sample(field.type, row) for row in range(count)]
        if pa.types.is_timestamp(field.type):
            arrays.append(pa.array([v.as_py() for v in values], pa.int64()).cast(field.type))  # type: ignore[attr-defined]
        elif pa.types.is_dictionary(field.type):
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _plain(table: pa.Table) -> list[dict[str, object]]:
    """Rows in an order of their own, times as numbers."""
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_timestamp(kind):
            kind = pa.int64()
        elif pa.types.is_dictionary(kind):
            kind = pa.string()
        fields.append(pa.field(field.name, kind))
    return sorted(table.cast(pa.schema(fields)).to_pylist(), key=repr)


@pytest.mark.parametrize("table", ddl.TABLES)
def test_rows_come_back_as_they_went_in(owner: transport.Transport, table: str) -> None:
    rows = _rows(table)
    owner.insert(table, rows)
    assert _plain(owner.query(f"SELECT * FROM {table}", {})) == _plain(rows)


def test_flows_come_back_by_every_way(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build
) -> None:
    batch = flows({"src_address": "2001:db8::1"}, {"dst_port": 443, "verdict": "denied"})
    ledger.insert("flows", batch)
    back = reader.query("SELECT * FROM flows ORDER BY dst_port", {})
    assert back.cast(pa.schema(back.schema)).to_pydict() == pa.Table.from_batches([batch]).to_pydict()


def test_part_of_a_batch_is_only_that_part(owner: transport.Transport) -> None:
    """Offsets into columns, dictionaries and maps."""
    for table in ("flows", "label_sets", "policy_hits"):
        rows = _rows(table, 20)
        owner.insert(table, rows.slice(5, 3).combine_chunks().to_batches()[0])
        owner.insert(table, rows.to_batches()[0].slice(11, 4))
        expected = pa.concat_tables([rows.slice(5, 3), rows.slice(11, 4)])
        assert _plain(owner.query(f"SELECT * FROM {table}", {})) == _plain(expected)


def test_columns_are_matched_by_name(owner: transport.Transport) -> None:
    rows = _rows("policy_hits")
    owner.insert("policy_hits", rows.select(rows.column_names[::-1]))
    assert _plain(owner.query("SELECT * FROM policy_hits", {})) == _plain(rows)


def test_chunks_with_their_own_dictionaries_are_taken(owner: transport.Transport, flows: Build) -> None:
    owner.insert("flows", pa.Table.from_batches([flows({"node": "a"}), flows({"node": "b"})]))
    found = owner.query("SELECT toString(node) AS node FROM flows ORDER BY node", {})
    assert found.column("node").to_pylist() == ["a", "b"]


def test_dictionary_with_a_word_twice_is_taken(owner: transport.Transport, flows: Build) -> None:
    batch = flows({}, {})
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["n", "n"]))
    at = batch.schema.get_field_index("node")
    owner.insert("flows", batch.set_column(at, batch.schema.field(at), twice))
    assert owner.query("SELECT count() AS c FROM flows WHERE node = 'n'", {}).to_pylist() == [{"c": 2}]


@pytest.mark.parametrize("words", [1, 255, 256, 257, 65_535, 65_536, 65_537])
def test_dictionary_of_any_size_is_taken(owner: transport.Transport, flows: Build, words: int) -> None:
    text = [f"w{i}" for i in range(words)]
    batch = pa.Table.from_batches([flows({})]).take(pa.array([0] * words))
    batch = batch.set_column(
        batch.schema.get_field_index("src_pod"), "src_pod", pa.array(text).dictionary_encode()
    )
    owner.insert("flows", batch)
    found = owner.query("SELECT src_pod FROM flows ORDER BY src_pod", {}).column("src_pod").to_pylist()
    assert found == sorted(text)


def test_no_rows_are_no_insert(owner: transport.Transport, flows: Build) -> None:
    owner.insert("flows", flows({}).slice(0, 0))
    assert owner.query("SELECT count() AS c FROM flows", {}).to_pylist() == [{"c": 0}]


COUNTS = (
    "SELECT (SELECT count() FROM flows) AS flows, "
    "(SELECT sum(connections_started) FROM flows_minute) AS minute, "
    "(SELECT sum(connections_started) FROM flows_hour) AS hour"
)


def _counts(ledger: transport.Transport) -> list[int]:
    return list(ledger.query(COUNTS, {}).to_pylist()[0].values())


def test_insert_with_one_token_counts_once(owner: transport.Transport, flows: Build, hour: int) -> None:
    """Two hours and days, so that several partitions and rollup rows have to know it."""
    batch = flows({}, {"time": hour + 3_600_000_000_000}, {"time": hour + 30 * 3_600_000_000_000})
    for _ in range(3):
        owner.insert("flows", batch, token="node-1'/\\boot é:7")
    assert _counts(owner) == [3, 3, 3]


def test_inserts_with_two_tokens_count_twice(owner: transport.Transport, flows: Build) -> None:
    owner.insert("flows", flows({}), token="a")
    owner.insert("flows", flows({}), token="b")
    owner.insert("flows", flows({}), token="a")
    assert _counts(owner) == [2, 2, 2]


def test_inserts_without_a_token_all_count(owner: transport.Transport, flows: Build) -> None:
    for _ in range(3):
        owner.insert("flows", flows({}))
    assert _counts(owner) == [3, 3, 3]


def test_insert_is_one_part_a_partition(owner: transport.Transport, flows: Build) -> None:
    rows = pa.Table.from_batches([flows({})]).take(pa.array([0] * 200_000))
    owner.insert("flows", rows, token="big")
    parts = "SELECT count() AS c FROM system.parts WHERE active AND table = 'flows'"
    assert owner.query(parts, {}).to_pylist() == [{"c": 1}]


def test_missing_column_is_refused(owner: transport.Transport, flows: Build) -> None:
    with pytest.raises(errors.StoreError) as caught:
        owner.insert("flows", flows({}).select(["time"]))
    assert not caught.value.temporary
    assert owner.query("SELECT * FROM flows", {}).num_rows == 0


def test_wrong_type_is_refused(owner: transport.Transport, flows: Build) -> None:
    batch = flows({})
    at = batch.schema.get_field_index("forward_bytes")
    with pytest.raises(errors.StoreError) as caught:
        owner.insert("flows", batch.set_column(at, "forward_bytes", pa.array(["many"])))
    assert not caught.value.temporary
    owner.insert("flows", batch)
    assert owner.query("SELECT * FROM flows", {}).num_rows == 1


def test_command_changes_the_ledger(owner: transport.Transport) -> None:
    owner.command("CREATE TABLE made (n UInt8) ENGINE = MergeTree ORDER BY n", {})
    try:
        owner.command("INSERT INTO made SELECT {n:UInt8}", {"n": 7})
        assert owner.query("SELECT n FROM made", {}).to_pylist() == [{"n": 7}]
        with pytest.raises(errors.StoreError, match="Code: 57"):
            owner.command("CREATE TABLE made (n UInt8) ENGINE = Memory", {})
    finally:
        owner.command("DROP TABLE made", {})


def test_missing_table_is_refused_for_now(owner: transport.Transport, flows: Build) -> None:
    """Somebody will make it, and the rows are still to come."""
    owner.command("RENAME TABLE label_sets TO elsewhere", {})
    try:
        with pytest.raises(errors.StoreError, match="Code: 60") as caught:
            owner.insert("label_sets", _rows("label_sets"))
        assert caught.value.temporary
    finally:
        owner.command("RENAME TABLE elsewhere TO label_sets", {})


def test_threads_write_and_read_at_once(owner: transport.Transport, flows: Build) -> None:
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for i in range(10):
                owner.insert("flows", flows({"node": name}), token=f"{name}-{i}")
                owner.query("SELECT count() AS c FROM flows", {})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert _counts(owner) == [30, 30, 30]


def test_who_only_asks_makes_no_ledger(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        errors.StoreError, match="there is no ledger yet: make one with `flowledger store init`"
    ):
        transport.open(f"chdb://{tmp_path}/new")
    assert list(tmp_path.iterdir()) == []


def test_older_ledger_is_migrated_by_who_writes_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "flowledger.json").write_text('{"schema": 2}')
    with pytest.raises(errors.StoreError, match="run `flowledger store migrate`"):
        transport.open(f"chdb://{tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["flowledger.json"]
