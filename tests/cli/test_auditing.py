"""``policy audit``, from a shell."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import time
from collections.abc import Callable

import prometheus_client
import pyarrow as pa
import pytest

from cli import known, naming, registrar
from enrich import manifests
from runtime import metrics
from store import transport

Command = Callable[..., tuple[object, str, str]]
SHOP = pathlib.Path(__file__).parents[2] / "lab" / "manifests"
OPEN = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "open", "namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{}]},
}  # fmt: skip
POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {},
    "status": {"podIPs": [{"ip": "10.0.0.1"}]},
}  # fmt: skip


def test_findings_with_their_fixes(command: Command) -> None:
    code, printed, _ = command("policy", "audit", "--manifests", str(SHOP))
    said = " ".join(printed.split())
    assert code == 0
    assert (
        "medium not-isolated No policy selects 2 pods of namespace guest for ingress: everybody reaches them."
        in said
    )
    assert "+++ b/NetworkPolicy/guest/default-deny" in said
    assert "No policy that selects 2 pods of namespace monitoring decides about strangers" in said
    assert "3 findings" in said


def test_table_fits_a_small_terminal_and_names_checks_and_files(
    command: Command, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"kind": "List", "items": [POD, OPEN]}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    printed = command("policy", "audit", "--manifests", "a.json")[1]
    assert [line.rstrip() for line in printed.splitlines()] == [
        "high    allow-all",
        "        The first ingress rule of NetworkPolicy shop/open lets everybody in, at",
        "        every port.",
        "        it selects shop/web",
        "        in a.json, document 1, items[1]",
        "",
        "1 finding",
    ]


@pytest.mark.parametrize(("bound", "code"), [("high", 1), ("medium", 1), ("low", 1), ("never", 0)], ids=str)
def test_exit_code_goes_by_the_severity(
    command: Command, tmp_path: pathlib.Path, bound: str, code: int
) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"kind": "List", "items": [OPEN, POD]}))
    ended, printed, _ = command(
        "policy", "audit", "--manifests", str(tmp_path), "--fail-on", bound, "-o", "json"
    )
    assert ended == code
    (found,) = json.loads(printed)
    assert (found["check"], found["severity"], found["rule"], found["direction"]) == (
        "allow-all", "high", 0, "ingress"
    )  # fmt: skip
    assert (found["file"], found["document"]) == (str(tmp_path / "a.json"), 1)


def test_nothing_is_said_to_be_nothing(command: Command, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**OPEN, "spec": {"podSelector": {}}}))
    (tmp_path / "b.json").write_text(json.dumps(POD))
    assert command("policy", "audit", "--manifests", str(tmp_path))[:2] == (0, "nothing found\n")


@pytest.mark.parametrize(("folder", "uri"), [("", "c%20d/a.json"), ("c d", "a.json"), ("e", "")], ids=str)
def test_sarif_for_other_tools(
    command: Command, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, folder: str, uri: str
) -> None:
    """With files as seen from the current directory, where they are below it."""
    policies = tmp_path / "c d"
    for one in (policies, tmp_path / "e"):
        one.mkdir()
    monkeypatch.chdir(tmp_path / folder)
    (policies / "a.json").write_text(json.dumps({"kind": "List", "items": [OPEN, POD]}))
    _, printed, _ = command("policy", "audit", "--manifests", str(policies), "-o", "sarif")
    (run,) = json.loads(printed)["runs"]
    (result,) = run["results"]
    assert result["ruleId"] in {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert (result["level"], result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) == (
        "error", uri or str(policies / "a.json").replace(" ", "%20")
    )  # fmt: skip


JOB = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "job", "namespace": "shop"},
    "spec": {"podSelector": {"matchLabels": {"app": "job"}},
             "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]},
}  # fmt: skip
RULES = [{"from": [{"podSelector": {}}]}, {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]
TRACE, BY_JOB = (f"ingress|default|knp:shop/{name}|allow|0" for name in ("open", "job"))
NOW = time.time_ns()
HOUR = 3600 * 10**9


@pytest.fixture
def watched(tmp_path: pathlib.Path, ledger: transport.Transport) -> None:
    """The ledger knows of some policies, and of one pod."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    policy = {**OPEN, "spec": {"podSelector": {}, "ingress": RULES}}
    (folder / "a.json").write_text(json.dumps({"kind": "List", "items": [policy, JOB, POD]}))
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    named.follow(manifests.Folder(folder))
    registrar.Registrar(named, ledger, measured).step()


def _checks(found: list[dict[str, object]]) -> set[tuple[object, ...]]:
    return {(one["check"], one["subject"], one["direction"], one.get("rule")) for one in found}


USED = {("unused", "knp/shop/open", "ingress", 1), ("wide", "knp/shop/open", "ingress", 0)}


def test_unused_rules_by_what_the_ledger_has_seen(
    command: Command, watched: None, ledger: transport.Transport, url: str,
    flows: Callable[..., pa.RecordBatch],
) -> None:  # fmt: skip
    ask = ("policy", "audit", "--ledger", url, "-o", "json", "--since", "1h")
    for_nobody = ("selects-nothing", "knp/shop/job", "", None)
    assert _checks(json.loads(command(*ask)[1])) == {for_nobody}  # nobody has recorded anything
    rows = ({"policy_trace": TRACE, "deciding_rule": TRACE}, {"policy_trace": ""})
    ledger.insert("flows", flows(*rows))
    found = json.loads(command(*ask)[1])
    assert _checks(found) == {for_nobody, ("unused", "knp/shop/job", "", None), *USED}
    for one in found:
        assert "file" not in one  # a ledger has none
        if one["check"] != "selects-nothing":
            said = "UTC, no report of how complete it is; of 1 connection no rule is known"
            assert said in one["evidence"][0]


def test_policy_whose_pods_have_ended_is_not_for_nobody(
    command: Command, watched: None, ledger: transport.Transport, url: str,
    flows: Callable[..., pa.RecordBatch],
) -> None:  # fmt: skip
    met = ({"policy_trace": hit, "deciding_rule": hit} for hit in (TRACE, BY_JOB))
    ledger.insert("flows", flows(*met))
    found = json.loads(command("policy", "audit", "--ledger", url, "-o", "json")[1])
    assert _checks(found) == USED


def test_span_is_the_one_that_is_recorded(
    command: Command, watched: None, ledger: transport.Transport, url: str,
    flows: Callable[..., pa.RecordBatch],
) -> None:  # fmt: skip
    met = {"policy_trace": TRACE, "deciding_rule": TRACE}
    old = NOW - 50 * HOUR
    times = (old, NOW - 40 * 10**9, NOW)
    ledger.insert("flows", flows(*({**met, "time": at, "started": at} for at in times)))

    def told(since: str) -> str:
        found = json.loads(command("policy", "audit", "--ledger", url, "-o", "json", "--since", since)[1])
        by_use = [one for one in found if one["check"] in ("unused", "wide")]
        assert {one["check"] for one in by_use} == {"unused", "wide"}
        (evidence,) = {one["evidence"][0] for one in by_use}
        return str(evidence)

    assert told("30d").startswith("recorded: 2 days of the 30 days asked for, from ")
    assert told("40h").startswith("recorded: 40 hours, from ")
    # rollups know of them for longer, but not by which rules they went
    day = f"{datetime.datetime.fromtimestamp(old / 1e9, datetime.UTC):%Y-%m-%d}"
    ledger.command("ALTER TABLE flows DROP PARTITION {day:String}", {"day": day})
    assert told("30d").startswith("recorded: 40 seconds of the 30 days asked for, from ")


@pytest.mark.parametrize("since", ["1h", "30d"])
def test_policies_younger_than_what_is_recorded_are_not_unused(
    command: Command, watched: None, ledger: transport.Transport, url: str, monkeypatch: pytest.MonkeyPatch,
    flows: Callable[..., pa.RecordBatch], since: str,
) -> None:  # fmt: skip
    asked = known.ledger(url)
    young = dict.fromkeys(("knp/shop/open", "knp/shop/job"), NOW - 20 * 10**9)
    monkeypatch.setattr(known, "wanted", lambda *_: dataclasses.replace(asked, since=young))
    met = {"policy_trace": TRACE, "deciding_rule": TRACE}

    def checks() -> set[object]:
        found = json.loads(command("policy", "audit", "--ledger", url, "-o", "json", "--since", since)[1])
        return {one["check"] for one in found}

    ledger.insert("flows", flows({**met, "time": NOW - 10 * 10**9}, {**met, "time": NOW}))
    assert checks() == {"selects-nothing", "unused", "wide"}
    ledger.insert("flows", flows({**met, "time": NOW - 30 * 10**9}))
    assert checks() == {"selects-nothing"}
