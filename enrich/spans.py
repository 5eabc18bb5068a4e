"""Spans: who owned a key at a time, where claims have an earliest and a surest beginning and end.

Kubernetes tells most times to the second, and much only afterwards. So a claim has two spans, one within the
other: in the outer one its owner may have had the key, in the inner one it surely had. At any time

- the one owner who is sure has it, whoever else may have had it then;
- where nobody is sure, the only one who may have it has it;
- where two are sure, or nobody is and two may be, it is ambiguous.

That is worked out once, for all times, when the spans are made; a look-up is one probe and one comparison.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from enrich import identity
from model import asof, keyindex

NOBODY = -1
AMBIGUOUS = -2

_FEW = 10_000
_PART_BITS = 4

_SEED = secrets.randbits(64)

Codes = npt.NDArray[np.int32]


def keys(*words: npt.NDArray[np.generic]) -> asof.Keys:
    """Keys for rows of whole numbers.

    They are others in each process, so that nobody can make up an address with the key of somebody else's.
    """
    return asof.mix(*words, seed=_SEED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Claims as columns of one length; times in ns since 1970, ends not included.

    What ends at `identity.FOREVER` does not end.

    Attributes:
        keys: What is claimed.
        owners: By whom: a number from 0 on.
        valid_from: Since when it may be so.
        sure_from: Since when it surely is.
        sure_to: Until when it surely is; not after ``sure_from`` where it never surely is.
        valid_to: Until when it may be so.
    """

    keys: asof.Keys
    owners: Codes
    valid_from: asof.Times
    sure_from: asof.Times
    sure_to: asof.Times
    valid_to: asof.Times


class Spans:
    """An immutable index over claims.

    Args:
        claimed: Any claims, in any order; two of one owner that overlap are one.
    """

    def __init__(self, claimed: Claimed) -> None:
        parts = [_untangled(part) for part in _parts(claimed)]
        keys, starts, owners = (np.concatenate(each) for each in zip(*parts, strict=True))
        first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
        self._index = keyindex.KeyIndex(keys[first])
        self._first = first
        self._last = np.append(first[1:], len(keys)) - 1 if len(keys) else first
        self._starts, self._owners = starts, owners

    def find(self, keys: asof.Keys, times: asof.Times) -> Codes:
        """The owner of each key at its time, ``NOBODY`` or ``AMBIGUOUS``."""
        if not len(self._starts):
            return np.full(len(keys), NOBODY, np.int32)
        at = self._index.find(keys)
        found = self._last[at]
        earlier = np.flatnonzero((times < self._starts[found]) & (at >= 0))  # most belong to the last span
        found[earlier] = self._earlier(at[earlier], times[earlier])
        owners: Codes = self._owners[found]
        owners[(at < 0) | (found < 0)] = NOBODY
        return owners

    def _earlier(self, at: Codes, times: asof.Times) -> npt.NDArray[np.int64]:
        """By bisection, for all at once: the last span of each key that begins by its time; -1 for none."""
        low, high = self._first[at], self._last[at]
        least = low.copy()
        while len(low) and (low < high).any():
            middle = (low + high) // 2
            begun = self._starts[middle] <= times
            low = np.where(begun & (low < high), middle + 1, low)
            high = np.where(begun, high, middle)
        return np.where(low > least, low - 1, -1)


def _parts(claimed: Claimed) -> Iterator[Claimed]:
    """Claims of one range of keys after the other: to untangle some takes ten times their space."""
    if len(claimed.keys) < _FEW:
        yield claimed
        return
    part = claimed.keys >> np.uint64(64 - _PART_BITS)
    for number in range(1 << _PART_BITS):
        here = np.flatnonzero(part == number)
        yield Claimed(**{
            field.name: getattr(claimed, field.name)[here] for field in dataclasses.fields(Claimed)
        })  # fmt: skip


def _untangled(claimed: Claimed) -> tuple[asof.Keys, asof.Times, Codes]:
    """Keys, beginnings and owners of spans that do not overlap, sorted; each lasts until the next one."""
    sure = _united(claimed.keys, claimed.owners, claimed.sure_from, claimed.sure_to)
    possible = _united(claimed.keys, claimed.owners, claimed.valid_from, claimed.valid_to)
    keys = np.concatenate([part[0] for part in (sure, sure, possible, possible)])
    times = np.concatenate([sure[2], sure[3], possible[2], possible[3]])
    if not len(keys):
        return keys, times, np.zeros(0, np.int32)
    # Each claim adds its owner's number where it begins and takes it away where it ends: wherever one claim
    # alone is open, the sum is that owner's number.
    order = np.lexsort((times, keys))
    keys, times = keys[order], times[order]
    owners = np.full(len(keys), AMBIGUOUS, np.int32)
    surely, sure_owner = _sums(sure[1], 0, order)
    owners[surely == 1] = sure_owner[surely == 1]
    nobody_sure = surely == 0
    maybe, maybe_owner = _sums(possible[1], 2 * len(sure[0]), order)
    alone = nobody_sure & (maybe == 1)
    owners[alone] = maybe_owner[alone]
    owners[nobody_sure & (maybe == 0)] = NOBODY
    settled = np.append((keys[1:] != keys[:-1]) | (times[1:] != times[:-1]), True)
    keys, times, owners = keys[settled], times[settled], owners[settled]
    new = np.append(True, (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1]))
    new &= times != identity.FOREVER  # what ends then does not end
    return keys[new], times[new], owners[new]


def _sums(owners: npt.NDArray[np.int64], place: int, order: npt.NDArray[np.int64]) -> tuple[Codes, Codes]:
    """How many claims are open at each moment, and the sum of their owners' numbers, modulo 2^32.

    Args:
        owners: Whose the claims are; all their beginnings, then all their ends, are among the moments.
        place: From where on.
        order: The order of the moments.
    """
    found = []
    for each in (np.ones(len(owners), np.int32), owners.astype(np.int32)):
        change = np.zeros(len(order), np.int32)
        change[place : place + 2 * len(each)] = np.concatenate([each, -each])
        found.append(np.cumsum(change[order], dtype=np.int32))
    return found[0], found[1]


def _united(
    keys: asof.Keys, owners: Codes, starts: asof.Times, ends: asof.Times
) -> tuple[asof.Keys, npt.NDArray[np.int64], asof.Times, asof.Times]:
    """Keys, owners, beginnings and ends, without empty ones, those of one owner joined where they touch."""
    some = starts < ends
    keys, owner, starts, ends = keys[some], owners[some].astype(np.int64), starts[some], ends[some]
    order = np.lexsort((starts, owner, keys))
    keys, owner, starts, ends = keys[order], owner[order], starts[order], ends[order]
    if not len(keys):
        return keys, owner, starts, ends
    group = np.cumsum(np.append(False, (keys[1:] != keys[:-1]) | (owner[1:] != owner[:-1])))
    # the latest end so far within each group: a rank of the time below the number of the group
    moments, rank = np.unique(ends, return_inverse=True)
    reached = np.maximum.accumulate((group << 32) | rank)
    latest = moments[reached & 0xFFFFFFFF]
    first = np.append(True, (group[1:] != group[:-1]) | (starts[1:] > latest[:-1]))
    last = np.append(np.flatnonzero(first)[1:] - 1, len(keys) - 1)
    return keys[first], owner[first], starts[first], latest[last]
