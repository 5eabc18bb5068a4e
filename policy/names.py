"""Names of suggested policies: from their content, the same in every run, and never two of one."""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Collection, Iterator, Sequence

from policy import stable

_LONGEST = 200
"""Characters; Kubernetes takes 253, and a tier's name and a number may come to it."""
_IMPOSSIBLE = re.compile(r"[^a-z0-9.-]+")


class Names:
    """A name for each group: that of its first workload, with its kind where others are called the same.

    Args:
        groups: All groups, so that a name is the same whichever of them are asked about.
    """

    def __init__(self, groups: Sequence[stable.Group]) -> None:
        self._of: dict[stable.Group, str] = {}
        self._given: dict[str, set[str]] = collections.defaultdict(set)
        plain = collections.Counter((one.namespace, _possible(one.name)) for one in groups)
        alone = [one for one in groups if plain[one.namespace, _possible(one.name)] == 1]
        # whoever is called as nobody else is keeps his name
        for one in (*alone, *(group for group in groups if group not in set(alone))):
            name = _possible(one.name)
            if plain[one.namespace, name] > 1:
                name = _possible(f"{name}-{one.workloads[0].kind}")
            given = self._given[one.namespace]
            self._of[one] = next(text for text in _numbered(name) if text not in given)
            given.add(self._of[one])

    def free(self, group: stable.Group, taken: Collection[str]) -> str:
        """The name of a group, or another like it where a policy about others has that one."""
        own = self._of[group]
        others = self._given[group.namespace] - {own}
        return next(text for text in _numbered(own) if text not in taken and text not in others)


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def _possible(text: str) -> str:
    """What of a name the API takes as one (RFC 1123)."""
    return _IMPOSSIBLE.sub("-", text.lower())[:_LONGEST].strip("-.") or "workload"
