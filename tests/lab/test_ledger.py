from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lab import ledger
from model import columns, enums


def _rows(seed: int = 1, shape: ledger.Shape | None = None, rows: int = 20_000) -> pa.Table:
    return pa.Table.from_batches(list(ledger.Cluster(seed, shape).batches(rows, 7000)))


def test_batches_have_the_size_asked_for() -> None:
    batches = list(ledger.Cluster().batches(20_000, 7000))
    assert [len(batch) for batch in batches] == [7000, 7000, 6000]
    assert all(batch.schema == columns.schema(columns.Stage.IDENTITY) for batch in batches)


def test_seed_decides_every_row() -> None:
    assert _rows(3).equals(_rows(3))
    assert not _rows(3).equals(_rows(4))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("verdict", set(enums.Verdict)),
        ("reporter", {"src", "dst", "both"}),
        ("attribution", {"nflog", "none"}),
        ("src_kind", {"pod", "node", "public"}),
        ("tcp_state", {"", "syn_sent", "established", "time_wait"}),
    ],
)
def test_every_case_is_there(column: str, words: set[str]) -> None:
    assert set(_rows(rows=100_000).column(column).unique().to_pylist()) == words


def test_lasting_connections_are_reported_again() -> None:
    table = _rows(rows=400_000).select(["started", "src_address", "src_port", "connections_started", "time"])
    again = table.filter(pa.compute.equal(table["connections_started"], 0))
    assert 0.05 < len(again) / len(table) < 0.4
    assert pa.compute.max(again["started"]).as_py() < pa.compute.max(table["time"]).as_py()


def test_edges_repeat_unless_asked_otherwise() -> None:
    usual, worst = _rows(), _rows(shape=ledger.Shape(fresh_edges=True))
    assert len(usual.column("src_address").unique()) < 3000
    assert len(worst.column("src_address").unique()) > 19_900


def test_both_ends_tell_the_same_story() -> None:
    table = _rows(rows=100_000).select(
        ["src_address", "src_port", "dst_address", "started", "reporter", "forward_bytes"]
    )
    keys = ["src_address", "src_port", "dst_address", "started"]
    sides = {
        side: table.filter(pa.compute.equal(table["reporter"].cast(pa.string()), side))
        for side in ("src", "dst")
    }
    pairs = sides["src"].join(sides["dst"], keys, right_suffix="_too", join_type="inner")
    assert len(pairs) > 15_000
    same = np.asarray(pa.compute.equal(pairs["forward_bytes"], pairs["forward_bytes_too"]))
    assert same.mean() > 0.95
