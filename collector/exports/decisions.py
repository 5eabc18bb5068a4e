"""What the policy hits that an export names come to, as columns of the flow record."""

from __future__ import annotations

import functools

from collector import traces
from model import enums, policyhit


@functools.lru_cache(65_536)
def trace(hits: tuple[policyhit.PolicyHit, ...]) -> traces.Trace:
    """The trace of hits in the order of the path; an export has few different ones."""
    return traces.summarise(hits)


def columns(hits: tuple[policyhit.PolicyHit, ...], by: enums.Attribution) -> dict[str, str]:
    """The columns that hits make.

    Args:
        hits: Egress before ingress.
        by: How they are known, if there are any.
    """
    found = trace(hits)
    return {
        "policy_trace": found.text, "egress_action": found.egress_action,
        "ingress_action": found.ingress_action, "deciding_rule": found.deciding_rule,
        "attribution": (by if hits else enums.Attribution.NONE).value,
    }  # fmt: skip
