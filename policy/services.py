"""What stands behind services, for rules that name one (libcalico-go/lib/backend/model, felix/calc)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from model import cluster
from policy import objects, subjects


def behind(found: cluster.Cluster) -> dict[tuple[str, str], frozenset[tuple[objects.Network, int, int]]]:
    """Namespace and name of each service to its addresses, with protocol and port.

    They are the pods that it selects, and what somebody has listed by hand.
    """
    pods: dict[str, list[cluster.Pod]] = {}
    for pod in found.pods:
        if pod.addresses and not pod.deleted and not subjects.has_ended(pod):
            pods.setdefault(pod.namespace, []).append(pod)
    by_hand: dict[tuple[str, str], list[cluster.EndpointSlice]] = {}
    for part in found.slices:
        if part.made_by_hand:
            by_hand.setdefault((part.namespace, part.service), []).append(part)
    selected = {
        (service.namespace, service.name): _addresses(service, pods.get(service.namespace, []))
        for service in found.services
    }
    return {
        name: frozenset([*selected.get(name, ()), *_listed(by_hand.get(name, ()))])
        for name in selected.keys() | by_hand.keys()
    }


def _listed(parts: Iterable[cluster.EndpointSlice]) -> Iterator[tuple[objects.Network, int, int]]:
    for part in parts:
        for address in part.addresses:
            for protocol, number in part.ports:
                yield ipaddress.ip_network(address), int(protocol), number


def _addresses(service: cluster.Service, pods: list[cluster.Pod]) -> list[tuple[objects.Network, int, int]]:
    if not service.selector:
        return []
    chosen = [pod for pod in pods if service.selector.items() <= pod.labels.items()]
    return [
        (ipaddress.ip_network(address), int(port.protocol), number)
        for pod in chosen for port in service.ports for number in _numbers(port, pod)
        for address in pod.addresses
    ]  # fmt: skip


def _numbers(port: cluster.ServicePort, pod: cluster.Pod) -> list[int]:
    if isinstance(port.target, int):
        return [port.target]
    return [one.number for one in pod.ports if one.name == port.target and one.protocol == port.protocol]
