"""When the pods of CronJobs come."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import zoneinfo
from typing import Any

import cronsim
import numpy as np
import pytest

from cli import schedules
from model import cluster, errors, manifest
from policy import evidence, record

HOUR = 3600 * 10**9
DAY = 24 * HOUR
BEGIN = datetime.datetime(2026, 6, 15, 12, 30, tzinfo=datetime.UTC)  # a Monday
END = int(BEGIN.timestamp()) * 10**9


def _job(name: str = "backup", **spec: Any) -> manifest.Document:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": []}}
    body = {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": template}}, **spec},
    }  # fmt: skip
    return manifest.Document("f", 1, body)


def _variant(name: str, pods: int, kind: str = "CronJob") -> record.Variant:
    return record.Variant(workload=record.Workload("shop", kind, name), labels={}, pods=pods)


def _record(*variants: record.Variant) -> record.Record:
    """One without an edge."""
    rest: dict[str, Any] = {one.name: np.zeros(0, np.int64) for one in dataclasses.fields(record.Record)}
    return record.Record(**rest | {"variants": variants})


def _found(*jobs: manifest.Document, seen: tuple[record.Variant, ...] = ()) -> list[evidence.Schedule]:
    return schedules.schedules(cluster.read(jobs), _record(*seen), END)


def _waits(text: str, zone: str = "") -> int:
    (one,) = _found(_job(schedule=text, **({"timeZone": zone} if zone else {})))
    assert one.text == text
    return one.longest


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        pytest.param("* * * * *", HOUR // 60, id="each minute"),
        pytest.param("0 * * * *", HOUR, id="each hour"),
        pytest.param("*/20 8-17 * * *", 14 * HOUR + HOUR // 3, id="by day"),
        pytest.param("0 2,3,20 * * *", 17 * HOUR, id="some hours of a day"),
        pytest.param("30 3 * * *", DAY, id="each night"),
        pytest.param("*/5 9-17 * * MON-FRI", 2 * DAY + 15 * HOUR + HOUR // 12, id="in office hours"),
        pytest.param("0 3 * * 0", 7 * DAY, id="each Sunday"),
        pytest.param("0 0 1 * *", 31 * DAY, id="each month"),
        pytest.param("* * * 1 *", 334 * DAY + HOUR // 60, id="each minute of January"),
        pytest.param("0 0 14 6 *", 366 * DAY, id="once a year, and yesterday"),
        pytest.param("0 0 29 2 *", 1461 * DAY, id="once in four years"),
        pytest.param("@hourly", HOUR, id="hourly"),
        pytest.param("@daily", DAY, id="daily"),
        pytest.param("@midnight", DAY, id="midnight"),
        pytest.param("@weekly", 7 * DAY, id="weekly"),
        pytest.param("@monthly", 31 * DAY, id="monthly"),
        pytest.param("@yearly", 365 * DAY, id="yearly"),
        pytest.param("@annually", 365 * DAY, id="annually"),
        pytest.param("0 3 ? * ?", DAY, id="question marks for any"),
        pytest.param("0 3 13 * 5", 7 * DAY, id="either a date or a weekday"),
        pytest.param("0 3 */31 * 5", 7 * DAY, id="each so many days, or a weekday"),
        pytest.param("0 3 1 * */7", 7 * DAY, id="a date, or each so many weekdays"),
        pytest.param("0 3 */1 * 5", 7 * DAY, id="any day, and a weekday"),
    ],
)
def test_longest_wait_between_two_runs(text: str, longest: int) -> None:
    assert _waits(text) == longest


@pytest.mark.parametrize(
    ("text", "zone", "longest"),
    [
        pytest.param("0 12 * * *", "Europe/Berlin", 25 * HOUR, id="a day in autumn has an hour more"),
        pytest.param("0 0,12 * * *", "Europe/Berlin", 13 * HOUR, id="half a day in autumn too"),
        pytest.param("0 12 * * *", "Asia/Tokyo", DAY, id="no summer time"),
        pytest.param("0 12 * * *", "Europe/Atlantis", DAY, id="unknown here"),
        pytest.param("0 12 * * *", "America", DAY, id="no zone but a folder of them"),
        pytest.param("0 12 * * *", "/etc/hostname", DAY, id="no name of a zone"),
    ],
)
def test_wait_is_that_of_the_time_zone(text: str, zone: str, longest: int) -> None:
    assert _waits(text, zone) == longest


@pytest.mark.parametrize("zone", ["", "Europe/Berlin"])
@pytest.mark.parametrize(
    "text",
    ["17 4 * * *", "5 */6 * * *", "0 9,13 1,15 * *", "45 23 * 3-5 1", "10 0-3 28-31 2,11 *", "0 5 8 */2 6"],
)
def test_wait_is_that_of_a_walk_from_run_to_run(text: str, zone: str) -> None:
    begin = BEGIN.astimezone(zoneinfo.ZoneInfo(zone) if zone else datetime.UTC).replace(hour=0, minute=0)
    runs = (int(run.timestamp()) for run in cronsim.CronSim(text, begin))
    ahead = int(begin.timestamp()) + 400 * 86_400
    pairs = itertools.takewhile(lambda pair: pair[0] <= ahead, itertools.pairwise(runs))
    assert _waits(text, zone) == max(after - before for before, after in pairs) * 10**9


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("often", id="a word"),
        pytest.param("@every 1h", id="since nobody knows when"),
        pytest.param("* * * * * *", id="seconds"),
        pytest.param("61 * * * *", id="a minute that there is not"),
        pytest.param("0 0 31 2 *", id="a day that there is not"),
        pytest.param("CRON_TZ=UTC 0 3 * * *", id="a zone in it"),
    ],
)
def test_wait_of_what_is_not_understood_is_unknown(text: str) -> None:
    assert _waits(text) == 0


def test_each_cron_job_has_its_runs() -> None:
    seen = (
        _variant("hourly", 20), _variant("hourly", 4), _variant("backup", 1, kind="Job"), _variant("gone", 2),
        _variant("paused", 3), _variant("uncounted", 0),
    )  # fmt: skip
    jobs = [
        _job("hourly", schedule="@hourly"), _job("backup", schedule="@daily"),
        _job("paused", schedule="@daily", suspend=True), _job("on", schedule="@daily", suspend=False),
        _job("plain"),
    ]  # fmt: skip
    assert [(one.workload, one.text, one.longest, one.runs) for one in _found(*jobs, seen=seen)] == [
        (record.Workload("shop", "CronJob", name), text, longest, runs)
        for name, text, longest, runs in (
            ("backup", "@daily", DAY, 0), ("gone", "", 0, 2), ("hourly", "@hourly", HOUR, 24),
            ("on", "@daily", DAY, 0), ("plain", "", 0, 0), ("uncounted", "", 0, 1),
        )
    ]  # fmt: skip


def test_other_workloads_have_no_schedule() -> None:
    deployment = manifest.Document("f", 1, {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": []}}},
    })  # fmt: skip
    assert _found(deployment, seen=(_variant("web", 1, kind="Deployment"),)) == []


def test_job_that_nobody_has_declared_is_said_to_be_one() -> None:
    """What is said of it is a sentence of its own, without its times."""
    assert evidence.unseen(_found(seen=(_variant("gone", 1),)), DAY) == [
        "CronJob shop/gone ran once: what it does in other runs is not known."
    ]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"schedule": 5}, "schedule: must be text", id="schedule"),
        pytest.param({"schedule": "@daily", "timeZone": 1}, "timeZone: must be text", id="time zone"),
        pytest.param({"schedule": "@daily", "suspend": "no"}, "suspend: must be", id="suspend"),
    ],
)
def test_what_has_the_wrong_form_is_named(spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(errors.ManifestError, match=reason):
        _found(_job(**spec))
