"""Whom policies are about: endpoints with their labels, what applies to them, and whom rules select.

Labels, profiles and scoping follow Calico (libcalico-go/lib/backend/k8s/conversion, felix/calc).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping

from model import cluster, enums
from policy import calico, kubernetes, objects, selector

NAME_LABEL = "projectcalico.org/name"
"""Under the inheritance prefixes: the name of the namespace, or of the service account."""

_ACCOUNT_LIMIT = 63  # a longer name is no label value, and Calico leaves the label out
_ENDED = ("Succeeded", "Failed")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What a rule's selectors can match: a pod with its own addresses, a network set, or a host endpoint.

    Attributes:
        kind: ``pod``, ``network_set`` or ``host_endpoint``; network sets are not subject to policies.
        namespace: Empty for global network sets and host endpoints.
        node: Where a pod runs, or whose interface it is; empty for network sets.
        labels: Its own and the inherited ones.
        nets: Its addresses or networks, of both families.
        ports: The ports that have a name.
        profiles: The profiles that decide once every tier has passed.
    """

    kind: enums.EndpointKind
    namespace: str
    name: str
    node: str = ""
    labels: Mapping[str, str]
    nets: tuple[objects.Network, ...]
    ports: tuple[cluster.ContainerPort, ...] = ()
    profiles: tuple[str, ...] = ()


def has_ended(pod: cluster.Pod) -> bool:
    """Whether it has given its addresses up, though its object may still show them."""
    return pod.phase in _ENDED


def is_endpoint(pod: cluster.Pod) -> bool:
    """Whether the pod has addresses of its own at present, so that policies and rules can select it."""
    return bool(pod.addresses) and not pod.host_network and not pod.deleted and not has_ended(pod)


def pod_labels(
    pod: cluster.Pod, namespace_labels: Mapping[str, str], account_labels: Mapping[str, str] | None = None
) -> dict[str, str]:
    """All labels that selectors see on a pod; its own win over inherited ones."""
    account = pod.service_account
    own = {**_own(pod.labels), selector.NAMESPACE_LABEL: pod.namespace}
    own[kubernetes.ORCHESTRATOR_LABEL] = "k8s"
    if len(account) < _ACCOUNT_LIMIT:
        own[calico.ACCOUNT_LABEL] = account
    of_account = {f"{calico.ACCOUNT_PREFIX}{name}": value for name, value in (account_labels or {}).items()}
    inherited = {**of_account, f"{calico.ACCOUNT_PREFIX}{NAME_LABEL}": account}
    return {**_inherited(pod.namespace, namespace_labels), **inherited, **own}


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels without those that pretend to be inherited; Calico drops them too."""
    prefixes = (calico.NAMESPACE_PREFIX, calico.ACCOUNT_PREFIX)
    return {name: value for name, value in labels.items() if not name.startswith(prefixes)}


def _inherited(namespace: str, labels: Mapping[str, str]) -> dict[str, str]:
    found = {f"{calico.NAMESPACE_PREFIX}{name}": value for name, value in labels.items()}
    return {**found, f"{calico.NAMESPACE_PREFIX}{NAME_LABEL}": namespace}


def _set_labels(found: cluster.NetworkSet, namespaces: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    if not found.namespace:
        return _own(found.labels)
    inherited = _inherited(found.namespace, _labels_of(found.namespace, namespaces))
    return {**inherited, **_own(found.labels), selector.NAMESPACE_LABEL: found.namespace}


def _labels_of(namespace: str, known: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """A namespace that no manifest holds still has the label that the API server gives it."""
    return known.get(namespace, {"kubernetes.io/metadata.name": namespace})


def endpoints(found: cluster.Cluster) -> tuple[Endpoint, ...]:
    """All pods that are endpoints, then all network sets, then all host endpoints."""
    namespaces = {namespace.name: namespace.labels for namespace in found.namespaces}
    accounts = {(account.namespace, account.name): account.labels for account in found.accounts}
    pods = tuple(
        Endpoint(
            kind=enums.EndpointKind.POD, namespace=pod.namespace, name=pod.name, node=pod.node,
            labels=pod_labels(
                pod, _labels_of(pod.namespace, namespaces), accounts.get((pod.namespace, pod.service_account))
            ),
            nets=tuple(ipaddress.ip_network(address) for address in pod.addresses),
            ports=tuple(port for port in pod.ports if port.name),
            profiles=(f"kns.{pod.namespace}", f"ksa.{pod.namespace}.{pod.service_account}"),
        )
        for pod in found.pods if is_endpoint(pod)
    )  # fmt: skip
    sets = tuple(
        Endpoint(
            kind=enums.EndpointKind.NETWORK_SET, namespace=one.namespace, name=one.name,
            labels=_set_labels(one, namespaces), nets=tuple(ipaddress.ip_network(n) for n in one.networks),
        )
        for one in found.network_sets
    )  # fmt: skip
    hosts = tuple(
        Endpoint(
            kind=enums.EndpointKind.HOST_ENDPOINT, namespace="", name=one.name, node=one.node,
            labels=_own(one.labels), nets=tuple(ipaddress.ip_network(a) for a in one.addresses),
            ports=one.ports, profiles=one.profiles,
        )
        for one in found.host_endpoints
    )  # fmt: skip
    return pods + sets + hosts


class Subjects:
    """A cluster's endpoints against its policies."""

    def __init__(self, policies: objects.PolicySet, found: cluster.Cluster) -> None:
        self._policies = policies
        self.endpoints = endpoints(found)

    def local(self, node: str) -> tuple[Endpoint, ...]:
        """The pods of one node, by namespace and name."""
        here = [end for end in self.endpoints if end.node == node and end.kind is enums.EndpointKind.POD]
        return tuple(sorted(here, key=lambda end: (end.namespace, end.name)))

    def applying(
        self, labels: Mapping[str, str], direction: enums.Direction
    ) -> list[tuple[objects.Tier, list[objects.Policy]]]:
        """What judges an endpoint with these labels, in order; a tier without a policy for it is left out."""
        found: dict[str, list[objects.Policy]] = {}
        for policy in self._policies.policies:
            if direction in policy.types and not policy.early and policy.subjects.matches(labels):
                found.setdefault(policy.tier, []).append(policy)
        return [(tier, found[tier.name]) for tier in self._policies.tiers if tier.name in found]

    def networks(self, members: selector.Selector, family: int) -> tuple[objects.Network, ...]:
        """The addresses of one family (4 or 6) that belong to endpoints or network sets that match.

        They are merged where they touch or overlap, and in order.
        """
        matching = [net for end in self._matching(members) for net in end.nets if net.version == family]
        return collapse(matching)

    def named_ports(
        self, name: str, protocol: int, members: selector.Selector | None, family: int
    ) -> tuple[tuple[Address, int], ...]:
        """Address and number of each port of that name and protocol on pods that match; None is any pod."""
        found = {
            (net.network_address, port.number)
            for end in self._matching(members)
            for port in end.ports
            if port.name == name and port.protocol == protocol
            for net in end.nets
            if net.version == family
        }
        return tuple(sorted(found, key=lambda pair: (int(pair[0]), pair[1])))

    def _matching(self, members: selector.Selector | None) -> Iterable[Endpoint]:
        return (end for end in self.endpoints if members is None or members.matches(end.labels))


def collapse(nets: Iterable[objects.Network]) -> tuple[objects.Network, ...]:
    """The fewest networks that cover the same addresses, in order, IPv4 first."""
    found = list(nets)
    four = [net for net in found if isinstance(net, ipaddress.IPv4Network)]
    six = [net for net in found if isinstance(net, ipaddress.IPv6Network)]
    return (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
