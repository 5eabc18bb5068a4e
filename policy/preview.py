"""Preview: what a change of policies would do to the connections of the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from model import cluster, enums, manifest, policyhit
from policy import evaluate, objects, parse, record, replay
from policy.record import Mask

Object = tuple[str, str, str, str]
"""API group, kind, namespace and name."""

_CALICO = ("projectcalico.org", "crd.projectcalico.org")
"""The group by which Calico serves its objects, and the one under which it stores them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Connections of one pair of workloads that the change would treat in another way.

    Attributes:
        src: What people call it; and ``dst``.
        edges: Their numbers in the record.
        connections: How many there were; 0 where all had begun before the span.
        first: When the first of them was seen, in ns since 1970; and ``last``.
        verdicts: What was done to them, by verdict.
        decider: The rule that would decide; None where none would have a say.
        direction: Whose rule that is; None where none would have a say.
    """

    src: str
    dst: str
    protocol: int
    port: int
    icmp_type: int
    edges: tuple[int, ...]
    connections: int
    first: int
    last: int
    verdicts: dict[str, int]
    decider: policyhit.PolicyHit | None
    direction: enums.Direction | None


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do.

    Attributes:
        denied: What would newly be denied; most connections first.
        allowed: What would newly be allowed.
        edges: How many distinct edges were judged.
        connections: How many connections.
        uncertain: Edges of which nobody knows the address family, where it matters.
    """

    denied: tuple[Difference, ...]
    allowed: tuple[Difference, ...]
    edges: int
    connections: int
    uncertain: int


def preview(
    seen: record.Record, around: cluster.Cluster, before: Sequence[manifest.Document],
    after: Sequence[manifest.Document], named: Collection[Object] = (),
) -> Preview:  # fmt: skip
    """What a change would do.

    Staged policies that it adds, changes or names are taken as enforced, in the place of their namesakes;
    those that were there already are not. An edge of which nobody knows the family is among what would newly
    be denied if one of the families would.

    Args:
        seen: The record.
        around: The nodes of the cluster, and its pods on their networks.
        before: The policies and what they speak of, as they are.
        after: The same, changed.
        named: Objects that the change is about even where they stay as they are.

    Raises:
        ManifestError: If one is not understood.
    """
    known = {identity(one): one.body for one in before}
    fresh = [one for one in after if identity(one) in named or known.get(identity(one)) != one.body]
    old, new = _judged(seen, around, before, ()), _judged(seen, around, after, fresh)
    closed, opened = (
        one.outcome.families & ~other.outcome.families for one, other in ((new, old), (old, new))
    )
    uncertain = (closed[:, 0] != closed[:, 1]) | (opened[:, 0] != opened[:, 1])
    return Preview(
        denied=tuple(_differences(seen, new, closed[:, 0] | closed[:, 1])),
        allowed=tuple(_differences(seen, new, opened[:, 0] | opened[:, 1])),
        edges=len(seen), connections=int(seen.connections.sum()), uncertain=int(uncertain.sum()),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class _Judged:
    engine: evaluate.Engine
    outcome: replay.Outcome


def _judged(
    seen: record.Record, around: cluster.Cluster, documents: Sequence[manifest.Document],
    fresh: Sequence[manifest.Document],
) -> _Judged:  # fmt: skip
    """What policies do to a record, those enforced too that some of the documents stage."""
    found = cluster.read(one for one in documents if one.kind not in ("Pod", "Node"))
    known = dataclasses.replace(found, nodes=around.nodes, pods=around.pods)
    policies, staged = parse.parse(documents), {one.identity for one in parse.parse(fresh).staged}
    replaced = set(_namesakes(fresh))
    enforced = dataclasses.replace(
        policies, policies=tuple(one for one in policies.policies if one.identity not in replaced),
        staged=tuple(one for one in policies.staged if one.identity in staged),
    )  # fmt: skip
    again = replay.Replay(seen, known)
    engine = again.engine(enforced.pending())
    return _Judged(engine, again.judge(engine))


def _namesakes(documents: Iterable[manifest.Document]) -> Iterator[str]:
    """The identities of the policies whose place staged ones are to take; some of these but delete them."""
    for one in documents:
        group, kind, namespace, name = identity(one)
        word = objects.STAGED.get(objects.KINDS.get((group, kind), ""))
        if word:
            yield "/".join(filter(None, (word, namespace, name)))


def changed(
    documents: Sequence[manifest.Document], added: Iterable[manifest.Document],
    deleted: Iterable[Object] = (),
) -> list[manifest.Document]:  # fmt: skip
    """Documents with some more, which take the place of those about the same object, and without others.

    Raises:
        LookupError: If an object to delete is not there.
    """
    new = {identity(one): one for one in added}
    gone = set(deleted)
    there = {identity(one) for one in documents}
    if missing := sorted(gone - there):
        group, kind, namespace, name = missing[0]
        what = "/".join(filter(None, (kind, namespace, name)))
        raise LookupError(f"there is no {what}{f' of {group}' if group else ''} to delete")
    # in their places: of two host endpoints on one interface it is the first that counts
    kept = [new.pop(key, one) for one in documents if (key := identity(one)) not in gone or key in new]
    return [*kept, *new.values()]


def identity(document: manifest.Document) -> Object:
    """Which object a document is about; Calico's groups are one.

    What tools keep beside manifests, as kustomize does, may have no name.
    """
    namespace, name = (document.field().at("metadata", part) for part in ("namespace", "name"))
    cluster_wide = document.kind in CLUSTER_WIDE
    place = "" if cluster_wide else namespace.text() if namespace else "default"
    group = _CALICO[0] if document.group in _CALICO else document.group
    text = name.text() if name else ""
    if (group, document.kind) in _TIERED:  # as Calico stores them up to 3.31
        text = text.removeprefix(f"{objects.DEFAULT_TIER}.")
    return group, document.kind, place, text


_TIERED = frozenset(
    (_CALICO[0], kind) for kind in (
        "NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"
    )
)  # fmt: skip
"""Policies whose name may have that of their tier before it."""

CLUSTER_WIDE = frozenset({
    "Namespace", "Node", "Tier", "Profile", "HostEndpoint", "IPPool", "GlobalNetworkPolicy",
    "GlobalNetworkSet", "StagedGlobalNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
})  # fmt: skip
"""Kinds of objects that are in no namespace."""


_Key = tuple[str, str, int, int, int, policyhit.PolicyHit | None, enums.Direction | None]
"""Source, destination, protocol, port, ICMP type, and what would decide."""


def _differences(seen: record.Record, new: _Judged, which: Mask) -> list[Difference]:
    """Those edges by pair of workloads and port, and by what would decide about them."""
    outcome = new.outcome
    rows = np.flatnonzero(which)
    deciding = np.where(outcome.egress[rows], 1, np.where(outcome.ingress[rows], 2, np.where(
        outcome.into[rows] > 0, 2, np.where(outcome.out[rows] > 0, 1, 0))))  # fmt: skip
    traces = np.where(deciding == 1, outcome.out[rows], np.where(deciding == 2, outcome.into[rows], 0))
    hits = {trace: replay.decider(new.engine, trace) for trace in np.unique(traces).tolist()}
    groups: dict[_Key, list[int]] = {}
    names = {end: seen.name(end) for end in np.unique([*seen.src[rows], *seen.dst[rows]]).tolist()}
    for row, way, trace in zip(rows.tolist(), deciding.tolist(), traces.tolist(), strict=True):
        key = (
            names[int(seen.src[row])], names[int(seen.dst[row])], int(seen.protocol[row]),
            int(seen.port[row]), int(seen.icmp_type[row]), hits[trace], _DIRECTIONS[way],
        )  # fmt: skip
        groups.setdefault(key, []).append(row)
    found = [_difference(seen, key, edges) for key, edges in groups.items()]
    return sorted(found, key=_order)


_DIRECTIONS = (None, enums.Direction.EGRESS, enums.Direction.INGRESS)


def _order(one: Difference) -> tuple[int, str, str, int, int, int, str]:
    decider = one.decider.render() if one.decider else ""
    return -one.connections, one.src, one.dst, one.protocol, one.port, one.icmp_type, decider


def _difference(seen: record.Record, key: _Key, edges: list[int]) -> Difference:
    src, dst, protocol, port, icmp_type, hit, direction = key
    verdicts: dict[str, int] = {}
    for edge in edges:
        verdict = str(seen.verdict[edge])
        verdicts[verdict] = verdicts.get(verdict, 0) + int(seen.connections[edge])
    return Difference(
        src=src, dst=dst, protocol=protocol, port=port, icmp_type=icmp_type, edges=tuple(edges),
        connections=int(seen.connections[edges].sum()), first=int(seen.first[edges].min()),
        last=int(seen.last[edges].max()), verdicts=verdicts, decider=hit, direction=direction,
    )  # fmt: skip
