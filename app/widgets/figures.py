"""The line of key figures at the top."""

from __future__ import annotations

import streamlit as st

from app.widgets import formats, rows
from store import queries

SILENT_AFTER = 120 * formats.SECOND
"""A node that has said nothing for so long is named."""


def show(summary: queries.Summary, nodes: list[rows.Row], now: int) -> None:
    """Totals, completeness and who reports."""
    figures = (
        ("allowed", "Allowed", formats.count(summary.allowed), "connections"),
        ("denied", "Denied", formats.count(summary.denied), "attempts"),
        ("unknown", "Unanswered", formats.count(summary.unknown), "connections"),
        ("volume", "Volume", formats.size(summary.bytes), "both ways"),
        ("complete", "Complete", formats.percentage(summary.completeness), missing(summary)),
        ("nodes", "Reporting", formats.plural(len(nodes), "node"), freshness(nodes, now)),
    )
    for place, figure in zip(st.columns(len(figures), gap="small"), figures, strict=True):
        _figure(place, *figure)
    with st.container(gap="xxsmall"):
        for line in remarks(summary, nodes, now):
            st.text(line)


def missing(summary: queries.Summary) -> str:
    """What the record lacks, in a few words."""
    if summary.lost:
        return f"{formats.plural(summary.lost, 'report')} lost"
    return "nothing lost"


def freshness(nodes: list[rows.Row], now: int) -> str:
    """How old the newest report is."""
    if not nodes:
        return "none in this time"
    return f"newest {formats.ago(max(node['last_seen'] for node in nodes), now)}"


def remarks(summary: queries.Summary, nodes: list[rows.Row], now: int) -> list[str]:
    """Sentences about what is not as it should be; none on a good day."""
    lines = []
    if summary.lost:
        losses = [f"{formats.count(n['lost'])} on {n['node']}" for n in nodes if n["lost"]]
        lines.append(
            f"{formats.percentage(summary.completeness)} complete: the kernel could not hand over "
            f"{formats.plural(summary.lost, 'report')} ({', '.join(losses)})."
        )
    if summary.discarded:
        lines.append(f"{formats.plural(summary.discarded, 'report')} left out on purpose.")
    silent = [node for node in nodes if now - node["last_seen"] > SILENT_AFTER]
    if silent and len(silent) == len(nodes):
        newest = max(node["last_seen"] for node in nodes)
        lines.append(f"No node has reported for {formats.duration(now - newest)}: is a collector running?")
    elif silent:
        told = [f"{node['node']} for {formats.duration(now - node['last_seen'])}" for node in silent]
        lines.append(f"Silent: {', '.join(told)}.")
    return lines


def _figure(place: st.delta_generator.DeltaGenerator, key: str, label: str, value: str, below: str) -> None:
    with place.container(border=True, key=f"figure-{key}", gap=None):
        st.metric(label, value)
        st.caption(below)
