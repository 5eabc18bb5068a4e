"""``policy suggest``, from a shell, over a ledger that knows what went on for a fortnight."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import prometheus_client
import pyarrow as pa
import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import fortnight

from cli import naming, registrar, suggesting
from enrich import manifests
from model import enums
from policy import acceptance, drafting, needs
from runtime import metrics
from store import transport

Command = Callable[..., tuple[object, str, str]]
Shop = Any
"""The cluster of `conftest`."""
DENY_ALL = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "default-deny", "namespace": "shop"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}  # fmt: skip


def _policies(printed: str) -> dict[str, dict[str, Any]]:
    """What ``kubectl apply`` would read, by name."""
    return {one["metadata"]["name"]: one for one in yaml.safe_load_all(printed) if one}


def _said(text: str) -> str:
    return " ".join(text.replace("#", "").split())


def test_policies_go_out_and_the_report_beside(shop: Shop, suggest: Command) -> None:
    code, printed, report = suggest()
    assert code == 0
    found = _policies(printed)
    assert list(found) == ["cart", "db", "web"]
    assert found["db"] == {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "cart"}}}],
                         "ports": [{"protocol": "TCP", "port": "pg"}]}],
            "egress": [],
        },
    }  # fmt: skip
    assert "\n3 policies suggested: 3 new, 0 changed\n" in report
    assert "proof: all 3 accepted edges, 23 connections, stay allowed" in report


def test_the_same_span_gives_the_same_bytes(shop: Shop, suggest: Command) -> None:
    """Of edges that have as many connections, as a scan's, the same ones are named each time."""
    for port in range(30, 60):
        shop.connections("guest/scanner", "shop/cart", port, forward_packets=1, reverse_packets=1)
    assert len({suggest()[1] for _ in range(3)}) == 1
    assert len({suggest("-o", "json")[1] for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(
            ("--admit", "scan", "--admit", "foo"),
            "nothing is left out for 'foo': --admit knows ambiguous, denied, one-off, gone, scan, closed, "
            "unanswered, reply, inexpressible",
            id="reason that is none",
        ),
        pytest.param(("--admit", "crowd"), "addresses of a crowd are admitted by --prefixes", id="crowd"),
        pytest.param(
            ("--tier", "ours"),
            "a Kubernetes NetworkPolicy has no tier: --tier goes with --kind calico or staged",
            id="tier of Kubernetes",
        ),
        pytest.param(("--since", "1h", "--until", "2h"), "nothing lies between 1h and 2h", id="no span"),
        pytest.param(("--least", "an hour"), "'an hour' is no span of time", id="no length of time"),
        pytest.param((), "no ledger answers at http://127.0.0.1:1/", id="ledger that does not answer"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(command: Command, words: tuple[str, ...], reason: str) -> None:
    code, printed, said = command("policy", "suggest", "--ledger", "http://127.0.0.1:1", *words)
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith(f"error: {reason}")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(("nowhere",), "no pod of nowhere is recorded in that span", id="namespace"),
        pytest.param(("shop/nobody",), "no pod of shop/nobody is recorded in that span", id="workload"),
        pytest.param(("it's",), "no pod of it's is recorded", id="quote"),
        pytest.param(("shop/a\\",), "no pod of shop/a\\ is recorded", id="backslash"),
        pytest.param(("--kind", "staged", "--tier", "ours"), "there is no tier ours: make one", id="tier"),
        pytest.param(
            ("--least", "5d"),
            "4 days are recorded of that span: too short a time to learn from; --least asks for 5 days",
            id="short record",
        ),
        pytest.param(
            ("--since", "1h"),
            "the ledger has nothing of that span: --since looks further back",
            id="no record",
        ),
    ],
)
def test_what_is_not_there_is_one_line(
    shop: Shop, suggest: Command, words: tuple[str, ...], reason: str
) -> None:
    code, printed, said = suggest(*words)
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith(f"error: {reason}")


@pytest.mark.parametrize("everywhere", [False, True])
def test_nothing_but_a_crowd_is_a_failure(shop: Shop, suggest: Command, everywhere: bool) -> None:
    for last in (1, 3, 5, 7):
        shop.connections("shop/db", f"198.51.100.{last}", 123, protocol=17)
    words = ("--everywhere",) if everywhere else ("--prefixes", "1")
    code, printed, _ = suggest("--direction", "egress", *words, "shop/db")
    assert (code, bool(_policies(printed))) == (0 if everywhere else 1, everywhere)


def test_record_that_is_too_incomplete_is_refused(shop: Shop, suggest: Command) -> None:
    shop.complete(observed=80, lost=20)
    code, printed, said = suggest()
    assert (code, printed) == (2, "")
    assert "too little to learn from; --complete asks for 90%" in said
    code, printed, said = suggest("--complete", "0.5")
    assert code == 0
    assert "80.00 % complete: 6,000 events lost on node-1" in _said(printed)
    assert "80.00 % complete: 6,000 events lost on node-1" in _said(said)


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        pytest.param((), {"cart", "db", "web"}, id="all"),
        pytest.param(("shop",), {"cart", "db", "web"}, id="namespace"),
        pytest.param(("shop/db",), {"db"}, id="workload"),
        pytest.param(("shop/db", "shop/web"), {"db", "web"}, id="two of them"),
        pytest.param(("shop/db", "guest"), {"db"}, id="one with nothing to suggest"),
    ],
)
def test_only_what_is_asked_for(
    shop: Shop, suggest: Command, targets: tuple[str, ...], names: set[str]
) -> None:
    code, printed, _ = suggest(*targets)
    assert (code, _policies(printed).keys()) == (0, names)


@pytest.mark.parametrize(
    ("words", "version", "kind", "name"),
    [
        pytest.param((), "networking.k8s.io/v1", "NetworkPolicy", "db", id="Kubernetes"),
        pytest.param(("--kind", "calico"), "projectcalico.org/v3", "NetworkPolicy", "db", id="Calico"),
        pytest.param(
            ("--kind", "staged"), "projectcalico.org/v3", "StagedNetworkPolicy", "db", id="staged"
        ),
        pytest.param(
            ("--kind", "calico", "--tier", "ours"), "projectcalico.org/v3", "NetworkPolicy", "ours.db",
            id="in a tier",
        ),
    ],
)  # fmt: skip
def test_kinds_of_policies(
    shop: Shop, suggest: Command, words: tuple[str, ...], version: str, kind: str, name: str
) -> None:
    shop.manifests({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "ours"},
                    "spec": {"order": 100}})  # fmt: skip
    code, printed, _ = suggest(*words, "shop/db")
    (found,) = _policies(printed).values()
    assert (code, found["apiVersion"], found["kind"], found["metadata"]["name"]) == (0, version, kind, name)
    assert found["spec"].get("tier", "ours") == ("default" if words == words[:2] and words else "ours")


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_one_direction_alone(shop: Shop, suggest: Command, direction: str) -> None:
    found = _policies(suggest("--direction", direction, "shop/cart")[1])["cart"]["spec"]
    assert found["policyTypes"] == [direction.capitalize()]
    assert found.keys() == {"podSelector", "policyTypes", direction}


def test_what_is_admitted_is_learned_from(shop: Shop, suggest: Command) -> None:
    left = json.loads(suggest("-o", "json")[1])["left_out"]
    assert {one["reason"]: len(one["edges"]) for one in left} == {"denied": 1, "scan": 6}
    told = json.loads(suggest("-o", "json", "--admit", "scan", "--admit", "closed")[1])
    assert [one["reason"] for one in told["left_out"]] == ["denied"]
    rules = {one["group"]: one["rules"] for one in told["policies"]}["guest/scanner"]
    assert [port["first"] for port in rules[0]["ports"]] == [21, 22, 23, 24, 25, 26]


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        pytest.param((), None, id="left out"),
        pytest.param(("--admit", "inexpressible"), {}, id="with every other protocol"),
        pytest.param(("--kind", "calico"), {"protocol": "ICMP", "icmp": {"type": 8}}, id="by Calico"),
    ],
)
def test_protocol_that_kubernetes_cannot_say(
    shop: Shop, suggest: Command, words: tuple[str, ...], rule: dict[str, Any] | None
) -> None:
    shop.connections("shop/db", "shop/web", 0, 4, protocol=1, icmp_type=8)
    code, printed, _ = suggest("--direction", "egress", "shop/db", *words)
    if rule is None:
        assert (code, _policies(printed)) == (1, {})
        return
    (found,) = _policies(printed)["db"]["spec"]["egress"]
    assert code == 0
    assert {name: found[name] for name in ("protocol", "icmp", "ports") if name in found} == rule


@pytest.mark.parametrize(
    ("words", "nets"),
    [
        pytest.param(("--prefixes", "4"), [f"198.51.100.{i}/32" for i in (1, 3, 5, 7)], id="listed"),
        pytest.param(("--prefixes", "3"), None, id="a crowd"),
        pytest.param(("--prefixes", "3", "--everywhere"), ["0.0.0.0/0"], id="everywhere"),
        pytest.param(("--prefixes", "3", "--widen", "2"), ["198.51.100.0/29"], id="wider prefixes"),
    ],
)  # fmt: skip
def test_bounds_of_rules_about_addresses(
    shop: Shop, suggest: Command, words: tuple[str, ...], nets: list[str] | None
) -> None:
    for last in (1, 3, 5, 7):
        shop.connections("shop/db", f"198.51.100.{last}", 123, protocol=17)
    code, printed, report = suggest("shop/db", *words)
    spec = _policies(printed)["db"]["spec"]
    assert code == 0
    if nets is None:
        assert spec["policyTypes"] == ["Ingress"]
        assert "shop/db, egress" in report
    else:
        assert [peer["ipBlock"]["cidr"] for peer in spec["egress"][0]["to"]] == nets


def test_nothing_for_anybody_is_exit_code_1(shop: Shop, suggest: Command) -> None:
    code, printed, report = suggest("guest")
    assert (code, _policies(printed)) == (1, {})
    assert printed.endswith("# Nothing is to be changed.\n")
    assert "guest/scanner" in report
    assert "proof: nothing was accepted, so nothing is proved" in report


def test_second_run_with_the_first_one_in_force_has_nothing_to_say(shop: Shop, suggest: Command) -> None:
    (shop.folder / "suggested.yaml").write_text(suggest("shop")[1])
    code, printed, report = suggest("shop/web", "shop/cart", "shop/db")
    assert (code, _policies(printed)) == (0, {})
    assert "nothing is to be changed; 3 workloads lack nothing" in report


def test_policies_that_are_there_get_what_they_lack(shop: Shop, suggest: Command) -> None:
    """One about the same pods gets more rules; where another isolates them, one is added beside."""
    mine = {**DENY_ALL, "metadata": {"name": "mine", "namespace": "shop", "labels": {"team": "a"}},
            "spec": {"podSelector": {"matchLabels": {"app": "cart"}}, "policyTypes": ["Ingress"],
                     "ingress": [{"ports": [{"port": 1}]}]}}  # fmt: skip
    shop.manifests(DENY_ALL, mine)
    found = _policies(suggest()[1])
    assert found.keys() == {"mine", "db", "web"}
    assert found["mine"]["metadata"]["labels"] == {"team": "a"}
    assert found["mine"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"][0]["port"] for rule in found["mine"]["spec"]["ingress"]] == [1, "http"]
    assert found["web"]["spec"]["policyTypes"] == ["Egress"]
    assert "egress" not in found["db"]["spec"]


def test_flows_tell_the_family_where_rollups_do_not(cluster: Shop, suggest: Command) -> None:
    """Whether a rule about addresses of IPv4 allows what was seen between pods that have both."""
    for name in ("web", "cart"):
        cluster.workload(f"shop/{name}", {"app": name}, both_families=True)
    by_address = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    cluster.manifests({
        **DENY_ALL, "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "cart"}}, "ingress": [{"from": [by_address]}]},
    })  # fmt: skip
    cluster.connections("shop/web", "shop/cart", 8080, 4, days=5)
    code, _, report = suggest("--direction", "ingress", "shop/cart")
    assert code == 0
    assert "nothing is to be changed; 1 workload lacks nothing" in report


def test_suggestion_can_be_previewed_and_tested(
    shop: Shop, suggest: Command, command: Command, url: str, tmp_path: pathlib.Path
) -> None:
    file = shop.folder / "suggested.yaml"
    printed = suggest()[1]
    file.write_text(printed)
    base = tmp_path / "base"
    base.mkdir()
    (base / "cluster.json").write_text((shop.folder / "cluster.json").read_text())
    code, told, _ = command(
        "policy", "preview", str(file), "--ledger", url, "--manifests", str(base), *shop.span, "-o", "json"
    )
    denied = {(one["source"], one["destination"]) for one in json.loads(told)["newly_denied"]}
    assert (code, denied) == (0, {("guest/scanner", "shop/cart"), ("guest/scanner", "shop/db")})
    pods = [
        {"apiVersion": "v1", "kind": "Pod",
         "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
         "spec": {"containers": [{"name": "c", "ports": [{"name": port, "containerPort": number}]}]},
         "status": {"podIPs": [{"ip": f"10.9.0.{number % 250}"}]}}
        for name, port, number in (("web", "x", 80), ("cart", "http", 8080), ("db", "pg", 5432))
    ]  # fmt: skip
    shop.manifests(*pods)
    queries = [
        {"src": {"pod": "shop/web"}, "dst": {"pod": "shop/cart"}, "port": 8080, "expect": "allow"},
        {"src": {"pod": "shop/web"}, "dst": {"pod": "shop/db"}, "port": 5432, "expect": "deny"},
        {"src": {"pod": "shop/cart"}, "dst": {"pod": "shop/db"}, "port": 5432, "expect": "allow"},
    ]
    asked = tmp_path / "queries.jsonl"
    asked.write_text("".join(json.dumps({**one, "protocol": "TCP"}) + "\n" for one in queries))
    assert command("policy", "eval", "--manifests", str(shop.folder), "--queries", str(asked))[0] == 0


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        pytest.param(1, "no whole day: what comes once a day may be missing", id="hours"),
        pytest.param(5, "no whole week: what comes once a week may be missing", id="days"),
        pytest.param(9, "covers a day and a week.", id="more than a week"),
    ],
)
def test_what_the_record_cannot_have_shown_is_said(
    cluster: Shop, suggest: Command, days: int, sentence: str
) -> None:
    for name in ("web", "cart"):
        cluster.workload(f"shop/{name}", {"app": name})
    cluster.manifests()
    cluster.connections("shop/web", "shop/cart", 8080, 4, days=days)
    _, printed, report = suggest("--least", "1s")
    for text in (_said(printed), report):
        assert sentence in _said(text)
        assert ("missing" in text) == ("missing" in sentence)


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("yaml", "# Suggested by"),
        ("table", "recorded: 4 days of the 14 days asked for"),
        ("json", '{\n  "record": "recorded: 4 days'),
        ("diff", "--- /dev/null\n+++ b/NetworkPolicy/shop/cart\n"),
    ],
)
def test_forms(shop: Shop, suggest: Command, form: str, begins: str) -> None:
    code, printed, report = suggest("-o", form)
    assert (code, printed.startswith(begins)) == (0, True)
    assert ("3 policies suggested" in report) == (form in ("yaml", "diff"))


def test_policies_are_the_ledgers_unless_others_are_named(
    shop: Shop, command: Command, ledger: transport.Transport, url: str
) -> None:
    shop.manifests(DENY_ALL)
    shop.write()
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    named.follow(manifests.Folder(shop.folder))
    ask = ("policy", "suggest", "--ledger", url, *shop.span, "shop/db")
    code, _, said = command(*ask)
    assert (code, said) == (
        2, "error: the ledger knows no policies: run flowledger watch, or name a folder with --manifests\n"
    )  # fmt: skip
    registrar.Registrar(named, ledger, measured).step()
    code, printed, _ = command(*ask)
    assert (code, _policies(printed)["db"]["spec"]["policyTypes"]) == (0, ["Ingress"])


def test_terminal_sees_that_something_goes_on(
    shop: Shop, suggest: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reading the record" not in suggest()[2]
    monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes any stream for a terminal
    _, printed, report = suggest()
    for word in ("reading the record", "workloads", "replaying the record"):
        assert word in report
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        pytest.param({"kind": "staged"}, "kind", drafting.Kind.STAGED, id="kind"),
        pytest.param({"kind": "calico", "tier": "ours"}, "tier", "ours", id="tier"),
        pytest.param({"direction": "egress"}, "directions", (enums.Direction.EGRESS,), id="one direction"),
        pytest.param({}, "directions", tuple(enums.Direction), id="both directions"),
        pytest.param({"admit": ["one-off"]}, "admitted", (acceptance.Reason.ONE_OFF,), id="admitted"),
        pytest.param({"least": "90s"}, "least", 90 * 10**9, id="least"),
        pytest.param({"bounds": needs.Bounds(prefixes=3)}, "bounds", needs.Bounds(prefixes=3), id="bounds"),
    ],
)
def test_what_is_wanted_as_people_say_it(words: dict[str, Any], field: str, value: object) -> None:
    usual = {"kind": "kubernetes", "tier": "default", "direction": None, "admit": (),
             "bounds": needs.Bounds(), "least": "1h"}  # fmt: skip
    assert getattr(suggesting.wanted(**{**usual, **words}), field) == value


@pytest.fixture
def weeks(
    ledger: transport.Transport, flows: Callable[..., pa.RecordBatch], tmp_path: pathlib.Path
) -> fortnight.Fortnight:
    made = fortnight.Fortnight()
    made.job("backup", 201, 0.5, 1, [[("db", 5432)]])
    made.job("report", 202, 3.2, 7, [[("db", 5432)]])
    made.job("billing", 203, 5.6, 7, [[("db", 5432)], [("db", 5432), ("payments", 443)]])
    made.job("audit", 204, 12.5, 0, [[("db", 5432), ("web", 8080)]])
    made.write(ledger, flows, tmp_path / "objects")
    return made


LEFT = f"{(fortnight.DAYS - fortnight.LEARNED) * 24}h"
"""How long before its end the fortnight is held out."""


def test_last_days_break_only_what_was_said_before(
    command: Command, url: str, weeks: fortnight.Fortnight, tmp_path: pathlib.Path
) -> None:
    ask = ("policy", "suggest", "--ledger", url, "--since", f"{fortnight.DAYS}d", "--until", LEFT)
    code, printed, report = command(*ask)
    assert code == 0
    (tmp_path / "suggested.yaml").write_text(printed)
    code, previewed, _ = command(
        "policy", "preview", str(tmp_path / "suggested.yaml"), "--ledger", url, "--since", LEFT, "-o", "json",
        "--fail-on-denied",
    )  # fmt: skip
    assert code == 1
    denied = json.loads(previewed)["newly_denied"]
    assert {(one["source"], one["destination"]) for one in denied} == {
        ("shop/audit", "shop/db"), ("shop/audit", "shop/web"), ("shop/billing", "shop/payments"),
    }  # fmt: skip
    assert json.loads(previewed)["connections"] > 200
    told = json.loads(command(*ask, "-o", "json")[1])
    assert told["covered"] == (
        "The record covers a day, a week and the time between two runs of 2 of 4 CronJobs."
    )
    foretold = told["unseen"]
    assert [one.split(" ")[1] for one in foretold] == ["shop/audit", "shop/billing"]
    assert "did not run: what it needs is not among the rules" in foretold[0]
    assert "ran once: what it does in other runs is not known" in foretold[1]
    for sentence in foretold:
        assert sentence in " ".join(report.split())
        assert sentence in " ".join(printed.replace("#", "").split())


def test_learned_days_break_nothing(
    command: Command, url: str, weeks: fortnight.Fortnight, tmp_path: pathlib.Path
) -> None:
    """The rollout in their middle is no matter to the selectors."""
    printed = command("policy", "suggest", "--ledger", url, "--since", f"{fortnight.DAYS}d", "--until", LEFT)[
        1
    ]
    assert "pod-template-hash" not in printed
    (tmp_path / "suggested.yaml").write_text(printed)
    code, _, _ = command(
        "policy", "preview", str(tmp_path / "suggested.yaml"), "--ledger", url,
        "--since", f"{fortnight.DAYS}d", "--until", LEFT, "--fail-on-denied",
    )  # fmt: skip
    assert code == 0
