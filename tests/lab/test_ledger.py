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


def test_nodes_ask_all_pods_unless_they_have_kubelets() -> None:
    usual, kubelets = (
        _rows(shape=ledger.Shape(kubelets=told), rows=100_000).select(
            ["src_kind", "src_node", "dst_node", "dst_kind"]
        )
        for told in (False, True)
    )
    for table, same in ((usual, False), (kubelets, True)):
        asked = table.filter(pa.compute.equal(table["src_kind"].cast(pa.string()), "node"))
        own = pa.compute.equal(asked["src_node"], asked["dst_node"])
        assert len(asked) > 1000
        assert pa.compute.all(own).as_py() == same


def test_what_nodes_ask_their_own_pods_is_marked() -> None:
    table = _rows(shape=ledger.Shape(kubelets=True), rows=100_000).select(["src_kind", "node_traffic"])
    by_node = pa.compute.equal(table["src_kind"].cast(pa.string()), "node")
    marked = pa.compute.equal(table["node_traffic"].cast(pa.string()), "probe")
    assert pa.compute.any(marked).as_py()
    assert by_node.equals(marked)


def test_pods_have_the_names_that_flows_give_them() -> None:
    cluster = ledger.Cluster(shape=ledger.Shape(pods=300, nodes=7, workloads=40, namespaces=5))
    pods = {pod["uid"]: pod for pod in cluster.pods()}
    assert len(pods) == 300
    assert all(pod["labels"]["app"] == pod["workload"] for pod in pods.values())
    assert len({pod["workload"] for pod in pods.values()}) == 40
    table = pa.Table.from_batches(list(cluster.batches(20_000)))
    names = ("kind", "namespace", "workload_kind", "workload", "pod", "labels_id", "node", "address")
    for side in ("src", "dst"):
        rows = table.select([f"{side}_{name}" for name in names]).to_pylist()
        met = [row for row in rows if row[f"{side}_kind"] == "pod"]
        assert len(met) > 5000
        for row in met:
            pod = pods[row[f"{side}_pod"]]
            assert {name: row[f"{side}_{name}"] for name in names} == {name: pod[name] for name in names}


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
