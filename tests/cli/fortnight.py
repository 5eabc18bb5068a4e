"""A fortnight in a ledger, its last days held out from what is learned.

The traffic is made up: services that call each other all day, with a rollout in between, a daily job, a
weekly one, one that does something else in its second week, and one that comes once a month.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import prometheus_client
import pyarrow as pa

from cli import naming, registrar
from enrich import manifests
from model import address, columns
from runtime import metrics
from store import ddl, transport

Rows = list[dict[str, Any]]
HOUR, DAY = 3600 * 10**9, 86_400 * 10**9
DAYS, LEARNED = 14, 11.2
"""How long all of it is, and its first 80 %."""
SERVICES = {"web": 1, "cart": 2, "payments": 3, "db": 4}
ALL_DAY = (("web", "cart", 8080), ("cart", "db", 5432), ("cart", "payments", 443))


class Fortnight:
    """Two weeks that end now."""

    def __init__(self) -> None:
        self.now = time.time_ns()
        self.start = self.now - DAYS * DAY
        self.claims: Rows = []
        self.flows: Rows = []
        self.labels: dict[int, dict[str, str]] = {}
        self.jobs: list[dict[str, Any]] = []
        for name in SERVICES:
            self._service(name)
        for hour in range(DAYS * 24):
            for src, dst, port in ALL_DAY:
                self._flow(self.start + hour * HOUR + HOUR // 2, src, dst, port)

    def _service(self, name: str) -> None:
        """A Deployment that is rolled out anew after five days."""
        middle = self.start + 5 * DAY
        for version, (since, until) in enumerate(((self.start, middle), (middle, 0))):
            labels_id = SERVICES[name] * 10 + version
            self.labels[labels_id] = {"app": name, "pod-template-hash": f"v{version}"}
            self._claim(name, "Deployment", labels_id, f"10.0.{SERVICES[name]}.{version}", since, until)

    def job(
        self, name: str, number: int, first: float, every: float, calls: list[list[tuple[str, int]]]
    ) -> None:
        """A CronJob that first runs after so many days, and again each so many; 0 for a month."""
        moment = datetime.datetime.fromtimestamp((self.start + first * DAY) / 1e9, datetime.UTC)
        moment = moment.replace(minute=0, second=0, microsecond=0)
        day = {1: "* * *", 7: f"* * {moment.isoweekday() % 7}", 0: f"{moment.day} * *"}[int(every)]
        self.jobs.append(_job(name, f"0 {moment.hour} {day}"))
        self.labels[number] = {"app": name}
        at, run = int(moment.timestamp()) * 10**9, 0
        while at < self.now - HOUR:
            self._claim(name, "CronJob", number, f"10.1.{number % 250}.{run + 1}", at, at + HOUR // 6)
            for dst, port in calls[min(run, len(calls) - 1)]:
                self._flow(at + HOUR // 12, name, dst, port, kind="CronJob", labels_id=number)
            at, run = at + int((every or 1000) * DAY), run + 1

    def _claim(self, name: str, kind: str, labels_id: int, text: str, since: int, until: int) -> None:
        self.claims.append({
            "address": address.pack(text), "uid": text, "kind": "pod", "namespace": "shop", "workload": name,
            "workload_kind": kind, "pod": f"{name}-{text}", "node": "node-1", "zone": "",
            "labels_id": labels_id, "service_account": "default", "ports": "", "probe_ports": "",
            "valid_from": since, "sure_from": since, "sure_to": until, "valid_to": until, "written": since,
        })  # fmt: skip

    def _flow(
        self, at: int, src: str, dst: str, port: int, *, kind: str = "Deployment", labels_id: int = 0
    ) -> None:
        version = int(at >= self.start + 5 * DAY)
        ends = {"src": (src, kind, labels_id or SERVICES.get(src, 0) * 10 + version),
                "dst": (dst, "Deployment", SERVICES[dst] * 10 + version)}  # fmt: skip
        row: dict[str, Any] = {"time": at, "started": at, "dst_port": port, "reverse_packets": 9}
        for side, (name, owner, number) in ends.items():
            told = {"kind": "pod", "namespace": "shop", "workload_kind": owner, "workload": name,
                    "pod": f"{name}-x", "labels_id": number}  # fmt: skip
            row |= {f"{side}_{column}": value for column, value in told.items()}
        self.flows.append(row)

    def write(
        self, ledger: transport.Transport, flows: Callable[..., pa.RecordBatch], folder: pathlib.Path
    ) -> None:
        """Put it into a ledger: names, objects, flows."""
        folder.mkdir()
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        (folder / "all.json").write_text(json.dumps({"kind": "List", "items": [space, *self.jobs]}))
        measured = metrics.Metrics(prometheus_client.CollectorRegistry())
        named = naming.Naming(measured)
        named.follow(manifests.Folder(folder))
        registrar.Registrar(named, ledger, measured).step()
        ledger.insert("flows", flows(*self.flows))
        sets = [{"labels_id": number, "labels": labels} for number, labels in self.labels.items()]
        for table, rows in (("endpoints", self.claims), ("label_sets", sets)):
            schema = ddl.TABLES[table]
            ledger.insert(
                table, columns.batch(schema, {one.name: [row[one.name] for row in rows] for one in schema})
            )


def _job(name: str, schedule: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": []}}
    return {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}},
    }  # fmt: skip
