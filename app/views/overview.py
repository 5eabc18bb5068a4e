"""What happened lately: how much, what was refused and by which rule, and who talks to whom."""

from __future__ import annotations

import streamlit as st

from app.views import flows
from app.widgets import charts, denials, figures, graph, ledger, rows, spans, states, timerange
from model import enums, errors
from store import filters, queries, transport

REFRESH_SECONDS = 5

_DENIED_EDGES = 8
_ALLOWED = (enums.Verdict.ALLOWED.value,)
_REFUSED = (enums.Verdict.DENIED.value, enums.Verdict.UNKNOWN.value)


def page() -> None:
    """Draw the page."""
    time_range, live = _controls()
    board = st.fragment(_board, run_every=REFRESH_SECONDS if live else None)
    board(time_range)


def _controls() -> tuple[str, bool]:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Overview", anchor=False)
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            live = st.toggle("Live", value=True, key="live", help=f"Ask again every {REFRESH_SECONDS} s")
            return timerange.show(), live


def _board(time_range: str) -> None:
    try:
        source = ledger.connect()
        bounds = queries.bounds(source)
        if bounds is None:
            states.waiting()
        else:
            _panels(source, time_range, bounds)
    except errors.FlowledgerError as error:
        states.down(error)


def _panels(source: transport.Transport, time_range: str, bounds: queries.Span) -> None:
    now = ledger.now()
    span = spans.span(time_range, now, bounds)
    nodes = rows.read(queries.nodes(source, span))
    figures.show(queries.summary(source, span), nodes, now)
    if not nodes:
        states.nothing("No flows in this time", "Choose a longer time range above.")
        return
    _timelines(source, span)
    _denied(source, span, time_range, now)
    _newly_denied(source, span, time_range, now)
    _map(source, span)


def _timelines(source: transport.Transport, span: queries.Span) -> None:
    bucket = spans.bucket_seconds(span)
    table = queries.timeline(source, span, bucket_seconds=bucket)
    with st.container(border=True, gap=None):
        st.markdown("**Connections over time**")
        for verdicts, height in ((_ALLOWED, 120), (_REFUSED, 120)):
            chart = charts.bars(table, span, bucket, verdicts, height)
            st.altair_chart(chart, theme=None, width="stretch")


def _denied(source: transport.Transport, span: queries.Span, time_range: str, now: int) -> None:
    denied = filters.compile("verdict = denied")
    edges = rows.read(queries.edges(source, span, denied, limit=_DENIED_EDGES))
    with st.container(border=True, gap="xsmall"):
        st.markdown("**Top denied**")
        if edges:
            denials.show(edges, now, time_range, flows.here())
        else:
            st.caption("Nothing was denied in this time.")


def _newly_denied(source: transport.Transport, span: queries.Span, time_range: str, now: int) -> None:
    edges = rows.read(queries.newly_denied(source, span, limit=_DENIED_EDGES))
    if edges:
        with st.container(border=True, gap="xsmall"):
            st.markdown("**Would be denied by staged policies**")
            denials.show(edges, now, time_range, flows.here(), pending=True)


def _map(source: transport.Transport, span: queries.Span) -> None:
    answer = rows.read(queries.graph(source, span))
    with st.container(border=True, gap="xsmall", key="map"):
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            st.markdown("**Who talks to whom**")
            st.caption(
                "width: volume · solid: allowed · red, dashed: denied, with attempts · dotted: unanswered"
            )
        st.graphviz_chart(graph.dot(answer), width="stretch")
