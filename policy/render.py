"""Policies back to manifests: with all that their kind fills in, and without what says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from model import enums, manifest
from policy import objects, parse

Body = dict[str, Any]

_TYPES = {
    "knp": "policyTypes",
    "sknp": "policyTypes",
    "np": "types",
    "gnp": "types",
    "snp": "types",
    "sgnp": "types",
}
_OF_CALICO = ("np", "gnp", "snp", "sgnp")
_NAMESPACED = ("knp", "sknp", "np", "snp")


def normal(document: manifest.Document) -> Body:
    """The manifest of a policy in one form for all that say the same in other words.

    What a kind's API fills in is written out: directions, tier, protocols of ports, the namespace. What is
    null, and metadata beside the name, are left out.

    Raises:
        ManifestError: If it is no policy.
    """
    found = parse.parse([document]).everything()
    if not found:
        raise document.field().error("is no policy")
    (policy,) = found
    metadata: Body = {"name": policy.name}
    if policy.kind in _NAMESPACED:
        metadata["namespace"] = policy.namespace
    spec = _without_null(document.body["spec"])
    return {
        "apiVersion": document.body["apiVersion"], "kind": document.kind, "metadata": metadata,
        "spec": _filled(spec, policy),
    }  # fmt: skip


def _filled(spec: Body, policy: objects.Policy) -> Body:
    if policy.kind in _TYPES:
        spec[_TYPES[policy.kind]] = [str(one).capitalize() for one in enums.Direction if one in policy.types]
    if policy.kind in _OF_CALICO:
        spec["tier"] = policy.tier
        if math.isfinite(policy.order):
            spec["order"] = policy.order
    if policy.kind in ("knp", "sknp"):
        spec.setdefault("podSelector", {})
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction, []):
                rule.update({"ports": [_port(port) for port in rule["ports"]]} if rule.get("ports") else {})
    return spec


def _port(port: Body) -> Body:
    return {"protocol": "TCP", **port}


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_null(one) for name, one in value.items() if one is not None}
    return [_without_null(one) for one in value] if isinstance(value, list) else value
