"""From manifests to policies, strictly: what we do not understand is refused, never skipped."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from model import manifest
from policy import admin, calico, kubernetes, objects

_CALICO_GROUPS = ("projectcalico.org", "crd.projectcalico.org")
_ADMIN_GROUP = "policy.networking.k8s.io"

_CALICO_POLICIES = {
    "NetworkPolicy": calico.network_policy,
    "GlobalNetworkPolicy": calico.global_network_policy,
    "StagedNetworkPolicy": calico.staged_network_policy,
    "StagedGlobalNetworkPolicy": calico.staged_global_network_policy,
    "StagedKubernetesNetworkPolicy": kubernetes.staged_network_policy,
}
_POLICIES: dict[tuple[str, str], Callable[[manifest.Document], objects.Policy | None]] = {
    ("networking.k8s.io", "NetworkPolicy"): kubernetes.network_policy,
    (_ADMIN_GROUP, "AdminNetworkPolicy"): admin.admin_network_policy,
    (_ADMIN_GROUP, "BaselineAdminNetworkPolicy"): admin.baseline_admin_network_policy,
    (_ADMIN_GROUP, "ClusterNetworkPolicy"): admin.cluster_network_policy,
    **{(group, kind): read for group in _CALICO_GROUPS for kind, read in _CALICO_POLICIES.items()},
}

_UNKNOWN = {
    ("extensions", "NetworkPolicy"),
    ("cilium.io", "CiliumNetworkPolicy"),
    ("cilium.io", "CiliumClusterwideNetworkPolicy"),
    ("crd.antrea.io", "NetworkPolicy"),
    ("crd.antrea.io", "ClusterNetworkPolicy"),
}
"""What takes part in verdicts, but not in ours."""


_NEAR = 0.85
"""How much of two kinds is the same where one may be the other, mistyped; those that exist are less alike."""


def parse(documents: Iterable[manifest.Document]) -> objects.PolicySet:
    """All policies, tiers and profiles among some documents, in the order of judgement.

    Other kinds are left alone.

    Raises:
        ManifestError: If one has an unknown field or a wrong value, is there twice, or is of a kind that
            takes part in verdicts and that this version does not know.
    """
    tiers: dict[str, objects.Tier] = {}
    policies: dict[str, objects.Policy] = {}
    profiles: dict[str, objects.Profile] = {}
    for document in documents:
        key = (document.group, document.kind)
        if key in _UNKNOWN:
            reason = (
                f"this version does not know {document.kind} of {document.group}; it would change verdicts"
            )
            raise document.field().error(reason)
        _is_spelled(document)
        if document.kind == "Tier" and document.group in _CALICO_GROUPS:
            tier = calico.tier(document)
            _once(document, tiers, tier.name)
            tiers[tier.name] = tier
        elif document.kind == "Profile" and document.group in _CALICO_GROUPS:
            profile = calico.profile(document)
            _once(document, profiles, profile.name)
            profiles[profile.name] = profile
        elif (read := _POLICIES.get(key)) and (policy := read(document)):
            _once(document, policies, policy.identity)
            policies[policy.identity] = policy
    return objects.policy_set(tiers.values(), policies.values(), profiles.values())


def _is_spelled(document: manifest.Document) -> None:
    """A kind that is nearly one of ours would be a policy that is not there."""
    ours = [kind for group, kind in _POLICIES if group == document.group]
    if document.group in _CALICO_GROUPS:
        ours += ["Tier", "Profile"]
    near = difflib.get_close_matches(document.kind, ours, n=1, cutoff=_NEAR)
    if near and near[0] != document.kind:
        raise document.field().error(
            f"there is no kind {document.kind} of {document.group}: {near[0]} is one"
        )


def _once(document: manifest.Document, known: Iterable[str], name: str) -> None:
    if name in known:
        raise document.field().error(f"{document.kind} {name} is there twice")
