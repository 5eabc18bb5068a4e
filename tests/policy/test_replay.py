"""The record replayed: the same as judging each connection of a cluster with real pods."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import records
import worlds

from model import address, cluster, enums, manifest
from policy import evaluate, objects, parse, record, replay, subjects, world

SEEDS = st.integers(0, 10**9)
Body = dict[str, Any]
WIDE = ("10.9.0.0/24", "10.9.1.0/24", "10.9.0.0/16", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::/64",
        "2001:db8:1::/64", "::/0")  # fmt: skip
HOLES = (("10.9.0.0/16", "10.9.1.0/24"), ("0.0.0.0/0", "10.9.0.0/24"), ("::/0", "2001:db8::/64"))


def _record(
    variants: Iterable[record.Variant], outside: Sequence[str], edges: Sequence[tuple[int, ...]]
) -> record.Record:
    """A record by source, destination, family, protocol, port and ICMP type of its edges."""
    columns = np.array(edges, np.int32).reshape(-1, 6).T
    zero = np.zeros(len(edges), np.int64)
    names = ("src", "dst", "family", "protocol", "port", "icmp_type")
    return record.Record(
        variants=tuple(variants), packed=world.pack(outside), kinds=("public",) * len(outside),
        names=("",) * len(outside), namespaces=("",) * len(outside), icmp_code=zero.astype(np.int32),
        verdict=np.array(["allowed"] * len(edges), object), connections=zero + 1, forward_packets=zero,
        attribution=np.array(["nflog"] * len(edges), object), reverse_packets=zero, bytes=zero, first=zero,
        last=zero, starts=np.zeros(len(edges) + 1, np.int64), hours=np.zeros(0, np.uint32),
        **dict(zip(names, columns, strict=True)),
    )  # fmt: skip


def _variant(pod: cluster.Pod) -> record.Variant:
    return record.Variant(
        workload=record.Workload(pod.namespace, "Pod", pod.name), labels_id=0, labels=pod.labels,
        account=pod.service_account, ports=pod.ports, addresses=pod.addresses,
    )  # fmt: skip


class World:
    """A random cluster with random policies of every kind, and a record of all that there can be in it."""

    def __init__(self, seed: int, maker: worlds.Maker | None = None) -> None:
        maker = maker or worlds.Maker(seed)
        bodies = [*maker.cluster(), *maker.policies()]
        documents = [manifest.Document("f", i, body) for i, body in enumerate(bodies, 1)]
        self.policies = parse.parse(documents)
        whole = cluster.read(documents)
        # nobody has recorded on which node a pod was: host endpoints stand before hosts alone
        pods = tuple(
            one if one.host_network else dataclasses.replace(one, node="") for one in whole.pods
        )  # fmt: skip
        self.cluster = dataclasses.replace(whole, pods=pods)
        self.pods = [one for one in pods if subjects.is_endpoint(one)]
        self.outside = list(worlds.OUTSIDE)
        self.dice = worlds.Maker(seed + 1)

    def edge(self, src: int, dst: int, family: int) -> tuple[int, ...]:
        ping = (1, 58)[family == 6]
        protocol = self.dice.one((6, 6, 17, 132, ping))
        port = 0 if protocol == ping else self.dice.one(worlds.PORTS)
        return src, dst, family, protocol, port, self.dice.one((8, 3, 128))

    def denied(self, ends: Sequence[tuple[int, str]], edges: Sequence[tuple[int, ...]]) -> evaluate.Judgement:
        """What the engine says of connections with these ends: a pod's number or none, and an address."""
        engine = evaluate.Engine(self.policies, self.cluster)
        src, dst, _, protocol, port, icmp_type = np.array(edges, np.int32).reshape(-1, 6).T
        zero = np.zeros(len(edges), np.int32)
        return engine.judge(evaluate.Edges(
            ends=world.Ends(
                np.array([number for number, _ in ends], np.int32), world.pack(text for _, text in ends)
            ),
            src=src, dst=dst, protocol=protocol, src_port=zero, dst_port=port, icmp_type=icmp_type,
            icmp_code=zero,
        ))  # fmt: skip

    def replayed(self, seen: record.Record) -> replay.Outcome:
        again = replay.Replay(seen, self.cluster)
        return again.judge(again.engine(self.policies))


def _families(pod: cluster.Pod) -> dict[int, str]:
    return {6 if ":" in text else 4: text for text in pod.addresses}


@given(SEEDS)
def test_each_edge_is_judged_as_the_connection_of_real_pods(seed: int) -> None:
    """All kinds of policies; ends are pods, nodes, network sets and strangers, of both families."""
    found = World(seed)
    real: list[tuple[int, str]] = []
    rows, asked = [], []
    ends = [(i, _families(pod)) for i, pod in enumerate(found.pods)]
    ends += [(-1 - i, {6 if ":" in text else 4: text}) for i, text in enumerate(found.outside)]
    for src, of_src in ends:
        for dst, of_dst in ends:
            for family in of_src.keys() & of_dst.keys():
                if src == dst:
                    continue
                row = found.edge(src, dst, family)
                rows.append(row)
                asked.append((len(real), len(real) + 1, *row[2:]))
                real += [(max(src, world.NOBODY), of_src[family]), (max(dst, world.NOBODY), of_dst[family])]
    seen = _record(map(_variant, found.pods), found.outside, rows)
    said, outcome = found.denied(real, asked), found.replayed(seen)
    assert outcome.egress.tolist() == said.egress.denied.tolist()
    assert outcome.ingress.tolist() == said.ingress.denied.tolist()
    assert not outcome.uncertain.any()


@given(SEEDS)
def test_edge_of_unknown_family_is_denied_if_it_can_be(seed: int) -> None:
    """And uncertain where one family is denied and the other is not."""
    found = World(seed)
    pairs = [(a, b) for a, one in enumerate(found.pods) for b, two in enumerate(found.pods) if a != b
             and len(one.addresses) == len(two.addresses) == 2]  # fmt: skip
    rows = [found.edge(a, b, 0) for a, b in pairs]
    real = [(i, text) for i, pod in enumerate(found.pods) for text in (*pod.addresses, *pod.addresses)[:2]]
    each = [
        found.denied(real, [(2 * a + six, 2 * b + six, *rest) for a, b, *rest in rows]).denied
        for six in (0, 1)
    ]
    outcome = found.replayed(_record(map(_variant, found.pods), (), rows))
    assert outcome.denied.tolist() == (each[0] | each[1]).tolist()
    assert outcome.uncertain.tolist() == (each[0] != each[1]).tolist()
    assert outcome.families.tolist() == np.stack(each, axis=1).tolist()


@given(SEEDS)
def test_workload_that_talks_to_itself_is_two_pods(seed: int) -> None:
    found = World(seed, worlds.Maker(seed, WIDE, HOLES))
    twins = [
        dataclasses.replace(
            pod, name=f"{pod.name}-twin", addresses=tuple(_next(one) for one in pod.addresses)
        )
        for pod in found.pods
    ]
    rows = [found.edge(i, i, family) for i, pod in enumerate(found.pods) for family in _families(pod)]
    outcome = found.replayed(_record(map(_variant, found.pods), (), rows))
    count = len(found.pods)
    found.cluster = dataclasses.replace(found.cluster, pods=(*found.cluster.pods, *twins))
    numbered = [i for i, one in enumerate(found.cluster.pods) if subjects.is_endpoint(one)]
    assert len(numbered) == 2 * count
    real = [(i, text) for i, family in ((row[0], row[2]) for row in rows)
            for text in [_families(found.pods[i])[family]]]  # fmt: skip
    real += [(count + i, _next(text)) for i, text in real]
    asked = [(i, len(rows) + i, *row[2:]) for i, row in enumerate(rows)]
    assert outcome.denied.tolist() == found.denied(real, asked).denied.tolist()


def _next(text: str) -> str:
    whole = int.from_bytes(address.pack(text)) ^ 64
    return address.render(int.to_bytes(whole, 16))


# Single cases

SHOP: Body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def _calico(name: str, **spec: Any) -> Body:
    return {
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name},
        "spec": spec,
    }  # fmt: skip


def _pod(name: str, *addresses: str, number: int = 0, **labels: str) -> record.Variant:
    return record.Variant(
        workload=record.Workload("shop", "Deployment", name), labels_id=number, addresses=addresses,
        labels={"app": name, **labels},
    )  # fmt: skip


def _denied(seen: record.Record, *bodies: Body) -> replay.Outcome:
    documents = [manifest.Document("f", i, body) for i, body in enumerate(bodies, 1)]
    again = replay.Replay(seen, cluster.read(documents))
    return again.judge(again.engine(parse.parse(documents)))


TCP = int(enums.Protocol.TCP)
HTTP = (0, TCP, 80, 0)
"""Of unknown family."""


def _only(source: Body) -> Body:
    """Lets nobody but these in to the web, at any port."""
    return _calico("only", selector="app == 'web'", ingress=[{"action": "Allow", "source": source}])


def test_versions_of_a_workload_are_judged_by_their_own_labels() -> None:
    seen = _record(
        [_pod("cart", "10.9.0.1", version="1"), _pod("cart", "10.9.0.2", number=2, version="2"),
         _pod("web", "10.9.0.3")],
        (), [(0, 2, *HTTP), (1, 2, *HTTP)],
    )  # fmt: skip
    assert _denied(seen, _only({"selector": "version == '2'"})).denied.tolist() == [True, False]


@pytest.mark.parametrize(
    ("nets", "denied", "uncertain"),
    [
        (["10.9.0.0/16"], True, True), (["2001:db8::/32"], True, True), (["192.0.2.0/24"], True, False),
        (["10.9.0.0/16", "2001:db8::/32"], False, False),
    ],
    ids=["IPv4 alone", "IPv6 alone", "neither", "both"],
)  # fmt: skip
def test_policy_that_tells_families_apart(nets: list[str], denied: bool, uncertain: bool) -> None:
    pods = [_pod("cart", "10.9.0.1", "2001:db8::1"), _pod("web", "10.9.0.2", "2001:db8::2")]
    edges = [(0, 1, family, TCP, 80, 0) for family in (0, 4, 6)]
    outcome = _denied(_record(pods, (), edges), _only({"nets": nets}))
    assert (bool(outcome.denied[0]), bool(outcome.uncertain[0])) == (denied, uncertain)
    assert outcome.denied[1:].tolist() == [net not in nets for net in ("10.9.0.0/16", "2001:db8::/32")]
    assert not outcome.uncertain[1:].any()


@pytest.mark.parametrize(
    ("src", "dst", "denied"),
    [
        (("10.9.0.1",), ("10.9.0.2", "2001:db8::2"), False),
        (("2001:db8::1",), ("10.9.0.2", "2001:db8::2"), True),
        (("2001:db8::1",), ("10.9.0.2",), True), ((), ("2001:db8::2",), True),
        ((), ("10.9.0.2",), True),
    ],
    ids=["IPv4", "IPv6", "nothing in common", "unknown to IPv6", "unknown to IPv4"],
)  # fmt: skip
def test_family_is_one_that_both_ends_have(src: tuple[str, ...], dst: tuple[str, ...], denied: bool) -> None:
    """An address that nobody knows is in no network but those of everybody."""
    seen = _record([_pod("cart", *src), _pod("web", *dst)], (), [(0, 1, *HTTP)])
    assert _denied(seen, _only({"nets": ["10.9.0.0/16"]})).denied.tolist() == [denied]


def test_family_of_an_address_outside_counts_whatever_a_pod_was_known_by() -> None:
    """Rules of the one family are not asked about the other's packets."""
    seen = _record(
        [_pod("web", "10.9.0.2")], ["2001:db8:1::9", "203.0.113.9"], [(-1, 0, *HTTP), (-2, 0, *HTTP)]
    )
    only = _calico("only", selector="app == 'web'", ingress=[{"action": "Allow", "ipVersion": 6}])
    assert _denied(seen, only).denied.tolist() == [False, True]


def test_address_that_two_had_one_after_the_other_parts_them() -> None:
    """Nobody is kept from talking to itself; but these are not one, and neither is a stranger with it."""
    shared = ("10.9.0.1", "2001:db8::1")
    seen = _record(
        [_pod("cart", *shared), _pod("web", *shared)], shared,
        [(0, 1, *HTTP), (1, 0, *HTTP), (1, 1, *HTTP), (-1, 1, *HTTP), (1, -1, *HTTP), (-2, 1, *HTTP)],
    )  # fmt: skip
    closed = _calico("closed", selector="app == 'web'", types=["Ingress", "Egress"])
    assert _denied(seen, closed).denied.all()
    within = _only({"nets": ["10.9.0.0/24", "2001:db8::/64"]})
    assert not _denied(seen, within).denied.any()


def test_many_that_had_the_same_addresses_have_their_own() -> None:
    pods = [_pod(f"p{i}", f"10.9.{i % 3}.{i % 7}", f"2001:db8::{i % 5}") for i in range(3000)]
    own = [one.addresses for one in replay.Replay(_record(pods, (), []), cluster.Cluster()).cluster.pods]
    assert {len(some) for some in own} == {4}
    assert len({text for some in own for text in some}) == 4 * len(own)
    assert [some[0] for some in own[:3]] == ["10.9.0.0", "10.9.1.1", "10.9.2.2"]
    assert all(text.startswith("10.9.") for some in own for text in (some[0], some[2]))  # close by


SERVICE: Body = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
}  # fmt: skip


def test_rule_about_a_service_is_about_its_pods() -> None:
    """Also where they talk to one another, and to none that has come to the address of one."""
    seen = _record(
        [_pod("web", "10.9.0.2"), _pod("cart", "10.9.0.3"), _pod("late", "10.9.0.2")], (),
        [(0, 0, *HTTP), (1, 0, *HTTP), (0, 1, *HTTP), (1, 2, *HTTP)],
    )  # fmt: skip
    to_service = {
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "out", "namespace": "shop"},
        "spec": {"types": ["Egress"], "egress": [
            {"action": "Allow", "destination": {"services": {"name": "web", "namespace": "shop"}}},
        ]},
    }  # fmt: skip
    assert _denied(seen, SHOP, SERVICE, to_service).denied.tolist() == [False, False, True, True]


def test_trace_is_that_of_the_family_that_is_denied() -> None:
    pods = [_pod("cart", "10.9.0.1", "2001:db8::1"), _pod("web", "10.9.0.2", "2001:db8::2")]
    again = replay.Replay(_record(pods, (), [(0, 1, *HTTP)]), cluster.Cluster())
    rules = [{"action": "Allow", "ipVersion": 4}, {"action": "Deny"}]
    only = manifest.Document("f", 1, _calico("only", selector="app == 'web'", ingress=rules))
    engine = again.engine(parse.parse([only]))
    outcome = again.judge(engine)
    hit = replay.decider(engine, int(outcome.into[0]))
    assert (hit.rule, hit.action) == (1, enums.Action.DENY) if hit else False
    assert replay.decider(engine, 0) is None


def test_record_without_edges_has_an_outcome() -> None:
    outcome = _denied(_record([_pod("web")], (), []), _only({}))
    assert (len(outcome.denied), len(outcome.uncertain)) == (0, 0)


@given(SEEDS)
def test_nothing_is_denied_without_policies(seed: int) -> None:
    again = replay.Replay(records.Maker(seed).record(), cluster.Cluster())
    outcome = again.judge(again.engine(objects.policy_set((), ())))
    assert not outcome.denied.any()
