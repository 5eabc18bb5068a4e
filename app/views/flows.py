"""The flows themselves: a filter, the rows that it selects, and one row's whole story."""

from __future__ import annotations

import functools

import pyarrow as pa
import streamlit as st

from app.widgets import charts, export, filterbar, formats, grid, ledger, rows, spans, states, story
from model import errors
from store import filters, queries, transport

MOST_ROWS = 1_000
MOST_EXPORTED = 100_000
_DAY = 86_400 * formats.SECOND


def here() -> st.Page:
    """This page, as navigation and links know it."""
    return st.Page(page, title="Flows", url_path="flows")


def page() -> None:
    """Draw the page."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Flows", anchor=False)
        st.button("Refresh", icon=":material/refresh:", key="refresh")
    try:
        source = ledger.connect()
        bounds = queries.bounds(source)
        if bounds is None:
            states.waiting()
        else:
            _explore(source, bounds)
    except errors.FlowledgerError as error:
        states.down(error)


def _explore(source: transport.Transport, bounds: queries.Span) -> None:
    now = ledger.now()
    text, time_range = filterbar.show(_namespaces(source, bounds))
    try:
        condition = filters.compile(text)
    except errors.FilterError as error:
        states.wrong(error)
        return
    _selection(source, spans.span(time_range, now, bounds), condition)


def _namespaces(source: transport.Transport, span: queries.Span) -> list[str]:
    """Those of the last day: a list to choose from is not worth reading a whole ledger."""
    answer = queries.graph(source, queries.Span(max(span.start, span.end - _DAY), span.end))
    ends = (answer.column(f"{side}_namespace").to_pylist() for side in ("src", "dst"))
    return sorted({name for names in ends for name in names if name})


def _selection(source: transport.Transport, span: queries.Span, condition: filters.Condition) -> None:
    # One row more than is shown tells whether there are more.
    found = queries.flows(source, span, condition, limit=MOST_ROWS + 1)
    if not found.num_rows:
        states.nothing(
            "No flow matches", "Choose a longer time range, or take a condition out of the filter."
        )
        return
    _histogram(source, span, condition)
    flows = found.slice(0, MOST_ROWS)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.text(_extent(flows, cut=found.num_rows > MOST_ROWS))
        _downloads(source, span, condition)
    chosen = grid.show(flows)
    st.caption(
        "The newest flow of the selection; click a row above for another."
        if chosen is None
        else "The chosen flow."
    )
    story.show(rows.read(flows.slice(chosen or 0, 1))[0])


def _histogram(source: transport.Transport, span: queries.Span, condition: filters.Condition) -> None:
    bucket = spans.bucket_seconds(span)
    table = queries.timeline(source, span, condition, bucket)
    lowest_first = ("denied", "unknown", "allowed")
    st.altair_chart(charts.bars(table, span, bucket, lowest_first, 140), theme=None, width="stretch")


def _extent(flows: pa.Table, *, cut: bool) -> str:
    if cut:
        return f"The newest {formats.plural(flows.num_rows, 'row')}; there are more."
    return f"{formats.plural(flows.num_rows, 'row')}, all there are."


def _downloads(source: transport.Transport, span: queries.Span, condition: filters.Condition) -> None:
    with st.container(horizontal=True, width="content", gap="small"):
        for label, mime, encode in (
            ("CSV", "text/csv", export.csv),
            ("Parquet", "application/vnd.apache.parquet", export.parquet),
        ):
            fetch = functools.partial(_file, source, span, condition, encode)
            st.download_button(
                label, fetch, f"flows.{label.lower()}", mime,
                icon=":material/download:", on_click="ignore", key=f"export-{label}",
                help=f"Every column of the selection, up to {formats.count(MOST_EXPORTED)} rows",
            )  # fmt: skip


def _file(
    source: transport.Transport, span: queries.Span, condition: filters.Condition, encode: export.Encoder
) -> bytes:
    return encode(queries.flows(source, span, condition, limit=MOST_EXPORTED))
