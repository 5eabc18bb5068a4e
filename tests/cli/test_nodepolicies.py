"""The policies that have a say about a node's own pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cli import nodepolicies
from model import cluster, enums, errors, manifest

Body = dict[str, Any]
INGRESS = enums.Direction.INGRESS


def _policy(name: str, namespace: str, app: str, **rule: Any) -> Body:
    return {
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy" if namespace else "GlobalNetworkPolicy",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {"selector": f"app == '{app}'", "ingress": [{"action": "Allow", **rule}]},
    }  # fmt: skip


def _host(name: str, address: str) -> Body:
    return {
        "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": {"name": name, "labels": {"app": "host"}},
        "spec": {"node": name, "interfaceName": "eth0", "expectedIPs": [address]},
    }  # fmt: skip


def _given(serial: int, *bodies: Body) -> nodepolicies.Given:
    def some(kinds: tuple[str, ...], namespace: str | None = None) -> Iterator[manifest.Document]:
        for i, body in enumerate(bodies, 1):
            if body["kind"] in kinds and namespace in (None, body["metadata"].get("namespace", "")):
                yield manifest.Document("f", i, body)

    return nodepolicies.Given(
        serial, 0, lambda: some(("HostEndpoint",)),
        lambda namespace: some(("NetworkPolicy", "GlobalNetworkPolicy"), namespace),
    )  # fmt: skip


def _pods(*apps: str, namespace: str = "shop") -> dict[nodepolicies.Alike, cluster.Pod]:
    return {
        (namespace, hash(app), "", "n1", ""): cluster.Pod(
            namespace=namespace, name=app, labels={"app": app}, node="n1", addresses=("10.0.0.1",)
        ) for app in apps
    }  # fmt: skip


def _names(of: nodepolicies.NodePolicies) -> list[str]:
    return sorted(policy.name for policy in of.policies.policies)


POLICIES = (
    _policy("web", "shop", "web"), _policy("cart", "shop", "cart"), _policy("other", "bank", "web"),
    _policy("every-web", "", "web"), _policy("hosts", "", "host"),
)  # fmt: skip


def test_what_selects_pods_here_is_had_and_stays() -> None:
    of = nodepolicies.NodePolicies()
    of.learn(_given(1, *POLICIES), _pods("web"))
    assert _names(of) == ["every-web", "web"]
    of.learn(_given(1, *POLICIES), _pods("cart"))
    assert _names(of) == ["cart", "every-web", "web"]


def test_after_a_change_all_is_read_anew() -> None:
    of = nodepolicies.NodePolicies()
    of.learn(_given(1, *POLICIES), _pods("web", "cart"))
    of.learn(_given(2, *POLICIES[1:]), _pods("web"))
    assert _names(of) == ["every-web"]


def test_what_selects_host_endpoints_is_had() -> None:
    of = nodepolicies.NodePolicies()
    of.learn(_given(1, *POLICIES, _host("n1", "172.31.0.1")), {})
    assert _names(of) == ["hosts"]


def test_host_endpoints_of_others_are_labelled_addresses() -> None:
    of = nodepolicies.NodePolicies()
    of.learn(_given(1, _host("n1", "172.31.0.1"), _host("n2", "172.31.0.2")), {})
    seen = of.seen_from(frozenset({"n1"}))
    assert [one.name for one in seen.host_endpoints] == ["n1"]
    assert [(one.labels, one.networks) for one in seen.network_sets] == [({"app": "host"}, ("172.31.0.2",))]


def test_what_could_not_be_read_is_read_again() -> None:
    of = nodepolicies.NodePolicies()
    broken = {**POLICIES[3], "spec": {"typos": 1}}
    for _ in range(2):
        with pytest.raises(errors.ManifestError):
            of.learn(_given(1, POLICIES[0], broken), _pods("web"))
    of.learn(_given(1, *POLICIES), _pods("web"))
    assert _names(of) == ["every-web", "web"]


def test_many_pods_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodepolicies, "_MOST_SUBJECTS", 1)
    of = nodepolicies.NodePolicies()
    of.learn(_given(1, *POLICIES), _pods("web", "cart"))
    of.learn(_given(1, *POLICIES), _pods("cart"))
    assert _names(of) == ["cart"]


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        ({}, (False, False)),
        ({"source": {"services": {"name": "s", "namespace": "shop"}}}, (True, False)),
        ({"protocol": "TCP", "source": {"ports": [80]}}, (False, True)),
        ({"protocol": "TCP", "source": {"notPorts": ["http"]}}, (False, True)),
        ({"protocol": "TCP", "destination": {"ports": [80]}}, (False, False)),
    ],
    ids=str,
)
def test_what_rules_ask_for(rule: Body, asks: tuple[bool, bool]) -> None:
    of = nodepolicies.NodePolicies()
    of.learn(_given(1, _policy("web", "shop", "web", **rule)), _pods("web"))
    (policy,) = of.policies.policies
    assert of.asks(policy, INGRESS) == asks
