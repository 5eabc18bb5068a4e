"""The one form that all long-running parts have."""

from __future__ import annotations

import logging
from typing import Protocol

_log = logging.getLogger(__name__)


class Component(Protocol):
    """Built inert, from settings and what it depends on; then started; then stopped, once."""

    def start(self) -> None:
        """Begin to work; raises before anything runs if it cannot."""

    def stop(self) -> None:
        """Finish what was begun and give back what was taken."""


class Group:
    """Components that live together: started in order, stopped in reverse."""

    def __init__(self) -> None:
        self._running: list[Component] = []

    def start(self, component: Component) -> None:
        """Start one more."""
        component.start()
        self._running.append(component)

    def stop(self) -> None:
        """Stop all of them; one that fails does not keep the others from it."""
        while self._running:
            component = self._running.pop()
            try:
                component.stop()
            except Exception:
                _log.exception("a component failed to stop", extra={"fields": {"component": component}})
