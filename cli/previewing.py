"""``policy preview``: what a change of policies would do to what the ledger has recorded."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import rich.console
import rich.table
import rich.text

from cli import changing, known, moments, output, recording
from model import address, enums, manifest, policyhit
from policy import evidence, preview, record
from store import counting, filters, queries, transport

FORMS = ("table", "json")

_SHOWN = 20
"""Differences that a terminal shows; the rest is counted."""
_EXAMPLES = 5
"""Of so many a flow is named."""
_NAMED = 5
"""So many objects of a change are named; the rest is counted."""
_ENDS = ("src", "dst")
_PROFILES = ("kns.", "ksa.")
"""How the names of profiles begin that let everybody in where no policy has a say."""
_DONE = {
    "added": "adds", "changed": "changes", "unchanged": "leaves as they are", "deleted": "deletes",
    "missing": "finds nothing to delete at",
}  # fmt: skip
"""What may become of objects, and how that is said."""


def run(
    url: str,
    of: known.Known,
    change: changing.Change,
    span: counting.Span,
    form: str,
    *,
    fail_on_denied: bool,
) -> int:
    """Preview a change, and print it.

    Args:
        url: The ledger.
        of: The policies as they are.
        change: What is to become of them.
        span: Over which stretch of time.
        form: One of `FORMS`.
        fail_on_denied: Whether the exit code is 1 where something would newly be denied.

    Returns:
        The exit code.

    Raises:
        FlowledgerError: If the ledger does not answer, has nothing of that span, or a policy is not
            understood.
    """
    after, named = change.of(of.documents), change.named
    with contextlib.closing(transport.open(url)) as ledger, output.working("reading the record"):
        recorded, found = previewed(ledger, of, after, named, span)
        examples = {
            one.edges: _example(ledger, recorded.record, one)
            for some in (found.denied, found.allowed) for one in some[:_EXAMPLES]
        }  # fmt: skip
    parts = change.parts(of.documents)
    if form == "json":
        sys.stdout.write(json.dumps(_plain(recorded, found, examples, parts), indent=2) + "\n")
    else:
        _show(recorded, found, examples, parts)
    return 1 if fail_on_denied and found.denied else 0


def previewed(
    ledger: transport.Transport, of: known.Known, after: Sequence[manifest.Document],
    named: Collection[preview.Object], span: counting.Span,
) -> tuple[recording.Recorded, preview.Preview]:  # fmt: skip
    """What some documents in place of a cluster's would do, and the record that this rests on.

    Args:
        ledger: Where to ask.
        of: The policies as they are.
        after: The documents.
        named: The objects that the change names.
        span: Over which stretch of time.

    Raises:
        FlowledgerError: As for `run`.
    """
    recorded = recording.read(ledger, span)
    found = preview.preview(recorded.record, of.cluster, of.documents, after, named)
    if found.uncertain:  # the flows themselves tell the families
        recorded = recording.read(ledger, span, rows=True)
        found = preview.preview(recorded.record, of.cluster, of.documents, after, named)
    return recorded, found


def _example(ledger: transport.Transport, seen: record.Record, one: preview.Difference) -> str:
    """The id of the last flow of a difference; empty where the flows themselves are no longer there."""
    last = max(one.edges, key=lambda edge: seen.last[edge])
    at = int(seen.last[last])
    tests = [f"dst.port = {one.port}", f"protocol = {one.protocol}", f"icmp_type = {one.icmp_type}"]
    tests += [f"verdict = {seen.verdict[last]}"]
    for side, end in zip(_ENDS, (seen.src[last], seen.dst[last]), strict=True):
        tests += _tests(seen, side, int(end))
    found = queries.flows(
        ledger, counting.Span(at, at + 1), filters.compile(" and ".join(tests)), limit=1
    )  # fmt: skip
    return str(found.column("id")[0].as_py()) if found.num_rows else ""


def _tests(seen: record.Record, side: str, end: int) -> Iterator[str]:
    """What a flow must be like that has this end."""
    if end >= 0:
        of = seen.variants[end]
        yield f"{side}.namespace = {filters.quoted(of.workload.namespace)}"
        yield f"{side}.workload = {filters.quoted(of.workload.name)}"
        yield f"{side}.labels_id = {of.labels_id}"
    else:
        yield f"{side}.kind = {seen.kinds[-1 - end]}"
        if text := address.render(seen.packed[-1 - end].tobytes()):
            yield f"{side}.address = {text}"


def _show(
    of: recording.Recorded, found: preview.Preview, examples: Mapping[tuple[int, ...], str],
    parts: Mapping[str, Sequence[str]],
) -> None:  # fmt: skip
    screen = output.console()
    screen.print(rich.text.Text(f"the change {_told(parts) or 'changes nothing'}"))
    for word, style, some in (("denied", "bold red", found.denied), ("allowed", "bold green", found.allowed)):
        screen.print()
        screen.print(rich.text.Text(_headline(word, some), style=style if some else "bold"))
        lines = _lines(of.record, some)
        if some:
            screen.print(_table(lines[:_SHOWN], examples))
        if len(lines) > _SHOWN:
            screen.print(rich.text.Text(f"and {len(lines) - _SHOWN:,} more: -o json lists all", style="dim"))
    screen.print()
    for sentence in _rests_on(of, found):
        screen.print(rich.text.Text(sentence, style="dim"))


def _told(parts: Mapping[str, Sequence[str]]) -> str:
    """What becomes of which objects, in one sentence."""
    clauses = []
    for done, names in parts.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        clauses.append(f"{_DONE[done]} {', '.join(names[:_NAMED])}{more}")
    return "; ".join(clauses)


def _rests_on(of: recording.Recorded, found: preview.Preview) -> Iterator[str]:
    edges, connections = (
        evidence.counted(found.edges, "edge"),
        evidence.counted(found.connections, "connection"),
    )
    yield f"judged: {edges}, {connections}; {of.sentence()}"
    if of.own_node:
        own = evidence.counted(of.own_node, "connection")
        yield f"left out: {own} of nodes to their own pods, which no policy keeps out"
    if found.uncertain:
        yield (
            f"of {evidence.counted(found.uncertain, 'edge')} nobody knows whether it was IPv4 or IPv6, which "
            "these policies tell apart: all that may be is listed"
        )


def _headline(word: str, some: Sequence[preview.Difference]) -> str:
    if not some:
        return f"nothing would newly be {word}"
    count = sum(one.connections for one in some)
    what = evidence.counted(count, "connection") if count else "connections that had begun before"
    pairs = len({(one.src, one.dst) for one in some})
    return f"newly {word}: {what}, {evidence.counted(pairs, 'pair')} of source and destination"


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    """A difference as it is shown; those of addresses without a name are one.

    Attributes:
        src: What people call the sources; and ``dst``.
        differences: Those that it stands for, the one with most connections first.
    """

    src: str
    dst: str
    differences: tuple[preview.Difference, ...]

    @property
    def connections(self) -> int:
        """How many there were."""
        return sum(one.connections for one in self.differences)


def _lines(seen: record.Record, some: Iterable[preview.Difference]) -> list[_Line]:
    """The differences by what people tell apart, most connections first."""
    groups: dict[tuple[object, ...], list[preview.Difference]] = {}
    for one in some:
        ends = [_crowd(seen, int(numbers[one.edges[0]])) or name
                for numbers, name in ((seen.src, one.src), (seen.dst, one.dst))]  # fmt: skip
        key = (*ends, one.protocol, one.port, one.icmp_type, one.decider, one.direction)
        groups.setdefault(key, []).append(one)
    lines = [
        _Line(_names([one.src for one in group]), _names([one.dst for one in group]), tuple(group))
        for group in groups.values()
    ]
    return sorted(lines, key=lambda line: -line.connections)


def _crowd(seen: record.Record, end: int) -> str:
    """What an address without a name has in common with others; empty for an end that has one."""
    return f" {seen.kinds[-1 - end]}" if end < 0 and not seen.names[-1 - end] else ""


def _names(names: Sequence[str]) -> str:
    others = len(set(names)) - 1
    return names[0] + (f" and {others:,} other address{'es' if others > 1 else ''}" if others else "")


def _table(lines: Iterable[_Line], examples: Mapping[tuple[int, ...], str]) -> rich.table.Table:
    """One row for each: how many, and below who and where what decides and when it was."""
    table = rich.table.Table(box=None, padding=(0, 0, 0, 2), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        one = line.differences[0]
        what = rich.text.Text(f"{line.src} → {line.dst}  {port(one.protocol, one.port, one.icmp_type)}")
        table.add_row(rich.text.Text(f"{line.connections:,}"), what)
        table.add_row("", rich.text.Text(_decider(one)))
        table.add_row("", rich.text.Text(_history(line, examples.get(one.edges, "")), style="dim"))
    return table


def _history(line: _Line, example: str) -> str:
    """What was done so far, from when until when, and a flow of it."""
    first = moments.moment(min(one.first for one in line.differences))
    last = moments.moment(max(one.last for one in line.differences))
    day, _, hour = last.partition(" ")
    until = "" if first == last else f" to {hour if first.startswith(day) else last}"
    done: collections.Counter[str] = collections.Counter()
    for one in line.differences:
        done.update(one.verdicts)
    told = [f"{name} {count:,}" if len(done) > 1 else name for name, count in sorted(done.items())]
    return f"{', '.join(told)} {first}{until} UTC{f', flow {example}' if example else ''}"


def port(protocol: int, number: int, icmp_type: int) -> str:
    """``TCP 443``, ``ICMP 8``, ``protocol 47``."""
    name = enums.protocol_name(protocol)
    if protocol in (enums.Protocol.ICMP, enums.Protocol.ICMPV6):
        return f"{name} {icmp_type}"
    if number:
        return f"{name} {number}"
    return f"protocol {name}" if name.isdecimal() else name


def _decider(one: preview.Difference) -> str:
    if one.decider is None or one.direction is None:
        return "no policy has a say"
    if one.decider.name.startswith(_PROFILES) and one.decider.kind == policyhit.PROFILE:
        return f"{one.direction}: no policy has a say"
    return one.decider.describe()


def _plain(
    of: recording.Recorded, found: preview.Preview, examples: Mapping[tuple[int, ...], str],
    parts: Mapping[str, Sequence[str]],
) -> dict[str, Any]:  # fmt: skip
    return {
        "change": {done: parts.get(done, []) for done in _DONE},
        "newly_denied": [_row(one, examples) for one in found.denied],
        "newly_allowed": [_row(one, examples) for one in found.allowed],
        "edges": found.edges, "connections": found.connections, "uncertain": found.uncertain,
        "own_node_connections": of.own_node, "start": _moment(of.span.start), "end": _moment(of.span.end),
        "completeness": of.complete.share, "record": of.sentence(),
    }  # fmt: skip


def _row(one: preview.Difference, examples: Mapping[tuple[int, ...], str]) -> dict[str, Any]:
    return {
        "source": one.src, "destination": one.dst, "protocol": enums.protocol_name(one.protocol),
        "port": one.port, "icmp_type": one.icmp_type, "connections": one.connections,
        "recorded": one.verdicts, "first_seen": _moment(one.first), "last_seen": _moment(one.last),
        "decided_by": _decider(one), "rule": one.decider.render() if one.decider else "",
        "flow": examples.get(one.edges, ""),
    }  # fmt: skip


def _moment(nanoseconds: int) -> str:
    return moments.moment(nanoseconds).replace(" ", "T") + "Z"
