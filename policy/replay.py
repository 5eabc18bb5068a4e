"""The record replayed: what policies would do to all that was seen, whoever had which address meanwhile."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from model import address, cluster, policyhit
from policy import evaluate, objects, record, world
from policy.record import Codes, Mask

_ENDS = 4
"""Ends of a variant: one for each family, and the same for another pod of it."""
_TWIN = 2
_FAMILIES = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What policies do to each edge of a record.

    Attributes:
        egress: Whether the source's policies deny it; and ``ingress`` the destination's.
        families: Whether either does, if it is of IPv4, and if it is of IPv6, shape (n, 2); the same twice
            where it can be of one alone.
        out: The number of the trace of the source's policies, of one family that is denied where one is.
        into: The destination's.
    """

    egress: Mask
    ingress: Mask
    families: Mask
    out: Codes
    into: Codes

    @property
    def denied(self) -> Mask:
        """Whether either denies it."""
        return self.egress | self.ingress

    @property
    def uncertain(self) -> Mask:
        """Whether that depends on the address family, which nobody knows."""
        found: Mask = self.families[:, 0] != self.families[:, 1]
        return found


class Replay:
    """A record that can be put before any policies.

    Pods stand for their variants, with an address that one of them had; where none is known, with one that is
    nobody's (RFC 1112, RFC 6666). Of those that had one address at different times all but one get another
    close by: no policy keeps an address from talking to itself.

    Args:
        seen: The record.
        around: The cluster that policies speak of beside pods: namespaces, nodes, network sets, services.

    Attributes:
        seen: The record.
        cluster: The cluster, with a pod for each variant, in their order.
    """

    def __init__(self, seen: record.Record, around: cluster.Cluster) -> None:
        self.seen = seen
        pods = tuple(_pods(seen))
        self.cluster = dataclasses.replace(
            around, pods=(*pods, *(pod for pod in around.pods if pod.host_network))
        )
        own = world.pack(text for pod in pods for text in pod.addresses)
        self._ends = world.Ends(
            np.concatenate([
                np.repeat(np.arange(len(pods), dtype=np.int32), _ENDS),
                np.full(len(seen.packed), world.NOBODY, np.int32),
            ]),
            np.concatenate([own, seen.packed]),
        )  # fmt: skip
        self._rows, self._six, self._edges = self._expanded()

    def engine(self, policies: objects.PolicySet) -> evaluate.Engine:
        """Policies, compiled for the cluster of the record."""
        return evaluate.Engine(policies, self.cluster)

    def judge(self, engine: evaluate.Engine) -> Outcome:
        """What an engine's policies do to each edge."""
        judged = engine.judge(self._edges)
        count = len(self.seen)
        denied = judged.denied
        # the last one written is kept: those that are denied come last
        order = np.argsort(denied, kind="stable")
        chosen = np.zeros(count, np.int64)
        chosen[self._rows[order]] = order
        families = np.repeat(denied[chosen][:, None], _FAMILIES, axis=1)
        families[self._rows, self._six] = denied
        return Outcome(
            egress=judged.egress.denied[chosen], ingress=judged.ingress.denied[chosen], families=families,
            out=judged.egress.traces[chosen], into=judged.ingress.traces[chosen],
        )  # fmt: skip

    def _expanded(self) -> tuple[record.Ints, record.Ints, evaluate.Edges]:
        """Each edge for each family that it can have been of."""
        seen = self.seen
        known = record.families(seen.variants)
        outside = ~address.is_v4(*address.words(seen.packed))
        can = np.ones((len(seen), _FAMILIES), bool)
        for ends in (seen.src, seen.dst):
            away = ends < 0
            can[away] &= np.stack([~outside, outside], axis=1)[-1 - ends[away]]
        told = seen.family > 0
        can[told] = np.stack([seen.family[told] == 4, seen.family[told] == 6], axis=1)
        narrow = can.copy()
        for ends in (seen.src, seen.dst):
            narrow[ends >= 0] &= known[ends[ends >= 0]]
        met = narrow.any(axis=1)  # unless a pod has changed its addresses meanwhile
        can[met] = narrow[met]
        can[~can.any(axis=1), 0] = True
        rows, six = np.nonzero(can)
        src, dst = (
            np.where(ends[rows] >= 0, ends[rows] * _ENDS + six, _ENDS * len(seen.variants) - 1 - ends[rows])
            for ends in (seen.src, seen.dst)
        )
        dst[(src == dst) & (seen.dst[rows] >= 0)] += _TWIN  # two pods, as none asks itself by policies
        zero = np.zeros(len(rows), np.int32)
        return rows, six, evaluate.Edges(
            ends=self._ends, src=src.astype(np.int32), dst=dst.astype(np.int32),
            protocol=seen.protocol[rows], src_port=zero, dst_port=seen.port[rows],
            icmp_type=seen.icmp_type[rows], icmp_code=seen.icmp_code[rows],
        )  # fmt: skip


def decider(engine: evaluate.Engine, trace: int) -> policyhit.PolicyHit | None:
    """The hit that decided; None where policies had no say."""
    hits = engine.trace(np.array([trace], np.int32))[0]
    return hits[-1] if hits else None


def _pods(seen: record.Record) -> Iterator[cluster.Pod]:
    """A pod for each variant, with an address of IPv4 and one of IPv6, and then those of a neighbour."""
    free = _Free(packed.tobytes() for packed in seen.packed)
    own = [free.take(text) for i, one in enumerate(seen.variants) for text in _own(one, i)]
    twins = [free.take(text) for text in own]
    for i, one in enumerate(seen.variants):
        pair = slice(i * _FAMILIES, (i + 1) * _FAMILIES)
        yield cluster.Pod(
            namespace=one.workload.namespace, name=f"{one.workload.name}.{i}", labels=dict(one.labels),
            service_account=one.account, ports=one.ports, owner_kind=one.workload.kind,
            owner_name=one.workload.name, addresses=(*own[pair], *twins[pair]),
        )  # fmt: skip


def _own(variant: record.Variant, number: int) -> tuple[str, str]:
    """An address of each family that one of its pods had; where there is none, one that is nobody's."""
    four = next((text for text in variant.addresses if ":" not in text), "")
    six = next((text for text in variant.addresses if ":" in text), "")
    place = (number + 1) * _TWIN
    return four or f"240.{place >> 16}.{place >> 8 & 255}.{place & 255}", six or f"100::{place:x}"


class _Free:
    """Addresses that nobody has yet.

    Args:
        taken: Those that somebody has.
    """

    def __init__(self, taken: Iterable[bytes]) -> None:
        self._taken = set(taken)
        self._near: dict[int, Iterator[int]] = {}

    def take(self, text: str) -> str:
        """An address, or else one close by; nobody else gets it."""
        whole = int.from_bytes(address.pack(text))
        # each block goes on where it has found the last one
        near = self._near.setdefault(whole >> 8, (whole ^ step for step in itertools.count()))
        found = next(
            packed for one in itertools.chain((whole, whole ^ 1), near)
            if (packed := int.to_bytes(one, 16)) not in self._taken
        )  # fmt: skip
        self._taken.add(found)
        return address.render(found)
