"""The machine's own time."""

from __future__ import annotations

import threading
import time

from enrich.kubernetes import clock


def test_time_is_the_machine_s() -> None:
    before = time.time_ns(), time.monotonic()
    assert clock.SYSTEM.now() >= before[0]
    assert clock.SYSTEM.monotonic() >= before[1]


def test_waiting_ends_when_told() -> None:
    stopping = threading.Event()
    assert not clock.SYSTEM.wait(stopping, 0.0)
    stopping.set()
    assert clock.SYSTEM.wait(stopping, 60.0)
