"""Chain rules as the parsers give them, whatever tool printed them; one rule here is one line of a chain."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from model import policyhit

Counts = npt.NDArray[np.uint64]
_Shape = TypeVar("_Shape", str, bytes)

NO_GROUP = -1
NO_COUNTER = -1
BOTH_FAMILIES = 0
MARK_BITS = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True, slots=True)
class MarkTest:
    """A match on the packet's mark: ``mark & mask == value``, or the contrary if ``negated``."""

    mask: int
    value: int
    negated: bool = False

    @property
    def required(self) -> int:
        """The bits that have to be set; 0 if it asks for anything else."""
        return self.mask if self.value == self.mask and not self.negated else 0

    @property
    def refused(self) -> int:
        """The bits that have to be clear; 0 if it asks for anything else."""
        return self.mask if self.value == 0 and not self.negated else 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a chain.

    Attributes:
        family: 4, 6, or 0 for both.
        chain: Its whole name, as in the kernel.
        position: Place in the chain, from 0.
        identity: Within the chain, the same as long as the kernel's counter goes on: nftables' handles,
            Calico's hash, or the rule's text.
        comments: For people; Calico's hash is not among them.
        action: ``accept``, ``drop``, ``reject``, ``return``, ``jump``, ``goto``, ``log`` for the kernel's
            own log; empty where the packet just goes on, after having been marked or sent to a group.
        target: Chain that it jumps or goes to.
        prefix: NFLOG prefix, if it logs to a group.
        group: NFLOG group, or ``NO_GROUP``.
        test: Its match on the mark; if it has several, the first.
        sets: Bits that it sets in the mark.
        clears: Bits that it clears in the mark.
        matches: All other matches, so that two rules for the same packets can be told.
        limited: Whether it has a rate limit, so that it does not count all that matches.
        counter: Place of its counter among those of the dump, or ``NO_COUNTER``.
    """

    family: int
    table: str
    chain: str
    position: int
    identity: str
    comments: tuple[str, ...] = ()
    action: str = ""
    target: str = ""
    prefix: str = ""
    group: int = NO_GROUP
    test: MarkTest | None = None
    sets: int = 0
    clears: int = 0
    matches: str = ""
    limited: bool = False
    counter: int = NO_COUNTER

    @property
    def required(self) -> int:
        """Mark bits that have to be set, if nothing else is asked for; else 0."""
        return self.test.required if self.test and not self.matches else 0


@dataclasses.dataclass(frozen=True, slots=True)
class Numbers(Generic[_Shape]):
    """A ruleset as it was read, taken apart into what changes with each packet and what does not.

    Attributes:
        shape: What was read, without counters; as long as it is the same, so are the rules and the order of
            their counters.
        packets: Of each counter in the order of what was read.
        bytes: Likewise.
    """

    shape: _Shape
    packets: Counts
    bytes: Counts


@dataclasses.dataclass(frozen=True, slots=True)
class Ruleset:
    """The rules of one dump.

    Attributes:
        hooks: (table, chain) of each base chain → its hook in lower case, such as ``forward``.
        unreadable: Rules that could not be understood and are left out.
    """

    rules: tuple[Rule, ...] = ()
    hooks: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    unreadable: int = 0

    def chains(self) -> dict[tuple[str, str], list[Rule]]:
        """The rules of each chain in order, by table and chain; chains without rules are not there."""
        found: dict[tuple[str, str], list[Rule]] = {}
        for rule in self.rules:
            found.setdefault((rule.table, rule.chain), []).append(rule)
        return found


Chains = Mapping[tuple[str, str], Sequence[Rule]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The one chain rule whose counter is the counter of a policy rule.

    Attributes:
        exact: Whether ``hit.rule`` is known to be right. If not, it is the place among the rules that the
            chain has, or ``policyhit.NO_RULE`` where even that would contradict what is known.
        group: NFLOG group that its packets are logged to, or ``NO_GROUP``.
    """

    rule: Rule
    hit: policyhit.PolicyHit
    exact: bool
    group: int = NO_GROUP


def whole(digits: Sequence[str]) -> Counts:
    """Decimal numbers as an array.

    Raises:
        ValueError: If one has more than the kernel's 64 bits.
    """
    try:
        return np.fromiter(map(int, digits), np.uint64, len(digits))
    except OverflowError as error:
        raise ValueError("no counter can have counted so far") from error


def bits(masks: Iterable[int]) -> int:
    """All bits that are in any of these."""
    return functools.reduce(operator.or_, masks, 0)


def mark_change(keep: int, flip: int) -> tuple[int, int]:
    """The bits that ``mark = mark & keep ^ flip`` sets and those that it clears, whatever they were."""
    fixed = ~keep & MARK_BITS
    return fixed & flip, fixed & ~flip & MARK_BITS
