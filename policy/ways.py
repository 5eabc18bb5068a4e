"""The host endpoints that connections meet on their way out and in."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from policy import hosts, world

Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """Host endpoints by their numbers, as columns; `hosts.NONE` for none.

    Attributes:
        own: That whose host is itself an end of the connection.
        passed: That whose host passes it on, to or from a pod of its own.
    """

    own: Codes
    passed: Codes

    def take(self, rows: Rows | Codes) -> Way:
        """Some of the rows."""
        return Way(self.own[rows], self.passed[rows])


def ways(whole: world.World, ends: world.Ends, src: Codes, dst: Codes) -> tuple[Way, Way]:
    """What connections meet on their way out, and on their way in.

    What a host has with its own pods, or with itself, meets none. Nor does what is on its way to a pod of
    another node inside of a packet between the two hosts, unless the endpoint is of all interfaces.

    Args:
        whole: Who there is.
        ends: Their ends.
        src: The number of each one's source among these.
        dst: The number of its destination.
    """
    nodes, having = whole.nodes_of(ends), whole.hosts.having(ends.packed)
    is_pod = ends.pods != world.NOBODY
    met = np.where(~is_pod & (having != hosts.NONE), having, whole.hosts.in_front(nodes))
    apart = (nodes[src] != nodes[dst]) | (nodes[src] == world.NOBODY)
    carried = is_pod[dst] & (nodes[src] != world.NOBODY)
    found = []
    for end in (src, dst):
        seen = apart & ~(carried & whole.hosts.unseen(met[end], ends.packed[dst]))
        found.append(Way(*(
            np.where(seen & (is_pod[end] == passing), met[end], np.int32(hosts.NONE))
            for passing in (False, True)
        )))  # fmt: skip
    return found[0], found[1]
