"""Connections of a node: maps of the real kernel, beside what its own table gave."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from collector.conntrack import decode, scope
from collector.ebpf import maps, source
from model import address, errors

pytestmark = pytest.mark.net

V4, V6 = "cali_v4_ct4", "cali_v6_ct4"
NOTHING = np.zeros(0, decode.CONNECTION)
SECOND = 1_000_000_000
Entry = Callable[..., Any]


def _ports(rows: decode.Connections) -> list[tuple[int, bool]]:
    assert (np.diff(rows["key"].astype(object)) > 0).all()
    return sorted(zip(rows["src_port"].tolist(), rows["destroyed"].tolist(), strict=True))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param([], [], id="none"),
        pytest.param([V4], [V4], id="one"),
        pytest.param([V6, V4], [V4, V6], id="both families"),
        pytest.param(["cali_v4_ct3", V4, "cali_v4_ct"], [V4], id="left behind"),
        pytest.param(["cali_v4_ct10", V4], ["cali_v4_ct10"], id="of two digits"),
        pytest.param(["cali_v4_ctl", "cali_v4_nat_fe3"], [], id="other maps"),
    ],
)
def test_pins(tmp_path: pathlib.Path, names: list[str], found: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert [pin.name for pin in source.pins(tmp_path)] == found


def test_no_folder(tmp_path: pathlib.Path, connections: Callable[..., decode.Connections]) -> None:
    kernel = connections({})
    assert source.pins(None) == source.pins(tmp_path / "nothing") == []
    for folder in (None, tmp_path, tmp_path / "nothing"):
        made = source.Source(folder)
        assert made.read(kernel) is kernel
        assert not made.present


def test_check(pinned) -> None:
    pinned.create(V4)
    pinned.create(V6)
    (pin, other) = source.pins(pinned.folder)
    source.check(pinned.folder, pin)
    with pytest.raises(errors.SetupError, match=f"{V6} is not version 4 as it is known"):
        source.check(pinned.folder, other)


@pytest.mark.parametrize(
    ("name", "kind"), [("cali_v4_ct3", maps.HASH), ("cali_v4_ct4", maps.LRU_HASH)], ids=["v3", "v4"]
)
def test_each_version(pinned, entry: Entry, name: str, kind: int) -> None:
    pinned.create(name, kind=kind)
    pinned.put(name, [entry(a_port=port).pair() for port in (1, 2, 3)])
    made = source.Source(pinned.folder)
    assert _ports(made.read(NOTHING)) == [(1, False), (2, False), (3, False)]
    assert (made.present, made.problems, made.notes, made.malformed, made.error) == (True, [], [], 0, "")


def test_vanished_entry_becomes_destroyed(pinned, entry: Entry) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry(a_port=port).pair() for port in (1, 2)])
    made = source.Source(pinned.folder)
    first = made.read(NOTHING)
    pinned.delete(V4, entry(a_port=1).key)
    pinned.put(V4, [entry(a_port=3).pair()])
    second = made.read(NOTHING)
    assert _ports(second) == [(1, True), (2, False), (3, False)]
    assert made.fresh == 1
    assert second["key"][second["destroyed"]].item() in first["key"]
    assert _ports(made.read(NOTHING)) == [(2, False), (3, False)]


def test_both_families(pinned, entry: Entry) -> None:
    pinned.create(V4)
    pinned.create(V6, (40, 128))
    pinned.put(V4, [entry(a_port=1).pair()])
    pinned.put(V6, [entry(a="fd00::1", b="fd00::2", a_port=2).pair()])
    made = source.Source(pinned.folder)
    found = made.read(NOTHING)
    assert sorted(address.render(row.tobytes()) for row in found["src"]) == ["10.0.0.1", "fd00::1"]
    pinned.delete(V6, entry(a="fd00::1", b="fd00::2", a_port=2).key)
    assert _ports(made.read(NOTHING)) == [(1, False), (2, True)]


def test_times_are_those_of_the_wall_clock(pinned, entry: Entry) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry(last_seen=time.monotonic_ns() - 3 * SECOND).pair()])
    age = time.time_ns() - source.Source(pinned.folder).read(NOTHING)["stopped"].item()
    assert 2 * SECOND < age < 60 * SECOND


def test_map_wins_over_the_kernel_s_table(
    pinned, entry: Entry, connections: Callable[..., decode.Connections]
) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry(a_port=1).pair(), entry(a_port=2, flags=0x100).pair()])
    kernel = connections(
        {"src_port": 1, "forward_bytes": 17, "snat": "192.0.2.1", "snat_port": 1001}, {"src_port": 3},
        {"src_port": 2, "forward_bytes": 17},  # of which the kernel saw answers alone
    )  # fmt: skip
    rows = source.Source(pinned.folder).read(kernel)
    assert _ports(rows) == [(1, False), (3, False), (80, False)]
    first = rows[rows["src_port"] == 1]
    assert first["forward_bytes"].tolist() == [300]
    assert (address.render(first["snat"].tobytes()), first["snat_port"].item()) == ("192.0.2.1", 1001)


def test_kernel_s_entry_that_outlives_the_map_s_counts_no_more(
    pinned, entry: Entry, connections: Callable[..., decode.Connections]
) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry().pair()])
    kernel = connections({}, {"src_port": 3})
    made = source.Source(pinned.folder)
    made.read(kernel)
    pinned.delete(V4, entry().key)
    assert _ports(made.read(kernel)) == [(3, False), (40000, True)]
    assert _ports(made.read(kernel)) == [(3, False)]
    ended = kernel.copy()
    ended["destroyed"] = True
    assert _ports(made.read(ended)) == [(3, True)]
    assert _ports(made.read(connections({"id": 2}))) == [(40000, False)]  # the next one is the kernel's alone


def test_ping_in_both_counts_once(
    pinned, entry: Entry, connections: Callable[..., decode.Connections]
) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry(protocol=1, a_port=0, b_port=0).pair()])
    echo = {"protocol": 1, "src_port": 0, "dst_port": 0, "icmp_type": 8}
    kernel = connections(
        echo | {"icmp_id": 7}, echo | {"icmp_id": 8}, echo | {"icmp_id": 7, "dst": "10.0.0.3"}
    )
    rows = source.Source(pinned.folder).read(kernel)
    assert sorted(rows["icmp_id"].tolist()) == [0, 7]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [(scope.Scope(zone=0), 1), (scope.Scope(zone=3), 0), (scope.Scope(mark=1), 0), (scope.Scope(mark=0), 1)],
)
def test_scope(pinned, entry: Entry, wanted: scope.Scope, count: int) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry().pair()])
    made = source.Source(pinned.folder, wanted)
    assert len(made.read(NOTHING)) == count
    pinned.put(V4, [entry(a_port=1).pair()])
    assert len(made.read(NOTHING)) == 2 * count
    assert made.fresh == count


def test_map_that_cannot_be_read_has_what_it_had(
    pinned, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry(a_port=port).pair() for port in (1, 2)])
    made = source.Source(pinned.folder)
    first = made.read(NOTHING)
    pinned.delete(V4, entry(a_port=1).key)
    with monkeypatch.context() as broken:
        broken.setattr(maps.Map, "entries", _fail)
        assert made.read(NOTHING)["key"].tolist() == first["key"].tolist()
        assert made.problems == [f"{V4} cannot be read: Cannot allocate memory"]
    assert _ports(made.read(NOTHING)) == [(1, True), (2, False)]
    assert made.problems == []


def _fail(opened: maps.Map) -> None:
    raise OSError(12, "Cannot allocate memory")


def test_layout_that_is_not_known_leaves_the_kernel_s_table(
    pinned, entry: Entry, connections: Callable[..., decode.Connections]
) -> None:
    pinned.create("cali_v4_ct9")
    pinned.put("cali_v4_ct9", [entry().pair()])
    pinned.create(V6, (40, 128))
    pinned.put(V6, [entry(a="fd00::1", b="fd00::2", a_port=2).pair()])
    made = source.Source(pinned.folder)
    assert _ports(made.read(connections({"src_port": 3}))) == [(2, False), (3, False)]
    assert made.problems == ["cali_v4_ct9 has version 9, of which only 3 and 4 are known"]


def test_upgrade_goes_on_where_it_was(pinned, entry: Entry) -> None:
    """Felix copies what the earlier map has into the one of the new layout."""
    pinned.create("cali_v4_ct3", kind=maps.HASH)
    pinned.put("cali_v4_ct3", [entry().pair()])
    made = source.Source(pinned.folder)
    first = made.read(NOTHING)
    pinned.create(V4)
    pinned.put(V4, [entry().pair(), entry(a_port=2).pair()])
    second = made.read(NOTHING)
    assert _ports(second) == [(2, False), (40000, False)]
    assert first["key"].item() in second["key"]


def test_dataplane_that_goes_away_ends_all(pinned, entry: Entry) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry().pair()])
    made = source.Source(pinned.folder)
    made.read(NOTHING)
    pinned.remove(V4)
    assert _ports(made.read(NOTHING)) == [(40000, True)]
    assert _ports(made.read(NOTHING)) == []
    pinned.create(V4)
    pinned.put(V4, [entry().pair()])
    assert _ports(made.read(NOTHING)) == [(40000, False)]


def test_entry_that_cannot_be_read_is_counted(pinned, entry: Entry) -> None:
    pinned.create(V4)
    pinned.put(V4, [entry().pair(), entry(a_port=2, type=7).pair()])
    made = source.Source(pinned.folder)
    assert len(made.read(NOTHING)) == 1
    assert (made.malformed, made.error) == (1, f"{V4}: value at byte 16: type 7 is not known")


def test_map_that_is_nearly_full_is_noted(pinned, entry: Entry) -> None:
    pinned.create(V4, kind=maps.HASH, capacity=10)
    made = source.Source(pinned.folder)
    pinned.put(V4, [entry(a_port=port).pair() for port in range(9)])
    made.read(NOTHING)
    assert made.notes == []
    pinned.put(V4, [entry(a_port=9).pair()])
    made.read(NOTHING)
    assert made.notes == [f"{V4} is nearly full: 10 of 10 entries, living ones may be evicted"]


def test_hundred_thousand_entries_one_after_another(pinned, entry: Entry) -> None:
    pinned.create(V4, capacity=500_000)
    one = entry()
    value = one.value
    start, end = one.key[:12], one.key[14:]
    hosts = [start[:4] + number.to_bytes(4, "big") + start[8:] for number in (1, 2)]
    ports = [port.to_bytes(2, "little") for port in range(50_000)]
    pinned.put(V4, [(host + port + end, value) for host in hosts for port in ports])
    made = source.Source(pinned.folder)
    first = made.read(NOTHING)
    assert len(first) == 100_000
    assert made.read(NOTHING)["key"].tolist() == first["key"].tolist()
