"""The nftables rules of one node of the lab."""

from __future__ import annotations

import dataclasses
import json
import subprocess

import pytest
import yaml

from lab import rules
from model import cluster, enums, manifest
from policy import parse, prefixes

TCP = enums.Protocol.TCP

WEB_INGRESS = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web-ingress, namespace: shop}
spec:
  selector: app == "web"
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: TCP, source: {selector: app == "frontend"}, destination: {ports: [8080]}}
  - {action: Deny, source: {nets: [10.99.0.0/16]}}
"""

EVERYTHING = """
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: ops}
spec: {order: 10, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: everything}
spec:
  tier: ops
  types: [Ingress, Egress]
  ingress:
  - {action: Log}
  - {action: Pass, protocol: ICMP, icmp: {type: 8, code: 0}}
  - {action: Pass, protocol: ICMPv6, icmp: {type: 128}}
  - {action: Deny, ipVersion: 6, source: {notSelector: has(app)}}
  - {action: Allow, notProtocol: TCP, source: {nets: [10.0.0.0/8, 10.1.0.0/16, 192.0.2.1, "2001:db8::/32"]}}
  - action: Allow
    protocol: TCP
    source: {ports: [1, x], notPorts: [7, "9:10"], notNets: [10.2.0.0/16, 10.3.0.0/16]}
    destination: {ports: [80, "81:90", "1000:2000", http, metrics], selector: app == 'web'}
  - {action: Deny, protocol: 47}
  egress:
  - {action: Allow, protocol: UDPLite}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  egress:
  - {ports: [{protocol: UDP, port: dns}, {protocol: SCTP, port: 9}], to: [{namespaceSelector: {}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: isolated, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""


def _pod(name: str, address: str, **fields: object) -> cluster.Pod:
    given: dict[str, object] = {
        "namespace": "shop", "node": "a", "labels": {"app": name.partition("-")[0]},
        "addresses": (address, f"2001:db8::{address.rpartition('.')[2]}"),
        "ports": (cluster.ContainerPort(name="http", number=8080, protocol=TCP),), **fields,
    }  # fmt: skip
    return cluster.Pod(name=name, **given)  # type: ignore[arg-type]


PODS = (
    _pod("web-0", "10.65.0.20"),
    _pod("frontend-0", "10.65.0.10", node="b"),
    _pod("agent-0", "10.65.0.30", host_network=True),
)
OFFICE = cluster.NetworkSet(
    namespace="shop", name="office", labels={"app": "frontend"}, networks=("192.0.2.0/24",)
)


def _world(text: str) -> rules.World:
    documents = [manifest.Document("m.yaml", i, body) for i, body in enumerate(yaml.safe_load_all(text), 1)]
    return rules.World(
        cluster=cluster.Cluster(pods=PODS, network_sets=(OFFICE,)), policies=parse.parse(documents)
    )


def _chain(script: str, name: str) -> list[str]:
    """The rules of one chain."""
    _, _, rest = script.partition(f"  chain {name} {{\n")
    body, found, _ = rest.partition("  }\n")
    assert found, f"no chain {name}"
    return [line.strip() for line in body.splitlines()]


def test_interface_is_named_as_calico_does() -> None:
    assert rules.interface_name("shop", "web-0") == "calia4fc3c48bd8"


def test_policy_chain_is_calicos_to_the_hash() -> None:
    """The hashes, of what Calico itself renders for this policy, cover every word and their order."""
    script = rules.table(_world(WEB_INGRESS), "a", 4).render()
    lines = _chain(script, "filter-cali-pi-np/shop/web-ingress")
    assert [line.partition("cali:")[2].strip('"') for line in lines] == [
        "3lUEFsSp2ol2A63i; NetworkPolicy shop/web-ingress ingress", "9D1__qpc3n95m_Xl;", "oE3yeAiq9PzMKvoV;",
        "O-EnaTZctJYlIPui;", "RWtC-TQjkQaJJDfi;", "d1WUNx2KLsWLbCji;",
    ]  # fmt: skip
    assert lines[1].startswith(
        'meta mark & 0x10000 == 0x10000 counter log prefix "API0|np/shop/web-ingress" snaplen 80 group 1'
    )
    assert "elements = { 10.65.0.10, 192.0.2.0/24 }" in script


@pytest.mark.parametrize(
    ("family", "indexes"),
    [pytest.param(4, [0, 1, 4, 5, 6], id="IPv4"), pytest.param(6, [0, 2, 3, 4, 6], id="IPv6")],
)
def test_rules_of_other_family_leave_a_gap(family: int, indexes: list[int]) -> None:
    """Index 0 is the log rule, which logs elsewhere; the others tell their index in the prefix."""
    lines = _chain(rules.table(_world(EVERYTHING), "a", family).render(), "filter-cali-pi-gnp/everything")
    logged = [line.partition("|gnp/everything")[0][-1:] for line in lines if "|gnp/everything" in line]
    assert "calico-packet" in lines[0]
    assert [0, *map(int, logged)] == indexes


def test_only_local_pods_have_chains() -> None:
    script = rules.table(_world(WEB_INGRESS), "b", 4).render()
    assert rules.interface_name("shop", "frontend-0") in script
    assert rules.interface_name("shop", "web-0") not in script
    assert "web-ingress" not in script


def test_host_network_pod_is_no_endpoint() -> None:
    assert rules.interface_name("shop", "agent-0") not in rules.table(_world(WEB_INGRESS), "a", 4).render()


def test_policies_with_one_selector_share_a_group() -> None:
    script = rules.table(_world(EVERYTHING), "a", 4).render()
    endpoint = _chain(script, "filter-cali-tw-calia4fc3c48bd8")
    (group,) = (line for line in endpoint if "jump filter-cali-gi-" in line)
    members = _chain(script, group.split("jump ")[1].split()[0])
    assert [line.split(" comment")[0] for line in members] == [
        "counter jump filter-cali-pi-knp/shop/dns",
        "meta mark & 0x30000 == 0 counter jump filter-cali-pi-knp/shop/isolated",
    ]
    assert _chain(script, "filter-cali-pi-knp/shop/isolated")[0].startswith("continue comment")


def _load(world: rules.World, family: int) -> list[dict[str, dict[str, object]]]:
    """What the kernel has after loading the script twice, in a network namespace that ends with it."""
    table = f"{'ip' if family == 4 else 'ip6'} calico"
    script = rules.table(world, "a", family).render()
    command = ["unshare", "--net", "sh", "-c", f"nft -f - && nft -j list table {table}"]
    done = subprocess.run(command, input=script * 2, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["nftables"]
    assert isinstance(found, list)
    return found


def _described(expressions: object) -> tuple[str, ...]:
    """The kinds of a rule's expressions, with the prefix and group of what is logged."""
    assert isinstance(expressions, list)
    words = []
    for expression in expressions:
        ((kind, value),) = expression.items()
        to_group = kind == "log" and "group" in value
        words.append(f"log {value['prefix']} {value['group']} {value['snaplen']}" if to_group else kind)
    return tuple(words)


@pytest.mark.net
def test_kernel_shows_worked_example_shape() -> None:
    found = _load(_world(WEB_INGRESS), 4)
    loaded = [entry["rule"] for entry in found if "rule" in entry]
    chain = [_described(r["expr"]) for r in loaded if r["chain"] == "filter-cali-tw-calia4fc3c48bd8"]
    policy = [_described(r["expr"]) for r in loaded if r["chain"] == "filter-cali-pi-np/shop/web-ingress"]
    profile = [("counter", "jump"), ("match", "counter", "return")]
    assert chain == [
        ("match", "counter", "accept"), ("match", "counter", "drop"), ("counter", "mangle"),
        ("counter", "mangle"), ("match", "counter", "jump"), ("match", "counter", "return"),
        ("match", "counter", "log DPI|default 1 80"), ("match", "counter", "drop"), *profile, *profile,
        ("counter", "log DRI 1 80"), ("counter", "drop"),
    ]  # fmt: skip
    assert policy == [
        ("match", "match", "counter", "mangle"), ("match", "counter", "log API0|np/shop/web-ingress 1 80"),
        ("match", "counter", "return"), ("match", "counter", "mangle"),
        ("match", "counter", "log DPI1|np/shop/web-ingress 1 80"), ("match", "counter", "drop"),
    ]  # fmt: skip


@pytest.mark.net
@pytest.mark.parametrize("family", [4, 6])
def test_kernel_takes_every_kind_of_match(family: int) -> None:
    """What it logs then is in the table of prefixes, so that each message can be told whose it is."""
    world = _world(EVERYTHING)
    loaded = [entry["rule"] for entry in _load(world, family) if "rule" in entry]
    words = [word for rule in loaded for word in _described(rule["expr"]) if word.startswith("log ")]
    logged = {word.split()[1] for word in words if word.endswith(" 80")}
    assert logged <= set(prefixes.table(world.policies, ["shop"]))
    assert {"DPI|default", "PPI|ops", "DRE", "ARI0|kns.shop"} <= logged


@pytest.mark.net
@pytest.mark.parametrize(
    ("length", "start"),
    [
        pytest.param(232, "filter-cali-pi-np/shop/nnn", id="longest that is kept"),
        pytest.param(253, "filter-cali-pi-_", id="longest that there is"),
    ],
)
def test_kernel_takes_long_names(length: int, start: str) -> None:
    """Chain names have at most 255 characters in the kernel, comments 128 in nft."""
    rendered = _load(_world(WEB_INGRESS.replace("web-ingress", "n" * length)), 4)
    assert any(str(entry["chain"]["name"]).startswith(start) for entry in rendered if "chain" in entry)


@pytest.mark.net
def test_kernel_takes_node_without_pods() -> None:
    world = dataclasses.replace(_world(WEB_INGRESS), cluster=cluster.Cluster())
    chains = {str(entry["chain"]["name"]) for entry in _load(world, 6) if "chain" in entry}
    assert {"filter-cali-FORWARD", "filter-cali-to-wl-dispatch", "filter-cali-wl-to-host"} <= chains
