"""Where the dataplane did something else than the policies say."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import prometheus_client
import pyarrow as pa
import pytest

from cli import drift, known, naming, registrar
from enrich import manifests
from policy import audit
from runtime import metrics
from store import queries, transport

Build = Callable[..., pa.RecordBatch]
POLICY = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "cart", "namespace": "shop"},
    "spec": {"podSelector": {"matchLabels": {"app": "cart"}},
             "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]},
}  # fmt: skip
HOST = {
    "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": {"name": "node-9"},
    "spec": {"node": "node-9", "interfaceName": "eth0", "expectedIPs": ["192.0.2.9"]},
}  # fmt: skip
RULE, END = "ingress|default|knp:shop/cart|allow|0", "ingress|default|end-of-tier|deny|-1"


def _pod(name: str, address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": name}},
        "spec": {"nodeName": "node-1"},
        "status": {"startTime": "2026-01-01T00:00:00Z", "podIPs": [{"ip": address}]},
    }  # fmt: skip


def _flow(src: str, port: int, action: str, **more: object) -> dict[str, object]:
    """A connection to shop/cart, and what was done to it on its way in."""
    pods = {"web": "10.0.0.1", "": "192.0.2.1", "gone": "10.0.0.3"}
    named = {"src_namespace": "shop", "src_pod": src} if src else {"src_namespace": "", "src_pod": ""}
    return {
        "src_address": pods[src], **named, "attribution": "nflog",
        "dst_address": "10.0.0.2", "dst_namespace": "shop", "dst_pod": "cart",
        "dst_port": port, "protocol": 6, "ingress_action": action, "egress_action": "", "reporter": "dst",
        "verdict": {"allow": "allowed", "deny": "denied"}.get(action, "unknown"),
        "deciding_rule": RULE if action == "allow" else END if action else "", **more,
    }  # fmt: skip


@pytest.fixture
def found(
    tmp_path: pathlib.Path, ledger: transport.Transport, url: str, flows: Build
) -> Callable[..., list[audit.Finding]]:
    """What is found once some connections are recorded."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    items = [POLICY, HOST, _pod("cart", "10.0.0.2"), _pod("web", "10.0.0.1")]
    (folder / "a.json").write_text(json.dumps({"kind": "List", "items": items}))
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    named = naming.Naming(measured)
    named.follow(manifests.Folder(folder))
    registrar.Registrar(named, ledger, measured).step()

    def record(*rows: dict[str, object]) -> list[audit.Finding]:
        if rows:
            ledger.insert("flows", flows(*rows))
        now = time.time_ns()
        return drift.findings(known.ledger(url), url, queries.Span(now - 3600 * 10**9, now + 10**9))

    return record


def test_what_policies_say_is_no_drift(found: Callable[..., list[audit.Finding]]) -> None:
    assert found() == []
    assert (
        found(_flow("web", 80, "allow"), _flow("web", 81, "deny"), _flow("", 80, "deny"), _flow("", 81, ""))
        == []
    )


def test_what_was_let_in_and_should_not_have_been(found: Callable[..., list[audit.Finding]]) -> None:
    (one,) = found(_flow("web", 443, "allow"), _flow("web", 80, "allow"))
    assert (one.check, str(one.severity), one.subject, one.direction) == (
        "drift",
        "high",
        "shop/cart",
        "ingress",
    )
    assert one.sentence == (
        "shop/web to shop/cart, TCP 443: it was allowed on its way into shop/cart, and the policies deny it."
    )
    assert one.evidence[0].startswith("1 connection, the last at ")
    assert one.evidence[1:] == (
        "what decided: ingress: NetworkPolicy shop/cart of tier default, rule 0 (known by nflog)",
        "what should have: ingress: end of tier default, no policy allowed it",
    )  # fmt: skip


def test_what_was_denied_and_should_have_been_let_in(found: Callable[..., list[audit.Finding]]) -> None:
    (one,) = found(_flow("web", 80, "deny", attribution="nflog"))
    assert one.sentence == (
        "shop/web to shop/cart, TCP 80: it was denied on its way into shop/cart, and the policies allow it."
    )


def test_of_pods_that_are_gone_nobody_knows(found: Callable[..., list[audit.Finding]]) -> None:
    assert found(_flow("gone", 443, "allow")) == []


def test_many_are_counted(found: Callable[..., list[audit.Finding]]) -> None:
    many = found(*(_flow("", port, "allow") for port in range(1000, 1025)))
    assert len(many) == 21
    assert many[-1].sentence == "5 more edges to which something else was done than the policies say."


def test_what_host_endpoints_decide_is_not_compared(found: Callable[..., list[audit.Finding]]) -> None:
    """Which ports they keep open is set elsewhere, and what they judge before translation is not recorded."""
    host = {"dst_address": "192.0.2.9", "dst_namespace": "", "dst_pod": ""}
    assert found(_flow("web", 22, "deny", **host), _flow("web", 8080, "allow", **host)) == []
