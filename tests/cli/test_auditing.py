"""``policy audit``, from a shell."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import prometheus_client
import pyarrow as pa
import pytest

from cli import naming, registrar
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
    assert "medium No policy selects 2 pods of namespace guest for ingress: everybody reaches them." in said
    assert "+++ b/NetworkPolicy/guest/default-deny" in said
    assert "No policy that selects 2 pods of namespace monitoring decides about strangers" in said
    assert "3 findings" in said


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


def test_nothing_is_said_to_be_nothing(command: Command, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**OPEN, "spec": {"podSelector": {}}}))
    (tmp_path / "b.json").write_text(json.dumps(POD))
    assert command("policy", "audit", "--manifests", str(tmp_path))[:2] == (0, "nothing found\n")


def test_sarif_for_other_tools(command: Command, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"kind": "List", "items": [OPEN, POD]}))
    _, printed, _ = command("policy", "audit", "--manifests", str(tmp_path), "-o", "sarif")
    (run,) = json.loads(printed)["runs"]
    (result,) = run["results"]
    assert result["ruleId"] in {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert (result["level"], result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) == (
        "error", str(tmp_path / "a.json")
    )  # fmt: skip


def test_unused_rules_by_what_the_ledger_has_seen(
    command: Command, tmp_path: pathlib.Path, ledger: transport.Transport, url: str,
    flows: Callable[..., pa.RecordBatch],
) -> None:  # fmt: skip
    folder = tmp_path / "cluster"
    folder.mkdir()
    rules = [{"from": [{"podSelector": {}}]}, {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]
    policy = {**OPEN, "spec": {"podSelector": {}, "ingress": rules}}
    (folder / "a.json").write_text(json.dumps({"kind": "List", "items": [policy, POD]}))
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    named.follow(manifests.Folder(folder))
    registrar.Registrar(named, ledger, measured).step()
    ask = ("policy", "audit", "--ledger", url, "-o", "json", "--since", "1h")
    assert json.loads(command(*ask)[1]) == []  # nobody has recorded anything
    trace = "ingress|default|knp:shop/open|allow|0"
    ledger.insert("flows", flows({"policy_trace": trace, "deciding_rule": trace}, {"policy_trace": ""}))
    found = json.loads(command(*ask)[1])
    assert {(one["check"], one["subject"], one["direction"], one["rule"]) for one in found} == {
        ("unused", "knp/shop/open", "ingress", 1), ("wide", "knp/shop/open", "ingress", 0)
    }  # fmt: skip
    for one in found:
        assert "UTC, no report of how complete it is; of 1 connections no rule is known" in one["evidence"][0]
