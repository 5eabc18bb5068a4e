"""Components that live together."""

from __future__ import annotations

import logging

import pytest

from runtime import component


class Part:
    """Notes what becomes of it."""

    def __init__(self, name: str, story: list[str], fails: str = "") -> None:
        self._name, self._story, self._fails = name, story, fails

    def __repr__(self) -> str:
        return self._name

    def _note(self, what: str) -> None:
        self._story.append(f"{what} {self._name}")
        if self._fails == what:
            raise OSError(f"{self._name} is broken")

    def start(self) -> None:
        self._note("start")

    def stop(self) -> None:
        self._note("stop")


def test_stopped_once_in_reverse_order() -> None:
    story: list[str] = []
    group = component.Group()
    for name in ("gateway", "probes", "collector"):
        group.start(Part(name, story))
    group.stop()
    group.stop()
    assert story[3:] == ["stop collector", "stop probes", "stop gateway"]


def test_one_that_does_not_start_is_not_stopped() -> None:
    story: list[str] = []
    group = component.Group()
    group.start(Part("gateway", story))
    with pytest.raises(OSError, match="probes is broken"):
        group.start(Part("probes", story, fails="start"))
    group.stop()
    assert story == ["start gateway", "start probes", "stop gateway"]


def test_one_that_does_not_stop_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    story: list[str] = []
    group = component.Group()
    group.start(Part("gateway", story))
    group.start(Part("collector", story, fails="stop"))
    group.stop()
    assert story[2:] == ["stop collector", "stop gateway"]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "a component failed to stop")
    assert "collector is broken" in caplog.text
