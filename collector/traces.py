"""Policy traces as numbers: the few ways through the policies that so many packets take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import columns, enums, policyhit, prefixgrammar

Codes = npt.NDArray[np.int32]
NO_HIT = -1


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """What one ordered list of policy hits comes to."""

    text: str = ""
    egress_action: str = ""
    ingress_action: str = ""
    deciding_rule: str = ""
    attribution: str = enums.Attribution.NONE.value
    pending_verdict: str = ""
    pending_trace: str = ""


def summarise(hits: Sequence[policyhit.PolicyHit], pending: Sequence[policyhit.PolicyHit] = ()) -> Trace:
    """The trace of hits in the order in which the packet met them: egress first, then ingress.

    Args:
        hits: What it met.
        pending: What it would have met with staged policies in force; said only where that is not the same.
    """
    decisions = [hit for hit in hits if hit.action != enums.Action.PASS]
    by_direction = {hit.direction: hit.action.value for hit in decisions}
    said = pending if list(pending) != list(hits) else ()
    return Trace(
        pending_verdict=_verdict(said),
        pending_trace=_text(said),
        text=_text(hits),
        egress_action=by_direction.get(enums.Direction.EGRESS, ""),
        ingress_action=by_direction.get(enums.Direction.INGRESS, ""),
        deciding_rule=decisions[-1].render() if decisions else "",
        attribution=enums.Attribution.NFLOG.value if hits else enums.Attribution.NONE.value,
    )


def _text(hits: Sequence[policyhit.PolicyHit]) -> str:
    return " ".join(hit.render() for hit in hits)


def _verdict(hits: Sequence[policyhit.PolicyHit]) -> str:
    """What hits come to: on each side the last allow or deny, and both have to allow; empty without any."""
    decided = {hit.direction: hit.action for hit in hits if hit.action != enums.Action.PASS}
    if enums.Action.DENY in decided.values():
        return enums.Verdict.DENIED.value
    return enums.Verdict.ALLOWED.value if decided else ""


class Traces:
    """Codes for prefixes and for traces; both sets are as small as the rulesets that made them.

    Args:
        known: NFLOG prefix → its hit, for all policies that are known.
        grammars: How what is not in it is read.
    """

    def __init__(
        self,
        known: Mapping[str, policyhit.PolicyHit],
        grammars: Sequence[prefixgrammar.Grammar] = (prefixgrammar.GRAMMARS["calico"],),
    ) -> None:
        self._known = known
        self._grammars = grammars
        self._hits: list[policyhit.PolicyHit] = []
        self._places: dict[policyhit.PolicyHit, int] = {}
        """Where a hit is in the list: the same one, read from another table, has the same code."""
        self._hit_codes: dict[str, int] = {}
        self._traces: list[Trace] = [Trace()]
        self._trace_codes: dict[tuple[int, ...], int] = {(): 0}

    def learn(self, known: Mapping[str, policyhit.PolicyHit]) -> None:
        """Use another table of known prefixes for what comes from now on."""
        if known != self._known:
            self._known = known
            self._hit_codes.clear()

    def hits(self, prefixes: Sequence[str]) -> list[policyhit.PolicyHit | None]:
        """Each prefix's hit; None for a prefix that is no policy's."""
        codes = self.hit_codes(prefixes).tolist()
        return [self._hits[code] if code != NO_HIT else None for code in codes]

    def hit_codes(self, prefixes: Sequence[str]) -> Codes:
        """The code of each prefix's hit; ``NO_HIT`` for a prefix that is no policy's."""
        return np.array([self._hit_code(prefix) for prefix in prefixes], np.int32)

    def _hit_code(self, prefix: str) -> int:
        if prefix not in self._hit_codes:
            hit = self._known.get(prefix) or prefixgrammar.parse_prefix(prefix, self._grammars)
            if hit is None:
                self._hit_codes[prefix] = NO_HIT
            else:
                self._hit_codes[prefix] = self._place(hit)
        return self._hit_codes[prefix]

    def _place(self, hit: policyhit.PolicyHit) -> int:
        if hit not in self._places:
            self._places[hit] = len(self._hits)
            self._hits.append(hit)
        return self._places[hit]

    def is_deny(self) -> npt.NDArray[np.bool_]:
        """Which hit codes deny, shape (number of hits,)."""
        return np.array([hit.action == enums.Action.DENY for hit in self._hits], bool)

    def is_ingress(self) -> npt.NDArray[np.bool_]:
        """Which hit codes are of ingress policies, shape (number of hits,)."""
        return np.array([hit.direction == enums.Direction.INGRESS for hit in self._hits], bool)

    def code(self, hits: tuple[int, ...]) -> int:
        """The code of a trace, given as hit codes in order."""
        if hits not in self._trace_codes:
            self._trace_codes[hits] = len(self._traces)
            self._traces.append(summarise([self._hits[code] for code in hits]))
        return self._trace_codes[hits]

    def column(self, codes: Codes, attribute: str) -> pa.DictionaryArray[Any, Any]:
        """One attribute of ``Trace`` for each code."""
        return columns.text([getattr(trace, attribute) for trace in self._traces], codes)

    def flags(self, attribute: str, value: str) -> npt.NDArray[np.bool_]:
        """Which trace codes have this value in this attribute, shape (number of traces,)."""
        return np.array([getattr(trace, attribute) == value for trace in self._traces], bool)
