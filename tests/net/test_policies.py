"""The kernel as judge: random policies in the lab's dataplane, and connections that get through or do not.

Pods on two nodes, hosts outside and the nodes themselves send one packet for each connection; what arrives is
what the kernel allowed.
"""

from __future__ import annotations

import ipaddress
import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "policy"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import dataplane
import worlds

from lab import rules
from model import address, cluster
from policy import evaluate, parse

pytestmark = pytest.mark.net

ROUNDS, EACH = 44, 500


def _tries(ends: list[dataplane.End], maker: worlds.Maker, first_port: int) -> list[dataplane.Try]:
    found: list[dataplane.Try] = []
    while len(found) < EACH:
        src, dst = maker.one(tuple(ends)), maker.one(tuple(ends))
        of_one_family = (":" in src.address) == (":" in dst.address)
        if not of_one_family or src.namespace == dst.namespace or src.pod is dst.pod is None:
            continue
        ping = dataplane.ICMPV6 if ":" in src.address else dataplane.ICMP
        protocol = maker.one((dataplane.TCP, dataplane.TCP, dataplane.UDP, dataplane.SCTP, ping))
        port = 0 if protocol == ping else maker.one(worlds.PORTS)
        found.append(dataplane.Try(src, dst, protocol, first_port + len(found), port))
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dataplane.Lab]:
    with dataplane.built(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.mark.parametrize("start", range(0, ROUNDS, 11))
def test_kernel_and_engine_agree(lab: dataplane.Lab, start: int) -> None:
    ends = lab.ends()
    for turn in range(start, start + 11):
        maker = worlds.Maker(turn, dataplane.NETS, dataplane.BLOCKS)
        documents = [dataplane.document(body) for body in lab.bodies(maker)]
        policies, found = parse.parse(documents), cluster.read(documents)
        lab.enforce(rules.World(cluster=found, policies=policies))
        tries = _tries(ends, maker, 1024 + turn * EACH)
        denied = dataplane.judged(evaluate.Engine(policies, found), ends, tries)
        arrived = lab.sent(tries, denied.count(False))
        wrong = [
            (one, "the engine denies it" if no else "the engine allows it")
            for one, no in zip(tries, denied, strict=True)
            if (one.key in arrived) is no
        ]
        assert wrong == [], f"world {turn}, of {sum(denied)} denied and {len(tries) - sum(denied)} allowed"


def test_packets_are_what_they_claim_to_be() -> None:
    one = dataplane.Try(
        dataplane.End("", None, "10.0.0.1"), dataplane.End("", None, "10.0.0.2"), dataplane.UDP, 1, 2
    )
    assert address.pack("10.0.0.1")[-4:] == ipaddress.ip_address(one.src.address).packed
    assert len(one.packet()) == 9
