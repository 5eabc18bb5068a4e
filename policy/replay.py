"""The record replayed: what policies would do to all that was seen, whoever had which address meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from model import address, cluster, policyhit
from policy import evaluate, objects, record, world
from policy.record import Codes, Mask

_ENDS = 4
"""Ends of a variant: one for each family, and the same for another pod of it."""
_TWIN = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What policies do to each edge of a record.

    Attributes:
        egress: Whether the source's policies deny it; and ``ingress`` the destination's.
        uncertain: Whether that depends on the address family, which nobody knows.
        out: The number of the trace of the source's policies, of one family that is denied where one is.
        into: The destination's.
    """

    egress: Mask
    ingress: Mask
    uncertain: Mask
    out: Codes
    into: Codes

    @property
    def denied(self) -> Mask:
        """Whether either denies it."""
        return self.egress | self.ingress


class Replay:
    """A record that can be put before any policies.

    Pods stand for their variants, with an address that one of them had; where none is known, with one that is
    nobody's (RFC 1112, RFC 6666).

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
            np.concatenate([_with_twins(own), seen.packed]),
        )  # fmt: skip
        self._rows, self._edges = self._expanded()

    def engine(self, policies: objects.PolicySet) -> evaluate.Engine:
        """Policies, compiled for the cluster of the record."""
        return evaluate.Engine(policies, self.cluster)

    def judge(self, engine: evaluate.Engine) -> Outcome:
        """What an engine's policies do to each edge."""
        judged = engine.judge(self._edges)
        count = len(self.seen)
        denied = judged.denied
        some, every = np.zeros(count, bool), np.ones(count, bool)
        np.logical_or.at(some, self._rows, denied)
        np.logical_and.at(every, self._rows, denied)
        # the last one written is kept: those that are denied come last
        order = np.argsort(denied, kind="stable")
        chosen = np.zeros(count, np.int64)
        chosen[self._rows[order]] = order
        return Outcome(
            egress=judged.egress.denied[chosen], ingress=judged.ingress.denied[chosen],
            uncertain=some & ~every, out=judged.egress.traces[chosen], into=judged.ingress.traces[chosen],
        )  # fmt: skip

    def _expanded(self) -> tuple[record.Ints, evaluate.Edges]:
        """Each edge for each family that it can have been of."""
        seen = self.seen
        known = record.families(seen.variants)
        outside = ~address.is_v4(*address.words(seen.packed))
        can = np.ones((len(seen), 2), bool)
        for ends in (seen.src, seen.dst):
            pods = ends >= 0
            can[pods] &= known[ends[pods]]
            for family in (0, 1):
                can[~pods, family] &= outside[-1 - ends[~pods]] == family
        told = seen.family > 0
        can[told] = np.stack([seen.family[told] == 4, seen.family[told] == 6], axis=1)
        can[~can.any(axis=1), 0] = True  # ends that have no family in common: one has changed its address
        rows, six = np.nonzero(can)
        src, dst = (
            np.where(ends[rows] >= 0, ends[rows] * _ENDS + six, _ENDS * len(seen.variants) - 1 - ends[rows])
            for ends in (seen.src, seen.dst)
        )
        dst[(src == dst) & (seen.dst[rows] >= 0)] += _TWIN  # two pods, as none asks itself by policies
        zero = np.zeros(len(rows), np.int32)
        return rows, evaluate.Edges(
            ends=self._ends, src=src.astype(np.int32), dst=dst.astype(np.int32),
            protocol=seen.protocol[rows], src_port=zero, dst_port=seen.port[rows],
            icmp_type=seen.icmp_type[rows], icmp_code=seen.icmp_code[rows],
        )  # fmt: skip


def _with_twins(packed: address.Packed) -> address.Packed:
    """The two addresses of each pod, and next to them those of a neighbour."""
    twins = packed.copy()
    twins[:, -1] ^= 1
    pairs = np.concatenate([packed.reshape(-1, _TWIN, 16), twins.reshape(-1, _TWIN, 16)], axis=1)
    return pairs.reshape(-1, 16)


def decider(engine: evaluate.Engine, trace: int) -> policyhit.PolicyHit | None:
    """The hit that decided; None where policies had no say."""
    hits = engine.trace(np.array([trace], np.int32))[0]
    return hits[-1] if hits else None


def _pods(seen: record.Record) -> Iterator[cluster.Pod]:
    """A pod for each variant, with an IPv4 address and then one of IPv6."""
    for i, one in enumerate(seen.variants):
        four = next((text for text in one.addresses if ":" not in text), "")
        six = next((text for text in one.addresses if ":" in text), "")
        nobodys = (f"240.{i + 1 >> 16}.{i + 1 >> 8 & 255}.{i + 1 & 255}", f"100::{i + 1:x}")
        yield cluster.Pod(
            namespace=one.workload.namespace, name=f"{one.workload.name}.{i}", labels=dict(one.labels),
            service_account=one.account, ports=one.ports, owner_kind=one.workload.kind,
            owner_name=one.workload.name, addresses=(four or nobodys[0], six or nobodys[1]),
        )  # fmt: skip
