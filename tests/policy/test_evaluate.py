"""Verdicts and traces: the corner cases, and random clusters against a slow and obvious model."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import naive
import worlds

from model import cluster, enums, manifest
from policy import evaluate, objects, parse, queries, world

CORNERS = yaml.safe_load((pathlib.Path(__file__).parent / "corner_cases.yaml").read_text())
SEEDS = st.integers(0, 10**9)
Body = dict[str, Any]


def _documents(bodies: Sequence[Body]) -> list[manifest.Document]:
    return [manifest.Document("f", i, body) for i, body in enumerate(bodies, 1)]


def _engine(bodies: Sequence[Body]) -> evaluate.Engine:
    documents = _documents(bodies)
    return evaluate.Engine(parse.parse(documents), cluster.read(documents))


def _query(text: str) -> queries.Query:
    found = re.fullmatch(r"(\S+) > (\S+) (\w+)(?: (\d+))?: (allow|deny)", text)
    assert found, text
    src, dst, protocol, port, verdict = found.groups()
    return queries.Query(
        src=src, dst=dst, protocol=enums.Protocol[protocol], port=int(port or 0), expect=verdict == "deny"
    )


@pytest.mark.parametrize("case", CORNERS["cases"], ids=lambda case: case["title"])
def test_corner_case(case: dict[str, Any]) -> None:
    engine = _engine([*CORNERS["cluster"], *case["policies"]])
    asked = [_query(text) for text in case["connections"]]
    for answer in queries.Asker(engine).ask(asked):
        assert answer.denied is answer.query.expect, answer


class World:
    """A random cluster, and connections between all that is in it."""

    def __init__(self, seed: int, bodies: Sequence[Body] = (), *, pending: bool = False) -> None:
        maker = worlds.Maker(seed)
        self.bodies = list(bodies) or [*maker.cluster(), *maker.policies()]
        documents = _documents(self.bodies)
        policies = parse.parse(documents)
        self.policies = policies.pending() if pending else policies
        self.cluster = cluster.read(documents)
        self.naive = naive.Naive(self.policies, self.cluster)
        self.engine = evaluate.Engine(self.policies, self.cluster)
        self.ends = [
            naive.End(i, net.network_address) for i, pod in enumerate(self.naive.pods) for net in pod.nets
        ]
        self.ends += [naive.End(None, ipaddress.ip_address(text)) for text in worlds.OUTSIDE]
        dice = worlds.Maker(seed + 1)
        self.rows = [
            (a, b, protocol, dice.one((80, 1000)), 0 if protocol in (1, 58) else dice.one(worlds.PORTS),
             dice.one((8, 3)), 0)
            for a, src in enumerate(self.ends) for b, dst in enumerate(self.ends)
            if src.address.version == dst.address.version and (a != b or src.pod is not None)
            for protocol in [dice.one((6, 6, 17, 132, 1 if src.address.version == 4 else 58))]
        ]  # fmt: skip

    def judged(self) -> list[tuple[bool, list[str], list[str]]]:
        """What the engine says of each connection."""
        src, dst, protocol, src_port, dst_port, icmp_type, icmp_code = np.array(self.rows, np.int32).T
        found = self.engine.judge(evaluate.Edges(
            ends=world.Ends(
                np.array([world.NOBODY if end.pod is None else end.pod for end in self.ends], np.int32),
                world.pack(str(end.address) for end in self.ends),
            ),
            src=src, dst=dst, protocol=protocol, src_port=src_port, dst_port=dst_port, icmp_type=icmp_type,
            icmp_code=icmp_code,
        ))  # fmt: skip
        traces = [
            [[hit.render() for hit in trace] for trace in self.engine.trace(side.traces)]
            for side in (found.egress, found.ingress)
        ]
        return list(zip(found.denied.tolist(), *traces, strict=True))

    def expected(self) -> list[tuple[bool, list[str], list[str]]]:
        """What the model says of each."""
        return [
            self.naive.denied(naive.Flow(self.ends[src], self.ends[dst], *rest))
            for src, dst, *rest in self.rows
        ]

    def denied(self) -> list[bool]:
        return [denied for denied, _, _ in self.judged()]


@given(SEEDS, st.booleans())
def test_engine_is_what_the_specification_says(seed: int, pending: bool) -> None:
    """Verdict and trace, of each way, with what is staged in force and without."""
    found = World(seed, pending=pending)
    for row, engine, model in zip(found.rows, found.judged(), found.expected(), strict=True):
        assert engine == model, (found.ends[row[0]], found.ends[row[1]], row)


@given(SEEDS)
def test_more_that_is_allowed_never_denies_more(seed: int) -> None:
    found = World(seed)
    dice, bodies = worlds.Maker(seed + 2), json.loads(json.dumps(found.bodies))
    policies = [body for body in bodies if body["kind"] in ("NetworkPolicy", "GlobalNetworkPolicy")]
    if not policies:
        return
    chosen = dice.one(tuple(policies))
    spec = chosen["spec"]
    direction = "ingress" if spec.get("preDNAT") else dice.one(("ingress", "egress"))
    (policy,) = (
        one for one in found.policies.policies
        if one.name == chosen["metadata"]["name"] and one.namespace == chosen["metadata"].get("namespace", "")
    )  # fmt: skip
    types = "types" if "projectcalico" in chosen["apiVersion"] else "policyTypes"
    spec[types] = [one.capitalize() for one in sorted(policy.types)]  # which more rules would change
    rule = {"action": "Allow"} if types == "types" else {}
    rules = spec.setdefault(direction, [])
    rules.insert(dice.dice.randint(0, len(rules)), rule)
    more = World(seed, bodies)
    assert all(not now or before for before, now in zip(found.denied(), more.denied(), strict=True))


@given(SEEDS)
def test_names_of_labels_are_of_no_matter(seed: int) -> None:
    found = World(seed)
    text = json.dumps(found.bodies)
    for name in ("app", "role", "team"):
        text = re.sub(rf"\b{name}\b", f"x.{name}/y", text)
    assert World(seed, json.loads(text)).denied() == found.denied()


def test_order_within_a_tier_is_order_then_name() -> None:
    def policy(name: str, order: int | None, action: str) -> Body:
        spec = {"selector": "all()", "ingress": [{"action": action}], **({"order": order} if order else {})}
        return {
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name},
            "spec": spec,
        }  # fmt: skip

    allowed = {}
    for name, made in {
        "order": [policy("a", 2, "Deny"), policy("b", 1, "Allow")],
        "name": [policy("b", 1, "Deny"), policy("a", 1, "Allow")],
        "none is last": [policy("a", None, "Deny"), policy("b", 9, "Allow")],
    }.items():
        engine = _engine([*CORNERS["cluster"], *made])
        (answer,) = queries.Asker(engine).ask([_query("ops/probe > shop/web TCP 80: allow")])
        allowed[name] = not answer.denied
    assert allowed == {"order": True, "name": True, "none is last": True}


def test_nothing_asked_is_nothing_answered() -> None:
    engine = _engine(CORNERS["cluster"])
    none = np.zeros(0, np.int32)
    edges = evaluate.Edges(
        ends=world.Ends(none, np.zeros((0, 16), np.uint8)), src=none, dst=none, protocol=none, src_port=none,
        dst_port=none, icmp_type=none, icmp_code=none,
    )  # fmt: skip
    assert len(engine.judge(edges).denied) == 0


def test_cluster_without_pods_denies_nobody() -> None:
    engine = evaluate.Engine(objects.policy_set((), ()), cluster.Cluster())
    (answer,) = queries.Asker(engine).ask([queries.Query(src="192.0.2.1", dst="192.0.2.2", port=80)])
    assert (answer.denied, answer.egress, answer.ingress) == (False, (), ())
