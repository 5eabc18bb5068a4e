"""A large cluster as its API server would tell of it, made up, the same each time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

PAGE = 500
"""Objects a page of a list."""

_NAMESPACES = 200
_NODES = 1_000
_WORKLOADS = 2_500
_SERVICES = 500
_POLICIES = 2_000
_DUAL_STACK = 5
"""Each pod of so many has an address of each family."""
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_CREATED = "2026-01-31T12:00:00Z"
_STARTED = "2026-01-31T12:00:02Z"


@dataclasses.dataclass(frozen=True, slots=True)
class Population:
    """A cluster.

    Attributes:
        pods: How many it has; of all else it has as many as goes with 50,000.
    """

    pods: int = 50_000

    def lists(self) -> dict[str, Iterator[bytes]]:
        """The pages of the list of each kind, as JSON, by the kind's key."""
        return {
            "nodes": _pages(map(_node, range(self._share(_NODES)))),
            "namespaces": _pages(map(_namespace, range(_NAMESPACES))),
            "replicasets.apps": _pages(map(_replica_set, range(self._share(_WORKLOADS)))),
            "services": _pages(map(_service, range(self._share(_SERVICES)))),
            "endpointslices.discovery.k8s.io": _pages(map(self._slice, range(self._share(_SERVICES)))),
            "networkpolicies.networking.k8s.io": _pages(map(_policy, range(self._share(_POLICIES)))),
            "pods": _pages(map(self.pod, range(self.pods))),
        }

    def pod(self, number: int) -> Object:
        """A pod; a later one of the same place in the cluster has a number that is larger by ``pods``."""
        place = number % self.pods
        workload = place % self._share(_WORKLOADS)
        owner = _metadata(f"{_workload(workload)}-{_hash(workload)}", workload)
        metadata = _metadata(f"{owner['name']}-{_suffix(number)}", workload, str(number))
        addresses = [_v4(place), *([f"fd00::{place:x}"] if place % _DUAL_STACK == 0 else [])]
        ready = {"status": "True", "lastTransitionTime": _STARTED}
        image = f"registry.example/{_workload(workload)}:1.2.3"
        return {
            "metadata": {
                **metadata, "generateName": f"{owner['name']}-", "labels": _labels(workload),
                "annotations": {"cni.projectcalico.org/podIP": f"{addresses[0]}/32",
                                "kubectl.kubernetes.io/restartedAt": _CREATED},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner["name"],
                                     "uid": owner["uid"], "controller": True, "blockOwnerDeletion": True}],
            },
            "spec": {
                "nodeName": f"node-{place % self._share(_NODES)}", "serviceAccountName": "default",
                "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "containers": [{
                    "name": "main", "image": image,
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                    "env": [{"name": f"SETTING_{one}", "value": f"value-{one}"} for one in range(12)],
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}},
                    "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": True}],
                }],
                "volumes": [{"name": "token", "projected": {"sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]}}],
                "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
            },
            "status": {
                "phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": one} for one in addresses],
                "hostIP": f"192.168.{place % 250}.1", "startTime": _CREATED,
                "conditions": [{"type": kind, **ready} for kind in (
                    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")],
                "containerStatuses": [{"name": "main", "image": image, "ready": True, "restartCount": 0,
                                       "state": {"running": {"startedAt": _STARTED}}}],
            },
        }  # fmt: skip

    def _slice(self, number: int) -> Object:
        """As large as slices get: a hundred endpoints."""
        metadata = _metadata(f"service-{number}-{_hash(number)}"[:-1], number)
        labels = {"kubernetes.io/service-name": f"service-{number}",
                  "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}  # fmt: skip
        return {
            "metadata": {**metadata, "labels": labels}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [_v4(place)], "nodeName": f"node-{place % self._share(_NODES)}",
                 "conditions": {"ready": True, "serving": True, "terminating": False}, "zone": "zone-0",
                 "targetRef": {"kind": "Pod", "namespace": f"namespace-{number % _NAMESPACES}",
                               "name": f"{_workload(number)}-{_hash(number)}-{_suffix(place)}",
                               "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(place)))}}
                for place in range(number, self.pods, self._share(_SERVICES))
            ],
        }  # fmt: skip

    def _share(self, usual: int) -> int:
        return max(usual * self.pods // 50_000, 1)


def _pages(objects: Iterator[Object]) -> Iterator[bytes]:
    page: list[Object] = []
    for one in objects:
        page.append(one)
        if len(page) == PAGE:
            yield json.dumps({"items": page}).encode()
            page = []
    yield json.dumps({"items": page}).encode()


def _hash(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=5).hexdigest()


def _suffix(number: int) -> str:
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(5))


def _workload(number: int) -> str:
    return f"workload-{number}"


def _labels(workload: int) -> dict[str, str]:
    name = _workload(workload)
    return {
        "app.kubernetes.io/name": name, "app.kubernetes.io/instance": f"{name}-prod",
        "app.kubernetes.io/component": "server", "app.kubernetes.io/version": "1.2.3",
        "team": f"team-{workload % 50}", "pod-template-hash": _hash(workload),
    }  # fmt: skip


def _metadata(name: str, space: int | None = None, what: str = "") -> Object:
    """What all objects have; ``managedFields`` are the largest part of many."""
    namespace = {} if space is None else {"namespace": f"namespace-{space % _NAMESPACES}"}
    return {
        "name": name, **namespace, "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {space} {what}")),
        "resourceVersion": str(int(_hash(hash(name)), 16) % 10**9), "creationTimestamp": _CREATED,
        "managedFields": [{
            "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "time": _CREATED, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {f"f:{one}": {} for one in ("labels", "annotations", "generateName")},
                         "f:spec": {f"f:field-{one}": {".": {}} for one in range(12)}},
        }],
    }  # fmt: skip


def _v4(number: int) -> str:
    return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def _node(number: int) -> Object:
    name = f"node-{number}"
    zone = f"zone-{number % 3}"
    return {
        "metadata": {
            **_metadata(name), "labels": {
                "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone,
                "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "pool": f"pool-{number % 10}",
            },
            "annotations": {"projectcalico.org/IPv4VXLANTunnelAddr": f"10.80.{number >> 8}.{number & 255}"},
        },
        "spec": {"podCIDR": f"10.64.{number & 255}.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": f"172.16.{number >> 8}.{number & 255}"},
                                 {"type": "Hostname", "address": name}],
                   "images": [{"names": [f"registry.example/image-{one}"], "sizeBytes": 10**8}
                              for one in range(50)]},
    }  # fmt: skip


def _namespace(number: int) -> Object:
    name = f"namespace-{number}"
    labels = {"kubernetes.io/metadata.name": name, "team": f"team-{number % 50}"}
    return {"metadata": {**_metadata(name), "labels": labels}}


def _replica_set(workload: int) -> Object:
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": _workload(workload),
             "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, _workload(workload))), "controller": True}  # fmt: skip
    metadata = _metadata(f"{_workload(workload)}-{_hash(workload)}", workload)
    return {"metadata": {**metadata, "labels": _labels(workload), "ownerReferences": [owner]}}


def _service(number: int) -> Object:
    return {
        "metadata": {**_metadata(f"service-{number}", number), "labels": _labels(number)},
        "spec": {
            "type": "ClusterIP", "clusterIP": f"10.96.{number >> 8}.{number & 255}",
            "clusterIPs": [f"10.96.{number >> 8}.{number & 255}"],
            "selector": {"app.kubernetes.io/name": _workload(number)},
            "ports": [{"name": name, "port": port, "targetPort": "http", "protocol": "TCP"}
                      for name, port in (("http", 80), ("metrics", 9090))],
        },
        "status": {"loadBalancer": {}},
    }  # fmt: skip


def _policy(number: int) -> Object:
    """Who may call a workload, and whom it may call."""

    def peers(first: int) -> list[Object]:
        return [
            {"namespaceSelector": {"matchLabels": {
                "kubernetes.io/metadata.name": f"namespace-{one % _NAMESPACES}"}},
             "podSelector": {"matchLabels": {"app.kubernetes.io/name": _workload(one)}}}
            for one in range(first, first + 3)
        ]  # fmt: skip

    http = [{"port": 8080, "protocol": "TCP"}]
    return {
        "metadata": {**_metadata(f"policy-{number}", number), "labels": {"team": f"team-{number % 50}"}},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": _workload(number)}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers(number + 1), "ports": http},
                        {"from": [{"ipBlock": {"cidr": "192.168.0.0/16"}}], "ports": http}],
            "egress": [{"to": peers(number + 7), "ports": http},
                       {"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}]}],
        },
    }  # fmt: skip
