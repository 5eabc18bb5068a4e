"""A suggestion of policies as people and programs get it: manifests, a report, JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import rich.box
import rich.console
import rich.table
import rich.text

from cli import manifests, moments, previewing, recording
from model import enums
from policy import acceptance, edits, evidence, proof, record, suggest

_EXAMPLES = 3
"""How many of what was left out for one reason a terminal names."""
_REFUSED = 20
"""How many refusals a terminal shows, and how many nodes are named."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A suggestion with all that is said of it.

    Attributes:
        recorded: What it was learned from.
        made: The suggestion.
        proof: The proof.
        unseen: What the record cannot have shown.
    """

    recorded: recording.Recorded
    made: suggest.Suggestion
    proof: proof.Proof
    unseen: tuple[str, ...]


def _head(result: Result) -> str:
    lines = [
        f"Made by flowledger of what is {result.recorded.sentence()}.",
        f"Reported by {', '.join(result.recorded.nodes)}." if len(result.recorded.nodes) <= _REFUSED
        else f"Reported by {len(result.recorded.nodes)} nodes.",
        *result.unseen,
    ]  # fmt: skip
    return "".join(f"# {line}\n" for line in lines)


def yaml(result: Result) -> str:
    """The policies as one file, with what they rest on."""
    texts = [manifests.text(one, result.recorded.record) for one in result.made.policies]
    return "---\n".join(
        [_head(result) + (texts[0] if texts else "# Nothing is to be changed.\n"), *texts[1:]]
    )


def diffs(result: Result) -> str:
    """How ``diff -u`` would show the changes."""
    return "".join(f"{edits.diff(one.before, one.body)}\n" for one in result.made.policies)


def show(screen: rich.console.Console, result: Result) -> None:
    """The report: what is suggested and not, what was left out, and the proof."""
    made, recorded = result.made, result.recorded
    screen.print(rich.text.Text(f"{recorded.sentence()}", style="dim"))
    for line in result.unseen:
        screen.print(rich.text.Text(line, style="yellow"))
    new = sum(one.before is None for one in made.policies)
    count = len(made.policies)
    screen.print(rich.text.Text(
        f"{count:,} polic{'y' if count == 1 else 'ies'} suggested: {new:,} new, {count - new:,} changed"
        if count else "nothing is to be changed", style="bold",
    ))  # fmt: skip
    if count:
        screen.print(_policies(result))
    if made.refusals:
        screen.print(_refusals(made.refusals))
    left = _left_out(result)
    if left.row_count:
        screen.print(left)
    for line, style in _proved(result):
        screen.print(rich.text.Text(line, style=style))


def _policies(result: Result) -> rich.table.Table:
    table = _table("policy", "pods by", "ingress", "egress", "rests on")
    seen = result.recorded.record
    for one in result.made.policies:
        labels = ", ".join(f"{name}={value}" for name, value in one.group.labels)
        ways = [_way(one, direction) for direction in (enums.Direction.INGRESS, enums.Direction.EGRESS)]
        table.add_row(*(rich.text.Text(cell) for cell in (
            _name(one), labels + (" (!)" if one.group.warning else ""), *ways, _rests(one, seen)
        )))  # fmt: skip
    return table


def _name(one: suggest.Suggested) -> str:
    metadata = one.body["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101  # it was made as a policy
    return f"{one.body['kind']} {metadata['namespace']}/{metadata['name']}"


def _way(one: suggest.Suggested, direction: enums.Direction) -> str:
    rules = one.rules.get(direction)
    if rules is None:
        return ""
    count = f"{len(rules)} rule{'s' if len(rules) != 1 else ''}"
    return count if direction in one.decides else f"{count} more"


def _rests(one: suggest.Suggested, seen: record.Record) -> str:
    """How sure its rules are."""
    found: dict[str, int] = {}
    for found_one in _evidences(one, seen):
        found[found_one.confidence] = found.get(found_one.confidence, 0) + 1
    return ", ".join(f"{found[word]} {word}" for word in evidence.Confidence if word in found)


def _evidences(one: suggest.Suggested, seen: record.Record) -> Iterator[evidence.Evidence]:
    for direction, rules in one.rules.items():
        for rule in rules:
            for part in rule.parts:
                yield evidence.evidence(seen, part, manifests.far(seen, direction))


def _refusals(refusals: Sequence[suggest.Refusal]) -> rich.table.Table:
    table = _table("nothing suggested for", "because")
    for one in refusals[:_REFUSED]:
        way = f", {one.direction}" if one.direction else ""
        table.add_row(rich.text.Text(f"{one.group}{way}"), rich.text.Text(one.reason))
    if len(refusals) > _REFUSED:
        table.add_row(
            rich.text.Text(f"and {len(refusals) - _REFUSED:,} more"), rich.text.Text("-o json lists all")
        )
    return table


def _reasons(result: Result) -> Mapping[acceptance.Reason, np.ndarray]:
    """The edges that were left out, by the reason."""
    accepted = result.made.accepted
    found = {
        reason: np.flatnonzero(accepted.relevant & (accepted.reasons == np.array(reason, object)))
        for reason in acceptance.Reason
    }
    return {reason: rows for reason, rows in found.items() if len(rows)}


def _left_out(result: Result) -> rich.table.Table:
    table = _table("left out", "connections", "edges", "because", "such as")
    seen = result.recorded.record
    for reason, rows in _reasons(result).items():
        most = rows[np.argsort(-seen.connections[rows], kind="stable")]
        names = dict.fromkeys(_edge(seen, row) for row in most.tolist())
        shown = "; ".join(list(names)[:_EXAMPLES]) + (" …" if len(names) > _EXAMPLES else "")
        table.add_row(*(rich.text.Text(cell) for cell in (
            str(reason), f"{int(seen.connections[rows].sum()):,}", f"{len(rows):,}",
            acceptance.ABOUT[reason], shown,
        )))  # fmt: skip
    if result.recorded.own_node:
        table.add_row(*(rich.text.Text(cell) for cell in (
            "own node", f"{result.recorded.own_node:,}", "",
            "from a node to its own pods, as kubelet's probes: policies cannot keep it out", "",
        )))  # fmt: skip
    return table


def _edge(seen: record.Record, row: int) -> str:
    port = previewing.port(int(seen.protocol[row]), int(seen.port[row]), int(seen.icmp_type[row]))
    return f"{seen.name(int(seen.src[row]))} to {seen.name(int(seen.dst[row]))} {port}"


def _proved(result: Result) -> Iterator[tuple[str, str]]:
    """What the proof says, line by line, each with its style."""
    one, seen = result.proof, result.recorded.record
    edges, count = f"{one.edges:,} accepted edges", f"{one.connections:,} connections"
    if one.holds:
        yield f"proof: all {edges}, {count}, stay allowed", "bold green"
    else:
        yield f"the proof fails: {_some(seen, one.lost)} would be denied", "bold red"
    if one.denied_already:
        yield f"denied as things are, and still then: {_some(seen, one.denied_already)}", "yellow"
    if one.left_out:
        yield f"of what was left out would newly be denied: {_some(seen, one.left_out)}", ""
    yield (
        f"pairs of workloads that can reach each other at a port that is served: {one.pairs_before:,} now, "
        f"{one.pairs_after:,} then, {one.pairs_used:,} of them used"
    ), ""  # fmt: skip


def _some(seen: record.Record, rows: Sequence[int]) -> str:
    """Edges: how many, with how many connections, and a few of them."""
    count, names = int(seen.connections[list(rows)].sum()), dict.fromkeys(_edge(seen, row) for row in rows)
    shown = "; ".join(list(names)[:_EXAMPLES]) + (" …" if len(names) > _EXAMPLES else "")
    return f"{len(rows):,} edges with {count:,} connections, such as {shown}"


def _table(*names: str) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        right = name in ("connections", "edges")
        table.add_column(name, overflow="fold", justify="right" if right else "left", no_wrap=right)
    return table


def plain(result: Result) -> dict[str, Any]:
    """All of it, for programs."""
    seen, made = result.recorded.record, result.made
    return {
        "record": result.recorded.sentence(), "unseen": list(result.unseen),
        "policies": [_policy(one, seen) for one in made.policies],
        "refusals": [
            {"group": str(one.group), "direction": str(one.direction or ""), "reason": one.reason}
            for one in made.refusals
        ],
        "left_out": [
            {"reason": str(reason), "about": acceptance.ABOUT[reason],
             "connections": int(seen.connections[rows].sum()),
             "edges": [
                 {"edge": _edge(seen, row), "connections": int(seen.connections[row])}
                 for row in rows.tolist()
             ]}
            for reason, rows in _reasons(result).items()
        ],
        "own_node": result.recorded.own_node,
        "proof": {
            "holds": result.proof.holds, "edges": result.proof.edges, "connections": result.proof.connections,
            "lost": [_edge(seen, row) for row in result.proof.lost],
            "denied_already": [_edge(seen, row) for row in result.proof.denied_already],
            "left_out_and_denied": [_edge(seen, row) for row in result.proof.left_out],
            "pairs_before": result.proof.pairs_before, "pairs_after": result.proof.pairs_after,
            "pairs_used": result.proof.pairs_used,
        },
    }  # fmt: skip


def _policy(one: suggest.Suggested, seen: record.Record) -> dict[str, Any]:
    rules = [
        {
            "direction": str(direction), "peer": str(part.peer), "note": part.peer.note,
            "ports": [dataclasses.asdict(port) for port in rule.ports],
            **_told(evidence.evidence(seen, part, manifests.far(seen, direction))),
        }
        for direction, some in one.rules.items() for rule in some for part in rule.parts
    ]  # fmt: skip
    return {
        "group": str(one.group), "workloads": list(map(str, one.group.workloads)),
        "warning": one.group.warning, "new": one.before is None, "decides": list(map(str, one.decides)),
        "manifest": one.body, "rules": rules,
    }  # fmt: skip


def _told(one: evidence.Evidence) -> dict[str, Any]:
    return {
        "connections": one.connections, "pods": one.pods, "days": one.days, "hours": one.hours,
        "first_seen": moments.moment(one.first), "last_seen": moments.moment(one.last),
        "attribution": dict(one.attribution), "confidence": str(one.confidence), "because": one.because,
    }  # fmt: skip
