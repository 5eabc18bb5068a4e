"""The record that policies are replayed against: what a ledger has of a span, and how sure that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from cli import moments
from model import address, cluster, columns, enums, errors
from policy import record
from store import counting, filters, losses, names, observations, queries, transport


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What a ledger has of a span.

    Attributes:
        record: The distinct edges, and the pods there were.
        span: What is recorded of what was asked for.
        asked: What was asked for.
        complete: How complete that is.
        own_node: Connections of nodes to their own pods, which no policy can keep out.
        nodes: The nodes that reported.
    """

    record: record.Record
    span: counting.Span
    asked: counting.Span
    complete: losses.Completeness
    own_node: int
    nodes: tuple[str, ...]

    def sentence(self) -> str:
        """What all that is said of it rests on."""
        return f"{moments.recorded(self.asked, self.span)}; {self.complete}"


def read(
    ledger: transport.Transport, asked: counting.Span, condition: filters.Condition = filters.EVERYTHING,
    *, rows: bool = False,
) -> Recorded:  # fmt: skip
    """The record of a span.

    Args:
        ledger: Where to ask.
        asked: Which stretch of time.
        condition: Which flows.
        rows: Whether to read the flows themselves for as long as the ledger has them, which is shorter than
            for the rollups; see `store.observations`.

    Raises:
        StoreError: If the ledger does not answer.
        SetupError: If it has nothing of that span.
    """
    bounds = queries.bounds(ledger)
    if bounds is None:
        raise errors.SetupError("the ledger has no connections yet: flowledger up or collect record them")
    span = counting.Span(max(asked.start, bounds.start), min(asked.end, bounds.end))
    if span.start >= span.end:
        raise errors.SetupError("the ledger has nothing of that span: --since looks further back")
    found = pa.concat_tables([
        observations.observations(ledger, part, condition, rows=whole)
        for part, whole in (_parts(ledger, asked) if rows else [(asked, False)])
    ])  # fmt: skip
    claims = names.endpoints(ledger, ended_after=asked.start)
    labels = _labels(ledger, found, claims)
    return Recorded(
        record=record.read(found, variants(claims, labels, asked), labels), span=span, asked=asked,
        complete=queries.completeness(ledger, counting.Span(span.start, asked.end), condition),
        own_node=observations.own_node(ledger, asked, found, condition),
        nodes=tuple(str(node) for node in queries.nodes(ledger, asked).column("node").to_pylist()),
    )  # fmt: skip


def _parts(ledger: transport.Transport, asked: counting.Span) -> Iterator[tuple[counting.Span, bool]]:
    """What of the span the ledger has no flows of any longer, and what it has: it forgets whole days."""
    oldest, known = queries.bounds(ledger), queries.bounds(ledger, rows=True)
    if oldest and known and oldest.start < known.start:
        if asked.start < known.start:
            yield counting.Span(asked.start, min(known.start, asked.end)), False
        if known.start < asked.end:
            yield counting.Span(max(asked.start, known.start), asked.end), True
    else:
        yield asked, known is not None


def variants(
    claims: pa.Table, labels: Mapping[int, Mapping[str, str]], span: counting.Span
) -> Iterator[record.Variant]:
    """The pods of a span by what policies can tell apart.

    Args:
        claims: Who had which address; schema `ddl.ENDPOINTS`.
        labels: Label sets by their numbers.
        span: Which stretch of time.
    """
    groups: dict[tuple[record.Workload, int], list[dict[str, Any]]] = {}
    for row in _plain(claims).to_pylist():
        if row["kind"] == enums.EndpointKind.POD and row["valid_from"] < span.end and _was_there(row):
            owner = record.Workload(
                row["namespace"], row["workload_kind"] or "Pod", row["workload"] or row["pod"]
            )
            groups.setdefault((owner, row["labels_id"]), []).append(row)
    for (owner, labels_id), rows in sorted(groups.items(), key=lambda item: (str(item[0]), item[0][1])):
        yield _variant(owner, labels_id, labels.get(labels_id, {}), rows, span)


def _variant(
    owner: record.Workload, labels_id: int, labels: Mapping[str, str], rows: list[dict[str, Any]],
    span: counting.Span,
) -> record.Variant:  # fmt: skip
    rows = sorted(rows, key=lambda row: (row["valid_from"], row["address"]))
    newest = rows[-1]
    ends = [row["valid_to"] for row in rows]
    return record.Variant(
        workload=owner, labels_id=labels_id, labels=labels, account=newest["service_account"] or "default",
        ports=cluster.declared(newest["ports"]), addresses=tuple(_one_each(rows)),
        pods=len({row["uid"] for row in rows}), first=rows[0]["valid_from"],
        last=0 if 0 in ends else max(ends),
        longest=max((end or span.end) - row["valid_from"] for end, row in zip(ends, rows, strict=True)),
    )  # fmt: skip


def _one_each(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The newest address of each family."""
    texts = [address.render(row["address"]) for row in rows][::-1]
    for is_six in (False, True):
        yield from [text for text in texts if (":" in text) == is_six][:1]


def _was_there(row: Mapping[str, Any]) -> bool:
    """Not so where a claim was taken back."""
    return not row["valid_to"] or row["valid_to"] > row["valid_from"]


def _plain(claims: pa.Table) -> pa.Table:
    """Times as numbers."""
    for name in ("valid_from", "valid_to"):
        claims = claims.set_column(
            claims.column_names.index(name), name, claims.column(name).cast(pa.int64())
        )
    return claims


def _labels(ledger: transport.Transport, found: pa.Table, claims: pa.Table) -> dict[int, dict[str, str]]:
    wanted = {0}
    for table, name in ((found, "src_labels_id"), (found, "dst_labels_id"), (claims, "labels_id")):
        wanted |= set(columns.numbers(table.column(name).combine_chunks()).tolist())
    rows = names.labels(ledger, wanted - {0}).to_pylist()
    return {row["labels_id"]: dict(row["labels"]) for row in rows}
