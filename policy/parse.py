"""From manifests to policies, strictly: what we do not understand is refused, never skipped."""

from __future__ import annotations

from collections.abc import Iterable

from model import manifest
from policy import calico, kubernetes, objects

_CALICO_GROUPS = ("projectcalico.org", "crd.projectcalico.org")

_POLICIES = {
    ("networking.k8s.io", "NetworkPolicy"): kubernetes.network_policy,
    **{(group, "NetworkPolicy"): calico.network_policy for group in _CALICO_GROUPS},
    **{(group, "GlobalNetworkPolicy"): calico.global_network_policy for group in _CALICO_GROUPS},
}

_UNKNOWN = {
    *(
        (group, kind)
        for group in _CALICO_GROUPS
        for kind in ("StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy",
                     "HostEndpoint", "Profile")
    ),
    ("extensions", "NetworkPolicy"),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"),
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"),
    ("cilium.io", "CiliumNetworkPolicy"),
    ("cilium.io", "CiliumClusterwideNetworkPolicy"),
    ("crd.antrea.io", "NetworkPolicy"),
    ("crd.antrea.io", "ClusterNetworkPolicy"),
}  # fmt: skip
"""What takes part in verdicts, but not yet in ours."""


def parse(documents: Iterable[manifest.Document]) -> objects.PolicySet:
    """All policies and tiers among some documents, in the order of judgement; other kinds are left alone.

    Raises:
        ManifestError: If one has an unknown field or a wrong value, is there twice, or is of a kind that
            takes part in verdicts and that this version does not know.
    """
    tiers: dict[str, objects.Tier] = {}
    policies: dict[str, objects.Policy] = {}
    for document in documents:
        key = (document.group, document.kind)
        if key in _UNKNOWN:
            reason = (
                f"this version does not know {document.kind} of {document.group}; it would change verdicts"
            )
            raise document.field().error(reason)
        if document.kind == "Tier" and document.group in _CALICO_GROUPS:
            tier = calico.tier(document)
            _once(document, tiers, tier.name)
            tiers[tier.name] = tier
        elif key in _POLICIES:
            policy = _POLICIES[key](document)
            _once(document, policies, policy.identity)
            policies[policy.identity] = policy
    return objects.policy_set(tiers.values(), policies.values())


def _once(document: manifest.Document, known: Iterable[str], name: str) -> None:
    if name in known:
        raise document.field().error(f"{document.kind} {name} is there twice")
