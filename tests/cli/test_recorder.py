"""From a report to rows and metrics, on a real ledger and a folder of manifests."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable

import numpy as np
import prometheus_client
import pyarrow as pa
import pytest

from cli import naming, recorder
from collector import collector, completeness
from collector.goldmane import flows as goldmane
from enrich import manifests
from model import columns, enums, errors, policyhit
from runtime import metrics, settings
from store import transport, writer

Build = Callable[..., pa.RecordBatch]
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}-1, namespace: {namespace}, labels: {{app: {name}}}}}
spec: {{nodeName: node-1}}
status: {{startTime: 2026-01-01T00:00:00Z, podIPs: [{{ip: {address}}}]}}
"""
POLICY = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{types: [Ingress], ingress: [{{action: {action}}}]}}
"""


class Cluster:
    """A folder of manifests, a recorder that reads it, and the ledger that it records into."""

    def __init__(self, folder: pathlib.Path, ledger: transport.Transport, flows: Build) -> None:
        self._folder, self._flows, self.ledger = folder, flows, ledger
        folder.mkdir()
        self.pod("web", "10.0.0.1")
        self.pod("cart", "10.0.0.2", namespace="stock")
        self.registry = prometheus_client.CollectorRegistry()
        self.metrics = metrics.Metrics(self.registry)
        self.naming = naming.Naming(self.metrics)
        self.naming.follow(manifests.Folder(folder))
        self.recorder = recorder.Recorder(self.naming, self.metrics)
        self.recorder.open(ledger)

    def pod(self, name: str, address: str, namespace: str = "shop") -> None:
        text = POD.format(name=name, address=address, namespace=namespace)
        self._folder.joinpath(f"{name}.yaml").write_text(text)

    def policy(self, name: str, action: str = "Allow") -> None:
        self._folder.joinpath("policy.yaml").write_text(POLICY.format(name=name, action=action))

    def record(self, *rows: dict[str, object]) -> None:
        observed = completeness.Completeness(
            time=7, node="node-1", source="nflog", observed=5, lost=2, discarded=1, note="x is off"
        )
        batch = self._flows(*rows, stage=columns.Stage.JOIN)
        self.recorder.record(collector.Report(node="node-1", time=7, flows=batch, completeness=(observed,)))

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in self.ledger.query(sql, {}).to_pylist()]

    def metric(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The values of a metric by those of its labels."""
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for family in self.registry.collect() for sample in family.samples if sample.name == name
        }  # fmt: skip


@pytest.fixture
def shop(tmp_path: pathlib.Path, ledger: transport.Transport, flows: Build) -> Cluster:
    return Cluster(tmp_path / "manifests", ledger, flows)


def test_flows_are_stored_with_names(shop: Cluster) -> None:
    shop.record({}, {"dst_address": "192.0.2.1"})
    names = (
        "SELECT toString(src_pod), toString(dst_namespace), toString(dst_kind), toString(reporter) FROM flows"
    )
    assert sorted(shop.rows(names)) == [("web-1", "", "public", "src"), ("web-1", "stock", "pod", "both")]


def test_last_reports_are_all_offered_though_one_is_refused(shop: Cluster, flows: Build) -> None:
    """Those that wait for Felix's word have no other time."""
    taken: list[int] = []

    class Refusing:
        def insert(self, table: str, batch: pa.RecordBatch | pa.Table) -> None:
            if table == "flows":
                taken.append(len(batch))
                if len(taken) == 1:
                    raise errors.StoreError("no room")

    shop.recorder.open(Refusing())
    told = collector.Told(flows=np.zeros(0, goldmane.FLOW), keys=[], connected=True)
    now = time.time_ns()
    reports = [
        collector.Report(
            node="node-1", time=now + at, flows=flows(*[{}] * (at + 1), stage=columns.Stage.JOIN),
            completeness=(), told=told, last=at == 2,
        ) for at in range(3)
    ]  # fmt: skip
    for report in reports[:2]:
        shop.recorder.record(report)
    with pytest.raises(errors.StoreError, match="no room"):
        shop.recorder.record(reports[2])
    assert taken == [1, 2, 3]


@pytest.mark.parametrize("rows", [[{}], []], ids=["with flows", "without flows"])
def test_completeness_is_stored_whatever_came(shop: Cluster, rows: list[dict[str, object]]) -> None:
    shop.record(*rows)
    stored = (
        "SELECT toUnixTimestamp64Nano(time), node, source, observed, lost, discarded, note FROM completeness"
    )
    assert shop.rows(f"SELECT * FROM ({stored})") == [(7, "node-1", "nflog", 5, 2, 1, "x is off")]
    assert shop.rows("SELECT count() FROM flows") == [(len(rows),)]


def test_label_set_is_written_once(shop: Cluster) -> None:
    labels = "SELECT labels['app'] AS app FROM label_sets ORDER BY app"
    shop.record({})
    assert shop.rows(labels) == [("cart",), ("web",)]
    shop.pod("redis", "10.0.0.3")
    shop.record({})
    assert shop.rows(labels) == [("cart",), ("redis",), ("web",)]
    assert shop.rows("SELECT count() FROM flows f JOIN label_sets l ON f.src_labels_id = l.labels_id") == [
        (2,)
    ]


def test_label_sets_that_were_discarded_are_written_again(shop: Cluster) -> None:
    shop.record({})
    shop.ledger.command("TRUNCATE TABLE label_sets", {})
    shop.recorder.discarded("flows")
    shop.record({})
    assert shop.rows("SELECT count() FROM label_sets") == [(0,)]
    shop.recorder.discarded("label_sets")
    for _ in range(2):
        shop.record({})
        assert shop.rows("SELECT count() FROM label_sets") == [(2,)]


def test_label_sets_that_a_full_spool_discards_are_written_again(
    tmp_path: pathlib.Path, shop: Cluster
) -> None:
    """They are taken and discarded in one call, with the locks of both parts held."""
    configured = settings.Store(spool_bytes=1)
    spooled = writer.Writer(
        shop.ledger, tmp_path / "spool", configured, "node-1", shop.metrics, discarded=shop.recorder.discarded
    )
    spooled._spool.open()
    shop.recorder.open(spooled)
    shop.record({})
    spooled._spool._most_bytes = 1 << 20
    shop.record({})
    spooled._spool.cut()
    while spooled._step() == 0.0:
        pass
    spooled._spool.close()
    assert shop.rows("SELECT count() FROM label_sets") == [(2,)]


def _report(flows: Build) -> collector.Report:
    rows = flows({}, stage=columns.Stage.JOIN)
    return collector.Report(node="node-1", time=7, flows=rows, completeness=())


def test_changed_manifest_names_the_next_report(shop: Cluster) -> None:
    shop.record({"dst_address": "10.0.0.3"})
    shop.pod("redis", "10.0.0.3")
    shop.record({"dst_address": "10.0.0.3"})
    assert sorted(shop.rows("SELECT toString(dst_pod) FROM flows")) == [("",), ("redis-1",)]


def test_prefixes_follow_the_policies(shop: Cluster) -> None:
    assert "API0|np/shop/first" not in shop.naming.policies().prefixes
    shop.policy("first")
    shop.record()
    assert shop.naming.policies().prefixes["API0|np/shop/first"].tier == "default"
    shop.policy("second", "Deny")
    shop.record()
    assert "API0|np/shop/first" not in shop.naming.policies().prefixes
    assert "DPI0|np/shop/second" in shop.naming.policies().prefixes


def test_broken_policy_keeps_what_was_known(shop: Cluster) -> None:
    shop.policy("first")
    shop.record()
    shop.policy("first", "Perhaps")
    shop.pod("redis", "10.0.0.3")
    shop.record({"dst_address": "10.0.0.3"})
    assert "API0|np/shop/first" in shop.naming.policies().prefixes
    assert shop.rows("SELECT toString(dst_pod) FROM flows") == [("redis-1",)]


def test_broken_policy_at_the_start_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.format(name="first", action="Perhaps"))
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    with pytest.raises(errors.ManifestError, match=r"spec\.ingress\[0\]\.action"):
        naming.Naming(measured).follow(manifests.Folder(tmp_path))


def test_recorder_without_manifests_names_nobody(ledger: transport.Transport, flows: Build) -> None:
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    recording = recorder.Recorder(named, measured)
    recording.open(ledger)
    recording.record(_report(flows))
    found = ledger.query("SELECT toString(src_kind) AS kind, toString(src_pod) AS pod FROM flows", {})
    assert found.to_pylist() == [{"kind": "private", "pod": ""}]
    assert named.policies().prefixes["DPI|default"].tier == "default"


def test_nothing_is_recorded_before_opening(flows: Build) -> None:
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    recording = recorder.Recorder(naming.Naming(measured), measured)
    with pytest.raises(errors.StoreError, match="no ledger"):
        recording.record(_report(flows))


def test_metrics_count_flows_and_lookups(shop: Cluster) -> None:
    shop.record({}, {}, {"verdict": "denied", "dst_address": "192.0.2.1"})
    shop.record({"verdict": "unknown", "dst_address": "10.9.9.9"})
    flows = shop.metric("flowledger_collector_flows_total", "node", "verdict")
    assert flows == {("node-1", "allowed"): 2, ("node-1", "denied"): 1, ("node-1", "unknown"): 1}
    lookups = shop.metric("flowledger_enrich_lookups_total", "result")
    assert lookups == {("pod",): 6, ("public",): 1, ("private",): 1}


@pytest.mark.parametrize(
    ("row", "counted"),
    [
        pytest.param({"ingress_action": "deny"}, {("stock", "ingress"): 1}, id="destination's ingress"),
        pytest.param({"egress_action": "deny"}, {("shop", "egress"): 1}, id="source's egress"),
        pytest.param({"egress_action": "allow", "ingress_action": "deny"}, {("stock", "ingress"): 1},
                     id="both were asked"),
        pytest.param({"ingress_action": "deny", "connections_started": 0}, {}, id="not its first row"),
        pytest.param({"ingress_action": "deny", "verdict": "allowed"}, {}, id="not denied"),
    ],
)  # fmt: skip
def test_denial_counts_for_the_policy_s_namespace(
    shop: Cluster, row: dict[str, object], counted: dict[tuple[str, str], float]
) -> None:
    shop.record({}, {"verdict": "denied", **row})
    assert shop.metric("flowledger_denied_connections_total", "namespace", "direction") == counted


def test_flows_of_a_node_with_a_felix_are_stored_once_it_has_told(shop: Cluster) -> None:
    """And what nobody but it has seen, by itself."""
    now = time.time_ns()
    web = goldmane.End(kind="WorkloadEndpoint", namespace="shop", name="web-*")
    rule = policyhit.parse("egress|default|np:shop/web|allow|0")
    key = goldmane.Key(
        src=goldmane.End(kind="WorkloadEndpoint", namespace="shop", name="web-1"),
        dst=goldmane.End(kind="Network", namespace="", name="pub"), dst_port=8080, protocol=6,
        reporter=enums.Reporter.SRC, action=enums.Action.ALLOW, enforced=(rule,), pending=(rule,),
    )  # fmt: skip
    told = np.zeros(2, goldmane.FLOW)
    told["started"], told["arrived"], told["connections_started"] = now - 10**10, now, 1
    batch = shop._flows({"dst_address": "192.0.2.1", "attribution": "none"}, stage=columns.Stage.JOIN)
    seen = completeness.Completeness(time=now, node="node-1", source="felix", observed=2)
    report = collector.Report(
        node="node-1", time=now, flows=batch, completeness=(seen,),
        told=collector.Told(flows=told, keys=[key, dataclasses.replace(key, src=web)], connected=True),
    )  # fmt: skip
    empty = collector.Told(flows=told[:0], keys=[], connected=True)
    # what began before it, others have recorded
    first = dataclasses.replace(report, time=now - 2 * 10**10, flows=batch.slice(0, 0), told=empty)
    shop.recorder.record(first)
    shop.recorder.record(report)
    assert shop.rows("SELECT count() FROM flows") == [(0,)]
    shop.recorder.record(dataclasses.replace(report, flows=batch.slice(0, 0), told=empty, last=True))
    stored = (
        "SELECT toString(src_pod), toString(src_workload), toString(attribution) FROM flows ORDER BY src_pod"
    )
    assert shop.rows(stored) == [("", "web", "felix"), ("web-1", "web-1", "felix")]
    results = shop.metric("flowledger_felix_connections_total", "result")
    assert results == {("traced",): 1}
