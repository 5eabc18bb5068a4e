"""The kinds of objects that are watched, where the API serves them, and what we keep of each.

What stays is what `model.cluster`, `policy` and the history of endpoints read, in its original place. Of what
policies are made of all of ``spec`` stays: an unknown field there is for its parser to refuse.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from enrich import contents
from enrich.kubernetes import slim
from enrich.kubernetes.slim import KEEP

Object = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the API may serve a kind; ``later`` also takes any later version of the group."""

    group: str
    versions: tuple[str, ...]
    later: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of objects.

    Attributes:
        name: As ``kind`` has it.
        plural: As a path has it.
        sources: Where it may be served, the best first; it is read from one of them, never from two.
        shape: What is kept of an object.
        required: Whether nothing is known about addresses without it.
        partial: Whether metadata are enough, so that the server need not send more.
    """

    name: str
    plural: str
    sources: tuple[Source, ...]
    shape: slim.Shape = dataclasses.field(repr=False)
    required: bool = False
    partial: bool = False

    @property
    def group(self) -> str:
        """The API group by which we call it."""
        return self.sources[0].group

    @property
    def key(self) -> str:
        """What names it and no other, such as ``pods`` or ``networkpolicies.projectcalico.org``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def slim(self, thing: Object, version: str = "") -> Object:
        """An object with what we need alone.

        Args:
            thing: As the API server gave it. The items of a list lack ``apiVersion`` and ``kind``, and
                partial metadata call themselves so; what is returned always has the kind's own.
            version: Its ``apiVersion``; empty for what it says itself.
        """
        head = {"apiVersion": version or thing.get("apiVersion") or self._version(), "kind": self.name}
        return {**head, **slim.cut(thing, self.shape)}

    def _version(self) -> str:
        return api_version(self.group, self.sources[0].versions[0])


def api_version(group: str, version: str) -> str:
    """As ``apiVersion`` has it."""
    return f"{group}/{version}" if group else version


_HEAD: Mapping[str, slim.Shape] = {
    "name": slim.own, "namespace": KEEP, "uid": slim.own, "resourceVersion": slim.own,
    "creationTimestamp": KEEP,
}  # fmt: skip
_LABELLED = {**_HEAD, "labels": slim.shared(KEEP)}
_OWNERS = slim.shared([{"apiVersion": KEEP, "kind": KEEP, "name": KEEP, "uid": KEEP, "controller": KEEP}])

_PROBE = {
    "httpGet": {"port": KEEP, "scheme": KEEP},
    "tcpSocket": {"port": KEEP},
    "grpc": {"port": KEEP},
}
_CONTAINERS = slim.shared(
    [{"name": KEEP, "ports": KEEP, "restartPolicy": KEEP, "livenessProbe": _PROBE, "readinessProbe": _PROBE,
      "startupProbe": _PROBE}]
)  # fmt: skip
_STATE = {"running": {"startedAt": KEEP}, "terminated": {"finishedAt": KEEP}}
_POD = {
    "metadata": {
        **_LABELLED, "deletionTimestamp": KEEP, "deletionGracePeriodSeconds": KEEP, "generateName": KEEP,
        "ownerReferences": _OWNERS,
        "annotations": slim.beginning("cni.projectcalico.org/", "kubernetes.io/config.mirror"),
    },
    "spec": {
        "nodeName": KEEP, "hostNetwork": KEEP, "serviceAccountName": KEEP, "containers": _CONTAINERS,
        "initContainers": _CONTAINERS,
    },
    "status": {
        "phase": KEEP, "podIP": slim.own, "podIPs": slim.own, "startTime": KEEP,
        "conditions": slim.where(
            "type", ("PodReadyToStartContainers", "Ready"),
            {"type": KEEP, "status": KEEP, "lastTransitionTime": KEEP},
        ),
        "containerStatuses": [{"state": _STATE}],
    },
}  # fmt: skip
_NODE = {
    "metadata": {
        **_LABELLED, "deletionTimestamp": KEEP,
        "annotations": slim.beginning(
            "projectcalico.org/", "flannel.alpha.coreos.com/", "k3s.io/internal-ip", "network.cilium.io/",
            "io.cilium.network.",
        ),
    },
    "spec": {"podCIDR": KEEP, "podCIDRs": KEEP},
    "status": {"addresses": KEEP},
}  # fmt: skip
_SERVICE = {
    "metadata": {**_LABELLED, "deletionTimestamp": KEEP},
    "spec": {
        "type": KEEP, "clusterIP": KEEP, "clusterIPs": KEEP, "externalIPs": KEEP, "loadBalancerIP": KEEP,
        "externalName": KEEP, "ports": KEEP, "selector": KEEP, "externalTrafficPolicy": KEEP,
        "internalTrafficPolicy": KEEP, "healthCheckNodePort": KEEP,
    },
    "status": {"loadBalancer": {"ingress": KEEP}},
}  # fmt: skip
_ENDPOINT = {
    "addresses": slim.own, "conditions": KEEP, "nodeName": KEEP, "zone": KEEP,
    "targetRef": {"kind": KEEP, "namespace": KEEP, "name": slim.own, "uid": slim.own},
}  # fmt: skip
_SLICE = {
    "metadata": {**_LABELLED, "ownerReferences": _OWNERS},
    "addressType": KEEP, "endpoints": [_ENDPOINT], "ports": KEEP,
}  # fmt: skip
_ACCOUNT = {"metadata": _LABELLED}
_NAMESPACE = {"metadata": {**_LABELLED, "deletionTimestamp": KEEP}}
_CHAIN = {"metadata": {**_HEAD, "ownerReferences": _OWNERS}}
_TIMED = {"metadata": _HEAD, "spec": contents.TIMED_SPEC}

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _described(value: Any) -> Any:
    """All metadata but who has written them, and the copy of the object that kubectl leaves there."""
    found = slim.without("managedFields")(value)
    if isinstance(found, dict) and "annotations" in found:
        found["annotations"] = slim.without(_LAST_APPLIED)(found["annotations"])
    return found


_POLICY = {"metadata": _described, "spec": KEEP}


def _core(name: str, plural: str, shape: slim.Shape, *, required: bool = False) -> Kind:
    source = Source(group="", versions=("v1",))
    return Kind(name=name, plural=plural, sources=(source,), shape=shape, required=required)


def _calico(name: str, plural: str) -> Kind:
    sources = (
        Source(group="projectcalico.org", versions=("v3",)),
        Source(group="crd.projectcalico.org", versions=("v1",)),
    )
    return Kind(name=name, plural=plural, sources=sources, shape=_POLICY)


def _admin(name: str, plural: str, version: str, *, later: bool = False) -> Kind:
    source = Source(group="policy.networking.k8s.io", versions=(version,), later=later)
    return Kind(name=name, plural=plural, sources=(source,), shape=_POLICY)


def _chain(name: str, plural: str, group: str) -> Kind:
    source = Source(group=group, versions=("v1",))
    return Kind(name=name, plural=plural, sources=(source,), shape=_CHAIN, partial=True)


KINDS: tuple[Kind, ...] = (
    _core("Pod", "pods", _POD, required=True),
    _core("Node", "nodes", _NODE, required=True),
    _core("Service", "services", _SERVICE, required=True),
    _core("Namespace", "namespaces", _NAMESPACE),
    _core("ServiceAccount", "serviceaccounts", _ACCOUNT),
    Kind(
        name="EndpointSlice", plural="endpointslices", shape=_SLICE,
        sources=(Source(group="discovery.k8s.io", versions=("v1",)),),
    ),
    _chain("ReplicaSet", "replicasets", "apps"),
    _chain("Job", "jobs", "batch"),
    Kind(
        name="CronJob", plural="cronjobs", shape=_TIMED,
        sources=(Source(group="batch", versions=("v1",)),),
    ),
    Kind(
        name="NetworkPolicy", plural="networkpolicies", shape=_POLICY,
        sources=(Source(group="networking.k8s.io", versions=("v1",)),),
    ),
    _calico("NetworkPolicy", "networkpolicies"),
    _calico("GlobalNetworkPolicy", "globalnetworkpolicies"),
    _calico("StagedNetworkPolicy", "stagednetworkpolicies"),
    _calico("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies"),
    _calico("StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies"),
    _calico("Tier", "tiers"),
    _calico("NetworkSet", "networksets"),
    _calico("GlobalNetworkSet", "globalnetworksets"),
    _calico("HostEndpoint", "hostendpoints"),
    _calico("Profile", "profiles"),
    _calico("IPPool", "ippools"),
    _admin("AdminNetworkPolicy", "adminnetworkpolicies", "v1alpha1"),
    _admin("BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", "v1alpha1"),
    _admin("ClusterNetworkPolicy", "clusternetworkpolicies", "v1alpha2", later=True),
)  # fmt: skip
"""All that is watched."""
