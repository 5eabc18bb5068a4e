"""What a watcher delivers: one kind's objects as they change, in the order in which the API server has them.

For each kind first comes a list: a `Changed` for each object that there is, then one `Listed` that names all
of them. Then come `Changed` and `Gone` as things happen. A list may come again at any time, after something
that was not seen; what `Listed` does not name has vanished since, nobody has seen when. Objects that a list
brings again may be known already: their ``resourceVersion`` says whether anything is new. Between two lists
nothing comes twice.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from enrich.kubernetes import kinds


@dataclasses.dataclass(frozen=True, slots=True)
class Changed:
    """An object is there, or has changed.

    Attributes:
        kind: Its kind.
        object: All that we keep of it (`kinds.Kind.slim`), to be read only.
        at: When we heard of it, in ns since 1970 by our clock.
        updated: When anybody last wrote to it, its status apart, in ns since 1970 by the server's clock, in
            whole seconds; 0 where it does not say.
    """

    kind: kinds.Kind
    object: dict[str, Any]
    at: int
    updated: int


@dataclasses.dataclass(frozen=True, slots=True)
class Gone:
    """An object was deleted; this was its last state."""

    kind: kinds.Kind
    object: dict[str, Any]
    at: int


@dataclasses.dataclass(frozen=True, slots=True)
class Present:
    """One object of a list."""

    namespace: str
    name: str
    uid: str


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A list has ended. Whatever it does not name was no longer there.

    Attributes:
        kind: What was listed.
        present: All objects that it had.
        began: Before it was asked for, in ns since 1970 by our clock: what it says was so then or later.
        at: When it ended.
    """

    kind: kinds.Kind
    present: tuple[Present, ...]
    began: int
    at: int


News = Changed | Gone | Listed


class Receiver(Protocol):
    """Who wants to know."""

    def take(self, news: News) -> None:
        """Take over one piece of news.

        Each kind has its own thread that calls this, one piece after the other; those of different kinds come
        at the same time. Whoever takes long keeps that kind waiting. An error that it raises is counted, and
        the kind is listed again.
        """
