"""Flows of Goldmane, and of Felix alone, as rows of the ledger.

Goldmane names workloads, not addresses; whatever a row says of a pod beyond that is taken from the name that
pods' names are made from, and from labels. One such row stands for all connections of a key in a window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import traces
from collector.goldmane import flows, keys, windows
from enrich import identity
from model import columns, enums

NODE = "goldmane"
"""What rows have as their node, and pods that Goldmane knows: it speaks for all nodes at once."""

_KINDS = {
    "WorkloadEndpoint": enums.EndpointKind.POD, "HostEndpoint": enums.EndpointKind.NODE,
    "NetworkSet": enums.EndpointKind.NETWORK_SET,
}  # fmt: skip
_NETWORKS = {"pvt": enums.EndpointKind.PRIVATE, "pub": enums.EndpointKind.PUBLIC}
_HASH_LABEL = "pod-template-hash"
_FELIX_LABELS = ("projectcalico.org/", "pcns.", "pcsa.")
"""Names of labels that Felix adds: where a pod is, and the labels of its namespace and service account."""

_LARGEST_PORT = 65535


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """One end, as its columns have it."""

    kind: str
    namespace: str = ""
    workload_kind: str = ""
    workload: str = ""
    pod: str = ""
    node: str = ""
    labels_id: int = 0


Keys = keys.Keys | Sequence[flows.Key]
Row = Mapping[str, str | int]
"""What the columns have that follow from the key and the labels."""


class Rows:
    """Makes rows, and keeps the label sets that they mention.

    Args:
        node: Who tells, and the node of the pods that it speaks for.
        origin: Who recorded it.
        speaks_for: Whether an end is one of these pods.
    """

    def __init__(
        self, node: str = NODE, origin: enums.Origin = enums.Origin.GOLDMANE,
        speaks_for: Callable[[flows.End], bool] = lambda _: True,
    ) -> None:  # fmt: skip
        self._told_by = {"node": node, "origin": origin.value}
        self._speaks_for = speaks_for
        self._keys: Keys | None = None
        self._known: dict[tuple[int, tuple[str, ...], tuple[str, ...]], Row] = {}
        self.labels: dict[int, dict[str, str]] = {}
        """Label sets that rows have, by number; whoever has written them may empty it."""

    def batch(self, window: windows.Window, known: Keys) -> pa.RecordBatch:
        """A window's flows as a flow batch of the stage IDENTITY.

        Args:
            window: What is to be recorded.
            known: Its keys.
        """
        if known is not self._keys:  # numbers mean something else
            self._known.clear()
            self._keys = known
        told = window.flows
        rows = [
            self._row(int(number), src, dst, known)
            for number, src, dst in zip(told["key"], window.src_labels, window.dst_labels, strict=True)
        ]
        counted = _counted(window, told)
        schema = columns.schema(columns.Stage.IDENTITY)
        return pa.RecordBatch.from_arrays([_column(field, rows, counted) for field in schema], schema=schema)

    def _row(self, number: int, src_labels: tuple[str, ...], dst_labels: tuple[str, ...], known: Keys) -> Row:
        place = number, src_labels, dst_labels
        if place not in self._known:
            key = known[number]
            src, dst = self._end(key.src, src_labels), self._end(key.dst, dst_labels)
            self._known[place] = self._told_by | _fixed(key) | _columns("src", src) | _columns("dst", dst)
        return self._known[place]

    def _end(self, end: flows.End, told: tuple[str, ...]) -> _End:
        labels = _labels(told)
        labels_id = identity.labels_id(labels)
        if labels:
            self.labels[labels_id] = labels
        if end.kind not in _KINDS:
            return _End(_NETWORKS.get(end.name, enums.EndpointKind.PUBLIC))
        kind = _KINDS[end.kind]
        if kind is not enums.EndpointKind.POD:
            return _End(kind, end.namespace, workload=end.name, labels_id=labels_id)
        workload_kind, workload, pod = _workload(end.name, labels)
        node = self._told_by["node"] if self._speaks_for(end) else ""
        return _End(kind, end.namespace, workload_kind, workload, pod, node, labels_id)


def verdict(key: flows.Key) -> enums.Verdict:
    """What became of a flow, as far as the end knows that reported it."""
    if key.action == enums.Action.DENY:
        return enums.Verdict.DENIED
    if key.reporter == enums.Reporter.DST or _KINDS.get(key.dst.kind) is not enums.EndpointKind.POD:
        return enums.Verdict.ALLOWED
    return enums.Verdict.UNKNOWN


def _fixed(key: flows.Key) -> dict[str, str | int]:
    told = traces.summarise(key.enforced, key.pending)
    return {
        "reporter": key.reporter.value,
        "verdict": verdict(key).value, "attribution": enums.Attribution.FELIX.value,
        "egress_action": told.egress_action, "ingress_action": told.ingress_action,
        "policy_trace": told.text, "deciding_rule": told.deciding_rule,
        "pending_verdict": told.pending_verdict, "pending_trace": told.pending_trace,
        "protocol": key.protocol, "dst_port": _port(key.dst_port), "service_port": _port(key.service_port),
        "service_namespace": key.service_namespace, "service": key.service,
        "service_port_name": key.service_port_name,
    }  # fmt: skip


def _port(number: int) -> int:
    return number if 0 < number <= _LARGEST_PORT else 0


def _columns(side: str, end: _End) -> dict[str, str | int]:
    return {f"{side}_{field.name}": getattr(end, field.name) for field in dataclasses.fields(end)}


def _labels(told: tuple[str, ...]) -> dict[str, str]:
    """The pod's own labels; Felix adds others."""
    parts = (one.partition("=") for one in told if not one.startswith(_FELIX_LABELS))
    return {name: value for name, _, value in parts if name}


def _workload(name: str, labels: Mapping[str, str]) -> tuple[str, str, str]:
    """Kind and name of the workload, and the pod's name where it is known.

    A pod whose name was not made up has it as its workload's, of a kind that nobody tells. Of one whose
    name was made up by a ReplicaSet, the labels tell which part is the template's hash; what is before it
    is the Deployment's name. Of any other the kind is not known either: a StatefulSet, DaemonSet or Job.
    """
    if not name.endswith("*"):
        return "", name, name
    made_from = name.removesuffix("*").rstrip("-.")
    suffix = f"-{labels.get(_HASH_LABEL, '')}"
    if len(suffix) > 1 and made_from.endswith(suffix) and made_from != suffix:
        return "Deployment", made_from.removesuffix(suffix), ""
    return "", made_from, ""


_COUNTS = ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes", "connections_started",
           "connections_ended")  # fmt: skip


def _counted(window: windows.Window, told: flows.Flows) -> dict[str, npt.NDArray[Any]]:
    """What differs from window to window."""
    times = {"time": window.end, "started": window.start}
    made: dict[str, npt.NDArray[Any]] = {name: np.full(len(told), at, np.int64) for name, at in times.items()}
    return made | {name: np.ascontiguousarray(told[name]) for name in _COUNTS}


def _column(field: pa.Field[Any], rows: list[Row], counted: Mapping[str, npt.NDArray[Any]]) -> pa.Array[Any]:
    name, kind = field.name, field.type
    if name in counted:
        return columns.array(counted[name], kind)
    if not rows or name not in rows[0]:
        return columns.blank(kind, len(rows))
    values: list[Any] = [row[name] for row in rows]
    if kind == columns.TEXT:
        return columns.text(values, np.arange(len(rows)))
    return columns.array(np.array(values, f"u{kind.bit_width // 8}"), kind)
