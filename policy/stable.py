"""Selectors that outlive a rollout: the fewest labels that tell the pods of a workload from all others.

A Kubernetes label selector finds whoever has the labels, so the ones that are chosen have to be the same on
all pods of the workload that there are and that were recorded, and no other pod of the namespace may have
them all. Labels that a controller makes for each version or each pod are never among them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from policy import record
from policy.record import Mask

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
_NAMED = 5


_Part = tuple[record.Workload, ...]
_Items = tuple[tuple[str, str], ...]


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

    def __hash__(self) -> int:
        return hash((self.namespace, self.workloads[0]))  # a workload is in one group alone


def groups(variants: Sequence[record.Variant]) -> list[Group]:
    """All workloads, by what selectors can tell apart."""
    spaces: dict[str, list[record.Variant]] = {}
    for one in variants:
        spaces.setdefault(one.workload.namespace, []).append(one)
    return [group for namespace in sorted(spaces) for group in _of_namespace(namespace, spaces[namespace])]


def _of_namespace(namespace: str, variants: Sequence[record.Variant]) -> Iterator[Group]:
    """The groups of one namespace; those that cannot be told apart are put together until all can."""
    labels = _Labels(variants)
    parts: list[_Part] = [(one,) for one in labels.workloads]
    found: dict[_Part, tuple[_Items, set[record.Workload]]] = {}
    while True:
        for part in parts:
            if part not in found:
                found[part] = labels.chosen(part)
        joined = next((part for part in parts if found[part][1]), None)
        if joined is None:
            break
        wanted = {*joined, *found[joined][1]}
        together = {one for part in parts if wanted & set(part) for one in part}
        parts = [*(part for part in parts if not wanted & set(part)), tuple(sorted(together, key=_by_name))]
    for part in sorted(parts, key=lambda part: part[0].name):
        items = found[part][0]
        yield Group(namespace, part, items, _warning(part, items))


def _by_name(one: record.Workload) -> tuple[str, str]:
    return one.name, one.kind


class _Labels:
    """The labels of a namespace's pods, by columns.

    Args:
        variants: All pods of the namespace.

    Attributes:
        workloads: Whose they are, by name.
    """

    def __init__(self, variants: Sequence[record.Variant]) -> None:
        self.workloads = sorted({one.workload for one in variants}, key=_by_name)
        number = {one: i for i, one in enumerate(self.workloads)}
        self._owners = np.array([number[one.workload] for one in variants], np.int64)
        self._rows: dict[record.Workload, list[int]] = {one: [] for one in self.workloads}
        self._sets = [frozenset(one.labels.items()) for one in variants]
        self._having: dict[tuple[str, str], list[int]] = {}
        for row, one in enumerate(variants):
            self._rows[one.workload].append(row)
            for item in one.labels.items():
                self._having.setdefault(item, []).append(row)

    def chosen(self, part: _Part) -> tuple[_Items, set[record.Workload]]:
        """The labels for some workloads, and which others they find as well."""
        rows = [row for one in part for row in self._rows[one]]
        shared = set.intersection(*(set(self._sets[row]) for row in rows))
        common = sorted((one for one in shared if not one[0].startswith(MADE_UP)), key=_rank)
        if not common:
            return (), set()
        has = np.zeros((len(self._sets), len(common)), bool)
        for i, item in enumerate(common):
            has[self._having[item], i] = True
        has[rows] = False  # the others are asked about
        lasting = sum(not item[0].startswith(_OF_A_RELEASE) for item in common)  # they come first
        for count in sorted({lasting, len(common)}):
            if some := _fewest(has[:, :count], int(has.all(axis=1).sum())):
                return tuple(common[i] for i in some), self._found(has[:, some])
        return tuple(common), self._found(has)

    def _found(self, has: Mask) -> set[record.Workload]:
        owners = np.unique(self._owners[has.all(axis=1)])
        return {self.workloads[i] for i in owners.tolist()}


def _fewest(has: Mask, unavoidable: int) -> tuple[int, ...]:
    """The first of the fewest labels that find no more strangers than all together; none where many do."""
    for size in range(1, min(has.shape[1], _MOST_LABELS) + 1):
        for some in itertools.combinations(range(has.shape[1]), size):
            if int(has[:, some].all(axis=1).sum()) == unavoidable:
                return some
    return ()


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
        names = ", ".join(one.name for one in part[:_NAMED])
        names += f" and {len(part) - _NAMED:,} more" if len(part) > _NAMED else ""
        return f"the labels of {names} do not tell their pods apart: what one of them needs all may do"
    return ""
