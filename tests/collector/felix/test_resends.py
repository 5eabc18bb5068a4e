"""What comes again on another stream is a resend; what comes again on the same one is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.felix import resends


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_another_stream_resends_and_the_same_one_does_not() -> None:
    seen = resends.Resends()
    told = [seen.is_resent(b"one", stream) for stream in (1, 1, 2, 2, 3, 1)]
    assert told == [False, False, True, True, True, False]


def test_what_an_other_process_has_read_is_a_resend() -> None:
    seen = resends.Resends()
    assert not seen.is_resent(b"ours", 1)
    seen.learn([b"one", b"ours"])
    assert seen.is_resent(b"one", 1)
    assert not seen.is_resent(b"two", 1)
    assert not seen.is_resent(b"ours", 1)


def test_it_is_remembered_as_long_as_felix_may_send_it_again() -> None:
    clock = Clock()
    seen = resends.Resends(clock=clock)
    seen.is_resent(b"one", 1)
    for _ in range(6):
        clock.now += resends.KEPT_SECONDS / 6
        seen.is_resent(b"another", 1)
    assert seen.is_resent(b"one", 2)
    clock.now += resends.KEPT_SECONDS + 1
    seen.is_resent(b"another", 1)
    clock.now += resends.KEPT_SECONDS + 1
    assert not seen.is_resent(b"one", 2)
    assert seen.forgotten == 0


def test_what_is_forgotten_before_its_time_is_counted() -> None:
    seen = resends.Resends(limit=10, clock=Clock())
    for number in range(21):
        seen.is_resent(bytes([number]), 1)
    assert seen.forgotten == 15
    assert not seen.is_resent(bytes([0]), 2)
    assert seen.is_resent(bytes([20]), 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), max_size=40))
def test_each_flow_is_taken_on_its_first_stream_alone(sent: list[tuple[int, int]]) -> None:
    seen = resends.Resends()
    first: dict[int, int] = {}
    for flow, stream in sent:
        digest = resends.digest(bytes([flow]))
        assert seen.is_resent(digest, stream) == (first.setdefault(flow, stream) != stream)


def test_digest_fits_the_journal() -> None:
    assert len(resends.digest(b"flow")) == 16
