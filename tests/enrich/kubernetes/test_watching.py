"""All kinds of a cluster at once."""

from __future__ import annotations

import time

import prometheus_client
import pytest
from apiserver import ApiServer
from mirror import KINDS, HastyClock, Mirror, expected, pod, until

from enrich.kubernetes import client, watcher, watching
from runtime import metrics

PODS = "/api/v1/pods"
PACE = watcher.Pace(
    watch_seconds=1, silence_seconds=2.0, first_pause_seconds=0.01, longest_pause_seconds=0.02
)


@pytest.fixture
def mirror(server: ApiServer) -> Mirror:
    return Mirror(server)


def test_cluster_is_known(server: ApiServer, api: client.Api, mirror: Mirror) -> None:
    server.apply(PODS, pod("web"))
    server.forbidden.add("/api/v1/services")
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    whole = watching.Watching(api, mirror, pace=PACE, time=HastyClock(), measured=measured)
    assert (whole.synced(), whole.as_of()) == (False, 0)
    whole.start()
    try:
        assert until(whole.synced)
        assert mirror.state["pods"] == expected(server, api, "pods")
        assert whole.missing()["services"] is watcher.State.FORBIDDEN
        assert whole.missing()["tiers.projectcalico.org"] is watcher.State.NOT_SERVED
        assert whole.states().keys() == KINDS.keys()
        assert until(lambda: 0 < time.time_ns() - whole.as_of() < 3_000_000_000)
        as_of = measured.registry.get_sample_value("flowledger_watch_as_of_seconds")
        assert as_of == pytest.approx(whole.as_of() / 1e9, abs=5)
    finally:
        whole.stop()


def _odd(name: str, **metadata: object) -> dict[str, object]:
    found = pod(name)
    found["metadata"] |= metadata
    return found


ODD = {
    "a label of 63 odd characters": _odd("a", labels={"x.y/z": "A" + "._-" * 20 + "Zz"}),
    "names in other scripts": _odd("b", labels={"группа": "магазин", "店": "🛒"}),
    "200 labels": _odd("c", labels={f"label-{n}": str(n) for n in range(200)}),
    "labels are a list": _odd("d", labels=["app"]),
    "a spec that is text": {**_odd("e"), "spec": "none", "status": 7},
    "nothing but a name": {"metadata": {"name": "f"}},
    "nulls": {**_odd("g", labels=None, annotations=None), "spec": None, "status": None},
    "3 MB": _odd("h", annotations={"cni.projectcalico.org/note": "x" * (3 << 20)}),
    "deep": {**_odd("i"), "spec": {"containers": [{"ports": [[[[{"x": [[[]]]}]]]]}]}},
}  # fmt: skip


@pytest.mark.parametrize("thing", ODD.values(), ids=ODD)
def test_odd_object_is_taken_as_it_is(
    server: ApiServer, api: client.Api, mirror: Mirror, thing: dict[str, object]
) -> None:
    """Both by an event, and by a list."""
    kind = KINDS["pods"]
    whole = watching.Watching(api, mirror, watched=[kind], pace=PACE, time=HastyClock())
    whole.start()
    try:
        assert until(lambda: whole.states()["pods"] is watcher.State.WATCHING)
        server.apply(PODS, thing)
        server.apply(PODS, pod("last"))
        assert until(lambda: mirror.state["pods"] == expected(server, api, "pods"))
    finally:
        whole.stop()
    again = Mirror()
    whole = watching.Watching(api, again, watched=[kind], pace=PACE, time=HastyClock())
    whole.start()
    try:
        assert until(lambda: again.state["pods"] == expected(server, api, "pods"))
    finally:
        whole.stop()


def test_what_lacks_is_said(api: client.Api, mirror: Mirror) -> None:
    whole = watching.Watching(api, mirror, pace=PACE, time=HastyClock())
    assert whole.check() == "not all kinds are listed yet"
    for each in whole._watchers:
        each.state = watcher.State.NOT_SERVED if "calico" in each.kind.key else watcher.State.WATCHING
        each.synced = not each.missing
    assert whole.check() == ""
    (pods,) = (each for each in whole._watchers if each.kind.key == "pods")
    pods.state = watcher.State.FORBIDDEN
    assert whole.check() == "pods may not be listed: forbidden"


@pytest.mark.parametrize(
    ("kind", "since", "as_of"),
    [
        pytest.param("pods", 5, 5, id="stays where it was"),
        pytest.param("pods", 0, 0, id="never seen"),
        pytest.param("services", 0, 9, id="gives no pod its address"),
    ],
)
def test_known_until_counts_what_is_forbidden(
    api: client.Api, mirror: Mirror, kind: str, since: int, as_of: int
) -> None:
    whole = watching.Watching(api, mirror, pace=PACE, time=HastyClock())
    for each in whole._watchers:
        each.as_of, each.state = 9, watcher.State.WATCHING
    (one,) = (each for each in whole._watchers if each.kind.key == kind)
    one.as_of, one.state = since, watcher.State.FORBIDDEN
    assert whole.as_of() == as_of
