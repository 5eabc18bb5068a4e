import pytest

from app.widgets import formats, spans
from store import queries

NOW = 1_700_000_000 * formats.SECOND
BOUNDS = queries.Span(5, 9)


def test_span_ends_now():
    assert spans.span("15m", NOW, BOUNDS) == queries.Span(NOW - 900 * formats.SECOND, NOW)


def test_span_of_all_is_what_there_is():
    assert spans.span(spans.ALL, NOW, BOUNDS) == BOUNDS


@pytest.mark.parametrize("name", ["24h", "7d"])
def test_long_span_begins_with_a_full_hour(name):
    old = queries.Span(0, NOW)
    found = spans.span(name, NOW, old)
    late = NOW - spans.RANGES[name] * formats.SECOND - found.start
    assert (found.start % (3600 * formats.SECOND), found.end) == (0, NOW)
    assert 0 <= late < 3600 * formats.SECOND


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(0, 5, id="nothing"),
        pytest.param(300, 5, id="five-minutes"),
        pytest.param(3_600, 60, id="hour"),
        pytest.param(86_400, 1_800, id="day"),
        pytest.param(604_800, 10_800 + 3_600, id="week"),
        pytest.param(86_400 * 365, 86_400 * 6, id="year"),
    ],
)
def test_buckets_are_round(seconds, bucket):
    assert spans.bucket_seconds(queries.Span(0, seconds * formats.SECOND)) == bucket
