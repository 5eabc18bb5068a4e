"""Which reports of an export are told twice: by the node of the source, and by that of the destination.

The ledger leaves a source's report out of its totals where the destination's node is named in it and has
itself reported in that hour. So the destination's node may be named only where the export does have the
destination's report: whoever exports a part, one node's file or the flows of one filter, must not lose what
only the source has told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import columns, enums

_KNOWING = (enums.Reporter.DST.value, enums.Reporter.BOTH.value)
_TEXTS = ("kind", "namespace", "workload", "pod")


class Mirrors:
    """Learns what destinations have reported, and then names them in what sources have.

    Ends are told apart as the rollups do, by workload, pod or address; a destination by its pod too.

    Args:
        unclear: The node that is named where pods of one destination on several nodes have reported.

    Attributes:
        nodes: Who has reported as a destination.
    """

    def __init__(self, unclear: str) -> None:
        self._unclear = unclear
        self._reported: dict[int, str] = {}
        self.nodes: set[str] = set()

    def learn(self, flows: pa.RecordBatch) -> None:
        """Remember what the destinations among these rows have reported."""
        nodes = _texts(flows, "node")
        for row, edge in _edges(flows, reported_by_destination(flows)):
            node = nodes[row]
            known = self._reported.setdefault(edge, node)
            if known != node:
                self._reported[edge] = self._unclear
            self.nodes |= {node, self._reported[edge]}

    def fill(self, flows: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows, in which a source's report names the destination's node where that has one too."""
        nodes = _texts(flows, "dst_node")
        mirrored = columns.equal(flows, "reporter", enums.Reporter.SRC.value)
        for row, edge in _edges(flows, mirrored):
            told = nodes[row]
            if edge in self._reported:
                nodes[row] = told if told in self.nodes else self._reported[edge]
            elif told in self.nodes:  # it has reported, but not this
                nodes[row] = ""
        filled = columns.text(nodes, np.arange(len(nodes)))
        place = flows.schema.get_field_index("dst_node")
        return flows.set_column(place, flows.schema.field(place), filled)


def reported_by_destination(flows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which rows the destination's node has reported."""
    found = np.zeros(len(flows), bool)
    for reporter in _KNOWING:
        found |= columns.equal(flows, "reporter", reporter)
    return found


def _edges(flows: pa.RecordBatch, among: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Rows, and a hash of what edge each is of."""
    rows = np.flatnonzero(among)
    ends = [*_end(flows, "src"), *_end(flows, "dst")]
    numbers = [columns.numbers(flows.column(name)).tolist() for name in ("dst_port", "protocol")]
    pods = _texts(flows, "dst_pod")
    for row in rows.tolist():
        yield row, hash((*(part[row] for part in ends), *(part[row] for part in numbers), pods[row]))


def _end(flows: pa.RecordBatch, side: str) -> list[list[Any]]:
    kind, namespace, workload, pod = (_texts(flows, f"{side}_{name}") for name in _TEXTS)
    addresses: list[Any] = flows.column(f"{side}_address").to_pylist()
    names = [owner or one for owner, one in zip(workload, pod, strict=True)]
    nameless = [b"" if name else at for name, at in zip(names, addresses, strict=True)]
    return [kind, namespace, names, nameless]


def _texts(flows: pa.RecordBatch, name: str) -> list[str]:
    codes, values = columns.coded(flows, name)
    return [values[code] for code in codes.tolist()]
