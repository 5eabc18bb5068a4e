"""Who there is, by columns: endpoints with their labels and ports, and the address space as rules cut it.

A selector of Calico's stands for a set of addresses: those of the endpoints and of the network sets that it
matches (felix/calc/rule_scanner.go). So an end of a connection is matched by its own labels, and by those of
every network set that has its address.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model import address, cluster, enums
from policy import cells, labelsets, objects, selector, subjects, transports
from policy import hosts as host_endpoints

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

NOBODY = -1
"""Instead of a pod's number: the address is none of a pod's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ends:
    """Ends of connections, as columns of one length.

    Attributes:
        pods: The number of the pod among `World.pods`, or `NOBODY`.
        packed: The address, shape (n, 16).
    """

    pods: Codes
    packed: address.Packed

    def __len__(self) -> int:
        return len(self.pods)


@dataclasses.dataclass(frozen=True, slots=True)
class Whom:
    """What a rule says about the addresses of one side, its ports apart.

    Attributes:
        own: Whether the labels have to be those of the pod itself, as a port's name has to be.
    """

    members: selector.Selector | None = None
    not_members: selector.Selector | None = None
    nets: tuple[objects.Network, ...] = ()
    not_nets: tuple[objects.Network, ...] = ()
    own: bool = False


ANYBODY = Whom()


class World:
    """A cluster as rules see it at one moment.

    Args:
        found: The cluster.
        networks: The networks that rules speak of.

    Attributes:
        pods: The pods that policies and selectors can match.
        hosts: The host endpoints.
    """

    def __init__(self, found: cluster.Cluster, networks: Iterable[objects.Network] = ()) -> None:
        endpoints = subjects.endpoints(found)
        self.pods, self._sets, hosts = (
            tuple(end for end in endpoints if end.kind is kind)
            for kind in (
                enums.EndpointKind.POD, enums.EndpointKind.NETWORK_SET, enums.EndpointKind.HOST_ENDPOINT
            )
        )  # fmt: skip
        self.labels = labelsets.LabelSets([end.labels for end in endpoints])
        around = endpoints[len(self.pods) :]
        self._cells = cells.Cells([*networks, *(net for one in around for net in one.nets)])
        self._covers = [self._cells.within(one.nets) for one in around]
        self._tables, self._table_of = _port_tables([*self.pods, *hosts])
        self.names = transports.NameSets(self._tables)
        nodes = _node_numbers(found)
        self._pod_nodes = np.array([nodes[pod.node] if pod.node else NOBODY for pod in self.pods], np.int32)
        self._host_nodes = _host_nodes(found, nodes)
        self.hosts = host_endpoints.Hosts(found, hosts, nodes)
        self._covered: dict[selector.Selector, Mask | None] = {}

    def classes(self, ends: Ends) -> tuple[Classes, Codes]:
        """The different ends as far as rules can tell, and which of them each is."""
        places = self._cells.find(ends.packed)
        numbers = ends.pods
        if len(self.hosts):
            having = self.hosts.having(ends.packed)
            numbers = np.where(
                (ends.pods == NOBODY) & (having != host_endpoints.NONE), len(self.pods) + having, ends.pods
            )
        labels = np.concatenate([self.labels.codes[: len(self.pods)], self.host_labels, [NOBODY]])[numbers]
        tables = np.append(self._table_of, 0)[numbers]
        key = (labels.astype(np.int64) + 1) << 42 | tables.astype(np.int64) << 21 | places
        _, first, codes = np.unique(key, return_index=True, return_inverse=True)
        return Classes(self, labels[first], tables[first], places[first]), codes.astype(np.int32)

    @property
    def host_labels(self) -> Codes:
        """The number of each host endpoint's label set."""
        return self.labels.codes[len(self.pods) + len(self._sets) :]

    def namespaces(self) -> dict[int, str]:
        """The namespace of each label set that a pod has."""
        return dict(zip(self.labels.codes.tolist(), (pod.namespace for pod in self.pods), strict=False))

    def nodes_of(self, ends: Ends) -> Codes:
        """The number of the node that each end is on, if it is a pod, or that it is; `NOBODY` for others."""
        of_pods = np.append(self._pod_nodes, NOBODY)[ends.pods]
        return np.where(ends.pods == NOBODY, self._host_nodes.find(ends.packed), of_pods)

    def covered(self, members: selector.Selector) -> Mask | None:
        """Which cells lie in a network set, or are a host endpoint's, that a selector matches; or None."""
        if members not in self._covered:
            matched = self.labels.matching(members)[self.labels.codes[len(self.pods) :]]
            which = [self._covers[i] for i in np.flatnonzero(matched)]
            self._covered[members] = np.logical_or.reduce(which) if which else None
        return self._covered[members]

    def within(self, networks: tuple[objects.Network, ...]) -> Mask:
        """Which cells lie in one of some networks."""
        return self._cells.within(networks)

    def families(self, places: Codes) -> npt.NDArray[np.uint8]:
        """The address family (4 or 6) of cells."""
        return self._cells.families[places]


class Classes:
    """Ends that are different to rules; made by `World.classes`.

    Args:
        world: Where they are.
        labels: The number of each one's label set; -1 for an end that is no pod.
        tables: The number of each one's table of port names.
        places: The cell of each one's address.

    Attributes:
        families: The address family (4 or 6) of each.
    """

    def __init__(self, world: World, labels: Codes, tables: Codes, places: Codes) -> None:
        self._world = world
        self.labels, self.tables, self._places = labels, tables, places
        self.families = world.families(places)

    def __len__(self) -> int:
        return len(self.labels)

    def matching(self, whom: Whom) -> Mask:
        """Which of them a rule's side matches, its ports apart."""
        found = np.ones(len(self), bool)
        if whom.members is not None:
            found &= self._members(whom.members, own=whom.own)
        if whom.not_members is not None:
            found &= ~self._members(whom.not_members, own=False)
        if whom.nets:
            found &= self._within(whom.nets)
        if whom.not_nets:
            listed = {net.version for net in whom.not_nets}
            found &= ~self._within(whom.not_nets) & np.isin(self.families, list(listed))
        return found

    def _members(self, members: selector.Selector, *, own: bool) -> Mask:
        found = np.append(self._world.labels.matching(members), False)[self.labels]
        covered = None if own else self._world.covered(members)
        return found if covered is None else found | covered[self._places]

    def _within(self, networks: tuple[objects.Network, ...]) -> Mask:
        return self._world.within(networks)[self._places]


def _node_numbers(found: cluster.Cluster) -> dict[str, int]:
    names = [node.name for node in found.nodes]
    names += [pod.node for pod in found.pods] + [one.node for one in found.host_endpoints]
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def _host_nodes(found: cluster.Cluster, nodes: Mapping[str, int]) -> host_endpoints.Addresses:
    """The addresses of nodes, with the nodes' numbers.

    A pod on its node's own network has its node's address.
    """
    hosts: dict[bytes, int] = {}
    for pod in found.pods:
        if pod.host_network and pod.node:
            hosts |= {address.pack(text): nodes[pod.node] for text in pod.addresses}
    for one in found.host_endpoints:
        hosts |= {address.pack(text): nodes[one.node] for text in one.addresses}
    for node in found.nodes:
        hosts |= {address.pack(text): nodes[node.name] for text in node.addresses}
    return host_endpoints.Addresses(hosts)


def _port_tables(pods: Sequence[subjects.Endpoint]) -> tuple[list[transports.Names], Codes]:
    """The different tables of named ports, an empty one first, and which of them each pod has."""
    known: dict[tuple[cluster.ContainerPort, ...], int] = {(): 0}
    of = np.fromiter((known.setdefault(pod.ports, len(known)) for pod in pods), np.int32, len(pods))
    return [_names(ports) for ports in known], of


def _names(ports: Iterable[cluster.ContainerPort]) -> transports.Names:
    found: dict[tuple[int, int], frozenset[str]] = {}
    for port in ports:
        key = (int(port.protocol), port.number)
        found[key] = found.get(key, frozenset()) | {port.name}
    return found


def networks_of(policies: objects.PolicySet) -> Iterator[objects.Network]:
    """Every network that rules speak of."""
    rules = [(one.ingress, one.egress) for one in (*policies.policies, *policies.staged)]
    rules += [(one.ingress, one.egress) for one in policies.profiles]
    for both in rules:
        for rule in itertools.chain(*both):
            for peer in (rule.source, rule.destination):
                yield from peer.nets
                yield from peer.not_nets


def pack(texts: Iterable[str]) -> address.Packed:
    """Addresses in text form, of shape (n, 16)."""
    return np.frombuffer(b"".join(map(address.pack, texts)), np.uint8).reshape(-1, 16)


def addresses(pod: subjects.Endpoint) -> dict[int, str]:
    """A pod's address of each family."""
    return {net.version: str(ipaddress.ip_network(net).network_address) for net in pod.nets}
