"""The proof of a suggestion: the whole record, put before the policies as they would be then."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from model import cluster, manifest
from policy import drafting, evaluate, parse, preview, suggest, world
from policy.record import Codes, Ints, Mask, Rows

_AT_ONCE = 1_000_000
"""So many pairs are judged at once, which bounds the memory that it takes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the policies would do, with a suggestion among them.

    Attributes:
        edges: How many distinct edges were accepted.
        allowed: How many of them the policies would allow.
        connections: How many connections these had.
        lost: Accepted edges that would be denied, though nothing denies them now.
        denied_already: Accepted edges that are denied now, and would be then.
        left_out: Edges that were left out, and that would newly be denied.
        pairs_before: How many pairs of workloads, with a port that one of them serves, can reach one another.
        pairs_after: The same with the suggestion.
        pairs_used: How many of them have done so, and were accepted.
    """

    edges: int
    allowed: int
    connections: int
    lost: tuple[int, ...]
    denied_already: tuple[int, ...]
    left_out: tuple[int, ...]
    pairs_before: int
    pairs_after: int
    pairs_used: int

    @property
    def holds(self) -> bool:
        """Whether all that was accepted stays allowed."""
        return not self.lost


def prove(
    suggester: suggest.Suggester, made: suggest.Suggestion, documents: Sequence[manifest.Document],
    kind: drafting.Kind,
) -> Proof:  # fmt: skip
    """Replay the record.

    Args:
        suggester: What has made the suggestion.
        made: The suggestion.
        documents: The policies that there are, and what they speak of.
        kind: Which kind of policy it is of.

    Raises:
        ManifestError: If a suggested policy is not one.
    """
    seen, accepted = suggester.replay.seen, made.accepted
    after = preview.changed(documents, applied(made))
    policies = parse.parse(after)
    if kind is drafting.Kind.STAGED:
        policies = policies.pending()
    engine = suggester.replay.engine(policies)
    outcome, before = suggester.replay.judge(engine), suggester.before
    mask, new = accepted.mask, outcome.denied & ~before.denied
    open_ = _open(suggester, made, engine)
    allowed = mask & ~outcome.denied
    return Proof(
        edges=int(mask.sum()), allowed=int(allowed.sum()), connections=int(seen.connections[allowed].sum()),
        lost=tuple(np.flatnonzero(mask & new).tolist()),
        denied_already=tuple(np.flatnonzero(mask & outcome.denied & before.denied).tolist()),
        left_out=tuple(np.flatnonzero(accepted.relevant & ~mask & new).tolist()),
        pairs_before=open_.before, pairs_after=open_.after, pairs_used=open_.used,
    )  # fmt: skip


def applied(made: suggest.Suggestion) -> list[manifest.Document]:
    """The suggested policies as documents."""
    return [manifest.Document(f"suggestion for {one.group}", 1, dict(one.body)) for one in made.policies]


@dataclasses.dataclass(frozen=True, slots=True)
class _Open:
    """Pairs of groups that can reach each other, at each port that one of them serves.

    Attributes:
        before: How many can now; and ``after`` how many then.
        used: How many of these the accepted edges are.
    """

    before: int
    after: int
    used: int


def _open(suggester: suggest.Suggester, made: suggest.Suggestion, then: evaluate.Engine) -> _Open:
    seen, of = suggester.replay.seen, suggester.group_of
    asked = set(made.groups)
    ours = np.array([group in asked for group in suggester.groups], bool)
    rows = np.flatnonzero(made.accepted.mask & (seen.dst >= 0))
    served = np.unique(_ports(suggester, rows), axis=1)
    between = rows[seen.src[rows] >= 0]
    met = np.unique(np.vstack([of[seen.src[between]], _ports(suggester, between)]), axis=1)
    one_of = np.unique(of, return_index=True)[1].astype(np.int32)  # a variant for each group
    step = max(_AT_ONCE // max(len(one_of), 1), 1)
    counts = np.zeros(2, np.int64)
    for start in range(0, served.shape[1], step):
        pairs = _pairs(suggester, one_of, ours, served[:, start : start + step])
        counts += [_reached(engine, pairs) for engine in (suggester.engine, then)]
    used = int(((ours[met[0]] | ours[met[1]]) & (met[0] != met[1])).sum())
    return _Open(int(counts[0]), int(counts[1]), used)


def _pairs(suggester: suggest.Suggester, one_of: Codes, ours: Mask, served: Ints) -> evaluate.Edges:
    """Each group with each of some ports, if one of the two is among those asked about."""
    src = np.tile(np.arange(len(one_of)), served.shape[1])
    dst, protocol, port, icmp_type = (np.repeat(row, len(one_of)) for row in served)
    kept = (ours[src] | ours[dst]) & (src != dst)
    zero = np.zeros(int(kept.sum()), np.int32)
    return evaluate.Edges(
        ends=_ends(suggester.replay.cluster, len(suggester.replay.seen.variants)),
        src=one_of[src[kept]], dst=one_of[dst[kept]],
        protocol=protocol[kept], src_port=zero, dst_port=port[kept], icmp_type=icmp_type[kept],
        icmp_code=zero,
    )  # fmt: skip


def _ports(suggester: suggest.Suggester, rows: Rows) -> Ints:
    """What edges ask of whom: group of the destination, protocol, port, ICMP type."""
    seen = suggester.replay.seen
    told = suggester.group_of[seen.dst[rows]], seen.protocol[rows], seen.port[rows], seen.icmp_type[rows]
    return np.vstack(told).astype(np.int64)


def _ends(found: cluster.Cluster, count: int) -> world.Ends:
    pods: Codes = np.arange(count, dtype=np.int32)
    return world.Ends(pods, world.pack(pod.addresses[0] for pod in found.pods[:count]))


def _reached(engine: evaluate.Engine, pairs: evaluate.Edges) -> int:
    return int((~engine.judge(pairs).denied).sum()) if len(pairs) else 0
