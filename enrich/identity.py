"""Identities: what an address can stand for, and the claims that say from when to when."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from model import enums


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an address stood for."""

    kind: enums.EndpointKind
    namespace: str = ""
    workload_kind: str = ""
    workload: str = ""
    pod: str = ""
    node: str = ""
    labels_id: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An address, 16 bytes, was somebody's from ``start`` until before ``end``, in ns since 1970."""

    address: bytes
    start: int
    end: int
    identity: Identity


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """A port of a service's address, and its name."""

    address: bytes
    port: int
    protocol: int
    namespace: str
    service: str
    port_name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetworkName:
    """A name for all addresses of a CIDR that nobody claims."""

    network: str
    identity: Identity


FOREVER = 2**63 - 1
AMBIGUOUS = Identity(kind=enums.EndpointKind.AMBIGUOUS)
PRIVATE = Identity(kind=enums.EndpointKind.PRIVATE)
PUBLIC = Identity(kind=enums.EndpointKind.PUBLIC)


def labels_id(labels: dict[str, str]) -> int:
    """The number of a label set, the same on every node and for ever; 0 for no labels."""
    if not labels:
        return 0
    text = json.dumps(labels, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") or 1
