"""The lab's control plane: gives pods their names, nodes and addresses, and tells the world about them.

It plays scheduler, controllers, IPAM and API server at once. What it publishes are ordinary manifests, with
the ``status`` that a real API server would show.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import json
import pathlib
import time
from collections.abc import Iterable

from model import cluster, errors, manifest
from policy import objects, parse

_HASH_LABEL = "pod-template-hash"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the lab and its networks.

    Attributes:
        addresses: Its own addresses towards the other nodes, IPv4 and IPv6.
        tunnel: Its addresses inside the overlay, IPv4 and IPv6.
        pod_networks: Where its pods' addresses come from, IPv4 and IPv6; the last part is left out.
    """

    name: str
    addresses: tuple[str, str]
    tunnel: tuple[str, str]
    pod_networks: tuple[str, str]


NODES = tuple(
    Node(
        name=f"node-{n}",
        addresses=(f"172.20.0.{10 + n}", f"fd00:172:20::{10 + n}"),
        tunnel=(f"10.65.{n}.1", f"fd00:10:65:{n}::1"),
        pod_networks=(f"10.65.{n}.", f"fd00:10:65:{n}::"),
    )
    for n in (1, 2)
)

POD_NETWORKS = ("10.65.0.0/16", "fd00:10:65::/48")
"""All pods' addresses."""
NODE_NETWORKS = ("172.20.0.0/24", "fd00:172:20::/64")
"""All nodes' addresses."""


def built_in() -> pathlib.Path:
    """The folder of the manifests that come with the lab."""
    return pathlib.Path(__file__).with_name("manifests")


class ControlPlane:
    """What exists in the lab's cluster.

    Args:
        manifests: Folder of manifests to build the cluster from.
        published: Folder to write the cluster's state to; made if it is not there.

    Raises:
        ManifestError: If a manifest is wrong.
    """

    def __init__(self, manifests: pathlib.Path, published: pathlib.Path) -> None:
        documents = manifest.load(manifests)
        self._published = published
        self._given = cluster.read(documents)
        self.policies: objects.PolicySet = parse.parse(documents)
        if not self._given.workloads:
            raise errors.SetupError(f"there is no workload in {manifests}: nothing would run in the lab")
        self.pods: dict[str, cluster.Pod] = {}
        self._workloads = {f"{w.namespace}/{w.name}": w for w in self._given.workloads}
        self._next_address = {node.name: itertools.count(2) for node in NODES}
        self._next_node = itertools.cycle(NODES)
        self._generation = itertools.count(1)
        published.mkdir(parents=True, exist_ok=True)
        for file in manifest.files(manifests):
            (published / file.name).write_text(file.read_text())
        self._publish("nodes", [_node_manifest(node) for node in NODES])

    @property
    def state(self) -> cluster.Cluster:
        """The cluster as it is now."""
        return dataclasses.replace(self._given, pods=tuple(self.pods.values()))

    def initial(self) -> list[cluster.Pod]:
        """The pods that the workloads ask for, not yet running."""
        return [
            self.new_pod(workload, index)
            for workload in self._given.workloads
            for index in range(workload.replicas)
        ]

    def workload(self, name: str) -> cluster.Workload:
        """A workload by ``namespace/name``."""
        return self._workloads[name]

    def new_pod(
        self, workload: cluster.Workload, index: int = 0, *, like: cluster.Pod | None = None
    ) -> cluster.Pod:
        """A pod of a workload: on the next node with a new address, or in the place of another one."""
        node = like.node if like else next(self._next_node).name
        name, labels, owner = _named(workload, index, next(self._generation))
        return dataclasses.replace(
            workload.template, name=name, labels={**workload.template.labels, **labels}, node=node,
            owner_kind=owner[0], owner_name=owner[1],
            addresses=like.addresses if like else self._address(node),
            uid=hashlib.sha1(f"{workload.namespace}/{name}".encode(), usedforsecurity=False).hexdigest(),
        )  # fmt: skip

    def _address(self, node: str) -> tuple[str, ...]:
        number = next(self._next_address[node])
        networks = next(n.pod_networks for n in NODES if n.name == node)
        return f"{networks[0]}{number}", f"{networks[1]}{number:x}"

    def run(self, pod: cluster.Pod) -> cluster.Pod:
        """The pod has its address from now on."""
        return self._put(dataclasses.replace(pod, started=time.time_ns()))

    def finish(self, pod: cluster.Pod) -> cluster.Pod:
        """The pod has given its address up just now."""
        gone = self._put(dataclasses.replace(pod, deleted=time.time_ns(), phase="Succeeded"))
        del self.pods[f"{pod.namespace}/{pod.name}"]
        return gone

    def _put(self, pod: cluster.Pod) -> cluster.Pod:
        self.pods[f"{pod.namespace}/{pod.name}"] = pod
        self._publish(f"pod-{pod.namespace}-{pod.name}", [_pod_manifest(pod)])
        return pod

    def _publish(self, name: str, bodies: Iterable[dict[str, object]]) -> None:
        """Write whole files only: whoever reads them must never see half of one."""
        file = self._published / f"{name}.json"
        fresh = self._published / f".{name}.new"
        fresh.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(bodies)}, indent=1))
        fresh.rename(file)


def _named(
    workload: cluster.Workload, index: int, generation: int
) -> tuple[str, dict[str, str], tuple[str, str]]:
    """Name, added labels and owner of a pod, as Kubernetes' controllers make them."""
    seed = f"{workload.namespace}/{workload.name}"
    random = _suffix(f"{seed}/{generation}", 5)
    if workload.kind == "Deployment":
        template = _suffix(seed, 10)
        owner = f"{workload.name}-{template}"
        return f"{owner}-{random}", {_HASH_LABEL: template}, ("ReplicaSet", owner)
    if workload.kind == "StatefulSet":
        return f"{workload.name}-{index}", {}, (workload.kind, workload.name)
    return f"{workload.name}-{random}", {}, (workload.kind, workload.name)


def _suffix(seed: str, length: int) -> str:
    """Letters and digits as Kubernetes picks them: none that could make up a word."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    digest = hashlib.sha256(seed.encode()).digest()
    return "".join(alphabet[byte % len(alphabet)] for byte in digest[:length])


def _rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _pod_manifest(pod: cluster.Pod) -> dict[str, object]:
    metadata: dict[str, object] = {
        "namespace": pod.namespace, "name": pod.name, "uid": pod.uid, "labels": pod.labels,
        "ownerReferences": [{"kind": pod.owner_kind, "name": pod.owner_name, "controller": True}],
    }  # fmt: skip
    if pod.deleted:
        metadata["deletionTimestamp"] = _rfc3339(pod.deleted)
    ports = [{"name": p.name, "containerPort": p.number, "protocol": p.protocol.name} for p in pod.ports]
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"nodeName": pod.node, "containers": [{"name": pod.name, "ports": ports}]},
        "status": {"phase": pod.phase, "startTime": _rfc3339(pod.started),
                   "podIPs": [{"ip": address} for address in pod.addresses]},
    }  # fmt: skip


def _node_manifest(node: Node) -> dict[str, object]:
    addresses = [{"type": "InternalIP", "address": a} for a in (*node.addresses, *node.tunnel)]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name},
            "status": {"addresses": addresses}}  # fmt: skip
