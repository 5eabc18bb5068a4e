"""Where Goldmane's windows are recorded: the ledger itself, each window once.

No spool stands in between: Goldmane holds an hour of windows, so that what the ledger does not take now is
asked for again. Rows go in under a token that names their window, whoever offers them: a process that is
killed between a window and the word that it is recorded, or two that both think they lead, add nothing
twice.
"""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa

from cli import goldmane, intake
from collector.goldmane import keys, windows
from model import columns, errors
from runtime import metrics
from store import ddl, transport

_log = logging.getLogger(__name__)

SOURCE = "goldmane"
_SECOND = 1_000_000_000
_HOUR = 3600 * _SECOND
_BEFORE = 300 * _SECOND
"""At the beginning of an hour, a node that has recorded just before is taken to record still: its word may
be on its way."""

NODES_RECORD = "nodes record here themselves: Goldmane's flows are left out"

# ruff: noqa: S608 (what is pasted into a statement here are our own names)
_LAST = (
    "SELECT toUnixTimestamp64Nano(max(last_seen)) AS last FROM completeness_hour "
    f"WHERE node = '{goldmane.NODE}' AND source = '{SOURCE}'"
)
_OTHERS = (
    f"SELECT count() AS others FROM completeness WHERE node NOT IN ('', '{goldmane.NODE}') "
    f"AND source != '{intake.SOURCE}' "
    "AND time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})"
)


class Ledger:
    """Takes windows; what `source.Source` wants. For one thread.

    Args:
        ledger: The ledger.
        measured: The process's metrics.
    """

    def __init__(self, ledger: transport.Transport, measured: metrics.Metrics) -> None:
        self._ledger, self._metrics = ledger, measured
        self._rows = goldmane.Rows()
        self._written: set[int] = set()
        self._crowded: set[int] = set()
        self._said = False

    def last(self) -> int:
        """When the last window that is recorded ended, in ns since 1970; 0 for none.

        Raises:
            StoreError: If the ledger does not answer.
        """
        return max(int(self._asked(_LAST, {})["last"]), 0)

    def record(self, window: windows.Window, known: keys.Keys) -> None:
        """Record a window: its flows, unless nodes record in the same hour, and how complete it is.

        Raises:
            StoreError: If the ledger does not take it, or perhaps not.
        """
        name = f"goldmane/{window.start // _SECOND}{'/late' if window.late else ''}"
        if self._nodes_record(window.end):
            if not window.late:
                self._state(window.end, name, note=NODES_RECORD)
            return
        rows = self._rows.batch(window, known)
        self._write_labels()
        if len(rows):
            self._ledger.insert("flows", rows, token=f"{name}/flows")
        self._state(
            window.end, name, observed=len(rows), lost=window.missing, discarded=window.unreadable,
            note="late" if window.late else window.note,
        )  # fmt: skip
        self._measure(rows, window)

    def missed(self, since: int, until: int) -> None:
        """Say that nobody has recorded a span, and that Goldmane no longer has it; both in ns since 1970.

        Raises:
            StoreError: If the ledger does not take it.
        """
        count = (until - since) // (windows.SECONDS * _SECOND)
        note = f"{count} windows before are lost: nobody asked Goldmane in time, which holds an hour"
        self._state(until, f"goldmane/{since // _SECOND}/missed", note=note)

    def _nodes_record(self, ended: int) -> bool:
        """Whether a collector of a node records in a window's hour: then it knows the same, and more."""
        hour = ended // _HOUR * _HOUR
        if hour not in self._crowded:
            span: dict[str, str | int] = {"since": min(hour, ended - _BEFORE), "until": hour + _HOUR}
            if not self._asked(_OTHERS, span)["others"]:
                self._said = False
                return False
            self._crowded = {hour}
        if not self._said:
            self._said = True
            _log.warning(NODES_RECORD)
        return True

    def _asked(self, sql: str, values: dict[str, str | int]) -> dict[str, Any]:
        found = self._ledger.query(sql, values).to_pylist()
        if not found:
            raise errors.StoreError("the ledger does not say what it holds of Goldmane's", temporary=True)
        row: dict[str, Any] = found[0]
        return row

    def _write_labels(self) -> None:
        new = {number: labels for number, labels in self._rows.labels.items() if number not in self._written}
        if new:
            rows: dict[str, list[Any]] = {"labels_id": list(new), "labels": list(new.values())}
            self._ledger.insert("label_sets", columns.batch(ddl.LABEL_SETS, rows))
            self._written |= new.keys()
        self._rows.labels.clear()

    def _state(self, ended: int, name: str, **said: object) -> None:
        row: dict[str, object] = {
            "time": ended, "node": goldmane.NODE, "source": SOURCE, "observed": 0, "lost": 0, "discarded": 0,
            "incomplete": 0, "note": "", **said,
        }  # fmt: skip
        batch = columns.batch(ddl.COMPLETENESS, {key: [value] for key, value in row.items()})
        self._ledger.insert("completeness", batch, token=f"{name}/completeness")

    def _measure(self, rows: pa.RecordBatch, window: windows.Window) -> None:
        for verdict, count in columns.counts(rows, "verdict"):
            self._metrics.flows.labels(goldmane.NODE, verdict).inc(count)
        self._metrics.lost.labels(goldmane.NODE, SOURCE).inc(window.missing)
        self._metrics.unreadable.labels(goldmane.NODE, SOURCE).inc(window.unreadable)
