"""The feed from a folder of manifests: pods, nodes, services, network sets as files, read when they change.

For clusters without an API server to ask, and for the lab. A pod's file has to carry its ``status`` (address,
``startTime``); once the pod is gone, ``metadata.deletionTimestamp`` says since when its address is free.
"""

from __future__ import annotations

import dataclasses
import pathlib

from enrich import identity, services, workload
from model import address, cluster, enums, errors, manifest
from runtime import logs

_limited = logs.Limited(__name__)
_FINISHED = ("Succeeded", "Failed")

_Stamp = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a feed knows."""

    documents: tuple[manifest.Document, ...] = ()
    claims: tuple[identity.Claim, ...] = ()
    networks: tuple[identity.NetworkName, ...] = ()
    services: tuple[identity.ServicePort, ...] = ()
    labels: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)


class Folder:
    """A folder of manifests.

    Args:
        path: A folder, or one file.

    Raises:
        SetupError: If there is no such folder.
        ManifestError: If a file in it is wrong at the start. A file that is broken later keeps its last
            good content, and a warning says so.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._files: dict[pathlib.Path, tuple[_Stamp, list[manifest.Document]]] = {}
        for file in manifest.files(path):
            self._files[file] = _stamp(file), manifest.read(file)
        self.snapshot = _snapshot(self._documents())

    def refresh(self) -> bool:
        """Read what has changed; whether anything has."""
        changed = False
        try:
            files = manifest.files(self._path)
        except (
            errors.SetupError
        ) as error:  # for a moment, or for good: what we know is still the best we have
            _limited.warning("manifests are away", error=str(error))
            return False
        for file in files:
            try:
                stamp = _stamp(file)
                if file not in self._files or self._files[file][0] != stamp:
                    self._files[file] = stamp, self._read(file)
                    changed = True
            except FileNotFoundError:  # it went between listing and reading
                changed = True
        for gone in self._files.keys() - set(files):
            del self._files[gone]
            changed = True
        if changed:
            self.snapshot = _snapshot(self._documents())
        return changed

    def _read(self, file: pathlib.Path) -> list[manifest.Document]:
        try:
            documents = manifest.read(file)
            cluster.read(documents)
        except errors.ManifestError as error:
            _limited.warning("manifest not taken over", error=str(error))
            return self._files[file][1] if file in self._files else []
        return documents

    def _documents(self) -> list[manifest.Document]:
        return [document for _, documents in self._files.values() for document in documents]


def _stamp(file: pathlib.Path) -> _Stamp:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _snapshot(documents: list[manifest.Document]) -> Snapshot:
    objects = cluster.read(documents)
    claims = [claim for pod in objects.pods for claim in _pod_claims(pod)]
    claims += [claim for node in objects.nodes for claim in _node_claims(node)]
    return Snapshot(
        documents=tuple(documents),
        claims=tuple(claims),
        networks=tuple(name for group in objects.network_sets for name in _network_names(group)),
        services=tuple(port for service in objects.services for port in _service_ports(service)),
        labels={identity.labels_id(pod.labels): pod.labels for pod in objects.pods if pod.labels},
    )


def _pod_claims(pod: cluster.Pod) -> list[identity.Claim]:
    """A pod on its node's network has no address of its own; a finished one has given its up."""
    if pod.host_network:
        return []
    kind, name = workload.owner(pod)
    who = identity.Identity(
        kind=enums.EndpointKind.POD, namespace=pod.namespace, workload_kind=kind, workload=name, pod=pod.name,
        node=pod.node, labels_id=identity.labels_id(pod.labels),
    )  # fmt: skip
    end = pod.deleted or ((pod.finished or pod.started) if pod.phase in _FINISHED else identity.FOREVER)
    return [
        _claim(text, pod.uid or f"{pod.namespace}/{pod.name}", who, pod.started, end)
        for text in pod.addresses
        if end > pod.started
    ]


def _claim(text: str, uid: str, who: identity.Identity, start: int, end: int) -> identity.Claim:
    """A manifest's times are meant as they are written."""
    return identity.Claim(
        address=address.pack(text), uid=uid, identity=who, valid_from=start, sure_from=start,
        sure_to=end, valid_to=end,
    )  # fmt: skip


def _node_claims(node: cluster.Node) -> list[identity.Claim]:
    who = identity.Identity(
        kind=enums.EndpointKind.NODE, workload_kind="Node", workload=node.name, node=node.name
    )
    return [_claim(text, node.uid or node.name, who, 0, identity.FOREVER) for text in node.addresses]


def _network_names(group: cluster.NetworkSet) -> list[identity.NetworkName]:
    who = identity.Identity(
        kind=enums.EndpointKind.NETWORK_SET, namespace=group.namespace, workload_kind="NetworkSet",
        workload=group.name,
    )  # fmt: skip
    return [
        identity.NetworkName(network=network, identity=who, valid_from=0, valid_to=identity.FOREVER)
        for network in group.networks
    ]


def _service_ports(service: cluster.Service) -> list[identity.ServicePort]:
    """Each port at each of its addresses, and where there is one, at every node's."""
    dialled = [
        (address.pack(text), port.number, port) for text in service.addresses for port in service.ports
    ]
    dialled += [(services.EVERY_NODE, port.node_port, port) for port in service.ports if port.node_port]
    return [
        identity.ServicePort(
            address=at, port=number, protocol=port.protocol.value,
            namespace=service.namespace, service=service.name, port_name=port.name,
            valid_from=0, valid_to=identity.FOREVER,
        )
        for at, number, port in dialled
    ]  # fmt: skip
