"""The table of flows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from app.widgets import palette, rows, words
from model import enums


def view(flows: pa.Table) -> pa.Table:
    """What the table shows of an answer of ``queries.flows``, row for row; pending verdicts if there are."""
    pending = rows.values(flows.column("pending_verdict"))
    return pa.table(
        {
            "time": flows.column("time").cast(pa.timestamp("ms", "UTC"), safe=False),
            "src": flows.column("src"),
            "dst": flows.column("dst"),
            "port": pa.array([port or None for port in rows.values(flows.column("dst_port"))], pa.uint16()),
            "protocol": _mapped(flows, "protocol", enums.protocol_name),
            # A list of one, for that is what a table shows as a coloured chip.
            "verdict": pa.array([[verdict] for verdict in rows.values(flows.column("verdict"))]),
            **({"pending": pa.array([[one] if one else [] for one in pending])} if any(pending) else {}),
            "rule": _mapped(flows, "deciding_rule", words.rule),
            "bytes": _both_ways(flows, "bytes"),
            "packets": _both_ways(flows, "packets"),
            "node": flows.column("node"),
            "reporter": flows.column("reporter"),
            "attribution": flows.column("attribution"),
        }
    )


def show(flows: pa.Table, height: int = 390) -> int | None:
    """Draw it; the position of the row that was chosen."""
    state = st.dataframe(
        view(flows), width="stretch", height=height, hide_index=True, column_config=_configuration(),
        on_select="rerun", selection_mode="single-row", key="table", placeholder="–",
        alt="Flows, newest first",
    )  # fmt: skip
    chosen = [row for row in state.selection.rows if row < flows.num_rows]
    return chosen[0] if chosen else None


def _mapped(flows: pa.Table, name: str, word: Any) -> pa.Array[Any]:
    values = rows.values(flows.column(name))
    said = {value: word(value) for value in set(values)}
    return pa.array([said[value] for value in values], pa.string())


def _both_ways(flows: pa.Table, unit: str) -> pa.Array[Any]:
    ways = zip(
        rows.values(flows.column(f"forward_{unit}")),
        rows.values(flows.column(f"reverse_{unit}")),
        strict=True,
    )
    return pa.array([forward + reverse for forward, reverse in ways], pa.uint64())


def _configuration() -> dict[str, Any]:
    column = st.column_config
    return {
        "time": column.DatetimeColumn("Time (UTC)", format="MM-DD HH:mm:ss", timezone="UTC", width=112),
        "src": column.TextColumn("Source", width=148),
        "dst": column.TextColumn("Destination", width=148),
        "port": column.NumberColumn("Port", format="%d", width=58),
        "protocol": column.TextColumn("Protocol", width=75),
        "verdict": column.MultiselectColumn(
            "Verdict",
            options=list(palette.BY_VERDICT),
            color=list(palette.BY_VERDICT.values()),
            format_func=words.title,
            width=102,
        ),
        "pending": column.MultiselectColumn(
            "If staged",
            options=list(palette.BY_VERDICT),
            color=list(palette.BY_VERDICT.values()),
            width=102,
            help="What the verdict would be if the staged policies were in force",
        ),
        "rule": column.TextColumn("Deciding rule", width=312),
        "bytes": column.NumberColumn("Bytes", format="bytes", width=75),
        "packets": column.NumberColumn("Packets", format="localized", width=70),
        "node": column.TextColumn("Node", width=75),
        "reporter": column.TextColumn("Reporter", width=75),
        "attribution": column.TextColumn("Attribution", width=85),
    }
