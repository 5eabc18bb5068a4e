"""Flows of a node whose rules log nothing: what the policies say of them is what the lab's own rules did."""

from __future__ import annotations

import collections
import pathlib
import subprocess
import sys
from collections.abc import Iterable

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import recorded

from lab import truth

pytestmark = [pytest.mark.net, pytest.mark.e2e]

FLOWLEDGER = [sys.executable, "-m", "cli.main"]
SECONDS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, free_ports: list[str]) -> pathlib.Path:
    """What a run of the demo left whose collectors read no rule's words."""
    folder = tmp_path_factory.mktemp("evaluated")
    config = tmp_path_factory.mktemp("config") / "flowledger.toml"
    config.write_text('[collector]\nsources = ["conntrack", "probe"]\n')
    command = [
        "demo",
        "--seconds",
        str(SECONDS),
        "--no-app",
        "--folder",
        str(folder),
        "--config",
        str(config),
    ]
    done = subprocess.run(
        [*FLOWLEDGER, *command, *free_ports], stdout=subprocess.DEVNULL, timeout=SECONDS + 90, check=False
    )
    assert done.returncode == 0
    return folder


Known = dict[tuple, set[tuple[str, str]]]


def _meant(attempts: Iterable[truth.Attempt]) -> Known:
    """The rules of egress and ingress that decide: by the client's port, or by both ends, as a probe does."""
    found: Known = collections.defaultdict(set)
    for attempt in attempts:
        for second in (attempt.src_port, attempt.dst_owner, attempt.dst_address):
            key = attempt.src_address, attempt.protocol, second
            found[key].add((attempt.egress_rule, attempt.ingress_rule))
    return found


def _second(row: dict) -> int | str:
    workload = f"{row['dst_namespace']}/{row['dst_workload']}"
    return row["src_port"] or (workload if row["dst_pod"] else row["dst_address"])


def test_rules_are_the_lab_s_own(folder: pathlib.Path) -> None:
    """The lab knows of each attempt which rule of each end decided it."""
    meant = _meant(truth.read(folder / "truth.jsonl"))
    wrong, untold, verdicts = [], [], collections.Counter()
    for row in recorded.rows(folder):
        rules = meant[row["src_address"], row["protocol"], _second(row)]
        at_source = row["reporter"] == "src" or row["egress_action"] == "deny"
        possible = {out if at_source else into for out, into in rules}
        verdicts[row["verdict"]] += 1
        if row["attribution"] != "evaluated":
            untold.append(row)
        elif row["deciding_rule"] not in possible:
            wrong.append((row, rules))
    assert wrong == []
    # of a packet that was dropped while its address passed to another pod nothing is said
    assert {row["attribution"] for row in untold} <= {"probe"}
    assert len(untold) <= 0.01 * verdicts.total()
    assert verdicts["allowed"] > 200
    assert verdicts["denied"] > 50
