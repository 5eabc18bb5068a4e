"""Time, handed in: so that what waits an hour can be tried out in a moment."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What a part has to know about time."""

    def now(self) -> int:
        """This moment, in nanoseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds since some moment; no correction of the clock ever moves it."""

    def wait(self, stopping: threading.Event, seconds: float) -> bool:
        """Let time pass; whether we were told to stop meanwhile."""


class System:
    """The machine's own time."""

    def now(self) -> int:
        """This moment, in nanoseconds since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds since some moment; no correction of the clock ever moves it."""
        return time.monotonic()

    def wait(self, stopping: threading.Event, seconds: float) -> bool:
        """Let time pass; whether we were told to stop meanwhile."""
        return stopping.wait(seconds)


SYSTEM = System()
