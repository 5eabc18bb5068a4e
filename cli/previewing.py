"""``policy preview``: what a change of policies would do to what the ledger has recorded."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import rich.box
import rich.table
import rich.text

from cli import changing, known, moments, output, recording
from model import enums, manifest
from policy import preview
from store import counting, filters, queries, transport

FORMS = ("table", "json")

_SHOWN = 20
"""Differences that a terminal shows; the rest is counted."""
_EXAMPLES = 5
"""Of so many a flow is named."""


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
    after = change.of(of.documents)
    with contextlib.closing(transport.open(url)) as ledger, output.working("reading the record"):
        recorded, found = previewed(ledger, of, after, span)
        examples = {
            id(one): _example(ledger, recorded, one)
            for some in (found.denied, found.allowed) for one in some[:_EXAMPLES]
        }  # fmt: skip
    if form == "json":
        sys.stdout.write(json.dumps(_plain(recorded, found, examples), indent=2) + "\n")
    else:
        _show(recorded, found, examples)
    return 1 if fail_on_denied and found.denied else 0


def previewed(
    ledger: transport.Transport, of: known.Known, after: Sequence[manifest.Document], span: counting.Span
) -> tuple[recording.Recorded, preview.Preview]:
    """What some documents in place of a cluster's would do, and the record that this rests on.

    Raises:
        FlowledgerError: As for `run`.
    """
    recorded = recording.read(ledger, span)
    found = preview.preview(recorded.record, of.cluster, of.documents, after)
    if found.uncertain:  # the flows themselves tell the families
        recorded = recording.read(ledger, span, rows=True)
        found = preview.preview(recorded.record, of.cluster, of.documents, after)
    return recorded, found


def _example(ledger: transport.Transport, of: recording.Recorded, one: preview.Difference) -> str:
    """The id of the last flow of a difference; empty where the flows themselves are no longer there."""
    last = max(one.edges, key=lambda edge: of.record.last[edge])
    at = int(of.record.last[last])
    tests = [f"dst.port = {one.port}", f"protocol = {one.protocol}"]
    for side, end in (("src", of.record.src[last]), ("dst", of.record.dst[last])):
        if end >= 0:
            owner = of.record.variants[end].workload
            tests += [f"{side}.namespace = '{owner.namespace}'", f"{side}.workload = '{owner.name}'"]
    condition = filters.compile(" and ".join(tests))
    found = queries.flows(ledger, counting.Span(at, at + 1), condition, limit=1)
    return str(found.column("id")[0].as_py()) if found.num_rows else ""


def _show(of: recording.Recorded, found: preview.Preview, examples: dict[int, str]) -> None:
    screen = output.console()
    for word, style, some in (("denied", "bold red", found.denied), ("allowed", "bold green", found.allowed)):
        screen.print(rich.text.Text(_headline(word, some), style=style if some else "bold"))
        if some:
            screen.print(_table(some[:_SHOWN], examples))
        if len(some) > _SHOWN:
            screen.print(rich.text.Text(f"and {len(some) - _SHOWN:,} more: -o json lists all\n", style="dim"))
    edges = f"{found.edges:,} edge{'s' if found.edges != 1 else ''}, {found.connections:,} connections"
    screen.print(rich.text.Text(f"judged: {edges}; {of.sentence()}", style="dim"))


def _headline(word: str, some: Sequence[preview.Difference]) -> str:
    if not some:
        return f"nothing would newly be {word}"
    count = sum(one.connections for one in some)
    what = f"{count:,} connection{'s' if count != 1 else ''}" if count else "connections that go on"
    return f"newly {word}: {what} of {len(some):,} pair{'s' if len(some) != 1 else ''} of workloads and port"


def _table(some: Iterable[preview.Difference], examples: dict[int, str]) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name in ("source", "destination", "port", "connections", "recorded", "first seen", "last seen",
                 "would be decided by", "flow"):  # fmt: skip
        right = name == "connections"
        table.add_column(name, overflow="fold", justify="right" if right else "left", no_wrap=right)
    for one in some:
        cells = (
            one.src, one.dst, port(one.protocol, one.port, one.icmp_type), f"{one.connections:,}",
            _recorded(one), moments.moment(one.first), moments.moment(one.last), _decider(one),
            examples.get(id(one), ""),
        )  # fmt: skip
        table.add_row(*(rich.text.Text(cell) for cell in cells))
    return table


def port(protocol: int, number: int, icmp_type: int) -> str:
    """``TCP 443``, ``ICMP 8``, ``GRE``."""
    with_type = protocol in (enums.Protocol.ICMP, enums.Protocol.ICMPV6)
    told = icmp_type if with_type else number
    return f"{enums.protocol_name(protocol)} {told}" if told or with_type else enums.protocol_name(protocol)


def _recorded(one: preview.Difference) -> str:
    """What was done, where that is one thing."""
    return ", ".join(sorted(one.verdicts)) if len(one.verdicts) > 1 else next(iter(one.verdicts))


def _decider(one: preview.Difference) -> str:
    return one.decider.describe() if one.decider else "no policy has a say"


def _plain(of: recording.Recorded, found: preview.Preview, examples: dict[int, str]) -> dict[str, Any]:
    return {
        "newly_denied": [_row(one, examples) for one in found.denied],
        "newly_allowed": [_row(one, examples) for one in found.allowed],
        "edges": found.edges, "connections": found.connections,
        "start": moments.moment(of.span.start), "end": moments.moment(of.span.end),
        "completeness": of.complete.share, "record": of.sentence(),
    }  # fmt: skip


def _row(one: preview.Difference, examples: dict[int, str]) -> dict[str, Any]:
    return {
        "source": one.src, "destination": one.dst, "protocol": enums.protocol_name(one.protocol),
        "port": one.port, "icmp_type": one.icmp_type, "connections": one.connections,
        "recorded": one.verdicts, "first_seen": moments.moment(one.first),
        "last_seen": moments.moment(one.last), "decided_by": _decider(one),
        "flow": examples.get(id(one), ""),
    }  # fmt: skip
