"""Label sets as columns, so that a selector is asked once for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from policy import selector

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

_ABSENT = -1


class LabelSets:
    """Different label sets, each under a number.

    Args:
        given: Label sets, the same one as often as it comes.

    Attributes:
        codes: The number of each that was given.
    """

    def __init__(self, given: Sequence[Mapping[str, str]]) -> None:
        known: dict[frozenset[tuple[str, str]], int] = {}
        self.codes: Codes = np.fromiter(
            (known.setdefault(frozenset(labels.items()), len(known)) for labels in given),
            np.int32,
            len(given),
        )
        self._size = len(known)
        self._columns = _columns(known, self._size)
        self._asked: dict[selector.Selector, Mask] = {}

    def __len__(self) -> int:
        return self._size

    def matching(self, node: selector.Selector) -> Mask:
        """Which of the different label sets fulfil a selector."""
        found = self._asked.get(node)
        if found is None:
            found = self._asked[node] = self._match(node)
        return found

    def _match(self, node: selector.Selector) -> Mask:
        found: Mask
        match node:
            case selector.Global():
                found = self._column(selector.NAMESPACE_LABEL)[0] == _ABSENT
            case selector.Has(label):
                found = self._column(label)[0] != _ABSENT
            case selector.Not(operand):
                found = ~self.matching(operand)
            case selector.And(operands):
                found = np.logical_and.reduce([self.matching(operand) for operand in operands])
            case selector.Or(operands):
                found = np.logical_or.reduce([self.matching(operand) for operand in operands])
            case selector.Test(label, selector.Operator.EQUAL, value):
                found = self._among(label, (value,))
            case selector.Test(label, selector.Operator.NOT_EQUAL, value):
                found = ~self._among(label, (value,))
            case selector.Member(label, values, inside):
                among = self._among(label, values)
                found = among if inside else ~among
            case selector.Test(label):
                codes, known = self._column(label)
                # the last one stands for the label's absence, and is found at -1
                answers = [*(node.matches({label: value}) for value in known), False]
                found = np.array(answers, bool)[codes]
            case selector.All():
                found = np.ones(self._size, bool)
            case _:
                raise TypeError(f"not a selector node: {node!r}")
        return found

    def _among(self, label: str, values: tuple[str, ...]) -> Mask:
        codes, known = self._column(label)
        wanted = [known[value] for value in values if value in known]
        found: Mask = codes == wanted[0] if len(wanted) == 1 else np.isin(codes, wanted)
        return found

    def _column(self, label: str) -> tuple[Codes, dict[str, int]]:
        """The number of each set's value of a label, and the values by number; -1 where it has none."""
        found = self._columns.get(label)
        return found if found else (np.full(self._size, _ABSENT, np.int32), {})


def _columns(
    known: Mapping[frozenset[tuple[str, str]], int], size: int
) -> dict[str, tuple[Codes, dict[str, int]]]:
    values: dict[str, dict[str, int]] = {}
    places: dict[str, tuple[list[int], list[int]]] = {}
    for labels, number in known.items():
        for label, value in labels:
            of = values.setdefault(label, {})
            rows, codes = places.setdefault(label, ([], []))
            rows.append(number)
            codes.append(of.setdefault(value, len(of)))
    columns = {}
    for label, (rows, codes) in places.items():
        column = np.full(size, _ABSENT, np.int32)
        column[rows] = codes
        columns[label] = column, values[label]
    return columns
