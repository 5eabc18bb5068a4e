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
    ("text", "words"),
    [("2h", "in the last 2h"), ("2026-08-01T10:00:00Z", "since 2026-08-01T10:00:00Z")],
)
def test_span_is_told_in_words(text: str, words: str) -> None:
    assert moments.told(text) == words


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


NEW_YEAR = 1_767_225_600 * 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        pytest.param("2026-01-01T00:00:00Z", NEW_YEAR, id="UTC"),
        pytest.param("2026-01-01T02:00:00+02:00", NEW_YEAR, id="another zone"),
        pytest.param("2026-01-01", NEW_YEAR, id="day alone"),
        pytest.param(" 2026-01-01 00:00:00.5 ", NEW_YEAR + 5 * 10**8, id="no zone, a fraction, spaces"),
    ],
)
def test_time_as_it_is_written(text: str, nanoseconds: int) -> None:
    assert moments.at(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-01-01T25:00:00Z"], ids=repr)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(errors.SetupError, match="is no time: write 2026-01-31T12:00:00Z"):
        moments.at(text)


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        pytest.param("2h", "1h", -2 * _HOUR, -_HOUR, id="both ago"),
        pytest.param("2026-01-01T00:00:00Z", "1h", NEW_YEAR, -_HOUR, id="a time, ago"),
        pytest.param("20000w", "2026-01-01", 0, NEW_YEAR, id="ago, a time"),
        pytest.param("2026-01-01", "2026-01-01T00:00:01Z", NEW_YEAR, NEW_YEAR + 10**9, id="two times"),
    ],
)
def test_span_between_two_moments(since: str, until: str, start: int, end: int) -> None:
    """What is negative is so long before now."""
    before, span, after = time.time_ns(), moments.since(since, until), time.time_ns()
    for found, wanted in ((span.start, start), (span.end, end)):
        assert (before <= found - wanted <= after) if wanted < 0 else found == wanted


def test_span_over_two_times_is_always_the_same() -> None:
    ask = ("2026-01-01", "2026-01-15")
    assert moments.since(*ask) == moments.since(*ask)


def test_span_ends_now_at_the_latest() -> None:
    assert moments.since("1h", "9999-01-01").end <= time.time_ns() + 10**9


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        pytest.param("1h", "2h", "between 1h and 2h: --until", id="the wrong way round"),
        pytest.param("1h", "1h", "between 1h and 1h: --until", id="both the same"),
        pytest.param("9999-01-01", "", "between 9999-01-01 and now: --until", id="not yet begun"),
        pytest.param("1h", "2026-01-01", "between 1h and 2026-01-01: --until", id="a time before"),
        pytest.param("1h", "5y", "'5y' is no span of time", id="neither"),
        pytest.param("2026-01-99", "", "'2026-01-99' is no time", id="no such day"),
    ],
)
def test_span_of_nothing_is_refused(since: str, until: str, said: str) -> None:
    with pytest.raises(errors.SetupError, match=said):
        moments.since(since, until)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(10**8, "less than a second"), (10**9, "1 second"), (119 * 10**9, "119 seconds"), (_HOUR, "60 minutes"),
     (47 * _HOUR, "47 hours"), (71 * _HOUR, "2 days"), (24_000 * _HOUR, "1,000 days")],
)  # fmt: skip
def test_length_of_time(nanoseconds: int, text: str) -> None:
    assert moments.length(nanoseconds) == text
