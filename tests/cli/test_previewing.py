"""``policy preview``, from a shell."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time
from collections.abc import Callable
from typing import Any

import prometheus_client
import pyarrow as pa
import pytest

from cli import naming, previewing, registrar
from enrich import manifests
from model import address
from runtime import metrics
from store import names, transport

Command = Callable[..., tuple[object, str, str]]
Build = Callable[..., pa.RecordBatch]
Body = dict[str, Any]
Preview = Callable[..., tuple[object, dict[str, Any]]]
Seen = Callable[..., None]
SECOND, HOUR = 10**9, 3600 * 10**9
PODS = {
    "web": ("10.0.0.1", "2001:db8::1"), "cart": ("10.0.0.2", "2001:db8::2"),
    "cart-2": ("10.0.0.3", "2001:db8::3"), "till": ("10.0.0.4",),
}  # fmt: skip
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")


def _pod(name: str, *addresses: str) -> Body:
    """The pods ``cart`` and ``cart-2`` are two versions of one workload."""
    app = name.partition("-")[0]
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": app, "uid": app, "controller": True}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app, "name": name},
                     "ownerReferences": [owner]},
        "spec": {"nodeName": "node-1", "containers": []},
        "status": {"phase": "Running", "podIPs": [{"ip": one} for one in addresses]},
    }  # fmt: skip


def _kubernetes(name: str, app: str, *ingress: Body) -> Body:
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "ingress": list(ingress)},
    }  # fmt: skip


def _calico(kind: str, name: str, **spec: Any) -> Body:
    return {
        "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }  # fmt: skip


def _from(app: str) -> Body:
    return {"from": [{"podSelector": {"matchLabels": {"app": app}}}]}


SHOP: Body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
CART = _kubernetes("cart", "cart", _from("web"))
DENY: Body = {"selector": "app == 'cart'", "ingress": [{"action": "Deny"}], "order": 1}
STAGED, NOBODY = _calico("StagedNetworkPolicy", "later", **DENY), _calico("NetworkPolicy", "nobody", **DENY)
BY_FAMILY = _calico("NetworkPolicy", "family", selector="app == 'cart'", order=1, ingress=[
    {"action": "Allow", "source": {"nets": ["10.0.0.0/24"]}}, {"action": "Deny"}])  # fmt: skip


@pytest.fixture
def watched(tmp_path: pathlib.Path, ledger: transport.Transport) -> None:
    """The ledger knows of the shop's pods and policies."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    pods = [_pod(name, *addresses) for name, addresses in PODS.items()]
    _write(folder / "a.json", SHOP, *pods, CART, STAGED)
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    named.follow(manifests.Folder(folder))
    registrar.Registrar(named, ledger, measured).step()


@pytest.fixture
def seen(watched: None, ledger: transport.Transport, flows: Build) -> Callable[..., None]:
    """Puts flows into the ledger: between pods of the shop, or whatever has an address."""
    rows = names.endpoints(ledger).to_pylist()
    known = {address.render(row["address"]): row for row in rows}

    def put(*some: Body) -> None:
        ledger.insert("flows", flows(*(_named(row, known) for row in some)))

    return put


def _named(row: Body, known: dict[str, Body]) -> Body:
    """A flow from ``src`` to ``dst``, with their names."""
    now = time.time_ns() - 3 * SECOND
    full: Body = {"time": now, "started": now}
    for side in ("src", "dst"):
        text = PODS.get(row[side], (row[side], row[side]))[row.get("family", 4) == 6]
        full[f"{side}_address"] = text
        of = known.get(text, {"kind": "public"})
        full |= {
            f"{side}_{name}": of[name]
            for name in ("kind", "namespace", "workload_kind", "workload", "pod", "labels_id") if name in of
        }  # fmt: skip
    return full | {name: value for name, value in row.items() if name not in ("src", "dst", "family")}


def _write(path: pathlib.Path, *bodies: Body) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"kind": "List", "items": list(bodies)}))
    return str(path)


@pytest.fixture
def preview(
    command: Command, url: str, tmp_path: pathlib.Path
) -> Callable[..., tuple[object, dict[str, Any]]]:
    """Previews manifests; exit code, and what is told as JSON."""

    def run(*words: str | Body) -> tuple[object, dict[str, Any]]:
        bodies = [word for word in words if isinstance(word, dict)]
        told = [_write(tmp_path / "change.json", *bodies)] if bodies else []
        told += [word for word in words if isinstance(word, str)]
        code, printed, said = command("policy", "preview", *told, "--ledger", url, "-o", "json")
        assert not said
        return code, json.loads(printed)

    return run


def _pairs(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(row["source"], row["destination"], row["connections"]) for row in rows]


def test_policy_that_denies(preview: Preview, seen: Seen) -> None:
    seen({"src": "web", "dst": "cart"}, {"src": "web", "dst": "cart-2"}, {"src": "cart", "dst": "web"})
    code, told = preview(NOBODY)
    (row,) = told["newly_denied"]
    assert code == 0
    assert all(row.pop(name) for name in ("first_seen", "last_seen", "flow"))
    assert row == {
        "source": "shop/web", "destination": "shop/cart", "protocol": "TCP", "port": 8080, "icmp_type": 0,
        "connections": 2, "recorded": {"allowed": 2},
        "decided_by": "ingress: Calico NetworkPolicy shop/nobody of tier default, rule 0",
        "rule": "ingress|default|np:shop/nobody|deny|0",
    }  # fmt: skip
    assert (told["newly_allowed"], told["edges"], told["connections"]) == ([], 3, 3)
    assert told["change"] == {
        "added": ["np/shop/nobody"], "changed": [], "unchanged": [], "deleted": [], "missing": []
    }  # fmt: skip


def test_exit_code_for_machines(preview: Preview, seen: Seen) -> None:
    seen({"src": "web", "dst": "cart"}, {"src": "till", "dst": "cart", "verdict": "denied"})
    assert preview(NOBODY, "--fail-on-denied")[0] == 1
    code, told = preview("--delete", "knp/shop/cart", "--fail-on-denied")
    assert (code, _pairs(told["newly_allowed"])) == (0, [("shop/till", "shop/cart", 1)])
    assert told["newly_allowed"][0]["decided_by"] == "ingress: no policy has a say"
    assert told["newly_allowed"][0]["recorded"] == {"denied": 1}
    assert told["change"]["deleted"] == ["knp/shop/cart"]


@pytest.mark.parametrize(
    ("words", "denied"),
    [
        ((NOBODY,), True), ((STAGED,), True), ((_kubernetes("other", "till"),), False),
        (("--delete", "snp/shop/later"), False),
    ],
    ids=["enforced", "staged, in the change", "staged, in the ledger alone", "staged, deleted"],
)  # fmt: skip
def test_staged_policy_counts_if_the_change_is_about_it(
    preview: Preview, seen: Seen, words: tuple[str | Body, ...], denied: bool
) -> None:
    seen({"src": "web", "dst": "cart"})
    assert bool(preview(*words)[1]["newly_denied"]) is denied


def test_versions_of_a_workload_are_told_apart(
    preview: Preview, seen: Seen, command: Command, url: str
) -> None:
    """Also by the flow that is an example, of those that were reported at one moment."""
    moment = time.time_ns() - 5 * SECOND
    seen(*({"src": "web", "dst": dst, "time": moment, "started": moment, "src_port": port}
           for port, dst in enumerate(("cart", "cart-2", "cart"), 1)))  # fmt: skip
    flows = json.loads(command("flows", "--ledger", url, "-o", "json", "--since", "1h")[1])
    for name, connections in (("cart", 2), ("cart-2", 1)):
        _, told = preview(_calico("NetworkPolicy", "one", **DENY | {"selector": f"name == '{name}'"}))
        (row,) = told["newly_denied"]
        assert (row["connections"], told["edges"]) == (connections, 2)
        assert {one["dst_pod"] for one in flows if one["id"] == row["flow"]} == {name}


@pytest.mark.parametrize("name", ["we'b", "web\\", "we b\n"])
def test_odd_name_of_a_workload_is_found(preview: Preview, seen: Seen, name: str) -> None:
    """Whatever says who owns a pod may call itself as it likes."""
    seen({"src": "web", "dst": "cart", "src_workload": name})
    _, told = preview(_calico("NetworkPolicy", "one", **DENY | {"selector": "name == 'cart'"}))
    (row,) = told["newly_denied"]
    assert row["source"] == f"shop/{name}"
    assert row["flow"]


@pytest.mark.parametrize("far", ["198.51.100.7", "2001:db8:9::9"])
def test_example_is_a_flow_of_the_very_address(
    preview: Preview, seen: Seen, command: Command, url: str, far: str
) -> None:
    moment, family = time.time_ns() - 5 * SECOND, 6 if ":" in far else 4
    others = ("198.51.100.8", "198.51.100.6") if family == 4 else ("2001:db8:9::8", "2001:db8:9::a")
    seen(*({"src": one, "dst": "web", "family": family, "time": moment, "started": moment}
           for one in (others[0], far, others[1])))  # fmt: skip
    nets = [f"{far}/{'128' if family == 6 else '32'}"]
    deny = {"action": "Deny", "source": {"nets": nets}}
    _, told = preview(
        _calico("NetworkPolicy", "far", selector="app == 'web'", ingress=[deny, {"action": "Allow"}])
    )
    (row,) = told["newly_denied"]
    assert row["source"] == far
    flows = json.loads(command("flows", "--ledger", url, "-o", "json", "--since", "1h")[1])
    assert {one["src_address"] for one in flows if one["id"] == row["flow"]} == {far}


def test_families_are_read_from_the_flows_where_they_matter(preview: Preview, seen: Seen) -> None:
    """Both pods have both, and the rollups do not tell of which a connection was."""
    old = time.time_ns() - 4 * HOUR
    seen(*({"src": "web", "dst": "cart", "family": family, "time": old} for family in (4, 4, 6)))
    _, told = preview(BY_FAMILY, "--since", "13h")
    assert (_pairs(told["newly_denied"]), told["uncertain"]) == ([("shop/web", "shop/cart", 1)], 0)
    assert (told["edges"], preview(NOBODY, "--since", "13h")[1]["edges"]) == (2, 1)


def test_family_that_is_forgotten_is_said(
    preview: Preview, seen: Seen, ledger: transport.Transport, command: Command, url: str,
    tmp_path: pathlib.Path,
) -> None:  # fmt: skip
    old = time.time_ns() - 72 * HOUR
    seen({"src": "web", "dst": "cart", "time": old}, {"src": "till", "dst": "web"})
    day = time.strftime("%Y-%m-%d", time.gmtime(old / 1e9))
    ledger.command("ALTER TABLE flows DROP PARTITION {day:String}", {"day": day})
    _, told = preview(BY_FAMILY)
    assert (_pairs(told["newly_denied"]), told["uncertain"]) == ([("shop/web", "shop/cart", 1)], 1)
    assert told["newly_denied"][0]["flow"] == ""
    printed = command("policy", "preview", str(tmp_path / "change.json"), "--ledger", url)[1]
    assert "of 1 edge nobody knows whether it was IPv4 or IPv6" in " ".join(printed.split())


@pytest.mark.parametrize("how", ["--from", "--git"])
def test_folder_against_what_it_was(preview: Preview, seen: Seen, tmp_path: pathlib.Path, how: str) -> None:
    """What it no longer has is deleted, unless the cluster has never had it."""
    seen({"src": "web", "dst": "cart"}, {"src": "till", "dst": "cart", "verdict": "denied"})
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        _write(folder / "a.json", CART, _kubernetes("gone", "x"))
    if how == "--git":
        for words in (("init",), ("add", "."), ("commit", "-m", "one")):
            subprocess.run([*GIT, "-C", str(new), *words], check=True, capture_output=True)
    _write(new / "a.json", _kubernetes("till", "cart", _from("till")))
    _, told = preview(how, str(old) if how == "--from" else "HEAD", str(new))
    assert _pairs(told["newly_denied"]) == [("shop/web", "shop/cart", 1)]
    assert _pairs(told["newly_allowed"]) == [("shop/till", "shop/cart", 1)]
    assert told["change"] == {
        "added": ["knp/shop/till"], "deleted": ["knp/shop/cart"], "missing": ["knp/shop/gone"], "changed": [],
        "unchanged": [],
    }  # fmt: skip


def test_policies_may_come_from_manifests(preview: Preview, seen: Seen, tmp_path: pathlib.Path) -> None:
    """The ledger's connections, before policies that are elsewhere."""
    seen({"src": "web", "dst": "cart"})
    policies = _write(tmp_path / "elsewhere" / "a.json", SHOP, NOBODY)
    _, told = preview("--delete", "np/shop/nobody", "--manifests", policies)
    assert _pairs(told["newly_allowed"]) == [("shop/web", "shop/cart", 1)]


# On a terminal


def test_table_fits_a_small_terminal(
    seen: Seen, command: Command, url: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    moment = 1_767_225_600_000_000_000 + 10 * SECOND
    ping = {"protocol": 1, "icmp_type": 8, "dst_port": 0}
    seen(
        *({"src": "web", "dst": "cart", "time": moment + i * SECOND} for i in range(12)),
        {"src": "web", "dst": "cart", "time": moment, "verdict": "unknown", **ping},
        *({"src": f"198.51.100.{i}", "dst": "cart", "time": moment, "verdict": "denied"} for i in range(3)),
        {"src": "node", "dst": "cart", "time": moment, "src_kind": "node", "src_workload": "n1",
         "node_traffic": "probe"} | {"src": "172.31.0.1"},
    )  # fmt: skip
    change = _write(tmp_path / "c.json", NOBODY, CART, _kubernetes("cart-2", "cart"))
    code, printed, said = command("policy", "preview", change, "--ledger", url, "--since", "5000d")
    lines = [line.rstrip() for line in printed.splitlines()]
    flow = lines[6].rpartition(" ")[2]
    assert (code, said, len(flow)) == (0, "", 16)
    assert lines[:10] == [
        "the change adds np/shop/nobody, knp/shop/cart-2; leaves as they are",
        "knp/shop/cart",
        "",
        "newly denied: 13 connections, 1 pair of source and destination",
        "  12  shop/web → shop/cart  TCP 8080",
        "      ingress: Calico NetworkPolicy shop/nobody of tier default, rule 0",
        f"      allowed 2026-01-01 00:00:10 to 00:00:21 UTC, flow {flow}",
        "   1  shop/web → shop/cart  ICMP 8",
        "      ingress: Calico NetworkPolicy shop/nobody of tier default, rule 0",
        f"      unknown 2026-01-01 00:00:10 UTC, flow {lines[9].rpartition(' ')[2]}",
    ]
    assert lines[10:13] == ["", "nothing would newly be allowed", ""]
    rest = " ".join(lines[13:])
    assert rest.startswith(
        "judged: 5 edges, 16 connections; recorded: 11 seconds of the 5,000 days asked for"
    )
    assert rest.endswith("left out: 1 connection of nodes to their own pods, which no policy keeps out")


def test_strangers_are_one_line_and_json_has_each(
    preview: Preview, seen: Seen, command: Command, url: str, tmp_path: pathlib.Path
) -> None:
    seen(*({"src": f"198.51.100.{i % 25}", "dst": "web"} for i in range(40)),
         *({"src": "till", "dst": "web", "dst_port": 100 + i} for i in range(30)))  # fmt: skip
    _, told = preview(_kubernetes("closed", "web"))
    assert len(told["newly_denied"]) == 55
    assert [row["connections"] for row in told["newly_denied"]] == [2] * 15 + [1] * 40
    printed = command("policy", "preview", str(tmp_path / "change.json"), "--ledger", url)[1]
    assert "newly denied: 70 connections, 26 pairs of source and destination" in printed
    assert "  40  198.51.100.0 and 24 other addresses → shop/web  TCP 8080" in printed
    assert printed.count("→") == previewing._SHOWN
    assert "and 11 more: -o json lists all" in printed


def test_connection_that_goes_on_has_no_count(
    seen: Seen, command: Command, url: str, tmp_path: pathlib.Path
) -> None:
    seen({"src": "web", "dst": "cart", "connections_started": 0})
    change = _write(tmp_path / "c.json", NOBODY)
    printed = command("policy", "preview", change, "--ledger", url)[1]
    assert "newly denied: connections that had begun before, 1 pair of source and destination" in printed


def test_long_change_is_counted(seen: Seen, command: Command, url: str, tmp_path: pathlib.Path) -> None:
    seen({"src": "web", "dst": "till"})
    change = _write(tmp_path / "c.json", *(_kubernetes(f"p{i}", "x") for i in range(7)))
    printed = command("policy", "preview", change, "--ledger", url)[1]
    first = "the change adds knp/shop/p0, knp/shop/p1, knp/shop/p2, knp/shop/p3, knp/shop/p4 and 2 more"
    assert printed.splitlines()[0].rstrip() == first


@pytest.mark.parametrize(
    ("protocol", "number", "icmp_type", "text"),
    [(6, 443, 0, "TCP 443"), (1, 0, 8, "ICMP 8"), (1, 0, 0, "ICMP 0"), (58, 0, 128, "ICMPv6 128"),
     (47, 0, 0, "protocol 47"), (132, 0, 0, "SCTP")],
    ids=["port", "ping", "answer", "IPv6", "protocol without a name", "no port"],
)  # fmt: skip
def test_port_as_people_write_it(protocol: int, number: int, icmp_type: int, text: str) -> None:
    assert previewing.port(protocol, number, icmp_type) == text


# What can be wrong


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "error: name manifests to add or change, or a policy with --delete"),
        (("/nowhere",), "error: no manifests at /nowhere: there is no such file or folder"),
        (("--delete", "knp/shop/web"), "error: there is no knp/shop/web to delete"),
        (("--delete", "web"), "error: 'web' is no policy"),
        (("--delete", "knp/shop/cart", "--since", "1x"), "error: '1x' is no span of time"),
        (("--delete", "knp/shop/cart", "--since", "1s"), "error: the ledger has nothing of that span"),
        (("--delete", "knp/shop/cart", "--manifests", "/nowhere"), "error: no manifests at /nowhere"),
    ],
    ids=["nothing", "missing file", "nothing to delete", "no policy", "no span", "nothing recorded",
         "missing policies"],
)  # fmt: skip
def test_wrong_input_is_one_line_and_2(
    seen: Seen, command: Command, url: str, words: tuple[str, ...], reason: str
) -> None:
    seen({"src": "web", "dst": "cart", "time": time.time_ns() - HOUR})
    code, printed, said = command("policy", "preview", *words, "--ledger", url)
    assert (code, printed, len(said.splitlines())) == (2, "", 1)
    assert said.startswith(reason)


def test_policy_that_is_not_understood_is_refused(
    seen: Seen, command: Command, url: str, tmp_path: pathlib.Path
) -> None:
    seen({"src": "web", "dst": "cart"})
    wrong = {**NOBODY, "spec": {**NOBODY["spec"], "selector": "app ="}}
    change = _write(tmp_path / "c.json", wrong)
    code, _, said = command("policy", "preview", change, "--ledger", url)
    assert code == 2
    assert said.startswith(f"error: {change}, document 1: items[0].spec.selector: ")


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1", "no ledger answers at"), ("chdb:///nowhere/at/all", "there is no ledger yet")],
    ids=["nobody there", "no folder"],
)
def test_ledger_that_does_not_answer_is_said(
    command: Command, tmp_path: pathlib.Path, url: str, reason: str
) -> None:
    policies = _write(tmp_path / "c.json", SHOP, NOBODY)
    code, _, said = command("policy", "preview", policies, "--manifests", policies, "--ledger", url)
    assert code == 2
    assert reason in said


def test_ledger_without_connections_is_said(command: Command, watched: None, url: str) -> None:
    code, _, said = command("policy", "preview", "--delete", "knp/shop/cart", "--ledger", url)
    assert (code, said) == (
        2, "error: the ledger has no connections yet: flowledger up or collect record them\n"
    )  # fmt: skip
