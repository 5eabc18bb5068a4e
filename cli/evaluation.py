"""``policy eval``: what policies say of given connections, from manifests alone."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rich.progress
import rich.table
import rich.text

from cli import known, output
from model import cluster, enums, errors, manifest, policyhit
from policy import evaluate, parse, queries

FORMS = ("table", "json", "jsonl")

_WORDS = {False: "allowed", True: "denied"}
_STYLES = {"allowed": "green", "denied": "red"}


def cases(file: pathlib.Path, form: str) -> int:
    """Judge each case of a file, and print its verdicts; the exit code.

    Args:
        file: One case a line: ``id``, ``manifests`` and ``queries``.
        form: One of `FORMS`.

    Returns:
        0, 1 where an expectation is not met, or 2 where a case cannot be read.

    Raises:
        SetupError: If the file cannot be read.
    """
    lines = _lines(file)
    found = []
    code = 0
    screen = output.console(stderr=True)
    with rich.progress.Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        for line in progress.track(lines, description="cases"):
            answered, unmet = _case(file, *line)
            code = max(code, 2 if "error" in answered else int(unmet))
            if form == "jsonl":
                sys.stdout.write(json.dumps(answered) + "\n")
            else:
                found.append(answered)
    if form == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif form == "table":
        _show_cases(found)
    return code


def queried(manifests: pathlib.Path, file: pathlib.Path, form: str) -> int:
    """Judge the queries of a file on manifests, and print the verdicts; the exit code, as `cases` has it.

    Raises:
        FlowledgerError: If a manifest or a query cannot be read, or names a pod that is not there.
    """
    of, asked = known.manifests(manifests), _queries(file)
    if not asked:
        raise errors.SetupError(f"{file} asks nothing: write a list of connections")
    answers, unmet = _ask(of.engine(), asked, of.services)
    verdicts = [_verdict(answer) for answer in answers]
    if form == "table":
        _show(answers)
    elif form == "json":
        sys.stdout.write(json.dumps(verdicts, indent=2) + "\n")
    else:
        sys.stdout.writelines(json.dumps(verdict) + "\n" for verdict in verdicts)
    return 1 if unmet else 0


def _lines(file: pathlib.Path) -> list[tuple[int, str]]:
    try:
        return [(i, line) for i, line in enumerate(file.read_text().splitlines(), 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SetupError(f"cannot read {file}: {error}") from error


def _queries(file: pathlib.Path) -> list[manifest.Field]:
    """Queries are lines of JSON, or a list in YAML or JSON."""
    if file.suffix == ".jsonl":
        return [_parsed(file, number, line) for number, line in _lines(file)]
    if not file.is_file():
        raise errors.SetupError(f"no queries at {file}: there is no such file")
    return manifest.listed(file)


def _parsed(file: pathlib.Path, number: int, line: str) -> manifest.Field:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.ManifestError(str(file), number, "", f"is not JSON: {error}") from error
    return manifest.Field(manifest.Document(str(file), number, {}), "", body)


def _case(file: pathlib.Path, number: int, line: str) -> tuple[dict[str, Any], bool]:
    """The answer to a case, and whether an expectation of it is not met."""
    name: object = number
    try:
        field = _parsed(file, number, line).only("id", "manifests", "queries", "source", "title")
        name = field.mapping().get("id", number)
        documents = [
            document
            for i, item in enumerate(field.require("manifests").items())
            for document in manifest.objects(f"{file}, case {name}", i + 1, item.value)
        ]
        found = cluster.read(documents)
        engine = evaluate.Engine(parse.parse(documents), found)
        answers, unmet = _ask(engine, field.require("queries").items(), known.dialled(found))
    except errors.FlowledgerError as error:
        return {"id": name, "error": str(error)}, False
    return {"id": name, "verdicts": [_verdict(answer) for answer in answers]}, unmet


def _ask(
    engine: evaluate.Engine, fields: Sequence[manifest.Field], services: Mapping[bytes, str]
) -> tuple[list[queries.Answer], bool]:  # fmt: skip
    asker, asked = queries.Asker(engine), [queries.read(field) for field in fields]
    for field, query in zip(fields, asked, strict=True):
        try:
            asker.ends(query)
            for end in (query.src, query.dst):
                known.require_judged(services, end)
        except (LookupError, errors.SetupError) as error:
            raise field.error(str(error)) from None
    answers = asker.ask(asked)
    return answers, any(one.query.expect not in (None, one.denied) for one in answers)


def _verdict(answer: queries.Answer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "verdict": _WORDS[answer.denied], "egress": _side(answer.egress, answer.isolated_out),
        "ingress": _side(answer.ingress, answer.isolated_in),
    }  # fmt: skip
    if answer.pending is not None:
        found["pending"] = _WORDS[answer.pending]
    if answer.query.expect is not None:
        found["as_expected"] = answer.query.expect == answer.denied
    return found


def _side(hits: Sequence[policyhit.PolicyHit], isolated_by: Sequence[str]) -> dict[str, Any]:
    """One direction: its verdict, the rule that decided, and all that was met."""
    if not hits:
        return {"verdict": "not judged", "trace": []}
    last = hits[-1]
    found = {
        "verdict": _WORDS[last.action == "deny"], "decided_by": last.describe().partition(": ")[2],
        "trace": [hit.render() for hit in hits],
    }  # fmt: skip
    return found | ({"isolated_by": list(isolated_by)} if last.kind == policyhit.END_OF_TIER else {})


def _show(answers: Sequence[queries.Answer]) -> None:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name in ("source", "destination", "protocol", "port", "verdict", "decided by"):
        table.add_column(
            name, overflow="fold", justify="right" if name == "port" else "left", no_wrap=name == "verdict"
        )
    for answer in answers:
        query, word = answer.query, _WORDS[answer.denied]
        wrong = " (not as expected)" if query.expect not in (None, answer.denied) else ""
        table.add_row(
            rich.text.Text(query.src), rich.text.Text(query.dst),
            rich.text.Text(enums.protocol_name(query.protocol)), str(query.port or ""),
            rich.text.Text(word + wrong, style=_STYLES[word]), rich.text.Text(_reason(answer)),
        )  # fmt: skip
    output.console().print(table)


def _reason(answer: queries.Answer) -> str:
    """The egress reason if egress denies, else the ingress reason; where it is allowed, both."""
    sides = [hits[-1] for hits in (answer.egress, answer.ingress) if hits]
    denying = [hit for hit in sides if hit.action == "deny"]
    return "; ".join(hit.describe() for hit in (denying[:1] or sides)) or "no policy has a say"


def _show_cases(found: Sequence[dict[str, Any]]) -> None:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name in ("case", "allowed", "denied", "not as expected", "error"):
        table.add_column(name, overflow="fold")
    for case in found:
        table.add_row(rich.text.Text(str(case["id"])), *_counts(case))
    output.console().print(table)


def _counts(case: dict[str, Any]) -> Iterator[rich.text.Text]:
    verdicts = case.get("verdicts", [])
    for word in ("allowed", "denied"):
        yield rich.text.Text(str(sum(one["verdict"] == word for one in verdicts)))
    unmet = sum(not one.get("as_expected", True) for one in verdicts)
    yield rich.text.Text(str(unmet or ""), style="red")
    yield rich.text.Text(case.get("error", ""), style="red")
