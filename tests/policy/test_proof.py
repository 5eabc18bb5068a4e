"""The proof: what is lost if a rule is missing, and how much can be reached before and after."""

from __future__ import annotations

import copy
import dataclasses
import ipaddress
import pathlib
import sys
from collections.abc import Sequence

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import naive
import observed
import records
from observed import closed, edge, ping, pod, port

from model import cluster, enums
from policy import drafting, parse, preview, proof, record, suggest

KUBERNETES, CALICO, STAGED = drafting.Kind.KUBERNETES, drafting.Kind.CALICO, drafting.Kind.STAGED
KINDS = pytest.mark.parametrize("kind", drafting.Kind)
UDP = enums.Protocol.UDP
PODS = [
    pod("web", addresses=("10.65.0.1", "fd00:65::1")), pod("db", addresses=("10.65.0.2", "fd00:65::2")),
    pod("cart", addresses=("10.65.0.3", "fd00:65::3")), pod("till", "bank", addresses=("10.65.0.4",)),
]  # fmt: skip
EDGES = [
    edge("web", "db", 5432), edge("web", "cart"), edge("till", "web"), edge("cart", "db", 5432),
    edge("web", "203.0.113.9", 443), edge("203.0.113.9", "web"),
]  # fmt: skip


class Proved:
    """A suggestion for a small cluster, and its proof."""

    def __init__(
        self, edges: Sequence[observed.Edge] = EDGES, *bodies: observed.Body,
        kind: drafting.Kind = KUBERNETES, variants: Sequence[record.Variant] = PODS,
        only: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.documents = observed.documents(*bodies)
        self.kind = kind
        self.seen = observed.seen(variants, edges)
        wanted = suggest.Wanted(kind=kind)
        self.suggester = suggest.Suggester(self.seen, observed.END, self.documents, cluster.read([]), wanted)
        self.made = self.suggester.suggest(lambda group: not only or group.name in only)

    def proof(self, made: suggest.Suggestion | None = None) -> proof.Proof:
        return proof.prove(self.suggester, made or self.made, self.documents, self.kind)

    def without(self, policy: int, direction: enums.Direction, rule: int) -> suggest.Suggestion:
        """The suggestion with one rule less."""
        one = self.made.policies[policy]
        body = copy.deepcopy(one.body)
        spec = body["spec"]
        assert isinstance(spec, dict)
        del spec[str(direction)][rule]
        policies = [*self.made.policies]
        policies[policy] = dataclasses.replace(one, body=body)
        return dataclasses.replace(self.made, policies=tuple(policies))


@KINDS
def test_suggestion_holds(kind: drafting.Kind) -> None:
    found = Proved(kind=kind).proof()
    assert found.holds
    assert (found.edges, found.allowed, found.connections) == (6, 6, 120)
    assert (found.lost, found.denied_already, found.left_out) == ((), (), ())


@KINDS
def test_each_rule_that_is_taken_away_loses_its_edges(kind: drafting.Kind) -> None:
    """All that the rule was made for, and nothing else."""
    found = Proved(kind=kind)
    tried = 0
    for i, one in enumerate(found.made.policies):
        for direction, rules in one.rules.items():
            for j, rule in enumerate(rules):
                proved = found.proof(found.without(i, direction, j))
                assert proved.lost == tuple(sorted(edge for part in rule.parts for edge in part.edges))
                assert (proved.holds, proved.denied_already) == (False, ())
                tried += 1
    assert tried == (9 if kind is KUBERNETES else 10), "one has two peers, which Calico says in two"


@pytest.mark.parametrize("seed", range(20))
@KINDS
def test_rules_of_random_suggestions_are_all_needed(seed: int, kind: drafting.Kind) -> None:
    """Nothing that is suggested is superfluous: each rule loses edges if it is taken away."""
    maker = records.Maker(seed)
    found = Proved(edges=[], kind=kind)
    found.seen, found.documents = maker.record(), maker.documents
    found.suggester = suggest.Suggester(
        found.seen, records.END, found.documents, cluster.read([]), suggest.Wanted(kind=kind)
    )
    found.made = found.suggester.suggest()
    assert found.proof().holds
    for i, one in enumerate(found.made.policies):
        for direction, rules in one.rules.items():
            for j in range(len(rules)):
                assert not found.proof(found.without(i, direction, j)).holds


def test_what_is_denied_already_is_not_lost() -> None:
    """A policy in a tier before denies what was allowed when it was recorded."""
    tier = {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "first"},
            "spec": {"order": 1}}  # fmt: skip
    deny = {
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "first.deny"},
        "spec": {"tier": "first", "selector": "app == 'db'", "ingress": [
            {"action": "Deny", "source": {"selector": "app == 'cart'"}}, {"action": "Pass"}
        ]},
    }  # fmt: skip
    found = Proved(EDGES, tier, deny).proof()
    assert (found.lost, found.denied_already, found.holds) == ((), (3,), True)
    assert (found.edges, found.allowed, found.connections) == (6, 5, 100)


def test_what_was_left_out_and_will_be_denied_is_told() -> None:
    left = [
        edge("web", "db", 22, forward=60, reverse=0, verdict="unknown"),
        edge("till", "web", 22, verdict="denied"),
        edge("203.0.113.9", "203.0.113.10"),
    ]
    found = Proved([*EDGES, *left]).proof()
    assert (found.left_out, found.edges, found.connections) == ((6, 7), 6, 120)
    assert (found.pairs_before, found.pairs_used) == (9, 4), "nobody is known to serve what was left out"
    again = Proved([*EDGES, *left], closed()).proof()
    assert again.left_out == (), "what is denied already is not newly denied"


def test_only_what_somebody_asked_about_is_closed() -> None:
    found = Proved(only=("db",))
    assert [one.group.name for one in found.made.policies] == ["db"]
    assert found.proof().holds


@KINDS
def test_pairs_of_a_small_cluster(kind: drafting.Kind) -> None:
    """Four workloads; served are db 5432, cart 80, and web 80, each for three others."""
    for edges in (EDGES, [*EDGES, edge("203.0.113.9", "db", 5432)]):
        found = Proved(edges, kind=kind).proof()
        assert (found.pairs_before, found.pairs_after, found.pairs_used) == (9, 4, 4)


def test_pairs_are_of_those_that_were_asked_about() -> None:
    """As a client or as a server: db has three clients, and two servers."""
    found = Proved(only=("db",)).proof()
    assert (found.pairs_before, found.pairs_after, found.pairs_used) == (5, 2, 2)


def test_pod_that_talks_to_its_own_workload_is_no_pair() -> None:
    found = Proved([edge("web", "web"), edge("cart", "web")]).proof()
    assert (found.pairs_before, found.pairs_after, found.pairs_used) == (3, 1, 1)


@pytest.mark.parametrize("six", [False, True], ids=["ICMP", "ICMPv6"])
def test_pairs_by_message(six: bool) -> None:
    pods = [one for one in PODS if one.workload.name != "till"]
    found = Proved([ping("web", "db", six=six)], kind=CALICO, variants=pods).proof()
    assert (found.pairs_before, found.pairs_after, found.pairs_used) == (2, 1, 1)


def test_record_without_pairs() -> None:
    found = Proved([edge("web", "203.0.113.9", 443)]).proof()
    assert (found.pairs_before, found.pairs_after, found.pairs_used, found.holds) == (0, 0, 0, True)
    nothing = Proved([]).proof()
    assert (nothing.edges, nothing.pairs_before, nothing.holds) == (0, 0, True)


@pytest.mark.parametrize("seed", range(15))
def test_pairs_are_counted_as_the_specification_judges_them(seed: int) -> None:
    """Every pair with every port that is served, by the slow model: before, and with the suggestion."""
    maker = records.Maker(seed)
    names = sorted({str(one.workload) for one in maker.variants})
    variants = [
        pod(*reversed(name.split("/")), addresses=(f"10.65.0.{i + 1}",), ports=(port(80, "http"),))
        for i, name in enumerate(names)
    ]
    edges = [
        edge(
            *maker.dice.sample(names, 2),
            maker.dice.choice((80, 443, 53)),
            protocol=maker.dice.choice((6, 17)),
        )
        for _ in range(maker.dice.randint(1, 8))
    ]
    edges = list({(one.src, one.dst, one.port, one.protocol): one for one in edges}.values())
    found = Proved(edges, *(one.body for one in maker.policies()), variants=variants)
    proved = found.proof()
    served = {(one.dst, one.port, one.protocol) for one in _accepted(found, edges)}
    asked = {str(group) for group in found.made.groups}
    pairs = [(src, *what) for what in served for src in names if src != what[0] and asked & {src, what[0]}]
    after = preview.changed(found.documents, proof.applied(found.made))
    counts = []
    for documents in (found.documents, after):
        model = naive.Naive(parse.parse(documents), found.suggester.replay.cluster)
        counts.append(sum(
            not model.denied(naive.Flow(_end(names, src), _end(names, dst), protocol, 1000, number))[0]
            for src, dst, number, protocol in pairs
        ))  # fmt: skip
    assert [proved.pairs_before, proved.pairs_after] == counts
    used = {(one.src, one.dst, one.port, one.protocol) for one in _accepted(found, edges)}
    assert proved.pairs_used == len(used & set(pairs))


def _accepted(found: Proved, edges: Sequence[observed.Edge]) -> list[observed.Edge]:
    return [one for one, taken in zip(edges, found.made.accepted.mask.tolist(), strict=True) if taken]


def _end(names: Sequence[str], name: str) -> naive.End:
    i = names.index(name)
    return naive.End(i, ipaddress.ip_address(f"10.65.0.{i + 1}"))
