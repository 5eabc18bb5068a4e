"""Names for networks, by the objects that give them: these tell what an address is that nobody claims."""

from __future__ import annotations

from collections.abc import Iterator

from enrich import identity
from model import cluster, enums, manifest

KINDS = ("NetworkSet", "GlobalNetworkSet", "HostEndpoint", "EndpointSlice")
"""The kinds that give names."""


def names(document: manifest.Document, start: int, end: int) -> Iterator[identity.NetworkName]:
    """The names that an object gives, from when until when, in ns since 1970; none where it gives none.

    Raises:
        ManifestError: If it cannot be read.
    """
    if document.kind not in KINDS:
        return
    who, networks = _given(document)
    for network in networks:
        yield identity.NetworkName(network=network, identity=who, valid_from=start, valid_to=end)


def _given(document: manifest.Document) -> tuple[identity.Identity, tuple[str, ...]]:
    """What is named, and all of its networks; an address is a network of its own."""
    if document.kind == "HostEndpoint":
        host = cluster.host_endpoint(document)
        return identity.Identity(
            kind=enums.EndpointKind.HOST_ENDPOINT, workload_kind="HostEndpoint", workload=host.name,
            node=host.node,
        ), host.addresses  # fmt: skip
    if document.kind == "EndpointSlice":
        part = cluster.endpoint_slice(document)
        return identity.Identity(
            kind=enums.EndpointKind.NETWORK_SET, namespace=part.namespace, workload_kind="Service",
            workload=part.service,
        ), part.addresses if part.made_by_hand else ()  # fmt: skip
    group = cluster.network_set(document)
    return identity.Identity(
        kind=enums.EndpointKind.NETWORK_SET, namespace=group.namespace, workload_kind="NetworkSet",
        workload=group.name,
    ), group.networks  # fmt: skip
