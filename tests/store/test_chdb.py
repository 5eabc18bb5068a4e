from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pyarrow as pa
import pytest

from model import errors
from store import chdb, ddl

Run = Callable[[str], str]
_OPEN = (
    "import pathlib; from store import chdb; ledger = chdb.Embedded(pathlib.Path({!r}), retention_days=0)\n"
)


def test_what_was_written_is_there_after_reopening(tmp_path: pathlib.Path, run: Run) -> None:
    folder = str(tmp_path / "new" / "ledger")
    script = _OPEN.format(folder) + (
        "import pyarrow as pa; from store import ddl\n"
        "row = {'labels_id': 1, 'labels': []}\n"
        "ledger.insert('label_sets', pa.Table.from_pylist([row], schema=ddl.LABEL_SETS))\n"
        "ledger.close(); ledger.close()"
    )
    run(script)
    counts = "SELECT (SELECT count() FROM label_sets) AS a, (SELECT count() FROM schema_migrations) AS b"
    asked = f"print(ledger.query('{counts}', {{}}).to_pylist())"
    assert run(_OPEN.format(folder) + asked) == "[{'a': 1, 'b': 1}]"


def test_marker_holds_the_schema_version(tmp_path: pathlib.Path, run: Run) -> None:
    run(_OPEN.format(str(tmp_path)))
    assert json.loads((tmp_path / chdb.MARKER).read_text()) == {"schema": ddl.SCHEMA_VERSION}


def test_foreign_folder_is_left_untouched(tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(errors.StoreError, match="not a ledger"):
        chdb.Embedded(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ('{"schema": 999}', "schema version 999"),
        ("{}", "cannot be read"),
        ("no json", "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_other_version_is_left_untouched(tmp_path: pathlib.Path, marker: str, says: str) -> None:
    (tmp_path / chdb.MARKER).write_text(marker)
    with pytest.raises(errors.StoreError, match=says):
        chdb.Embedded(tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(chdb.MARKER, marker)]


def test_file_in_the_way_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.StoreError):
        chdb.Embedded(tmp_path / "file")


def test_folder_in_use_is_refused(tmp_path: pathlib.Path, run: Run) -> None:
    again = (
        "\nimport subprocess, sys\nargs = [sys.executable, '-c', {!r}]\n"
        "print(subprocess.run(args, capture_output=True, text=True).stderr)"
    )
    folder = str(tmp_path)
    said = run(_OPEN.format(folder) + again.format(_OPEN.format(folder)))
    assert "in use by another process" in said


def test_begun_folder_is_finished(tmp_path: pathlib.Path, run: Run) -> None:
    """A kill before the marker was there leaves the lock and perhaps the draft."""
    for name in chdb._BEGUN:
        (tmp_path / name).touch()
    assert run(_OPEN.format(str(tmp_path)) + "print('open')") == "open"


def test_second_folder_in_one_process_is_refused(tmp_path: pathlib.Path, ledger: chdb.Embedded) -> None:
    with pytest.raises(errors.StoreError, match="already initialized"):
        chdb.Embedded(tmp_path)


def test_closed_ledger_says_so(tmp_path: pathlib.Path, run: Run) -> None:
    asked = "ledger.close()\ntry: ledger.query('SELECT 1', {})\nexcept Exception as error: print(repr(error))"
    assert run(_OPEN.format(str(tmp_path)) + asked) == "StoreError('the ledger has been closed')"


def test_dictionary_with_a_word_twice_is_taken(
    ledger: chdb.Embedded, flows: Callable[..., pa.RecordBatch]
) -> None:
    batch = flows({}, {})
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["n", "n"]))
    at = batch.schema.get_field_index("node")
    ledger.insert("flows", batch.set_column(at, batch.schema.field(at), twice))
    assert ledger.query("SELECT DISTINCT toString(node) AS node FROM flows", {}).to_pylist() == [
        {"node": "n"}
    ]


def test_chunks_with_their_own_dictionaries_are_taken(
    ledger: chdb.Embedded, flows: Callable[..., pa.RecordBatch]
) -> None:
    ledger.insert("flows", pa.Table.from_batches([flows({"node": "a"}), flows({"node": "b"})]))
    found = ledger.query("SELECT toString(node) AS node FROM flows ORDER BY node", {})
    assert found.column("node").to_pylist() == ["a", "b"]


def test_missing_column_is_refused(ledger: chdb.Embedded, flows: Callable[..., pa.RecordBatch]) -> None:
    with pytest.raises(errors.StoreError):
        ledger.insert("flows", flows({}).select(["time"]))
    assert ledger.query("SELECT * FROM flows", {}).num_rows == 0
