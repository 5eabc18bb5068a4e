"""Suggested policies as manifests: YAML that may be applied as it is, with what each rule rests on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from cli import moments
from model import enums, manifest
from policy import drafting, evidence, record, suggest

_WIDTH = 108
_DNS = 53


def text(made: suggest.Suggested, seen: record.Record) -> str:
    """A policy with comments: about each new rule, by whom and how often what it allows was used."""
    head, lists = _split(made.body)
    lines = [*_comments(_about(made), 0), manifest.text(head).rstrip()]
    for direction in enums.Direction:
        rules = lists.get(str(direction))
        if rules is None:
            continue
        lines.append(f"  {direction}:" if rules else f"  {direction}: []  # nothing was seen")
        new = made.rules.get(direction, ())
        for i, body in enumerate(rules, start=len(new) - len(rules)):
            if i >= 0:
                lines += _comments(_evidence(new[i], direction, seen), 2)
            lines.append(textwrap.indent(_item(body), "  "))
    return "\n".join(lines) + "\n"


def _split(body: suggest.Body) -> tuple[suggest.Body, Mapping[str, Sequence[suggest.Body]]]:
    """A manifest without its rules, and these."""
    spec = body["spec"]
    assert isinstance(spec, dict)  # noqa: S101  # it was made as a policy
    ways = [str(one) for one in enums.Direction]
    rest = {name: value for name, value in spec.items() if name not in ways}
    return {**body, "spec": rest}, {name: spec[name] or [] for name in ways if name in spec}


def _item(body: suggest.Body) -> str:
    """An item of a list."""
    lines = manifest.text(body).rstrip().splitlines()
    return "\n".join([f"- {lines[0]}", *(f"  {line}" for line in lines[1:])])


def _about(made: suggest.Suggested) -> Iterator[str]:
    if made.before is not None:
        yield "Changed: the rules without a comment were there."
    if made.group.warning:
        yield f"Warning: {made.group.warning}."


def _evidence(rule: drafting.Rule, direction: enums.Direction, seen: record.Record) -> Iterator[str]:
    for part in rule.parts:
        yield f"{part.peer}: {sentence(evidence.evidence(seen, part, far(seen, direction)))}"
        if part.peer.group and part.peer.group.warning:
            yield f"Warning: {part.peer.group.warning}."
    if {port.protocol for port in rule.ports if _DNS in (port.first, port.last)} == {enums.Protocol.UDP}:
        yield "DNS by UDP alone was seen; answers that do not fit into a packet come by TCP."


def far(seen: record.Record, direction: enums.Direction) -> record.Codes:
    """The ends that rules of a direction call peers."""
    return seen.src if direction is enums.Direction.INGRESS else seen.dst


def sentence(one: evidence.Evidence) -> str:
    """What a peer of a rule rests on."""
    pods = f" of {_count(one.pods, 'pod')}" if one.pods else ""
    times = f"in {_count(one.hours, 'hour')} of {_count(one.days, 'day')}"
    known = ", ".join(word for word, _ in one.attribution if word not in ("", "none"))
    by = f", known by {known}" if known else ""
    return (
        f"{_count(one.connections, 'connection')}{pods}, {times}, {moments.between(one.first, one.last)} "
        f"UTC{by}; confidence {one.confidence}: {one.because}"
    )


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' if number != 1 else ''}"


def _comments(sentences: Iterator[str], indent: int) -> Iterator[str]:
    start = " " * indent + "# "
    for one in sentences:
        yield from textwrap.wrap(
            one, _WIDTH, initial_indent=start, subsequent_indent=start + "  ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
