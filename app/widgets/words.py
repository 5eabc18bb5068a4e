"""The ledger's words as sentences."""

from __future__ import annotations

from model import enums, policyhit

NO_RULE = "no rule is known"

_ATTRIBUTIONS = {
    enums.Attribution.FELIX.value: "told by Calico",
    enums.Attribution.NFLOG.value: "logged by the rule itself",
    enums.Attribution.EVALUATED.value: "told by the policies, as no rule has logged it",
    enums.Attribution.IMPORTED.value: "told by whoever exported the record",
    enums.Attribution.PROBE.value: "not known: packets came in and did not go on",
    enums.Attribution.NONE.value: "not known: nothing polices it here, or the log was lost",
}
_REPORTERS = {
    enums.Reporter.SRC.value: "the source's node",
    enums.Reporter.DST.value: "the destination's node",
    enums.Reporter.BOTH.value: "the node of both ends",
    enums.Reporter.NONE.value: "a node on the way",
}
_KINDS = {
    enums.EndpointKind.POD.value: "pod",
    enums.EndpointKind.NODE.value: "node",
    enums.EndpointKind.HOST_ENDPOINT.value: "host endpoint",
    enums.EndpointKind.NETWORK_SET.value: "network set",
    enums.EndpointKind.PRIVATE.value: "private address nobody claims",
    enums.EndpointKind.PUBLIC.value: "public address",
    enums.EndpointKind.AMBIGUOUS.value: "ambiguous: two claim this address",
}
_VERDICTS = {
    enums.Verdict.ALLOWED.value: "It was answered, or let in by policy.",
    enums.Verdict.DENIED.value: "A policy on this node dropped it.",
    enums.Verdict.UNKNOWN.value: "It left this node and nobody answered.",
}
_TITLES = {enums.Verdict.UNKNOWN.value: "unanswered"}
_SIDES = {
    enums.Direction.INGRESS.value: "the destination's policy",
    enums.Direction.EGRESS.value: "the source's policy",
}


def rule(text: str) -> str:
    """The hit in a ``deciding_rule`` column, in words."""
    if not text:
        return NO_RULE
    try:
        return policyhit.parse(text).describe()
    except ValueError:
        # From a newer collector, perhaps: its own text says more than nothing.
        return text


def trace(text: str) -> list[tuple[str, str]]:
    """Action and rule in words of each hit of a ``policy_trace`` column, in order."""
    return [(_action(hit), rule(hit)) for hit in text.split()]


def pending(text: str) -> list[tuple[str, str]]:
    """Tier with action, and rule in words, of each hit of a ``pending_trace`` column, in order."""
    return [(_step(hit), rule(hit)) for hit in text.split()]


def change(verdict: str, pending: str) -> str:
    """What the staged policies would change about a verdict, as a clause; empty where they would not."""
    denied = enums.Verdict.DENIED.value
    if pending == denied != verdict or (pending == enums.Verdict.ALLOWED.value and verdict == denied):
        return f"would be {pending}"
    return ""


def attribution(word: str) -> str:
    """How the deciding rule is known."""
    return _ATTRIBUTIONS.get(word, word)


def reporter(word: str) -> str:
    """Which node told us."""
    return _REPORTERS.get(word, word)


def kind(word: str) -> str:
    """What an address stood for."""
    return _KINDS.get(word, word)


def title(word: str) -> str:
    """A verdict as one word of its own, for people who have not read what `unknown` stands for."""
    return _TITLES.get(word, word)


def verdict(word: str) -> str:
    """What a verdict means."""
    return _VERDICTS.get(word, word)


def direction(word: str) -> str:
    """Whose policy decided."""
    return _SIDES.get(word, "no policy decided")


def _step(hit: str) -> str:
    try:
        found = policyhit.parse(hit)
    except ValueError:
        return ""
    tier = "profiles" if found.tier == policyhit.PROFILE_TIER else found.tier or "no tier"
    return f"{tier}: {found.action}"


def _action(hit: str) -> str:
    try:
        return policyhit.parse(hit).action.value
    except ValueError:
        return ""
