"""Labels of endpoints, what applies to them, and whom selectors match."""

from __future__ import annotations

import dataclasses

import pytest

from model import cluster, enums
from policy import objects, selector, subjects

TCP, UDP = enums.Protocol.TCP, enums.Protocol.UDP
WEB = cluster.Pod(
    namespace="shop", name="web", labels={"app": "web", "pcns.team": "fake"}, node="a", service_account="sa",
    addresses=("10.0.0.1", "2001:db8::1"),
    ports=(cluster.ContainerPort(name="http", number=8080, protocol=TCP),
           cluster.ContainerPort(name="", number=1, protocol=TCP)),
)  # fmt: skip
CART = cluster.Pod(
    namespace="shop", name="cart", labels={"app": "cart"}, node="b", addresses=("10.0.0.2",),
    ports=(cluster.ContainerPort(name="http", number=80, protocol=TCP),
           cluster.ContainerPort(name="http", number=80, protocol=UDP)),
)  # fmt: skip
OFFICE = cluster.NetworkSet(
    namespace="shop", name="office", labels={"app": "web"}, networks=("192.0.2.0/25", "192.0.2.128/25")
)
WORLD = cluster.NetworkSet(namespace="", name="world", labels={"app": "web"}, networks=("2001:db8::/64",))
CLUSTER = cluster.Cluster(
    pods=(WEB, CART),
    namespaces=(cluster.Namespace(name="shop", labels={"team": "red"}),),
    network_sets=(OFFICE, WORLD),
)


def _subjects(*policies: objects.Policy, tiers: tuple[objects.Tier, ...] = ()) -> subjects.Subjects:
    return subjects.Subjects(objects.policy_set(tiers, policies), CLUSTER)


def test_pod_has_own_and_inherited_labels() -> None:
    assert subjects.pod_labels(WEB, {"team": "red"}) == {
        "app": "web", "pcns.team": "red", "pcns.projectcalico.org/name": "shop",
        "pcsa.projectcalico.org/name": "sa", "projectcalico.org/namespace": "shop",
        "projectcalico.org/orchestrator": "k8s", "projectcalico.org/serviceaccount": "sa",
    }  # fmt: skip


def test_pod_has_the_labels_of_its_service_account() -> None:
    account = cluster.ServiceAccount(namespace="shop", name="sa", labels={"role": "front"})
    of_another = cluster.ServiceAccount(namespace="bank", name="sa", labels={"role": "back"})
    web, *_ = subjects.endpoints(dataclasses.replace(CLUSTER, accounts=(account, of_another)))
    assert web.labels["pcsa.role"] == "front"
    assert subjects.endpoints(CLUSTER)[0].labels.get("pcsa.role") is None


def test_long_service_account_is_no_label() -> None:
    pod = dataclasses.replace(WEB, service_account="s" * 63)
    assert "projectcalico.org/serviceaccount" not in subjects.pod_labels(pod, {})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, True, id="running"),
        pytest.param({"phase": "Pending"}, True, id="pending with an address"),
        pytest.param({"host_network": True}, False, id="host network"),
        pytest.param({"addresses": ()}, False, id="no address"),
        pytest.param({"deleted": 1}, False, id="deleted"),
        pytest.param({"phase": "Succeeded"}, False, id="finished"),
        pytest.param({"phase": "Failed"}, False, id="failed"),
    ],
)
def test_only_pods_with_own_addresses_are_endpoints(changes: dict[str, object], expected: bool) -> None:
    assert subjects.is_endpoint(dataclasses.replace(WEB, **changes)) is expected  # type: ignore[arg-type]


def _policy(name: str, text: str, **fields: object) -> objects.Policy:
    given: dict[str, object] = {"types": frozenset({enums.Direction.INGRESS}), **fields}
    return objects.Policy(kind="gnp", name=name, subjects=selector.parse(text), **given)  # type: ignore[arg-type]


def test_applying_policies_come_by_tier_in_order() -> None:
    found = _subjects(
        _policy("last", "all()"),
        _policy("first", "app == 'web'", order=1.0),
        _policy("other", "app == 'cart'"),
        _policy("early", "pcns.team == 'red'", tier="ops"),
        _policy("outward", "all()", types=frozenset({enums.Direction.EGRESS})),
        tiers=(objects.Tier(name="ops", order=5), objects.Tier(name="unused", order=1)),
    )
    labels = found.local("a")[0].labels
    applying = found.applying(labels, enums.Direction.INGRESS)
    names = [(tier.name, [policy.name for policy in policies]) for tier, policies in applying]
    assert names == [("ops", ["early"]), ("default", ["first", "last"])]


@pytest.mark.parametrize(
    ("text", "family", "expected"),
    [
        pytest.param("app == 'web'", 4, ["10.0.0.1/32", "192.0.2.0/24"], id="pods and sets, merged"),
        pytest.param("app == 'web'", 6, ["2001:db8::/64"], id="a set covers the pod"),
        pytest.param(
            "app == 'web' && projectcalico.org/orchestrator == 'k8s'", 4, ["10.0.0.1/32"], id="pods"
        ),
        pytest.param("pcns.team == 'red' && app == 'web'", 6, ["2001:db8::1/128"], id="global set has none"),
        pytest.param("global()", 6, ["2001:db8::/64"], id="global"),
        pytest.param("app == 'none'", 4, [], id="nobody"),
    ],
)
def test_selector_gives_networks_of_members(text: str, family: int, expected: list[str]) -> None:
    found = _subjects().networks(selector.parse(text), family)
    assert [str(net) for net in found] == expected


def test_named_port_is_each_pods_own_number() -> None:
    found = _subjects()
    everybody = found.named_ports("http", TCP, None, 4)
    assert [(str(address), number) for address, number in everybody] == [("10.0.0.1", 8080), ("10.0.0.2", 80)]
    assert [number for _, number in found.named_ports("http", TCP, selector.parse("app == 'web'"), 6)] == [
        8080
    ]
    assert found.named_ports("", TCP, None, 4) == ()
