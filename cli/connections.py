"""Connections, and what was said of each when it began."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import traces
from model import address, columns

Keys = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.int32]

_MOST = 100_000
"""So many connections are remembered; the longest unheard of are forgotten first, half of them at once."""
_MOST_TRACES = 10_000

_NUMBERS = ("started", "src_port", "dst_port", "protocol", "icmp_type", "src_labels_id", "dst_labels_id")
_TEXTS = (
    "reporter", "src_kind", "src_namespace", "src_pod", "src_node", "dst_kind", "dst_namespace", "dst_pod",
    "dst_node",
)  # fmt: skip


def keys(flows: pa.RecordBatch) -> Keys:
    """What tells connections apart, and who their ends are, as hashes of 64 bits."""
    found = np.zeros(len(flows), np.uint64)
    for side in ("src", "dst"):
        for words in address.words(columns.packed(flows, f"{side}_address")):
            found = _mixed(found, words)
    for name in _NUMBERS:
        found = _mixed(found, columns.numbers(flows.column(name)).astype(np.uint64))
    for name in _TEXTS:
        codes, values = columns.coded(flows, name)
        found = _mixed(found, np.array([zlib.crc32(one.encode()) for one in values], np.uint64)[codes])
    return found


def _mixed(found: Keys, more: npt.NDArray[np.uint64]) -> Keys:
    mixed = (found ^ more) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


class Connections:
    """Remembers traces of connections.

    Attributes:
        traces: The traces, by their numbers.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._begin()

    def _begin(self) -> None:
        self.traces: list[traces.Trace] = []
        self._numbers: dict[traces.Trace, int] = {}
        self._keys = np.zeros(0, np.uint64)
        self._codes = np.zeros(0, np.int32)
        self._last = np.zeros(0, np.int64)

    def find(self, keys: Keys) -> Codes:
        """The number of each connection's trace; -1 of one that is not remembered."""
        if len(self._keys) > _MOST or len(self.traces) > _MOST_TRACES:
            self._forget()
        self._turn += 1
        if not len(self._keys):
            return np.full(len(keys), -1, np.int32)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._codes[at], np.int32(-1))

    def add(self, keys: Keys, codes: Codes, told: Sequence[traces.Trace]) -> Codes:
        """Remember connections, those of which something was told; the numbers of their traces.

        Args:
            keys: The connections.
            codes: For each which of the traces it has.
            told: The traces.
        """
        numbers = np.array([self._number(one) for one in told], np.int32)[codes]
        some = np.array([bool(one.text) for one in told], bool)[codes]
        fresh, first = np.unique(np.concatenate([keys[some], self._keys]), return_index=True)
        self._keys = fresh
        self._codes = np.concatenate([numbers[some], self._codes])[first]
        self._last = np.concatenate([np.full(int(some.sum()), self._turn), self._last])[first]
        return numbers

    def seen(self, keys: Keys) -> None:
        """Note that these are still there."""
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            self._last[at[self._keys[at] == keys]] = self._turn

    def _number(self, trace: traces.Trace) -> int:
        number = self._numbers.setdefault(trace, len(self.traces))
        if number == len(self.traces):
            self.traces.append(trace)
        return number

    def _forget(self) -> None:
        if len(self.traces) > _MOST_TRACES:
            self._begin()  # which connections have which is not worth finding out
            return
        kept = np.sort(np.argsort(self._last, kind="stable")[len(self._last) // 2 :])
        self._keys, self._codes, self._last = self._keys[kept], self._codes[kept], self._last[kept]
