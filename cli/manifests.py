"""Suggested policies as manifests: YAML that may be applied as it is, with what each rule rests on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import yaml

from cli import moments, output
from model import enums, errors, manifest
from policy import drafting, evidence, record, suggest

_WIDTH = 108
_DNS = 53
_NAMED = 3
"""Of how many prefixes a comment names each."""
_INGRESS = enums.Direction.INGRESS


def text(made: suggest.Suggested, seen: record.Record, notes: Iterable[str] = ()) -> str:
    """A policy with comments: about each new rule, by whom and how often what it allows was used.

    Args:
        made: The policy.
        seen: The record that it was made of.
        notes: What else there is to say of it, in sentences.
    """
    head, lists = _split(made.body)
    lines = [*comments([*_about(made), *notes]), manifest.text(head).rstrip()]
    for direction in enums.Direction:
        rules = lists.get(str(direction))
        if rules is None:
            continue
        nothing = "  # nothing was seen that is to be allowed" if direction in made.rules else ""
        lines.append(f"  {direction}:" if rules else f"  {direction}: []{nothing}")
        new = made.rules.get(direction, ())
        by_udp = _by_udp_alone(new, seen)
        for i, body in enumerate(rules, start=len(new) - len(rules)):
            if i < 0:
                lines.append(textwrap.indent(_item(body), "  "))
            else:
                lines += _rule(new[i], body, direction, seen, by_udp)
    return "\n".join(lines) + "\n"


def require_same(printed: str, made: Sequence[suggest.Suggested]) -> None:
    """Make sure that a file holds the policies that were proved, and nothing else.

    Raises:
        ManifestError: If it does not, which is a mistake of ours.
    """
    try:
        read: object = manifest.bodies(printed)
    except (yaml.YAMLError, ValueError) as error:
        read = error
    if read != [one.body for one in made]:
        reason = "what would be printed is not what was proved; nothing is printed: please report this"
        raise errors.ManifestError("the suggestion", 1, "", reason)


def _split(body: suggest.Body) -> tuple[suggest.Body, Mapping[str, Sequence[suggest.Body]]]:
    """A manifest without its rules, and these."""
    spec = body["spec"]
    assert isinstance(spec, dict)  # noqa: S101  # it was made as a policy
    lists = {str(way): spec[way] for way in enums.Direction if spec.get(way) is not None}
    return {**body, "spec": {name: spec[name] for name in spec if name not in lists}}, lists


def _item(body: suggest.Body) -> str:
    """An item of a list."""
    lines = manifest.text(body).rstrip().splitlines()
    return "\n".join([f"- {lines[0]}", *(f"  {line}" for line in lines[1:])])


def _about(made: suggest.Suggested) -> Iterator[str]:
    if made.before is not None:
        yield "Changed: the rules without a comment were there."
    if made.group.warning:
        yield f"Warning: {made.group.warning}."


def _rule(
    rule: drafting.Rule, body: suggest.Body, direction: enums.Direction, seen: record.Record,
    by_udp: frozenset[str],
) -> Iterator[str]:  # fmt: skip
    """A new rule; what it rests on stands before it, and of several peers before each of them."""
    if any(str(part.peer) in by_udp for part in rule.parts):
        yield from comments(
            ["DNS by UDP alone was seen; answers that do not fit into a packet come by TCP."], 2
        )
    told = [list(_evidence(part, direction, seen)) for part in rule.parts]
    name = "from" if direction is _INGRESS else "to"
    peers = body.get(name)
    if len(rule.parts) == 1 or not isinstance(peers, list):
        yield from comments((sentence for some in told for sentence in some), 2)
        yield textwrap.indent(_item(body), "  ")
        return
    yield f"  - {name}:"
    for part, some in zip(rule.parts, told, strict=True):
        count = len(part.peer.networks) or 1
        yield from comments(some, 4)
        for peer in peers[:count]:
            yield textwrap.indent(_item(peer), "    ")
        peers = peers[count:]
    rest = {key: value for key, value in body.items() if key != name}
    yield textwrap.indent(manifest.text(rest).rstrip(), "    ")


def _by_udp_alone(rules: Iterable[drafting.Rule], seen: record.Record) -> frozenset[str]:
    """The peers that ask for names, or are asked, by UDP alone."""
    protocols: dict[str, set[int]] = {}
    for part in (part for rule in rules for part in rule.parts):
        edges = np.array(part.edges, np.int64)
        asked = seen.protocol[edges[seen.port[edges] == _DNS]]
        protocols.setdefault(str(part.peer), set()).update(asked.tolist())
    return frozenset(peer for peer, found in protocols.items() if found == {enums.Protocol.UDP})


def _evidence(part: drafting.Part, direction: enums.Direction, seen: record.Record) -> Iterator[str]:
    found = evidence.evidence(seen, part, far(seen, direction))
    yield f"{_name(part.peer)}: {sentence(found, direction)}"
    yield f"  confidence {found.confidence}: {found.because}"
    if part.peer.group and part.peer.group.warning:
        yield f"Warning: {part.peer.group.warning}."


def _name(peer: drafting.Peer) -> str:
    """What people call a peer; the prefixes of many stand below."""
    if peer.group or peer.network_set:
        return str(peer)
    if len(peer.networks) > _NAMED:
        return f"{len(peer.networks):,} prefixes"
    return ", ".join(
        str(net.network_address if net.prefixlen == net.max_prefixlen else net) for net in peer.networks
    )


def far(seen: record.Record, direction: enums.Direction) -> record.Codes:
    """The ends that rules of a direction call peers."""
    return seen.src if direction is _INGRESS else seen.dst


def sentence(one: evidence.Evidence, direction: enums.Direction) -> str:
    """What a peer of a rule rests on."""
    way = "from" if direction is _INGRESS else "to"
    pods = f" {way} {evidence.counted(one.pods, 'pod')}" if one.pods else ""
    times = f"in {evidence.counted(one.hours, 'hour')}" + (f" on {one.days:,} days" if one.days > 1 else "")
    known = ", ".join(word for word, _ in one.attribution if word not in ("", "none"))
    by = f", known by {known}" if known else ""
    connections, seen = evidence.counted(one.connections, "connection"), moments.between(one.first, one.last)
    return f"{connections}{pods} {times}, {seen} UTC{by}"


def comments(sentences: Iterable[str], indent: int = 0) -> Iterator[str]:
    """Sentences as lines of comments, each a paragraph.

    YAML ends a comment at more characters than `textwrap` folds, and names may have any of them.
    """
    start = " " * indent + "# "
    for one in sentences:
        first = start + " " * (len(one) - len(one.lstrip(" ")))
        yield from textwrap.wrap(
            output.printable(one), _WIDTH, initial_indent=first, subsequent_indent=start + "  ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
