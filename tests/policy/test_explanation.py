"""Explanations of the corner cases, as one would tell them."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml

from model import cluster, manifest
from policy import evaluate, explanation, parse, queries

CORNERS = yaml.safe_load((pathlib.Path(__file__).parent / "corner_cases.yaml").read_text())
GOLDEN = yaml.safe_load((pathlib.Path(__file__).parent / "explanations.yaml").read_text())
POLICIES = {case["title"]: case["policies"] for case in CORNERS["cases"]}


def _explained(
    title: str, src: str, dst: str, port: int = 80, *more: dict[str, Any]
) -> explanation.Explanation:
    bodies = [*CORNERS["cluster"], *POLICIES.get(title, []), *more]
    documents = [manifest.Document("f", i, body) for i, body in enumerate(bodies)]
    engine = evaluate.Engine(parse.parse(documents), cluster.read(documents))
    return explanation.Explainer(engine).explain(queries.Query(src=src, dst=dst, port=port))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["asked"])
def test_what_is_told(case: dict[str, Any]) -> None:
    """Whoever changes a sentence reads it aloud, and writes the golden file anew."""
    src, _, dst, port = case["asked"].split(" ")
    found = _explained(case["title"], src, dst, int(port))
    sentences = [found.sentence]
    for side in found.sides:
        sentences += [*side.sentences, *([side.nearest.sentence] if side.nearest else [])]
    assert sentences == case["told"]


def _isolating(name: str, namespace: str, *types: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": list(types)},
    }  # fmt: skip


def test_both_ways_may_deny() -> None:
    isolated = [_isolating("all", name, "Ingress", "Egress") for name in ("shop", "bank")]
    found = _explained("", "shop/web", "bank/ledger", 9090, *isolated)
    assert found.sentence == (
        "shop/web to bank/ledger, TCP 9090: denied, both on its way out of shop/web and on its way into "
        "bank/ledger."
    )


def test_many_policies_are_counted() -> None:
    many = [_isolating(f"p{i}", "shop", "Ingress") for i in range(6)]
    found = _explained("", "bank/teller", "shop/web", 80, *many)
    assert (
        "NetworkPolicy shop/p0, NetworkPolicy shop/p1, NetworkPolicy shop/p2 and 3 others isolate"
        in (found.ingress.sentences[0])
    )


def test_what_is_staged_is_said() -> None:
    staged = {
        "apiVersion": "projectcalico.org/v3", "kind": "StagedGlobalNetworkPolicy", "metadata": {"name": "s"},
        "spec": {"types": ["Ingress"]},
    }  # fmt: skip
    found = _explained("", "bank/teller", "shop/web", 80, staged)
    assert (found.denied, found.pending) == (False, "Once what is staged is enforced, it would be denied.")
    assert _explained("", "bank/teller", "shop/web").pending == ""


def test_places_are_words() -> None:
    assert [explanation.ordinal(i) for i in (0, 9, 10, 24)] == ["first", "tenth", "11th", "25th"]
