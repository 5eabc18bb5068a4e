"""``policy audit``: what is wrong, superfluous or open in a cluster's policies."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import rich.padding
import rich.text

from cli import known, output
from model import manifest
from policy import audit, edits

FORMS = ("table", "json", "sarif")
BOUNDS = ("high", "medium", "low", "never")
"""From which severity on the exit code is 1."""

_STYLES = {"high": "bold red", "medium": "yellow", "low": "dim"}
_LEVELS = {"high": "error", "medium": "warning", "low": "note"}
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def run(of: known.Known, form: str, fail_on: str) -> int:
    """Audit, and print what is found; the exit code, which is 1 if something as severe as ``fail_on`` is.

    Raises:
        ManifestError: If a policy is not understood.
    """
    found = audit.Auditor(of.engine(), of.documents).findings()
    if form == "json":
        sys.stdout.write(json.dumps([_plain(one) for one in found], indent=2) + "\n")
    elif form == "sarif":
        sys.stdout.write(json.dumps(_sarif(found, edits.by_identity(of.documents)), indent=2) + "\n")
    else:
        _show(found)
    severe = BOUNDS[: BOUNDS.index(fail_on) + 1] if fail_on != "never" else ()
    return 1 if any(one.severity in severe for one in found) else 0


def _plain(one: audit.Finding) -> dict[str, Any]:
    rule = {"rule": one.rule} if one.rule >= 0 else {}
    return {
        "check": one.check, "severity": str(one.severity), "subject": one.subject,
        "direction": str(one.direction), **rule, "sentence": one.sentence, "evidence": list(one.evidence),
        "fix": one.fix,
    }  # fmt: skip


def _show(found: Sequence[audit.Finding]) -> None:
    screen = output.console()
    for one in found:
        head = rich.text.Text(f"{one.severity:<7}", style=_STYLES[one.severity])
        screen.print(head.append(one.sentence, style="default"))
        for line in one.evidence:
            screen.print(rich.padding.Padding(rich.text.Text(line, style="dim"), (0, 0, 0, 9)))
        output.print_diff(screen, one.fix, indent=9)
    count = f"{len(found)} finding{'s' if len(found) != 1 else ''}"
    screen.print(rich.text.Text(count if found else "nothing found", style="bold"))


def _sarif(found: Sequence[audit.Finding], of: Mapping[str, manifest.Document]) -> dict[str, Any]:
    """As static analysis tools exchange results (OASIS SARIF 2.1.0)."""
    rules = [
        {"id": name, "shortDescription": {"text": inspect.getdoc(check) or name}}
        for name, check in audit.CHECKS.items()
    ]
    driver = {"name": "flowledger", "version": importlib.metadata.version("flowledger"), "rules": rules}
    results = [_result(one, of.get(one.subject)) for one in found]
    return {"$schema": _SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(one: audit.Finding, document: manifest.Document | None) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": one.subject}]}
    if document:
        location["physicalLocation"] = {"artifactLocation": {"uri": document.file}}
    return {
        "ruleId": one.check, "level": _LEVELS[one.severity], "message": {"text": one.sentence},
        "locations": [location],
    }  # fmt: skip
