"""The policies that have a say about a node's own pods, and what they are read with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from model import cluster, enums, manifest
from policy import objects, parse, subjects

Alike = tuple[str, int, str, str, str]
"""What policies tell pods apart by: namespace, label set, service account, node, ports."""

_MOST_SUBJECTS = 10_000
"""So many different pods are remembered as known; each run of a job may have labels of its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What policies are in force.

    Attributes:
        serial: Another one after each change; 0 before any is known, -1 where not all are understood.
        changed: When that was, in ns since 1970.
        around: What they are read with: namespaces, accounts, network sets.
        policies: Those of one namespace; under no name those of none, with tiers and profiles.
    """

    serial: int
    changed: int
    around: Callable[[], Iterable[manifest.Document]]
    policies: Callable[[str], Iterable[manifest.Document]]


class NodePolicies:
    """The policies that select this node's pods and host endpoints.

    Attributes:
        policies: These.
    """

    def __init__(self) -> None:
        self._serial = 0
        self._forget()

    def _forget(self) -> None:
        self.policies = objects.policy_set((), (), ())
        self._around = cluster.Cluster()
        self._seen: dict[frozenset[str], cluster.Cluster] = {}
        self._all: dict[str, objects.PolicySet] = {}
        self._subjects: set[Alike] = set()
        self._kept: dict[str, objects.Policy] = {}
        self._asked: dict[tuple[str, enums.Direction], tuple[bool, bool]] = {}

    def learn(self, given: Given, pods: Mapping[Alike, cluster.Pod]) -> None:
        """Have all policies that select one of these pods, beside those that select others here.

        Raises:
            ManifestError: If a policy is not understood.
        """
        if given.serial != self._serial or len(self._subjects) > _MOST_SUBJECTS:
            self._forget()
            self._serial = 0  # until all of it is read
            self._around = cluster.read(given.around())
            self._all[""] = parse.parse(given.policies(""))
            self._select(_labels(self._around, ()))
            self._serial = given.serial
        new = {alike: pod for alike, pod in pods.items() if alike not in self._subjects}
        if new:
            for namespace in {pod.namespace for pod in new.values()} - self._all.keys():
                self._all[namespace] = parse.parse(given.policies(namespace))
            self._select(_labels(self._around, tuple(new.values())))
            self._subjects |= new.keys()

    def _select(self, labels: Sequence[Mapping[str, str]]) -> None:
        for policy in (one for part in self._all.values() for one in part.policies):
            if policy.identity not in self._kept and any(policy.subjects.matches(one) for one in labels):
                self._kept[policy.identity] = policy
        whole = self._all[""]
        declared = [tier for tier in whole.tiers if tier.declared]
        self.policies = objects.policy_set(declared, self._kept.values(), whole.profiles)

    def seen_from(self, nodes: frozenset[str]) -> cluster.Cluster:
        """What policies are read with; host endpoints of other nodes are nothing but labelled addresses."""
        if nodes not in self._seen:
            hosts = self._around.host_endpoints
            others = tuple(
                cluster.NetworkSet(namespace="", name=one.name, labels=one.labels, networks=one.addresses)
                for one in hosts if one.node not in nodes and one.addresses
            )  # fmt: skip
            self._seen[nodes] = dataclasses.replace(
                self._around, host_endpoints=tuple(one for one in hosts if one.node in nodes),
                network_sets=(*self._around.network_sets, *others),
            )  # fmt: skip
        return self._seen[nodes]

    def asks(self, policy: objects.Policy, direction: enums.Direction) -> tuple[bool, bool]:
        """Whether one of its rules is about a service, and whether one is about the source's port."""
        key = policy.identity, direction
        if key not in self._asked:
            rules = policy.rules(direction)
            self._asked[key] = any(map(_is_about_service, rules)), any(map(_is_about_source_port, rules))
        return self._asked[key]


def _labels(around: cluster.Cluster, pods: tuple[cluster.Pod, ...]) -> list[Mapping[str, str]]:
    """The labels of pods, or of the host endpoints where no pods are given."""
    hosts = () if pods else around.host_endpoints
    here = dataclasses.replace(around, pods=pods, network_sets=(), host_endpoints=hosts)
    return [end.labels for end in subjects.endpoints(here)]


def _is_about_service(rule: objects.Rule) -> bool:
    return bool(rule.source.service or rule.destination.service)


def _is_about_source_port(rule: objects.Rule) -> bool:
    peer = rule.source
    return bool(peer.ports or peer.not_ports or peer.port_names or peer.not_port_names)
