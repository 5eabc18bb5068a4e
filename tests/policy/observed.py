"""Small records by hand: some pods, some addresses, and what was seen between them."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model import address, cluster, enums, manifest
from policy import record

HOUR, DAY = 3600 * 10**9, 86_400 * 10**9
START = 1_767_225_600_000_000_000
END = START + 14 * DAY
Body = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What was seen; an end is a workload's name, a variant's number, or an address."""

    src: str | int
    dst: str | int
    port: int = 80
    protocol: int = enums.Protocol.TCP
    icmp_type: int = 0
    verdict: str = "allowed"
    attribution: str = "nflog"
    connections: int = 20
    forward: int = 100
    reverse: int = 80
    hours: tuple[int, ...] = (0, 24, 48)


def edge(src: str | int, dst: str | int, port: int = 80, **more: Any) -> Edge:
    """A connection of TCP that came again on three days, unless more is said."""
    return Edge(src=src, dst=dst, port=port, **more)


def ping(src: str | int, dst: str | int, *, six: bool = False, **more: Any) -> Edge:
    protocol, kind = (enums.Protocol.ICMPV6, 128) if six else (enums.Protocol.ICMP, 8)
    return edge(src, dst, 0, **{"protocol": protocol, "icmp_type": kind, **more})


def pod(
    name: str, namespace: str = "shop", kind: str = "Deployment", labels: Mapping[str, str] | None = None,
    **more: Any,
) -> record.Variant:  # fmt: skip
    """Pods of a workload; their label ``app`` has its name, unless others are given."""
    labels = {"app": name} if labels is None else labels
    return record.Variant(
        workload=record.Workload(namespace, kind, name), labels_id=hash(tuple(sorted(labels.items()))),
        labels=labels, **{"pods": 2, "first": START - DAY, "longest": 3 * DAY, **more},
    )  # fmt: skip


def port(number: int, name: str = "", protocol: int = enums.Protocol.TCP) -> cluster.ContainerPort:
    return cluster.ContainerPort(name=name, number=number, protocol=enums.Protocol(protocol))


def seen(
    variants: Sequence[record.Variant], edges: Sequence[Edge],
    outside: Mapping[str, tuple[str, str, str]] | None = None,
) -> record.Record:  # fmt: skip
    """A record.

    Args:
        variants: The pods.
        edges: What was seen of them.
        outside: Kind, namespace and name of addresses; one that is not among them is public.
    """
    known = dict(outside or {})
    for one in edges:
        for end in (one.src, one.dst):
            if isinstance(end, str) and _is_address(end):
                known.setdefault(end, ("public", "", ""))
    numbers: dict[str | int, int] = {i: i for i in range(len(variants))}
    for i, variant in reversed(list(enumerate(variants))):
        numbers |= {variant.workload.name: i, str(variant.workload): i}
    numbers |= {text: -1 - i for i, text in enumerate(known)}
    kinds, namespaces, names = zip(*known.values(), strict=True) if known else ((), (), ())
    return record.Record(
        variants=tuple(variants), kinds=kinds, namespaces=namespaces, names=names,
        packed=np.frombuffer(b"".join(map(address.pack, known)), np.uint8).reshape(-1, 16),
        src=_codes(numbers[one.src] for one in edges), dst=_codes(numbers[one.dst] for one in edges),
        protocol=_codes(int(one.protocol) for one in edges), port=_codes(one.port for one in edges),
        icmp_type=_codes(one.icmp_type for one in edges), icmp_code=_codes(0 for _ in edges),
        family=_codes(map(_family, edges)), verdict=np.array([one.verdict for one in edges], object),
        attribution=np.array([one.attribution for one in edges], object),
        connections=_ints(one.connections for one in edges), bytes=_ints(1000 for _ in edges),
        forward_packets=_ints(one.forward for one in edges),
        reverse_packets=_ints(one.reverse for one in edges),
        first=_ints(START + min(one.hours) * HOUR for one in edges),
        last=_ints(START + (max(one.hours) + 1) * HOUR for one in edges),
        starts=_ints(np.cumsum([0, *(len(one.hours) for one in edges)])),
        hours=np.array([START // HOUR + hour for one in edges for hour in one.hours], np.uint32),
    )  # fmt: skip


def _codes(numbers: Any) -> record.Codes:
    return np.array(list(numbers), np.int32)


def _ints(numbers: Any) -> record.Ints:
    return np.array(list(numbers), np.int64)


def _is_address(end: str | int) -> bool:
    return isinstance(end, str) and (":" in end or end.replace(".", "").isdigit())


def _family(one: Edge) -> int:
    """That of an end that is an address, or of the protocol; 0 where neither tells."""
    told = {int(enums.Protocol.ICMP): 4, int(enums.Protocol.ICMPV6): 6}.get(int(one.protocol), 0)
    ends = [ipaddress.ip_address(end).version for end in (one.src, one.dst) if _is_address(end)]
    return next(iter(ends), told)


def documents(*bodies: Body) -> list[manifest.Document]:
    """Objects, and the namespaces that all these tests are about."""
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("shop", "bank")
    ]
    return [manifest.Document("f", i, body) for i, body in enumerate([*spaces, *bodies], 1)]


def network_set(name: str, *nets: str, labels: Mapping[str, str] | None = None, namespace: str = "") -> Body:
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkSet" if namespace else "GlobalNetworkSet",
        "metadata": {"name": name, "labels": dict(labels or {}), **place}, "spec": {"nets": list(nets)},
    }  # fmt: skip


def closed(namespace: str = "shop", *types: str) -> Body:
    """A default deny."""
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": list(types or ("Ingress", "Egress"))},
    }  # fmt: skip
