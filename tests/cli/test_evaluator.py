"""Flows of which no source has told a rule: what the policies of a folder say of them."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import prometheus_client
import pyarrow as pa
import pytest

from cli import naming
from enrich import manifests
from model import columns
from runtime import metrics

SECOND = 1_000_000_000
Build = Callable[..., pa.RecordBatch]
Body = dict[str, Any]


def _pod(name: str, address: str, node: str = "node-1") -> Body:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node}, "status": {"podIPs": [{"ip": address}]},
    }  # fmt: skip


def _policy(name: str, app: str, **spec: Any) -> Body:
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec},
    }  # fmt: skip


WEB, CART, FAR = _pod("web", "10.0.0.1"), _pod("cart", "10.0.0.2"), _pod("far", "10.0.0.3", "node-2")
FROM_WEB = {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 8080}]}
POLICY = _policy("cart", "cart", ingress=[FROM_WEB])
OUT = "egress|__PROFILE__|pro:kns.shop|allow|0"
IN = "ingress|default|knp:shop/cart|allow|0"
END = "ingress|default|end-of-tier|deny|-1"
FLOW = {
    "node": "node-1", "src_address": "10.0.0.1", "dst_address": "10.0.0.2", "protocol": 6,
    "dst_port": 8080, "verdict": "allowed", "attribution": "none", "egress_action": "", "ingress_action": "",
    "policy_trace": "", "deciding_rule": "",
}  # fmt: skip


class Node:
    """A collector's names, from a folder of manifests."""

    def __init__(self, folder: pathlib.Path, flows: Build, **objects: Body) -> None:
        self._folder, self._flows = folder, flows
        folder.mkdir()
        self.write(**objects)
        self.named = naming.Naming(metrics.Metrics(prometheus_client.CollectorRegistry()))
        self.named.follow(manifests.Folder(folder))

    def write(self, **objects: Body) -> None:
        """Write manifests; those of the same name are others from now on."""
        for name, one in objects.items():
            (self._folder / f"{name}.json").write_text(json.dumps(one))

    def batch(self, *rows: Body) -> pa.RecordBatch:
        return self._flows(*({**FLOW, **row} for row in rows), stage=columns.Stage.JOIN)

    def traces(self, *rows: Body) -> list[str]:
        return [row["policy_trace"] for row in self.named.enrich(self.batch(*rows)).to_pylist()]


@pytest.fixture
def node(tmp_path: pathlib.Path, flows: Build) -> Node:
    return Node(tmp_path / "node", flows, web=WEB, cart=CART, policy=POLICY)


@pytest.fixture
def other_node(tmp_path: pathlib.Path, flows: Build) -> Node:
    """One that knows better who had cart's address."""
    return Node(tmp_path / "other", flows, web=WEB, other=_pod("other", "10.0.0.2"), policy=POLICY)


@pytest.fixture
def evaluated(tmp_path: pathlib.Path, flows: Build) -> Callable[..., list[Body]]:
    """What becomes of flows of a cluster."""

    def ask(objects: list[Body], *rows: Body) -> list[Body]:
        for i, one in enumerate(objects):
            (tmp_path / f"{i}.json").write_text(json.dumps(one))
        named = naming.Naming(metrics.Metrics(prometheus_client.CollectorRegistry()))
        named.follow(manifests.Folder(tmp_path))
        batch = flows(*({**FLOW, **row} for row in rows), stage=columns.Stage.JOIN)
        return named.enrich(batch).to_pylist()

    return ask


CASES = {
    "both ends here": ({}, f"{OUT} {IN}", "evaluated"),
    "denied, as the probe found": (
        {"dst_port": 22, "verdict": "denied", "attribution": "probe"}, f"{OUT} {END}", "evaluated"
    ),
    "the policies allow what was denied": ({"verdict": "denied"}, "", "none"),
    "the policies deny what was allowed": ({"dst_port": 22}, "", "none"),
    "nobody answered, and nothing denied": ({"verdict": "unknown"}, f"{OUT} {IN}", "evaluated"),
    "nobody answered, since it was denied": ({"dst_port": 22, "verdict": "unknown"}, "", "none"),
    "routing dropped it": ({"verdict": "unknown", "attribution": "probe"}, "", "probe"),
    "the source is here": ({"dst_address": "10.0.0.3"}, OUT, "evaluated"),
    "the destination is here": (
        {"src_address": "10.0.0.3", "dst_port": 22, "verdict": "denied"}, END, "evaluated"
    ),
    "neither is here": ({"src_address": "10.0.0.3", "dst_address": "192.0.2.1"}, "", "none"),
    "from outside": ({"src_address": "203.0.113.1", "verdict": "denied"}, END, "evaluated"),
    "a rule was logged": ({"attribution": "nflog", "policy_trace": IN}, IN, "nflog"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_flow(evaluated: Callable[..., list[Body]], name: str) -> None:
    given, trace, attribution = CASES[name]
    (flow,) = evaluated([WEB, CART, FAR, POLICY], given)
    assert (flow["policy_trace"], flow["attribution"]) == (trace, attribution)


def test_deciding_rule_and_actions_follow(evaluated: Callable[..., list[Body]]) -> None:
    (flow,) = evaluated([WEB, CART, POLICY], {"dst_port": 22, "verdict": "denied"})
    assert (flow["deciding_rule"], flow["egress_action"], flow["ingress_action"]) == (END, "allow", "deny")


def test_what_came_before_a_change_of_policies_stays_without(evaluated: Callable[..., list[Body]]) -> None:
    at = 1_767_225_600 * SECOND
    new = {**POLICY, "metadata": {**POLICY["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}}
    rows = [{"started": at + offset * SECOND} for offset in (-1, 29, 31)]
    found = evaluated([WEB, CART, new], *rows)
    assert [flow["attribution"] for flow in found] == ["none", "none", "evaluated"]


SERVICE_RULE = {
    "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
    "metadata": {"name": "out", "namespace": "shop"},
    "spec": {"selector": "app == 'web'", "types": ["Egress"], "egress": [
        {"action": "Allow", "destination": {"services": {"name": "cart"}}}
    ]},
}  # fmt: skip


def test_where_not_all_is_known_nothing_is_said(evaluated: Callable[..., list[Body]]) -> None:
    from_far = {"src_address": "10.0.0.3"}
    found = evaluated([WEB, CART, FAR, POLICY, SERVICE_RULE], {}, from_far, {**from_far, "verdict": "denied"})
    assert [flow["attribution"] for flow in found] == ["none", "none", "evaluated"]


FROM_PORT = {
    "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
    "metadata": {"name": "ports", "namespace": "shop"},
    "spec": {"selector": "app == 'cart'", "ingress": [
        {"action": "Allow", "protocol": "TCP", "source": {"ports": ["1024:65535"]}}
    ]},
}  # fmt: skip


def test_rules_about_a_port_that_was_not_seen_say_nothing(evaluated: Callable[..., list[Body]]) -> None:
    """What denies a packet before it is a connection may not have told the client's port."""
    denied = {"dst_port": 22, "verdict": "denied", "attribution": "probe", "reporter": "dst"}
    found = evaluated([WEB, CART, POLICY, FROM_PORT], {**denied, "src_port": 0}, {**denied, "src_port": 80})
    assert [flow["attribution"] for flow in found] == ["probe", "evaluated"]


def test_replicas_are_two_pods(evaluated: Callable[..., list[Body]]) -> None:
    """They are alike to policies; but what goes to itself no policy judges."""
    other = {
        **CART,
        "metadata": {**CART["metadata"], "name": "cart-2"},
        "status": {"podIPs": [{"ip": "10.0.0.4"}]},
    }
    rows = [
        {"src_address": "10.0.0.4", "dst_port": 22, "verdict": "denied"},
        {"src_address": "10.0.0.2", "dst_port": 22},
    ]
    found = evaluated([CART, other, POLICY], *rows)
    assert [flow["policy_trace"] for flow in found] == [f"{OUT} {END}", ""]


def test_nothing_is_said_before_any_policy_is_known(evaluated: Callable[..., list[Body]]) -> None:
    (flow,) = evaluated([WEB, CART], {})
    assert flow["attribution"] == "none"


def test_connection_keeps_what_was_said_when_it_began(node: Node) -> None:
    """As it goes on through a change that is about later ones alone."""
    began = {"started": time.time_ns()}
    assert node.traces(began) == [f"{OUT} {IN}"]
    node.write(policy=_policy("cart", "cart", ingress=[{"ports": [{"port": 9}]}, {}]))
    assert node.traces(began, {**began, "src_port": 9}) == [f"{OUT} {IN}", ""]


def test_what_policies_made_of_another_pod_is_not_kept(node: Node, other_node: Node) -> None:
    """The row's names are others now, and so is what policies say."""
    before = node.named.enrich(node.batch({}, {"verdict": "denied", "dst_port": 22, "attribution": "probe"}))
    assert before.column("attribution").to_pylist() == ["evaluated"] * 2
    after, sure = other_node.named.again(before)
    assert sure.all()
    assert after.column("dst_pod").to_pylist() == ["other"] * 2
    nobody_judges = f"{OUT} ingress|__PROFILE__|pro:kns.shop|allow|0"
    assert after.column("policy_trace").to_pylist() == [nobody_judges, ""]
    assert after.column("attribution").to_pylist() == ["evaluated", "probe"]


def test_halves_of_a_connection_keep_what_was_done_to_each(node: Node, other_node: Node) -> None:
    before = node.named.enrich(node.batch({}))
    after, _ = other_node.named.again(before, judge=False)
    assert after.column("policy_trace").to_pylist() == [f"{OUT} {IN}"]


def test_nothing_is_said_of_what_came_long_after_all_that_is_known(node: Node) -> None:
    far = time.time_ns() + 3_600 * SECOND
    assert node.traces({"started": far}) == [""]


def test_host_endpoints_have_their_say(evaluated: Callable[..., list[Body]]) -> None:
    host = {
        "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": {"name": "node-1", "labels": {"role": "host"}},
        "spec": {"node": "node-1", "interfaceName": "eth0"},
    }  # fmt: skip
    forward = {
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "hosts"},
        "spec": {"selector": "role == 'host'", "applyOnForward": True, "types": ["Ingress", "Egress"],
                 "ingress": [{"action": "Deny"}], "egress": [{"action": "Allow"}]},
    }  # fmt: skip
    found = evaluated(
        [WEB, CART, POLICY, host, forward], {}, {"src_address": "203.0.113.1", "verdict": "denied"},
        {"dst_address": "203.0.113.1"},
    )  # fmt: skip
    denied, passed = "ingress|default|gnp:hosts|deny|0", "egress|default|gnp:hosts|allow|0"
    assert [flow["policy_trace"] for flow in found] == [f"{OUT} {IN}", denied, f"{OUT} {passed}"]
    assert [(flow["egress_action"], flow["ingress_action"]) for flow in found] == [
        ("allow", "allow"), ("", "deny"), ("allow", "")
    ]  # fmt: skip


def _host(name: str, interface: str, *addresses: str) -> Body:
    return {
        "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": {"name": name, "labels": {"role": "host"}},
        "spec": {"node": name, "interfaceName": interface, "expectedIPs": list(addresses)},
    }  # fmt: skip


def _global(name: str, selected: str, **spec: Any) -> Body:
    return {
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name},
        "spec": {"selector": selected, **spec},
    }  # fmt: skip


def test_host_endpoints_of_other_nodes_are_peers(evaluated: Callable[..., list[Body]]) -> None:
    rules = [{"action": "Allow", "source": {"selector": "role == 'host'"}}, {"action": "Allow"}]
    policy = _global("p", "app == 'cart'", ingress=rules)
    row = {"src_address": "192.168.0.2", "reporter": "dst"}
    (flow,) = evaluated([CART, policy, _host("node-2", "eth0", "192.168.0.2")], row)
    assert flow["deciding_rule"] == "ingress|default|gnp:p|allow|0"


def test_what_is_judged_before_translation_is_not_told_from_what_is_seen_after(
    evaluated: Callable[..., list[Body]],
) -> None:
    early = _global(
        "early", "role == 'host'", applyOnForward=True, preDNAT=True, ingress=[{"action": "Allow"}]
    )
    row = {"src_address": "203.0.113.1", "reporter": "dst"}
    dialled = {"service_address": "10.96.0.1", "service_port": 80}
    found = evaluated([CART, early, _host("node-1", "eth0")], row, {**row, **dialled})
    assert [flow["attribution"] for flow in found] == ["evaluated", "none"]


def test_address_that_passed_on_while_a_probe_counted_tells_nothing(
    evaluated: Callable[..., list[Body]],
) -> None:
    """It knows but the interval in which a packet was dropped."""
    born = 1_767_225_600
    pod = _pod("web", "10.0.0.1", "node-2")
    pod["status"]["startTime"] = "2026-01-01T00:00:00Z"
    row = {"dst_port": 22, "verdict": "denied", "attribution": "probe", "reporter": "dst"}
    times = [{"started": (born + a) * SECOND, "time": (born + b) * SECOND} for a, b in ((-1, 1), (1, 2))]
    found = evaluated([pod, CART, POLICY], *({**row, **each} for each in times))
    assert [flow["attribution"] for flow in found] == ["probe", "evaluated"]
