"""Suggested policies as files: the comments that an auditor reads, and YAML that is what was suggested."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cli import manifests
from model import enums, errors
from policy import evidence, stable
from policy import suggest as suggestions

Command = Callable[..., tuple[object, str, str]]
Shop = Any
"""The cluster of `conftest`."""
INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
HOUR = 3600 * 10**9
NOON = 1_767_355_200 * 10**9
"""2026-01-02T12:00:00Z."""


def _file(printed: str) -> str:
    """A file without what is said of the record."""
    return printed.partition("\n\n")[2]


def test_policy_with_its_evidence(shop: Shop, suggest: Command) -> None:
    shop.connections("shop/web", "shop/db", 9999, 2, reverse_packets=0)
    assert (
        _file(suggest("shop/web")[1])
        == """\
# Left out (unanswered): 2 connections, shop/web to shop/db TCP 9999.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app: web
  policyTypes:
  - Ingress
  - Egress
  ingress: []  # nothing was seen that is to be allowed
  egress:
  # shop/cart: 20 connections to 1 pod in 5 hours on 5 days, 2026-01-02 12:00 to 2026-01-06 12:00 UTC, known
  #   by nflog
  #   confidence high: it came again on 5 days
  - to:
    - podSelector:
        matchLabels:
          app: cart
    ports:
    - protocol: TCP
      port: http
  # 203.0.113.9: 2 connections in 1 hour, 2026-01-02 12:00 UTC, known by nflog
  #   confidence low: 2 connections in 1 hour do not show a habit
  - to:
    - ipBlock:
        cidr: 203.0.113.9/32
    ports:
    - protocol: TCP
      port: 443
"""
    )


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_what_was_left_out_is_named_where_the_policy_decides(
    shop: Shop, suggest: Command, direction: str
) -> None:
    shop.connections("shop/cart", "shop/db", 9999, 2, reverse_packets=0)
    printed = suggest("--direction", direction, "shop/cart")[1]
    assert ("# Left out (scan): 6 connections of 6 edges, such as" in printed) == (direction == "ingress")
    assert ("# Left out (unanswered): 2 connections, shop/cart to" in printed) == (direction == "egress")


def test_head_says_what_it_was_made_of(shop: Shop, suggest: Command) -> None:
    shop.complete(observed=1000, lost=0)
    assert (
        suggest()[1].partition("\n\n")[0]
        == """\
# Suggested by flowledger, from what is recorded: 4 days of the 14 days asked for, from 2026-01-02 12:00:00
#   to 2026-01-06 12:00:03 UTC; 100 % complete: nothing lost, nothing discarded.
# Reported by node-1.
# The record covers a day.
# The record covers no whole week: what comes once a week may be missing.
# Proof: all 3 accepted edges, 23 connections, stay allowed.
# Connections that were left out: denied 3, scan 6."""
    )


@pytest.mark.parametrize("kind", ["kubernetes", "calico", "staged"])
def test_file_is_what_was_suggested(shop: Shop, suggest: Command, kind: str) -> None:
    """Comments change nothing; also where several peers have the same ports, and where rules were there."""
    shop.workload("guest/desk", {"app": "desk"})
    for name in ("guest/desk", "shop/db", "shop/web"):
        shop.connections(name, "shop/cart", 8080, 3)
    version = "networking.k8s.io/v1" if kind == "kubernetes" else "projectcalico.org/v3"
    there = {
        "kubernetes": {"kind": "NetworkPolicy", "spec": {
            "podSelector": {"matchLabels": {"app": "cart"}}, "ingress": [{"ports": [{"port": 1}]}]}},
        "calico": {"kind": "NetworkPolicy", "spec": {
            "selector": "app == 'cart'", "ingress": [{"action": "Deny", "protocol": "UDP"}]}},
        "staged": {"kind": "StagedNetworkPolicy", "spec": {
            "selector": "app == 'cart'", "ingress": [{"action": "Deny", "protocol": "UDP"}]}},
    }[kind]  # fmt: skip
    shop.manifests({"apiVersion": version, "metadata": {"name": "mine", "namespace": "shop"}, **there})
    printed = suggest("--kind", kind)[1]
    told = json.loads(suggest("--kind", kind, "-o", "json")[1])["policies"]
    assert list(yaml.safe_load_all(printed)) == [one["manifest"] for one in told]
    changed = printed.split("---\n")[1 if told[0]["group"].startswith("guest") else 0]
    assert "# Changed: the rules without a comment were there.\n" in changed
    old = (
        "  ingress:\n  - ports:\n    - port: 1\n"
        if kind == "kubernetes"
        else "  ingress:\n  - action: Deny\n"
    )
    assert old in changed


def test_each_of_several_peers_has_its_evidence(shop: Shop, suggest: Command) -> None:
    shop.workload("guest/desk", {"app": "desk"})
    for name, count in (("guest/desk", 3), ("shop/db", 1)):
        shop.connections(name, "shop/cart", 8080, count)
    printed = suggest("--direction", "ingress", "shop/cart")[1]
    assert (
        """\
  ingress:
  - from:
    # guest/desk: 3 connections from 1 pod in 1 hour, 2026-01-02 12:00 UTC, known by nflog
    #   confidence low: 3 connections in 1 hour do not show a habit
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: guest
      podSelector:
        matchLabels:
          app: desk
    # shop/db: 1 connection from 1 pod in 1 hour, 2026-01-02 12:00 UTC, known by nflog
    #   confidence low: it was seen once
    - podSelector:
        matchLabels:
          app: db
"""
        in printed
    )


def test_pods_that_cannot_be_told_apart_are_warned_of(shop: Shop, suggest: Command) -> None:
    for name in ("shop/twin-a", "shop/twin-b"):
        shop.workload(name, {"app": "twin"})
        shop.connections(name, "shop/cart", 8080)
    warning = "# Warning: the labels of twin-a, twin-b do not tell their pods apart: what one of them needs"
    printed = suggest("shop/twin-a", "shop/cart")[1]
    assert f"---\n{warning} all may do.\napiVersion" in printed
    assert f"    {warning} all" in printed  # where they are peers


@pytest.mark.parametrize("kind", ["kubernetes", "calico"])
@pytest.mark.parametrize(
    ("protocols", "is_noted"),
    [
        pytest.param((17,), True, id="by UDP alone"),
        pytest.param((17, 6), False, id="by both"),
        pytest.param((6,), False, id="by TCP alone"),
    ],
)
def test_dns_by_udp_alone_is_noted(
    cluster: Shop, suggest: Command, kind: str, protocols: tuple[int, ...], is_noted: bool
) -> None:
    """By what was seen at the port, whatever the port is called."""
    cluster.workload("shop/web", {"app": "web"})
    cluster.workload("shop/dns", {"app": "dns"}, ports="names=UDP/53 names-tcp=TCP/53")
    cluster.manifests()
    for protocol in protocols:
        cluster.connections("shop/web", "shop/dns", 53, protocol=protocol)
    code, printed, _ = suggest("--kind", kind, "--least", "0s", "shop/web")
    assert (code, printed.count("port: names") + printed.count("- names")) == (0, len(protocols))
    assert ("# DNS by UDP alone was seen; answers that do not" in printed) == is_noted


def test_many_prefixes_are_counted(shop: Shop, suggest: Command) -> None:
    for last in range(0, 6, 2):
        shop.connections("shop/db", f"198.51.100.{last}", 123, protocol=17)
        shop.connections("shop/cart", f"2001:db8::{last}", 123, protocol=17)
    shop.connections("shop/cart", "2001:db8::6", 123, protocol=17)
    printed = suggest("shop/db", "shop/cart")[1]
    assert "  # 198.51.100.0, 198.51.100.2, 198.51.100.4: 3 connections in" in printed
    assert "  # 4 prefixes: 4 connections in" in printed


def test_addresses_of_a_set_that_nobody_can_count_are_many(shop: Shop, suggest: Command) -> None:
    shop.manifests({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet", "metadata": {"name": "bank"},
        "spec": {"nets": ["2001:db8:1::/48"]},
    })  # fmt: skip
    shop.connections(
        "shop/db", "2001:db8:1::9", 443, 4, days=4, dst_kind="network_set", dst_workload="bank"
    )  # fmt: skip
    printed = suggest("shop/db")[1]
    assert "  # network set bank: 16 connections in 4 hours on 4 days, " in printed
    assert "  #   confidence low: 1 of its addresses were seen, more than a million were not\n" in printed


@pytest.mark.parametrize(
    ("changes", "direction", "said"),
    [
        pytest.param({}, INGRESS, "7 connections from 2 pods in 3 hours, 2026-01-02 12:00 UTC, known by "
                     "nflog, probe", id="into"),
        pytest.param({"pods": 1}, EGRESS, "7 connections to 1 pod in 3 hours, 2026-01-02 12:00 UTC, known by "
                     "nflog, probe", id="out of"),
        pytest.param({"pods": 0, "connections": 1, "hours": 1, "attribution": ()}, EGRESS,
                     "1 connection in 1 hour, 2026-01-02 12:00 UTC", id="addresses, known by nobody"),
        pytest.param({"attribution": (("none", 3), ("", 2))}, INGRESS,
                     "7 connections from 2 pods in 3 hours, 2026-01-02 12:00 UTC", id="no rule is known"),
        pytest.param({"days": 2, "last": NOON + 24 * HOUR, "connections": 1234}, INGRESS,
                     "1,234 connections from 2 pods in 3 hours on 2 days, 2026-01-02 12:00 to 2026-01-03 "
                     "12:00 UTC, known by nflog, probe", id="days"),
        pytest.param({"last": NOON + HOUR}, INGRESS, "7 connections from 2 pods in 3 hours, 2026-01-02 12:00 "
                     "to 13:00 UTC, known by nflog, probe", id="within a day"),
    ],
)  # fmt: skip
def test_evidence_in_words(changes: dict[str, Any], direction: enums.Direction, said: str) -> None:
    usual = {"connections": 7, "pods": 2, "days": 1, "hours": 3, "first": NOON, "last": NOON,
             "attribution": (("nflog", 5), ("probe", 2)), "confidence": evidence.Confidence.LOW,
             "because": ""}  # fmt: skip
    assert manifests.sentence(evidence.Evidence(**{**usual, **changes}), direction) == said


def test_comments_are_paragraphs() -> None:
    long = "word " * 40
    lines = list(manifests.comments(["short", "  indented", long, "x" * 200], 2))
    assert lines[:2] == ["  # short", "  #   indented"]
    assert [line.partition("word")[0] for line in lines[2:4]] == ["  # ", "  #   "]
    assert " ".join(" ".join(lines[2:-1]).replace("#", "").split()) == long.strip()
    assert all(len(line) <= 108 for line in lines[:-1])
    assert lines[-1].endswith("x" * 200)
    assert list(manifests.comments([])) == []


ENDS = ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", " ")
NASTY = [f"x{end}  - {{}}{end}  # " for end in ENDS] + [
    "\x1b[2J", "it's", '"', "a: b", "# a", "\u202etxet", "---", "\ufeff",
]  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_comments_are_comments_whatever_a_name_is(nasty: str) -> None:
    lines = list(manifests.comments([nasty, f"  {nasty} and more", nasty * 40], 2))
    printed = "\n".join(["a:", "  - 1", *lines, "  - 2"])
    assert yaml.safe_load(printed) == {"a": [1, 2]}
    assert all(line.startswith("  # ") and line.isprintable() for line in lines)
    assert len(printed.splitlines()) == len(lines) + 3


@pytest.mark.parametrize("kind", ["kubernetes", "calico"])
@pytest.mark.parametrize("nasty", [NASTY[0], *NASTY[5:7], *NASTY[9:13]], ids=ascii)
def test_file_is_what_was_suggested_whatever_a_name_is(
    cluster: Shop, suggest: Command, nasty: str, kind: str
) -> None:
    """Workloads, what owns them and namespaces may have any name in a ledger; labels look like numbers.

    The namespace that no label can have as a value is one that nothing is suggested about.
    """
    cluster.workload(f"shop/{nasty}", {"app": "y"}, kind=nasty)
    cluster.workload("shop/cart", {"app": "1e3"})
    cluster.workload("bank/till", {"app": "n"})
    cluster.workload(f"{nasty}/desk", {"app": "desk"}, kind="CronJob")
    cluster.manifests()
    cluster.connections(f"shop/{nasty}", "shop/cart", 8080, days=2)
    cluster.connections("bank/till", "shop/cart", 8080, days=2)
    cluster.connections(f"shop/{nasty}", "bank/till", 443, days=2)
    cluster.connections(f"{nasty}/desk", "shop/cart", 9999, reverse_packets=0)
    told = json.loads(suggest("--kind", kind, "-o", "json")[1])
    code, printed, report = suggest("--kind", kind)
    assert (code, len(told["policies"])) == (0, 3)
    assert list(yaml.safe_load_all(printed)) == [one["manifest"] for one in told["policies"]]
    for text in (printed, report):
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "printed", ["a: 2\n", "a: 1\n---\na: 1\n", "# nothing\n", "a: 1\na: 1\n", "a: [\n", "a: 2026-13-01\n"]
)
def test_file_that_is_not_what_was_proved_is_refused(printed: str) -> None:
    group = stable.Group("shop", (), (("app", "web"),))
    made = suggestions.Suggested(group, {"a": 1}, None, {}, ())
    manifests.require_same("# as it should be\na: 1\n", [made])
    with pytest.raises(errors.ManifestError, match="what would be printed is not what was proved"):
        manifests.require_same(printed, [made])


@pytest.mark.parametrize("empty", [{"ingress": []}, {"ingress": None}, {}], ids=str)
def test_direction_that_stays_as_it_was_has_no_comment(
    shop: Shop, suggest: Command, empty: dict[str, Any]
) -> None:
    shop.manifests({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "mine", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], **empty},
    })  # fmt: skip
    printed = suggest("--direction", "egress", "shop/web")[1]
    (policy,) = yaml.safe_load_all(printed)
    assert policy["metadata"]["name"] == "mine"
    assert {name: policy["spec"][name] for name in empty} == empty
    assert "nothing was seen" not in printed
