"""Drift: where the dataplane did something else to a connection than the policies say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cli import known
from model import enums, policyhit
from policy import audit, evaluate, world
from store import queries, transport

_SETTLED = 30 * 1_000_000_000
"""So long after the last change of any object a dataplane does what the policies say."""
_MOST = 20
"""Findings that are listed; the rest is counted."""
_DONE = {"allow": "allowed", "deny": "denied"}


def findings(of: known.Known, url: str, span: queries.Span) -> list[audit.Finding]:
    """Connections that began since the last change, and to which something else was done.

    Those are left out about which host endpoints decide.

    Args:
        of: The policies and the cluster, as the ledger has them now.
        url: The ledger.
        span: Over which stretch of time.

    Raises:
        StoreError: If the ledger does not answer.
        ManifestError: If a policy is not understood.
    """
    start = max(span.start, of.changed + _SETTLED)
    if start >= span.end:
        return []
    with contextlib.closing(transport.open(url)) as ledger:
        seen = queries.judged(ledger, queries.Span(start, span.end))
    if not seen.num_rows:
        return []
    found = list(_compared(of.engine(), seen))
    more = len(found) - _MOST
    if more > 0:
        rest = audit.Finding(
            check="drift", severity=audit.Severity.HIGH, subject="",
            sentence=f"{more:,} more edges to which something else was done than the policies say.",
        )  # fmt: skip
        found = [*found[:_MOST], rest]
    return found


def _compared(engine: evaluate.Engine, seen: pa.Table) -> Iterator[audit.Finding]:
    numbers = {(pod.namespace, pod.name): i for i, pod in enumerate(engine.world.pods)}
    rows = [row for row in seen.to_pylist() if _is_known(row, numbers)]
    if not rows:
        return
    judged = engine.judge(_edges(numbers, rows))
    for direction, side in (
        (enums.Direction.EGRESS, judged.egress),
        (enums.Direction.INGRESS, judged.ingress),
    ):
        traces = engine.trace(side.traces)
        # those have ports that stay open, and judge before translation, of neither of which rows tell enough
        by_hosts = np.logical_or.reduce([
            part.decided | (part.traces > 0) for part in side.parts if part.hosts
        ] or [np.zeros(len(rows), bool)])  # fmt: skip
        for i in np.flatnonzero(side.judged & ~by_hosts).tolist():
            done = rows[i][f"{direction}_action"]
            if done in _DONE and (done == "deny") != bool(side.denied[i]):
                yield _finding(rows[i], direction, _DONE[done], traces[i][-1].describe())


def _finding(row: dict[str, Any], direction: enums.Direction, done: str, rule: str) -> audit.Finding:
    should = "deny" if done == "allowed" else "allow"
    end = "dst" if direction is enums.Direction.INGRESS else "src"
    port = f" {row['dst_port']}" if row["dst_port"] else ""
    what = f"{known.end(row, 'src')} to {known.end(row, 'dst')}, {enums.protocol_name(row['protocol'])}{port}"
    subject = known.end(row, end)
    way = "into" if direction is enums.Direction.INGRESS else "out of"
    count, last = row["connections"], f"{row['last_seen']:%Y-%m-%d %H:%M:%S}"
    return audit.Finding(
        check="drift", severity=audit.Severity.HIGH, subject=subject, direction=direction,
        sentence=f"{what}: it was {done} on its way {way} {subject}, and the policies {should} it.",
        evidence=(
            f"{count:,} connection{'s' if count != 1 else ''}, the last at {last} UTC",
            f"what decided: {_rule(row['deciding_rule'])} (known by {row['attribution'] or 'nothing'})",
            f"what should have: {rule}",
        ),
    )  # fmt: skip


def _rule(text: str) -> str:
    return policyhit.parse(text).describe() if text else "nobody knows"


def _is_known(row: dict[str, Any], numbers: Mapping[tuple[str, str], int]) -> bool:
    """Whether its pods are there still: of others nobody knows what policies meant to them."""
    ends = ((row[f"{side}_namespace"], row[f"{side}_pod"]) for side in ("src", "dst"))
    return all(not end[1] or end in numbers for end in ends)


def _edges(numbers: Mapping[tuple[str, str], int], rows: Sequence[dict[str, Any]]) -> evaluate.Edges:
    """The connections as columns, their ends by who they were."""
    ends: dict[tuple[int, bytes], int] = {}
    sides = []
    for side in ("src", "dst"):
        of = (
            (numbers.get((row[f"{side}_namespace"], row[f"{side}_pod"]), world.NOBODY), row) for row in rows
        )
        sides.append([ends.setdefault((pod, row[f"{side}_address"]), len(ends)) for pod, row in of])
    return evaluate.Edges(
        ends=world.Ends(
            np.array([pod for pod, _ in ends], np.int32),
            np.frombuffer(b"".join(packed for _, packed in ends), np.uint8).reshape(-1, 16),
        ),
        src=np.array(sides[0], np.int32), dst=np.array(sides[1], np.int32),
        src_port=np.zeros(len(rows), np.int32), **{
            name: np.array([row[name] for row in rows], np.int32)
            for name in ("protocol", "dst_port", "icmp_type", "icmp_code")
        },
    )  # fmt: skip
