"""Late news in a real ledger: flows that were written before anybody knew whose they are."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable

import numpy as np
import prometheus_client
import pyarrow as pa
import pytest

from cli import corrector, naming
from enrich import manifests
from model import columns, errors
from runtime import metrics
from store import queries, transport

Build = Callable[..., pa.RecordBatch]
SECOND = 1_000_000_000
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}{more}}}
spec: {{nodeName: {node}}}
status: {{startTime: "{started}", podIPs: [{{ip: {address}}}]}}
"""


class Late:
    """A cluster that tells its news late, and a ledger that has to be mended then."""

    def __init__(self, folder: pathlib.Path, ledger: transport.Transport, flows: Build) -> None:
        self._folder, self._flows, self.ledger = folder, flows, ledger
        folder.mkdir()
        self.at = 0
        self.pod("web", "10.0.0.1")
        self.metrics = metrics.Metrics(prometheus_client.CollectorRegistry())
        self.naming = naming.Naming(self.metrics)
        self.naming.follow(manifests.Folder(folder))
        self.leads = True
        self.corrector = corrector.Corrector(
            self.naming, ledger, self.metrics, back=10**18, leads=lambda: self.leads, now=lambda: self.at
        )

    def pod(self, name: str, address: str, node: str = "node-1", more: str = "",
            started: str = "2026-01-01T00:00:00Z") -> None:  # fmt: skip
        text = POD.format(name=name, address=address, node=node, more=more, started=started)
        self._folder.joinpath(f"{name}.yaml").write_text(text)

    def record(self, *rows: dict[str, object]) -> None:
        batch = self._flows(*rows, stage=columns.Stage.JOIN)
        self.ledger.insert("flows", self.naming.enrich(batch))

    def look(self, seconds: float) -> int:
        """What is corrected when so much time has passed."""
        self.naming.refresh()
        self.at += int(seconds * SECOND)
        return self.corrector.step()

    def rows(
        self, columns: str = "dst_pod, correction, connections_started, dst_node, reporter"
    ) -> list[tuple[object, ...]]:
        found = self.ledger.query(f"SELECT {columns} FROM flows ORDER BY dst_address, time", {})
        return [tuple(row.values()) for row in found.to_pylist()]

    def edges(self) -> list[tuple[object, ...]]:
        span = queries.bounds(self.ledger)
        assert span
        found = queries.edges(self.ledger, queries.Span(span.start - 86_400 * SECOND * 2, span.end))
        return [
            tuple(row.values()) for row in found.select(["src", "dst", "connections", "bytes"]).to_pylist()
        ]


@pytest.fixture
def late(tmp_path: pathlib.Path, ledger: transport.Transport, flows: Build) -> Late:
    return Late(tmp_path / "manifests", ledger, flows)


def test_flows_stored_before_their_pod_was_known_get_its_name(late: Late) -> None:
    late.record({"dst_address": "10.0.0.2"}, {"dst_address": "10.0.0.2"}, {"dst_address": "10.0.0.9"})
    late.pod("cart", "10.0.0.2", "node-2")
    assert late.look(1) == 0  # most rows are not there so soon
    assert late.look(10) == 2
    assert late.rows() == [
        ("cart", "named_again", 1, "node-2", "src"), ("cart", "named_again", 1, "node-2", "src"),
        ("", "", 1, "", "src"),
    ]  # fmt: skip
    assert {edge[1]: edge[2] for edge in late.edges()} == {"shop/cart": 2, "10.0.0.9": 1}
    assert late.metrics.registry.get_sample_value("flowledger_enrich_corrected_flows_total") == 2


def test_rows_that_come_later_still_are_corrected_by_a_later_look(late: Late) -> None:
    late.pod("cart", "10.0.0.2")
    late.look(11)
    nobody = naming.Naming(late.metrics)
    batch = late._flows({"dst_address": "10.0.0.2"}, stage=columns.Stage.JOIN)
    late.ledger.insert("flows", nobody.enrich(batch))
    assert late.rows("dst_pod") == [("",)]
    assert late.look(26) == 1
    assert late.rows("dst_pod") == [("cart",)]
    assert [late.look(300), late.look(300)] == [0, 0]


def test_claim_that_proves_wrong_is_corrected(late: Late) -> None:
    late.pod("cart", "10.0.0.2")
    late.record({"dst_address": "10.0.0.2"})
    assert late.rows("dst_pod") == [("cart",)]
    late.pod("cart", "10.0.0.2", more=', deletionTimestamp: "2026-01-01T00:00:01Z"')
    late.pod("till", "10.0.0.2", started="2026-01-01T00:00:01Z")
    late.look(0)
    assert late.look(11) == 1
    assert late.rows("dst_pod, dst_labels_id != 0") == [("till", True)]


def test_who_does_not_lead_corrects_nothing_until_it_does(late: Late) -> None:
    late.record({"dst_address": "10.0.0.2"})
    late.pod("cart", "10.0.0.2")
    late.leads = False
    late.look(0)
    assert late.look(11) == 0
    late.leads = True
    assert late.look(26) == 1


def test_ledger_that_is_away_is_asked_again(late: Late) -> None:
    late.record({"dst_address": "10.0.0.2"})
    late.pod("cart", "10.0.0.2")
    late.look(0)
    ledger, late.corrector._ledger = late.corrector._ledger, transport.open("http://127.0.0.1:1")
    with pytest.raises(errors.StoreError):
        late.look(11)
    late.corrector._ledger = ledger
    assert late.look(6) == 1


class Dying:
    """A ledger that dies at its first insert, between the flows and what is summed of them."""

    _VIEWS = ("flows_minute_filled", "flows_hour_mirrored_filled")

    def __init__(self, ledger: transport.Transport) -> None:
        self._ledger, self._died = ledger, False

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    def insert(self, table: str, batch: pa.RecordBatch, *, token: str = "") -> None:
        if self._died:
            self._ledger.insert(table, batch, token=token)
            return
        self._died = True
        for view in self._VIEWS:
            self._ledger.command(f"DETACH TABLE {view}", {})
        self._ledger.insert(table, batch, token=token)
        for view in self._VIEWS:
            self._ledger.command(f"ATTACH TABLE {view}", {})
        raise errors.StoreError("it hung up", temporary=True)


def test_insert_that_is_not_answered_is_offered_again_as_it_was(late: Late) -> None:
    late.record({"dst_address": "10.0.0.2"}, {"dst_address": "10.0.0.9"})
    late.pod("cart", "10.0.0.2")
    late.look(0)
    late.corrector._ledger = Dying(late.ledger)
    with pytest.raises(errors.StoreError):
        late.look(11)
    late.pod("till", "10.0.0.9")
    late.look(6)
    late.look(30)
    assert late.rows("dst_pod, correction") == [("cart", "named_again"), ("till", "named_again")]
    assert {edge[1]: edge[2] for edge in late.edges()} == {"shop/cart": 1, "shop/till": 1}


def test_who_loses_the_lead_ends_before_the_next_batch(late: Late) -> None:
    late.record({"dst_address": "10.0.0.2"})
    late.pod("cart", "10.0.0.2")
    late.look(0)
    offer = late.corrector._offer

    def lose(old: pa.RecordBatch, new: pa.RecordBatch) -> int:
        late.leads = False
        return offer(old, new)

    late.corrector._offer = lose  # type: ignore[method-assign]
    assert late.look(11) == 0
    assert late.rows("dst_pod") == [("",)]
    late.corrector._offer = offer  # type: ignore[method-assign]
    late.leads = True
    assert late.look(26) == 1


def test_service_that_is_not_known_any_more_is_left(late: Late) -> None:
    service = {"service_address": "10.96.0.1", "service_port": 80}
    batch = late._flows({"dst_address": "10.0.0.2", **service}, stage=columns.Stage.JOIN)
    named = late.naming.enrich(batch)
    at = named.schema.get_field_index("service")
    late.ledger.insert(
        "flows", named.set_column(at, named.schema.field(at), columns.text(["old"], np.zeros(1, np.int32)))
    )
    late.pod("cart", "10.0.0.2")
    late.look(0)
    assert late.look(11) == 0
    assert late.rows("dst_pod, service") == [("", "old")]


HALVES = (
    {"src_address": "10.0.0.1", "src_port": 40_000, "snat_address": "192.168.0.1", "snat_port": 61_000,
     "node": "node-1"},
    {"src_address": "192.168.0.1", "src_port": 61_000, "node": "node-2"},
)  # fmt: skip
BY_HALF = "src_pod, toString(src_address), src_port, toString(snat_address), snat_port, correction, node"


def test_pod_behind_a_translated_source_is_named(late: Late) -> None:
    """As its own node knew it, with the address under which it left."""
    late.record(*HALVES, {"src_address": "192.168.0.1", "src_port": 61_001, "node": "node-2"})
    late.at = time.time_ns()
    assert late.look(1) == 1
    late.look(1)
    found = late.ledger.query(f"SELECT {BY_HALF} FROM flows WHERE node = 'node-2' ORDER BY src_port", {})
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("web", "::ffff:10.0.0.1", 40_000, "::ffff:192.168.0.1", 61_000, "named_again", "node-2"),
        ("", "::ffff:192.168.0.1", 61_001, "::", 0, "", "node-2"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"src_address": "10.0.0.7"}, id="two may be behind it"),
        pytest.param({"node": "node-2", "src_address": "10.0.0.1"}, id="same node"),
    ],
)
def test_what_may_be_two_is_left_alone(late: Late, other: dict[str, object]) -> None:
    first = [HALVES[0] | other] if "node" in other else [HALVES[0], HALVES[0] | other]
    late.record(*first, HALVES[1])
    late.at = time.time_ns()
    assert late.look(1) == 0


def test_connection_of_another_time_is_another(late: Late) -> None:
    late.record(HALVES[0], HALVES[1] | {"started": time.time_ns() - 60 * SECOND})
    late.at = time.time_ns()
    assert late.look(1) == 0
