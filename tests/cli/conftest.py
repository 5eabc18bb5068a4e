"""A ledger for each test, rows for it, and the command line in this process."""

from __future__ import annotations

import datetime
import json
import logging
import multiprocessing
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import managers
from typing import Any

import pyarrow as pa
import pytest

from cli import main
from model import address, columns
from store import ddl, gateway, http, transport

SECOND = 1_000_000_000
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND


@pytest.fixture(scope="session")
def _engine() -> Iterator[managers.BaseManager]:
    """A process for the ledgers: chDB allows one folder a process, and other tests have theirs here."""
    managers.BaseManager.register("ledger", transport.open)
    with managers.BaseManager(ctx=multiprocessing.get_context("spawn")) as started:
        yield started


@pytest.fixture
def ledger(_engine: managers.BaseManager, tmp_path: pathlib.Path) -> Iterator[transport.Transport]:
    """A new ledger."""
    opened = _engine.ledger(f"chdb://{tmp_path}/ledger", 0)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def _gateway() -> Iterator[gateway.Gateway]:
    """One for all tests, as each takes half a second to stop; it serves whichever ledger is the new one."""
    served = gateway.Gateway(http.Remote("http://127.0.0.1:1"), port=0)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def url(_gateway: gateway.Gateway, ledger: transport.Transport) -> str:
    """Where the new ledger is served."""
    _gateway._server.ledger = ledger
    return _gateway.url


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[object, str, str]]]:
    """Runs ``flowledger``, and gives exit code, standard output and standard error."""
    root, level = logging.getLogger(), logging.getLogger().level
    monkeypatch.setattr(root, "handlers", [])  # the command sets up logs of its own
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["flowledger", *words])
        code: object = 0
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
        return (code, *capsys.readouterr())

    yield run
    root.setLevel(level)


@pytest.fixture
def flows() -> Callable[..., pa.RecordBatch]:
    """Builds a batch from rows that name only what matters; the rest is an allowed connection just now."""
    return _flows


def _flows(*rows: dict[str, object], stage: columns.Stage = columns.Stage.IDENTITY) -> pa.RecordBatch:
    now = time.time_ns()
    plain = {
        "time": now - SECOND, "started": now - 2 * SECOND, "node": "node-1", "src_address": "10.0.0.1",
        "src_port": 40000, "dst_address": "10.0.0.2", "dst_port": 8080, "protocol": 6,
        "forward_packets": 3, "forward_bytes": 1000, "reverse_packets": 2, "reverse_bytes": 234,
        "connections_started": 1, "verdict": "allowed", "reporter": "both",
    }  # fmt: skip
    schema = columns.schema(stage)
    full = [plain | row for row in rows]
    arrays = [_array(field.type, [row.get(field.name) for row in full]) for field in schema]
    return pa.record_batch(arrays, schema=schema)


def _array(kind: pa.DataType, values: list[object]) -> pa.Array:
    if kind == columns.ADDRESS:
        return pa.array([address.pack(str(value or "::")) for value in values], kind)
    empty: object = "" if kind == columns.TEXT else 0
    return pa.array([value or empty for value in values], kind)


class Cluster:
    """A cluster that is not there, in a ledger: its pods, who talked to whom, and its manifests.

    All of it lies in the first fortnight of 2026.
    """

    start = int(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()) * SECOND
    span = ("--since", "2026-01-01", "--until", "2026-01-15")

    def __init__(self, ledger: transport.Transport, folder: pathlib.Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._ledger = ledger
        self._pods: dict[str, list[dict[str, Any]]] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def workload(
        self, name: str, labels: dict[str, str], *, kind: str = "Deployment", pods: int = 1, ports: str = "",
        since: float = 0, until: float = 0, both_families: bool = False,
    ) -> None:  # fmt: skip
        """Pods of one owner, from a day of the fortnight on, or until another; the same again for others."""
        namespace, workload = name.split("/")
        before = self._pods.setdefault(name, [])
        number, first = list(self._pods).index(name), len(before)
        labels_id = 1 + number * 100 + first
        ends = self.start + int(until * DAY) if until else 0
        begins = self.start + int(since * DAY)
        told = {
            "kind": "pod", "namespace": namespace, "workload_kind": kind, "workload": workload,
            "node": "node-1", "zone": "", "labels_id": labels_id, "service_account": "default",
            "ports": ports, "probe_ports": "", "valid_from": begins, "sure_from": begins, "sure_to": ends,
            "valid_to": ends, "written": begins,
        }  # fmt: skip
        rows = [
            {**told, "address": address.pack(text), "uid": f"{name}-{pod}", "pod": f"{workload}-{pod}"}
            for pod in range(first, first + pods)
            for text in (f"10.0.{number}.{pod}", f"fd00:10::{number}:{pod}")[: 1 + both_families]
        ]  # fmt: skip
        before += rows
        self._add("endpoints", rows)
        self._add("label_sets", [{"labels_id": labels_id, "labels": labels}])

    def connections(
        self, src: str, dst: str, port: int, each_day: int = 1, *, days: int = 1, **more: object
    ) -> None:
        """Connections between workloads or addresses, on so many days from the second on, at noon."""
        noons = [self.start + (1 + day) * DAY + DAY // 2 for day in range(days)]
        rows = [
            {"time": at, "started": at, "dst_port": port, "attribution": "nflog", **self._end("src", src),
             **self._end("dst", dst), **more}
            for noon in noons for at in range(noon, noon + each_day * SECOND, SECOND)
        ]  # fmt: skip
        self._add("flows", rows)

    def _end(self, side: str, name: str) -> dict[str, object]:
        if name not in self._pods:
            return {f"{side}_address": name, f"{side}_kind": "public"}
        told = ("kind", "namespace", "workload_kind", "workload", "pod", "labels_id")
        newest = [pod for pod in self._pods[name] if pod["address"][:12] == address.pack("10.0.0.0")[:12]][-1]
        found = {f"{side}_{column}": newest[column] for column in told}
        return found | {f"{side}_address": address.render(newest["address"])}

    def complete(self, observed: int, lost: int) -> None:
        """A node's statement of every hour about what it has seen."""
        rows = [
            {"time": self.start + hour * HOUR, "node": "node-1", "source": "conntrack", "observed": observed,
             "lost": lost, "discarded": 0, "incomplete": 0, "note": ""}
            for hour in range(14 * 24)
        ]  # fmt: skip
        self._add("completeness", rows)

    def manifests(self, *bodies: dict[str, object]) -> None:
        """What the cluster has, beside its namespaces."""
        names = sorted({name.partition("/")[0] for name in self._pods})
        spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
        listed = {"apiVersion": "v1", "kind": "List", "items": [*spaces, *bodies]}
        (self.folder / "cluster.json").write_text(json.dumps(listed))

    def _add(self, table: str, rows: list[dict[str, Any]]) -> None:
        self._rows.setdefault(table, []).extend(rows)

    def write(self) -> None:
        """Put all that is new into the ledger."""
        schemas = {
            "endpoints": ddl.ENDPOINTS, "label_sets": ddl.LABEL_SETS, "completeness": ddl.COMPLETENESS
        }  # fmt: skip
        for table, rows in self._rows.items():
            if table == "flows":
                self._ledger.insert(table, _flows(*rows))
            else:
                schema = schemas[table]
                values = {field.name: [row[field.name] for row in rows] for field in schema}
                self._ledger.insert(table, columns.batch(schema, values))
        self._rows = {}


@pytest.fixture
def cluster(ledger: transport.Transport, tmp_path: pathlib.Path) -> Cluster:
    """A cluster in the new ledger, still empty."""
    return Cluster(ledger, tmp_path / "cluster")


@pytest.fixture
def shop(cluster: Cluster) -> Cluster:
    """A small shop without policies, somebody who scans it, and a workload that no selector can name."""
    cluster.workload("shop/web", {"app": "web", "pod-template-hash": "a1"}, pods=2)
    cluster.workload("shop/cart", {"app": "cart"}, ports="http=TCP/8080")
    cluster.workload("shop/db", {"app": "db"}, kind="StatefulSet", ports="pg=TCP/5432")
    cluster.workload("shop/plain", {"pod-template-hash": "b2"})
    cluster.workload("guest/scanner", {"app": "scanner"})
    cluster.manifests()
    cluster.connections("shop/web", "shop/cart", 8080, 4, days=5)
    cluster.connections("shop/web", "203.0.113.9", 443, 2)
    cluster.connections("shop/cart", "shop/db", 5432)
    for port in range(21, 27):
        cluster.connections("guest/scanner", "shop/cart", port, forward_packets=1, reverse_packets=1)
    cluster.connections("guest/scanner", "shop/db", 5432, 3, verdict="denied", reverse_packets=0)
    return cluster


@pytest.fixture
def suggest(
    command: Callable[..., tuple[object, str, str]], url: str, cluster: Cluster
) -> Callable[..., tuple[object, str, str]]:
    """Runs ``flowledger policy suggest`` for the cluster over its fortnight."""

    def run(*words: str) -> tuple[object, str, str]:
        cluster.write()
        ask = ("policy", "suggest", "--ledger", url, "--manifests", str(cluster.folder))
        return command(*ask, *(() if "--since" in words else cluster.span), *words)

    return run
