"""One ruleset from reading to reading: what its counters have gone on by, and which of them began anew."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.counters import attribution, dumps, rules
from model import policyhit

_Rows = npt.NDArray[np.int64]
_Identity = tuple[str, str, str]
_Slot = tuple[str, str, policyhit.PolicyHit]


class Progress:
    """What is remembered of one ruleset.

    All its counters are, also those of rules that belong to no policy: with other knowledge they may.

    Attributes:
        counted: The rules of policies in it.
        packets: What each of them counted since the last reading, shape (number of ``counted``,).
        bytes: Likewise.
        resets: How many of them began anew in that time.
        unreadable: Rules that could not be understood.
    """

    def __init__(self) -> None:
        self.counted: list[rules.Counted] = []
        self.unreadable = 0
        self._shape: str | bytes | None = None
        self._rows: dict[_Identity, int] = {}  # a rule's identity → its column in ``_totals``
        self._slots: dict[_Identity, _Slot] = {}  # of each of ``counted``
        self._places: _Rows = np.zeros(0, np.int64)  # where in the dump each column's counter is
        self._columns: _Rows = np.zeros(0, np.int64)  # which column each of ``counted`` has
        self._totals: rules.Counts = np.zeros(
            (2, 1), np.uint64
        )  # and one more column, of zeros, for the unknown
        self.rest()

    def rest(self) -> None:
        """Say nothing this time; the next reading makes up for it."""
        self.packets, self.bytes = np.zeros((2, len(self.counted)), np.uint64)
        self.resets = 0

    def forget_shape(self) -> None:
        """Attribute all rules anew at the next reading."""
        self._shape = None

    def update(self, dump: dumps.Dump, known: attribution.Known, *, baseline: bool) -> bool:
        """Take the next reading; whether there are other rules than before.

        A rule that was not there before has counted all that it shows, unless this is the ``baseline``.

        Raises:
            ValueError: If it is no ruleset; then everything stays as it was.
        """
        changed = dump.numbers.shape != self._shape
        slots = self._slots
        before = self._renew(dump, known) if changed else np.arange(len(self._places))
        now = np.stack([dump.numbers.packets, dump.numbers.bytes])[:, self._places]
        old = self._totals[:, before]
        back: npt.NDArray[np.bool_] = np.any(now < old, axis=0)
        old[:, back] = 0
        self._totals = np.hstack([now, np.zeros((2, 1), np.uint64)])
        self.packets, self.bytes = (now - old)[:, self._columns]
        anew = back | self._replaced(before, slots) if changed else back
        self.resets = int(np.count_nonzero(anew[self._columns]))
        if baseline:
            self.rest()
        return changed

    def _renew(self, dump: dumps.Dump, known: attribution.Known) -> _Rows:
        """Takes the rules of a new shape; the columns that they had before, -1 where they are new."""
        ruleset = dump.parse()
        counting = [rule for rule in ruleset.rules if rule.counter != rules.NO_COUNTER]
        identities = [_identity(rule) for rule in counting]
        before = np.array([self._rows.get(identity, -1) for identity in identities], np.int64)
        column = {rule.counter: i for i, rule in enumerate(counting)}
        self.counted = attribution.attribute(ruleset, known)
        self.unreadable = ruleset.unreadable
        self._shape = dump.numbers.shape
        self._rows = {identity: i for i, identity in enumerate(identities)}
        self._places = np.array([rule.counter for rule in counting], np.int64)
        self._columns = np.array([column[counted.rule.counter] for counted in self.counted], np.int64)
        self._slots = {_identity(one.rule): _slot(one) for one in self.counted}
        return before

    def _replaced(self, before: _Rows, slots: dict[_Identity, _Slot]) -> npt.NDArray[np.bool_]:
        """Which columns are of rules that came where another one of the same hit has gone."""
        replaced = np.zeros(len(before), bool)
        gone = {slot for identity, slot in slots.items() if identity not in self._rows}
        known = np.array([_slot(one) in gone for one in self.counted], bool)
        replaced[self._columns[known]] = True
        return replaced & (before < 0)


def _identity(rule: rules.Rule) -> _Identity:
    return rule.table, rule.chain, rule.identity


def _slot(counted: rules.Counted) -> _Slot:
    return counted.rule.table, counted.rule.chain, counted.hit
