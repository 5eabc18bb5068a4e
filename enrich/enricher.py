"""The enricher: adds to each flow who both ends were, which service was dialled, and who reports it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from enrich import identities, services, spans, timeline
from model import address, columns, enums

_REPORTERS = [
    enums.Reporter.NONE.value,
    enums.Reporter.SRC.value,
    enums.Reporter.DST.value,
    enums.Reporter.BOTH.value,
]
_NODE_TRAFFIC = ["", "own", "probe"]
_NAMES = ("kind", "namespace", "workload_kind", "workload", "pod", "node", "zone")
_CHUNK_ROWS = 1 << 15
"""Rows that are looked up at once: what is made of so many stays in the processor's cache."""


class Enricher:
    """Names flows by what is known.

    Args:
        who: Addresses by time.
        ports: Ports of service addresses by time.
    """

    def __init__(self, who: timeline.Timeline, ports: services.Services) -> None:
        self.who, self._services = who, ports

    def enrich(self, flows: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of stage ``JOIN``, or a later one, as one of stage ``IDENTITY``.

        The same rows with the columns of that stage, whatever was in these before.
        """
        began = columns.numbers(flows.column("started"))
        src, dst = self.ends(flows)
        ends = {"src": self.who.identities.gathered(src), "dst": self.who.identities.gathered(dst)}
        added = {
            **_named("src", ends["src"]),
            **_named("dst", ends["dst"]),
            **self._service(flows, began),
            "reporter": self._reporter(flows, src, dst),
            "node_traffic": self._node_traffic(src, dst, columns.numbers(flows.column("dst_port"))),
            "correction": columns.blank(columns.TEXT, len(flows)),
        }
        schema = columns.schema(columns.Stage.IDENTITY)
        arrays = [added[name] if name in added else flows.column(name) for name in schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def ends(self, flows: pa.RecordBatch) -> tuple[timeline.Codes, timeline.Codes]:
        """Who both ends of each flow were, as numbers of identities."""
        began = columns.numbers(flows.column("started"))
        src, dst = (self._find(columns.packed(flows, f"{side}_address"), began) for side in ("src", "dst"))
        return src, dst

    def _find(self, addresses: address.Packed, times: npt.NDArray[np.int64]) -> timeline.Codes:
        parts = [slice(start, start + _CHUNK_ROWS) for start in range(0, len(times), _CHUNK_ROWS)]
        found = [self.who.find(addresses[part], times[part]) for part in parts]
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def _service(self, flows: pa.RecordBatch, began: npt.NDArray[np.int64]) -> dict[str, pa.Array[Any]]:
        ports, protocols = (columns.numbers(flows.column(name)) for name in ("service_port", "protocol"))
        dialled = columns.packed(flows, "service_address")
        found = self._services.find(dialled, ports, protocols, began)
        left = np.flatnonzero((found == spans.NOBODY) & (ports > 0))
        left = left[self._is(enums.EndpointKind.NODE, self._find(dialled[left], began[left]))]
        found[left] = self._services.find_at_nodes(ports[left], protocols[left], began[left])
        return self._services.named(found)

    def _is(self, kind: enums.EndpointKind, codes: timeline.Codes) -> npt.NDArray[np.bool_]:
        known = self.who.identities
        such: npt.NDArray[np.bool_] = known.texts("kind") == known.number(kind.value)
        return such[codes]

    def _reporter(
        self, flows: pa.RecordBatch, src: timeline.Codes, dst: timeline.Codes
    ) -> pa.DictionaryArray[Any, Any]:
        known = self.who.identities
        rows, observers = columns.coded(flows, "node")
        # a node without a name is not the one of those whose node nobody knows
        numbers = np.array([known.number(one) or -1 for one in observers] or [-1], np.int32)[rows]
        src_here, dst_here = (known.texts("node")[codes] == numbers for codes in (src, dst))
        return columns.text(_REPORTERS, src_here.view(np.uint8) + 2 * dst_here.view(np.uint8))

    def _node_traffic(
        self, src: timeline.Codes, dst: timeline.Codes, ports: npt.NDArray[np.uint16]
    ) -> pa.DictionaryArray[Any, Any]:
        """What comes from a node to a pod of its own: its kubelet, or somebody else on it."""
        known = self.who.identities
        nodes, probed = known.texts("node"), known.texts("probe_ports")
        found = np.zeros(len(src), np.int8)
        own = np.flatnonzero(self._is(enums.EndpointKind.NODE, src) & (nodes[src] == nodes[dst]))
        own = own[self._is(enums.EndpointKind.POD, dst[own])]
        found[own] = 1
        asked = probed[dst[own]]
        for number in np.unique(asked[asked > 0]).tolist():
            numbers = [int(port) for port in known.word(number).split()]
            found[own[(asked == number) & np.isin(ports[own], numbers)]] = 2
        return columns.text(_NODE_TRAFFIC, found)


def _named(side: str, end: identities.Gathered) -> dict[str, pa.Array[Any]]:
    found: dict[str, pa.Array[Any]] = {f"{side}_{name}": end.text(name) for name in _NAMES}
    return found | {f"{side}_labels_id": end.labels()}
