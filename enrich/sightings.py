"""What is seen of an object that has addresses, in the words of its life."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping

from enrich import identity, lives, workload
from model import address, cluster, enums

_FINISHED = ("Succeeded", "Failed")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What else is known that names a pod.

    Attributes:
        owned: Whom those belong to that own pods.
        zones: Where each node stands.
    """

    owned: Mapping[workload.Reference, cluster.Owned]
    zones: Mapping[str, str]


NOTHING = Around(owned={}, zones={})


def who(found: cluster.Pod, around: Around = NOTHING) -> identity.Identity:
    """What a pod is called."""
    kind, name = workload.owner(found, around.owned)
    return identity.Identity(
        kind=enums.EndpointKind.POD, namespace=found.namespace, workload_kind=sys.intern(kind),
        workload=sys.intern(name), pod=found.name, node=found.node, zone=around.zones.get(found.node, ""),
        labels_id=identity.labels_id(found.labels), service_account=found.service_account,
        ports=sys.intern(_ports(found)), probe_ports=sys.intern(" ".join(map(str, found.probe_ports))),
    )  # fmt: skip


def pod(
    found: cluster.Pod, around: Around = NOTHING, *, at: int, updated: int = 0, exact: bool = False
) -> lives.Seen:
    """A pod.

    One on its node's network has no address of its own. In a manifest, whose times are exact, the time of
    its deletion says when it gave its addresses up; from an API server, by when it was asked to.

    Args:
        found: What was seen.
        around: What else is known.
        at: When it was seen, in ns since 1970.
        updated: When it was made so.
        exact: Whether it is from a manifest.
    """
    asked = 0 if exact or not found.deleted else max(found.deleted - found.grace, 1)
    ended = found.phase in _FINISHED or (exact and found.deleted > 0)
    # containers that have ended before are those of a pod that goes on: they start again
    has_finished = ended or (asked and found.finished >= asked)
    return lives.Seen(
        at=at, updated=updated, who=who(found, around),
        addresses=() if found.host_network else tuple(map(address.pack, found.addresses)),
        started=found.started or (0 if exact else found.created), ready=found.ready, asked=asked, ended=ended,
        finished=((found.deleted if exact else 0) or found.finished) if has_finished else 0,
    )  # fmt: skip


def node(found: cluster.Node, *, at: int, updated: int = 0) -> lives.Seen:
    """A node, which has its addresses, those of its tunnels too, as long as it is there."""
    return lives.Seen(
        at=at, updated=updated, addresses=tuple(map(address.pack, found.addresses)),
        started=found.created,
        who=identity.Identity(
            kind=enums.EndpointKind.NODE, workload_kind="Node", workload=found.name, node=found.name,
            zone=found.zone,
        ),
    )  # fmt: skip


def _ports(found: cluster.Pod) -> str:
    named = ((f"{port.name}=" if port.name else "", port) for port in found.ports)
    return " ".join(f"{name}{port.protocol.name}/{port.number}" for name, port in named)
