"""The process that watches a cluster, against an API server and a real ClickHouse."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "enrich" / "kubernetes"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "store"))
from apiserver import ApiServer
from clickhouse_server import Server, installed, mortal  # noqa: F401 (fixtures)
from mirror import pod

from store import transport

pytestmark = pytest.mark.e2e

FLOWLEDGER = [sys.executable, "-m", "cli.main"]
PODS = "/api/v1/pods"
LEASES = "/apis/coordination.k8s.io/v1/leases"
PATIENCE_SECONDS = 60.0


class Cluster:
    """An API server, a ledger, and processes that write what the one says into the other."""

    def __init__(self, api: ApiServer, folder: pathlib.Path, store: str) -> None:
        self.api, self._store = api, store
        self._kubeconfig = folder / "kubeconfig"
        self._kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": api.url}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }))  # fmt: skip
        subprocess.run(
            [*FLOWLEDGER, "store", "init", "--store", store], check=True, stdout=subprocess.DEVNULL
        )
        self.ledger = transport.open(store)
        self.running: list[subprocess.Popen[bytes]] = []

    def watch(self, name: str) -> subprocess.Popen[bytes]:
        command = [
            "watch",
            "--kubeconfig",
            str(self._kubeconfig),
            "--store",
            self._store,
            "--metrics-port",
            "0",
        ]
        self.running.append(
            subprocess.Popen(
                [*FLOWLEDGER, *command], env={**os.environ, "HOSTNAME": name}, stderr=subprocess.DEVNULL
            )
        )
        return self.running[-1]

    def put(self, number: int) -> None:
        text = f"10.1.{number // 250}.{number % 250}"
        self.api.apply(PODS, pod(f"web-{number}", podIP=text, podIPs=[{"ip": text}]))

    def remove(self, number: int) -> None:
        self.api.delete(PODS, "shop", f"web-{number}")

    def holder(self) -> str:
        leases = self.api.state(LEASES).values()
        return next((str(lease["spec"]["holderIdentity"]).partition("_")[0] for lease in leases), "")

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in self.ledger.query(sql, {}).to_pylist()]

    def open(self) -> set[str]:
        return {
            str(name)
            for (name,) in self.rows("SELECT pod FROM endpoints FINAL WHERE toUnixTimestamp(valid_to) = 0")
        }

    def close(self) -> None:
        for one in self.running:
            one.kill()
            one.wait()
        self.ledger.close()


@pytest.fixture
def cluster(mortal: Server, tmp_path: pathlib.Path) -> Iterator[Cluster]:  # noqa: F811
    api = ApiServer()
    api.start()
    with contextlib.closing(Cluster(api, tmp_path, mortal.native_url)) as made:
        yield made
    api.stop()


def until(claim: Callable[[], bool]) -> bool:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not claim() and time.monotonic() < limit:
        time.sleep(0.1)
    return claim()


def test_leader_that_is_killed_leaves_nothing_missed_and_nothing_doubled(cluster: Cluster) -> None:
    """Pods come and go all the time; each of them is there once, and has ended unless it is there still."""
    for number in range(10):
        cluster.put(number)
    first = cluster.watch("first")
    assert until(lambda: cluster.holder() == "first")
    cluster.watch("second")
    assert until(lambda: len(cluster.open()) == 10)
    alive = set(range(10))
    for number in range(10, 400):
        cluster.put(number)
        alive.add(number)
        gone = number - 10
        cluster.remove(gone)
        alive.discard(gone)
        if number == 100:
            first.kill()
        time.sleep(0.05)
    assert until(lambda: cluster.holder() == "second")
    assert until(lambda: cluster.open() == {f"web-{number}" for number in alive})
    counted = cluster.rows(
        "SELECT pod, count(), max(toUnixTimestamp(valid_to)) = 0 FROM endpoints FINAL "
        "WHERE valid_to != valid_from GROUP BY pod"
    )
    assert {name: lasts for name, _, lasts in counted} == {f"web-{n}": n in alive for n in range(400)}
    assert {count for _, count, _ in counted} == {1}
    second = cluster.running[-1]
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    assert cluster.holder() == ""


def test_api_server_that_nothing_names_is_one_line(tmp_path: pathlib.Path) -> None:
    command = ["watch", "--kubeconfig", str(tmp_path / "nowhere"), "--store", f"chdb://{tmp_path}/ledger"]
    done = subprocess.run(
        [*FLOWLEDGER, *command, "--metrics-port", "0"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "no Kubernetes API: there is no file" in done.stderr
