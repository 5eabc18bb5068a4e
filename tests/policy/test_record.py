"""The record: what becomes of a ledger's observations, and what can be asked of it."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import records

from model import address
from policy import record
from store import observations

SEEDS = st.integers(0, 10**9)
Row = dict[str, Any]
POD = {"kind": "pod", "namespace": "shop", "workload_kind": "Deployment", "workload": "web", "labels_id": 1}
BARE = {"kind": "pod", "namespace": "shop", "pod": "probe", "labels_id": 4}
NODE = {"kind": "node", "workload": "n1", "address": "172.31.0.1"}
SET = {"kind": "network_set", "namespace": "shop", "workload": "partners", "address": "192.0.2.7"}
ANYBODY = {"kind": "public", "address": "2001:db8::1"}


def _found(*rows: Row) -> pa.Table:
    """Observations; rows name their ends and what else matters."""
    plain: Row = {
        "dst_port": 80, "protocol": 6, "icmp_type": 0, "icmp_code": 0, "family": 0, "verdict": "allowed",
        "attribution": "nflog", "connections": 1, "forward_packets": 2, "reverse_packets": 3, "bytes": 4,
        "first_seen": 5, "last_seen": 6, "hours": [7],
    }  # fmt: skip
    full = [
        plain
        | {
            f"{side}_{name}": end.get(name, "")
            for side, end in (("src", row["src"]), ("dst", row["dst"]))
            for name in ("kind", "namespace", "workload_kind", "workload", "pod", "labels_id", "address")
        }
        | {name: value for name, value in row.items() if name not in ("src", "dst")}
        for row in rows
    ]
    return pa.Table.from_arrays(
        [_column(field, [row[field.name] for row in full]) for field in observations.SCHEMA],
        schema=observations.SCHEMA,
    )


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    if field.name.endswith("_address"):
        values = [address.pack(one or "::") for one in values]
    if field.name.endswith("_labels_id"):
        values = [one or 0 for one in values]
    return pa.array(values, field.type)


def _variant(labels_id: int, name: str = "web", kind: str = "Deployment", **more: Any) -> record.Variant:
    return record.Variant(
        workload=record.Workload("shop", kind, name), labels_id=labels_id, labels={"id": str(labels_id)},
        **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (POD, "shop/web"), (BARE, "shop/probe"), (ANYBODY, "2001:db8::1"), (NODE, "n1 (172.31.0.1)"),
        (SET, "shop/partners (192.0.2.7)"), ({**NODE, "address": ""}, "n1"),
        ({"kind": "public", "address": "203.0.113.9"}, "203.0.113.9"),
    ],
    ids=["workload", "bare pod", "IPv6", "node", "network set", "no address", "IPv4"],
)  # fmt: skip
def test_end_has_the_name_that_people_know(end: Row, name: str) -> None:
    seen = record.read(_found({"src": end, "dst": POD}), [])
    assert (seen.name(int(seen.src[0])), seen.name(int(seen.dst[0]))) == (name, "shop/web")


def test_variants_are_those_that_are_known_and_those_that_were_met() -> None:
    """What was met alone has the labels that its number stands for, as far as anybody knows them."""
    known = [_variant(1, addresses=("10.0.0.1",)), _variant(9, "idle")]
    rows = [{"src": POD, "dst": {**POD, "labels_id": 2}}, {"src": BARE, "dst": {**POD, "labels_id": 3}}]
    seen = record.read(_found(*rows), known, {2: {"app": "web"}, 4: {"app": "probe"}})
    assert seen.variants[:2] == tuple(known)
    met = {(one.workload.kind, one.labels_id): one.labels for one in seen.variants[2:]}
    assert met == {("Deployment", 2): {"app": "web"}, ("Deployment", 3): {}, ("Pod", 4): {"app": "probe"}}
    ends = [(seen.variants[a].labels_id, seen.variants[b].labels_id)
            for a, b in zip(seen.src.tolist(), seen.dst.tolist(), strict=True)]  # fmt: skip
    assert ends == [(1, 2), (4, 3)]


def test_workloads_of_one_name_and_two_kinds_are_two() -> None:
    rows = {"src": POD, "dst": {**POD, "workload_kind": "StatefulSet"}}
    seen = record.read(_found(rows), [])
    assert [one.kind for one in seen.workloads] == ["Deployment", "StatefulSet"]
    assert seen.owners(np.array([*seen.dst, -1, *seen.src], np.int32)).tolist() == [1, -1, 0]


def test_addresses_of_one_end_are_one_end() -> None:
    other = {**ANYBODY, "address": "2001:db8::2"}
    rows = [{"src": one, "dst": two} for one, two in ((ANYBODY, POD), (POD, ANYBODY), (other, POD))]
    seen = record.read(_found(*rows), [])
    assert (seen.src.tolist(), seen.dst.tolist()) == ([-1, 0, -2], [0, -1, 0])
    assert [address.render(one.tobytes()) for one in seen.packed] == ["2001:db8::1", "2001:db8::2"]


def test_columns_are_what_was_observed() -> None:
    row = {
        "src": POD, "dst": NODE, "dst_port": 8, "protocol": 1, "icmp_type": 3, "icmp_code": 4, "family": 6,
        "verdict": "denied", "attribution": "probe", "connections": 10, "forward_packets": 11,
        "reverse_packets": 12, "bytes": 13, "first_seen": 14, "last_seen": 15, "hours": [16, 17],
    }  # fmt: skip
    seen = record.read(_found(row), [])
    numbers = ("port", "protocol", "icmp_type", "icmp_code", "family", "connections", "forward_packets",
               "reverse_packets", "bytes", "first", "last")  # fmt: skip
    assert [int(getattr(seen, name)[0]) for name in numbers] == [8, 1, 3, 4, 6, 10, 11, 12, 13, 14, 15]
    assert (seen.verdict[0], seen.attribution[0], seen.hours.tolist()) == ("denied", "probe", [16, 17])


def test_nothing_observed_is_an_empty_record() -> None:
    seen = record.read(_found(), [_variant(1)])
    assert (len(seen), len(seen.variants), seen.packed.shape) == (0, 1, (0, 16))
    assert seen.hours_of(np.zeros(0, np.int64)).tolist() == []


def test_hours_of_edges_are_each_once() -> None:
    rows = [{"src": POD, "dst": NODE, "hours": hours} for hours in ([5, 3], [], [3, 9])]
    seen = record.read(_found(*rows), [])
    asked = {some: seen.hours_of(np.array(some, np.int64)).tolist() for some in ((0, 2), (1,), (2,))}
    assert asked == {(0, 2): [3, 5, 9], (1,): [], (2,): [3, 9]}


@given(SEEDS)
def test_taken_edges_are_the_same_in_all_columns(seed: int) -> None:
    maker = records.Maker(seed)
    seen = maker.record()
    chosen = np.array(
        [maker.dice.randrange(len(seen)) for _ in range(maker.dice.randint(0, 9)) if len(seen)], np.int64
    )
    taken = seen.take(chosen)
    assert taken.variants == seen.variants
    assert len(taken) == len(chosen)
    for i, edge in enumerate(chosen.tolist()):
        assert taken.name(int(taken.src[i])) == seen.name(int(seen.src[edge]))
        for name in record._COLUMNS:
            assert getattr(taken, name)[i] == getattr(seen, name)[edge], name
        assert taken.hours_of(np.array([i])).tolist() == seen.hours_of(np.array([edge])).tolist()


@pytest.mark.parametrize(
    ("addresses", "has"),
    [
        (("10.0.0.1",), [True, False]), (("2001:db8::1",), [False, True]),
        (("10.0.0.1", "2001:db8::1"), [True, True]), ((), [True, True]),
    ],
    ids=["IPv4", "IPv6", "both", "unknown"],
)  # fmt: skip
def test_families_are_those_of_the_addresses(addresses: tuple[str, ...], has: list[bool]) -> None:
    assert record.families([_variant(1, addresses=addresses)]).tolist() == [has]
