"""What a feed says, in a real ledger."""

from __future__ import annotations

import json
import pathlib
import time

import prometheus_client
import pytest

from cli import naming, registrar
from enrich import changes, manifests
from model import errors
from runtime import metrics
from store import names, transport

SECOND = 1_000_000_000


class Process:
    """One that writes into a ledger what a folder says."""

    def __init__(self, folder: pathlib.Path, ledger: transport.Transport) -> None:
        measured = metrics.Metrics(prometheus_client.CollectorRegistry())
        self.leads, self.cluster = True, "one"
        self.naming = naming.Naming(measured)
        self.naming.follow(manifests.Folder(folder))
        self.registrar = registrar.Registrar(
            self.naming, ledger, measured, cluster=lambda: self.cluster, leads=lambda: self.leads
        )

    def step(self) -> None:
        self.registrar.step()


class Cluster:
    """A folder, and the ledger that it gets into."""

    def __init__(self, folder: pathlib.Path, ledger: transport.Transport) -> None:
        self._folder, self.ledger = folder, ledger
        folder.mkdir()

    def process(self) -> Process:
        return Process(self._folder, self.ledger)

    def pod(self, name: str, text: str = "10.0.0.1", **labels: str) -> None:
        body = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels or {"app": name}},
            "spec": {"nodeName": "node-1"},
            "status": {"startTime": "2026-01-01T00:00:00Z", "podIPs": [{"ip": text}]},
        }  # fmt: skip
        self.write(name, body)

    def write(self, name: str, body: dict[str, object]) -> None:
        self._folder.joinpath(f"{name}.json").write_text(json.dumps(body))

    def remove(self, name: str) -> None:
        self._folder.joinpath(f"{name}.json").unlink()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in self.ledger.query(sql, {}).to_pylist()]

    def endpoints(self) -> list[tuple[object, ...]]:
        return self.rows(
            "SELECT pod, toUnixTimestamp(valid_to) = 0 FROM endpoints FINAL ORDER BY pod, valid_from"
        )


@pytest.fixture
def cluster(tmp_path: pathlib.Path, ledger: transport.Transport) -> Cluster:
    return Cluster(tmp_path / "cluster", ledger)


def test_all_of_it_then_what_is_new(cluster: Cluster) -> None:
    cluster.pod("web")
    cluster.write("service", {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    })  # fmt: skip
    cluster.write("namespace", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    process = cluster.process()
    process.step()
    assert cluster.endpoints() == [("web", True)]
    assert cluster.rows("SELECT service, port FROM services") == [("web", 80)]
    kept = cluster.rows("SELECT kind, name, document != '' FROM policies ORDER BY kind")
    assert kept == [("Namespace", "shop", True), ("Service", "web", True)]
    assert cluster.rows("SELECT labels['app'] FROM endpoints JOIN label_sets USING labels_id") == [("web",)]
    cluster.pod("cart", "10.0.0.2")
    cluster.remove("web")
    process.step()
    assert cluster.endpoints() == [("cart", True), ("web", False)]
    before = cluster.rows("SELECT count() FROM endpoints")
    process.step()
    assert cluster.rows("SELECT count() FROM endpoints") == before


def test_how_far_it_is_complete_is_written_after_the_rest(cluster: Cluster) -> None:
    process = cluster.process()
    began = time.time_ns()
    process.step()
    ((as_of,),) = cluster.rows("SELECT toUnixTimestamp64Nano(as_of) FROM watched FINAL")
    assert began <= as_of <= time.time_ns()


def test_who_does_not_lead_writes_nothing_and_then_all(cluster: Cluster) -> None:
    cluster.pod("web")
    process = cluster.process()
    process.leads = False
    process.step()
    cluster.pod("cart", "10.0.0.2")
    process.step()
    assert cluster.endpoints() == []
    process.leads = True
    process.step()
    assert cluster.endpoints() == [("cart", True), ("web", True)]


def test_who_takes_over_misses_nothing(cluster: Cluster) -> None:
    for name in ("web", "cart"):
        cluster.pod(name, f"10.0.0.{len(name)}")
    first = cluster.process()
    first.step()
    cluster.remove("web")
    cluster.pod("till", "10.0.0.9")
    second = cluster.process()
    second.step()
    assert cluster.endpoints() == [("cart", True), ("till", True), ("web", False)]
    ((sure, ended),) = cluster.rows(
        "SELECT toUnixTimestamp64Nano(sure_to), toUnixTimestamp64Nano(valid_to) FROM endpoints FINAL "
        "WHERE pod = 'web'"
    )
    ((as_of,),) = cluster.rows("SELECT toUnixTimestamp64Nano(min(as_of)) FROM watched")
    assert as_of <= sure <= ended <= time.time_ns()


def test_of_two_words_about_one_claim_the_last_is_written(cluster: Cluster) -> None:
    """Or whoever polls could not tell which is the last."""
    cluster.pod("web")
    process = cluster.process()
    process.step()
    cluster.pod("cart", "10.0.0.2")
    process.naming.refresh()
    cluster.remove("cart")
    process.naming.refresh()
    (first, then), process.registrar._heard = process.registrar._heard, []
    process.registrar._heard = [changes.joined(first, then)]
    process.step()
    polled = names.endpoints(cluster.ledger, written_after=0)
    ended = dict(
        zip(
            polled.column("pod").to_pylist(), polled.column("valid_to").cast("int64").to_pylist(), strict=True
        )
    )
    assert ended["web"] == 0 < ended["cart"]


def test_each_word_is_later_than_the_one_before(cluster: Cluster) -> None:
    cluster.pod("web")
    process = cluster.process()
    process.registrar._now = lambda: 1_800_000_000 * SECOND
    process.step()
    cluster.remove("web")
    process.step()
    assert cluster.endpoints() == [("web", False)]
    polled = names.endpoints(cluster.ledger, written_after=0)
    assert polled.column("valid_to").cast("int64").to_pylist() != [0]


def test_end_that_somebody_saw_is_not_overwritten(cluster: Cluster) -> None:
    """Who finds a Job's pod ended knows less of it than who saw it run."""
    cluster.pod("job")
    first = cluster.process()
    first.step()
    ((uid, began),) = cluster.rows("SELECT uid, toUnixTimestamp64Nano(valid_from) FROM endpoints")
    ended = {
        "status": {"phase": "Succeeded", "startTime": "2026-01-01T00:00:00Z", "podIPs": [{"ip": "10.0.0.1"}]}
    }
    cluster.write("job", {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "job", "namespace": "shop", "uid": "job"},
        "spec": {"nodeName": "node-1"}, **ended,
    })  # fmt: skip
    first.step()
    ((known,),) = cluster.rows("SELECT toUnixTimestamp64Nano(valid_to) FROM endpoints FINAL")
    assert (uid, began > 0, known > began) == ("job", True, True)
    cluster.process().step()
    assert cluster.rows("SELECT toUnixTimestamp64Nano(valid_to) FROM endpoints FINAL") == [(known,)]


def test_names_of_another_cluster_are_not_ended(cluster: Cluster) -> None:
    cluster.pod("web")
    cluster.process().step()
    cluster.remove("web")
    cluster.pod("other", "10.1.0.1")
    stranger = cluster.process()
    stranger.cluster = "two"
    with pytest.raises(errors.SetupError, match=r"names of another cluster \(kube-system one, .* two\)"):
        stranger.step()
    assert (cluster.endpoints(), stranger.registrar.writes) == ([("web", True)], False)


def test_ledger_that_was_away_gets_what_it_missed(cluster: Cluster) -> None:
    cluster.pod("web")
    process = cluster.process()
    away, process.registrar._ledger = process.registrar._ledger, transport.open("http://127.0.0.1:1")
    with pytest.raises(errors.StoreError):
        process.step()
    process.registrar._ledger = away
    process.step()
    process.registrar._ledger = transport.open("http://127.0.0.1:1")
    cluster.pod("cart", "10.0.0.2")
    with pytest.raises(errors.StoreError):
        process.step()
    process.registrar._ledger = away
    process.step()
    assert cluster.endpoints() == [("cart", True), ("web", True)]
