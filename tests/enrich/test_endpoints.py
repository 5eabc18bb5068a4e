"""What is said of pods and nodes when something is learned about them."""

from __future__ import annotations

import dataclasses

from enrich import endpoints, identity, lives
from model import address, cluster, enums

S = lives.SECOND
ONE = address.pack("10.0.0.1")
POD = identity.Identity(
    kind=enums.EndpointKind.POD, namespace="shop", workload_kind="ReplicaSet", workload="web-1", pod="web",
    node="node-1",
)  # fmt: skip
OWNER = ("ReplicaSet", "shop", "web-1")


def _seen(at: int, who: identity.Identity = POD, **more: int) -> lives.Seen:
    return lives.Seen(at=at * S, addresses=(ONE,), who=who, started=10 * S, **more)


def _known(clock: lives.Clock | None = None) -> endpoints.Endpoints:
    known = endpoints.Endpoints(clock or lives.Clock())
    known.see("u", 5, _seen(12), OWNER)
    known.news()
    return known


def test_what_is_new_is_said_once() -> None:
    known = endpoints.Endpoints(lives.Clock())
    known.see("u", 5, _seen(12), OWNER)
    claims, affected = known.news()
    assert [(claim.uid, claim.identity) for claim in claims] == [("u", POD)]
    assert affected == {ONE: 10 * S}
    assert known.news() == ([], {})
    known.see("u", 6, _seen(13), OWNER)
    assert known.news() == ([], {})


def test_owner_that_is_heard_of_late_renames_its_pods() -> None:
    known = _known()
    known.own(
        cluster.Owned(
            kind="ReplicaSet", namespace="shop", name="web-1", owner_kind="Rollout", owner_name="web"
        )
    )
    claims, affected = known.news()
    assert [(c.identity.workload_kind, c.identity.workload, c.valid_from) for c in claims] == [
        ("Rollout", "web", 10 * S)
    ]
    assert affected == {ONE: 10 * S}


def test_owner_that_is_gone_names_its_pods_still() -> None:
    known = _known()
    known.own(
        cluster.Owned(
            kind="ReplicaSet", namespace="shop", name="web-1", owner_kind="Deployment", owner_name="web"
        )
    )
    known.disown(OWNER)
    known.disown_others("ReplicaSet", [])
    assert known.around.owned.keys() == {OWNER}
    known.end("u", 20 * S)
    known.news()
    known.forget(90 * S)
    known.disown(OWNER)
    assert known.around.owned == {}


def test_zone_that_is_heard_of_late() -> None:
    known = _known()
    known.stand("node-1", "zone-a")
    known.stand("node-2", "zone-b")
    (claim,), _ = known.news()
    assert claim.identity == dataclasses.replace(POD, zone="zone-a")


def test_older_revision_adds_nothing() -> None:
    known = _known()
    known.see("u", 4, _seen(13, dataclasses.replace(POD, labels_id=7)), OWNER)
    assert known.news() == ([], {})
    known.end("u", 20 * S)
    known.news()
    known.see("u", 9, _seen(30), OWNER)
    assert known.news() == ([], {})


def test_end_affects_what_comes_after_it_alone() -> None:
    known = _known()
    known.see("u", 6, _seen(20, asked=19 * S), OWNER)
    known.end("u", 21 * S)
    (claim,), affected = known.news()
    assert (claim.sure_to, claim.valid_to) == (19 * S, 21 * S + lives.LINGER)
    assert affected == {ONE: 19 * S}


def test_of_one_kind_there_are_only_these() -> None:
    known = _known()
    known.see("n", 1, _seen(12, identity.Identity(kind=enums.EndpointKind.NODE, workload="node-1")))
    known.news()
    known.end_others(enums.EndpointKind.POD, ["other"], alive=15 * S, at=20 * S)
    claims, _ = known.news()
    assert [(claim.uid, claim.sure_to) for claim in claims] == [("u", 15 * S)]


def test_beginning_that_proves_wrong_is_taken_back() -> None:
    known = endpoints.Endpoints(lives.Clock())
    known.see("u", 5, dataclasses.replace(_seen(12), started=0))
    known.news()
    known.see("u", 6, _seen(13))
    claims, affected = known.news()
    assert {(c.valid_from, c.valid_to) for c in claims} == {(12 * S, 12 * S), (10 * S, identity.FOREVER)}
    assert affected == {ONE: 10 * S}


def test_same_name_without_a_uid_is_another_pod() -> None:
    """A manifest that is written anew under an old name; both have been there."""
    known = _known(lives.Clock(exact=True))
    known.see("u", 5, dataclasses.replace(_seen(30), started=25 * S), OWNER)
    claims, _ = known.news()
    assert {(c.valid_from, c.valid_to) for c in claims} == {(10 * S, 30 * S), (25 * S, identity.FOREVER)}


def test_labels_that_change_all_the_time_are_bounded() -> None:
    known = _known()
    for number in range(1000):
        known.see("u", 6 + number, _seen(13 + number, dataclasses.replace(POD, labels_id=number + 1)), OWNER)
    known.news()
    said = known.said()
    assert len(said) == 100
    assert said[-1].identity.labels_id == 1000


def test_what_is_primed_goes_on() -> None:
    before = _known()
    known = endpoints.Endpoints(lives.Clock())
    known.prime({"u": before.said(), "ended": [dataclasses.replace(before.said()[0], valid_to=11 * S)]})
    assert known.said() == before.said()
    known.see("u", 9, _seen(50), OWNER)
    assert known.news() == ([], {})
    known.end_others(enums.EndpointKind.POD, [], alive=60 * S, at=70 * S)
    (claim,), _ = known.news()
    assert (claim.valid_from, claim.sure_to, claim.valid_to) == (10 * S, 60 * S, 70 * S + lives.LINGER)


def test_zone_of_what_is_primed_is_known_before_its_node_is() -> None:
    zoned = dataclasses.replace(POD, zone="a")
    before = endpoints.Endpoints(lives.Clock())
    before.see("u", 5, _seen(12, zoned), OWNER)
    known = endpoints.Endpoints(lives.Clock())
    known.prime({"u": before.news()[0]})
    assert known.around.zones == {"node-1": "a"}


def test_owner_and_zone_that_name_nobody_any_more_are_forgotten() -> None:
    owned = cluster.Owned(kind="ReplicaSet", namespace="shop", name="web-1", owner_kind="", owner_name="")
    known = _known()
    known.own(owned)
    known.stand("node-1", "a")
    known.disown(OWNER)
    known.news()
    assert (known.around.owned, known.label_sets()) == ({OWNER: owned}, {POD.labels_id})
    known.end("u", 20 * S)
    known.news()
    known.forget(1000 * S)
    assert (known.around.owned, known.around.zones, known.label_sets()) == ({}, {}, set())
