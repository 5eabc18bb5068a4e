"""``policy audit``: what is wrong, superfluous or open in a cluster's policies."""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
import ipaddress
import json
import os
import pathlib
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import rich.console
import rich.padding
import rich.text

from cli import known, moments, output
from model import address, enums, manifest
from policy import audit, edits, granted
from store import queries, transport

FORMS = ("table", "json", "sarif")
BOUNDS = ("high", "medium", "low", "never")
"""From which severity on the exit code is 1."""

_MOST_EDGES = 200_000
_INDENT = 8
"""Columns for the severity, below which nothing stands."""
_STYLES = {"high": "bold red", "medium": "yellow", "low": "dim"}
_LEVELS = {"high": "error", "medium": "warning", "low": "note"}
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def use(url: str, since: Mapping[str, int], span: queries.Span) -> audit.Use | None:
    """What connections have met, as the ledger has it; None where it knows of no rule.

    Args:
        url: The ledger.
        since: When each policy got its present content, by identity; in ns since 1970.
        span: What is asked for; what is recorded of it may be far less.

    Raises:
        StoreError: If the ledger does not answer.
    """
    with contextlib.closing(transport.open(url)) as ledger:
        bounds = queries.bounds(ledger, rows=True) or queries.Span(0, 0)
        recorded = queries.Span(max(span.start, bounds.start), min(span.end, bounds.end))
        if recorded.start >= recorded.end:
            return None
        edges = queries.judged(ledger, span, _MOST_EDGES + 1)
        met = _met(queries.rules(ledger, span))
        # what was lost after the last row is missing too
        complete = queries.completeness(ledger, queries.Span(recorded.start, span.end), rows=True)
    unknown = met.pop("", None)
    if not met:
        return None
    told = f"{moments.recorded(span, recorded)}, {complete}"
    if unknown:
        what = f"connection{'s' if unknown.connections != 1 else ''}"
        told += f"; of {unknown.connections:,} {what} no rule is known"
    # of edges that were not all read, nobody can say that nothing else was used
    rules = _used(edges.to_pylist()) if edges.num_rows <= _MOST_EDGES else {}
    return audit.Use(hits=met, rules=rules, since=since, start=recorded.start, evidence=told)


def _met(hits: pa.Table) -> dict[str, audit.Met]:
    last = hits.column_names.index("last_seen")
    rows = hits.set_column(last, "last_seen", hits.column(last).cast(pa.int64())).to_pylist()
    return {row["hit"]: audit.Met(row["connections"], row["last_seen"]) for row in rows}


def _used(edges: Sequence[dict[str, Any]]) -> dict[str, granted.Used]:
    """What of each rule that decided was used."""
    found: dict[str, granted.Used] = {}
    for row in edges:
        text = row["deciding_rule"]
        if not text:
            continue
        of = found.setdefault(text, granted.Used())
        of.ports.add((row["protocol"], row["dst_port"]))
        far = "src" if text.startswith(enums.Direction.INGRESS) else "dst"
        if row[f"{far}_pod"]:
            of.pods = True
        else:
            of.addresses.add(ipaddress.ip_address(address.render(row[f"{far}_address"]) or "::"))
    return found


def run(
    of: known.Known, form: str, fail_on: str, met: audit.Use | None = None,
    more: Sequence[audit.Finding] = (),
) -> int:  # fmt: skip
    """Audit, and print what is found.

    Args:
        of: The policies, and the cluster.
        form: One of `FORMS`.
        fail_on: One of `BOUNDS`.
        met: What connections have met.
        more: What else was found.

    Returns:
        The exit code: 1 if something as severe as ``fail_on`` was found.

    Raises:
        ManifestError: If a policy is not understood.
    """
    found = [*more, *audit.Auditor(of.engine(), of.documents, met).findings()]
    policies = edits.by_identity(of.documents)
    written = {name: one for name, one in policies.items() if pathlib.Path(one.file).is_file()}
    if form == "json":
        plain = [_plain(one, written.get(one.subject)) for one in found]
        sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    elif form == "sarif":
        sys.stdout.write(json.dumps(_sarif(found, policies), indent=2) + "\n")
    else:
        _show(found, written)
    severe = BOUNDS[: BOUNDS.index(fail_on) + 1] if fail_on != "never" else ()
    return 1 if any(one.severity in severe for one in found) else 0


def _plain(one: audit.Finding, document: manifest.Document | None) -> dict[str, Any]:
    """A finding for programs, with the file that its policy is in and the place there, from 1."""
    rule = {"rule": one.rule} if one.rule >= 0 else {}
    place = {"file": document.file, "document": document.index} if document else {}
    return {
        "check": one.check, "severity": str(one.severity), "subject": one.subject,
        "direction": str(one.direction), **rule, **place, "sentence": one.sentence,
        "evidence": list(one.evidence), "fix": one.fix,
    }  # fmt: skip


def _show(found: Sequence[audit.Finding], written: Mapping[str, manifest.Document]) -> None:
    """Print findings: a head that names the check, and below it all that is said."""
    screen = output.console()
    for one in found:
        head = rich.text.Text(f"{one.severity:<{_INDENT}}", style=_STYLES[one.severity])
        screen.print(head.append(one.check, style="bold"))
        _print(screen, one.sentence)
        for line in (*one.evidence, *_place(written.get(one.subject))):
            _print(screen, line, style="dim")
        output.print_diff(screen, one.fix, indent=_INDENT)
        screen.print()
    count = f"{len(found)} finding{'s' if len(found) != 1 else ''}"
    screen.print(rich.text.Text(count if found else "nothing found", style="bold"))


def _print(screen: rich.console.Console, line: str, style: str = "") -> None:
    text = rich.text.Text(line, style=style)
    screen.print(rich.padding.Padding(text, (0, 0, 0, _INDENT), expand=False))


def _place(document: manifest.Document | None) -> Iterator[str]:
    """Which file a policy is in, and where in it."""
    if document:
        inside = f", {document.place}" if document.place else ""
        yield f"in {document.file}, document {document.index}{inside}"


def _sarif(found: Sequence[audit.Finding], of: Mapping[str, manifest.Document]) -> dict[str, Any]:
    """As static analysis tools exchange results (OASIS SARIF 2.1.0)."""
    about = {name: inspect.getdoc(check) or name for name, check in audit.CHECKS.items()}
    about["drift"] = "Connections to which something else was done than the policies say."
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in about.items()]
    driver = {"name": "flowledger", "version": importlib.metadata.version("flowledger"), "rules": rules}
    results = [_result(one, of.get(one.subject)) for one in found]
    return {"$schema": _SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(one: audit.Finding, document: manifest.Document | None) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": one.subject}]}
    if document:
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(document.file)}}
    return {
        "ruleId": one.check, "level": _LEVELS[one.severity], "message": {"text": one.sentence},
        "locations": [location],
    }  # fmt: skip


def _uri(file: str) -> str:
    """Where a file is: from the current directory on if it is below, which means the same elsewhere."""
    here, there = pathlib.Path.cwd(), pathlib.Path(os.path.abspath(file))  # noqa: PTH100  # links stay
    return urllib.parse.quote(str(there.relative_to(here)) if there.is_relative_to(here) else file)
