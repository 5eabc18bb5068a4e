"""``bench enrich``, memory: what it takes to know a whole cluster, each process by itself."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from cli.bench import measure, population
from enrich import changes, history, lives, tables
from enrich.kubernetes import kinds
from model import address, columns, enums, errors, manifest
from store import ddl

_KINDS = {kind.key: kind for kind in kinds.KINDS}
_REPLACED = 1_000
"""Pods, in a minute."""
_POLLS = 12
"""In a minute."""
_PEERS = 20
"""So many pods each pod of a node talks to in an interval."""
_SECOND = 1_000_000_000
_NOWHERE = {
    "apiVersion": "v1", "kind": "Config", "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
}  # fmt: skip


def known(pods: int) -> Iterator[measure.Measure]:
    """Resident memory of who watches a cluster, and of who reads names from the ledger.

    Args:
        pods: How many the cluster has.
    """
    with tempfile.TemporaryDirectory(prefix="flowledger-bench-") as name:
        folder = pathlib.Path(name)
        _prepare(folder, population.Population(pods))
        for process in ("watch", "collect"):
            yield from _figures(process, folder)


def _figures(process: str, folder: pathlib.Path) -> Iterator[measure.Measure]:
    command = [sys.executable, "-m", "cli.bench.knowing", process, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise errors.SetupError(f"{process} has failed; its words are above")
    first, last = map(json.loads, done.stdout.splitlines())
    if "objects a second" in first:
        yield _measure(f"{process}: objects of the first list", first["objects a second"], "objects/s")
    else:
        yield _measure(f"{process}: the first reading", first["seconds"], "s")
    yield _measure(f"{process}: memory, all known", first["VmRSS"], "MB")
    yield _measure(f"{process}: memory after a minute", last["VmRSS"], "MB")
    yield _measure(f"{process}: memory, most", last["VmHWM"], "MB")


def _measure(metric: str, value: float, unit: str) -> measure.Measure:
    return measure.Measure(bench="enrich", metric=metric, value=value, unit=unit)


def _prepare(folder: pathlib.Path, cluster: population.Population) -> None:
    """What the API server says, and what the ledger then has."""
    (folder / "kubeconfig").write_text(json.dumps(_NOWHERE))  # it is loaded, and nobody is asked
    heard = history.History(lives.Clock(tolerance=_SECOND // 2))
    for key, pages in cluster.lists().items():
        with (folder / f"{key}.list").open("wb") as file:
            for page in pages:
                file.write(page + b"\n")
                for item in json.loads(page)["items"]:
                    heard.changed(_document(key, item), time.time_ns())
    _write(folder, 0, heard.news())
    replaced = min(_REPLACED, cluster.pods)
    for poll in range(1, _POLLS + 1):
        with (folder / f"{poll:03}.watch").open("w") as file:
            for number in range(poll - 1, replaced, _POLLS):
                old, new = cluster.pod(number), cluster.pod(number + cluster.pods)
                heard.gone(_document("pods", old), time.time_ns())
                heard.changed(_document("pods", new), time.time_ns())
                file.write(json.dumps({"type": "DELETED", "object": old}) + "\n")
                file.write(json.dumps({"type": "ADDED", "object": new}) + "\n")
        _write(folder, poll, heard.news())
        _keep(folder / f"flows.{poll:03}.arrow", _flows(cluster, poll))


def _document(key: str, item: population.Object) -> manifest.Document:
    return manifest.Document(key, 1, _KINDS[key].slim(item))


def _write(folder: pathlib.Path, poll: int, news: changes.Changes) -> None:
    now = time.time_ns()
    rows: dict[str, dict[str, list[Any]]] = {
        "watched": {
            "source": ["kubernetes"],
            "cluster": [""],
            "since": [now],
            "as_of": [now],
            "written": [now],
        },
        "endpoints": tables.endpoints(news.claims, now),
        "services": tables.services(news.ports, now),
        "policies": tables.policies(news.revisions, now),
        "label_sets": {"labels_id": list(news.labels), "labels": list(news.labels.values())},
    }
    for name, given in rows.items():
        _keep(folder / f"{name}.{poll:03}.arrow", columns.batch(ddl.TABLES[name], given))


def _keep(file: pathlib.Path, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_stream(str(file), batch.schema) as writer:
        writer.write_batch(batch)


def _flows(cluster: population.Population, seed: int) -> pa.RecordBatch:
    """What the pods of one node have in an interval: each talks to some of the cluster's."""
    node = cluster.pod(0)["spec"]["nodeName"]
    here = [pod for pod in map(cluster.pod, range(cluster.pods)) if pod["spec"]["nodeName"] == node]
    count = len(here) * _PEERS
    far = np.random.default_rng(seed).integers(0, cluster.pods, count).tolist()
    same = np.zeros(count, np.int64)
    schema = columns.schema(columns.Stage.JOIN)
    given = {
        "src_address": pa.array([_address(pod) for pod in here for _ in range(_PEERS)], pa.binary(16)),
        "dst_address": pa.array([_address(cluster.pod(number)) for number in far], pa.binary(16)),
        "dst_port": columns.array(np.full(count, 8080, np.uint16), pa.uint16()),
        "protocol": columns.array(np.full(count, enums.Protocol.TCP, np.uint8), pa.uint8()),
        "node": columns.text([node], same), "verdict": columns.text([enums.Verdict.ALLOWED], same),
        "attribution": columns.text([enums.Attribution.NONE], same),
    }  # fmt: skip
    arrays = [given.get(field.name, columns.blank(field.type, count)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _address(pod: population.Object) -> bytes:
    return address.pack(pod["status"]["podIP"])
