"""``policy eval``: policies tested from a shell."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

FLOWLEDGER = (sys.executable, "-m", "cli.main")

POLICY = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "isolated", "namespace": "shop"}, "spec": {"podSelector": {}},
}  # fmt: skip
POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {},
    "status": {"podIPs": [{"ip": "10.0.0.1"}]},
}  # fmt: skip
ASKED = {"src": {"ip": "192.0.2.1"}, "dst": {"pod": "shop/web"}, "protocol": "TCP", "port": 80}
STAGED = {
    "apiVersion": "projectcalico.org/v3", "kind": "StagedGlobalNetworkPolicy", "metadata": {"name": "open"},
    "spec": {"order": 1, "ingress": [{"action": "Allow"}]},
}  # fmt: skip


def _run(*arguments: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FLOWLEDGER, "policy", "eval", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def _cases(folder: pathlib.Path, *cases: dict[str, Any] | str) -> pathlib.Path:
    lines = [case if isinstance(case, str) else json.dumps(case) for case in cases]
    (folder / "cases.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "cases.jsonl"


def test_each_case_gets_its_line(tmp_path: pathlib.Path) -> None:
    file = _cases(
        tmp_path,
        {"id": "open", "manifests": [POD], "queries": [ASKED]},
        {"id": 2, "manifests": [{"apiVersion": "v1", "kind": "List", "items": [POD, POLICY, STAGED]}],
         "queries": [ASKED | {"expect": "deny"}]},
        {"id": "broken", "manifests": [{**POLICY, "spec": {"podSelectr": {}}}], "queries": []},
        {"id": "lost", "manifests": [], "queries": [ASKED]},
        "no JSON", "[]",
    )  # fmt: skip
    done = _run("--cases", file, "-o", "jsonl")
    first, second, broken, lost, no_json, no_case = map(json.loads, done.stdout.splitlines())
    assert first["verdicts"] == [{
        "verdict": "allowed", "egress": {"verdict": "not judged", "trace": []},
        "ingress": {"verdict": "allowed", "decided_by": "profile kns.shop, rule 0",
                    "trace": ["ingress|__PROFILE__|pro:kns.shop|allow|0"]},
    }]  # fmt: skip
    (verdict,) = second["verdicts"]
    assert (second["id"], verdict["verdict"], verdict["pending"], verdict["as_expected"]) == (
        2, "denied", "allowed", True
    )  # fmt: skip
    assert verdict["ingress"]["isolated_by"] == ["knp/shop/isolated"]
    assert "podSelectr: unknown field" in broken["error"]
    assert lost["error"].endswith(
        ", document 4: queries[0]: no pod or workload shop/web with an address of its own or of its node"
    )
    assert (no_json["id"], "is not JSON" in no_json["error"]) == (5, True)
    assert (no_case["id"], "must be a mapping" in no_case["error"]) == (6, True)
    assert done.returncode == 2


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_what_is_not_as_expected_is_told_by_the_exit_code(tmp_path: pathlib.Path, form: str) -> None:
    good = {"id": "good", "manifests": [POD], "queries": [ASKED | {"expect": "allow"}]}
    bad = {"id": "bad", "manifests": [POD, POLICY], "queries": [ASKED | {"expect": "allow"}]}
    assert _run("--cases", _cases(tmp_path, good), "-o", form).returncode == 0
    done = _run("--cases", _cases(tmp_path, good, bad), "-o", form)
    assert (done.returncode, done.stderr) == (1, "")
    if form == "table":
        assert "bad" in done.stdout
    if form == "json":
        assert [one["verdicts"][0]["as_expected"] for one in json.loads(done.stdout)] == [True, False]


@pytest.mark.parametrize("name", ["queries.jsonl", "queries.yaml"])
def test_queries_on_a_folder_of_manifests(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "manifests").mkdir()
    for one in (POD, POLICY):
        (tmp_path / "manifests" / f"{one['kind']}.json").write_text(json.dumps(one))
    asked = [ASKED, ASKED | {"src": {"pod": "shop/web"}, "dst": {"ip": "192.0.2.1"}, "expect": "deny"}]
    text = json.dumps(asked) if name.endswith("yaml") else "\n".join(map(json.dumps, asked))
    (tmp_path / name).write_text(text)
    arguments = ("--manifests", tmp_path / "manifests", "--queries", tmp_path / name)
    done = _run(*arguments, "-o", "jsonl")
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["denied", "allowed"]
    assert done.returncode == 1
    table = _run(*arguments).stdout
    assert "end of tier default, no policy allowed it" in " ".join(table.split())
    assert "denied (not as expected)" not in table
    assert "allowed (not as expected)" in table
    assert json.loads(_run(*arguments, "-o", "json").stdout)[0]["verdict"] == "denied"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "say --cases FILE, or --manifests FOLDER and --queries FILE"),
        (("--cases", "a", "--manifests", "b"), "say --cases FILE"),
        (("--cases", "nowhere.jsonl"), "cannot read nowhere.jsonl"),
        (("--manifests", "nowhere", "--queries", "q.yaml"), "no manifests at nowhere"),
        (("--manifests", "lab/manifests", "--queries", "/dev/null"), "no queries at /dev/null"),
    ],
    ids=str,
)
def test_what_is_asked_wrongly_is_one_line(arguments: tuple[str, ...], reason: str) -> None:
    done = _run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert reason in done.stderr


def test_nothing_asked_is_refused(tmp_path: pathlib.Path) -> None:
    """A list that somebody has emptied by mistake passes no test."""
    (tmp_path / "asked.yaml").write_text("[]")
    done = _run("--manifests", "lab/manifests", "--queries", tmp_path / "asked.yaml")
    assert (done.returncode, "asks nothing" in done.stderr) == (2, True)


def test_service_s_address_is_no_end(tmp_path: pathlib.Path) -> None:
    """Policies judge what is behind it; what is said of the address would be about something else."""
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.5", "ports": [{"port": 5432}]},
    }  # fmt: skip
    asked = {**ASKED, "dst": {"ip": "10.96.0.5"}}
    file = _cases(tmp_path, {"id": 1, "manifests": [POD, service], "queries": [asked]})
    done = _run("--cases", file, "-o", "jsonl")
    assert "queries[0]: 10.96.0.5 is the address of service shop/db" in json.loads(done.stdout)["error"]
    assert done.returncode == 2
