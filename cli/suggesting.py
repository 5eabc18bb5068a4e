"""``policy suggest``: from what the ledger has recorded to policies, with the evidence and the proof."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import rich.progress

from cli import known, moments, output, recording, reporting, schedules
from model import enums, errors
from policy import acceptance, drafting, evidence, needs, objects, proof, stable, suggest
from store import counting, filters, transport

FORMS = ("yaml", "table", "json", "diff")
ADMISSIBLE = tuple(str(one) for one in acceptance.Reason if one is not acceptance.Reason.CROWD)
"""The reasons for leaving something out that ``--admit`` may name."""

_DAY, _WEEK = 86_400 * 10**9, 7 * 86_400 * 10**9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks for.

    Attributes:
        targets: Namespaces, and workloads as ``namespace/name``; none for all.
        span: Which stretch of time to learn from.
        wanted: How policies are to be.
        complete: The share of the span that has to be recorded, from 0 to 1.
    """

    targets: tuple[str, ...]
    span: counting.Span
    wanted: suggest.Wanted
    complete: float


def wanted(
    kind: str, tier: str, direction: str | None, admit: Sequence[str], bounds: needs.Bounds, least: str
) -> suggest.Wanted:
    """How policies are to be, as people say it.

    Raises:
        SetupError: If something of it makes no sense.
    """
    if kind == drafting.Kind.KUBERNETES and tier != objects.DEFAULT_TIER:
        raise errors.SetupError(
            "a Kubernetes NetworkPolicy has no tier: --tier goes with --kind calico or staged"
        )
    for word in admit:
        _require_admissible(word)
    directions = (enums.Direction(direction),) if direction else tuple(enums.Direction)
    return suggest.Wanted(
        kind=drafting.Kind(kind), tier=tier, directions=directions,
        admitted=tuple(acceptance.Reason(one) for one in admit), bounds=bounds,
        least=int(moments.seconds(least) * 1e9),
    )  # fmt: skip


def _require_admissible(word: str) -> None:
    """Make sure that something that is left out for a reason can be admitted by naming that."""
    if word not in ADMISSIBLE:
        if word == acceptance.Reason.CROWD:
            raise errors.SetupError(
                "addresses of a crowd are admitted by --prefixes, --widen or --everywhere"
            )
        raise errors.SetupError(f"nothing is left out for {word!r}: --admit knows {', '.join(ADMISSIBLE)}")


def run(url: str, of: known.Known, asked: Asked, form: str) -> int:
    """Suggest policies, and print them.

    Args:
        url: The ledger.
        of: The policies as they are.
        asked: What is asked for.
        form: One of `FORMS`.

    Returns:
        The exit code: 1 where nothing could be suggested though something was asked for, or the proof fails.

    Raises:
        FlowledgerError: If the ledger does not answer, has nothing of that span, or a policy is not
            understood.
    """
    with contextlib.closing(transport.open(url)) as ledger:
        result = suggested(ledger, of, asked)
    if form == "json":
        sys.stdout.write(json.dumps(reporting.plain(result), indent=2) + "\n")
    elif form == "table":
        reporting.show(output.console(), result)
    else:
        sys.stdout.write(reporting.diffs(result) if form == "diff" else reporting.yaml(result))
        sys.stdout.flush()
        reporting.show(output.console(stderr=True), result)
    nothing = not result.made.policies and bool(result.made.refusals)
    return 1 if nothing or not result.proof.holds else 0


def suggested(ledger: transport.Transport, of: known.Known, asked: Asked) -> reporting.Result:
    """A suggestion and its proof.

    Raises:
        FlowledgerError: As for `run`.
    """
    condition = filters.compile(_condition(asked.targets))
    with output.working("reading the record"):
        recorded = recording.read(ledger, asked.span, condition)
    _require_enough(recorded, asked)
    suggester = _suggester(recorded, of, asked)
    if suggester.before.uncertain.any():  # the flows themselves tell the families
        with output.working("reading the flows"):
            recorded = recording.read(ledger, asked.span, condition, rows=True)
        suggester = _suggester(recorded, of, asked)
    chosen = _chosen(asked.targets, suggester.groups)
    with _progress() as told:
        made = suggester.suggest(chosen, told)
    with output.working("replaying the record"):
        proved = proof.prove(suggester, made, of.documents, asked.wanted.kind)
    length = recorded.span.end - recorded.span.start
    jobs = schedules.schedules(of.cluster, recorded.record, recorded.span.end)
    return reporting.Result(
        recorded=recorded, made=made, proof=proved, covered=_covered(length, jobs),
        unseen=tuple(_unseen(length, jobs)),
    )  # fmt: skip


def _suggester(recorded: recording.Recorded, of: known.Known, asked: Asked) -> suggest.Suggester:
    return suggest.Suggester(recorded.record, recorded.asked.end, of.documents, of.cluster, asked.wanted)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    screen = output.console(stderr=True)
    with rich.progress.Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("workloads")
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _require_enough(recorded: recording.Recorded, asked: Asked) -> None:
    """Make sure that the record is long and complete enough to learn from."""
    have = recorded.span.end - recorded.span.start
    if have < asked.wanted.least:
        raise errors.SetupError(
            f"{moments.length(have)} are recorded of that span: too short a time to learn from; --least asks "
            f"for {moments.length(asked.wanted.least)}"
        )
    if recorded.complete.share < asked.complete:
        raise errors.SetupError(
            f"the record is {recorded.complete}: too little to learn from; --complete asks for "
            f"{asked.complete:.0%}"
        )


def _condition(targets: Iterable[str]) -> str:
    """The flows that the namespaces of some targets took part in, as a filter expression.

    What one workload needs is not enough where labels do not tell its pods from those of another.
    """
    namespaces = dict.fromkeys(target.partition("/")[0] for target in targets)
    return " or ".join(
        f"{side}.namespace = {filters.quoted(namespace)}"
        for namespace in namespaces
        for side in ("src", "dst")
    )


def _chosen(targets: Sequence[str], groups: Iterable[stable.Group]) -> Callable[[stable.Group], bool]:
    """The test for groups that are asked about.

    Raises:
        SetupError: If a target is not there.
    """
    there = {name for one in groups for name in (one.namespace, *map(str, one.workloads))}
    for target in targets:
        if target not in there:
            raise errors.SetupError(f"no pod of {target} is recorded in that span")
    return lambda group: (
        not targets or any(target in (group.namespace, *map(str, group.workloads)) for target in targets)
    )


def _covered(length: int, jobs: Sequence[evidence.Schedule]) -> str:
    """What a record of that length has shown."""
    whole = [word for word, unit in (("a day", _DAY), ("a week", _WEEK)) if length >= unit]
    seen = sum(one.runs > 1 and 0 < one.longest <= length for one in jobs)
    if jobs:
        whole.append(f"the time between two runs of {seen:,} of {len(jobs):,} CronJobs")
    return (
        f"The record covers {', '.join(whole[:-1])}{' and ' if whole[1:] else ''}{whole[-1]}."
        if whole
        else ""
    )


def _unseen(length: int, jobs: Sequence[evidence.Schedule]) -> Iterator[str]:
    """What a record of that length cannot have shown."""
    if length < _DAY:
        yield "The record covers no whole day: what comes once a day may be missing."
    elif length < _WEEK:
        yield "The record covers no whole week: what comes once a week may be missing."
    yield from evidence.unseen(jobs, length)
