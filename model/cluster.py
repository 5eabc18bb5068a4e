"""The Kubernetes objects that give addresses a name, read from manifests.

Only the fields that we need are kept. Objects as an API server returns them carry many more, so unknown
fields are accepted here; a field that is there has to have the right form.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from typing import TypeVar

from model import enums, manifest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPort:
    """A port that a container declares; only a named one means anything to policies."""

    name: str
    number: int
    protocol: enums.Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod, with what its life says about its addresses.

    Attributes:
        addresses: All of ``status.podIPs``; empty as long as it has none.
        owner_kind: Kind of the controller named in ``ownerReferences``; empty for a bare pod.
        started: ``status.startTime`` in nanoseconds; 0 where it is unknown.
        deleted: When it gave its addresses up, in nanoseconds; 0 while it has them.
    """

    namespace: str
    name: str
    uid: str = ""
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    node: str = ""
    addresses: tuple[str, ...] = ()
    host_network: bool = False
    phase: str = "Running"
    ports: tuple[ContainerPort, ...] = ()
    service_account: str = "default"
    owner_kind: str = ""
    owner_name: str = ""
    started: int = 0
    deleted: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One namespace; its labels always hold ``kubernetes.io/metadata.name``."""

    name: str
    labels: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node and its own addresses."""

    name: str
    labels: dict[str, str]
    addresses: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a service; ``target`` is a number or the name of a container port."""

    name: str
    number: int
    target: int | str
    protocol: enums.Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, the addresses that are dialled for it (cluster's and load balancer's), and its ports."""

    namespace: str
    name: str
    addresses: tuple[str, ...]
    ports: tuple[ServicePort, ...]
    selector: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSet:
    """Calico's NetworkSet or, without a namespace, GlobalNetworkSet: CIDRs with labels."""

    namespace: str
    name: str
    labels: dict[str, str]
    networks: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What owns pods: Deployment, StatefulSet, DaemonSet, Job; its template as a pod without a name."""

    kind: str
    namespace: str
    name: str
    replicas: int
    template: Pod
    source: manifest.Document


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """All objects of a set of manifests, by kind."""

    pods: tuple[Pod, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    network_sets: tuple[NetworkSet, ...] = ()
    workloads: tuple[Workload, ...] = ()


_T = TypeVar("_T")

WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


def read(documents: Iterable[manifest.Document]) -> Cluster:
    """The objects of these kinds among some documents; other kinds are left to others.

    Raises:
        ManifestError: If a field that we need is missing or has the wrong form.
    """
    found: dict[type, list[object]] = {}
    for document in documents:
        parse = _PARSERS.get((document.group, document.kind))
        if parse:
            thing = parse(document)
            found.setdefault(type(thing), []).append(thing)
    return Cluster(
        pods=_all(found, Pod), namespaces=_all(found, Namespace), nodes=_all(found, Node),
        services=_all(found, Service), network_sets=_all(found, NetworkSet), workloads=_all(found, Workload),
    )  # fmt: skip


def _all(found: dict[type, list[object]], kind: type[_T]) -> tuple[_T, ...]:
    return tuple(thing for thing in found.get(kind, []) if isinstance(thing, kind))


def _metadata(document: manifest.Document) -> tuple[str, str, dict[str, str]]:
    """Namespace (``default`` where none is written), name and labels."""
    metadata = document.field().require("metadata")
    namespace, labels = metadata.get("namespace"), metadata.get("labels")
    return (
        namespace.text() if namespace else "default",
        metadata.require("name").text(),
        labels.labels() if labels else {},
    )


def _protocol(field: manifest.Field | None) -> enums.Protocol:
    return enums.Protocol[field.one_of("TCP", "UDP", "SCTP")] if field else enums.Protocol.TCP


def _address(field: manifest.Field) -> str:
    try:
        return str(ipaddress.ip_address(field.text()))
    except ValueError:
        raise field.error(f"must be an IP address, is {field.value!r}") from None


def _network(field: manifest.Field) -> str:
    try:
        return str(ipaddress.ip_network(field.text(), strict=False))
    except ValueError:
        raise field.error(f"must be a CIDR such as 10.0.0.0/8, is {field.value!r}") from None


def _list(field: manifest.Field | None) -> list[manifest.Field]:
    return field.items() if field else []


def _container_ports(spec: manifest.Field) -> tuple[ContainerPort, ...]:
    containers = _list(spec.get("containers")) + _list(spec.get("initContainers"))
    ports = []
    for port in (port for container in containers for port in _list(container.get("ports"))):
        name = port.get("name")
        ports.append(ContainerPort(
            name=name.text() if name else "", number=port.require("containerPort").integer(1, 65535),
            protocol=_protocol(port.get("protocol")),
        ))  # fmt: skip
    return tuple(ports)


def _pod_spec(spec: manifest.Field) -> dict[str, object]:
    host, account, node = spec.get("hostNetwork"), spec.get("serviceAccountName"), spec.get("nodeName")
    return {
        "host_network": host.boolean() if host else False,
        "service_account": account.text() if account else "default",
        "node": node.text() if node else "",
        "ports": _container_ports(spec),
    }


def _pod(document: manifest.Document) -> Pod:
    namespace, name, labels = _metadata(document)
    field = document.field()
    owners = [
        owner for owner in _list(field.at("metadata", "ownerReferences"))
        if (controls := owner.get("controller")) and controls.boolean()
    ]  # fmt: skip
    uid, deleted = field.at("metadata", "uid"), field.at("metadata", "deletionTimestamp")
    started, phase = field.at("status", "startTime"), field.at("status", "phase")
    addresses = [a.require("ip") for a in _list(field.at("status", "podIPs"))]
    if not addresses and (single := field.at("status", "podIP")):
        addresses = [single]
    return Pod(
        namespace=namespace, name=name, labels=labels, uid=uid.text() if uid else "",
        addresses=tuple(_address(a) for a in addresses), phase=phase.text() if phase else "Running",
        owner_kind=owners[0].require("kind").text() if owners else "",
        owner_name=owners[0].require("name").text() if owners else "",
        started=started.time() if started else 0, deleted=deleted.time() if deleted else 0,
        **_pod_spec(field.require("spec")),  # type: ignore[arg-type]  # the keys are fields of Pod
    )  # fmt: skip


def _namespace(document: manifest.Document) -> Namespace:
    _, name, labels = _metadata(document)
    return Namespace(name=name, labels={**labels, "kubernetes.io/metadata.name": name})


def _node(document: manifest.Document) -> Node:
    _, name, labels = _metadata(document)
    addresses = _list(document.field().at("status", "addresses"))
    own = [
        a.require("address") for a in addresses if a.require("type").text() in ("InternalIP", "ExternalIP")
    ]
    return Node(name=name, labels=labels, addresses=tuple(_address(a) for a in own))


def _service_port(field: manifest.Field) -> ServicePort:
    name, target = field.get("name"), field.get("targetPort")
    number = field.require("port").integer(1, 65535)
    if target is None:
        aimed: int | str = number
    else:
        aimed = target.text() if isinstance(target.value, str) else target.integer(1, 65535)
    return ServicePort(
        name=name.text() if name else "", number=number, target=aimed,
        protocol=_protocol(field.get("protocol")),
    )  # fmt: skip


def _service(document: manifest.Document) -> Service:
    namespace, name, _ = _metadata(document)
    spec = document.field().require("spec")
    addresses, selector = _list(spec.get("clusterIPs")), spec.get("selector")
    if not addresses and (single := spec.get("clusterIP")):
        addresses = [single]
    balancers = _list(document.field().at("status", "loadBalancer", "ingress"))
    addresses += [ip for balancer in balancers if (ip := balancer.get("ip"))]
    return Service(
        namespace=namespace, name=name, selector=selector.labels() if selector else {},
        addresses=tuple(_address(a) for a in addresses if a.value not in ("None", "")),
        ports=tuple(_service_port(port) for port in _list(spec.get("ports"))),
    )  # fmt: skip


def _network_set(document: manifest.Document) -> NetworkSet:
    namespace, name, labels = _metadata(document)
    networks = _list(document.field().at("spec", "nets"))
    return NetworkSet(
        namespace="" if document.kind == "GlobalNetworkSet" else namespace, name=name, labels=labels,
        networks=tuple(_network(n) for n in networks),
    )  # fmt: skip


def _workload(document: manifest.Document) -> Workload:
    namespace, name, _ = _metadata(document)
    spec = document.field().require("spec")
    replicas, template = spec.get("replicas"), spec.require("template")
    labels = template.at("metadata", "labels")
    pod = Pod(
        namespace=namespace, name="", labels=labels.labels() if labels else {},
        **_pod_spec(template.require("spec")),  # type: ignore[arg-type]  # the keys are fields of Pod
    )  # fmt: skip
    return Workload(
        kind=document.kind, namespace=namespace, name=name, template=pod, source=document,
        replicas=replicas.integer(0, 10_000) if replicas else 1,
    )  # fmt: skip


_PARSERS = {
    ("", "Pod"): _pod,
    ("", "Namespace"): _namespace,
    ("", "Node"): _node,
    ("", "Service"): _service,
    **{(group, kind): _network_set for group in ("projectcalico.org", "crd.projectcalico.org")
       for kind in ("NetworkSet", "GlobalNetworkSet")},
    **{("apps", kind): _workload for kind in ("Deployment", "StatefulSet", "DaemonSet")},
    ("batch", "Job"): _workload,
}  # fmt: skip
