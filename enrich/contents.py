"""Contents: what the objects are that policies are read from, without what changes by itself.

And what tells which pods will come when: no policy speaks of it, but a suggestion of policies does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

from enrich import networknames, terms
from enrich.kubernetes import slim
from model import cluster, manifest

_CALICO = ("projectcalico.org", "crd.projectcalico.org")
_TIERED = {
    (group, kind) for group in _CALICO
    for kind in ("NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy")
}  # fmt: skip
_SLICE = ("discovery.k8s.io", "EndpointSlice")
_LABELS_ALONE = {("", "Namespace"), ("", "ServiceAccount"), ("", "Node")}

TIMED = {("batch", "CronJob")}
"""Those kinds that no policy is read from or speaks of: they say when pods come."""
TIMED_SPEC: slim.Shape = {
    "schedule": slim.KEEP, "timeZone": slim.KEEP, "suspend": slim.KEEP,
    "jobTemplate": {"spec": {"template": {
        "metadata": {"labels": slim.KEEP},
        "spec": {
            "hostNetwork": slim.KEEP, "serviceAccountName": slim.KEEP, "containers": [{"ports": slim.KEEP}]
        },
    }}},
}  # fmt: skip
"""When their pods come, and what policies can tell these by; what they run is another with each version."""

_NAMED: tuple[str, ...] = ("namespace", "name", "labels")

KINDS = {
    *_LABELS_ALONE, *_TIERED, *TIMED, ("", "Service"), ("networking.k8s.io", "NetworkPolicy"), _SLICE,
    *((group, kind) for group in _CALICO for kind in (
        "StagedKubernetesNetworkPolicy", "Tier", "NetworkSet", "GlobalNetworkSet", "HostEndpoint", "Profile",
        "IPPool")),
    *(("policy.networking.k8s.io", kind) for kind in (
        "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy")),
}  # fmt: skip
"""API group and kind of each."""

_PASSING = ("resourceVersion", "generation", "managedFields", "uid", "creationTimestamp")
"""Metadata that change without the content, or that it does not need."""


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """What an object is.

    Attributes:
        digest: The same for the same content.
        tier: Of a policy of Calico's; else empty.
        document: The object.
    """

    digest: str
    tier: str
    document: manifest.Document = dataclasses.field(compare=False)


def content(document: manifest.Document) -> Content:
    """What an object is.

    Raises:
        ManifestError: If what we need of it cannot be read.
    """
    key = document.group, document.kind
    for _ in networknames.names(document, 0, 0):  # what names follow from has to be right
        pass
    tier = document.field().at("spec", "tier") if key in _TIERED else None
    kept = dataclasses.replace(document, body=_body(document))
    if key in TIMED:  # whoever reads the ledger reads it with all the others
        cluster.read([kept])
    return Content(_digest(kept), tier.text() if tier else "default" if key in _TIERED else "", kept)


def is_kept(document: manifest.Document) -> bool:
    """Whether what it was is kept.

    Slices that follow from selectors are not: they change with each pod, and the pods themselves are known.

    Raises:
        ManifestError: If that cannot be read.
    """
    key = document.group, document.kind
    return key in KINDS and (key != _SLICE or cluster.endpoint_slice(document).made_by_hand)


def concerns_policies(document: manifest.Document) -> bool:
    """Whether policies are read from it, or speak of it.

    Raises:
        ManifestError: If that cannot be read.
    """
    return (document.group, document.kind) not in TIMED and is_kept(document)


def owner(document: manifest.Document) -> terms.Owner:
    """Which object it is.

    Raises:
        ManifestError: If it has no name.
    """
    metadata = document.field().require("metadata")
    namespace, name = metadata.get("namespace"), metadata.require("name")
    # one object, whether it is asked for as Calico serves it or as it is stored
    group = _CALICO[0] if document.group in _CALICO else document.group
    return group, document.kind, namespace.text() if namespace else "", name.text()


def created(document: manifest.Document) -> int:
    """When the API server was told of it, in ns since 1970; 0 where that is unknown."""
    moment = document.field().at("metadata", "creationTimestamp")
    return moment.time() if moment else 0


def text(document: manifest.Document) -> str:
    """A document as JSON, the same for the same content."""
    return json.dumps(document.body, sort_keys=True, separators=(",", ":"), default=str)


def _digest(document: manifest.Document) -> str:
    return hashlib.blake2b(text(document).encode(), digest_size=16).hexdigest()


def _body(document: manifest.Document) -> dict[str, object]:
    metadata = document.field().require("metadata").mapping()
    head = {"apiVersion": document.body["apiVersion"], "kind": document.kind}
    if (document.group, document.kind) in _LABELS_ALONE:
        return {**head, "metadata": {name: metadata[name] for name in _NAMED if name in metadata}}
    if (document.group, document.kind) in TIMED:
        named = {name: metadata[name] for name in ("namespace", "name") if name in metadata}
        return {**head, "metadata": named, "spec": slim.cut(document.body.get("spec"), TIMED_SPEC)}
    rest = {name: member for name, member in document.body.items() if name not in ("metadata", "status")}
    kept = {name: member for name, member in metadata.items() if name not in _PASSING}
    return {**head, **rest, "metadata": kept}
