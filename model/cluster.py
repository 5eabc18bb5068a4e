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
    """One pod, with what its life says about its addresses. Times are in ns since 1970, 0 where unknown.

    Attributes:
        addresses: All of ``status.podIPs``; empty as long as it has none.
        owner_kind: Kind of the controller named in ``ownerReferences``; empty for a bare pod.
        generate_name: What a controller, or whoever made it, had its name begin with.
        static: Whether a kubelet runs it from a file of its own, and the API server has but its mirror.
        probe_ports: The ports at which kubelet asks how it is.
        created: When the API server was told of it.
        started: ``status.startTime``, when kubelet took it on: its addresses are younger.
        ready: When it had its addresses for sure: its sandbox was there, or a container ran.
        finished: When the last of its containers ended, once all have.
        deleted: ``metadata.deletionTimestamp``. In a manifest, when it gave its addresses up; from an API
            server, by when it was asked to.
        grace: Nanoseconds that it was given to end.
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
    generate_name: str = ""
    static: bool = False
    probe_ports: tuple[int, ...] = ()
    created: int = 0
    started: int = 0
    ready: int = 0
    finished: int = 0
    deleted: int = 0
    grace: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One namespace; its labels always hold ``kubernetes.io/metadata.name``."""

    name: str
    labels: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """What pods run as; they inherit its labels."""

    namespace: str
    name: str
    labels: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node and its own addresses, those of its tunnels included.

    Attributes:
        zone: Where it stands, by its label ``topology.kubernetes.io/zone``.
        created: When the API server was told of it, in ns since 1970; 0 where that is unknown.
    """

    name: str
    labels: dict[str, str]
    addresses: tuple[str, ...]
    uid: str = ""
    zone: str = ""
    created: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a service; ``target`` is a number or the name of a container port.

    Attributes:
        node_port: The port of every node that stands for it; 0 for none.
    """

    name: str
    number: int
    target: int | str
    protocol: enums.Protocol
    node_port: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, the addresses that are dialled for it (cluster's, external, load balancer's), its ports.

    Attributes:
        created: When the API server was told of it, in ns since 1970; 0 where that is unknown.
    """

    namespace: str
    name: str
    addresses: tuple[str, ...]
    ports: tuple[ServicePort, ...]
    selector: dict[str, str]
    uid: str = ""
    created: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSet:
    """Calico's NetworkSet or, without a namespace, GlobalNetworkSet: CIDRs with labels."""

    namespace: str
    name: str
    labels: dict[str, str]
    networks: tuple[str, ...]
    uid: str = ""
    created: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostEndpoint:
    """Calico's HostEndpoint: an interface of a host, and the addresses that it is expected to have.

    Attributes:
        interface: Its name; ``*`` for all of the host's, and empty where the addresses tell which it is.
        ports: Those that have a name.
        profiles: The profiles that decide once every tier has passed.
    """

    name: str
    node: str
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    interface: str = ""
    addresses: tuple[str, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    profiles: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Calico's IPPool: addresses of pods.

    Attributes:
        encapsulated: Whether what goes from node to node between them always has another packet around it.
    """

    network: str
    encapsulated: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSlice:
    """Some of what stands behind a service.

    Attributes:
        made_by_hand: Whether no selector of the service made it, so that it may be of anything anywhere.
        addresses: None where it is of names.
        ports: Where they listen, each with its protocol.
    """

    namespace: str
    service: str
    made_by_hand: bool
    addresses: tuple[str, ...]
    ports: tuple[tuple[enums.Protocol, int], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """What stands between pods and their workload: a ReplicaSet, a Job. Empty kind where nothing owns it."""

    kind: str
    namespace: str
    name: str
    owner_kind: str
    owner_name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What owns pods: Deployment, StatefulSet, DaemonSet, (Cron)Job; its template as a pod without a name."""

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
    accounts: tuple[ServiceAccount, ...] = ()
    services: tuple[Service, ...] = ()
    network_sets: tuple[NetworkSet, ...] = ()
    workloads: tuple[Workload, ...] = ()
    host_endpoints: tuple[HostEndpoint, ...] = ()
    pools: tuple[Pool, ...] = ()
    slices: tuple[EndpointSlice, ...] = ()


_T = TypeVar("_T")


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
        services=_all(found, Service), accounts=_all(found, ServiceAccount),
        network_sets=_all(found, NetworkSet), workloads=_all(found, Workload),
        host_endpoints=_all(found, HostEndpoint), pools=_all(found, Pool),
        slices=_all(found, EndpointSlice),
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


def _probe_ports(spec: manifest.Field) -> tuple[int, ...]:
    """Ports that a kubelet asks; a name stands for the container's own port of that name."""
    found = set()
    for container in _list(spec.get("containers")) + _list(spec.get("initContainers")):
        named = {name.text(): port.require("containerPort").integer(1, 65535)
                 for port in _list(container.get("ports")) if (name := port.get("name"))}  # fmt: skip
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            for how in ("httpGet", "tcpSocket", "grpc"):
                port = container.at(probe, how, "port")
                if port is None:
                    continue
                number = named.get(port.value, 0) if isinstance(port.value, str) else port.integer(1, 65535)
                found.add(number)
    return tuple(sorted(found - {0}))


def _pod_spec(spec: manifest.Field) -> dict[str, object]:
    host, account, node = spec.get("hostNetwork"), spec.get("serviceAccountName"), spec.get("nodeName")
    return {
        "host_network": host.boolean() if host else False,
        "service_account": account.text() if account else "default",
        "node": node.text() if node else "",
        "ports": _container_ports(spec),
        "probe_ports": _probe_ports(spec),
    }


def _controller(metadata: manifest.Field | None) -> tuple[str, str]:
    """Kind and name of the controller that an object belongs to; empty for none."""
    for owner in _list(metadata.get("ownerReferences") if metadata else None):
        if (controls := owner.get("controller")) and controls.boolean():
            return owner.require("kind").text(), owner.require("name").text()
    return "", ""


def _time(field: manifest.Field | None) -> int:
    return field.time() if field else 0


def _ready(status: manifest.Field | None) -> int:
    """When a pod had its addresses for sure; 0 where its status does not say.

    The condition is of Kubernetes 1.28 and later (KEP-3085).
    """
    if status is None:
        return 0
    moments = [
        condition.require("lastTransitionTime").time() for condition in _list(status.get("conditions"))
        if condition.require("type").value == "PodReadyToStartContainers"
        and condition.require("status").value == "True" and condition.get("lastTransitionTime")
    ]  # fmt: skip
    moments += [
        started.time() for container in _list(status.get("containerStatuses"))
        if (started := container.at("state", "running", "startedAt"))
    ]  # fmt: skip
    return min(moments, default=0)


def _finished(status: manifest.Field | None) -> int:
    """When the last container ended; 0 unless all have, and say when."""
    containers = _list(status.get("containerStatuses") if status else None)
    ended = [_time(container.at("state", "terminated", "finishedAt")) for container in containers]
    return max(ended) if ended and all(ended) else 0


def pod(document: manifest.Document) -> Pod:
    """A pod.

    Raises:
        ManifestError: If a field that we need is missing or has the wrong form, here and below.
    """
    namespace, name, labels = _metadata(document)
    field = document.field()
    metadata, status = field.get("metadata"), field.get("status")
    addresses = [a.require("ip") for a in _list(field.at("status", "podIPs"))]
    if not addresses and (single := field.at("status", "podIP")) and single.value != "":
        addresses = [single]
    owner_kind, owner_name = _controller(metadata)
    phase, generated = field.at("status", "phase"), field.at("metadata", "generateName")
    grace = field.at("metadata", "deletionGracePeriodSeconds")
    return Pod(
        namespace=namespace, name=name, labels=labels, uid=_text(field.at("metadata", "uid")),
        addresses=tuple(_address(a) for a in addresses), phase=phase.text() if phase else "Running",
        owner_kind=owner_kind, owner_name=owner_name,
        generate_name=_text(generated), static=field.at("metadata", "annotations", _MIRROR) is not None,
        created=_time(field.at("metadata", "creationTimestamp")),
        started=_time(status.get("startTime") if status else None), ready=_ready(status),
        finished=_finished(status), deleted=_time(field.at("metadata", "deletionTimestamp")),
        grace=grace.integer(0, _LONGEST_GRACE) * 1_000_000_000 if grace else 0,
        **_pod_spec(field.require("spec")),  # type: ignore[arg-type]  # the keys are fields of Pod
    )  # fmt: skip


_MIRROR = "kubernetes.io/config.mirror"
_LONGEST_GRACE = 2**31 - 1


def _text(field: manifest.Field | None) -> str:
    return field.text() if field else ""


def owned(document: manifest.Document) -> Owned:
    """What a ReplicaSet's or a Job's metadata says of its owner."""
    namespace, name, _ = _metadata(document)
    kind, owner = _controller(document.field().get("metadata"))
    return Owned(kind=document.kind, namespace=namespace, name=name, owner_kind=kind, owner_name=owner)


def service_account(document: manifest.Document) -> ServiceAccount:
    """A service account."""
    namespace, name, labels = _metadata(document)
    return ServiceAccount(namespace=namespace, name=name, labels=labels)


def namespace(document: manifest.Document) -> Namespace:
    """A namespace."""
    _, name, labels = _metadata(document)
    return Namespace(name=name, labels={**labels, "kubernetes.io/metadata.name": name})


_TUNNELS = (
    "projectcalico.org/IPv4IPIPTunnelAddr", "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr", "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr", "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address", "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ipv6", "k3s.io/internal-ip", "io.cilium.network.ipv4-cilium-host",
    "io.cilium.network.ipv6-cilium-host",
)  # fmt: skip
"""Annotations by which network plugins tell a node's further addresses."""
_FLANNEL = "flannel.alpha.coreos.com/backend-type"
_ZONE = "topology.kubernetes.io/zone"


def node(document: manifest.Document) -> Node:
    """A node."""
    _, name, labels = _metadata(document)
    field = document.field()
    own = [
        _address(address) for one in _list(field.at("status", "addresses"))
        if one.require("type").value in ("InternalIP", "ExternalIP") and (address := one.require("address"))
    ]  # fmt: skip
    annotations = field.at("metadata", "annotations")
    for told in (annotations.get(name) for name in _TUNNELS) if annotations else ():
        # k3s lists several in one annotation, and Calico writes the length of the prefix behind some
        own += [part.partition("/")[0] for part in told.text().split(",")] if told else []
    if annotations and annotations.get(_FLANNEL):
        own += [
            address for block in _list(field.at("spec", "podCIDRs")) for address in _ends(_network(block))
        ]
    return Node(
        name=name, labels=labels, addresses=tuple(dict.fromkeys(a for a in own if _is_address(a))),
        uid=_text(field.at("metadata", "uid")), zone=labels.get(_ZONE, ""),
        created=_time(field.at("metadata", "creationTimestamp")),
    )  # fmt: skip


def _ends(block: str) -> tuple[str, str]:
    """What flannel takes of a node's block of addresses: the first for a tunnel, the next for the bridge."""
    network = ipaddress.ip_network(block)
    return str(network[0]), str(network[min(1, network.num_addresses - 1)])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _service_port(field: manifest.Field) -> ServicePort:
    name, target = field.get("name"), field.get("targetPort")
    number = field.require("port").integer(1, 65535)
    if target is None:
        aimed: int | str = number
    else:
        aimed = target.text() if isinstance(target.value, str) else target.integer(1, 65535)
    node_port = field.get("nodePort")
    return ServicePort(
        name=name.text() if name else "", number=number, target=aimed,
        protocol=_protocol(field.get("protocol")),
        node_port=node_port.integer(0, 65535) if node_port else 0,
    )  # fmt: skip


def service(document: manifest.Document) -> Service:
    """A service."""
    namespace, name, _ = _metadata(document)
    spec = document.field().require("spec")
    addresses, selector = _list(spec.get("clusterIPs")), spec.get("selector")
    if not addresses and (single := spec.get("clusterIP")):
        addresses = [single]
    balancers = _list(document.field().at("status", "loadBalancer", "ingress"))
    addresses += [ip for balancer in balancers if (ip := balancer.get("ip"))]
    addresses += _list(spec.get("externalIPs"))
    metadata = document.field().require("metadata")
    return Service(
        namespace=namespace, name=name, selector=selector.labels() if selector else {},
        addresses=tuple(dict.fromkeys(_address(a) for a in addresses if a.value not in ("None", ""))),
        ports=tuple(_service_port(port) for port in _list(spec.get("ports"))),
        uid=_text(metadata.get("uid")), created=_time(metadata.get("creationTimestamp")),
    )  # fmt: skip


def network_set(document: manifest.Document) -> NetworkSet:
    """Calico's NetworkSet or GlobalNetworkSet."""
    namespace, name, labels = _metadata(document)
    networks = _list(document.field().at("spec", "nets"))
    return NetworkSet(
        namespace="" if document.kind == "GlobalNetworkSet" else namespace, name=name, labels=labels,
        networks=tuple(_network(n) for n in networks),
        uid=_text(document.field().at("metadata", "uid")),
        created=_time(document.field().at("metadata", "creationTimestamp")),
    )  # fmt: skip


def host_endpoint(document: manifest.Document) -> HostEndpoint:
    """Calico's HostEndpoint.

    Raises:
        ManifestError: If a field that we need is missing or has the wrong form.
    """
    _, name, labels = _metadata(document)
    spec = document.field().require("spec")
    interface, addresses = spec.get("interfaceName"), _list(spec.get("expectedIPs"))
    if not addresses and not _text(interface):
        raise spec.error("needs interfaceName or expectedIPs")
    return HostEndpoint(
        name=name, node=spec.require("node").text(), labels=labels, interface=_text(interface),
        addresses=tuple(_address(a) for a in addresses),
        ports=tuple(
            ContainerPort(
                name=port.require("name").text(), number=port.require("port").integer(1, 65535),
                protocol=_protocol(port.get("protocol")),
            ) for port in _list(spec.get("ports"))
        ),
        profiles=tuple(profile.text() for profile in _list(spec.get("profiles"))),
    )  # fmt: skip


def _pool(document: manifest.Document) -> Pool:
    spec = document.field().require("spec")
    modes = [mode for name in ("ipipMode", "vxlanMode") if (mode := spec.get(name))]
    return Pool(
        network=_network(spec.require("cidr")),
        encapsulated=any(mode.one_of("Always", "CrossSubnet", "Never", "") == "Always" for mode in modes),
    )


def endpoint_slice(document: manifest.Document) -> EndpointSlice:
    """A slice of endpoints."""
    namespace, name, labels = _metadata(document)
    field = document.field()
    kind = field.get("addressType")
    listed = _list(field.get("endpoints")) if kind and kind.value in ("IPv4", "IPv6") else []
    return EndpointSlice(
        namespace=namespace, service=labels.get("kubernetes.io/service-name", name),
        made_by_hand=labels.get("endpointslice.kubernetes.io/managed-by") != _SLICE_CONTROLLER,
        addresses=tuple(_address(a) for one in listed for a in _list(one.get("addresses"))),
        ports=tuple(
            (_protocol(port.get("protocol")), number.integer(1, 65535))
            for port in _list(field.get("ports")) if (number := port.get("port"))
        ),
    )  # fmt: skip


_SLICE_CONTROLLER = "endpointslice-controller.k8s.io"


def _workload(document: manifest.Document) -> Workload:
    namespace, name, _ = _metadata(document)
    spec = document.field().require("spec")
    if document.kind == "CronJob":
        spec = spec.require("jobTemplate").require("spec")
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
    ("", "Pod"): pod,
    ("", "Namespace"): namespace,
    ("", "Node"): node,
    ("", "ServiceAccount"): service_account,
    ("", "Service"): service,
    **{(group, kind): network_set for group in ("projectcalico.org", "crd.projectcalico.org")
       for kind in ("NetworkSet", "GlobalNetworkSet")},
    **{(group, "HostEndpoint"): host_endpoint for group in ("projectcalico.org", "crd.projectcalico.org")},
    **{(group, "IPPool"): _pool for group in ("projectcalico.org", "crd.projectcalico.org")},
    ("discovery.k8s.io", "EndpointSlice"): endpoint_slice,
    **{("apps", kind): _workload for kind in ("Deployment", "StatefulSet", "DaemonSet")},
    **{("batch", kind): _workload for kind in ("Job", "CronJob")},
}  # fmt: skip


def declared(text: str) -> tuple[ContainerPort, ...]:
    """The ports that a pod declares, from ``http=TCP/8080 UDP/53``."""
    ports = []
    for one in text.split():
        name, equals, rest = one.rpartition("=")
        protocol, _, number = rest.partition("/")
        ports.append(ContainerPort(
            name=name if equals else "", number=int(number), protocol=enums.Protocol[protocol]
        ))  # fmt: skip
    return tuple(ports)
