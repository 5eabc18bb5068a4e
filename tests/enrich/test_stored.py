"""The feed from the ledger, over tables that are kept in memory."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from enrich import changes, history, identity, lives, stored, tables
from model import address, columns, enums, errors, manifest
from runtime import logs
from store import ddl

SECOND = 1_000_000_000
START = 1_767_225_600 * SECOND


_ASKED = ("endpoints", "services", "policies", "watched")


class Tables:
    """What a ledger would answer, and whether it does."""

    def __init__(self) -> None:
        self.rows = {name: ddl.TABLES[name].empty_table() for name in (*_ASKED, "label_sets")}
        self.away = False
        self.asked: list[tuple[str, int | None]] = []

    def write(self, said: changes.Changes, written: int, as_of: int) -> None:
        self._add("endpoints", tables.endpoints(said.claims, written))
        self._add("services", tables.services(said.ports, written))
        self._add("policies", tables.policies(said.revisions, written))
        self._add("label_sets", {"labels_id": list(said.labels), "labels": list(said.labels.values())})
        self._add(
            "watched",
            {
                "source": ["kubernetes"],
                "cluster": [""],
                "since": [START],
                "as_of": [as_of],
                "written": [written],
            },
        )

    def _add(self, name: str, rows: dict[str, list[object]]) -> None:
        self.rows[name] = pa.concat_tables(
            [self.rows[name], pa.Table.from_batches([columns.batch(ddl.TABLES[name], rows)])]
        )

    def _found(self, name: str, after: int | None) -> pa.Table:
        if self.away:
            raise errors.StoreError("no ledger answers")
        self.asked.append((name, after))
        written = self.rows[name].column("written").cast(pa.int64())
        return self.rows[name].filter(pc.greater(written, -1 if after is None else after))

    def endpoints(self, written_after: int | None, ended_after: int) -> pa.Table:
        return self._found("endpoints", written_after)

    def services(self, written_after: int | None, ended_after: int) -> pa.Table:
        return self._found("services", written_after)

    def policies(self, written_after: int | None, ended_after: int) -> pa.Table:
        return self._found("policies", written_after)

    def labels(self, ids: Collection[int]) -> pa.Table:
        self.asked.append(("label_sets", None))
        if self.away:
            raise errors.StoreError("no ledger answers")
        found = [row for row in self.rows["label_sets"].to_pylist() if row["labels_id"] in ids]
        return pa.Table.from_pylist(found, schema=ddl.LABEL_SETS)

    def watched(self) -> pa.Table:
        return self._found("watched", None).slice(max(self.rows["watched"].num_rows - 1, 0))


class Clock:
    now = START

    def __call__(self) -> int:
        return self.now


def _claim(name: str, start: int, end: int = identity.FOREVER) -> identity.Claim:
    who = identity.Identity(kind=enums.EndpointKind.POD, pod=name)
    return identity.Claim(
        address=address.pack("10.0.0.1"),
        uid=name,
        identity=who,
        valid_from=start,
        sure_from=start,
        sure_to=end,
        valid_to=end,
    )


def _feed() -> tuple[Tables, Clock, stored.Stored]:
    kept, clock = Tables(), Clock()
    return kept, clock, stored.Stored(kept, poll_seconds=5, now=clock)


def _who(feed: stored.Stored, time: int) -> str:
    packed = np.frombuffer(address.pack("10.0.0.1"), np.uint8).reshape(-1, 16)
    who = feed.names.enricher.who
    (code,) = who.find(packed, np.array([time], np.int64))
    return next(who.identities.some([code])).pod


def test_everything_once_then_what_is_new() -> None:
    kept, clock, feed = _feed()
    kept.write(changes.Changes(claims=(_claim("web", START),)), START, START + SECOND)
    feed.refresh()
    assert _who(feed, START + 1) == "web"
    assert {after for _, after in kept.asked} == {None}
    kept.asked.clear()
    assert not feed.refresh()
    assert kept.asked == []  # it is not time yet
    clock.now += 100 * SECOND
    kept.write(
        changes.Changes(
            claims=(_claim("web", START, START + 50 * SECOND), _claim("cart", START + 50 * SECOND))
        ),
        clock.now,
        clock.now,
    )
    feed.refresh()
    assert [_who(feed, START + second * SECOND) for second in (10, 60)] == ["web", "cart"]
    assert ("endpoints", START - 60 * SECOND) in kept.asked
    assert (feed.names.since, feed.names.as_of) == (START, clock.now)
    assert not feed.said()


def test_what_is_taken_back_names_nobody() -> None:
    kept, clock, feed = _feed()
    kept.write(changes.Changes(claims=(_claim("web", START + 1),)), START, START)
    feed.refresh()
    clock.now += 10 * SECOND
    never = dataclasses.replace(_claim("web", START + 1), sure_to=START + 1, valid_to=START + 1)
    kept.write(changes.Changes(claims=(never,)), clock.now, clock.now)
    feed.refresh()
    assert _who(feed, START + 2) == ""


def test_ledger_that_is_away_leaves_what_is_known() -> None:
    kept, clock, feed = _feed()
    kept.away = True
    assert not feed.refresh()
    kept.away = False
    kept.write(changes.Changes(claims=(_claim("web", START),)), START, START + SECOND)
    feed.refresh()
    assert _who(feed, START + 1) == ""  # it is not time yet
    clock.now += 5 * SECOND
    feed.refresh()
    kept.away = True
    clock.now += 5 * SECOND
    assert not feed.refresh()
    assert (_who(feed, START + 1), feed.names.as_of) == ("web", START + SECOND)


def test_label_set_is_asked_for_when_it_is_wanted() -> None:
    kept, _, feed = _feed()
    kept.write(changes.Changes(labels={7: {"app": "web"}, 8: {"app": "cart"}}), START, START)
    for _ in range(2):
        assert feed.label_sets([7])[7] == {"app": "web"}
    assert kept.asked == [("label_sets", None)]
    assert 9 not in feed.label_sets([9])
    assert feed.label_sets([7, 8])[8] == {"app": "cart"}


def test_policies_come_too() -> None:
    kept, _, feed = _feed()
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {},
    }
    past = history.History(lives.Clock())
    past.changed(manifest.Document("f", 1, body), START)
    kept.write(past.news(), START, START)
    (found,) = feed.refresh().revisions
    assert found.document.body == body


def test_ledger_into_which_nobody_writes_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_limited", logs.Limited("enrich.stored", seconds=0))
    kept, clock, feed = _feed()
    with caplog.at_level(logging.WARNING):
        feed.refresh()
        assert [record.fields for record in caplog.records] == [{"last_heard": "never"}]
        caplog.clear()
        clock.now += 60 * SECOND
        kept.write(changes.Changes(), clock.now, clock.now)
        feed.refresh()
        assert caplog.records == []
        clock.now += 600 * SECOND
        feed.refresh()
        assert "nobody writes names into the ledger" in caplog.messages[0]
