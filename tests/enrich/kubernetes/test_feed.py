"""A cluster at its API server, as it is named and as it is remembered; and what all feeds have in common."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import prometheus_client
import pytest
from apiserver import ApiServer, Fault
from mirror import pod, until

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from test_stored import Tables

from enrich import changes, identity, manifests, names, stored
from enrich.kubernetes import client, feed, kinds, news, watcher
from model import address
from runtime import metrics

PODS, NODES, SERVICES = "/api/v1/pods", "/api/v1/nodes", "/api/v1/services"
CRON_JOBS = "/apis/batch/v1/cronjobs"
SETS = "/apis/crd.projectcalico.org/v1/networksets"
PACE = watcher.Pace(
    watch_seconds=1, silence_seconds=0.5, repair_seconds=0.0, page=3, first_pause_seconds=0.01,
    longest_pause_seconds=0.05, ask_again_seconds=0.05,
)  # fmt: skip
SECOND = 1_000_000_000
STARTED = 1_767_225_600 * SECOND  # 2026-01-01


def at(name: str, text: str, **metadata: Any) -> dict[str, Any]:
    """A pod with an address."""
    made = pod(name, podIP=text, podIPs=[{"ip": text}], startTime="2026-01-01T00:00:00Z")
    made["metadata"] |= metadata
    return made


Watch = Callable[..., feed.Cluster]


@pytest.fixture
def watch(api: client.Api) -> Iterator[Watch]:
    """Begins to watch; what watches is ended at the end."""
    made: list[feed.Cluster] = []

    def begin(**more: Any) -> feed.Cluster:
        measured = metrics.Metrics(prometheus_client.CollectorRegistry())
        one = feed.Cluster(api, measured, pace=PACE, tolerance=0, **more)
        made.append(one)
        one.start()
        assert until(one.watching.synced)
        one.refresh()
        return one

    yield begin
    for one in made:
        one.stop()


def who(known: feed.Cluster, text: str, time: int = STARTED + SECOND) -> identity.Identity:
    known.refresh()
    found = known.names.enricher.who
    packed = np.frombuffer(address.pack(text), np.uint8).reshape(-1, 16)
    return next(found.identities.some(found.find(packed, np.array([time], np.int64))))


def open_uids(known: feed.Cluster) -> set[str]:
    known.refresh()
    return {one.identity.pod for one in known.said().claims if one.valid_to == identity.FOREVER}


def test_cluster_is_named(server: ApiServer, watch: Watch) -> None:
    server.apply(NODES, {
        "metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "a"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]},
    })  # fmt: skip
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": True}
    for number in range(8):
        server.apply(PODS, at(f"web-{number}", f"10.0.0.{number}", ownerReferences=[owner]))
    server.apply(SERVICES, {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIPs": ["10.96.0.1"], "ports": [{"name": "http", "port": 80, "nodePort": 30080}]},
    })  # fmt: skip
    known = watch()
    found = who(known, "10.0.0.7")
    assert (found.pod, found.node, found.zone, found.workload_kind) == ("web-7", "node-1", "a", "ReplicaSet")
    assert who(known, "192.168.0.1", known._since).workload == "node-1"
    assert {(port.port, port.service) for port in known.said().ports} == {(80, "web"), (30080, "web")}
    rollout = {"apiVersion": "x/v1", "kind": "Rollout", "name": "web", "uid": "o", "controller": True}
    server.apply("/apis/apps/v1/replicasets", {
        "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [rollout]}
    })  # fmt: skip
    assert until(lambda: who(known, "10.0.0.7").workload_kind == "Rollout")


def test_what_calico_stores_names_networks(server: ApiServer, watch: Watch) -> None:
    server.served["/apis/crd.projectcalico.org/v1"] = {"networksets": "NetworkSet"}
    server.apply(
        SETS, {"metadata": {"name": "office", "namespace": "shop"}, "spec": {"nets": ["192.0.2.0/24"]}}
    )
    known = watch()
    now = known._now() + 3600 * SECOND
    assert until(lambda: who(known, "192.0.2.1", now).workload == "office")
    server.apply(
        SETS, {"metadata": {"name": "office", "namespace": "shop"}, "spec": {"nets": ["192.0.3.0/24"]}}
    )
    assert until(lambda: who(known, "192.0.3.1", now).workload == "office")
    assert who(known, "192.0.2.1", now).workload == ""
    server.delete(SETS, "shop", "office")
    assert until(lambda: who(known, "192.0.3.1", now).workload == "")
    assert {one.api_group for one in known.said().revisions} == {"projectcalico.org"}


def test_when_pods_of_a_cron_job_come_is_told(server: ApiServer, watch: Watch) -> None:
    known = watch()

    def apply(schedule: str, image: str) -> None:
        template = {"spec": {"containers": [{"name": "backup", "image": image}]}}
        spec = {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}}
        server.apply(CRON_JOBS, {"metadata": {"name": "backup", "namespace": "shop"}, "spec": spec})

    def told() -> list[object]:
        known.refresh()
        spec = [one.document.body["spec"] for one in known.said().revisions if one.kind == "CronJob"]
        return [one["schedule"] for one in spec]

    for schedule, image in (("0 3 * * *", "a:1"), ("0 3 * * *", "a:2"), ("0 4 * * *", "a:2")):
        apply(schedule, image)
    assert until(lambda: "0 4 * * *" in told())
    assert told() == ["0 3 * * *", "0 4 * * *"]


def test_pods_that_went_while_nobody_watched_have_ended(server: ApiServer, watch: Watch) -> None:
    for number in range(5):
        server.apply(PODS, at(f"web-{number}", f"10.0.0.{number}"))
    known = watch()
    assert len(open_uids(known)) == 5
    server.fault(PODS, "watch", *[Fault("status", number=500)] * 3, Fault("gone"))
    server.break_off()
    server.delete(PODS, "shop", "web-1")
    server.apply(PODS, at("cart-0", "10.0.0.9"))
    server.compact()
    assert until(lambda: open_uids(known) == {"web-0", "web-2", "web-3", "web-4", "cart-0"})


def test_object_that_breaks_the_schema_is_counted_and_the_rest_is_named(
    server: ApiServer, watch: Watch
) -> None:
    broken = at("odd", "10.0.0.300")
    labels = {f"l{number}": "größe-" + "ß" * 57 for number in range(200)}
    server.apply(PODS, broken)
    server.apply(PODS, at("größe", "10.0.0.2", labels=labels))
    known = watch()
    assert who(known, "10.0.0.2").pod == "größe"
    assert known.names.labels[who(known, "10.0.0.2").labels_id] == labels
    assert open_uids(known) == {"größe"}


def test_who_goes_on_knows_what_was_said_before(server: ApiServer, watch: Watch) -> None:
    for number in range(3):
        server.apply(PODS, at(f"web-{number}", f"10.0.0.{number}"))
    first = watch()
    before = first.said()
    first.stop()
    server.apply(PODS, at("web-1", "10.0.0.1", labels={"app": "other"}))
    server.delete(PODS, "shop", "web-2")
    alive = first._now()
    second = watch(known=changes.Changes(claims=before.claims, revisions=before.revisions), alive=alive)
    said = {one.identity.pod: [] for one in second.said().claims}
    for one in second.said().claims:
        said[one.identity.pod].append((one.valid_from == STARTED, one.valid_to == identity.FOREVER))
    assert {name: sorted(spans) for name, spans in said.items()} == {
        "web-0": [(True, True)], "web-1": [(False, True), (True, False)], "web-2": [(True, False)]
    }  # fmt: skip
    (gone,) = (one for one in second.said().claims if one.identity.pod == "web-2")
    assert gone.sure_to >= alive


def test_what_is_affected_is_told_once_all_is_listed(
    server: ApiServer, api: client.Api, watch: Watch
) -> None:
    """Until then pods are without their owners, and would seem to be others."""
    rollout = {"apiVersion": "x/v1", "kind": "Rollout", "name": "web", "uid": "o", "controller": True}
    server.apply("/apis/apps/v1/replicasets", {
        "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [rollout]}
    })  # fmt: skip
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": True}
    for number in range(3):
        server.apply(PODS, at(f"web-{number}", f"10.0.0.{number}", ownerReferences=[owner]))
    first = watch()
    assert until(lambda: who(first, "10.0.0.1").workload_kind == "Rollout")
    before = first.said()
    first.stop()
    server.delete(PODS, "shop", "web-2")
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    known = changes.Changes(claims=before.claims)
    second = feed.Cluster(api, measured, pace=PACE, tolerance=0, known=known, alive=first._now())
    pods = kinds.KINDS[[kind.key for kind in kinds.KINDS].index("pods")]
    for item in server.state(PODS).values():
        second.take(news.Changed(pods, pods.slim(item), second._now(), 0))
    told = second.refresh()
    assert told.claims
    assert told.affected == {}
    second.start()
    assert until(second.watching.synced)
    assert second.refresh().affected.keys() == {address.pack("10.0.0.2")}
    second.stop()


def test_label_sets_of_pods_long_gone_are_forgotten(server: ApiServer, watch: Watch) -> None:
    known = watch(remember=0)
    server.apply(PODS, at("job-1", "10.0.0.1", labels={"job-name": "job-1"}))
    assert until(lambda: open_uids(known) == {"job-1"})
    assert list(known.names.labels.values()) == [{"job-name": "job-1"}]
    server.delete(PODS, "shop", "job-1")
    assert until(lambda: not open_uids(known))
    ahead = known._now() + 3600 * SECOND
    known._now = lambda: ahead
    known.refresh()
    assert known.names.labels == {}


def test_cluster_is_told_from_others_by_a_namespace_that_each_has(server: ApiServer, api: client.Api) -> None:
    assert feed.identity(api) == ""
    server.apply("/api/v1/namespaces", {"metadata": {"name": "kube-system", "uid": "one"}})
    assert feed.identity(api) == "one"
    server.forbidden.add("/api/v1/namespaces")
    assert feed.identity(api) == ""


FAR = 4_000_000_000 * SECOND


def _pods() -> list[dict[str, object]]:
    made = []
    for name, text in (("web", "10.0.0.1"), ("cart", "fd00::1")):
        one = pod(name, podIP=text, podIPs=[{"ip": text}], startTime="2026-01-01T00:00:00Z")
        made.append({"apiVersion": "v1", "kind": "Pod", **one})
    return made


def _synced(server: ApiServer, api: client.Api) -> feed.Cluster:
    for one in _pods():
        server.apply("/api/v1/pods", one)
    pace = watcher.Pace(watch_seconds=1, silence_seconds=2.0)
    known = feed.Cluster(api, metrics.Metrics(prometheus_client.CollectorRegistry()), pace=pace, tolerance=0)
    known.start()
    assert until(known.watching.synced)
    assert until(lambda: known.watching.as_of() > known._since)
    return known


@pytest.fixture(params=["kubernetes", "store", "manifests"])
def any_feed(
    request: pytest.FixtureRequest, server: ApiServer, api: client.Api, tmp_path: pathlib.Path
) -> Iterator[names.Feed]:
    if request.param == "manifests":
        (tmp_path / "pods.json").write_text(json.dumps({"kind": "List", "items": _pods()}))
        yield manifests.Folder(tmp_path)
        return
    watched = _synced(server, api)
    if request.param == "kubernetes":
        yield watched
    else:
        watched.refresh()
        kept = Tables()
        kept.write(watched.said(), STARTED, watched.names.as_of)
        yield stored.Stored(kept)
    watched.stop()


def test_feed_finds_does_not_find_or_declines(any_feed: names.Feed) -> None:
    any_feed.refresh()
    as_of = any_feed.names.as_of
    texts = ("10.0.0.1", "fd00::1", "10.0.0.9", "10.0.0.9", "10.0.0.1")
    packed = np.frombuffer(b"".join(map(address.pack, texts)), np.uint8).reshape(-1, 16)
    times = np.array([STARTED + SECOND, as_of - 1, as_of - 1, as_of, FAR], np.int64)
    answers = [names.ANSWERS[answer] for answer in any_feed.names.answers(packed, times).tolist()]
    assert answers == ["found", "found", "not_found", "declined", "found"]
    who = any_feed.names.enricher.who
    found = list(who.identities.some(who.find(packed, times)))
    assert [(one.kind, one.pod) for one in found] == [
        ("pod", "web"), ("pod", "cart"), ("private", ""), ("private", ""), ("pod", "web")
    ]  # fmt: skip
    assert not any_feed.refresh().claims
