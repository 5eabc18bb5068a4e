"""Terms: what holds from when until when, by the object that says it.

For what has no life of its own: a service's ports, an object's content. What an object says holds from when
it was made to say so, until it says something else, or is gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from enrich import identity

Owner = tuple[str, str, str, str]
"""API group, kind, namespace and name of an object."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclasses.dataclass(frozen=True, slots=True)
class Term(Generic[K, V]):
    """What holds, and from when until when, in ns since 1970."""

    key: K
    value: V
    valid_from: int
    valid_to: int = identity.FOREVER


class Terms(Generic[K, V]):
    """What all objects of some kinds say, and what of it is new."""

    def __init__(self) -> None:
        self._open: dict[Owner, dict[K, Term[K, V]]] = {}
        self._ended: list[Term[K, V]] = []
        self._seen: dict[Owner, int] = {}
        self._new: list[Term[K, V]] = []

    def prime(self, owner: Owner, term: Term[K, V]) -> None:
        """What was known of an object before anything of it was heard here; what has ended is nothing."""
        if term.valid_to == identity.FOREVER:
            self._open.setdefault(owner, {})[term.key] = term

    def say(self, owner: Owner, said: Mapping[K, V], *, at: int, updated: int, since: int) -> None:
        """All that an object says now.

        Args:
            owner: The object.
            said: What it says; values that are equal are the same.
            at: When that was heard, in ns since 1970.
            updated: When it was made to say so, 0 where that is unknown.
            since: From when on it holds, where it was never heard of before.
        """
        before = self._open.setdefault(owner, {})
        known = owner in self._seen or before
        began = min(updated or since, at)
        if known:
            began = updated if self._seen.get(owner, 0) < updated <= at else at
        for key in [key for key in before if key not in said or said[key] != before[key].value]:
            self._end(before.pop(key), began)
        for key, value in said.items():
            if key not in before:
                before[key] = Term(key, value, began)
                self._new.append(before[key])
        self._seen[owner] = at

    def gone(self, owner: Owner, at: int) -> None:
        """An object is not there any more."""
        for term in self._open.pop(owner, {}).values():
            self._end(term, at)
        self._seen.pop(owner, None)

    def gone_others(self, kind: tuple[str, str], present: Collection[tuple[str, str]], at: int) -> None:
        """Of a kind (API group and name) there are only these objects any more, by namespace and name."""
        for owner in [one for one in self._open if one[:2] == kind and one[2:] not in present]:
            self.gone(owner, at)

    def forget(self, before: int) -> None:
        """Let go of what had ended by then, in ns since 1970."""
        self._ended = [term for term in self._ended if term.valid_to > before]

    def said(self) -> list[Term[K, V]]:
        """All that holds or held."""
        return [*self._ended, *(term for terms in self._open.values() for term in terms.values())]

    def news(self) -> Iterable[Term[K, V]]:
        """What is new since this was last asked."""
        new, self._new = self._new, []
        return new

    def _end(self, term: Term[K, V], at: int) -> None:
        ended = dataclasses.replace(term, valid_to=max(at, term.valid_from))
        self._ended.append(ended)
        self._new.append(ended)
