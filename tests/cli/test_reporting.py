"""The report about suggested policies, on a terminal and for programs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import rich.console

from cli import known, moments, reporting, suggesting
from policy import suggest as suggestions
from store import transport

Command = Callable[..., tuple[object, str, str]]
Shop = Any
"""The cluster of `conftest`."""


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _result(shop: Shop, url: str, **wanted: Any) -> reporting.Result:
    shop.write()
    asked = suggesting.Asked(
        targets=(), span=moments.since(shop.span[1], shop.span[3]), wanted=suggestions.Wanted(**wanted),
        complete=0,
    )  # fmt: skip
    with contextlib.closing(transport.open(url)) as ledger:
        return suggesting.suggested(ledger, known.manifests(shop.folder), asked)


def _shown(result: reporting.Result) -> str:
    screen = rich.console.Console(width=80, highlight=False, soft_wrap=True)
    with screen.capture() as captured:
        reporting.show(screen, result)
    return captured.get()


def test_report_fits_a_small_terminal(shop: Shop, suggest: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.connections("shop/web", "192.0.2.9", 0, protocol=1, icmp_type=8)
    monkeypatch.setenv("COLUMNS", "80")
    assert _lines(suggest("-o", "table")[1]) == [
        "recorded: 4 days of the 14 days asked for, from 2026-01-02 12:00:00 to",
        "2026-01-06 12:00:03 UTC; no report of how complete it is",
        "The record covers a day.",
        "The record covers no whole week: what comes once a week may be missing.",
        "3 policies suggested: 3 new, 0 changed",
        " NetworkPolicy   selects    ingress   egress    confidence",
        " ────────────────────────────────────────────────────────────",
        " shop/cart       app=cart   1 rule    1 rule    1 high, 1 low",
        " shop/db         app=db     1 rule    nothing   1 low",
        " shop/web        app=web    nothing   2 rules   1 high, 1 low",
        " nothing for     because",
        " ──────────────────────────────────────────────────────────────────────────────",
        " guest/scanner   nothing was seen of it that could be learned from",
        "                 a longer record may help (--since), a shorter wait (--least),",
        "                 or what was left out (--admit)",
        " shop/plain      no label that all of its pods have outlives a rollout: no",
        "                 selector can name them",
        "                 give its pods a label of their own",
        " left out        connections   because",
        " ──────────────────────────────────────────────────────────────────────────────",
        " denied                    3   policies denied it (1 edge)",
        "                                 guest/scanner to shop/db TCP 5432",
        "                               to allow it: --admit denied",
        " scan                      6   the source tried many ports or destinations,",
        "                               most of them in vain (6 edges)",
        "                                 guest/scanner to shop/cart TCP 21",
        "                                 guest/scanner to shop/cart TCP 22",
        "                                 guest/scanner to shop/cart TCP 23",
        "                                 …",
        "                               to allow it: --admit scan",
        " inexpressible             1   this kind of policy cannot allow the protocol by",
        "                               itself (1 edge)",
        "                                 shop/web to 192.0.2.9 ICMP 8",
        "                               to allow it: --kind calico, or --admit",
        "                               inexpressible with every other protocol",
        "proof: all 3 accepted edges, 23 connections, stay allowed",
        "of what was left out would newly be denied: 10 connections of 8 edges, such as",
        "guest/scanner to shop/db TCP 5432; guest/scanner to shop/cart TCP 21;",
        "guest/scanner to shop/cart TCP 22",
        "open from workload to workload, port by port: 8 now, 2 then, 2 of them used",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "title"),
    [("kubernetes", "NetworkPolicy"), ("calico", "Calico NetworkPolicy"), ("staged", "StagedNetworkPolicy")],
)
def test_kinds_of_policies_are_told_apart(shop: Shop, suggest: Command, kind: str, title: str) -> None:
    told = suggest("-o", "table", "--kind", kind)[1]
    assert next(line for line in told.splitlines() if "selects" in line).startswith(f" {title}  ")


def test_lines_beside_a_file_fold_at_words_too(
    shop: Shop, suggest: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    report = suggest()[2]
    assert max(map(len, report.splitlines())) <= 80


def test_names_are_text_and_no_markup(cluster: Shop, suggest: Command) -> None:
    for name, label in (("[red]web", "web"), ("cart", "cart")):
        cluster.workload(f"shop/{name}", {"app": label})
    cluster.manifests()
    cluster.connections("shop/[red]web", "shop/cart", 8080, days=2)
    cluster.connections("shop/[red]web", "shop/cart", 9999, reverse_packets=0)
    assert suggest("-o", "table")[1].count("shop/[red]web") >= 2


def test_own_nodes_are_no_matter_of_policies(shop: Shop, suggest: Command) -> None:
    shop.connections("10.9.9.9", "shop/cart", 8080, 1200, src_kind="node", node_traffic="probe")
    told = [line for line in suggest("-o", "table")[1].splitlines() if "own node" in line]
    assert len(told) == 1
    assert "1,200   from a node to its own pods, as kubelet's probes" in told[0]
    assert json.loads(suggest("-o", "json")[1])["own_node"] == 1200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            (), "shop/db, egress   4 addresses without a name do not fit into 1 prefixes", id="crowd"
        ),
        pytest.param(("--everywhere",), "", id="let through"),
    ],
)
def test_crowd_is_refused_and_left_out(
    shop: Shop, suggest: Command, words: tuple[str, ...], said: str
) -> None:
    for last in (1, 3, 5, 7):
        shop.connections("shop/db", f"198.51.100.{last}", 123, protocol=17)
    told = suggest("-o", "table", "--prefixes", "1", *words, "shop/db")[1]
    assert said in told
    assert ("--prefixes, --widen and --everywhere say how far" in told) == bool(said)
    assert ("to allow it: --prefixes, --widen or --everywhere, or a network set" in told) == bool(said)


def test_many_refusals_of_one_reason_are_one_row(cluster: Shop, suggest: Command) -> None:
    for i in range(13):
        cluster.workload(f"shop/w{i:02}", {"app": f"w{i}"})
    cluster.manifests()
    cluster.connections("shop/w00", "shop/w01", 8080, days=2)
    told = _lines(suggest("-o", "table")[1])
    begin = next(i for i, line in enumerate(told) if "nothing for" in line)
    assert [line.split()[0] for line in told[begin + 2 : begin + 12]] == [
        f"shop/w{i:02}" for i in range(2, 12)
    ]
    assert told[begin + 12].strip() == "and 1 more"
    assert "2 policies suggested" in " ".join(told)


def test_many_policies_are_counted(shop: Shop, url: str) -> None:
    result = _result(shop, url)
    many = dataclasses.replace(result.made, policies=result.made.policies * 20)
    shown = _shown(dataclasses.replace(result, made=many))
    assert "60 policies suggested: 60 new, 0 changed" in shown
    assert shown.count(" shop/web ") == 16
    assert "and 10 more" in shown


@pytest.fixture
def changed(shop: Shop, url: str) -> reporting.Result:
    """A result where a policy is there that allows no one."""
    shop.manifests({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "mine", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "cart"}}, "policyTypes": ["Ingress"]},
    })  # fmt: skip
    return _result(shop, url)


def test_what_is_added_to_a_policy_is_told_apart(changed: reporting.Result) -> None:
    shown = _lines(_shown(changed))
    assert "3 policies suggested: 2 new, 1 changed" in shown
    assert next(line for line in shown if "shop/mine" in line).split()[2:6] == ["1", "more", "1", "rule"]
    assert "+++ b/NetworkPolicy/shop/mine\n" in reporting.diffs(changed)
    assert "--- a/NetworkPolicy/shop/mine\n" in reporting.diffs(changed)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        pytest.param(
            "lost", "the proof fails: 20 connections, shop/web to shop/cart TCP 8080 would be denied",
            id="lost",
        ),
        pytest.param(
            "left_out",
            "of what was left out would newly be denied: 20 connections, shop/web to shop/cart TCP 8080",
            id="left out",
        ),
    ],
)  # fmt: skip
def test_proof_that_has_found_something(shop: Shop, url: str, field: str, said: str) -> None:
    result = _result(shop, url)
    most = (int(result.recorded.record.connections.argmax()),)
    found = dataclasses.replace(result, proof=dataclasses.replace(result.proof, **{field: most}))
    assert said in " ".join(_shown(found).split())
    assert ("stay allowed" in _shown(found)) == (field != "lost")
    head = " ".join(reporting.yaml(found).partition("\n\n")[0].replace("#", "").split())
    assert (f"T{said[1:]}." in head) == (field == "lost")
    told = reporting.plain(found)["proof"]
    name = "left_out_and_denied" if field == "left_out" else field
    assert (told["holds"], told[name]) == (field != "lost", ["shop/web to shop/cart TCP 8080"])


def test_what_is_denied_already_is_not_said_to_stay_allowed(shop: Shop, suggest: Command) -> None:
    """A tier before denies what was recorded before it was there."""
    shop.manifests(
        {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "first"},
         "spec": {"order": 1}},
        {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
         "metadata": {"name": "first.deny"}, "spec": {"tier": "first", "selector": "app == 'cart'",
         "ingress": [{"action": "Deny", "protocol": "TCP", "destination": {"ports": [8080]}},
                     {"action": "Pass"}]}},
    )  # fmt: skip
    said = (
        "roof: 2 of 3 accepted edges, 3 connections, stay allowed; 1 is denied already, and stays so: "
        "shop/web to shop/cart TCP 8080"
    )
    code, printed, report = suggest()
    assert code == 0, "nothing would newly be denied"
    assert f"p{said}" in " ".join(report.split())
    assert f"P{said}." in " ".join(printed.partition("\n\n")[0].replace("#", "").split())
    told = json.loads(suggest("-o", "json")[1])["proof"]
    assert (told["holds"], told["edges"], told["allowed"], told["connections"]) == (True, 3, 2, 3)
    assert told["denied_already"] == ["shop/web to shop/cart TCP 8080"]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize(
    ("denied", "allowed", "said"),
    [
        ((0,), 1, "stays allowed; 1 is denied already, and stays so:"),
        ((0, 1), 0, "stay allowed; 2 are denied already, and stay so:"),
        (range(5), 2, "stay allowed; 5 are denied already, and stay so, "),
    ],
)  # fmt: skip
def test_what_is_denied_already_is_counted(
    shop: Shop, url: str, denied: Sequence[int], allowed: int, said: str, lost: bool
) -> None:
    result = _result(shop, url)
    proved = dataclasses.replace(
        result.proof, denied_already=tuple(denied), allowed=allowed, lost=(0,) if lost else ()
    )
    shown = " ".join(_shown(dataclasses.replace(result, proof=proved)).split())
    start = f"proof: {allowed} of 3 accepted edges, 23 connections, "
    assert (start + said in shown) == (not lost)
    assert said.partition("; ")[2] in shown
    assert ("stay allowed" in shown or "stays allowed" in shown) == (not lost)


def test_all_of_it_for_programs(shop: Shop, suggest: Command) -> None:
    told = json.loads(suggest("-o", "json")[1])
    assert told["record"].startswith("recorded: 4 days of the 14 days asked for")
    assert told["unseen"] == ["The record covers no whole week: what comes once a week may be missing."]
    db = told["policies"][1]
    assert (db["group"], db["workloads"], db["new"], db["warning"]) == ("shop/db", ["shop/db"], True, "")
    assert db["decides"] == ["ingress", "egress"]
    assert db["rules"] == [{
        "direction": "ingress", "peer": "shop/cart", "note": "",
        "ports": [{"protocol": 6, "name": "pg", "first": 0, "last": 0, "icmp_type": -1}],
        "connections": 1, "pods": 1, "days": 1, "hours": 1, "first_seen": "2026-01-02 12:00:00",
        "last_seen": "2026-01-02 12:00:00", "attribution": {"nflog": 1}, "confidence": "low",
        "because": "it was seen once",
    }]  # fmt: skip
    assert [(one["group"], one["direction"]) for one in told["refusals"]] == [
        ("guest/scanner", ""), ("shop/plain", "")
    ]  # fmt: skip
    scan = told["left_out"][1]
    assert (scan["reason"], scan["connections"], len(scan["edges"])) == ("scan", 6, 6)
    assert scan["edges"][0] == {"edge": "guest/scanner to shop/cart TCP 21", "connections": 1}
    assert told["proof"] == {
        "holds": True, "edges": 3, "allowed": 3, "connections": 23, "lost": [], "denied_already": [],
        "left_out_and_denied": [
            "guest/scanner to shop/db TCP 5432",
            *(f"guest/scanner to shop/cart TCP {port}" for port in range(21, 27)),
        ],
        "pairs_before": 8, "pairs_after": 2, "pairs_used": 2,
    }  # fmt: skip
