"""Scans of a map one after another: each entry one key for its life, and its end told once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.conntrack import decode, table
from collector.ebpf import lives

SECOND = 1_000_000_000
Build = Callable[..., decode.Connections]


class Map:
    """What a map has, as a scan decodes it."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self.lives = lives.Lives()

    def scan(self, *entries: dict[str, object]) -> decode.Connections:
        """The rows of a scan that finds these."""
        plain = {"id": 0, "started": 0, "stopped": 200 * SECOND}
        return self.lives.update(self._build(*(plain | one for one in entries)))


@pytest.fixture
def scanned(connections: Build) -> Map:
    return Map(connections)


def test_living_entry_keeps_its_key(scanned: Map) -> None:
    first = scanned.scan({})
    second = scanned.scan({"forward_bytes": 400, "stopped": 210 * SECOND})
    assert first["key"].tolist() == second["key"].tolist()
    assert (second["forward_bytes"].item(), second["stopped"].item()) == (400, 210 * SECOND)
    assert not second["destroyed"].any()


def test_entry_of_the_first_scan_began_nobody_knows_when(scanned: Map) -> None:
    assert scanned.scan({})["started"].item() == 0
    assert scanned.lives.fresh == 0
    assert scanned.scan({})["started"].item() == 0


def test_new_entry_began_when_it_was_first_seen_to_be_used(scanned: Map) -> None:
    scanned.scan()
    first = scanned.scan({"stopped": 205 * SECOND})
    assert (first["started"].item(), scanned.lives.fresh) == (205 * SECOND, 1)
    second = scanned.scan({"stopped": 215 * SECOND})
    assert (second["started"].item(), scanned.lives.fresh) == (205 * SECOND, 0)
    assert second["key"].tolist() == first["key"].tolist()


def test_vanished_entry_is_destroyed_once_with_its_last_counts(scanned: Map) -> None:
    first = scanned.scan({}, {"src_port": 1})
    second = scanned.scan({"src_port": 1})
    (gone,) = second[second["destroyed"]]
    assert gone["key"] in first["key"]
    assert (gone["src_port"], gone["forward_bytes"], gone["stopped"]) == (40000, 300, 200 * SECOND)
    assert not scanned.scan({"src_port": 1})["destroyed"].any()


def test_bytes_that_went_back_are_of_another_connection(scanned: Map) -> None:
    first = scanned.scan({})
    second = scanned.scan({"forward_bytes": 60, "forward_packets": 1, "stopped": 210 * SECOND})
    assert second["destroyed"].tolist() == [False, True]
    assert second["key"][1] == first["key"][0] != second["key"][0]
    assert second["forward_bytes"].tolist() == [60, 300]
    assert second["started"].tolist() == [210 * SECOND, 0]
    assert second["tuple"][0] == second["tuple"][1]


def test_packets_go_on_where_the_map_s_counter_begins_anew(scanned: Map) -> None:
    scanned.scan({"forward_packets": 2**32 - 2, "forward_bytes": 10**12})
    for packets, total in ((3, 2**32 + 3), (2**32 - 1, 2**33 - 1), (0, 2**33)):
        row = scanned.scan({"forward_packets": packets, "forward_bytes": 10**12})
        assert row["forward_packets"].tolist() == [total]


def test_entry_that_a_scan_gives_twice_counts_once(scanned: Map) -> None:
    found = scanned.scan({"forward_bytes": 300}, {"forward_bytes": 400}, {"forward_bytes": 350})
    assert found["forward_bytes"].tolist() == [400]


def test_rows_are_those_that_live(scanned: Map) -> None:
    scanned.scan({}, {"src_port": 1})
    scanned.scan({"src_port": 1})
    assert scanned.lives.rows["src_port"].tolist() == [1]


def test_nothing_at_all(scanned: Map) -> None:
    assert len(scanned.scan()) == 0
    assert len(scanned.scan()) == 0


SCANS = st.lists(
    st.dictionaries(st.integers(1, 5), st.tuples(st.integers(0, 99), st.integers(0, 99))), max_size=8
)


@given(gains=SCANS)
def test_table_makes_of_it_what_was_carried(connections: Build, gains: list[dict]) -> None:
    """All that an entry gains while it lives is reported once, whatever comes and goes around it."""
    scanned, follow = Map(connections), table.Table(0)
    held: dict[int, list[int]] = {}
    reported = carried = 0
    follow.update(_by_key(scanned.scan()), SECOND)
    for number, gain in enumerate(gains):
        held = {
            port: [sum(pair) for pair in zip(held.get(port, [0, 0]), more, strict=True)]
            for port, more in gain.items()
        }
        carried += sum(map(sum, gain.values()))
        found = scanned.scan(*(
            {"src_port": port, "forward_bytes": sent, "reverse_bytes": got, "stopped": number + 1}
            for port, (sent, got) in held.items()
        ))  # fmt: skip
        changes = follow.update(_by_key(found), (number + 2) * SECOND)
        reported += int(changes.entries["forward_bytes"].sum() + changes.entries["reverse_bytes"].sum())
        assert changes.vanished == 0
        assert len(follow) == len(held)
    assert reported == carried


def _by_key(rows: decode.Connections) -> decode.Connections:
    return decode.take(rows, np.argsort(rows["key"]))
