"""The enricher: adds to each flow who both ends were, which service was dialled, and who reports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from enrich import identities, identity, services, spans, timeline
from model import address, columns, enums

_REPORTERS = [
    enums.Reporter.NONE.value,
    enums.Reporter.SRC.value,
    enums.Reporter.DST.value,
    enums.Reporter.BOTH.value,
]
_NAMES = ("kind", "namespace", "workload_kind", "workload", "pod")
_CHUNK_ROWS = 1 << 15
"""Rows that are looked up at once: what is made of so many stays in the processor's cache."""


class Enricher:
    """Immutable; made anew when the cluster has changed.

    Args:
        who: Addresses by time.
        ports: Ports of service addresses.
    """

    def __init__(self, who: timeline.Timeline, ports: Sequence[identity.ServicePort]) -> None:
        self._who = who
        self._services = services.Services(ports)

    def enrich(self, flows: pa.RecordBatch, node: str) -> pa.RecordBatch:
        """A batch of stage ``JOIN`` as one of stage ``IDENTITY``: the same rows, more columns.

        Args:
            flows: The batch.
            node: The node that reports it.
        """
        began = columns.numbers(flows.column("started"))
        src, dst = (self._find(packed(flows, f"{side}_address"), began) for side in ("src", "dst"))
        ends = {"src": self._who.identities.gathered(src), "dst": self._who.identities.gathered(dst)}
        added = {
            **_named("src", ends["src"]),
            **_named("dst", ends["dst"]),
            **self._service(flows, began),
            **self._reporter(src, dst, node),
        }
        schema = columns.schema(columns.Stage.IDENTITY)
        arrays = [added[name] if name in added else flows.column(name) for name in schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _find(self, addresses: address.Packed, times: npt.NDArray[np.int64]) -> timeline.Codes:
        parts = [slice(start, start + _CHUNK_ROWS) for start in range(0, len(times), _CHUNK_ROWS)]
        found = [self._who.find(addresses[part], times[part]) for part in parts]
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def _service(self, flows: pa.RecordBatch, began: npt.NDArray[np.int64]) -> dict[str, pa.Array[Any]]:
        ports, protocols = (columns.numbers(flows.column(name)) for name in ("service_port", "protocol"))
        dialled = packed(flows, "service_address")
        found = self._services.find(dialled, ports, protocols, began)
        left = np.flatnonzero((found == spans.NOBODY) & (ports > 0))
        left = left[self._is_node(self._find(dialled[left], began[left]))]
        found[left] = self._services.find_at_nodes(ports[left], protocols[left], began[left])
        return self._services.named(found)

    def _is_node(self, codes: timeline.Codes) -> npt.NDArray[np.bool_]:
        known = self._who.identities
        nodes: npt.NDArray[np.bool_] = known.texts("kind") == known.number(enums.EndpointKind.NODE.value)
        return nodes[codes]

    def _reporter(self, src: timeline.Codes, dst: timeline.Codes, node: str) -> dict[str, pa.Array[Any]]:
        known = self._who.identities
        here = known.texts("node") == known.number(node) if node else np.zeros(len(known), bool)
        src_here, dst_here = here[src], here[dst]
        # the end that is elsewhere has the peer's node, where one end alone is here; nowhere is 0
        nodes = np.append(known.texts("node"), 0)
        peer = np.where(src_here, dst, src)
        peer[src_here == dst_here] = len(known)
        reporter: npt.NDArray[np.uint8] = src_here.view(np.uint8) + 2 * dst_here.view(np.uint8)
        return {
            "reporter": columns.text(_REPORTERS, reporter),
            "peer_node": known.words(nodes[peer]),
        }


def _named(side: str, end: identities.Gathered) -> dict[str, pa.Array[Any]]:
    found: dict[str, pa.Array[Any]] = {f"{side}_{name}": end.text(name) for name in _NAMES}
    return found | {f"{side}_labels_id": end.labels()}


def packed(flows: pa.RecordBatch, column: str) -> address.Packed:
    """An address column of a batch, shape (n, 16), without a copy."""
    array = flows.column(column)
    data = array.buffers()[1]
    if data is None:
        return np.zeros((0, 16), np.uint8)
    found: address.Packed = np.frombuffer(memoryview(data), np.uint8, len(array) * 16, array.offset * 16)
    return found.reshape(-1, 16)
