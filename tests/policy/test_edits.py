"""The smallest change that would allow a connection; it is tried on the engine."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml

from model import cluster, enums, manifest
from policy import edits, evaluate, explanation, parse, queries

CORNERS = yaml.safe_load((pathlib.Path(__file__).parent / "corner_cases.yaml").read_text())
Body = dict[str, Any]


def _edits(bodies: list[Body], query: queries.Query) -> list[edits.Edit | None]:
    """One for each side that denies it."""
    documents = [manifest.Document("f", i, body) for i, body in enumerate([*CORNERS["cluster"], *bodies])]
    engine = evaluate.Engine(parse.parse(documents), cluster.read(documents))
    told = explanation.Explainer(engine).explain(query)
    editor = edits.Editor(engine, documents)
    return [editor.edit(told, side) for side in told.sides if side.verdict == "denied"]


DENIED = [
    (case, text) for case in CORNERS["cases"] for text in case["connections"] if text.endswith(": deny")
]  # fmt: skip


@pytest.mark.parametrize(("case", "text"), DENIED, ids=[f"{case['title']}: {text}" for case, text in DENIED])
def test_every_denied_corner_case_has_an_edit_that_admits_it(case: dict[str, Any], text: str) -> None:
    src, _, dst, protocol, *port = text.removesuffix(": deny").split(" ")
    query = queries.Query(src=src, dst=dst, protocol=enums.Protocol[protocol], port=int(*port or [0]))
    found = _edits(case["policies"], query)
    assert found
    for edit in found:
        assert edit is not None
        assert edit.diff.startswith(("--- a/", "--- "))
        assert any(line.startswith("+") for line in edit.diff.splitlines())


def _policy(spec: Body, name: str = "p", kind: str = "NetworkPolicy") -> Body:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


QUERY = queries.Query(src="bank/teller", dst="shop/web", port=443)
FROM_BANK = {"namespaceSelector": {"matchLabels": {"team": "blue"}}}


def test_port_is_added_to_the_nearest_rule() -> None:
    spec = {
        "podSelector": {},
        "ingress": [{"from": [FROM_BANK], "ports": [{"port": 80}]}, {"from": [{"podSelector": {}}]}],
    }
    (edit,) = _edits([_policy(spec)], QUERY)
    assert edit is not None
    assert (
        edit.sentence
        == "Add TCP port 443 to the first ingress rule of NetworkPolicy shop/p, for all of its peers."
    )
    assert edit.diff.splitlines() == [
        "--- a/NetworkPolicy/shop/p", "+++ b/NetworkPolicy/shop/p", "@@ -13,4 +13,6 @@", "     ports:",
        "     - port: 80", "+    - protocol: TCP", "+      port: 443", "   - from:", "     - podSelector: {}",
    ]  # fmt: skip


def test_peer_is_added_to_the_nearest_rule() -> None:
    spec = {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 443}]}]}
    (edit,) = _edits([_policy(spec)], QUERY)
    assert edit is not None
    assert (
        edit.sentence
        == "Add bank/teller to the first ingress rule of NetworkPolicy shop/p, for all of its ports."
    )
    assert edit.body["spec"]["ingress"][0]["from"][1] == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bank"}},
        "podSelector": {"matchLabels": {"app": "web"}},
    }


def test_rule_is_added_to_the_policy_that_selects_the_fewest() -> None:
    broad, narrow = (
        _policy({"podSelector": {}}, "all"),
        _policy({"podSelector": {"matchLabels": {"app": "web"}}}, "web"),
    )
    (edit,) = _edits([broad, narrow], QUERY)
    assert edit is not None
    assert edit.sentence == (
        "Add a rule to NetworkPolicy shop/web, which selects 1 pod, that allows TCP port 443 from "
        "bank/teller."
    )


def test_rule_is_put_in_front_of_one_that_denies() -> None:
    spec = {"selector": "all()", "ingress": [{"action": "Log"}, {"action": "Deny"}]}
    body = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "g"},
        "spec": spec,
    }
    (edit,) = _edits([body], QUERY)
    assert edit is not None
    assert edit.sentence == (
        "Put a rule in front of the second ingress rule of GlobalNetworkPolicy g that allows TCP port 443 "
        "from bank/teller to shop/web."
    )
    assert edit.body["spec"]["ingress"][1] == {
        "action": "Allow", "protocol": "TCP",
        "source": {"namespaceSelector": "projectcalico.org/name == 'bank'", "selector": "app == 'web'"},
        "destination": {"namespaceSelector": "projectcalico.org/name == 'shop'", "selector": "app == 'web'",
                        "ports": [443]},
    }  # fmt: skip


def test_port_of_a_network_is_not_opened_for_one_of_it() -> None:
    spec = {
        "podSelector": {},
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 80}]}],
    }
    (edit,) = _edits([_policy(spec)], QUERY)
    assert edit is not None
    assert edit.sentence.startswith("Add a rule to NetworkPolicy shop/p, which selects ")
    assert edit.body["spec"]["ingress"][0] == spec["ingress"][0]


def test_protocol_without_a_name_is_a_number() -> None:
    body = {
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "n", "namespace": "shop"}, "spec": {"selector": "all()", "types": ["Ingress"]},
    }  # fmt: skip
    (edit,) = _edits([body], queries.Query(src="bank/teller", dst="shop/web", protocol=47))
    assert edit is not None
    assert edit.body["spec"]["ingress"][0]["protocol"] == 47


def test_pods_without_labels_of_their_own_are_said_to_be_let_in_together() -> None:
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "bank"}, "spec": {},
        "status": {"podIPs": [{"ip": "10.9.9.9"}]},
    }  # fmt: skip
    query = queries.Query(src="bank/bare", dst="shop/web", port=443)
    (edit,) = _edits([_policy({"podSelector": {}}), pod], query)
    assert edit is not None
    assert "bank/bare, and with it every pod of its namespace, since it has no labels" in edit.sentence


def test_where_nothing_can_be_said_there_is_no_edit() -> None:
    """An administrator's policy cannot name who is outside of the cluster."""
    body = {
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "c"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
                 "ingress": [{"action": "Deny", "from": [{}]}]},
    }  # fmt: skip
    assert _edits([body], queries.Query(src="203.0.113.9", dst="shop/web", port=80)) == [None]


def test_manifest_without_what_the_api_server_and_kubectl_write() -> None:
    last_applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    metadata = {"name": "web", "namespace": "shop", "labels": {"team": "a"}}
    written = {"uid": "1", "resourceVersion": "2", "managedFields": []}
    body = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}},
        "status": {}, "metadata": {**metadata, **written, "annotations": last_applied},
    }  # fmt: skip
    wanted = {name: value for name, value in body.items() if name != "status"} | {"metadata": metadata}
    assert edits.plain(body) == wanted
    mine = {**metadata, "annotations": {"owner": "b"}}
    told = {**body, "metadata": {**written, **mine, "annotations": {"owner": "b", **last_applied}}}
    assert edits.plain(told) == {**wanted, "metadata": mine}
