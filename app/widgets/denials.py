"""The list of denied edges: what was refused, by which rule, and the way to its flows."""

from __future__ import annotations

import streamlit as st

from app.widgets import expression, formats, rows, words

_WIDTHS = (5.2, 1.5, 6.2, 1.7, 1.7, 1.2)
_HEADINGS = ("Source → destination", "Port", "Denied by", "Attempts", "Last seen", "")
_PENDING_HEADINGS = ("Source → destination", "Port", "Would be denied by", "Connections", "Last seen", "")


def show(edges: list[rows.Row], now: int, time_range: str, target: st.Page, *, pending: bool = False) -> None:
    """One line for each edge.

    Args:
        edges: Rows of ``queries.edges`` that were denied, or of ``queries.newly_denied``.
        now: What "ago" counts from.
        time_range: The range that a link takes along.
        target: The page that a link leads to.
        pending: Whether staged policies would deny them.
    """
    suffix = "-pending" if pending else ""
    with st.container(key=f"denials{suffix}", gap=None):
        headings = _PENDING_HEADINGS if pending else _HEADINGS
        for column, heading in zip(st.columns(_WIDTHS), headings, strict=True):
            column.caption(heading)
        for number, edge in enumerate(edges):
            with st.container(key=f"edge{suffix}-{number}"):
                _line(edge, now, time_range, target)


def reason(edge: rows.Row) -> str:
    """Whose policy it was and how that is known, in words of ours; or whose it would be."""
    known = words.attribution(edge["attribution"]) if "attribution" in edge else "allowed so far"
    return f"{words.direction(edge['direction'])} · {known}"


def _line(edge: rows.Row, now: int, time_range: str, target: st.Page) -> None:
    ends, port, rule, attempts, seen, link = st.columns(_WIDTHS, vertical_alignment="center")
    ends.text(f"{edge['src']} → {edge['dst']}")
    port.text(formats.port(edge["dst_port"], edge["protocol"]))
    with rule.container(gap=None):
        st.text(words.rule(edge["pending_rule"] if "pending_rule" in edge else edge["deciding_rule"]))
        st.caption(reason(edge))
    attempts.text(formats.count(edge["connections"]))
    seen.text(formats.ago(edge["last_seen"], now))
    link.page_link(target, label="flows", query_params={"q": expression.edge(edge), "range": time_range})
