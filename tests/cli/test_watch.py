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
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "collector" / "goldmane"))
import goldmanelike
from apiserver import ApiServer
from clickhouse_server import Server, installed, mortal  # noqa: F401 (fixtures)
from mirror import pod

from model import columns
from store import ddl, transport

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

    def watch(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        command = [
            "watch",
            "--kubeconfig",
            str(self._kubeconfig),
            "--store",
            self._store,
            "--metrics-port",
            "0",
            *more,
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

    def recorded_until(self, moment: int) -> None:
        """Goldmane's flows are in the ledger until then, in seconds since 1970."""
        row = {"time": moment * 10**9, "node": "goldmane", "source": "goldmane", "observed": 0, "lost": 0,
               "discarded": 0, "incomplete": 0, "note": ""}  # fmt: skip
        batch = columns.batch(ddl.COMPLETENESS, {name: [value] for name, value in row.items()})
        self.ledger.insert("completeness", batch)

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


def test_leader_that_is_killed_records_goldmane_s_flows_once(
    cluster: Cluster, tmp_path: pathlib.Path
) -> None:
    """In the midst of what is filled in; the other one goes on behind what is recorded."""
    authority = goldmanelike.Authority()
    goldmane = goldmanelike.Goldmane(authority).start()
    last = int(time.time()) // 15 * 15 - 60
    starts = range(last - 59 * 15, last + 15, 15)
    for start in starts:
        for name in ("cart-*", "mail-*", f"job-{start}"):
            goldmane.add(start, goldmanelike.key(name), 2)
            goldmane.add(start, goldmanelike.key(name, reporter=1), 2, packets_out=2)
    certificate, key, ca = goldmanelike.write(tmp_path, authority.client())
    shown = ("--goldmane-cert", certificate, "--goldmane-key", key, "--goldmane-ca", ca)
    cluster.recorded_until(starts[0])
    first = cluster.watch("first", "--goldmane", goldmane.address, *shown)
    assert until(lambda: cluster.holder() == "first")
    cluster.watch("second", "--goldmane", goldmane.address, *shown)
    recorded = "SELECT count() FROM completeness WHERE node = 'goldmane'"
    assert until(lambda: cluster.rows(recorded) > [(20,)])
    first.kill()
    assert cluster.rows(recorded) < [(60,)]
    whole = (
        f"SELECT count() FROM completeness WHERE node = 'goldmane' AND time = fromUnixTimestamp({last + 15})"
    )
    assert until(lambda: cluster.rows(whole) == [(1,)])
    told = "SELECT count(), sum(forward_packets) FROM flows"
    assert cluster.rows(told) == [(6 * len(starts), 12 * len(starts))]
    for table in ("flows", "flows_minute", "flows_hour", "flows_day"):
        counted = f"SELECT sum(forward_packets) FROM {table}_counted"
        assert cluster.rows(counted) == [(6 * len(starts),)], table
    twice = (
        "SELECT time, count() FROM completeness WHERE node = 'goldmane' AND note != 'late' GROUP BY time "
        "HAVING count() > 1"
    )
    assert cluster.rows(twice) == []
    goldmane.stop()


def test_api_server_that_nothing_names_is_one_line(tmp_path: pathlib.Path) -> None:
    command = ["watch", "--kubeconfig", str(tmp_path / "nowhere"), "--store", f"chdb://{tmp_path}/ledger"]
    done = subprocess.run(
        [*FLOWLEDGER, *command, "--metrics-port", "0"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "no Kubernetes API: there is no file" in done.stderr
