"""A suggestion of policies as people and programs get it: manifests, a report, JSON."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import rich.box
import rich.console
import rich.padding
import rich.table
import rich.text

from cli import edges, manifests, moments, output, recording
from model import enums
from policy import acceptance, edits, evidence, proof, record, suggest
from policy.record import Rows

_SHOWN = 50
"""How many policies a terminal shows."""
_NAMED = 10
"""How many workloads of one refusal, and how many nodes, are named."""

_HELPS = {
    acceptance.Reason.INEXPRESSIBLE: "--kind calico, or --admit inexpressible with every other protocol",
    acceptance.Reason.CROWD: "--prefixes, --widen or --everywhere, or a network set",
}
"""What admits what was left out, where ``--admit`` is not it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """A suggestion with all that is said of it.

    Attributes:
        recorded: What it was learned from.
        made: The suggestion.
        proof: The proof.
        covered: What stretches of time the record has in whole; empty where that is none.
        unseen: What the record cannot have shown.
    """

    recorded: recording.Recorded
    made: suggest.Suggestion
    proof: proof.Proof
    covered: str
    unseen: tuple[str, ...]

    @functools.cached_property
    def edges(self) -> edges.Edges:
        """What there is to say of edges."""
        return edges.Edges(self.recorded.record)

    @functools.cached_property
    def left_out(self) -> Mapping[acceptance.Reason, Rows]:
        """The edges that were left out, by the reason, those with the most connections first."""
        accepted = self.made.accepted
        found = {
            reason: np.flatnonzero(accepted.relevant & (accepted.reasons == np.array(reason, object)))
            for reason in acceptance.Reason
        }
        return {reason: self.edges.ordered(rows) for reason, rows in found.items() if len(rows)}


def yaml(result: Result) -> str:
    """The policies as one file, with what they rest on.

    Raises:
        ManifestError: If the file were not what was proved, which is a mistake of ours.
    """
    seen, left = result.recorded.record, _left_of_policies(result)
    texts = [manifests.text(one, seen, left[i]) for i, one in enumerate(result.made.policies)]
    head = "".join(f"{line}\n" for line in manifests.comments(_head(result)))
    whole = head + "\n" + ("---\n".join(texts) or "# Nothing is to be changed.\n")
    manifests.require_same(whole, result.made.policies)
    return whole


def _head(result: Result) -> Iterator[str]:
    nodes = result.recorded.nodes
    yield f"Suggested by flowledger, from what is {result.recorded.sentence()}."
    if nodes:
        yield f"Reported by {', '.join(nodes) if len(nodes) <= _NAMED else f'{len(nodes):,} nodes'}."
    yield from filter(None, (result.covered, *result.unseen))
    verdict = _verdict(result)[0]
    yield f"{verdict[:1].upper()}{verdict[1:]}."
    counts = [f"{reason} {result.edges.connections(rows):,}" for reason, rows in result.left_out.items()]
    if counts:
        yield f"Connections that were left out: {', '.join(counts)}."


def _left_of_policies(result: Result) -> list[list[str]]:
    """Sentences about what was left out, for each policy about its own pods."""
    seen, policies = result.recorded.record, result.made.policies
    number = {one: i for i, policy in enumerate(policies) for one in policy.group.workloads}
    of = np.array([*(number.get(one.workload, -1) for one in seen.variants), -1], np.int64)
    told: list[list[str]] = [[] for _ in policies]
    for reason, rows in result.left_out.items():
        mine: dict[int, dict[int, None]] = {}
        for ends, direction in ((seen.src, enums.Direction.EGRESS), (seen.dst, enums.Direction.INGRESS)):
            owners = of[np.where(ends[rows] < 0, len(seen.variants), ends[rows])]
            for row, owner in zip(rows.tolist(), owners.tolist(), strict=True):
                if owner >= 0 and direction in policies[owner].rules:
                    mine.setdefault(owner, {})[row] = None
        for owner, some in mine.items():
            told[owner].append(f"Left out ({reason}): {result.edges.some(list(some), 1)}.")
    return told


def diffs(result: Result) -> str:
    """How ``diff -u`` would show the changes."""
    return "".join(f"{edits.diff(one.before, one.body)}\n" for one in result.made.policies)


def show(screen: rich.console.Console, result: Result) -> None:
    """The report: what is suggested and not, what was left out, and the proof."""
    _say(screen, result.recorded.sentence(), "dim")
    if result.covered:
        _say(screen, result.covered, "dim")
    for line in result.unseen:
        _say(screen, line, "yellow")
    _say(screen, _headline(result), "bold")
    if result.made.policies:
        screen.print(_policies(result), soft_wrap=False)
    for group in dict.fromkeys(one.group for one in result.made.policies if one.group.warning):
        _say(screen, f"(!) {group}: {group.warning}", "yellow")
    if result.made.refusals:
        screen.print(_refusals(result.made.refusals), soft_wrap=False)
    left = _left_out(result)
    if left.row_count:
        screen.print(left, soft_wrap=False)
    for line, style in _proved(result):
        _say(screen, line, style)


def _say(screen: rich.console.Console, line: str, style: str) -> None:
    """A sentence, in as many lines as it takes; names from the cluster are text and never markup."""
    screen.print(_text(line, style), soft_wrap=False)


def _text(line: str, style: str = "") -> rich.text.Text:
    """One line; a terminal obeys control characters, so that none may reach it."""
    return rich.text.Text(output.printable(line), style=style)


def _headline(result: Result) -> str:
    made = result.made
    new, count = sum(one.before is None for one in made.policies), len(made.policies)
    said = (
        f"{count:,} polic{'y' if count == 1 else 'ies'} suggested: {new:,} new, {count - new:,} changed"
        if count else "nothing is to be changed"
    )  # fmt: skip
    about = {one.group for one in made.policies} | {one.group for one in made.refusals}
    idle = sum(len(group.workloads) for group in made.groups if group not in about)
    return said + (f"; {idle:,} workload{'s lack' if idle > 1 else ' lacks'} nothing" if idle else "")


def _policies(result: Result) -> rich.table.Table:
    table = _table(_kind(result.made.policies[0].body), "selects", "ingress", "egress", "confidence")
    seen = result.recorded.record
    for one in result.made.policies[:_SHOWN]:
        labels = ", ".join(f"{name}={value}" for name, value in one.group.labels)
        ways = [_way(one, direction) for direction in (enums.Direction.INGRESS, enums.Direction.EGRESS)]
        _row(table, _name(one), labels + (" (!)" if one.group.warning else ""), *ways, _rests(one, seen))
    if len(result.made.policies) > _SHOWN:
        _row(table, f"and {len(result.made.policies) - _SHOWN:,} more", "", "", "", "")
    return table


def _kind(body: suggest.Body) -> str:
    """Calico's and Kubernetes' policies of one name are told apart."""
    word, of = str(body["kind"]), str(body["apiVersion"])
    return f"Calico {word}" if word == "NetworkPolicy" and "projectcalico" in of else word


def _row(table: rich.table.Table, *cells: str) -> None:
    table.add_row(*map(_text, cells))


def _name(one: suggest.Suggested) -> str:
    metadata = one.body["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101  # it was made as a policy
    return f"{metadata['namespace']}/{metadata['name']}"


def _way(one: suggest.Suggested, direction: enums.Direction) -> str:
    rules = one.rules.get(direction)
    if rules is None:
        return ""
    count = evidence.counted(len(rules), "rule") if rules else "nothing"
    return count if direction in one.decides else f"{len(rules):,} more"


def _rests(one: suggest.Suggested, seen: record.Record) -> str:
    """How sure its rules are: of how many peers, in which words."""
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
    """What nothing is suggested for, by the reason."""
    table = _table("nothing for", "because")
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in refusals:
        way = f", {one.direction}" if one.direction else ""
        by_reason.setdefault((one.reason, _helps(one)), []).append(f"{one.group}{way}")
    for (reason, helps), names in by_reason.items():
        shown = [*names[:_NAMED], *([f"and {len(names) - _NAMED:,} more"] if len(names) > _NAMED else [])]
        table.add_row(
            rich.text.Text("\n".join(map(output.printable, shown))),
            rich.console.Group(_text(reason), _text(helps, "dim")),
        )
    return table


def _helps(one: suggest.Refusal) -> str:
    """What to do about a refusal."""
    if one.direction:
        return "--prefixes, --widen and --everywhere say how far rules about addresses may go"
    if not one.group.labels:
        return "give its pods a label of their own"
    return "a longer record may help (--since), a shorter wait (--least), or what was left out (--admit)"


def _left_out(result: Result) -> rich.table.Table:
    table = _table("left out", "connections", "because")
    for reason, rows in result.left_out.items():
        names, more = result.edges.examples(rows)
        table.add_row(
            str(reason), f"{result.edges.connections(rows):,}",
            rich.console.Group(
                rich.text.Text(f"{acceptance.ABOUT[reason]} ({evidence.counted(len(rows), 'edge')})"),
                *(_indented(name) for name in (*names, *(["…"] if more else []))),
                rich.text.Text(f"to allow it: {_HELPS.get(reason, f'--admit {reason}')}", style="dim"),
            ),
        )  # fmt: skip
    if result.recorded.own_node:
        about = "from a node to its own pods, as kubelet's probes: policies cannot keep it out"
        _row(table, "own node", f"{result.recorded.own_node:,}", about)
    return table


def _indented(line: str) -> rich.padding.Padding:
    return rich.padding.Padding(_text(line), (0, 0, 0, 2))


def _verdict(result: Result) -> tuple[str, str]:
    """What the proof says, and in which style."""
    one = result.proof
    if not one.holds:
        return (
            f"the proof fails: {result.edges.some(one.lost)} would be denied", "bold red"
        )  # fmt: skip
    if not one.edges:
        return "proof: nothing was accepted, so nothing is proved", "yellow"
    edges = evidence.counted(one.edges, "accepted edge")
    count = evidence.counted(one.connections, "connection")
    if one.denied_already:
        of = f"{one.allowed:,} of {edges}, {count}, {'stays' if one.allowed == 1 else 'stay'} allowed"
        return f"proof: {of}; {_denied_already(result)}", "yellow"
    stay = f"all {edges}, {count}, stay" if one.edges > 1 else f"the {edges}, {count}, stays"
    return f"proof: {stay} allowed", "bold green"


def _denied_already(result: Result) -> str:
    rows = result.proof.denied_already
    names, more = result.edges.examples(rows)
    are = "is denied already, and stays so" if len(rows) == 1 else "are denied already, and stay so"
    return f"{len(rows):,} {are}{', such as' if more else ':'} {'; '.join(names)}"


def _proved(result: Result) -> Iterator[tuple[str, str]]:
    """What the proof says, line by line, each with its style."""
    one = result.proof
    yield _verdict(result)
    if one.denied_already and not one.holds:
        yield _denied_already(result), "yellow"
    if one.left_out:
        yield f"of what was left out would newly be denied: {result.edges.some(one.left_out)}", ""
    yield (
        f"open from workload to workload, port by port: {one.pairs_before:,} now, {one.pairs_after:,} then, "
        f"{one.pairs_used:,} of them used"
    ), ""  # fmt: skip


def _table(*names: str) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        right = name == "connections"
        table.add_column(name, overflow="fold", justify="right" if right else "left", no_wrap=right)
    return table


def plain(result: Result) -> dict[str, Any]:
    """All of it, for programs."""
    seen, made = result.recorded.record, result.made
    return {
        "record": result.recorded.sentence(), "covered": result.covered, "unseen": list(result.unseen),
        "policies": [_policy(one, seen) for one in made.policies],
        "refusals": [
            {"group": str(one.group), "direction": str(one.direction or ""), "reason": one.reason}
            for one in made.refusals
        ],
        "left_out": [
            {"reason": str(reason), "about": acceptance.ABOUT[reason],
             "connections": result.edges.connections(rows),
             "edges": [
                 {"edge": result.edges.name(row), "connections": result.edges.connections([row])}
                 for row in rows.tolist()
             ]}
            for reason, rows in result.left_out.items()
        ],
        "own_node": result.recorded.own_node,
        "proof": {
            "holds": result.proof.holds, "edges": result.proof.edges, "allowed": result.proof.allowed,
            "connections": result.proof.connections,
            "lost": _names(result, result.proof.lost),
            "denied_already": _names(result, result.proof.denied_already),
            "left_out_and_denied": _names(result, result.proof.left_out),
            "pairs_before": result.proof.pairs_before, "pairs_after": result.proof.pairs_after,
            "pairs_used": result.proof.pairs_used,
        },
    }  # fmt: skip


def _names(result: Result, rows: Sequence[int]) -> list[str]:
    return [result.edges.name(row) for row in result.edges.ordered(rows).tolist()]


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
