"""A pod that is replaced every 200 ms, its address reused at once: no connection gets a wrong name."""

from __future__ import annotations

import collections
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import recorded

from lab import truth

pytestmark = [pytest.mark.net, pytest.mark.e2e]

FLOWLEDGER = [sys.executable, "-m", "cli.main"]
SECONDS = 80
CONNECTIONS = 10_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, free_ports: list[str]) -> pathlib.Path:
    """What a run of the lab's churn left."""
    folder = tmp_path_factory.mktemp("churn")
    command = ["demo", "--churn", "0.2", "--seconds", str(SECONDS), "--no-app", "--folder", str(folder)]
    done = subprocess.run(
        [*FLOWLEDGER, *command, *free_ports], stdout=subprocess.DEVNULL, timeout=SECONDS + 90, check=False
    )
    assert done.returncode == 0
    return folder


def test_no_name_is_wrong_while_pods_are_replaced(folder: pathlib.Path) -> None:
    attempts = {(a.src_address, a.src_port, a.dst_address): a for a in truth.read(folder / "truth.jsonl")}
    lives = {name for a in attempts.values() for name in (a.src, a.server) if "peer" not in name}
    answered = [attempt for attempt in attempts.values() if attempt.result == "answered"]
    assert len(answered) >= CONNECTIONS
    assert len(lives) >= SECONDS  # one in a second, were this machine so slow
    seen, found = set(), collections.Counter()
    for row in recorded.rows(folder):
        key = row["src_address"], row["src_port"], row["dst_address"]
        attempt = attempts[key]
        seen.add(key)
        for side, name in (("src", attempt.src), ("dst", attempt.server)):
            named = f"{row[f'{side}_namespace']}/{row[f'{side}_pod']}" == name
            found["right" if named else row[f"{side}_kind"]] += 1
    assert seen == attempts.keys()
    assert set(found) <= {"right", "ambiguous"}
    assert found["right"] >= 0.99 * found.total()
