"""``import``: flow logs that others have written, into the ledger.

All files are read first (`cli.exported`) and then written (`cli.intake`), so that nothing is written before
all is understood, and it is known which reports an export has from both ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import rich.progress

from cli import exported, intake, moments, output
from collector.exports import reading
from model import enums, errors
from runtime import settings
from store import location

FORMATS = exported.FORMATS

_HOUR, _DAY = 3600 * 10**9, 86_400 * 10**9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody wants imported.

    Attributes:
        files: Which files; ``-`` is the standard input.
        form: The format of all of them; empty to find out for each.
        node: Who is said to have observed what no node is said of; empty for the origin's name.
        dry_run: Whether only to read.
        strict: Whether a bad line is enough to import nothing.
    """

    files: tuple[pathlib.Path, ...]
    form: enums.Origin | None = None
    node: str = ""
    dry_run: bool = False
    strict: bool = False


def run(configured: settings.Store, wanted: Wanted) -> int:
    """Import files, and say what came of it.

    Returns:
        The exit code: 2 where a line was bad and that is too much.

    Raises:
        FlowledgerError: If a file cannot be read, its format is not known, no line of any is a flow, or the
            ledger takes no rows.
    """
    size = sum(map(reading.size, wanted.files))
    if not wanted.dry_run:
        intake.require_writable(configured.url)
    with tempfile.TemporaryFile(prefix="flowledger-import-") as kept:
        with _progress("reading", size) as advance:
            read = exported.read(wanted.files, wanted.form, wanted.node, kept, advance)
        total = exported.Total()
        for batch in exported.batches(kept):
            total.count(batch)
        _say_bad(read.files)
        bad = sum(file.bad for file in read.files)
        if not total.rows:
            raise errors.SetupError(_nothing(read.files, bad))
        if wanted.strict and bad:
            output.fail(f"{bad:,} bad lines, and --strict: nothing is imported")
            return 2
        already = list[exported.File]()
        if not wanted.dry_run:
            ledger = intake.opened(configured)
            with contextlib.closing(ledger), _progress("writing", total.rows) as advance:
                already = intake.write(ledger, read, kept, advance)
    _say(configured, wanted, read.files, total, already)
    return 0


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    screen = output.console(stderr=True)
    with rich.progress.Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(what, total=total or None)
        yield lambda done: progress.update(task, completed=done)


def _say_bad(files: Sequence[exported.File]) -> None:
    screen = output.console(stderr=True)
    for file in files:
        for line, reason in file.shown:
            screen.print(f"{file.name}:{line}: {output.printable(reason)}", markup=False)
        if file.bad:
            more = f"; the first {exported.SHOWN} are shown" if file.bad > exported.SHOWN else ""
            lines = "1 bad line" if file.bad == 1 else f"{file.bad:,} bad lines"
            screen.print(f"warning: {file.name}: {lines}{more}", markup=False)


def _nothing(files: Sequence[exported.File], bad: int) -> str:
    names = ", ".join(file.name for file in files)
    if bad:
        return f"no line of {names} is a flow that can be read: nothing is imported"
    return f"there is no flow in {names}: only replies, duplicates, or what is of another layer"


def _say(
    configured: settings.Store,
    wanted: Wanted,
    files: Sequence[exported.File],
    total: exported.Total,
    already: Sequence[exported.File],
) -> None:
    output.write(_table(total), "table", sys.stdout)
    screen = output.console()
    if skipped := sum(file.skipped for file in files):
        screen.print(f"{skipped:,} left out, no flows of their own: replies, duplicates, other layers.")
    for file in already:
        screen.print(f"{file.name} was imported before: nothing is added.", markup=False)
    if wanted.dry_run:
        screen.print("Nothing was written: --dry-run.")
        return
    _warn_of_age(configured, total)
    origins = ", ".join(sorted(total.spans))
    condition = f"origin = {origins}" if len(total.spans) == 1 else f"origin in ({origins})"
    since = f"{moments.moment(total.first // _HOUR * _HOUR).replace(' ', 'T')}Z"
    url = location.shown(configured.url)
    screen.print(f"What next: flowledger flows '{condition}' --since {since} --ledger {url}", markup=False)


def _table(total: exported.Total) -> pa.Table:
    origins = sorted(total.spans)
    verdicts = {one.value: [total.verdicts[of, one.value] for of in origins] for one in enums.Verdict}
    return pa.table({
        "origin": origins, **verdicts, "nodes": [len(total.nodes[of]) for of in origins],
        "from": [moments.moment(total.spans[of][0]) for of in origins],
        "until": [moments.moment(total.spans[of][1]) for of in origins],
    })  # fmt: skip


def _warn_of_age(configured: settings.Store, total: exported.Total) -> None:
    """Say that rows will go at once that are older than what the ledger keeps."""
    days = configured.retention_days
    if days and total.first < time.time_ns() - days * _DAY:
        output.console(stderr=True).print(
            f"warning: there are flows of more than {days} days ago, which is as long as a ledger keeps them "
            "unless it was made with another store.retention_days; their hours and days stay longer"
        )
