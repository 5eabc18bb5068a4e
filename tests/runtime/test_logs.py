"""What a log line looks like, and how often it comes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from runtime import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The root logger is everybody's: give it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_line_is_a_phrase_with_fields_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    logging.getLogger("store.chdb").info("ledger made", extra={"fields": {"folder": "/a b", "rows": 3}})
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"{STAMP} info store\.chdb: ledger made folder='/a b' rows=3\n", err)


def test_line_without_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    logging.getLogger("x").warning("a %s", "word")
    assert re.fullmatch(rf"{STAMP} warning x: a word\n", capsys.readouterr().err)


def test_time_is_utc(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    record = logging.makeLogRecord(
        {
            "name": "x",
            "levelname": "INFO",
            "created": 1_767_225_600.5,
            "msg": "new year",
            "levelno": logging.INFO,
        }
    )
    logging.getLogger().handle(record)
    assert capsys.readouterr().err.startswith("2026-01-01T00:00:00Z ")


def test_exception_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    try:
        raise OSError("gone")
    except OSError:
        logging.getLogger("x").exception("failed", extra={"fields": {"node": "a"}})
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("error x: failed node='a'")
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "OSError: gone"


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("WARNING")
    logging.getLogger("x").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_phrase_is_said_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    limited = logs.Limited("x", seconds=3600)
    for lost in range(1000):
        limited.warning("events lost", lost=lost)
        limited.warning("interval failed")
    assert [record.getMessage() for record in caplog.records] == ["events lost", "interval failed"]
    assert caplog.records[0].__dict__["fields"] == {"lost": 0}


def test_a_phrase_comes_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    limited = logs.Limited("x", seconds=0)
    limited.warning("events lost")
    limited.warning("events lost")
    assert len(caplog.records) == 2
