"""One kind, listed and watched, whatever the API server and the network do meanwhile."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
from collections.abc import Iterator

import hypothesis
import pytest
from apiserver import ApiServer, Fault
from hypothesis import strategies as st
from mirror import KINDS, HastyClock, Mirror, expected, pod, policy, until

from enrich.kubernetes import client, news, tally, watcher

PODS = "/api/v1/pods"
POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
WATCHED = {"pods": PODS, "networkpolicies.networking.k8s.io": POLICIES}

PACE = watcher.Pace(
    watch_seconds=1, silence_seconds=0.3, repair_seconds=0.0, page=7, line_bytes=1 << 20,
    first_pause_seconds=0.01, longest_pause_seconds=0.02,
)  # fmt: skip


class Bench:
    """Some kinds watched by a mirror."""

    def __init__(self, server: ApiServer, api: client.Api, pace: watcher.Pace = PACE) -> None:
        self.server, self.api = server, api
        self.mirror = Mirror(server)
        self.counts = tally.Tally()
        self.clock = HastyClock()
        self.pace = pace
        self.watchers: dict[str, watcher.Watcher] = {}

    def watch(self, *keys: str) -> None:
        for key in keys or WATCHED:
            one = watcher.Watcher(
                KINDS[key], self.api, self.mirror, pace=self.pace, counts=self.counts, time=self.clock
            )
            self.watchers[key] = one
            one.start()

    def stop(self) -> None:
        for one in self.watchers.values():
            one.ask_to_stop()
        for one in self.watchers.values():
            one.stop()

    def agrees(self) -> bool:
        return all(self.mirror.state[key] == expected(self.server, self.api, key) for key in self.watchers)

    def settles(self) -> None:
        """The mirror comes to have what the server has, with nothing doubled."""
        until(lambda: not self.server.faults_left())
        assert until(self.agrees), (self.counts.errors, self.counts.relists, self.counts.events)
        assert self.mirror.doubled == []


@pytest.fixture
def bench(server: ApiServer, api: client.Api) -> Iterator[Bench]:
    made = Bench(server, api)
    yield made
    made.stop()


class Churn:
    """Pods and policies that come, change and go."""

    def __init__(self, server: ApiServer, seed: int) -> None:
        self._server, self._dice = server, random.Random(seed)

    def begin(self, each: int) -> None:
        """More than a page of both."""
        for i in range(each):
            self._server.apply(PODS, pod(f"p-{i}"))
            self._server.apply(POLICIES, policy(f"n-{i}"))

    def some(self, operations: int) -> None:
        for _ in range(operations):
            collection = self._dice.choice((PODS, PODS, POLICIES))
            known = list(self._server.state(collection))
            what = self._dice.random()
            if known and what < 0.3:
                self._server.delete(collection, *self._dice.choice(known))
                continue
            name = self._dice.choice(known)[1] if known and what < 0.6 else f"o-{self._dice.randrange(10**6)}"
            value = self._dice.randrange(10**6)
            thing = pod(name, startTime=f"s{value}") if collection == PODS else policy(name, value=value)
            self._server.apply(collection, thing)


@dataclasses.dataclass(frozen=True)
class Case:
    """Faults, and what they have to be counted as: one of errors or relists."""

    lists: tuple[Fault, ...] = ()
    watches: tuple[Fault, ...] = ()
    error: str = ""
    relist: str = ""


CASES = {
    "all is well": Case(),
    "a list is answered with 500": Case(lists=(Fault("status", number=500),) * 2, error="unavailable"),
    "a list is answered with 429": Case(
        lists=(Fault("status", number=429, retry_after=7),), error="busy"
    ),
    "a list is reset": Case(lists=(Fault("none"), Fault("reset")), error="unavailable"),
    "a page is cut": Case(lists=(Fault("none"), Fault("cut")), error="unavailable"),
    "a page hangs": Case(lists=(Fault("none"), Fault("hang")), error="unavailable"),
    "a page is slow": Case(lists=(Fault("slow"), Fault("slow"))),
    "a page is not JSON": Case(lists=(Fault("none"), Fault("not json")), error="unavailable"),
    "a page is no list": Case(lists=(Fault("none"), Fault("no list")), error="no list"),
    "a page has expired": Case(lists=(Fault("none"), Fault("expire")), relist="page expired"),
    "a page's token is refused": Case(
        lists=(Fault("none"), Fault("status", number=400)), relist="page expired"
    ),
    "a watch is answered with 410": Case(watches=(Fault("status", number=410),), relist="gone"),
    "a watch is answered with 500": Case(watches=(Fault("status", number=500),) * 3, error="unavailable"),
    "a watch is answered with 429": Case(
        watches=(Fault("status", number=429, retry_after=5),), error="busy"
    ),
    "a watch is refused": Case(watches=(Fault("status", number=400),) * 2, relist="error"),
    "a watch is reset": Case(watches=(Fault("reset"),) * 2, error="unavailable"),
    "a watch hangs before its answer": Case(watches=(Fault("hang"),), error="unavailable"),
    "a watch falls silent": Case(watches=(Fault("silent", after=2),), error="unavailable"),
    "a watch is cut mid-line": Case(watches=(Fault("cut", after=1),) * 3, error="unavailable"),
    "a watch is cut mid-chunk": Case(watches=(Fault("cut chunk", after=3),), error="unavailable"),
    "a watch ends mid-line": Case(watches=(Fault("end mid-line", after=1),) * 2),
    "a watch ends at once": Case(watches=(Fault("end"),) * 3, error="unavailable"),
    "a watch says 410": Case(watches=(Fault("gone", after=2),), relist="gone"),
    "a watch says 500": Case(watches=(Fault("error", number=500),), error="unavailable"),
    "a watch says 500 again": Case(watches=(Fault("error", number=500),) * 2, relist="error"),
    "events come again": Case(watches=(Fault("cut", after=4), Fault("replay", number=50))),
    "a line is garbage": Case(watches=(Fault("garbage", after=1),), error="not JSON", relist="unreadable"),
    "a line is no text": Case(watches=(Fault("not utf-8", after=1),), error="not JSON"),
    "a line is nested deeply": Case(watches=(Fault("deep", after=1),), error="not JSON"),
    "an event has no object": Case(watches=(Fault("no object"),), error="without an object"),
    "an event is a list": Case(watches=(Fault("not an object"),), error="without an object"),
    "an object has no metadata": Case(watches=(Fault("no metadata"),), error="without metadata"),
    "an object has no uid": Case(watches=(Fault("no uid"),), error="without a uid"),
    "an event is of an unknown type": Case(watches=(Fault("unknown type"),), error="unknown type of event"),
    "a line has 3 MB": Case(watches=(Fault("large", number=3 << 20),), error="too large"),
    "a line has 20 MB": Case(watches=(Fault("large", number=20 << 20),), error="too large"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_state_is_right_after(case: Case, bench: Bench) -> None:
    churn = Churn(bench.server, 1)
    churn.begin(20)
    for collection in WATCHED.values():
        bench.server.fault(collection, "list", *case.lists)
        bench.server.fault(collection, "watch", *case.watches)
    bench.watch()
    assert until(lambda: bool(bench.mirror.taken))
    for _ in range(8):
        churn.some(10)
        time.sleep(0.01)  # so that it is more than one batch
    assert until(lambda: not bench.server.faults_left())
    churn.some(10)
    bench.settles()
    for key in WATCHED:
        if case.error:
            assert bench.counts.errors[key, case.error] >= 1
        if case.relist:
            assert bench.counts.relists[key, case.relist] >= 1


def test_all_is_well_without_an_error(bench: Bench) -> None:
    churn = Churn(bench.server, 2)
    churn.some(30)
    bench.watch()
    churn.some(30)
    bench.settles()
    time.sleep(1.2)  # the end of a watch, and the next one
    churn.some(5)
    bench.settles()
    assert (bench.counts.errors, bench.counts.relists) == ({}, {})
    assert bench.clock.waits == []


@dataclasses.dataclass(frozen=True)
class Step:
    """A few changes, and one thing that goes wrong."""

    operations: int
    verb: str
    fault: Fault
    compact: bool


_FAULTS = st.sampled_from(
    [(verb, fault) for case in CASES.values() for verb, faults in
     (("list", case.lists), ("watch", case.watches)) for fault in faults
     if fault.what not in ("hang", "silent", "large")]
)  # fmt: skip
_STEPS = st.builds(
    lambda n, pair, compact: Step(n, *pair, compact), st.integers(0, 12), _FAULTS, st.booleans()
)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(st.integers(0, 10**6), st.lists(_STEPS, max_size=8))
def test_state_is_right_after_any_history(seed: int, steps: list[Step]) -> None:
    server = ApiServer(bookmark_seconds=0.02)
    server.start()
    api = client.Api(lambda: _configuration(server.url), connect_seconds=2.0, read_seconds=1.0)
    bench, churn = Bench(server, api), Churn(server, seed)
    try:
        churn.some(20)
        bench.watch()
        for step in steps:
            for collection in WATCHED.values():
                server.fault(collection, step.verb, step.fault)
            churn.some(step.operations)
            if step.compact:
                server.compact()
                server.break_off()
        server.heal()
        churn.some(3)
        bench.settles()
    finally:
        bench.stop()
        api.close()
        server.stop()


def _configuration(url: str) -> object:
    import kubernetes

    configuration = kubernetes.client.Configuration()
    configuration.host = url
    return configuration


def test_memory_holds_no_more_than_a_page_of_a_list(bench: Bench) -> None:
    for i in range(30):
        bench.server.apply(PODS, pod(f"web-{i}"))
    bench.watch("pods")
    bench.settles()
    pages = [asked for asked in bench.server.asked if asked[0] == "list" and asked[1] == PODS]
    assert len(pages) == 5
    (listed,) = [what for what in bench.mirror.taken if isinstance(what, news.Listed)]
    assert len(listed.present) == 30
    assert listed.began < listed.at


def test_large_object_is_read_by_a_list(bench: Bench) -> None:
    """An event above the bound is skipped; the list that follows has the object."""
    bench.watch("pods")
    large = pod("large")
    large["metadata"]["annotations"]["note"] = "x" * (3 << 20)
    until(lambda: bench.watchers["pods"].synced)
    bench.server.apply(PODS, large)
    bench.settles()
    assert bench.counts.errors["pods", "too large"] == 1


def test_known_until_stands_still_while_in_doubt(server: ApiServer, api: client.Api) -> None:
    bench = Bench(server, api, dataclasses.replace(PACE, repair_seconds=0.6))
    server.apply(PODS, pod("web"))
    server.fault(PODS, "watch", Fault("garbage"), Fault("garbage"))
    bench.watch("pods")
    one = bench.watchers["pods"]
    try:
        assert until(lambda: one.synced)
        server.apply(PODS, pod("web", a=1))
        assert until(lambda: bench.counts.relists.get(("pods", "unreadable"), 0) == 1)
        assert until(lambda: bench.counts.events.get(("pods", "listed"), 0) == 2)
        server.apply(PODS, pod("web", a=2))
        assert until(lambda: bench.counts.errors.get(("pods", "not JSON"), 0) == 2)
        frozen = one.as_of
        server.apply(PODS, pod("web", a=3))
        assert one.as_of == frozen
        assert until(lambda: one.as_of > frozen)
        assert bench.counts.relists["pods", "unreadable"] == 2
    finally:
        bench.stop()


def test_known_until_follows_bookmarks(bench: Bench) -> None:
    bench.watch("pods")
    one = bench.watchers["pods"]
    assert until(lambda: one.synced)
    began = one.as_of
    assert until(lambda: one.as_of > began)
    assert 0 < time.time_ns() - one.as_of < 3_000_000_000


def test_known_until_stands_still_while_the_server_is_away(bench: Bench) -> None:
    bench.watch("pods")
    one = bench.watchers["pods"]
    assert until(lambda: one.state is watcher.State.WATCHING)
    bench.server.fault(PODS, "watch", *[Fault("status", number=503)] * 10_000)
    bench.server.break_off()
    assert until(lambda: one.state is watcher.State.FAILING)
    frozen = one.as_of
    time.sleep(0.1)
    assert one.as_of == frozen


def test_silent_watch_goes_on_where_it_was(bench: Bench) -> None:
    bench.server.apply(PODS, pod("web"))
    bench.server.fault(PODS, "watch", Fault("silent", after=1))
    bench.watch("pods")
    assert until(lambda: bench.watchers["pods"].synced)
    bench.server.apply(PODS, pod("api"))
    bench.server.apply(PODS, pod("db"))
    bench.settles()
    assert bench.server.lists[PODS] == 1


def test_missing_permission_is_said_once_and_asked_for_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.server.apply(PODS, pod("web"))
    bench.server.forbidden.add(PODS)
    bench.watch("pods")
    one = bench.watchers["pods"]
    assert until(lambda: len(bench.clock.waits) > 5)
    assert (one.state, one.missing, set(bench.clock.waits)) == (watcher.State.FORBIDDEN, True, {60.0})
    said = [r for r in caplog.records if r.getMessage() == "kind cannot be watched"]
    assert len(said) == 1
    assert "User cannot list it" in said[0].__dict__["fields"]["reason"]
    bench.server.forbidden.clear()
    bench.settles()
    assert until(lambda: not one.missing)
    assert "kind can be watched now" in caplog.messages


def test_kind_that_is_installed_later(bench: Bench) -> None:
    key = "globalnetworkpolicies.projectcalico.org"
    bench.watch(key)
    assert until(lambda: bench.watchers[key].state is watcher.State.NOT_SERVED)
    bench.server.served["/apis/crd.projectcalico.org/v1"] = {"globalnetworkpolicies": "GlobalNetworkPolicy"}
    bench.server.apply(
        "/apis/crd.projectcalico.org/v1/globalnetworkpolicies",
        {"metadata": {"name": "default.deny"}, "spec": {"order": 1, "unheard": {"of": True}}},
    )
    bench.settles()
    (found,) = bench.mirror.state[key].values()
    assert (found["apiVersion"], found["kind"]) == ("crd.projectcalico.org/v1", "GlobalNetworkPolicy")


def test_kind_that_is_removed_leaves_nothing_behind(bench: Bench) -> None:
    key = "tiers.projectcalico.org"
    bench.server.served["/apis/projectcalico.org/v3"] = {"tiers": "Tier"}
    bench.server.apply("/apis/projectcalico.org/v3/tiers", {"metadata": {"name": "security"}, "spec": {}})
    bench.watch(key)
    bench.settles()
    assert len(bench.mirror.state[key]) == 1
    del bench.server.served["/apis/projectcalico.org/v3"]
    bench.server.break_off()
    assert until(lambda: bench.mirror.state[key] == {})
    assert bench.watchers[key].missing


def test_end_that_is_told_with_the_revision_of_the_last_change(bench: Bench) -> None:
    """As Calico's own API server does over etcd: it looks like something that came before."""
    bench.server.old_ends = True
    for name in ("a", "b"):
        bench.server.apply(PODS, pod(name))
    bench.watch("pods")
    bench.settles()
    bench.server.apply(PODS, pod("c"))
    bench.server.delete(PODS, "shop", "a")
    assert until(lambda: {one[1] for one in bench.server.state(PODS)} == {"b", "c"} and bench.agrees())
    assert bench.counts.relists["pods", "old end"] >= 1


@pytest.mark.parametrize("partial", [True, False], ids=["partial metadata", "plain objects"])
@pytest.mark.parametrize("unacceptable", [True, False], ids=["406", "no 406"])
def test_owner_chain_needs_metadata_alone(bench: Bench, partial: bool, unacceptable: bool) -> None:
    place = "/apis/apps/v1/replicasets"
    bench.server.partial, bench.server.unacceptable = partial, unacceptable
    owner = {"kind": "Deployment", "name": "web", "uid": "u", "apiVersion": "apps/v1", "controller": True}
    thing = {"metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [owner]}, "spec": {"a": 1}}
    bench.server.apply(place, thing)
    bench.watch("replicasets.apps")
    bench.settles()
    bench.server.apply(place, {**thing, "metadata": {**thing["metadata"], "name": "web-2"}})
    bench.settles()
    for found in bench.mirror.state["replicasets.apps"].values():
        assert (found["apiVersion"], found["kind"], found.keys()) == (
            "apps/v1", "ReplicaSet", {"apiVersion", "kind", "metadata"}
        )  # fmt: skip
        assert found["metadata"]["ownerReferences"] == [owner]
    asked = [accept for verb, path, accept in bench.server.asked if path == place]
    assert "as=PartialObjectMetadata" in asked[0]
    assert ("as=" in asked[-1]) is not unacceptable


def test_compaction_while_nobody_watched(bench: Bench) -> None:
    for i in range(5):
        bench.server.apply(PODS, pod(f"web-{i}"))
    bench.watch("pods")
    bench.settles()
    bench.server.fault(PODS, "watch", Fault("status", number=503), Fault("gone as event"))
    bench.server.break_off()
    bench.server.delete(PODS, "shop", "web-3")
    bench.server.compact()
    bench.settles()
    assert ("shop", "web-3") not in bench.mirror.state["pods"]


def test_server_restored_from_a_backup(bench: Bench) -> None:
    """Its revisions begin again below ours: what happens now must not be taken for old."""
    for i in range(20):
        bench.server.apply(PODS, pod(f"web-{i}"))
    bench.watch("pods")
    bench.settles()
    bench.server.restore(15)
    bench.server.break_off()
    assert until(lambda: bench.counts.relists.get(("pods", "gone"), 0) == 1)
    bench.server.apply(PODS, pod("after"))
    bench.settles()


def test_receiver_that_fails_is_told_again(bench: Bench) -> None:
    for i in range(10):
        bench.server.apply(PODS, pod(f"web-{i}"))
    bench.mirror.fails = 2
    bench.watch("pods")
    bench.settles()
    bench.mirror.fails = 1
    bench.server.delete(PODS, "shop", "web-1")
    bench.settles()
    assert bench.counts.errors["pods", "receiver"] == 3


def test_broken_object_of_a_list_is_left_out(bench: Bench) -> None:
    bench.server.apply(PODS, pod("web"))
    broken = bench.server.apply(PODS, pod("broken"))
    broken["metadata"]["uid"] = 7
    bench.watch("pods")
    assert until(lambda: bench.watchers["pods"].synced)
    assert list(bench.mirror.state["pods"]) == [("shop", "web")]
    assert bench.counts.errors == {("pods", "without a uid"): 1}


def test_page_that_is_too_large_is_asked_for_in_halves(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_ANSWER_BYTES", 3000)
    for i in range(20):
        bench.server.apply(PODS, pod(f"web-{i}"))
    bench.watch("pods")
    bench.settles()
    assert bench.server.lists[PODS] > 1


def test_server_that_asks_for_time_gets_it(bench: Bench) -> None:
    bench.server.fault(PODS, "list", Fault("status", number=429, retry_after=17))
    bench.watch("pods")
    bench.settles()
    assert bench.clock.waits == [17.0]


def test_nothing_is_delivered_after_the_end(bench: Bench) -> None:
    bench.watch("pods")
    assert until(lambda: bench.watchers["pods"].state is watcher.State.WATCHING)
    began = time.monotonic()
    bench.stop()
    assert time.monotonic() - began < 1.0
    count = len(bench.mirror.taken)
    bench.server.apply(PODS, pod("web"))
    time.sleep(0.05)
    assert len(bench.mirror.taken) == count
    assert not [t for t in threading.enumerate() if t.name.startswith("watch-")]


def test_updated_is_when_anybody_wrote_beside_the_status(bench: Bench) -> None:
    bench.server.apply(POLICIES, policy("deny"))
    bench.watch("networkpolicies.networking.k8s.io")
    bench.settles()
    changed = next(what for what in bench.mirror.taken if isinstance(what, news.Changed))
    assert 0 <= changed.at - changed.updated < 5_000_000_000
    assert changed.kind is KINDS["networkpolicies.networking.k8s.io"]
