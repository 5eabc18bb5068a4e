"""Spans of time as people write them."""

from __future__ import annotations

import time

import pytest

from cli import moments
from model import errors

_HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("90", 90, id="bare number"),
        pytest.param("90s", 90, id="seconds"),
        pytest.param("15m", 900, id="minutes"),
        pytest.param("2h", 7200, id="hours"),
        pytest.param("7d", 604_800, id="days"),
        pytest.param("1w", 604_800, id="weeks"),
        pytest.param("1.5h", 5400, id="fraction"),
        pytest.param(" 1m ", 60, id="spaces around"),
        pytest.param("0", 0, id="nothing"),
    ],
)
def test_text_is_so_many_seconds(text: str, seconds: float) -> None:
    assert moments.seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("m", id="unit alone"),
        pytest.param("-5m", id="negative"),
        pytest.param("5y", id="unknown unit"),
        pytest.param("1h30m", id="two units"),
        pytest.param("1 h", id="space within"),
        pytest.param(".5h", id="bare fraction"),
        pytest.param("1e3", id="exponent"),
        pytest.param("inf", id="infinity"),
        pytest.param("5m\n5", id="two lines"),
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(errors.SetupError, match="is no span of time: write 90s, 15m") as caught:
        moments.seconds(text)
    assert "\n" not in str(caught.value)


def test_span_reaches_back_from_now() -> None:
    """It ends a second from now, so that a row of this very moment is in it."""
    before = time.time_ns()
    span = moments.since("90s")
    assert before <= span.start + 90_000_000_000 <= time.time_ns()
    assert span.end - span.start == 91_000_000_000


@pytest.mark.parametrize(
    "text", [pytest.param("20000w", id="more than 64 bits"), pytest.param("9" * 400, id="infinite")]
)
def test_longest_span_begins_in_1970(text: str) -> None:
    assert moments.since(text).start == 0


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(10**8, "less than a second"), (10**9, "1 second"), (119 * 10**9, "119 seconds"), (_HOUR, "60 minutes"),
     (47 * _HOUR, "47 hours"), (71 * _HOUR, "2 days"), (24_000 * _HOUR, "1,000 days")],
)  # fmt: skip
def test_length_of_time(nanoseconds: int, text: str) -> None:
    assert moments.length(nanoseconds) == text
