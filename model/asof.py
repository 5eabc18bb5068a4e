"""Looking things up as they were at a time: the one join that the whole product stands on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Times = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]

_MULTIPLIERS = tuple(np.uint64(m) for m in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def mix(*words: npt.NDArray[np.generic], seed: int = 0) -> Keys:
    """One 64-bit key for each row of several integer columns.

    The finaliser is SplitMix64's. Among a million different rows two share a key with a probability of
    3 in 100 million.
    """
    golden, first, second = _MULTIPLIERS
    key = np.full(len(words[0]), seed, np.uint64)
    with np.errstate(over="ignore"):
        for word in words:
            key += word.astype(np.uint64) + golden
            key ^= key >> np.uint64(30)
            key *= first
            key ^= key >> np.uint64(27)
            key *= second
            key ^= key >> np.uint64(31)
    return key


class AsOf:
    """Rows with a key and a time; finds for each (key, time) the latest row that is not later.

    Key and time are replaced by their ranks and packed into one integer, so that a look-up is one binary
    search in one sorted array, whatever the number of rows of a key.
    """

    def __init__(self, keys: Keys, times: Times) -> None:
        self._keys = np.unique(keys)
        self._times = np.unique(times)
        ranks = (np.searchsorted(self._keys, keys) << 32) | np.searchsorted(self._times, times)
        self._order = np.argsort(ranks, kind="stable")
        self._ranks = ranks[self._order]

    def find(self, keys: Keys, times: Times) -> Positions:
        """Position, among the rows given at construction, of the answer to each look-up; -1 for none."""
        if len(self._ranks) == 0:
            return np.full(len(keys), -1, np.int64)
        key_rank = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        time_rank = np.searchsorted(self._times, times, side="right") - 1
        wanted = (key_rank << 32) | np.maximum(time_rank, 0)
        found = np.maximum(np.searchsorted(self._ranks, wanted, side="right") - 1, 0)
        right = (self._keys[key_rank] == keys) & (time_rank >= 0) & (self._ranks[found] >> 32 == key_rank)
        right &= self._ranks[found] <= wanted
        return np.where(right, self._order[found], -1)
