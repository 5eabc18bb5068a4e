"""What was read lately is there for the next process, whatever the last one was doing when it ended."""

from __future__ import annotations

import pathlib

import pytest

from collector.felix import journal

ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "flows.sock.read"


def _open(file: pathlib.Path, clock: Clock) -> journal.Journal:
    return journal.Journal(file, seconds=60, limit=10, clock=clock)


def test_next_process_knows_what_was_noted(file: pathlib.Path, clock: Clock) -> None:
    first = _open(file, clock)
    assert first.read() == []
    first.note([ONE])
    first.note([TWO, THREE])
    assert _open(file, clock).read() == [ONE, TWO, THREE]
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_is_too_old_goes(file: pathlib.Path, clock: Clock) -> None:
    kept = _open(file, clock)
    kept.note([ONE])
    clock.now += 40
    kept.note([TWO])
    clock.now += 40
    assert _open(file, clock).read() == [TWO]
    size = file.stat().st_size
    kept.note([THREE])
    assert kept.read() == [TWO, THREE]
    assert file.stat().st_size == size


def test_torn_record_costs_itself_alone(file: pathlib.Path, clock: Clock) -> None:
    _open(file, clock).note([ONE, TWO])
    file.write_bytes(file.read_bytes()[:-5])
    again = _open(file, clock)
    assert again.read() == [ONE]
    again.note([THREE])
    assert _open(file, clock).read() == [ONE, THREE]


def test_file_is_bounded_and_has_the_latest(file: pathlib.Path, clock: Clock) -> None:
    kept, digests = _open(file, clock), [bytes([number]) * 16 for number in range(100)]
    for start in range(0, 100, 7):
        kept.note(digests[start : start + 7])
        assert file.stat().st_size <= 2 * 10 * 24
    assert kept.read() == digests[-len(kept.read()) :]
    kept.note(digests)
    assert kept.read() == digests[-10:]


def test_noise_and_leftovers_are_written_over(file: pathlib.Path, clock: Clock) -> None:
    file.write_bytes(b"\xff" * 100)
    file.with_name("flows.sock.read.new").write_bytes(b"of somebody who was killed")
    kept = _open(file, clock)
    assert kept.read() == []
    kept.note([ONE])
    assert (kept.read(), kept.error) == ([ONE], "")


def test_before_the_machine_restarted_is_another_time(file: pathlib.Path, clock: Clock) -> None:
    _open(file, clock).note([ONE])
    clock.now = 5.0
    assert _open(file, clock).read() == []


def test_who_cannot_write_goes_without(tmp_path: pathlib.Path, clock: Clock) -> None:
    kept = _open(tmp_path / "nowhere" / "file", clock)
    kept.note([ONE])
    assert "a restart may count it twice" in kept.error
    assert kept.read() == []
