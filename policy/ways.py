"""The chains of host endpoints that connections go through, on the host of either end.

The order is the kernel's (felix/rules/static.go, dispatch.go): a packet meets the endpoint of the interface
that it comes in by, then the policies of pods, then the endpoint of the interface that it goes out by. One of
all interfaces is that of the pods' own interfaces too; but untracked policies know no such endpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model import enums
from policy import hosts, program, world

Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

_INGRESS, _EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """One chain, and who goes through it.

    Attributes:
        direction: Whose rules are asked there: those about what comes in to the host, or about what goes out.
        hosts: The number of the host endpoint that each connection meets, or `hosts.NONE`.
    """

    direction: enums.Direction
    chain: program.Chain
    hosts: Codes

    def take(self, rows: Rows | Codes) -> Stop:
        """Some of the connections."""
        return Stop(self.direction, self.chain, self.hosts[rows])


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """What connections meet on the host of one of their ends, before that end's policies and after them."""

    before: tuple[Stop, ...] = ()
    after: tuple[Stop, ...] = ()

    def take(self, rows: Rows | Codes) -> Way:
        """Some of the connections."""
        return Way(*(tuple(stop.take(rows) for stop in stops) for stops in (self.before, self.after)))

    def __iter__(self) -> Iterator[Stop]:
        return iter((*self.before, *self.after))


@dataclasses.dataclass(frozen=True, slots=True)
class _Met:
    """The host endpoints in front of both ends, as far as a connection can meet them.

    Attributes:
        outer: By the interface to other hosts; and `inner` by that of the pod.
        is_pod: Whether that end is a pod.
    """

    outer: Codes
    inner: Codes
    is_pod: Mask


def ways(whole: world.World, ends: world.Ends, src: Codes, dst: Codes) -> tuple[Way, Way]:
    """What connections meet on the host of their source, and on that of their destination.

    A host reaches its own pods without any of this, and they it with nothing but ``preDNAT``. What is on its
    way to another node's pod inside of a packet between both hosts shows at the tunnel's interface, not at
    that of a name.

    Args:
        whole: Who there is.
        ends: Their ends.
        src: The number of each one's source among these.
        dst: The number of its destination.
    """
    if not len(whole.hosts):
        return Way(), Way()
    nodes, is_pod = whole.nodes_of(ends), ends.pods != world.NOBODY
    here, itself = nodes != world.NOBODY, ends.packed[src] == ends.packed[dst]
    same = (nodes[src] == nodes[dst]) & here[src]
    in_front = np.where(is_pod, whole.hosts.in_front(nodes), whole.hosts.at(ends.packed, nodes))
    carried = is_pod[dst] & here[src]
    found = []
    for end in (src, dst):
        hidden = carried & whole.hosts.unseen(in_front[end], ends.packed[dst])
        every = whole.hosts.of_all_interfaces(nodes[end])
        found.append(_Met(
            outer=_where(~same, np.where(hidden, every, in_front[end])),
            inner=_where(is_pod[end] & ~itself.all(axis=1), every),
            is_pod=is_pod[end],
        ))  # fmt: skip
    one, other = found
    out = _out(whole.hosts, one, forwarded=is_pod[dst] | ~same)
    return out, _into(whole.hosts, other, from_pod=is_pod[src] | ~same)


def _where(mask: Mask, numbers: Codes) -> Codes:
    return np.where(mask, numbers, np.int32(hosts.NONE))


def _out(known: hosts.Hosts, met: _Met, *, forwarded: Mask) -> Way:
    own, passed = _where(~met.is_pod, met.outer), _where(met.is_pod, met.outer)
    return Way(
        before=(
            Stop(_INGRESS, program.Chain.PRE_DNAT, met.inner),
            Stop(_INGRESS, program.Chain.FORWARD, _where(forwarded, met.inner)),
        ),
        after=(
            Stop(_EGRESS, program.Chain.UNTRACKED, known.named(own)),
            Stop(_EGRESS, program.Chain.NORMAL, own),
            Stop(_EGRESS, program.Chain.FORWARD, passed),
        ),
    )  # fmt: skip


def _into(known: hosts.Hosts, met: _Met, *, from_pod: Mask) -> Way:
    own, passed = _where(~met.is_pod, met.outer), _where(met.is_pod, met.outer)
    return Way(
        before=(
            Stop(_INGRESS, program.Chain.UNTRACKED, known.named(met.outer)),
            Stop(_INGRESS, program.Chain.PRE_DNAT, met.outer),
            Stop(_INGRESS, program.Chain.NORMAL, own),
            Stop(_INGRESS, program.Chain.FORWARD, passed),
        ),
        after=(Stop(_EGRESS, program.Chain.FORWARD, _where(from_pod, met.inner)),),
    )  # fmt: skip
