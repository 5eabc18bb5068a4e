"""Selectors that outlive a rollout: the fewest labels that tell the pods of a workload from all others.

A Kubernetes label selector finds whoever has the labels, so the ones that are chosen have to be the same on
all pods of the workload that there are and that were recorded, and no other pod of the namespace may have
them all. Labels that a controller makes for each version or each pod are never among them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from policy import record

MADE_UP = (
    "pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash", "pod-template-generation",
    "controller-uid", "job-name", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/", "topology.kubernetes.io/",
)  # fmt: skip
"""Beginnings of labels that differ by pod, by where it runs, or by version of its workload."""
_OF_A_RELEASE = (
    "app.kubernetes.io/version",
    "helm.sh/",
    "chart",
    "heritage",
    "version",
    "release-",
    "build",
    "commit",
)
"""Beginnings of labels whose value the next release may change: only where nothing else tells pods apart."""
_KNOWN = (
    "app.kubernetes.io/name", "app", "k8s-app", "name", "app.kubernetes.io/instance",
    "app.kubernetes.io/component", "component", "tier", "role",
)  # fmt: skip
"""Labels by which people name workloads, the first choice first."""
_MOST_LABELS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Workloads that one selector finds.

    Attributes:
        namespace: Where they are.
        workloads: Which they are, by name; more than one where their labels do not tell them apart.
        labels: The labels that find them; empty where there are none.
        warning: What is wrong with these labels; empty if nothing is.
    """

    namespace: str
    workloads: tuple[record.Workload, ...]
    labels: tuple[tuple[str, str], ...]
    warning: str = ""

    @property
    def name(self) -> str:
        """What people call it: the first of its workloads."""
        return self.workloads[0].name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def groups(variants: Sequence[record.Variant]) -> list[Group]:
    """All workloads, by what selectors can tell apart."""
    spaces: dict[str, list[record.Variant]] = {}
    for one in variants:
        spaces.setdefault(one.workload.namespace, []).append(one)
    return [group for namespace in sorted(spaces) for group in _of_namespace(namespace, spaces[namespace])]


def _of_namespace(namespace: str, variants: Sequence[record.Variant]) -> Iterator[Group]:
    """The groups of one namespace; those that cannot be told apart are put together until all can."""
    known: dict[record.Workload, list[dict[str, str]]] = {}
    for one in variants:
        known.setdefault(one.workload, []).append(dict(one.labels))
    ours = sorted(known, key=lambda one: (one.name, one.kind))
    parts: list[tuple[record.Workload, ...]] = [(one,) for one in ours]
    found: dict[tuple[record.Workload, ...], tuple[tuple[tuple[str, str], ...], set[record.Workload]]] = {}
    while True:
        for part in parts:
            if part not in found:
                found[part] = _chosen(part, known)
        joined = next((part for part in parts if found[part][1]), None)
        if joined is None:
            break
        wanted = {*joined, *found[joined][1]}
        others = [part for part in parts if not wanted & set(part)]
        together = sorted(
            {one for part in parts if wanted & set(part) for one in part},
            key=lambda one: (one.name, one.kind),
        )
        parts = [*others, tuple(together)]
    for part in sorted(parts, key=lambda part: part[0].name):
        labels = found[part][0]
        yield Group(namespace, part, labels, _warning(part, labels))


def _chosen(
    part: Sequence[record.Workload], known: Mapping[record.Workload, list[dict[str, str]]]
) -> tuple[tuple[tuple[str, str], ...], set[record.Workload]]:
    """The labels for some workloads, and which others they find as well."""
    sets = [labels for one in part for labels in known[one]]
    common = sorted(set.intersection(*(set(labels.items()) for labels in sets)), key=_rank)
    common = [item for item in common if not item[0].startswith(MADE_UP)]
    if not common:
        return (), set()
    strangers = [(one, labels) for one in known if one not in part for labels in known[one]]
    has = np.array([[labels.get(k) == v for k, v in common] for _, labels in strangers], bool).reshape(
        len(strangers), len(common)
    )
    lasting = sum(not item[0].startswith(_OF_A_RELEASE) for item in common)  # they come first
    for count in sorted({lasting, len(common)}):
        if some := _fewest(has[:, :count], int(has.all(axis=1).sum())):
            return tuple(common[i] for i in some), _found(strangers, has[:, some])
    return tuple(common), _found(strangers, has)


def _fewest(has: np.ndarray, unavoidable: int) -> tuple[int, ...]:
    """The first of the fewest labels that find no more strangers than all together; none where many do."""
    for size in range(1, min(has.shape[1], _MOST_LABELS) + 1):
        for some in itertools.combinations(range(has.shape[1]), size):
            if int(has[:, some].all(axis=1).sum()) == unavoidable:
                return some
    return ()


def _found(
    strangers: Sequence[tuple[record.Workload, Mapping[str, str]]], has: np.ndarray
) -> set[record.Workload]:
    return {strangers[i][0] for i in np.flatnonzero(has.all(axis=1)).tolist()}


def _rank(item: tuple[str, str]) -> tuple[bool, int, str]:
    label = item[0]
    return label.startswith(_OF_A_RELEASE), _KNOWN.index(label) if label in _KNOWN else len(_KNOWN), label


def _warning(part: Sequence[record.Workload], labels: Iterable[tuple[str, str]]) -> str:
    if not labels:
        return "no label that all of its pods have outlives a rollout: no selector can name them"
    passing = [label for label, _ in labels if label.startswith(_OF_A_RELEASE)]
    if passing:
        return f"only {' and '.join(passing)} tells its pods from others, which a release may change"
    if len(part) > 1:
        names = ", ".join(one.name for one in part)
        return f"the labels of {names} do not tell their pods apart: what one of them needs all may do"
    return ""
