"""The ends of flows under the names that Felix has for them.

Felix names a pod by what its name was generated from, so one name stands for all pods of a ReplicaSet; a host
endpoint by its host; any other address by the network set that has it, or as private or public
(Calico's felix/collector/types/endpoint/endpoint.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.goldmane import flows as told
from model import address, columns, enums

Codes = npt.NDArray[np.int32]
Who = tuple[str, ...]
"""All that Felix may know an end by."""
NOBODY = -1
"""The number of an end that Felix has not named."""

WORKLOAD, HOST, NETWORK_SET, NETWORK = "WorkloadEndpoint", "HostEndpoint", "NetworkSet", "Network"
_PARTS = ("kind", "namespace", "workload_kind", "workload", "pod", "node")
_MOST = 50_000
"""So many ends are looked for at most before what was found is forgotten."""
_RANDOM = 5
"""How many characters Kubernetes adds to what a name is generated from (apiserver's names/generate.go)."""
_LONGEST = 58
"""So much of what it is generated from is kept at most; Felix says all of it."""
_PRIVATE = ((8, 10), (12, 0xAC1), (16, 0xC0A8))
"""RFC 1918: how many bits, and which; Felix knows no other private addresses, and none of IPv6."""


class Ends:
    """Numbers for the ends that Felix has named."""

    def __init__(self) -> None:
        self._numbers: dict[told.End, int] = {}
        self._found: dict[Who, tuple[int, int]] = {}
        self._named = 0
        """How many ends were named when those that nobody had named were looked for."""

    def number(self, end: told.End) -> int:
        """The number of an end; a new one where it has none."""
        if end.kind == WORKLOAD and end.name.endswith("*"):
            end = told.End(kind=end.kind, namespace=end.namespace, name=f"{end.name[:-1][:_LONGEST]}*")
        return self._numbers.setdefault(end, len(self._numbers))

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, flows: pa.RecordBatch, side: str) -> tuple[Codes, Codes]:
        """The numbers of one end of each flow, by its own name and as an address that has none.

        Args:
            flows: A batch of stage ``IDENTITY``.
            side: ``src`` or ``dst``.
        """
        who, places = distinct(flows, side)
        own, network = self.find(who)
        return own[places], network[places]

    def find(self, who: Sequence[Who]) -> tuple[Codes, Codes]:
        """The numbers of ends, by their own names and as addresses that have none."""
        if self._named != len(self._numbers):
            self._found = {one: found for one, found in self._found.items() if NOBODY not in found}
            self._named = len(self._numbers)
        if len(self._found) > _MOST:
            self._found.clear()
        found = np.array([self._find(*one) for one in who], np.int32).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def _find(self, *who: str) -> tuple[int, int]:
        if who not in self._found:
            own = (self._numbers.get(end, NOBODY) for end in _names(*who))
            self._found[who] = (
                next((number for number in own if number != NOBODY), NOBODY),
                self._numbers.get(_network(who[-1]), NOBODY),
            )
        return self._found[who]


def _names(*who: str) -> Iterator[told.End]:
    """What Felix may call an end, the likeliest first."""
    kind, namespace, workload_kind, workload, pod, node, network = who
    if kind == enums.EndpointKind.POD:
        yield told.End(kind=WORKLOAD, namespace=namespace, name=pod)
        if workload_kind == "StatefulSet":
            yield told.End(kind=WORKLOAD, namespace=namespace, name=f"{workload}-"[:_LONGEST] + "*")
        yield told.End(kind=WORKLOAD, namespace=namespace, name=f"{pod[:-_RANDOM]}*")
    elif kind in (enums.EndpointKind.NODE, enums.EndpointKind.HOST_ENDPOINT):
        yield told.End(kind=HOST, namespace="", name=node or workload)
    elif kind == enums.EndpointKind.NETWORK_SET:
        yield told.End(kind=NETWORK_SET, namespace=namespace, name=workload)
    else:
        yield _network(network)


def _network(name: str) -> told.End:
    return told.End(kind=NETWORK, namespace="", name=name)


def distinct(flows: pa.RecordBatch, side: str) -> tuple[list[Who], npt.NDArray[np.int64]]:
    """The different ends of one side, and which of them each flow has."""
    private = is_private(columns.packed(flows, f"{side}_address"))
    combined, values = private.astype(np.int64), list[list[str]]()
    for part in _PARTS:
        codes, texts = columns.coded(flows, f"{side}_{part}")
        combined, values = combined * len(texts) + codes, [*values, texts]
    _, first, places = np.unique(combined, return_index=True, return_inverse=True)
    parts = [
        [texts[code] for code in columns.coded(flows, f"{side}_{part}")[0][first]]
        for part, texts in zip(_PARTS, values, strict=True)
    ]
    parts.append(["pvt" if one else "pub" for one in private[first].tolist()])
    return list(zip(*parts, strict=True)), places


def is_private(packed: address.Packed) -> npt.NDArray[np.bool_]:
    """Which addresses Felix takes for private ones."""
    high, low = address.words(packed)
    found = np.zeros(len(packed), bool)
    for bits, value in _PRIVATE:
        found |= (low & np.uint64(0xFFFFFFFF)) >> np.uint64(32 - bits) == value
    return found & address.is_v4(high, low)
