"""``flows``: what the ledger holds, in a terminal or for a program."""

from __future__ import annotations

import sys
import time

import pyarrow as pa

from cli import moments, output
from model import errors
from store import filters, losses, migrations, queries, transport

SHOWN = ("time", "src", "dst", "dst_port", "protocol", "verdict", "forward_bytes", "reverse_bytes",
          "deciding_rule", "id")  # fmt: skip
_PENDING = "pending_verdict"
_POLL_SECONDS = 1.0


def run(url: str, text: str, *, since: str, limit: int, follow: bool, form: str) -> None:
    """Print flows.

    Raises:
        FlowledgerError: If the filter is wrong or the ledger does not answer.
    """
    if follow and form not in output.STREAMED:
        raise errors.SetupError(f"--follow writes {', '.join(output.STREAMED)}; {form} has an end")
    condition, span = filters.compile(text), moments.since(since)
    ledger = transport.open(url)
    migrations.check(ledger)
    found = queries.stated(queries.flows, ledger, span, condition, limit=limit)
    found = found.take(pa.array(range(len(found) - 1, -1, -1), pa.int64()))
    names = _shown(condition, found)
    if len(found) or follow or form != "table":
        output.write(found, form, sys.stdout, names)
    else:
        output.console(stderr=True).print(f"no such flow {moments.told(since)}; --since goes further back")
    if form == "table":
        _state(found)
    if len(found) == limit and not follow:
        output.console(stderr=True).print(f"the newest {limit} are shown; --limit shows more")
    if follow:
        _follow(ledger, condition, found, limit, form, names)


def _shown(condition: filters.Condition, found: pa.Table) -> tuple[str, ...]:
    """What a person sees; pending verdicts where somebody asks for them or there are any."""
    if _PENDING not in condition.columns and not any(found.column(_PENDING).to_pylist()):
        return SHOWN
    at = SHOWN.index("verdict") + 1
    return (*SHOWN[:at], _PENDING, *SHOWN[at:])


def _state(found: pa.Table) -> None:
    """Say how complete the record is, where nodes have reported it."""
    complete = losses.attached(found)
    if complete and complete != losses.Completeness():
        output.console(stderr=True).print(str(complete), markup=False)


def _follow(
    ledger: transport.Transport,
    condition: filters.Condition,
    shown: pa.Table,
    limit: int,
    form: str,
    names: tuple[str, ...],
) -> None:
    """Go on for ever with what comes after the last row."""
    last = _last(shown, time.time_ns())
    while True:
        sys.stdout.flush()
        time.sleep(_POLL_SECONDS)
        fresh = queries.since(ledger, last, condition, limit)
        if len(fresh):
            output.write(fresh, form, sys.stdout, names, header=False)
            last = _last(fresh, last)


def _last(rows: pa.Table, otherwise: int) -> int:
    times = rows.column("time").cast(pa.int64()).to_numpy()
    return int(times.max()) if len(times) else otherwise
