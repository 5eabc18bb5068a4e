"""Exports in the ledger: once each, and each connection once."""

from __future__ import annotations

import gzip
import pathlib
import tempfile

import pytest

from cli import exported, intake
from model import errors
from runtime import settings
from store import filters, queries

CAPTURES = pathlib.Path(__file__).parents[1] / "captures/exports"
NAMES = ("goldmane-emitter.jsonl", "calico-enterprise.jsonl", "hubble-observe.jsonl", "netobserv.jsonl")
ROWS = {"goldmane": 6, "calico-enterprise": 7, "hubble": 10, "netobserv": 10}
HOUR = 3600 * 10**9
SPAN = queries.Span(1_785_578_400 * 10**9, 1_785_578_400 * 10**9 + HOUR)


def _write(ledger, *files):
    with tempfile.TemporaryFile() as kept:
        return intake.write(ledger, exported.read(files, None, "", kept), kept)


def _count(ledger, table="flows"):
    return ledger.query(f"SELECT count() AS n FROM {table}", {}).column("n")[0].as_py()


def test_twice_is_once(ledger):
    files = [CAPTURES / name for name in NAMES]
    assert _write(ledger, *files) == []
    before = [_count(ledger, table) for table in ("flows", "completeness")]
    summed = queries.summary(ledger, SPAN)
    assert before[0] == sum(ROWS.values())
    assert [file.name for file in _write(ledger, *files)] == list(NAMES)
    assert queries.summary(ledger, SPAN) == summed
    ledger.command("TRUNCATE TABLE completeness_hour", {})  # as if the import had not got to its end
    assert _write(ledger, *files) == []
    assert [_count(ledger, table) for table in ("flows", "completeness")] == before


def test_file_is_known_again_by_what_is_in_it(ledger, tmp_path):
    """Compressed, and under another name."""
    file = CAPTURES / "hubble-observe.jsonl"
    _write(ledger, file)
    renamed = tmp_path / "same lines.gz"
    renamed.write_bytes(gzip.compress(file.read_bytes()))
    assert [one.name for one in _write(ledger, renamed)] == [renamed.name]


@pytest.mark.parametrize("origin", ROWS, ids=str)
def test_every_row_is_found_by_its_origin(ledger, origin):
    _write(ledger, *(CAPTURES / name for name in NAMES))
    found = queries.flows(ledger, SPAN, filters.compile(f"origin = {origin}"))
    assert len(found) == ROWS[origin]


COUNTED = {
    # connections from web to cart, whoever has told of them, and their bytes both ways
    "goldmane-emitter.jsonl": (4, 13_800),
    "calico-enterprise.jsonl": (40, 138_000),
    "hubble-observe.jsonl": (1, 0),
    "netobserv.jsonl": (1, 4_900),
}


@pytest.mark.parametrize("name", COUNTED, ids=str)
def test_connection_that_both_ends_reported_counts_once(ledger, name):
    _write(ledger, CAPTURES / name)
    edges = queries.edges(ledger, SPAN, filters.compile("dst.workload = cart")).to_pylist()
    assert (sum(edge["connections"] for edge in edges), sum(edge["bytes"] for edge in edges)) == COUNTED[name]


@pytest.mark.parametrize(("node", "counted"), [("node-1", 40), ("node-2", 40)])
def test_one_node_s_file_counts_too(ledger, tmp_path, node, counted):
    """Neither end's report is lost where the other's is not in the export."""
    lines = (CAPTURES / "calico-enterprise.jsonl").read_text().splitlines()
    file = tmp_path / "flows.log"
    file.write_text("\n".join(line for line in lines if f'"host": "{node}"' in line))
    _write(ledger, file)
    (edge,) = queries.edges(ledger, SPAN, filters.compile("dst.workload = cart")).to_pylist()
    assert edge["connections"] == counted


def test_statements_are_of_nodes_that_reported_as_a_destination(ledger, tmp_path):
    lines = (CAPTURES / "calico-enterprise.jsonl").read_text().splitlines()
    file = tmp_path / "flows.log"
    file.write_text("\n".join(line for line in lines if '"reporter": "src"' in line))
    _write(ledger, file)
    (marker,) = ledger.query("SELECT node, observed, lost FROM completeness", {}).to_pylist()
    assert marker == {"node": "", "observed": 0, "lost": 0}
    assert len(queries.nodes(ledger, SPAN)) == 0
    assert [found.name for found in _write(ledger, file)] == ["flows.log"]
    ledger.command("TRUNCATE TABLE completeness", {})
    _write(ledger, CAPTURES / "hubble-observe.jsonl")
    said = ledger.query("SELECT node, source, observed, lost, note FROM completeness ORDER BY node", {})
    assert [tuple(row.values())[:4] for row in said.to_pylist()] == [
        ("node-1", "import", 6, 0), ("node-2", "import", 4, 12),
    ]  # fmt: skip
    assert all(row["note"].startswith("hubble-observe.jsonl ") for row in said.to_pylist())


def test_export_of_a_year_goes_in_day_by_day(ledger, tmp_path):
    file = tmp_path / "flows"
    log = (CAPTURES / "netobserv.jsonl").read_text().splitlines()[0]
    start = 1_785_578_400_000
    days = (log.replace(str(start + 4200), str(start - day * 86_400_000)) for day in range(130))
    file.write_text("\n".join(days))
    _write(ledger, file)
    assert _count(ledger) == 130


def test_ledger_that_only_answers_is_refused(url):
    with pytest.raises(errors.SetupError, match="is read-only: import into chdb:///folder"):
        intake.require_writable(url)
    with pytest.raises(errors.SetupError, match="is read-only"):
        intake.opened(settings.Store(url=url))
