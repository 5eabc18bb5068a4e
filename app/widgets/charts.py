"""Charts over time."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pyarrow as pa

from app.widgets import formats, palette, rows, words
from store import queries

_GUTTER = 46
_MILLISECOND = 1_000_000
_BAR_MILLISECONDS = 940
"""How much of a second a bar fills, so that there is a gap to the next one."""

_BOX: dict[str, pa.DataType] = {
    "from": pa.timestamp("ms", "UTC"),
    "until": pa.timestamp("ms", "UTC"),
    "label": pa.string(),
    "lower": pa.int64(),
    "upper": pa.int64(),
    "connections": pa.int64(),
}


def bars(
    table: pa.Table, span: queries.Span, bucket_seconds: int, verdicts: Sequence[str], height: int
) -> alt.Chart:
    """Connections over time, stacked by verdict.

    Args:
        table: An answer of ``queries.timeline``.
        span: What the axis shows, at least.
        bucket_seconds: How long a bar lasts.
        verdicts: Those to draw, the lowest first.
        height: In pixels.
    """
    stacks = _stacks(table, bucket_seconds, verdicts)
    # An axis without anything on it would be labelled NaN.
    upright = alt.Scale() if stacks.num_rows else alt.Scale(domain=[0, 1])
    chart = alt.Chart(stacks, height=height)
    encoded = chart.mark_rect(clip=True).encode(
        x=alt.X("from:T", title=None, scale=_scale(span, bucket_seconds), axis=_time_axis(span)),
        x2="until:T",
        y=alt.Y("lower:Q", title=None, scale=upright, axis=_count_axis(height)),
        y2="upper:Q",
        color=_colours(verdicts),
        tooltip=[
            alt.Tooltip("label:N", title="verdict"),
            alt.Tooltip("connections:Q", format=","),
            alt.Tooltip("from:T", title="from (UTC)", format="%Y-%m-%d %H:%M:%S"),
        ],
    )
    # An axis keeps one width on all charts of a page, so that their times stand below one another.
    axis = {
        "labelColor": palette.MUTED, "labelFontSize": 11, "domainColor": palette.LINE,
        "tickColor": palette.LINE, "gridColor": palette.LINE,
    }  # fmt: skip
    shown: alt.Chart = encoded.configure(
        font=palette.FONT, background="transparent", axis=axis, view={"stroke": None},
        padding={"left": 0, "right": 6, "top": 2, "bottom": 0},
        axisY={"minExtent": _GUTTER, "maxExtent": _GUTTER},
    )  # fmt: skip
    return shown


def _stacks(table: pa.Table, bucket_seconds: int, verdicts: Sequence[str]) -> pa.Table:
    """One row for each box: the stretch of time it covers, and from where to where it reaches."""
    counts = {(row["time"], row["verdict"]): row["connections"] for row in rows.read(table)}
    boxes = []
    for moment in sorted({moment for moment, _ in counts}):
        lower, start = 0, moment // _MILLISECOND
        for verdict in verdicts:
            number = counts.get((moment, verdict), 0)
            if number:
                end = start + bucket_seconds * _BAR_MILLISECONDS
                boxes.append((start, end, words.title(verdict), lower, lower + number, number))
            lower += number
    return pa.Table.from_pylist([dict(zip(_BOX, box, strict=True)) for box in boxes], pa.schema(_BOX))


def _scale(span: queries.Span, bucket_seconds: int) -> alt.Scale:
    """From one bucket's edge to another: the drawing is made anew when an edge moves, and not before."""
    bucket = bucket_seconds * formats.SECOND
    edges = (span.start // bucket * bucket, -(-span.end // bucket) * bucket)
    return alt.Scale(type="utc", domain=[edge // _MILLISECOND for edge in edges])


def _time_axis(span: queries.Span) -> alt.Axis:
    seconds = (span.end - span.start) // formats.SECOND
    shape = "%H:%M:%S" if seconds <= 600 else "%H:%M" if seconds <= 172_800 else "%d %b"
    return alt.Axis(format=shape, tickCount=8, grid=False, labelOverlap=True)


def _count_axis(height: int) -> alt.Axis:
    return alt.Axis(
        format="~s", tickCount=max(3, height // 40), tickMinStep=1, domain=False, ticks=False,
    )  # fmt: skip


def _colours(verdicts: Sequence[str]) -> alt.Color:
    names = [words.title(verdict) for verdict in verdicts]
    colours = [palette.BY_VERDICT[verdict] for verdict in verdicts]
    legend = alt.Legend(
        orient="top", direction="horizontal", title=None, symbolType="square", offset=6, padding=0,
        labelColor=palette.INK, labelFontSize=12,
    )  # fmt: skip
    return alt.Color("label:N", scale=alt.Scale(domain=names, range=colours), legend=legend)
