"""Edges of a record in words: the same ones in the same order, in whatever order a ledger has told them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cli import previewing
from policy import record
from policy.record import Rows

EXAMPLES = 3
"""How many of many edges are named."""
_LOOKED_AT = 300
"""Among how many edges, those with the most connections, the ones that are named are looked for."""


class Edges:
    """Tells of edges.

    Args:
        seen: The record that they are of.
    """

    def __init__(self, seen: record.Record) -> None:
        self._seen = seen
        ends = [
            *((str(one.workload), one.workload.kind, *sorted(one.labels.items())) for one in seen.variants),
            *((seen.name(-1 - at), seen.kinds[at]) for at in reversed(range(len(seen.kinds)))),
        ]  # address a has number -1 - a
        rank = {end: i for i, end in enumerate(sorted(set(ends), key=repr))}
        self._rank = np.array([rank[end] for end in ends], np.int64)

    def name(self, row: int) -> str:
        """``shop/web to shop/cart TCP 8080``."""
        seen = self._seen
        port = previewing.port(int(seen.protocol[row]), int(seen.port[row]), int(seen.icmp_type[row]))
        return f"{seen.name(int(seen.src[row]))} to {seen.name(int(seen.dst[row]))} {port}"

    def connections(self, rows: Sequence[int] | Rows) -> int:
        """How many connections some edges had."""
        return int(self._seen.connections[np.array(rows, np.int64)].sum())

    def ordered(self, rows: Sequence[int] | Rows) -> Rows:
        """Edges by how many connections they had, the most first, and then by name."""
        seen, edges = self._seen, np.array(rows, np.int64)
        keys = (
            seen.icmp_type[edges], seen.port[edges], seen.protocol[edges], self._rank[seen.dst[edges]],
            self._rank[seen.src[edges]], -seen.connections[edges],
        )  # fmt: skip
        return edges[np.lexsort(keys)]

    def examples(self, rows: Sequence[int] | Rows, count: int = EXAMPLES) -> tuple[list[str], bool]:
        """A few edges with the most connections, and whether there are others."""
        names = list(dict.fromkeys(map(self.name, self.ordered(rows)[:_LOOKED_AT].tolist())))
        return names[:count], len(names) > count or len(rows) > _LOOKED_AT

    def some(self, rows: Sequence[int] | Rows, count: int = EXAMPLES) -> str:
        """Edges: with how many connections, how many, and a few of them."""
        names, more = self.examples(rows, count)
        had = self.connections(rows)
        connections = f"{had:,} connection{'s' if had != 1 else ''}"
        if len(rows) == 1:
            return f"{connections}, {names[0]}"
        return f"{connections} of {len(rows):,} edges{', such as ' if more else ': '}{'; '.join(names)}"
