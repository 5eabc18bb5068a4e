"""A cluster and its policies at one moment: from manifests, from the ledger, or from an API server."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from enrich import changes, contents, tables
from model import address, cluster, columns, enums, errors, manifest
from policy import evaluate, objects, parse, subjects
from runtime import settings
from store import names, transport


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What is known of a cluster.

    Attributes:
        documents: The manifests of its policies, among others.
        cluster: Its objects.
        source: Where that is from, for people.
        since: When each policy got its present content, by identity, in ns since 1970, where that is known.
        changed: When anything was changed last that policies are read from; 0 where that is unknown.
        services: Namespace and name of the service that is dialled at an address of 16 bytes.
    """

    documents: tuple[manifest.Document, ...]
    cluster: cluster.Cluster
    source: str
    since: Mapping[str, int] = dataclasses.field(default_factory=dict)
    changed: int = 0
    services: Mapping[bytes, str] = dataclasses.field(default_factory=dict)

    def engine(self) -> evaluate.Engine:
        """Its policies, compiled.

        Raises:
            ManifestError: If one of them is not understood.
        """
        return evaluate.Engine(parse.parse(self.documents), self.cluster)


def wanted(configured: settings.Enrich, url: str, at: int = 0) -> Known:
    """The cluster that the settings name; that of the ledger where they name none.

    Args:
        configured: The settings.
        url: The ledger.
        at: A moment, in ns since 1970; 0 for now.

    Raises:
        FlowledgerError: If it cannot be had.
    """
    elsewhere = is_elsewhere(configured)
    if at and elsewhere:
        raise errors.SetupError("--at is for the ledger, which alone knows the past")
    if configured.manifests:
        return manifests(pathlib.Path(configured.manifests))
    return api_server(configured) if elsewhere else ledger(url, at)


def is_elsewhere(configured: settings.Enrich) -> bool:
    """Whether the settings name somebody else than the ledger."""
    return bool(configured.manifests or configured.kubeconfig or configured.context)


def manifests(path: pathlib.Path) -> Known:
    """What a file or a folder of manifests says.

    Raises:
        SetupError: If there is nothing there.
        ManifestError: If a manifest is wrong.
    """
    documents = tuple(manifest.load(path))
    found = cluster.read(documents)
    everybody = dataclasses.replace(found, pods=(*found.pods, *_stand_ins(found)))
    return Known(documents, everybody, str(path), services=dialled(found))


def dialled(found: cluster.Cluster) -> dict[bytes, str]:
    """Namespace and name of the service that is dialled at each address of 16 bytes.

    An address that is somebody's own too, as a node's may stand for a load balancer, is left out.
    """
    ends = [one.addresses for one in found.pods] + [one.addresses for one in found.nodes]
    own = {text for some in (*ends, *(one.addresses for one in found.host_endpoints)) for text in some}
    return {
        address.pack(text): f"{one.namespace}/{one.name}"
        for one in found.services for text in one.addresses if text not in own
    }  # fmt: skip


def require_judged(services: Mapping[bytes, str], end: str) -> None:
    """Make sure that one end of a connection is one that policies see.

    Raises:
        SetupError: If it is the address of a service.
    """
    try:
        service = services.get(address.pack(end), "")
    except ValueError:
        return
    if service:
        raise errors.SetupError(
            f"{end} is the address of service {service}, which policies never see: they judge what is behind "
            "it; ask about one of its pods, at the port where that listens"
        )


def _stand_ins(found: cluster.Cluster) -> Iterator[cluster.Pod]:
    """A pod for each workload that has none here, under its name; its addresses are nobody's.

    Pods that have ended, or have no address yet, are not there: of them policies know nothing. The addresses
    are reserved for later (RFC 1112) and for nothing (RFC 6666): no policy means them but by all addresses.
    """
    pods = [pod for pod in found.pods if pod.addresses and not pod.deleted and not subjects.has_ended(pod)]
    named = {(pod.namespace, pod.name) for pod in pods}
    owners = {(pod.namespace, pod.owner_name) for pod in pods}
    for i, workload in enumerate(found.workloads):
        there = (workload.namespace, workload.name)
        hashed = any(space == there[0] and owner.startswith(f"{there[1]}-") for space, owner in owners)
        if there not in named | owners and not hashed:
            addresses = (f"240.{i + 1 >> 16}.{i + 1 >> 8 & 255}.{i + 1 & 255}", f"100::{i + 1:x}")
            yield dataclasses.replace(workload.template, name=workload.name, addresses=addresses)


def ledger(url: str, at: int = 0) -> Known:
    """What the ledger says of a moment.

    Args:
        url: The ledger.
        at: The moment, in ns since 1970; 0 for now.

    Raises:
        StoreError: If the ledger does not answer.
        SetupError: If nobody has written names into it, or none of that moment.
    """
    moment = at or time.time_ns()
    with contextlib.closing(transport.open(url)) as opened:
        watched = names.watched(opened)
        if not watched.num_rows:
            raise errors.SetupError(
                "the ledger knows no policies: run flowledger watch, or name a folder with --manifests"
            )
        rows = names.endpoints(opened, ended_after=moment)
        held = _at(rows, moment)
        labels = names.labels(
            opened, set(columns.numbers(held.column("labels_id").combine_chunks()).tolist())
        )
        own = set(held.column("address").to_pylist())
        services = {
            row["address"]: f"{row['namespace']}/{row['service']}"
            for row in _at(names.services(opened, ended_after=moment), moment).to_pylist()
            if row["address"] not in own
        }  # fmt: skip
        revisions = tables.Revisions(_at(names.policies(opened, ended_after=moment), moment))
        held_now = tuple(revisions)
    documents = tuple(one.document for one in held_now)
    since = {_identity(one): one.valid_from for one in held_now if _identity(one)}
    sets = {row["labels_id"]: dict(row["labels"]) for row in labels.to_pylist()}
    pods = tuple(_pods(held, sets))
    if at and not pods:
        raise errors.SetupError("the ledger knows of no pod that was there then: its names begin later")
    found = cluster.read(one for one in documents if one.kind != "Node")
    known = dataclasses.replace(found, pods=pods, nodes=tuple(_nodes(held)))
    moments = (one.valid_from for one in held_now if contents.concerns_policies(one.document))
    return Known(documents, known, "the ledger", since, max(moments, default=0), services)


def _identity(revision: changes.Revision) -> str:
    """The identity of the policy that it is of; empty for other kinds."""
    kind = objects.KINDS.get((revision.api_group.removeprefix("crd."), revision.kind), "")
    return "/".join(filter(None, (kind, revision.namespace, revision.name))) if kind else ""


def api_server(configured: settings.Enrich) -> Known:
    """What an API server says now.

    Raises:
        SetupError: If nothing says where it is.
        ApiError: If it does not answer.
    """
    # the client is large
    from enrich.kubernetes import client, listed

    api = client.connect(configured.kubeconfig, configured.context)
    documents = tuple(listed.documents(api))
    found = cluster.read(documents)
    return Known(documents, found, str(api), services=dialled(found))


def end(row: Mapping[str, Any], side: str) -> str:
    """One end of a row of the ledger: its pod, or else its address; as queries name it."""
    if row[f"{side}_pod"]:
        return f"{row[f'{side}_namespace']}/{row[f'{side}_pod']}"
    return address.render(row[f"{side}_address"])


def _at(rows: pa.Table, moment: int) -> pa.Table:
    since, until = (
        columns.numbers(rows.column(name).combine_chunks()) for name in ("valid_from", "valid_to")
    )
    there = np.flatnonzero((since <= moment) & ((until == 0) | (moment < until)))
    return rows.take(columns.array(there, pa.int64()))


def _pods(rows: pa.Table, labels: dict[int, dict[str, str]]) -> Iterator[cluster.Pod]:
    for found in _by_uid(row for row in rows.to_pylist() if row["kind"] == enums.EndpointKind.POD):
        first = found[0]
        yield cluster.Pod(
            namespace=first["namespace"], name=first["pod"], uid=first["uid"], node=first["node"],
            labels=labels.get(first["labels_id"], {}), service_account=first["service_account"],
            owner_kind=first["workload_kind"], owner_name=first["workload"],
            addresses=tuple(address.render(row["address"]) for row in found),
            ports=cluster.declared(first["ports"]),
        )  # fmt: skip


def _nodes(rows: pa.Table) -> Iterator[cluster.Node]:
    for found in _by_uid(row for row in rows.to_pylist() if row["kind"] == enums.EndpointKind.NODE):
        yield cluster.Node(
            name=found[0]["node"], labels={}, addresses=tuple(address.render(row["address"]) for row in found)
        )


def _by_uid(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["uid"], []).append(row)
    return list(found.values())
