"""``policy explain``, from a shell."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable

import prometheus_client
import pyarrow as pa
import pytest

from cli import explaining, naming, registrar
from enrich import manifests
from model import errors
from runtime import metrics
from store import queries, transport

Command = Callable[..., tuple[object, str, str]]
SHOP = pathlib.Path(__file__).parents[2] / "lab" / "manifests"
ASK = ("policy", "explain", "--manifests", str(SHOP))


def test_denied_connection_is_explained_with_what_would_admit_it(command: Command) -> None:
    code, printed, _ = command(*ASK, "shop/cart", "shop/postgres", "5432")
    said = " ".join(printed.split())
    assert code == 1
    assert said.startswith(
        "shop/cart to shop/postgres, TCP 5432: denied, both on its way out of shop/cart and on"
    )
    for sentence in (
        "The first egress rule of NetworkPolicy shop/cart comes nearest, but shop/postgres has app =",
        "To admit it: Add a rule to NetworkPolicy shop/cart, which selects 1 pod, that allows TCP port",
        "+ app: postgres",
    ):
        assert sentence in said


def test_allowed_connection_is_explained(command: Command) -> None:
    code, printed, _ = command(*ASK, "shop/web", "kube-system/coredns", "53", "--protocol", "UDP")
    assert (code, "allowed." in printed.splitlines()[0]) == (0, True)


def test_all_of_it_for_programs(command: Command) -> None:
    code, printed, _ = command(*ASK, "guest/intruder", "shop/cart", "80", "--family", "6", "-o", "json")
    told = json.loads(printed)
    assert (code, told["verdict"], told["egress"]["verdict"], told["ingress"]["verdict"]) == (
        1, "denied", "allowed", "denied"
    )  # fmt: skip
    assert told["ingress"]["trace"] == ["ingress|security|gnp:security.no-strangers|deny|0"]
    assert told["ingress"]["edit"]["manifest"]["spec"]["ingress"][0]["action"] == "Allow"


def test_nearest_rule_for_programs(command: Command) -> None:
    _, printed, _ = command(*ASK, "shop/cart", "shop/postgres", "5432", "-o", "json")
    nearest = json.loads(printed)["egress"]["nearest"]
    assert (nearest["policy"], nearest["rule"]) == ("knp/shop/cart", 0)
    assert [one["part"] for one in nearest["reasons"]] == ["destination", "port"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ("shop/lost", "shop/cart", "80"),
            "no pod or workload shop/lost with an address of its own or of its node, as ",
        ),
        (("shop/web", "shop/cart"), "needs a port"),
        (("shop/web", "shop/cart", "80", "--protocol", "QUIC"), "protocol: must be one of"),
        (("shop/web", "shop/cart", "80", "--at", "2026-01-01T00:00:00Z"), "--at is for the ledger"),
        (("shop/web", "shop/cart", "80", "--at", "yesterday"), "'yesterday' is no time"),
    ],
    ids=str,
)
def test_what_is_asked_wrongly_is_one_line(command: Command, words: tuple[str, ...], reason: str) -> None:
    code, printed, said = command(*ASK, *words)
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert reason in said


SHUT = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "shut", "namespace": "shop"}, "spec": {"podSelector": {}},
}  # fmt: skip
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
    "spec": {"clusterIP": "10.96.0.21", "ports": [{"port": 80}]},
}  # fmt: skip
PODS = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": {},
     "status": {"podIPs": [{"ip": ip}]}}
    for name, ip in (("web", "10.0.0.1"), ("cart", "10.0.0.2"))
]  # fmt: skip


@pytest.fixture
def denied(tmp_path: pathlib.Path, ledger: transport.Transport, flows: Callable[..., pa.RecordBatch]) -> str:
    """The id of a flow that a ledger holds, which knows the policies of its time."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"kind": "List", "items": [SHUT, SERVICE, *PODS]}))
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    named.follow(manifests.Folder(folder))
    registrar.Registrar(named, ledger, measured).step()
    now = time.time_ns()
    ends = {f"{side}_{key}": value for side, pod in (("src", "web"), ("dst", "cart"))
            for key, value in (("kind", "pod"), ("namespace", "shop"), ("pod", pod))}  # fmt: skip
    rule = "ingress|default|knp:shop/shut|deny|-1"
    told = {"verdict": "denied", "deciding_rule": rule, "node": "n1", "protocol": 6, "dst_port": 80}
    ledger.insert("flows", flows({"time": now, "started": now, **ends, **told}))
    (row,) = queries.flows(ledger, queries.Span(now - 1, now + 1)).to_pylist()
    return str(row["id"])


def test_recorded_flow_is_explained_by_its_id(command: Command, url: str, denied: str) -> None:
    code, printed, _ = command("policy", "explain", "--ledger", url, "--flow", denied)
    said = " ".join(printed.split())
    assert code == 1
    assert said.startswith("Recorded on node n1: denied by ingress: ")
    assert "shop/web to shop/cart, TCP 80: denied on its way into shop/cart." in said
    assert "To admit it: " in said


def test_recorded_flow_says_what_was_staged_then(
    command: Command, ledger: transport.Transport, url: str, denied: str
) -> None:
    staged = "ingress|default|sknp:shop/open|allow|0"
    ledger.command(
        f"ALTER TABLE flows UPDATE pending_verdict = 'allowed', pending_trace = '{staged}' WHERE 1 "
        "SETTINGS mutations_sync = 2", {},
    )  # fmt: skip
    _, printed, _ = command("policy", "explain", "--ledger", url, "--flow", denied)
    by = "ingress: StagedKubernetesNetworkPolicy shop/open of tier default, rule 0"
    assert f"With what was staged in force: allowed by {by}." in " ".join(printed.split())


def test_other_policies_are_asked_about_a_recorded_flow(
    command: Command, url: str, denied: str, tmp_path: pathlib.Path
) -> None:
    proposed = tmp_path / "proposed.json"
    proposed.write_text(json.dumps({"kind": "List", "items": PODS}))
    ask = ("policy", "explain", "--ledger", url, "--manifests", str(proposed), "-o", "json")
    code, printed, _ = command(*ask, "--flow", denied)
    told = json.loads(printed)
    assert (code, told["verdict"]) == (0, "allowed")
    assert told["recorded"].startswith("Recorded on node n1: denied")


def test_flow_that_is_not_there(command: Command, url: str, denied: str) -> None:
    code, _, said = command("policy", "explain", "--ledger", url, "--flow", "0" * 16)
    assert (code, said) == (
        2, f"error: the ledger has no flow '{'0' * 16}' in that span: --since looks further back\n"
    )  # fmt: skip


@pytest.mark.parametrize("source", ["manifests", "ledger"])
def test_service_is_not_what_policies_judge(
    command: Command, url: str, denied: str, tmp_path: pathlib.Path, source: str
) -> None:
    where = ("--manifests", str(tmp_path / "cluster")) if source == "manifests" else ("--ledger", url)
    code, _, said = command("policy", "explain", *where, "shop/web", "10.96.0.21", "80")
    assert (code, said) == (2, (
        "error: 10.96.0.21 is the address of service shop/cart, which policies never see: they judge what is "
        "behind it; ask about one of its pods, at the port where that listens\n"
    ))  # fmt: skip


@pytest.mark.parametrize("words", [(), ("shop/web",), ("shop/web", "shop/cart", "--flow", "1")], ids=str)
def test_connection_or_flow(command: Command, words: tuple[str, ...]) -> None:
    code, _, said = command(*ASK, *words)
    assert (code, "name SRC and DST, or a flow with --flow" in said) == (2, True)


def test_moments() -> None:
    assert explaining.moment("") == 0
    assert explaining.moment("1970-01-01T00:00:01Z") == explaining.moment("1970-01-01 00:00:01") == 10**9
    assert explaining.moment("1970-01-01T01:00:00.5+01:00") == 500_000_000
    with pytest.raises(errors.SetupError, match="is no time"):
        explaining.moment("12")
