"""Schedules: when the pods of CronJobs come, so that it can be said which of their runs a record lacks."""

from __future__ import annotations

import collections
import datetime
import functools
import itertools
import re
import zoneinfo

import cronsim

from model import cluster, manifest
from policy import evidence, record

_KIND = "CronJob"
_SECOND = 1_000_000_000
_MINUTE = datetime.timedelta(minutes=1)
_AHEAD = datetime.timedelta(days=400)
"""So far ahead days are looked at: a year has all that a schedule does."""

_NAMED = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
"""What a schedule may be in place of its fields."""
_FIELDS = 5
_STEPS = re.compile(r"^\*/(?!1\b)")
"""A choice of each second, third, …"""


def schedules(found: cluster.Cluster, seen: record.Record, span_end_ns: int) -> list[evidence.Schedule]:
    """When the pods of each CronJob come that is not suspended, or that is gone and ran in the span.

    Args:
        found: The cluster.
        seen: The record.
        span_end_ns: When the span ends, in ns since 1970: runs are looked at from then on.

    Raises:
        ManifestError: If what a CronJob says of its runs has the wrong form.
    """
    end = datetime.datetime.fromtimestamp(span_end_ns // _SECOND, datetime.UTC)
    runs = _runs(seen)
    declared = {
        record.Workload(one.namespace, one.kind, one.name): one.source.field().require("spec")
        for one in found.workloads if one.kind == _KIND
    }  # fmt: skip
    known = [
        _schedule(owner, spec, runs[owner], end.date())
        for owner, spec in declared.items() if not ((field := spec.get("suspend")) and field.boolean())
    ]  # fmt: skip
    gone = [evidence.Schedule(owner, "", 0, runs[owner]) for owner in runs.keys() - declared.keys()]
    return sorted(known + gone, key=lambda one: str(one.workload))


def _runs(seen: record.Record) -> collections.Counter[record.Workload]:
    """How many pods each CronJob had; where flows alone tell of them, nobody has counted: then it is one."""
    found: collections.Counter[record.Workload] = collections.Counter()
    for one in seen.variants:
        if one.workload.kind == _KIND:
            found[one.workload] += max(one.pods, 1)
    return found


def _schedule(
    owner: record.Workload, spec: manifest.Field, runs: int, begin: datetime.date
) -> evidence.Schedule:
    schedule, zone = spec.get("schedule"), spec.get("timeZone")
    text = schedule.text() if schedule else ""
    return evidence.Schedule(owner, text, _longest(text, zone.text() if zone else "", begin), runs)


def _longest(text: str, zone: str, begin: datetime.date) -> int:
    """The longest time between two runs, in ns; 0 where the schedule is not understood, or there are no two.

    All days on which it runs are alike: the first and the last run of each, and the longest wait between two
    of one day, say as much as all of them. So a schedule of each minute is no longer work than any other.
    """
    try:
        minute, hour, *choice = _fields(text)
        times, days = _times(minute, hour), _days(" ".join(choice), begin)
    except (cronsim.CronSimError, ValueError):
        return 0
    at = functools.partial(_at, _zone(zone))
    first, last = times[0], times[-1]
    before, after = max(itertools.pairwise(times), key=lambda some: some[1] - some[0], default=(first, first))
    longest = 0
    for day, following in itertools.pairwise(days):
        longest = max(longest, at(day, after) - at(day, before), at(following, first) - at(day, last))
    return longest * _SECOND


def _times(minute: str, hour: str) -> list[datetime.datetime]:
    """The runs of a day; which one it is says nothing.

    Raises:
        CronSimError: If that is not understood, here and below.
    """
    day = datetime.datetime(2001, 1, 1)
    runs = cronsim.CronSim(f"{minute} {hour} * * *", day - _MINUTE)
    return list(itertools.takewhile(lambda run: run.date() == day.date(), runs))


@functools.lru_cache(maxsize=1_000)  # CronJobs differ in the time of the day, and hardly in days
def _days(choice: str, begin: datetime.date) -> tuple[datetime.date, ...]:
    """The days on which there are runs: two at least, and as far as the first one after a year."""
    found: list[datetime.date] = []
    for run in cronsim.CronSim(f"0 0 {choice}", datetime.datetime.combine(begin, datetime.time()) - _MINUTE):
        found.append(run.date())
        if len(found) > 1 and found[-1] - begin > _AHEAD:
            break
    return tuple(found)


def _fields(text: str) -> list[str]:
    """The fields of a schedule, in cronsim's words where Kubernetes has others.

    Raises:
        ValueError: If it is not of five fields.
    """
    fields = _NAMED.get(text, text).replace("?", "*").split()
    if len(fields) != _FIELDS:
        raise ValueError(text)
    # Where the day of the month and the weekday both choose, either of them will do. */2 chooses too, but
    # cronsim takes whatever begins with a star for no choice.
    fields[2], fields[4] = _STEPS.sub("1-31/", fields[2]), _STEPS.sub("0-6/", fields[4])
    return fields


def _zone(name: str) -> datetime.tzinfo:
    """A time zone; UTC where none is named, as controllers have it.

    So it is where this machine does not know the zone: that moves runs, and a wait is an hour off at most.
    """
    try:
        return zoneinfo.ZoneInfo(name) if name else datetime.UTC
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.UTC


def _at(zone: datetime.tzinfo, day: datetime.date, run: datetime.datetime) -> int:
    """When there is a run of that time on a day, in seconds since 1970."""
    return int(datetime.datetime.combine(day, run.time(), zone).timestamp())
