"""The proof of a suggestion: the whole record, put before the policies as they would be then."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from model import cluster, manifest
from policy import drafting, evaluate, parse, preview, suggest, world
from policy.record import Codes, Ints, Rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the policies would do, with a suggestion among them.

    Attributes:
        edges: How many distinct edges were accepted.
        connections: How many connections.
        lost: Accepted edges that would be denied, though nothing denies them now.
        denied_already: Accepted edges that are denied now, and would be then.
        left_out: Edges that were left out, and that would newly be denied.
        pairs_before: How many pairs of workloads, with a port that one of them serves, can reach one another.
        pairs_after: The same with the suggestion.
        pairs_used: How many of them have done so, and were accepted.
    """

    edges: int
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
    pairs, used = _pairs(suggester, made)
    return Proof(
        edges=int(mask.sum()), connections=int(seen.connections[mask].sum()),
        lost=tuple(np.flatnonzero(mask & new).tolist()),
        denied_already=tuple(np.flatnonzero(mask & outcome.denied & before.denied).tolist()),
        left_out=tuple(np.flatnonzero(accepted.relevant & ~mask & new).tolist()),
        pairs_before=_reached(suggester.engine, pairs), pairs_after=_reached(engine, pairs), pairs_used=used,
    )  # fmt: skip


def applied(made: suggest.Suggestion) -> list[manifest.Document]:
    """The suggested policies as documents."""
    return [manifest.Document(f"suggestion for {one.group}", 1, dict(one.body)) for one in made.policies]


def _pairs(suggester: suggest.Suggester, made: suggest.Suggestion) -> tuple[evaluate.Edges, int]:
    """Each group with each port that another serves, if one of the two is among those asked about.

    Returns:
        These pairs; and how many of them the accepted edges are.
    """
    seen, of = suggester.replay.seen, suggester.group_of
    asked = set(made.groups)
    ours = np.array([group in asked for group in suggester.groups], bool)
    rows = np.flatnonzero(made.accepted.mask & (seen.dst >= 0))
    served = np.unique(_ports(suggester, rows), axis=1)
    between = rows[seen.src[rows] >= 0]
    met = np.unique(np.vstack([of[seen.src[between]], _ports(suggester, between)]), axis=1)
    one_of = np.unique(of, return_index=True)[1].astype(np.int32)  # a variant for each group
    src = np.tile(np.arange(len(one_of)), served.shape[1])
    dst, protocol, port, icmp_type = (np.repeat(row, len(one_of)) for row in served)
    kept = (ours[src] | ours[dst]) & (src != dst)
    zero = np.zeros(int(kept.sum()), np.int32)
    pairs = evaluate.Edges(
        ends=_ends(suggester.replay.cluster, len(seen.variants)),
        src=one_of[src[kept]], dst=one_of[dst[kept]],
        protocol=protocol[kept], src_port=zero, dst_port=port[kept], icmp_type=icmp_type[kept],
        icmp_code=zero,
    )  # fmt: skip
    return pairs, int(((ours[met[0]] | ours[met[1]]) & (met[0] != met[1])).sum())


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
