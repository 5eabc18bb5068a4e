"""``bench policy-eval``: what a thousand policies of all kinds do to a million edges of 10,000 pods."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from cli.bench import measure
from model import cluster, enums, manifest
from policy import evaluate, parse, world

_PODS, _NAMESPACES, _WORKLOADS, _NODES = 10_000, 100, 10, 200
_POLICIES = 1_000
_OUTSIDE = 2_000
"""Addresses that belong to nobody."""
_PORTS = (80, 443, 8080, 8443, 9090, 5432, 6379, 53, 3306, 27017, 9100, 22)
_TIERS = (("security", 10, "Deny"), ("platform", 500, "Pass"), ("application", 2_000, "Pass"))
_ACTIONS = ("Allow", "Deny", "Pass")

Body = dict[str, Any]


def judged(count: int) -> Iterator[measure.Measure]:
    """How long it takes from parsed manifests to verdicts and traces.

    Args:
        count: How many different edges.
    """
    documents = [manifest.Document("bench", i, body) for i, body in enumerate(_bodies())]
    began = time.perf_counter()
    policies, found = parse.parse(documents), cluster.read(documents)
    read = time.perf_counter()
    engine = evaluate.Engine(policies, found)
    compiled = time.perf_counter()
    edges = _edges(engine.world, count)
    start = time.perf_counter()
    verdicts = engine.judge(edges)
    end = time.perf_counter()
    texts = engine.traces.texts(engine.hits)
    done = time.perf_counter()
    yield _measure("pods", len(engine.world.pods), "pods")
    yield _measure("policies", len(policies.everything()), "policies")
    yield _measure("edges", len(edges), "edges")
    yield _measure("denied", float(np.count_nonzero(verdicts.denied)), "edges")
    yield _measure("traces that differ", len(texts), "traces")
    yield _measure("manifests read", read - began, "s")
    yield _measure("compiled", compiled - read, "s")
    yield _measure("judged", end - start, "s")
    yield _measure("traces as text", done - end, "s")
    yield _measure("manifests to verdicts", done - start + compiled - began, "s")
    if pending := engine.pending():
        began = time.perf_counter()
        again = pending.judge(edges)
        yield _measure("judged with what is staged", time.perf_counter() - began, "s")
        yield _measure("denied with what is staged", float(np.count_nonzero(again.denied)), "edges")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield _measure("memory, most", memory, "MB")


def _measure(metric: str, value: float, unit: str) -> measure.Measure:
    return measure.Measure(bench="policy-eval", metric=metric, value=value, unit=unit)


def _edges(whole: world.World, count: int) -> evaluate.Edges:
    """Different ends, protocols and ports; most ends are pods."""
    dice = np.random.default_rng(1)
    outside = world.pack(f"{203 + i % 3}.{i // 250}.{i % 250}.9" for i in range(_OUTSIDE))
    inside = world.pack(world.addresses(pod)[4] for pod in whole.pods)
    ends = world.Ends(
        pods=np.concatenate([np.arange(len(whole.pods)), np.full(_OUTSIDE, world.NOBODY)]).astype(np.int32),
        packed=np.concatenate([inside, outside]),
    )
    pods, all_of_them = len(whole.pods), len(ends)
    drawn = np.unique(dice.integers(0, pods * all_of_them * len(_PORTS) * 2, 2 * count))
    drawn = dice.permutation(drawn)[:count]
    port, rest = drawn % len(_PORTS), drawn // len(_PORTS)
    way, rest = rest % 2, rest // 2
    one, other = (rest % pods).astype(np.int32), (rest // pods).astype(np.int32)
    zero = np.zeros(len(drawn), np.int32)
    ports = np.array(_PORTS, np.int32)[port]
    protocol = np.where(ports == 53, int(enums.Protocol.UDP), int(enums.Protocol.TCP))
    return evaluate.Edges(
        ends=ends, src=np.where(way == 0, one, other), dst=np.where(way == 0, other, one), protocol=protocol,
        src_port=zero, dst_port=ports, icmp_type=zero, icmp_code=zero,
    )  # fmt: skip


def _bodies() -> Iterator[Body]:
    """The manifests, as an API server has them."""
    for i in range(_NAMESPACES):
        labels = {"team": f"team-{i % 17}", "stage": ("prod", "test", "dev")[i % 3]}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{i}", "labels": labels}}
    for i in range(_PODS):
        yield _pod(i)
    for i in range(50):
        yield {
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
            "metadata": {"name": f"set-{i}", "labels": {"partner": f"p-{i % 10}"}},
            "spec": {"nets": [f"{203 + j % 3}.{i // 10}.{i * 5 + j}.0/24" for j in range(4)]},
        }  # fmt: skip
    for name, order, action in _TIERS:
        yield {
            "apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name},
            "spec": {"order": order, "defaultAction": action},
        }  # fmt: skip
    makers = (
        _kubernetes,
        _kubernetes,
        _kubernetes,
        _kubernetes,
        _calico,
        _calico,
        _global,
        _staged,
        _cluster,
    )
    for i in range(_POLICIES - 1):
        yield makers[i % len(makers)](i)
    yield {
        "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy",
        "metadata": {"name": "monitoring"},
        "spec": {"priority": 5, "subject": {"namespaces": {}},
                 "ingress": [{"action": "Allow", "ports": [{"portNumber": {"port": 9100}}],
                              "from": [{"namespaces": {"matchLabels": {"team": "team-3"}}}]}]},
    }  # fmt: skip


def _pod(i: int) -> Body:
    namespace, workload, replica = i % _NAMESPACES, i // _NAMESPACES % _WORKLOADS, i // 1000
    labels = {"app": f"app-{workload}", "tier": ("front", "back", "data")[workload % 3],
              "pod-template-hash": f"h{namespace}-{workload}"}  # fmt: skip
    if workload == 0:
        labels["statefulset.kubernetes.io/pod-name"] = f"app-0-{replica}"
    number = 256 + i
    address = f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": f"ns-{namespace}", "name": f"app-{workload}-{replica}", "labels": labels},
        "spec": {"nodeName": f"node-{i % _NODES}", "serviceAccountName": f"sa-{workload}", "containers": [
            {"name": "c", "ports": [{"name": "http", "containerPort": (80, 8080)[workload % 2]},
                                    {"name": "metrics", "containerPort": 9100}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]},
    }  # fmt: skip


def _policy(version: str, kind: str, name: str, spec: Body, namespace: str = "") -> Body:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}, "spec": spec}


def _kubernetes(i: int) -> Body:
    app = {"matchLabels": {"app": f"app-{i // 3 % _WORKLOADS}"}}
    peer = {"namespaceSelector": {"matchLabels": {"team": f"team-{i % 17}"}}, "podSelector": {
        "matchLabels": {"app": f"app-{i % _WORKLOADS}"}}}  # fmt: skip
    block = {"ipBlock": {"cidr": f"{203 + i % 3}.0.0.0/8", "except": [f"{203 + i % 3}.{i % 9}.0.0/16"]}}
    spec = {
        "podSelector": app, "policyTypes": ["Ingress", "Egress"][: 1 + i % 2],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": f"app-{(i + 1) % _WORKLOADS}"}}}, peer],
             "ports": [{"port": _PORTS[i % len(_PORTS)]}, {"port": "http"}]},
            {"from": [block], "ports": [{"port": 8000, "endPort": 9000}, {"protocol": "UDP", "port": 53}]},
        ],
        "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]},
                   {"to": [peer, block]}],
    }  # fmt: skip
    return _policy("networking.k8s.io/v1", "NetworkPolicy", f"knp-{i}", spec, f"ns-{i % _NAMESPACES}")


def _spec(i: int) -> Body:
    def rule(j: int, side: str) -> Body:
        found: Body = {"action": _ACTIONS[(i + j) % 3]}
        if j % 2:
            found |= {"protocol": "TCP", "destination": {"ports": [_PORTS[(i + j) % 12], "9000:9010"]}}
        peer = (
            {"selector": f"app == 'app-{(i + j) % _WORKLOADS}'", "namespaceSelector": f"team != 'team-{j}'"},
            {"nets": [f"{203 + j % 3}.{i % 8}.0.0/16", f"10.{128 + j % 2}.{i % 200}.0/24"]},
            {"selector": f"partner == 'p-{(i + j) % 10}'"}, {"serviceAccounts": {"names": [f"sa-{j}"]}},
        )[j % 4]  # fmt: skip
        found[side] = found.get(side, {}) | peer
        return found

    return {
        "order": i, "types": ["Ingress", "Egress"],
        "ingress": [rule(j, "source") for j in range(5)],
        "egress": [rule(j, "destination") for j in range(4)],
    }  # fmt: skip


def _calico(i: int) -> Body:
    selector = f"app == 'app-{i % _WORKLOADS}' && tier in {{'front', 'back'}}"
    spec = {**_spec(i), "selector": selector, "tier": ("default", "application")[i % 2]}
    return _policy("projectcalico.org/v3", "NetworkPolicy", f"np-{i}", spec, f"ns-{i % _NAMESPACES}")


def _global(i: int, kind: str = "GlobalNetworkPolicy") -> Body:
    spec = {
        **_spec(i), "tier": ("security", "platform")[i % 2],
        "selector": f"tier == '{('front', 'back', 'data')[i % 3]}' && app != 'app-{i % _WORKLOADS}'",
        "namespaceSelector": f"team == 'team-{i % 17}' && stage != 'dev'",
    }  # fmt: skip
    return _policy("projectcalico.org/v3", kind, f"gnp-{i}", spec)


def _staged(i: int) -> Body:
    return _global(i, "StagedGlobalNetworkPolicy")


def _cluster(i: int) -> Body:
    spec = {
        "tier": ("Admin", "Baseline")[i % 2], "priority": i,
        "subject": {"namespaces": {"matchLabels": {"team": f"team-{i % 17}"}}},
        "ingress": [
            {"action": ("Accept", "Deny", "Pass")[i % 3], "protocols": [
                {"tcp": {"destinationPort": {"number": _PORTS[i % 12]}}}],
             "from": [{"namespaces": {"matchLabels": {"stage": ("prod", "test", "dev")[i % 3]}}}]},
        ],
        "egress": [{"action": "Deny", "to": [{"networks": [f"204.{i % 9}.0.0/16"]}]}],
    }  # fmt: skip
    return _policy("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", f"cnp-{i}", spec)
