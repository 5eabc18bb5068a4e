"""Which policy hit each counted rule stands for, whoever made the ruleset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from collector.counters import calico, foreign, kuberouter, rules
from model import chainnames, policyhit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the policies that rulesets are made from.

    Attributes:
        prefixes: NFLOG prefix → hit.
        chains: Name of a chain of Calico's, without layer → its owner.
    """

    prefixes: Mapping[str, policyhit.PolicyHit] = dataclasses.field(default_factory=dict)
    chains: Mapping[str, chainnames.Owner] = dataclasses.field(default_factory=dict)


def attribute(ruleset: rules.Ruleset, known: Known) -> list[rules.Counted]:
    """The counted rules of all policies in a ruleset.

    Each packet that a policy rule matched is in one of them, however many chain rules it takes to mark it,
    log it and let it go.
    """
    chains = ruleset.chains()
    found = calico.attribute(chains, known.prefixes, known.chains)
    found += kuberouter.attribute(chains)
    found += foreign.attribute(chains, ruleset.hooks, known.prefixes)
    return [counted for counted in found if counted.rule.counter != rules.NO_COUNTER]
