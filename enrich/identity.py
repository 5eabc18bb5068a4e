"""Identities: what an address can stand for, and the claims that say from when to when."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from model import enums


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an address stood for.

    Attributes:
        node: Where it runs; a node's own name.
        zone: Where that node stands.
        ports: The ports that it declares, such as ``http=TCP/8080 TCP/9090``.
        probe_ports: The ports at which its node's kubelet asks how it is, such as ``8080 9090``.
    """

    kind: enums.EndpointKind
    namespace: str = ""
    workload_kind: str = ""
    workload: str = ""
    pod: str = ""
    node: str = ""
    zone: str = ""
    labels_id: int = 0
    service_account: str = ""
    ports: str = ""
    probe_ports: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An address, 16 bytes, was somebody's: from when to when, in ns since 1970; ends are not included.

    Kubernetes tells most times to the second, and much only afterwards, so there is an outer span, in which
    it may have been so, and one within it, in which it surely was.

    Attributes:
        uid: Whose, by the API server's own number for it.
        valid_from: Since when it may be so.
        sure_from: Since when it surely is.
        sure_to: Until when it surely is; not after ``sure_from`` where it never surely is.
        valid_to: Until when it may be so; ``FOREVER`` while nobody knows of an end.
    """

    address: bytes
    uid: str
    identity: Identity
    valid_from: int
    sure_from: int
    sure_to: int
    valid_to: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """A port of a service's address, its name, and since when until when, in ns since 1970.

    Attributes:
        address: 16 bytes; ``::`` for a port of every node.
    """

    address: bytes
    port: int
    protocol: int
    namespace: str
    service: str
    port_name: str
    valid_from: int
    valid_to: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetworkName:
    """A name for all addresses of a CIDR that nobody claims, and since when until when, in ns since 1970."""

    network: str
    identity: Identity
    valid_from: int
    valid_to: int


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
