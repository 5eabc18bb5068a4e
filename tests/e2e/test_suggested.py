"""Round trip: learn from a cluster without policies, enforce what is suggested, run the same traffic again.

``pytest tests/e2e/test_suggested.py --learn 3600 -s`` is the long form: an hour's traffic.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import recorded

from lab import controlplane, truth

pytestmark = [pytest.mark.net, pytest.mark.e2e]

FLOWLEDGER = [sys.executable, "-m", "cli.main"]
AGAIN = 45
"""Seconds of the second run: each of the scenario's patterns comes in it, in both families."""
SCANNED = ("guest/intruder", "shop/cart")
WORKED = ("answered", "sent")


@dataclasses.dataclass(frozen=True)
class Trip:
    """What both runs left, and what was said in between."""

    before: list[truth.Attempt]
    after: list[truth.Attempt]
    rows: list[dict]
    manifests: str
    report: str
    second_thoughts: str


@pytest.fixture(scope="module")
def trip(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, free_ports: list[str]
) -> Trip:
    learn: int = request.config.getoption("learn")
    place = tmp_path_factory.mktemp("trip")
    manifests = place / "manifests"
    manifests.mkdir()
    for file in controlplane.built_in().glob("*.yaml"):
        if file.name != "policies.yaml":
            shutil.copy(file, manifests)
    _demo(place / "open", manifests, learn, free_ports)
    told = _suggest(place / "open")
    (manifests / "suggested.yaml").write_text(told.stdout)
    _demo(place / "closed", manifests, AGAIN, free_ports)
    return Trip(
        before=truth.read(place / "open" / "truth.jsonl"),
        after=truth.read(place / "closed" / "truth.jsonl"),
        rows=recorded.rows(place / "closed"),
        manifests=told.stdout,
        report=told.stderr,
        second_thoughts=_suggest(place / "open", "--manifests", str(place / "closed" / "cluster")).stdout,
    )


def _demo(folder: pathlib.Path, manifests: pathlib.Path, seconds: int, ports: list[str]) -> None:
    words = ["demo", "--seconds", str(seconds), "--no-app", "--manifests", str(manifests)]
    words += ["--folder", str(folder)]
    done = subprocess.run(
        [*FLOWLEDGER, *words, *ports], stdout=subprocess.DEVNULL, timeout=seconds + 120, check=False
    )
    assert done.returncode == 0


def _suggest(folder: pathlib.Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["policy", "suggest", "--kind", "calico", "--least", "20s", "--ledger", f"chdb://{folder}/ledger"]
    done = subprocess.run([*FLOWLEDGER, *words, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def _results(attempts: list[truth.Attempt]) -> dict[tuple, set[str]]:
    found: dict[tuple, set[str]] = collections.defaultdict(set)
    for one in attempts:
        dst = one.dst_owner or one.dst_address
        key = one.pattern, one.src_owner, dst, one.dst_port, one.protocol, one.family
        found[key].add(one.result)
    return found


def test_nothing_that_worked_is_denied_but_what_the_scanner_found(trip: Trip) -> None:
    before, after = _results(trip.before), _results(trip.after)
    worked = {key for key, results in before.items() if results & set(WORKED)}
    broken = {key for key in worked & after.keys() if not after[key] & set(WORKED)}
    assert {key[1:3] for key in broken} <= {SCANNED}
    kept = worked - broken
    assert {key[4] for key in kept} >= {1, 6, 17, 58}, "TCP, UDP, and ICMP of both families"
    assert {key[5] for key in kept} == {4, 6}
    assert len(kept & after.keys()) > 50


def test_no_packet_of_what_worked_was_dropped(trip: Trip) -> None:
    """What is sent and never answered is told by the ledger alone."""
    worked = {
        (one.src_owner, one.dst_owner) for one in trip.before if one.result in WORKED and one.dst_owner
    } - {SCANNED}
    denied = {
        (f"{row['src_namespace']}/{row['src_workload']}", f"{row['dst_namespace']}/{row['dst_workload']}",
         row["protocol"], row["dst_port"])
        for row in trip.rows if row["verdict"] == "denied"
    }  # fmt: skip
    closed = {("monitoring/prometheus", "kube-system/coredns", 6, 9999)}  # where nobody listens
    assert {one for one in denied - closed if one[:2] in worked} == set()
    assert any(row["dst_port"] == 8125 and row["verdict"] == "allowed" for row in trip.rows)


def test_scans_are_denied(trip: Trip) -> None:
    scans = [one for one in trip.after if (one.src_owner, one.dst_owner) == SCANNED]
    assert {one.dst_port for one in scans} >= {22, 80, 443, 3306, 5432, 8080}
    assert {one.result for one in scans} == {"timeout"}
    assert {one.family for one in scans} == {4, 6}


def test_report_names_what_was_left_out_and_proves_the_rest(trip: Trip) -> None:
    said = " ".join(trip.report.split())
    assert "13 policies suggested: 13 new, 0 changed" in said
    assert "scan" in said
    assert "guest/intruder" in said
    assert "stay allowed" in said


def test_second_run_with_the_suggestion_in_force_changes_nothing(trip: Trip) -> None:
    assert "Nothing is to be changed." in trip.second_thoughts
