"""Which grammars are asked what a logged packet's prefix means."""

from __future__ import annotations

from collections.abc import Iterable

from model import enums, prefixgrammar


def chosen(names: Iterable[str], pattern: str) -> tuple[prefixgrammar.Grammar, ...]:
    """A user's own pattern, if there is one, and then those of known dataplanes.

    A prefix that the pattern matches without an action is a denial: what rules log is what they drop.

    Raises:
        SetupError: If there is no grammar of a name, or the pattern is wrong.
    """
    known = prefixgrammar.choose(names)
    if not pattern:
        return known
    from model import prefixpattern  # and Arrow's functions, which take 10 MB

    return prefixpattern.compile_pattern(pattern, default_action=enums.Action.DENY), *known
