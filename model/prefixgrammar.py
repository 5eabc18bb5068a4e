"""The grammars of NFLOG prefixes: how the rules of each dataplane say what they are.

A grammar declines a prefix that is not its own, and the next one is asked. Each distinct prefix is parsed
once, so nothing here has to be fast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from model import errors, kuberouter, policyhit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """One way to read prefixes.

    Attributes:
        name: What a setting calls it.
        parse: The hit that a prefix stands for; None if the prefix is of another grammar. Never raises.
        sampled: Whether its rules are rate limited, so that what they log is a sample: counts are too low,
            and a denied attempt may be missing altogether.
        directed: Whether its prefixes tell ingress from egress; where they do not, hits have
            ``policyhit.UNTOLD_DIRECTION``.
    """

    name: str
    parse: Callable[[str], policyhit.PolicyHit | None]
    sampled: bool = False
    directed: bool = True


GRAMMARS = {
    grammar.name: grammar
    for grammar in (
        Grammar(name="calico", parse=policyhit.parse_prefix),
        Grammar(name="kube-router", parse=kuberouter.parse_prefix, sampled=True, directed=False),
    )
}
"""Name → grammar, of the dataplanes that are known. ``kube-router`` reads a message without prefix as a
denial, so it is for groups that nothing else logs to."""


def choose(names: Iterable[str]) -> tuple[Grammar, ...]:
    """Grammars by name, in this order.

    Raises:
        SetupError: If there is none of a name.
    """
    chosen = tuple(names)
    for name in chosen:
        if name not in GRAMMARS:
            raise errors.SetupError(f"there is no NFLOG grammar {name!r}; there are {', '.join(GRAMMARS)}")
    return tuple(GRAMMARS[name] for name in chosen)


def parse_prefix(prefix: str, grammars: Iterable[Grammar]) -> policyhit.PolicyHit | None:
    """What a prefix says in the first of these grammars that it belongs to; None if it is in none.

    Never raises, whatever the text is.
    """
    return next((hit for grammar in grammars if (hit := grammar.parse(prefix)) is not None), None)
