"""The lab beside a Felix that reads the rules' words, so that we have them from it alone.

Felix tells of workloads and rules, the kernel of addresses and volume. Each connection and denied attempt
of the lab's truth has to come out with both.
"""

from __future__ import annotations

import collections
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import recorded

from lab import truth

pytestmark = [pytest.mark.net, pytest.mark.e2e]

PROGRAM = [sys.executable, str(pathlib.Path(__file__).with_name("felixdemo.py"))]
SECONDS = 40
NOTED = re.compile(r"(\d+) new connections without a trace: ")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, free_ports: list[str]) -> Callable[..., pathlib.Path]:
    """Runs the demo beside Felix; the folder that it left."""

    def ran(*words: str) -> pathlib.Path:
        folder = tmp_path_factory.mktemp("felix")
        command = [*PROGRAM, "demo", "--seconds", str(SECONDS), "--no-app", "--folder", str(folder), *words]
        done = subprocess.run(
            [*command, *free_ports], stdout=subprocess.DEVNULL, timeout=SECONDS + 120, check=False
        )
        assert done.returncode == 0
        return folder

    return ran


@pytest.fixture(scope="module")
def steady(run: Callable[..., pathlib.Path]) -> pathlib.Path:
    """Where no pod comes or goes."""
    return run()


@pytest.fixture(scope="module")
def rows(steady: pathlib.Path) -> list[Row]:
    return recorded.rows(steady)


def _second(row: Row) -> int | str:
    workload = f"{row['dst_namespace']}/{row['dst_workload']}"
    return row["src_port"] or (workload if row["dst_pod"] else row["dst_address"])


def test_each_connection_and_attempt_has_felixs_trace_and_addresses(rows: list[Row]) -> None:
    untold = [row for row in rows if row["attribution"] != "felix"]
    assert untold == []
    assert {row["verdict"] for row in rows} == {"allowed", "denied", "unknown"}
    assert len(rows) > 1_000
    assert [row for row in rows if not (row["src_address"] and row["dst_address"])] == []


def test_rules_are_the_lab_s_own(steady: pathlib.Path, rows: list[Row]) -> None:
    """The lab knows of each attempt which rule of each end decided it."""
    meant = collections.defaultdict(set)
    for attempt in truth.read(steady / "truth.jsonl"):
        for second in (attempt.src_port, attempt.dst_owner, attempt.dst_address):
            key = attempt.src_address, attempt.protocol, second
            meant[key].add((attempt.egress_rule, attempt.ingress_rule))
    wrong = []
    for row in rows:
        rules = meant[row["src_address"], row["protocol"], _second(row)]
        at_source = row["reporter"] == "src" or row["egress_action"] == "deny"
        if row["deciding_rule"] not in {out if at_source else into for out, into in rules}:
            wrong.append((row, rules))
    assert wrong == []


def test_each_attempt_of_the_lab_is_there(steady: pathlib.Path, rows: list[Row]) -> None:
    by_port = {(row["src_address"], row["src_port"], row["protocol"]) for row in rows}
    by_ends = collections.defaultdict(set)
    for row in rows:
        workload = f"{row['dst_namespace']}/{row['dst_workload']}"
        by_ends[row["src_address"], row["protocol"]] |= {row["dst_address"], workload}
    attempts = list(truth.read(steady / "truth.jsonl"))
    missing = [
        attempt for attempt in attempts
        if (attempt.src_address, attempt.src_port, attempt.protocol) not in by_port
        and not {attempt.dst_address, attempt.dst_owner} & by_ends[attempt.src_address, attempt.protocol]
    ]  # fmt: skip
    assert missing == []
    assert len(attempts) > 300


def _noted(folder: pathlib.Path) -> int:
    """How many connections without a trace the reports speak of, each with a reason."""
    ask = (
        "import json; from store import transport\n"
        f"ledger = transport.open('chdb://{folder}/ledger')\n"
        "found = ledger.query(\"SELECT note FROM completeness WHERE source = 'felix'\", {})\n"
        "print(json.dumps(found.column('note').to_pylist()))"
    )
    done = subprocess.run([sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True, check=True)
    return sum(int(number) for note in json.loads(done.stdout) for number in NOTED.findall(note))


@pytest.mark.parametrize(
    "mute", [pytest.param("", id="all told"), pytest.param("tock", id="one never told of")]
)
def test_pods_that_come_and_go_have_traces_or_it_is_said_why_not(
    run: Callable[..., pathlib.Path], monkeypatch: pytest.MonkeyPatch, mute: str
) -> None:
    monkeypatch.setenv("NODEFELIX_MUTE", mute)
    folder = run("--churn", "0.25")
    rows = recorded.rows(folder)
    begun = {"felix": 0, "other": 0}
    for row in rows:
        begun["felix" if row["attribution"] == "felix" else "other"] += row["connections_started"]
    assert _noted(folder) == begun["other"]
    assert begun["felix"] > 1_000
    assert (begun["other"] > 500) if mute else begun["other"] <= 0.01 * begun["felix"]
