"""Connections that somebody asks about."""

from __future__ import annotations

from typing import Any

import pytest

from model import cluster, enums, errors, manifest
from policy import evaluate, objects, parse, queries, selector

TCP, UDP, ICMP = enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.ICMP
CLUSTER = cluster.Cluster(pods=(
    cluster.Pod(namespace="shop", name="web", addresses=("10.0.0.1", "2001:db8::1")),
    cluster.Pod(namespace="shop", name="six", addresses=("2001:db8::2",)),
    cluster.Pod(namespace="shop", name="agent", addresses=("172.31.0.1",), host_network=True),
))  # fmt: skip


def _read(**query: Any) -> queries.Query:
    return queries.read(
        manifest.Document("q.jsonl", 3, {"src": "shop/web", "dst": "192.0.2.1", **query}).field()
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"port": 80}, {"protocol": TCP, "port": 80}),
        ({"protocol": "udp", "port": 53, "srcPort": 1000}, {"protocol": UDP, "port": 53, "src_port": 1000}),
        (
            {"protocol": "ICMP", "icmpType": 8, "icmpCode": 1},
            {"protocol": ICMP, "icmp_type": 8, "icmp_code": 1},
        ),
        ({"protocol": "ICMP"}, {"protocol": ICMP, "icmp_type": 8}),
        ({"protocol": "ICMPv6"}, {"protocol": enums.Protocol.ICMPV6, "icmp_type": 128}),
        ({"protocol": 47}, {"protocol": 47}),
        ({"port": 1, "src": {"pod": "a/b"}, "dst": {"ip": "::1"}}, {"port": 1, "src": "a/b", "dst": "::1"}),
        ({"port": 1, "expect": "deny", "family": 6}, {"port": 1, "expect": True, "family": 6}),
        ({"port": 1, "expect": "allowed"}, {"port": 1, "expect": False}),
    ],
    ids=str,
)
def test_query_as_it_is_written(written: dict[str, Any], expected: dict[str, Any]) -> None:
    assert _read(**written) == queries.Query(**{"src": "shop/web", "dst": "192.0.2.1", **expected})


@pytest.mark.parametrize(
    ("written", "field", "reason"),
    [
        ({}, "", "needs a port"),
        ({"port": 80, "dport": 1}, "dport", "unknown field"),
        ({"port": 70_000}, "port", "between 0 and 65535"),
        ({"port": 80, "expect": "perhaps"}, "expect", "one of"),
        ({"port": 80, "family": 5}, "family", "4 or 6"),
        ({"port": 80, "src": {}}, "src", "one of pod, ip"),
        ({"port": 80, "src": {"ip": "10.0.0"}}, "src.ip", "IP address"),
        ({"protocol": "QUIC"}, "protocol", "one of"),
    ],
    ids=str,
)
def test_wrong_query_names_its_field(written: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(errors.ManifestError, match=reason) as caught:
        _read(**written)
    assert (caught.value.file, caught.value.document, caught.value.field) == ("q.jsonl", 3, field)


def _ask(*asked: queries.Query) -> list[queries.Answer]:
    return queries.Asker(evaluate.Engine(parse.parse([]), CLUSTER)).ask(asked)


def test_pods_meet_in_a_family_that_both_have() -> None:
    first, second = _ask(
        queries.Query(src="shop/web", dst="shop/six", port=1),
        queries.Query(src="shop/agent", dst="10.0.0.1", port=1),
    )
    assert [len(first.egress), len(first.ingress)] == [1, 1]
    assert (second.egress, second.ingress[0].kind) == ((), "pro")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"src": "shop/web", "dst": "shop/lost"}, "no pod or workload shop/lost"),
        ({"src": "shop/agent", "dst": "shop/six"}, "do not both have addresses of one family"),
        ({"src": "shop/web", "dst": "shop/six", "family": 4}, "do not both have an IPv4 address"),
        ({"src": "shop/agent", "dst": "10.0.0.1", "protocol": enums.Protocol.ICMPV6}, "an IPv6 address"),
        ({"src": "shop/web", "dst": "nonsense"}, "neither namespace/name of a pod nor an IP address"),
    ],
    ids=str,
)
def test_what_is_not_there_is_named(query: dict[str, Any], reason: str) -> None:
    with pytest.raises(LookupError, match=reason):
        _ask(queries.Query(**query))


def test_pending_is_said_where_something_is_staged() -> None:
    staged = objects.Policy(
        kind="sgnp", name="s", subjects=selector.All(), types=frozenset({enums.Direction.INGRESS})
    )
    engine = evaluate.Engine(objects.policy_set((), [staged]), CLUSTER)
    (answer,) = queries.Asker(engine).ask([queries.Query(src="192.0.2.1", dst="10.0.0.1", port=1)])
    assert (answer.denied, answer.pending) == (False, True)


@pytest.mark.parametrize(
    ("kind", "owner", "name"),
    [("ReplicaSet", "till-5d4", "shop/till"), ("StatefulSet", "db", "shop/db"),
     ("Job", "report-29", "shop/report"), ("Job", "report-29", "shop/report-29")],
)  # fmt: skip
def test_workload_stands_for_one_of_its_pods(kind: str, owner: str, name: str) -> None:
    pods = tuple(
        cluster.Pod(
            namespace="shop", name=f"{owner}-{i}", addresses=(f"10.0.0.{i}",), owner_kind=kind,
            owner_name=owner,
        ) for i in (1, 2)
    )  # fmt: skip
    asker = queries.Asker(evaluate.Engine(parse.parse([]), cluster.Cluster(pods=pods)))
    (number, _), _ = asker.ends(queries.Query(src=name, dst="10.0.0.9"))
    assert number == 0


def test_name_as_it_is_written_comes_before_what_it_stands_for() -> None:
    pods = (
        cluster.Pod(namespace="shop", name="web-up-1", addresses=("10.0.0.1",), owner_kind="Job",
                    owner_name="web-up"),
        cluster.Pod(namespace="shop", name="web-0", addresses=("10.0.0.2",), owner_kind="StatefulSet",
                    owner_name="web"),
        cluster.Pod(namespace="shop", name="one", addresses=("10.0.0.3",), owner_kind="Job",
                    owner_name="one"),
    )  # fmt: skip
    asker = queries.Asker(evaluate.Engine(parse.parse([]), cluster.Cluster(pods=pods)))
    (number, _), _ = asker.ends(queries.Query(src="shop/web", dst="10.0.0.9"))
    assert number == 1
    with pytest.raises(LookupError):
        asker.ends(queries.Query(src="shop/", dst="10.0.0.9"))


def test_workload_has_the_addresses_of_all_its_pods() -> None:
    owner = {"namespace": "shop", "owner_kind": "StatefulSet", "owner_name": "db"}
    pods = (
        cluster.Pod(name="db-0", addresses=("10.0.0.1",), **owner),
        cluster.Pod(name="db-1", addresses=("10.0.0.2", "2001:db8::2"), **owner),
    )
    asker = queries.Asker(evaluate.Engine(parse.parse([]), cluster.Cluster(pods=pods)))
    assert [asker.ends(queries.Query(src="shop/db", dst=dst))[0][0] for dst in ("10.0.0.9", "::9")] == [0, 1]


def test_protocol_of_another_family_is_refused() -> None:
    with pytest.raises(LookupError, match="ICMPv6 is not of IPv4"):
        _ask(queries.Query(src="shop/web", dst="10.0.0.9", protocol=enums.Protocol.ICMPV6, family=4))
