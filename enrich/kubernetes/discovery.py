"""At which path this API server has a kind, if it has it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Protocol

from enrich.kubernetes import kinds

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {"alpha": 0, "beta": 1, None: 2}


class Served(Protocol):
    """What an API server says about itself; `client.Api` is one."""

    def versions(self, group: str) -> tuple[str, ...]:
        """The versions of a group that are served."""

    def resources(self, group: str, version: str) -> frozenset[str]:
        """The resources, by plural name, of a version of a group."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a kind is served."""

    path: str
    version: str
    """As ``apiVersion`` has it."""


def place(kind: kinds.Kind, api: Served) -> Place | None:
    """The best place of a kind; None where it is not served at all.

    Raises:
        ApiError: If the server cannot say. Then nothing else is taken for it: the second best place would
            double what the best one has again in a moment.
    """
    for source in kind.sources:
        if not source.group:
            return Place(f"/api/{source.versions[0]}/{kind.plural}", source.versions[0])
        for version in _candidates(source, api.versions(source.group)):
            if kind.plural in api.resources(source.group, version):
                named = kinds.api_version(source.group, version)
                return Place(f"/apis/{named}/{kind.plural}", named)
    return None


def _candidates(source: kinds.Source, served: Iterable[str]) -> list[str]:
    known = [version for version in source.versions if version in served]
    if not source.later:
        return known
    least = min(age(version) for version in source.versions)
    return sorted((version for version in served if age(version) >= least), key=age, reverse=True)


def age(version: str) -> tuple[int, int, int]:
    """How far a version has come, as Kubernetes orders them: v2, v1, v1beta1, v1alpha2, v1alpha1, others."""
    match = _VERSION.fullmatch(version)
    if not match:
        return -1, 0, 0
    return _STAGES[match[2]], int(match[1]), int(match[3] or 0)
