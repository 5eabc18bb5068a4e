"""One run of the demo, for all tests that look at what it recorded; and a ClickHouse server for one test."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import recorded
from clickhouse_server import installed, mortal  # noqa: F401 (fixtures)

from lab import truth
from model import cluster, manifest

SECONDS = 60
FLOWLEDGER = [sys.executable, "-m", "cli.main"]


@dataclasses.dataclass(frozen=True)
class Recording:
    """What a run left: the ledger's rows, the lab's own truth, and the summary on stdout."""

    rows: list[dict]
    attempts: list[truth.Attempt]
    counters: dict[str, dict[str, tuple[int, int]]]
    pods: dict[str, cluster.Pod]
    summary: dict
    printed: str


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, free_ports: list[str]) -> Recording:
    """A minute of the lab, recorded."""
    folder = tmp_path_factory.mktemp("demo")
    command = [
        *FLOWLEDGER,
        "demo",
        "--seconds",
        str(SECONDS),
        "--no-app",
        "-o",
        "json",
        "--folder",
        str(folder),
    ]
    done = subprocess.run(
        [*command, *free_ports], stdout=subprocess.PIPE, text=True, timeout=SECONDS + 90, check=False
    )
    assert done.returncode == 0
    pods = cluster.read(manifest.load(folder / "cluster")).pods
    return Recording(
        rows=recorded.rows(folder),
        attempts=truth.read(folder / "truth.jsonl"),
        counters=json.loads((folder / "counters.json").read_text()),
        pods={f"{pod.namespace}/{pod.name}": pod for pod in pods},
        summary=json.loads(done.stdout),
        printed=done.stdout,
    )


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0 and not pathlib.Path("/proc/self/ns/user").exists():
        pytest.fail("these tests need root or user namespaces")
