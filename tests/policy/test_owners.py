"""Chains of known policies, in the names of all versions."""

from __future__ import annotations

import pytest
import yaml

from model import chainnames, enums, manifest
from policy import objects, owners, parse

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
ALLOW, DENY, PASS = enums.Action.ALLOW, enums.Action.DENY, enums.Action.PASS

MANIFESTS = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web-ingress, namespace: shop}
spec:
  types: [Ingress]
  ingress:
  - {action: Log}
  - {action: Allow, ipVersion: 6}
  - {action: Deny, source: {nets: [10.99.0.0/16]}}
  - {action: Pass, source: {nets: [10.99.0.0/16, "fd00::/8"]}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: ops.block-metadata}
spec: {tier: ops, types: [Egress], egress: [{action: Deny}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: x, namespace: default}
spec: {}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: x}
spec: {}
"""


@pytest.fixture(scope="module")
def table() -> dict[str, chainnames.Owner]:
    """The table of these policies."""
    texts = enumerate(yaml.safe_load_all(MANIFESTS), 1)
    policies = parse.parse([manifest.Document("m.yaml", i, body) for i, body in texts])
    return owners.table(policies, ["shop", "a-namespace-with-a-long-name"])


@pytest.mark.parametrize(
    ("chain", "kind", "name"),
    [
        pytest.param("cali-pi-np/shop/web-ingress", "np", "web-ingress", id="3.32"),
        pytest.param("cali-pi-np/shop/default.web-ingress", "np", "web-ingress", id="3.32, nft, upgraded"),
        pytest.param("cali-pi-_1D3JW2A54Ei6oq-NrtT", "np", "web-ingress", id="3.29, iptables"),
        pytest.param("cali-pi-default/shop/default.web-ingress", "np", "web-ingress", id="3.29, nft"),
        pytest.param("cali-pi-_gIpZBLntRxK5-dQIFwC", "np", "web-ingress", id="3.28"),
        pytest.param("cali-po-_T7oAA9Ff3Krd8WhFXE1", "gnp", "ops.block-metadata", id="3.32, hashed"),
        pytest.param("cali-po-ops/ops.block-metadata", "gnp", "ops.block-metadata", id="3.29, global"),
        pytest.param("cali-pi-knp/shop/dns", "knp", "dns", id="3.32, Kubernetes"),
        pytest.param("cali-pi-shop/knp.default.dns", "knp", "dns", id="3.28, Kubernetes"),
        pytest.param("cali-pri-kns.shop", "pro", "kns.shop", id="profile"),
        pytest.param("cali-pro-kns.a-namespace-with-a-long-name", "pro", "kns.a-namespace-with-a-long-name",
                     id="profile, nft"),
    ],
)  # fmt: skip
def test_every_name_of_a_chain_is_known(
    table: dict[str, chainnames.Owner], chain: str, kind: str, name: str
) -> None:
    owner = table[chain]
    assert (owner.kind, owner.name) == (kind, name)
    assert owner.direction == (EGRESS if chain.startswith(("cali-po-", "cali-pro-")) else INGRESS)


def test_rules_are_those_of_each_family(table: dict[str, chainnames.Owner]) -> None:
    """What is left out leaves a gap, and a log rule has an index without an action."""
    owner = table["cali-pi-np/shop/web-ingress"]
    assert owner.ipv4 == tuple(chainnames.Listed(*rule) for rule in ((0, None), (2, DENY), (3, PASS)))
    assert owner.ipv6 == tuple(chainnames.Listed(*rule) for rule in ((0, None), (1, ALLOW), (3, PASS)))
    assert table["cali-pri-kns.shop"].ipv6 == (chainnames.Listed(0, ALLOW),)
    assert table["cali-po-np/shop/web-ingress"].ipv4 == ()


def test_name_with_two_meanings_is_left_out(table: dict[str, chainnames.Owner]) -> None:
    """A NetworkPolicy of namespace default before 3.29, a global one of tier default after it."""
    assert "cali-pi-default/default.x" not in table
    assert table["cali-pi-np/default/x"].kind == "np"
    assert table["cali-pi-gnp/x"].kind == "gnp"


@pytest.mark.parametrize("kind", ["np", "gnp", "knp", "kcnp"])
def test_comment_of_every_kind_is_understood(kind: str) -> None:
    owner = chainnames.read_comment(f"{objects.KIND_NAMES[kind]} shop/web ingress")
    assert owner
    assert owner.kind == kind
