"""Identities as columns: each once, under a number, so that names are gathered and never compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from enrich import identity, numbering, spans
from model import columns, enums

TEXTS = tuple(field.name for field in dataclasses.fields(identity.Identity) if field.name != "labels_id")
"""What of an identity is text."""

_FIRST_SIZE = 64


class Identities:
    """Grows, and never changes what it has."""

    def __init__(self) -> None:
        # By a hash of 64 bits: an object takes ten times the space, and a million identities are told apart
        # but once in 40 million processes.
        self._codes = numbering.Numbering()
        self._words: dict[str, int] = {"": 0}
        self._ranks = np.zeros(0, np.int32)
        self._ordered: pa.Array[Any] = columns.strings([])
        self._texts = np.zeros((len(TEXTS), _FIRST_SIZE), np.int32)
        self._labels = np.zeros(_FIRST_SIZE, np.uint64)

    def __len__(self) -> int:
        return len(self._codes)

    def code(self, who: identity.Identity) -> int:
        """The number of an identity."""
        key = hash(who)
        known = self._codes.find(key)
        if known is not None:
            return known
        code = self._codes.add(key)
        if code == len(self._labels):
            self._texts = np.concatenate([self._texts, np.zeros_like(self._texts)], axis=1)
            self._labels = np.concatenate([self._labels, np.zeros_like(self._labels)])
        self._texts[:, code] = [self._word(str(getattr(who, name))) for name in TEXTS]
        self._labels[code] = who.labels_id
        return code

    def some(self, codes: Iterable[int]) -> Iterator[identity.Identity]:
        """The identities with these codes, one after the other."""
        words = list(self._words)
        for code in codes:
            kind, *texts = (words[number] for number in self._texts[:, code].tolist())
            yield identity.Identity(
                kind=enums.EndpointKind(kind), labels_id=int(self._labels[code]),
                **dict(zip(TEXTS[1:], texts, strict=True)),
            )  # fmt: skip

    def texts(self, name: str) -> npt.NDArray[np.int32]:
        """For each identity the number of a text of it; 0 for an empty one."""
        return self._texts[TEXTS.index(name), : len(self)]

    def number(self, text: str) -> int:
        """The number of a text; -1 where no identity has it."""
        return self._words.get(text, -1)

    def word(self, number: int) -> str:
        """The text with a number."""
        words, ranks = self._sorted()
        return str(words[int(ranks[number])])

    def gathered(self, codes: spans.Codes) -> Gathered:
        """What the identities with these codes are called; ask it for a column."""
        return Gathered(self, codes)

    def named(
        self, name: str, among: npt.NDArray[np.int64], places: npt.NDArray[np.int32]
    ) -> pa.DictionaryArray[Any, Any]:
        """A text of identities, as a column of a flow batch.

        Args:
            name: Which text.
            among: The identities that there are in the batch.
            places: For each row, which of these.
        """
        words, ranks = self._sorted()
        there, which = distinct(ranks[self.texts(name)[among]], len(words))
        return dictionary(words, there, which[places])

    def _sorted(self) -> tuple[pa.Array[Any], npt.NDArray[np.int32]]:
        """All texts in order, and where each stands there; made once for all batches."""
        if len(self._ranks) != len(self._words):
            self._ordered = columns.strings([])  # as much as what takes its place
            listed = columns.strings(list(self._words))
            order = pc.sort_indices(listed)
            self._ranks = np.zeros(len(listed), np.int32)
            self._ranks[columns.numbers(order)] = np.arange(len(listed), dtype=np.int32)
            self._ordered = listed.take(order)
        return self._ordered, self._ranks

    def labels(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """The label sets of the identities with these codes."""
        found: npt.NDArray[np.uint64] = self._labels[codes]
        return found

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))


def distinct(
    numbers: npt.NDArray[np.int32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The different numbers below ``count``, in order, and for each number which of them it is."""
    there = np.zeros(count, bool)
    there[numbers] = True
    among = np.flatnonzero(there)
    place = np.zeros(count, np.int32)
    place[among] = np.arange(len(among), dtype=np.int32)
    return among, place[numbers]


def dictionary(
    words: pa.Array[Any], there: npt.NDArray[np.int64], places: npt.NDArray[np.int32]
) -> pa.DictionaryArray[Any, Any]:
    """A text column of some of these words."""
    indices = columns.array(places, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, words.take(columns.array(there, pa.int64())))


class Gathered:
    """The names of one end of many flows.

    A batch has few of the identities that there are: what is made for each column is made for these alone.

    Args:
        known: The identities.
        codes: Whose names, shape (n,).
    """

    def __init__(self, known: Identities, codes: spans.Codes) -> None:
        self._known = known
        self._among, self._places = distinct(codes, len(known))

    def text(self, name: str) -> pa.DictionaryArray[Any, Any]:
        """A text of each, as a column of a flow batch."""
        return self._known.named(name, self._among, self._places)

    def labels(self) -> pa.Array[Any]:
        """The label set of each, as a column of a flow batch."""
        return columns.array(self._known.labels(self._among)[self._places], pa.uint64())
