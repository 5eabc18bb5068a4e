"""How complete an answer is: what the record of its span lacks, where, and in words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence

import pyarrow as pa

_KEY = b"flowledger.completeness"
_NAMED = 3
"""How many places a sentence names."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one source on one node lacks.

    Attributes:
        node: Which node; empty for the ledger itself.
        source: What reported it.
        lost: Events that the kernel could not hand over.
        discarded: Events or rows that we shed.
        note: What the source said about it, if it did.
    """

    node: str
    source: str
    lost: int
    discarded: int
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """How complete the record of a span is, over all nodes: what is lost has no columns to filter by.

    Attributes:
        observed: Events that were recorded; 0 where nobody has reported.
        missing: Events that were not, as far as nothing else made up for them.
        lost: Events that the kernel could not hand over.
        discarded: Events or rows that we shed.
        losses: Where, the greatest first; perhaps not all.
    """

    observed: int = 0
    missing: int = 0
    lost: int = 0
    discarded: int = 0
    losses: Sequence[Loss] = ()

    @property
    def share(self) -> float:
        """The share of what happened that is recorded, from 0 to 1; 1 where nobody has reported."""
        all_of_it = self.observed + self.missing
        return self.observed / all_of_it if all_of_it else 1.0

    def __str__(self) -> str:
        """``99.98 % complete: 214 events lost on node-7``."""
        if not (self.observed or self.missing or self.lost or self.discarded):
            return "no report of how complete it is"
        lost = _places(self.losses, lambda loss: loss.lost)
        shed = _places(self.losses, lambda loss: loss.discarded)
        parts = [
            f"{_counted(self.lost, 'event')} lost{lost}" if self.lost else "",
            f"{self.discarded:,} discarded{shed}" if self.discarded else "",
        ]
        said = ", ".join(part for part in parts if part) or "nothing lost, nothing discarded"
        return f"{percentage(self.share)} complete: {said}"


def percentage(share: float) -> str:
    """A share of 1, rounded down: ``100 %`` means that nothing at all is missing."""
    return "100 %" if share >= 1 else f"{math.floor(share * 10_000) / 100:.2f} %"


def attach(table: pa.Table, complete: Completeness) -> pa.Table:
    """An answer that carries its completeness in the metadata of its schema, into files too."""
    said = json.dumps(dataclasses.asdict(complete)).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: said})


def attached(table: pa.Table) -> Completeness | None:
    """What `attach` gave an answer to carry; None if it carries nothing."""
    said = (table.schema.metadata or {}).get(_KEY)
    if said is None:
        return None
    found = json.loads(said)
    losses = tuple(Loss(**loss) for loss in found.pop("losses"))
    return Completeness(**found, losses=losses)


def _places(losses: Sequence[Loss], count: Callable[[Loss], int]) -> str:
    """Where it happened, the worst places first."""
    by_place: dict[str, int] = {}
    for loss in losses:
        by_place[_place(loss)] = by_place.get(_place(loss), 0) + count(loss)
    worst = sorted(
        (place for place, number in by_place.items() if number), key=lambda place: -by_place[place]
    )
    if not worst:
        return ""
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    return f" {', '.join(worst[:_NAMED])}{more}"


def _place(loss: Loss) -> str:
    return f"on {loss.node}" if loss.node else f"by {loss.source}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
