"""What stands behind services."""

from __future__ import annotations

import ipaddress

from model import cluster, enums
from policy import services

TCP, UDP = enums.Protocol.TCP, enums.Protocol.UDP


def _pod(name: str, address: str, **more: object) -> cluster.Pod:
    ports = (cluster.ContainerPort(name="http", number=8080, protocol=TCP),
             cluster.ContainerPort(name="http", number=53, protocol=UDP))  # fmt: skip
    given = {"labels": {"app": "web"}, "ports": ports, **more}
    return cluster.Pod(namespace="shop", name=name, addresses=(address,), **given)  # type: ignore[arg-type]


def _service(target: int | str, **more: object) -> cluster.Service:
    port = cluster.ServicePort(name="", number=80, target=target, protocol=TCP)
    given = {"namespace": "shop", "selector": {"app": "web"}, **more}
    return cluster.Service(name="web", addresses=(), ports=(port,), **given)  # type: ignore[arg-type]


PODS = (
    _pod("a", "10.0.0.1"), _pod("b", "10.0.0.2", labels={}), _pod("c", "10.0.0.3", phase="Failed"),
    _pod("d", "10.0.0.4", deleted=1), _pod("e", "172.31.0.1", host_network=True),
)  # fmt: skip


def _behind(service: cluster.Service) -> set[tuple[str, int, int]]:
    found = services.behind(cluster.Cluster(pods=PODS, services=(service,)))
    assert found.keys() == {(service.namespace, "web")}
    return {
        (str(net.network_address), protocol, port) for net, protocol, port in found[service.namespace, "web"]
    }


def test_pods_that_are_selected_and_live() -> None:
    assert _behind(_service(9000)) == {("10.0.0.1", TCP, 9000), ("172.31.0.1", TCP, 9000)}


def test_port_by_its_name_and_protocol() -> None:
    assert _behind(_service("http")) == {("10.0.0.1", TCP, 8080), ("172.31.0.1", TCP, 8080)}


def test_service_without_selector_or_of_another_namespace_has_nothing() -> None:
    assert _behind(_service(80, selector={})) == set()
    assert _behind(_service(80, namespace="bank")) == set()


def test_addresses_are_networks() -> None:
    found = services.behind(cluster.Cluster(pods=PODS[:1], services=(_service(80),)))
    assert found["shop", "web"] == {(ipaddress.ip_network("10.0.0.1"), TCP, 80)}


def test_what_was_listed_by_hand_is_behind_it() -> None:
    slices = [
        cluster.EndpointSlice(
            namespace="shop", service="web", made_by_hand=by_hand, addresses=("203.0.113.9",),
            ports=((TCP, 443),),
        ) for by_hand in (True, False)
    ]  # fmt: skip
    without = cluster.Cluster(pods=PODS, services=(_service(80, selector={}),), slices=tuple(slices))
    behind = frozenset({(ipaddress.ip_network("203.0.113.9"), TCP, 443)})
    assert services.behind(without) == {("shop", "web"): behind}
    assert services.behind(cluster.Cluster(slices=tuple(slices))) == {("shop", "web"): behind}
