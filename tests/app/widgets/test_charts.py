import pyarrow as pa

from app.widgets import charts, formats, palette
from store import queries

MINUTE = 60 * formats.SECOND
TABLE = pa.table(
    {
        "time": pa.array([0, 0, MINUTE], pa.timestamp("ns", "UTC")),
        "verdict": ["allowed", "denied", "allowed"],
        "connections": pa.array([5, 2, 7], pa.uint64()),
        "bytes": pa.array([1, 1, 1], pa.uint64()),
    }
)


def boxes(verdicts):
    chart = charts.bars(TABLE, queries.Span(0, 2 * MINUTE), 60, verdicts, 100)
    return [(b["label"], b["lower"], b["upper"]) for b in chart.data.to_pylist()]


def test_bars_stand_on_one_another():
    assert boxes(["denied", "allowed"]) == [("denied", 0, 2), ("allowed", 2, 7), ("allowed", 0, 7)]


def test_bars_leave_out_what_is_not_asked_for():
    assert boxes(["denied", "unknown"]) == [("denied", 0, 2)]


def test_bars_of_nothing_have_an_axis():
    chart = charts.bars(TABLE.slice(0, 0), queries.Span(0, MINUTE), 60, ["denied"], 100)
    assert chart.to_dict()["encoding"]["y"]["scale"]["domain"] == [0, 1]


def test_bars_say_unanswered_for_unknown():
    chart = charts.bars(TABLE, queries.Span(0, MINUTE), 60, list(palette.BY_VERDICT), 100)
    assert chart.to_dict()["encoding"]["color"]["scale"]["domain"] == ["allowed", "denied", "unanswered"]


def test_axis_stands_still_within_a_bucket():
    """A new axis is a new drawing, and a new drawing flickers."""

    def drawn(end):
        return charts.bars(TABLE, queries.Span(end - MINUTE, end), 60, ["denied"], 100).to_dict()["encoding"][
            "x"
        ]

    assert drawn(61 * formats.SECOND) == drawn(66 * formats.SECOND)
