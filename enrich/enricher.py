"""The enricher: adds to each flow who both ends were, which service was dialled, and who reports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from enrich import identity, timeline
from model import address, asof, columns, enums

_REPORTERS = [
    enums.Reporter.NONE.value,
    enums.Reporter.SRC.value,
    enums.Reporter.DST.value,
    enums.Reporter.BOTH.value,
]


class Enricher:
    """Immutable; made anew when the cluster has changed.

    Args:
        who: Addresses by time.
        services: Ports of service addresses.
    """

    def __init__(self, who: timeline.Timeline, services: Sequence[identity.ServicePort]) -> None:
        self._who = who
        self._identities = who.identities
        self._services = list(services)
        packed = np.frombuffer(b"".join(s.address for s in services), np.uint8).reshape(-1, 16)
        ports = np.array([s.port for s in services], np.uint16)
        protocols = np.array([s.protocol for s in services], np.uint8)
        self._service_index = asof.AsOf(
            _service_keys(packed, ports, protocols), np.zeros(len(ports), np.int64)
        )

    def enrich(self, flows: pa.RecordBatch, node: str) -> pa.RecordBatch:
        """A batch of stage ``JOIN`` as one of stage ``IDENTITY``: the same rows, more columns.

        Args:
            flows: The batch.
            node: The node that reports it.
        """
        began = columns.numbers(flows.column("started"))
        ends = {side: self._who.find(_packed(flows, f"{side}_address"), began) for side in ("src", "dst")}
        added = {
            **self._side("src", ends["src"]),
            **self._side("dst", ends["dst"]),
            **self._service(flows),
            **self._reporter(ends["src"], ends["dst"], node),
        }
        schema = columns.schema(columns.Stage.IDENTITY)
        arrays = [added[name] if name in added else flows.column(name) for name in schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _side(self, side: str, codes: timeline.Codes) -> dict[str, pa.Array[Any]]:
        found: dict[str, pa.Array[Any]] = {
            f"{side}_{name}": columns.text([getattr(who, name) for who in self._identities], codes)
            for name in ("kind", "namespace", "workload_kind", "workload", "pod")
        }
        numbers = np.array([who.labels_id for who in self._identities], np.uint64)
        found[f"{side}_labels_id"] = columns.array(numbers[codes], pa.uint64())
        return found

    def _service(self, flows: pa.RecordBatch) -> dict[str, pa.Array[Any]]:
        ports, protocols = (columns.numbers(flows.column(name)) for name in ("service_port", "protocol"))
        keys = _service_keys(_packed(flows, "service_address"), ports, protocols)
        found = self._service_index.find(keys, np.zeros(len(keys), np.int64))
        names = {"service_namespace": "namespace", "service": "service", "service_port_name": "port_name"}
        return {
            column: columns.text(["", *(getattr(s, attribute) for s in self._services)], found + 1)
            for column, attribute in names.items()
        }

    def _reporter(self, src: timeline.Codes, dst: timeline.Codes, node: str) -> dict[str, pa.Array[Any]]:
        here = np.array([who.node == node for who in self._identities], bool)
        src_here, dst_here = here[src], here[dst]
        peer: npt.NDArray[np.int32] = np.where(src_here, dst, src)
        nodes = ["", *(who.node for who in self._identities)]
        alone = src_here != dst_here
        return {
            "reporter": columns.text(_REPORTERS, src_here + 2 * dst_here),
            "peer_node": columns.text(nodes, np.where(alone, peer + 1, 0)),
        }


def _service_keys(
    packed: address.Packed, ports: npt.NDArray[np.uint16], protocols: npt.NDArray[np.uint8]
) -> asof.Keys:
    high, low = address.words(packed)
    return asof.mix(high, low, ports, protocols)


def _packed(flows: pa.RecordBatch, column: str) -> address.Packed:
    array = flows.column(column)
    data = array.buffers()[1]
    if data is None:
        return np.zeros((0, 16), np.uint8)
    packed: address.Packed = np.frombuffer(memoryview(data), np.uint8, len(array) * 16, array.offset * 16)
    return packed.reshape(-1, 16)
