"""The kernel as judge of suggestions: what they were made of gets through, and of the rest what they grant.

Random connections of all protocols, families and directions between pods of two nodes and hosts outside; some
of them are what was recorded.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "policy"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import dataplane
import observed
import worlds

from lab import rules
from model import cluster, enums
from policy import drafting, evaluate, parse, proof, record, suggest

pytestmark = pytest.mark.net

ROUNDS, KNOWN, STRANGE = 12, 60, 340
PROTOCOLS = (dataplane.TCP, dataplane.UDP, dataplane.SCTP, 0)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dataplane.Lab]:
    with dataplane.built(tmp_path_factory.mktemp("lab")) as made:
        yield made


def _tries(ends: list[dataplane.End], maker: worlds.Maker, first_port: int) -> list[dataplane.Try]:
    """Connections with a pod at one end at least, and none of nodes: these always reach their own pods."""
    found: list[dataplane.Try] = []
    while len(found) < KNOWN + STRANGE:
        src, dst = maker.one(tuple(ends)), maker.one(tuple(ends))
        of_one_family = (":" in src.address) == (":" in dst.address)
        if not of_one_family or src.namespace == dst.namespace or src.pod is dst.pod is None:
            continue
        if any(one.pod is None and one.namespace.startswith("node") for one in (src, dst)):
            continue
        ping = dataplane.ICMPV6 if ":" in src.address else dataplane.ICMP
        protocol = maker.one(PROTOCOLS) or ping
        port = 0 if protocol == ping else maker.one(worlds.PORTS)
        found.append(dataplane.Try(src, dst, protocol, first_port + len(found), port))
    return found


def _variants(pods: tuple[cluster.Pod, ...]) -> list[record.Variant]:
    return [
        record.Variant(
            workload=record.Workload(pod.namespace, "Deployment", pod.name), labels_id=i + 1,
            labels=dict(pod.labels), account=pod.service_account, ports=pod.ports,
            addresses=pod.addresses, pods=1, first=observed.START,
        ) for i, pod in enumerate(pods)
    ]  # fmt: skip


def _edge(one: dataplane.Try) -> observed.Edge:
    src, dst = (end.address if end.pod is None else end.pod for end in (one.src, one.dst))
    icmp_type = {dataplane.ICMP: 8, dataplane.ICMPV6: 128}.get(one.protocol, 0)
    return observed.edge(src, dst, one.dst_port, protocol=one.protocol, icmp_type=icmp_type)


@pytest.mark.parametrize("start", range(0, ROUNDS, 4))
def test_kernel_lets_in_what_was_seen_and_no_more_than_is_granted(lab: dataplane.Lab, start: int) -> None:
    ends = lab.ends()
    kept: set[tuple[int, int]] = set()
    closed = 0
    for turn in range(start, start + 4):
        maker = worlds.Maker(turn, dataplane.NETS, dataplane.BLOCKS)
        bodies = [
            body for body in lab.bodies(maker) if "olicy" not in body["kind"] and body["kind"] != "Tier"
        ]
        documents = [dataplane.document(body) for body in bodies]
        found = cluster.read(documents)
        tries = _tries(ends, maker, 1024 + turn * (KNOWN + STRANGE))
        seen = observed.seen(_variants(found.pods), [_edge(one) for one in tries[:KNOWN]])
        wanted = suggest.Wanted(kind=drafting.Kind.CALICO)
        made = suggest.Suggester(seen, observed.END, documents, found, wanted).suggest()
        assert made.accepted.mask.all()
        policies = parse.parse([*documents, *proof.applied(made)])
        lab.enforce(rules.World(cluster=found, policies=policies))
        denied = dataplane.judged(evaluate.Engine(policies, found), ends, tries)
        arrived = lab.sent(tries, denied.count(False))
        assert [one for one in tries[:KNOWN] if one.key not in arrived] == []
        assert [one for one, no in zip(tries, denied, strict=True) if (one.key in arrived) is no] == []
        kept |= {(one.protocol, 6 if ":" in one.src.address else 4) for one in tries[:KNOWN]}
        closed += denied.count(True)
    protocols = {dataplane.TCP, dataplane.UDP, dataplane.SCTP}
    assert kept == {(one, family) for one in protocols for family in (4, 6)} | {
        (int(enums.Protocol.ICMP), 4), (int(enums.Protocol.ICMPV6), 6)
    }  # fmt: skip
    assert closed > STRANGE
