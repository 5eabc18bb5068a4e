"""Logs: a stable lower-case phrase with fields, on standard error."""

from __future__ import annotations

import logging
import sys
import time


class _Formatter(logging.Formatter):
    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        """Times in the log are in UTC."""
        return time.gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        said = " ".join([record.getMessage(), *(f"{name}={value!r}" for name, value in fields.items())])
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ")
        text = f"{stamp} {record.levelname.lower()} {record.name}: {said}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def set_up(level: str = "INFO") -> None:
    """Send the logs of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


class Limited:
    """A logger that says the same phrase at most once in a while; the metrics have the exact count.

    The same of another node or source is not the same.

    Args:
        name: Name of the logger.
        seconds: How long a phrase is not repeated.
    """

    def __init__(self, name: str, seconds: float = 60) -> None:
        self._logger = logging.getLogger(name)
        self._seconds = seconds
        self._last: dict[tuple[object, ...], float] = {}

    def warning(self, phrase: str, **fields: object) -> None:
        """Say it, unless it was said a moment ago."""
        now, key = time.monotonic(), (phrase, fields.get("node"), fields.get("source"))
        if now - self._last.get(key, -self._seconds) >= self._seconds:
            self._last[key] = now
            self._logger.warning(phrase, extra={"fields": fields})
