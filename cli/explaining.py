"""``policy explain``: why a connection is allowed or denied."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import sys
from collections.abc import Sequence
from typing import Any

import rich.padding
import rich.text

from cli import known, moments, output
from model import address, columns, enums, errors, manifest, policyhit
from policy import edits, explanation, queries
from store import queries as store_queries
from store import transport

FORMS = ("table", "json")

_STYLES = {"allowed": "green", "denied": "red", "not judged": "dim"}
_WAYS = {enums.Direction.EGRESS: "out of", enums.Direction.INGRESS: "into"}


def moment(text: str) -> int:
    """A time as people write it, in ns since 1970; 0 for none.

    Raises:
        SetupError: If it is none.
    """
    return moments.at(text) if text else 0


def query(
    src: str, dst: str, port: int, protocol: str, family: str | None, icmp_type: int | None = None
) -> queries.Query:
    """What is asked about.

    Raises:
        ManifestError: If that is no connection.
    """
    asked: dict[str, object] = {
        "src": src, "dst": dst, "protocol": int(protocol) if protocol.isdecimal() else protocol,
    }  # fmt: skip
    if port:
        asked["port"] = port
    if family:
        asked["family"] = int(family)
    if icmp_type is not None:
        asked["icmpType"] = icmp_type
    return queries.read(manifest.Document("what is asked", 1, asked).field())


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """A flow of the ledger.

    Attributes:
        query: The connection.
        started: When it began, in ns since 1970.
        sentence: What was done to it.
    """

    query: queries.Query
    started: int
    sentence: str


def recorded(url: str, span: store_queries.Span, id_: str) -> Recorded:
    """The flow with this id.

    Raises:
        SetupError: If the ledger has none in that span.
        StoreError: If the ledger does not answer.
    """
    with contextlib.closing(transport.open(url)) as ledger:
        found = store_queries.flow(ledger, span, id_)
    if not found.num_rows:
        raise errors.SetupError(f"the ledger has no flow {id_!r} in that span: --since looks further back")
    (row,) = found.to_pylist()
    query = queries.Query(
        src=known.end(row, "src"), dst=known.end(row, "dst"), protocol=row["protocol"], port=row["dst_port"],
        src_port=row["src_port"], icmp_type=row["icmp_type"], icmp_code=row["icmp_code"],
        family=ipaddress.ip_address(address.render(row["src_address"])).version,
    )  # fmt: skip
    by = f" by {policyhit.parse(row['deciding_rule']).describe()}" if row["deciding_rule"] else ""
    began = f"it began {row['started']:%Y-%m-%d %H:%M:%S} UTC"
    sentence = f"Recorded on node {row['node']}: {row['verdict']}{by}; {began}.{_pending(row)}"
    (started,) = columns.numbers(found.column("started").combine_chunks()).tolist()
    return Recorded(query, started, sentence)


def _pending(row: dict[str, Any]) -> str:
    """What the policies that were staged then would have done to a recorded flow; empty where nobody said."""
    if not row["pending_verdict"]:
        return ""
    hit = policyhit.deciding(row["pending_trace"])
    by = f" by {policyhit.parse(hit).describe()}" if hit else ""
    return f" With what was staged in force: {row['pending_verdict']}{by}."


def run(of: known.Known, query: queries.Query, form: str, recorded: str = "") -> int:
    """Explain a connection; the exit code, which is 1 where it is denied.

    Args:
        of: The policies and the cluster.
        query: The connection.
        form: One of `FORMS`.
        recorded: What the ledger says of it, where it is one that was seen.

    Raises:
        SetupError: If one of its ends is not there, or is a service.
        ManifestError: If a policy is not understood.
    """
    for end in (query.src, query.dst):
        known.require_judged(of.services, end)
    engine = of.engine()
    try:
        told = explanation.Explainer(engine).explain(query)
    except LookupError as error:
        raise errors.SetupError(f"{error}, as {of.source} has it") from None
    editor = edits.Editor(engine, of.documents)
    found = [editor.edit(told, side) if side.verdict == "denied" else None for side in told.sides]
    if form == "json":
        plain = {"recorded": recorded} if recorded else {}
        sys.stdout.write(json.dumps(plain | _plain(told, found), indent=2) + "\n")
    else:
        if recorded:
            output.console().print(rich.text.Text(recorded))
        _show(told, found)
    return 1 if told.denied else 0


def _show(told: explanation.Explanation, found: Sequence[edits.Edit | None]) -> None:
    screen = output.console()
    screen.print(rich.text.Text(told.sentence, style="bold red" if told.denied else "bold green"))
    for side, edit in zip(told.sides, found, strict=True):
        screen.print()
        head = rich.text.Text(f"{_WAYS[side.direction]} {side.end}: ")
        screen.print(head.append(side.verdict, style=_STYLES[side.verdict]))
        for sentence in [*side.sentences, *([side.nearest.sentence] if side.nearest else [])]:
            screen.print(_indented(sentence))
        if edit:
            screen.print(_indented(f"To admit it: {edit.sentence}"))
            output.print_diff(screen, edit.diff, indent=4)
    if told.pending:
        screen.print()
        screen.print(rich.text.Text(told.pending))


def _indented(text: str) -> rich.padding.Padding:
    return rich.padding.Padding(rich.text.Text(text), (0, 0, 0, 2))


def _plain(told: explanation.Explanation, found: Sequence[edits.Edit | None]) -> dict[str, Any]:
    return {
        "sentence": told.sentence, "verdict": "denied" if told.denied else "allowed", "pending": told.pending,
        **{str(side.direction): _side(side, edit) for side, edit in zip(told.sides, found, strict=True)},
    }  # fmt: skip


def _side(side: explanation.Side, edit: edits.Edit | None) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "end": side.end, "verdict": side.verdict, "sentences": list(side.sentences),
        "trace": [hit.render() for hit in side.trace],
        "selecting": [policy.identity for policy in side.selecting],
    }  # fmt: skip
    if side.nearest:
        plain["nearest"] = {
            "policy": side.nearest.policy.identity, "rule": side.nearest.index,
            "sentence": side.nearest.sentence,
            "reasons": [{"part": str(one.part), "sentence": one.sentence} for one in side.nearest.reasons],
        }  # fmt: skip
    if edit:
        plain["edit"] = {"sentence": edit.sentence, "manifest": edit.body, "diff": edit.diff}
    return plain
