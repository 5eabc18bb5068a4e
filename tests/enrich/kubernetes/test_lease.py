"""Who is the leader, with a clock that the test moves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from apiserver import ApiServer, Fault
from mirror import until

from enrich.kubernetes import client, lease

LEASES = "/apis/coordination.k8s.io/v1/leases"
TERMS = lease.Terms(retry_seconds=0.3)


class Hand:
    """Time that only a test moves; waiting takes what it says, but lasts no time."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, stopping: threading.Event, seconds: float) -> bool:
        return stopping.wait(0.005)


class Candidate:
    """An elector, and what it has said."""

    def __init__(self, api: client.Api, name: str, hand: Hand) -> None:
        self.said: list[str] = []
        self.elector = lease.Elector(
            api, "flowledger", "watch", name, terms=TERMS, time=hand,
            gained=lambda: self.said.append("gained"), lost=lambda: self.said.append("lost"),
        )  # fmt: skip

    def step(self) -> bool:
        self.elector.step()
        return self.elector.is_leader()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def made(api: client.Api, hand: Hand) -> Callable[[str], Candidate]:
    return lambda name: Candidate(api, name, hand)


def _holder(server: ApiServer) -> tuple[str, int]:
    (found,) = server.state(LEASES).values()
    return found["spec"]["holderIdentity"], found["spec"]["leaseTransitions"]


Made = Callable[[str], Candidate]


def test_first_gets_it_and_keeps_it(server: ApiServer, made: Made, hand: Hand) -> None:
    one, other = made("one"), made("other")
    for _ in range(30):
        assert (one.step(), other.step()) == (True, False)
        hand.seconds += 2
    assert (one.said, other.said, _holder(server)) == (["gained"], [], ("one", 0))


def test_holder_that_dies_is_followed_after_its_time(server: ApiServer, made: Made, hand: Hand) -> None:
    one, other = made("one"), made("other")
    one.step()
    other.step()
    hand.seconds += 14.9
    assert not other.step()
    assert not one.elector.is_leader()
    hand.seconds += 0.2
    assert other.step()
    assert _holder(server) == ("other", 1)


def test_holder_that_hangs_has_stopped_before_the_next_begins(
    server: ApiServer, made: Made, hand: Hand
) -> None:
    one, other = made("one"), made("other")
    one.step()
    other.step()
    server.fault(LEASES, "put", Fault("hang", number=1))
    hanging = threading.Thread(target=one.elector.step)
    hanging.start()
    assert until(lambda: not server.faults_left())
    hand.seconds += 10
    assert not one.elector.is_leader()
    assert not other.step()
    hand.seconds += 5
    assert other.step()
    hanging.join()
    assert (one.step(), one.said) == (False, ["gained", "lost"])


def test_renewal_whose_answer_was_lost_is_taken_up(server: ApiServer, made: Made, hand: Hand) -> None:
    one = made("one")
    one.step()
    server.fault(LEASES, "put", Fault("lost answer"))
    for _ in range(3):  # lost; a conflict, as we do not know the revision; renewed
        hand.seconds += 2
        assert one.step()
    hand.seconds += 6
    assert one.elector.is_leader()
    assert one.said == ["gained"]


def test_holder_that_was_overridden_steps_down(server: ApiServer, made: Made, hand: Hand) -> None:
    one = made("one")
    one.step()
    (found,) = server.state(LEASES).values()
    server.apply(LEASES, {**found, "spec": {**found["spec"], "holderIdentity": "somebody"}})
    assert not one.step()
    assert one.said == ["gained", "lost"]


def test_two_that_take_over_at_once(server: ApiServer, made: Made, hand: Hand) -> None:
    first, one, other = made("first"), made("one"), made("other")
    for candidate in (first, one, other):
        candidate.step()
    hand.seconds += 15
    server.fault(LEASES, "put", Fault("status", number=409))
    assert (one.step(), other.step(), one.step()) == (False, True, False)
    assert _holder(server) == ("other", 1)


def test_server_that_is_away_costs_the_lease_in_time(server: ApiServer, made: Made, hand: Hand) -> None:
    one = made("one")
    one.step()
    server.fault(LEASES, "put", *[Fault("status", number=503)] * 6)
    led = []
    for _ in range(6):
        hand.seconds += 2
        led.append(one.step())
    assert led == [True, True, True, True, False, False]
    server.heal()
    assert one.step()
    assert (one.said, _holder(server)) == (["gained", "lost", "gained"], ("one", 0))


def test_lease_is_given_back_at_the_end(server: ApiServer, made: Made, hand: Hand) -> None:
    one, other = made("one"), made("other")
    one.elector.start()
    assert until(lambda: one.said == ["gained"])
    one.elector.stop()
    assert one.said == ["gained", "lost"]
    assert other.step()
    assert _holder(server) == ("other", 1)


@pytest.mark.parametrize("spec", [None, [], {"holderIdentity": "x", "leaseDurationSeconds": "15"}], ids=repr)
def test_odd_lease_is_taken_over_in_the_end(server: ApiServer, made: Made, hand: Hand, spec: object) -> None:
    server.apply(LEASES, {"metadata": {"name": "watch", "namespace": "flowledger"}, "spec": spec})
    one = made("one")
    one.step()
    hand.seconds += 15
    assert one.step()
