"""Names of networks by the longest prefix, as of a time: one look-up for each length of prefix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from enrich import identity, spans
from model import address, asof

_V4_BITS = 96
"""A prefix this long, or longer, may be one of IPv4 in its mapped form; a shorter one is of IPv6 alone."""
_WORD = 64


class Networks:
    """Immutable.

    Args:
        names: Any networks; two of one CIDR at one time make it ambiguous.
        owners: A number for each of them.
    """

    def __init__(self, names: Sequence[identity.NetworkName], owners: Sequence[int]) -> None:
        prefixes = [address.prefix(name.network) for name in names]
        lengths = np.array([length for _, length in prefixes], np.int64)
        packed = np.frombuffer(b"".join(base for base, _ in prefixes), np.uint8).reshape(-1, 16)
        starts = np.array([name.valid_from for name in names], np.int64)
        ends = np.array([name.valid_to for name in names], np.int64)
        numbers = np.array(owners, np.int32)
        self._by_length = []
        for length in np.unique(lengths)[::-1].tolist():
            here = lengths == length
            index = spans.Spans(spans.Claimed(
                keys=_keys(*address.words(packed[here]), length), owners=numbers[here],
                valid_from=starts[here], sure_from=starts[here], sure_to=ends[here], valid_to=ends[here],
            ))  # fmt: skip
            self._by_length.append((length, index))

    def find(self, packed: address.Packed, times: asof.Times) -> spans.Codes:
        """The owner of the narrowest network around each address, ``spans.NOBODY`` or ``spans.AMBIGUOUS``."""
        found = np.full(len(packed), spans.NOBODY, np.int32)
        if not self._by_length:
            return found
        high, low = address.words(packed)
        mapped = address.is_v4(high, low)
        for length, index in self._by_length:
            left = np.flatnonzero((found == spans.NOBODY) & ~(mapped & (length < _V4_BITS)))
            found[left] = index.find(_keys(high[left], low[left], length), times[left])
        return found


def _keys(high: address.Words, low: address.Words, length: int) -> asof.Keys:
    """Keys of addresses of which only the first bits matter."""
    return spans.keys(high & _mask(min(length, _WORD)), low & _mask(max(length - _WORD, 0)))


def _mask(bits: int) -> npt.NDArray[np.uint64]:
    return np.array(((1 << bits) - 1) << (_WORD - bits), np.uint64)
