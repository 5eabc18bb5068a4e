"""Flows of an export as columns: filled one value at a time, closed as one batch of the flow record."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from model import columns, enums

_SCHEMA = columns.schema(columns.Stage.IDENTITY)
_TEXTS = tuple(field.name for field in _SCHEMA if field.type == columns.TEXT)
_OTHERS = {field.name: field.type for field in _SCHEMA if field.type != columns.TEXT}
_DEFAULT = dict.fromkeys(_OTHERS, 0) | {
    name: columns.NO_ADDRESS for name, kind in _OTHERS.items() if kind == columns.ADDRESS
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a flow, as the export names it.

    Attributes:
        node: The node that it is on, where the export says so.
        labels: Its labels, or those that all of several have.
    """

    kind: enums.EndpointKind
    namespace: str = ""
    workload_kind: str = ""
    workload: str = ""
    pod: str = ""
    node: str = ""
    zone: str = ""
    address: bytes = columns.NO_ADDRESS
    port: int = 0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Rows:
    """Flows of one piece of an export, and what was wrong with it.

    Args:
        origin: Who wrote the export.
        labels_id: What numbers a label set, as it does for the ledger's other flows.
        node: Who is said to have observed what no node is said of.

    Attributes:
        label_sets: The label sets of these flows, by number.
        bad: Lines that could not be read, and why.
        skipped: How many records are no flows of their own: other layers, duplicates, replies.
        lost: What an exporter says that it has lost, by node and time (ns since 1970).
    """

    def __init__(self, origin: enums.Origin, labels_id: Callable[[dict[str, str]], int], node: str) -> None:
        self.origin, self.node = origin, node
        self.label_sets: dict[int, dict[str, str]] = {}
        self.bad: list[tuple[int, str]] = []
        self.skipped = 0
        self.lost: collections.Counter[tuple[str, int]] = collections.Counter()
        self._labels_id = labels_id
        self._numbers: dict[tuple[tuple[str, str], ...], int] = {}
        self._codes: dict[str, dict[str, int]] = {name: {"": 0} for name in _TEXTS}
        self._values: dict[str, list[Any]] = {field.name: [] for field in _SCHEMA}

    def __len__(self) -> int:
        return len(self._values["time"])

    def add(self, src: End, dst: End, /, **values: Any) -> None:
        """Take one flow.

        Args:
            src: Who began it.
            dst: Who was to answer.
            values: Columns of the flow record; what is not named is 0, ``::`` or empty.

        Raises:
            ValueError: If a text of it is none; then nothing is taken.
        """
        row = self._end("src", src) | self._end("dst", dst) | values
        row["origin"] = self.origin.value
        row["node"] = row.get("node") or self.node
        texts = {name: str(row.get(name, "")) for name in _TEXTS}
        for name, value in texts.items():
            if value not in self._codes[name]:
                _require_text(name, value)
        for name, value in texts.items():
            codes = self._codes[name]
            self._values[name].append(codes.setdefault(value, len(codes)))
        for name, default in _DEFAULT.items():
            self._values[name].append(row.get(name, default))

    def _end(self, side: str, end: End) -> dict[str, Any]:
        number = self._number(end.labels)
        named = {name: getattr(end, name) for name in ("kind", "namespace", "workload_kind", "workload",
                                                       "pod", "node", "zone", "address", "port")}  # fmt: skip
        return {f"{side}_labels_id": number} | {f"{side}_{name}": value for name, value in named.items()}

    def _number(self, labels: Mapping[str, str]) -> int:
        """The number of a label set; an export has few different ones."""
        key = tuple(labels.items())
        if key not in self._numbers:
            for one in key:
                _require_text("a label", "=".join(one))
            self._numbers[key] = self._labels_id(dict(labels))
            if number := self._numbers[key]:
                self.label_sets[number] = dict(labels)
        return self._numbers[key]

    def batch(self) -> pa.RecordBatch:
        """What was taken, as a batch of stage ``IDENTITY``."""
        arrays = [self._array(field.name, field.type) for field in _SCHEMA]
        return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)

    def _array(self, name: str, kind: pa.DataType) -> pa.Array[Any]:
        values = self._values[name]
        if kind == columns.TEXT:
            return columns.text(list(self._codes[name]), np.array(values, np.int64))
        if kind == columns.ADDRESS:
            packed = np.frombuffer(b"".join(values), np.uint8).reshape(-1, 16)
            return columns.array(packed, kind)
        sign = "u" if pa.types.is_unsigned_integer(kind) else "i"
        return columns.array(np.array(values, f"{sign}{kind.bit_width // 8}"), kind)


def _require_text(name: str, value: str) -> None:
    """JSON can have half a character (a surrogate without the other one), which no column can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} has half a character: {value[:60]!r}") from None
