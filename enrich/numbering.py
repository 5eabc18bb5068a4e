"""Numbers for hashes, in the order of their coming, in a quarter of a dictionary's memory."""

from __future__ import annotations

import numpy as np

_LATE = 4_096
"""So many of the last ones are in a dictionary; the others are in order, to be searched."""


class Numbering:
    """Grows, and never changes what it has."""

    def __init__(self) -> None:
        self._late: dict[int, int] = {}
        self._early = np.zeros(0, np.int64)
        self._numbers = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self._early) + len(self._late)

    def find(self, hashed: int) -> int | None:
        """The number of a hash of 64 bits, if it has one."""
        late = self._late.get(hashed)
        if late is not None or not len(self._early):
            return late
        at = int(self._early.searchsorted(hashed))
        return int(self._numbers[at]) if at < len(self._early) and self._early[at] == hashed else None

    def add(self, hashed: int) -> int:
        """The number of a hash that has none yet."""
        number = len(self)
        self._late[hashed] = number
        if len(self._late) == _LATE:
            hashes = np.concatenate([self._early, np.fromiter(self._late.keys(), np.int64, _LATE)])
            numbers = np.concatenate([self._numbers, np.fromiter(self._late.values(), np.int32, _LATE)])
            order = np.argsort(hashes)
            self._early, self._numbers, self._late = hashes[order], numbers[order], {}
        return number
