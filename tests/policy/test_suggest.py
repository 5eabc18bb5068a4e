"""Suggestions: of random records they allow all that was accepted, and no rule of theirs too many."""

from __future__ import annotations

import copy
import dataclasses
import pathlib
import re
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from kubernetes import client

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import observed
import records

from model import cluster, enums, errors, manifest
from policy import (
    drafting,
    evaluate,
    needs,
    objects,
    parse,
    preview,
    proof,
    record,
    replay,
    suggest,
)

SEEDS = range(60)
AROUND = cluster.Cluster()
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
MADE_UP = ("pod-template-hash", "controller-revision-hash", "job-name", "statefulset.kubernetes.io/pod-name")


@dataclasses.dataclass(frozen=True)
class Case:
    """A record, the policies that there are, and what is suggested."""

    seen: record.Record
    documents: list[manifest.Document]
    wanted: suggest.Wanted
    suggester: suggest.Suggester
    made: suggest.Suggestion

    @property
    def applied(self) -> list[manifest.Document]:
        return preview.changed(self.documents, proof.applied(self.made))

    def judged(self, documents: list[manifest.Document]) -> np.ndarray:
        """Which edges are denied."""
        policies = parse.parse(documents)
        if self.wanted.kind is drafting.Kind.STAGED:
            policies = policies.pending()
        again = replay.Replay(self.seen, cluster.read(documents))
        return again.judge(again.engine(policies)).denied


def _case(seed: int, kind: drafting.Kind) -> Case | None:
    """None where the tier of choice closes nothing."""
    maker = records.Maker(seed)
    seen = maker.record()
    documents = maker.documents + (maker.policies() if seed % 3 else [])
    tier = "ours" if kind is not drafting.Kind.KUBERNETES and seed % 5 == 1 and seed % 3 else "default"
    bounds = needs.Bounds(widening=(1.0, 4.0)[seed % 2])
    wanted = suggest.Wanted(kind=kind, tier=tier, bounds=bounds)
    if any(one.name == tier and one.default_action == "pass" for one in parse.parse(documents).tiers):
        return None
    made = suggest.Suggester(seen, records.END, documents, AROUND, wanted)
    return Case(seen, documents, wanted, made, made.suggest())


@pytest.fixture(scope="module", params=drafting.Kind)
def cases(request: pytest.FixtureRequest) -> list[Case]:
    found = [case for seed in SEEDS if (case := _case(seed, request.param))]
    assert sum(len(case.made.policies) for case in found) > 2 * len(SEEDS)
    return found


def test_all_that_was_accepted_stays_allowed(cases: list[Case]) -> None:
    for case in cases:
        before, after = case.judged(case.documents), case.judged(case.applied)
        accepted = case.made.accepted.mask
        assert not (accepted & after & ~before).any()
        proved = proof.prove(case.suggester, case.made, case.documents, case.wanted.kind)
        assert proved.holds
        assert proved.edges == int(accepted.sum())
        assert proved.pairs_used <= proved.pairs_after + len(proved.denied_already)


def test_no_rule_can_be_dropped(cases: list[Case]) -> None:
    count = 0
    for case in cases[::3]:
        for body in _with_a_rule_less(case.made):
            denied = case.judged(preview.changed(case.applied, [manifest.Document("less", 1, body)]))
            assert (denied & case.made.accepted.mask).any(), body
            count += 1
    assert count > 100


def _with_a_rule_less(made: suggest.Suggestion) -> Iterator[suggest.Body]:
    for one in made.policies:
        for direction, rules in one.rules.items():
            total = len(one.body["spec"][str(direction)])
            for i in range(total - len(rules), total):
                body = copy.deepcopy(one.body)
                del body["spec"][str(direction)][i]
                yield body


def test_second_run_over_the_same_span_gives_the_same(cases: list[Case]) -> None:
    for case in cases:
        again = suggest.Suggester(case.seen, records.END, case.documents, AROUND, case.wanted).suggest()
        texts = [[manifest.text(one.body) for one in made.policies] for made in (case.made, again)]
        assert texts[0] == texts[1]


def test_run_with_the_suggestion_in_force_suggests_nothing(cases: list[Case]) -> None:
    for case in cases:
        again = suggest.Suggester(case.seen, records.END, case.applied, AROUND, case.wanted)
        assert again.suggest().policies == ()


def test_order_of_edges_and_pods_is_of_no_matter(cases: list[Case]) -> None:
    for case in cases[::4]:
        turned = case.seen.take(np.arange(len(case.seen))[::-1])
        again = suggest.Suggester(turned, records.END, case.documents, AROUND, case.wanted).suggest()
        assert [one.body for one in again.policies] == [one.body for one in case.made.policies]


def test_selectors_select_what_they_claim(cases: list[Case]) -> None:
    """The policy's the pods of its group; each peer's those of the peer's group. None is made up."""
    for case in cases:
        engine = evaluate.Engine(parse.parse(case.applied), case.suggester.replay.cluster)
        for one in case.made.policies:
            (policy,) = parse.parse([manifest.Document("one", 1, one.body)]).everything()
            assert _selected(engine, policy.subjects) == _members(case.seen, one.group)
            for direction, rules in one.rules.items():
                if one.before is None:
                    assert _peers(engine, policy, direction) == {
                        frozenset(_members(case.seen, group)) for group in _groups(rules)
                    }
            assert not any(label.startswith(MADE_UP) for label, _ in one.group.labels)


def _selected(engine: evaluate.Engine, members: object) -> set[int]:
    labels = engine.world.labels
    return set(np.flatnonzero(labels.matching(members)[labels.codes[: len(engine.world.pods)]]).tolist())


def _members(seen: record.Record, group: object) -> set[int]:
    return {i for i, one in enumerate(seen.variants) if one.workload in group.workloads}


def _peers(
    engine: evaluate.Engine, policy: objects.Policy, direction: enums.Direction
) -> set[frozenset[int]]:
    """Whom the rules about pods mean."""
    rules = policy.rules(direction)
    sides = [one.source if direction is enums.Direction.INGRESS else one.destination for one in rules]
    found = {side.members for side in sides if side.members is not None}
    return {frozenset(_selected(engine, one)) for one in found if "partner" not in str(one)}


def _groups(rules: tuple[drafting.Rule, ...]) -> list[object]:
    return [part.peer.group for rule in rules for part in rule.parts if part.peer.group]


def test_manifests_are_what_the_api_takes(cases: list[Case]) -> None:
    """Kubernetes' own client reads them and finds nothing else in them; Calico's are read strictly by us."""
    api = client.ApiClient()
    for case in cases:
        for one in case.made.policies:
            body = yaml.safe_load(manifest.text(one.body))
            assert body == one.body
            assert DNS_LABEL.fullmatch(body["metadata"]["name"])
            assert parse.parse([manifest.Document("one", 1, body)]).everything()
            if case.wanted.kind is drafting.Kind.KUBERNETES:
                read = api._ApiClient__deserialize(body, "V1NetworkPolicy")
                assert api.sanitize_for_serialization(read) == body


def test_what_is_left_out_is_not_let_in(cases: list[Case]) -> None:
    """Where both ends are closed by what is suggested; but for a pair that something else was accepted of."""
    for case in cases:
        accepted, seen = case.made.accepted, case.seen
        after = case.judged(case.applied)
        left = np.flatnonzero(accepted.relevant & ~accepted.mask & ~after)
        known = _closed(case.made)
        for edge in left.tolist():
            ends = {int(seen.src[edge]): enums.Direction.EGRESS, int(seen.dst[edge]): enums.Direction.INGRESS}
            if all(end < 0 or (seen.variants[end].workload, way) in known for end, way in ends.items()):
                assert _is_granted(case, edge), (edge, accepted.reasons[edge])


def _closed(made: suggest.Suggestion) -> set[tuple[record.Workload, enums.Direction]]:
    return {(owner, way) for one in made.policies for way in one.decides for owner in one.group.workloads}


def _is_granted(case: Case, edge: int) -> bool:
    """Whether something accepted has the same ends, as far as policies tell ends apart, and the same port."""
    seen = case.seen

    def known(i: int) -> tuple[object, ...]:
        port = int(seen.protocol[i]), int(seen.port[i]), int(seen.icmp_type[i])
        return (*(_end(case, int(end)) for end in (seen.src[i], seen.dst[i])), port)

    return case.wanted.bounds.widening > 1 or known(edge) in {
        known(i) for i in np.flatnonzero(case.made.accepted.mask).tolist()
    }


def _end(case: Case, end: int) -> object:
    if end >= 0:
        return case.suggester.groups[case.suggester.group_of[end]]
    return case.seen.names[-1 - end] or case.seen.packed[-1 - end].tobytes()


@pytest.mark.parametrize(
    ("tier", "because"),
    [
        pytest.param("nowhere", "there is no tier nowhere", id="not there"),
        pytest.param("ours", "tier ours passes on what its policies do not decide", id="closes nothing"),
    ],
)
def test_tier_in_which_policies_would_close_nothing_is_refused(tier: str, because: str) -> None:
    maker = records.Maker(1)
    body = {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "ours"},
            "spec": {"defaultAction": "Pass"}}  # fmt: skip
    wanted = suggest.Wanted(kind=drafting.Kind.CALICO, tier=tier)
    with pytest.raises(errors.SetupError, match=because):
        suggest.Suggester(
            maker.record(), records.END, [*maker.documents, manifest.Document("t", 1, body)], AROUND, wanted
        )


def test_policies_about_the_same_pods_are_found_and_names_of_others_left() -> None:
    """Two kinds of one name, a policy about other pods that has a name, and has its tier before it."""
    pods = [
        observed.pod("web", labels={"app": "a"}),
        observed.pod("web", kind="StatefulSet", labels={"app": "b"}),
        observed.pod("web-2", labels={"app": "c"}), observed.pod("db"),
    ]  # fmt: skip
    seen = observed.seen(pods, [observed.edge(i, "db", 5432) for i in range(3)])
    there = {
        "apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "default.web-2", "namespace": "shop"},
        "spec": {"selector": "app == 'other'", "types": ["Ingress"]},
    }  # fmt: skip
    mine = {
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "mine", "namespace": "shop"},
        "spec": {"selector": "app == 'db'", "types": ["Egress"]},
    }  # fmt: skip
    wanted = suggest.Wanted(kind=drafting.Kind.CALICO)
    documents = observed.documents(there, mine)
    made = suggest.Suggester(seen, observed.END, documents, AROUND, wanted).suggest()
    named = {one.body["metadata"]["name"]: dict(one.group.labels)["app"] for one in made.policies}
    assert named == {"mine": "db", "web-deployment": "a", "web-statefulset": "b", "web-2-2": "c"}
    assert len(proof.applied(made)) == len({preview.identity(one) for one in proof.applied(made)})


@pytest.mark.parametrize("kind", drafting.Kind)
def test_peer_without_labels_is_pods_and_no_network_set(kind: drafting.Kind) -> None:
    """A set of the same namespace may have half of the internet."""
    pods = [observed.pod("web"), observed.pod("bare", labels={})]
    edges = [observed.edge("web", "bare"), observed.edge("web", "9.9.9.9", verdict="denied")]
    documents = observed.documents(observed.network_set("half", "0.0.0.0/1", namespace="shop"))
    seen = observed.seen(pods, edges)
    made = suggest.Suggester(seen, observed.END, documents, AROUND, suggest.Wanted(kind=kind))
    case = Case(seen, documents, suggest.Wanted(kind=kind), made, made.suggest())
    assert case.judged(case.applied).tolist() == [False, True]
