"""The translation of services' addresses, as one node of the lab has it."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from lab import controlplane, services
from model import cluster, enums, manifest

TCP, UDP = enums.Protocol.TCP, enums.Protocol.UDP


def _pod(number: int, node: str, **fields: object) -> cluster.Pod:
    ports = (
        cluster.ContainerPort(name="dns", number=5300, protocol=TCP),
        cluster.ContainerPort(name="dns", number=5353, protocol=UDP),
    )
    given = {"namespace": "shop", "labels": {"app": "web", "part": "front"}, "ports": ports, **fields}
    return cluster.Pod(
        name=f"web-{number}", node=node, addresses=(f"10.65.0.{number}", f"fd00:10:65::{number}"), **given
    )  # type: ignore[arg-type]


def _rules(node: str, pods: tuple[cluster.Pod, ...], address: str, **port: object) -> list[str]:
    """The rules for a service with one address and one port."""
    given = {"name": "", "number": 80, "target": 8080, "protocol": TCP, **port}
    service = cluster.Service(
        namespace="shop", name="web", addresses=(address,), selector={"app": "web"},
        ports=(cluster.ServicePort(**given),),
    )  # type: ignore[arg-type]  # fmt: skip
    script = services.render(cluster.Cluster(pods=pods, services=(service,)), node)
    return [line.strip() for line in script.splitlines() if " dnat " in line]


PODS = (_pod(1, "node-1"), _pod(2, "node-2"))
CLUSTER, BALANCER = "10.96.0.1", "192.0.2.80"
ALL = "dnat ip to numgen random mod 2 map { 0 : 10.65.0.1 . 8080, 1 : 10.65.0.2 . 8080 }"


@pytest.mark.parametrize(
    ("given", "port", "rule"),
    [
        pytest.param((PODS, CLUSTER), {}, f"ip daddr 10.96.0.1 tcp dport 80 {ALL}", id="any pod"),
        pytest.param(
            (PODS, "fd00:10:96::1"),
            {},
            "ip6 daddr fd00:10:96::1 tcp dport 80 dnat ip6 to numgen random mod 2 "
            "map { 0 : fd00:10:65::1 . 8080, 1 : fd00:10:65::2 . 8080 }",
            id="IPv6",
        ),
        pytest.param(
            (PODS, BALANCER),
            {},
            "ip daddr 192.0.2.80 tcp dport 80 dnat ip to numgen random mod 1 map { 0 : 10.65.0.1 . 8080 }",
            id="load balancer stays on this node",
        ),
        pytest.param(
            (PODS[:1], CLUSTER),
            {"target": "dns", "protocol": UDP},
            "ip daddr 10.96.0.1 udp dport 80 dnat ip to numgen random mod 1 map { 0 : 10.65.0.1 . 5353 }",
            id="named port of the right protocol",
        ),
        pytest.param((PODS, CLUSTER), {"target": "http"}, None, id="no pod has the named port"),
        pytest.param((PODS[1:], BALANCER), {}, None, id="load balancer without a pod here"),
        pytest.param(((), CLUSTER), {}, None, id="no pods"),
        pytest.param(((_pod(1, "node-1", namespace="x"),), CLUSTER), {}, None, id="another namespace"),
        pytest.param(((_pod(1, "node-1", labels={"app": "x"}),), CLUSTER), {}, None, id="other labels"),
    ],
)
def test_service_goes_to_its_pods(
    given: tuple[tuple[cluster.Pod, ...], str], port: dict[str, object], rule: str | None
) -> None:
    pods, address = given
    assert _rules("node-1", pods, address, **port) == ([rule] if rule else [])


def _state() -> cluster.Cluster:
    """The built-in lab, with one pod for each replica."""
    given = cluster.read(manifest.load(controlplane.built_in()))
    pods = [
        cluster.Pod(
            namespace=w.namespace, name=f"{w.name}-{n}", labels=w.template.labels, ports=w.template.ports,
            node=f"node-{n + 1}", addresses=(f"10.65.{n + 1}.{i}", f"fd00:10:65:{n + 1}::{i}"),
        )
        for i, w in enumerate(given.workloads, 2) for n in range(w.replicas)
    ]  # fmt: skip
    return cluster.Cluster(pods=tuple(pods), services=given.services)


@pytest.mark.net
@pytest.mark.parametrize("node", ["node-1", "node-2", "node without pods"])
def test_kernel_takes_rules_again_and_again(node: str) -> None:
    """Loaded twice, it has each rule once."""
    script = services.render(_state(), node)
    command = ["unshare", "--net", "sh", "-c", "nft -f - && nft -j list ruleset"]
    done = subprocess.run(command, input=script * 2, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    rules = [entry["rule"]["chain"] for entry in json.loads(done.stdout)["nftables"] if "rule" in entry]
    wanted = len(re.findall(" dnat ip6? to ", script))
    assert wanted > 0
    assert {chain: rules.count(chain) for chain in rules} == {
        "prerouting": wanted, "postrouting": 2, "raw-prerouting": 1, "raw-output": 1,
    }  # fmt: skip
