"""What is kept of each kind is all that others read of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from mirror import KINDS

from enrich.kubernetes import kinds
from model import cluster, manifest

_NOW, _LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00.5Z"
_METADATA = {
    "name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generateName": "web-",
    "creationTimestamp": _NOW, "deletionTimestamp": _LATER, "deletionGracePeriodSeconds": 30,
    "labels": {"app": "web", "topology.kubernetes.io/zone": "z1"}, "managedFields": [{"manager": "x" * 99}],
    "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": True,
         "blockOwnerDeletion": True}
    ],
    "annotations": {
        "kubernetes.io/config.mirror": "m", "projectcalico.org/IPv4VXLANTunnelAddr": "10.1.0.0",
        "projectcalico.org/IPv4Address": "192.0.2.1/24", "flannel.alpha.coreos.com/backend-type": "vxlan",
        "k3s.io/internal-ip": "192.0.2.7,2001:db8::7", "io.cilium.network.ipv4-cilium-host": "10.9.0.1",
        "kubectl.kubernetes.io/last-applied-configuration": "x" * 999,
    },
}  # fmt: skip
_CONTAINER = {
    "name": "web", "image": "web:1", "env": [{"name": "a", "value": "b"}],
    "ports": [
        {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}
    ],
    "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 3},
    "readinessProbe": {"tcpSocket": {"port": 9090}}, "startupProbe": {"grpc": {"port": 9091}},
}  # fmt: skip
FULL: dict[str, Any] = {
    "pods": {
        "spec": {
            "nodeName": "node-1", "hostNetwork": True, "serviceAccountName": "web",
            "containers": [_CONTAINER],
            "initContainers": [{**_CONTAINER, "ports": [{"name": "a", "containerPort": 1}]}], "volumes": [{}],
        },
        "status": {
            "phase": "Succeeded", "podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}, {"ip": "2001:db8::5"}],
            "startTime": _NOW, "qosClass": "Burstable",
            "conditions": [
                {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": _LATER},
                {"type": "ContainersReady", "status": "True", "lastTransitionTime": _NOW},
            ],
            "containerStatuses": [
                {"name": "web", "state": {"terminated": {"startedAt": _NOW, "finishedAt": _LATER}}},
                {"name": "other", "state": {"terminated": {"finishedAt": _NOW}}},
            ],
        },
    },
    "nodes": {
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "2001:db8:1::/64"], "taints": [{}]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "n"}
            ],
            "images": [{"names": ["x" * 999]}],
        },
    },
    "services": {
        "spec": {
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "2001:db8::1"], "externalIPs": ["192.0.2.9"],
            "selector": {"app": "web"}, "sessionAffinity": "None",
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}, {"port": 81}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
    },
    "namespaces": {"status": {"phase": "Active"}},
    "replicasets.apps": {"spec": {"replicas": 3}},
    "jobs.batch": {"status": {"active": 1}},
    "cronjobs.batch": {
        "spec": {
            "schedule": "0 3 * * *", "timeZone": "Europe/Berlin", "suspend": False,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {"backoffLimit": 2, "template": {
                "metadata": {"labels": {"app": "backup"}, "annotations": {"checksum": "x" * 99}},
                "spec": {
                    "hostNetwork": True, "serviceAccountName": "backup", "restartPolicy": "Never",
                    "containers": [{"name": "backup", "image": "backup:1", "ports": _CONTAINER["ports"]}],
                },
            }}},
        },
        "status": {"lastScheduleTime": _NOW},
    },
    "networksets.projectcalico.org": {"spec": {"nets": ["10.0.0.0/8", "2001:db8::/32"]}},
    "globalnetworksets.projectcalico.org": {"spec": {"nets": ["10.0.0.0/8"]}},
}  # fmt: skip


def _cron_job(document: manifest.Document) -> object:
    """What follows from one, apart from where it is from."""
    (one,) = cluster.read([document]).workloads
    spec = document.field().require("spec")
    when = [spec.require(name).value for name in ("schedule", "timeZone", "suspend")]
    return dataclasses.replace(one, source=manifest.Document("", 1, {})), when


READ: dict[str, Callable[[manifest.Document], object]] = {
    "pods": cluster.pod, "nodes": cluster.node, "services": cluster.service, "namespaces": cluster.namespace,
    "replicasets.apps": cluster.owned, "jobs.batch": cluster.owned,
    "cronjobs.batch": _cron_job,
    "networksets.projectcalico.org": cluster.network_set,
    "globalnetworksets.projectcalico.org": cluster.network_set,
}  # fmt: skip
_RUNNING = {
    "containerStatuses": [{"name": "web", "state": {"running": {"startedAt": _LATER}}}],
    "phase": "Running",
}


def _full(key: str, **status: object) -> dict[str, Any]:
    thing = {"metadata": _METADATA, **FULL[key]}
    if status:
        thing["status"] = {"podIP": "10.1.0.5", **status}
    source = KINDS[key].sources[0]
    version = kinds.api_version(source.group, source.versions[0])
    return {"apiVersion": version, "kind": KINDS[key].name, **thing}


@pytest.mark.parametrize("key", FULL)
def test_slim_form_says_the_same(key: str) -> None:
    full = _full(key)
    slim = KINDS[key].slim(full)
    assert READ[key](manifest.Document("", 1, slim)) == READ[key](manifest.Document("", 1, full))
    assert len(json.dumps(slim)) < len(json.dumps(full))
    assert KINDS[key].slim(slim) == slim


def test_slim_form_of_a_running_pod_says_the_same() -> None:
    full = _full("pods", **_RUNNING)
    pod = cluster.pod(manifest.Document("", 1, full))
    assert pod.ready > 0
    assert cluster.pod(manifest.Document("", 1, KINDS["pods"].slim(full))) == pod


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.key)
def test_item_of_a_list_gets_its_kind_back(kind: kinds.Kind) -> None:
    found = kind.slim({"metadata": {"name": "a"}, "spec": {"unheard": {"of": 1}}}, "group/v9")
    assert (found["apiVersion"], found["kind"]) == ("group/v9", kind.name)
    assert ("spec" in found) is (kind.shape is not KINDS["namespaces"].shape and "spec" in kind.shape)


def test_policy_keeps_what_nobody_has_heard_of() -> None:
    metadata = {**_METADATA, "annotations": {**_METADATA["annotations"], "note": "n"}}
    thing = {"metadata": metadata, "spec": {"unheard": {"of": [1]}}}
    found = KINDS["globalnetworkpolicies.projectcalico.org"].slim(thing, "projectcalico.org/v3")
    assert found["spec"] == thing["spec"]
    assert found["metadata"]["annotations"]["note"] == "n"
    assert "managedFields" not in found["metadata"]
    assert "x" * 999 not in json.dumps(found)


def test_keys_are_unique_and_what_is_required() -> None:
    assert len({kind.key for kind in kinds.KINDS}) == len(kinds.KINDS)
    assert [kind.key for kind in kinds.KINDS if kind.required] == ["pods", "nodes", "services"]
