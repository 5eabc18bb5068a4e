"""Every flow that Felix sends is read once, or counted: whatever breaks, whoever is killed."""

from __future__ import annotations

import contextlib
import pathlib
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import felixlike
import flowmessages
import grpc
import pytest

from collector.felix import resends, source
from collector.goldmane import goldmane_pb2 as pb

ROOT = pathlib.Path(__file__).parents[3]
Open = Callable[..., source.Source]


@pytest.fixture
def open_source(path: pathlib.Path) -> Iterator[Open]:
    with contextlib.ExitStack() as made:

        def build(capacity: int = 1_000_000, hurry: Callable[[], None] = lambda: None) -> source.Source:
            one = source.Source(path, hurry=hurry, capacity=capacity)
            made.callback(one.close)
            one.start()
            return one

        yield build


def _updates(*numbers: int) -> list[bytes]:
    return [flowmessages.update(number) for number in numbers]


def _numbers(opened: source.Source) -> list[int]:
    """The numbers of the updates that are read now."""
    return [int(number) for number in opened.read()["forward_bytes"]]


def _counts(opened: source.Source) -> dict[str, int]:
    names = ("lost", "discarded", "malformed", "resent", "forgotten")
    return {name: getattr(opened, name) for name in names if getattr(opened, name)}


def test_flows_are_read_with_their_keys(path: pathlib.Path, open_source: Open) -> None:
    opened = open_source()
    keys = [flowmessages.some_key(dst_port=port) for port in (80, 443)]
    with felixlike.Felix(path) as felix:
        felix.push(*(flowmessages.update(0, key) for key in keys))
        assert opened.connected == 1
    found = opened.read()
    assert [opened.keys[number] for number in found["key"]] == keys
    assert (found["arrived"] > found["started"]).all()
    assert len(opened.read()) == 0
    assert (_counts(opened), opened.error) == ({}, "")
    felixlike.wait_for(lambda: not opened.connected)


def test_what_comes_again_on_a_new_stream_is_counted_once(path: pathlib.Path, open_source: Open) -> None:
    opened = open_source()
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(1, 2))
        assert _numbers(opened) == [1, 2]
        felix.push(*_updates(3))
        felix.break_off()
        felix.push(*_updates(4))
        felix.break_off()
        felix.push(*_updates(5))
        assert felix.streams == 3
    assert sorted(_numbers(opened)) == [3, 4, 5]
    assert _counts(opened) == {"resent": 3 + 4}


def test_equal_flows_of_one_stream_are_two(path: pathlib.Path, open_source: Open) -> None:
    """As two flushes within one second may have them."""
    opened = open_source()
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(1, 1))
    assert _numbers(opened) == [1, 1]
    assert _counts(opened) == {}


def test_random_breaks_lose_nothing_and_double_nothing(path: pathlib.Path, open_source: Open) -> None:
    opened, chance, found = open_source(), random.Random(7), []
    with felixlike.Felix(path, seed=7) as felix:
        for number in range(300):
            felix.push(*_updates(number))
            if chance.random() < 0.05:
                felix.break_off()
            if chance.random() < 0.1:
                found += _numbers(opened)
    assert sorted(found + _numbers(opened)) == list(range(300))
    assert set(_counts(opened)) == {"resent"}


def test_many_streams_at_once_are_taken(path: pathlib.Path, open_source: Open) -> None:
    opened = open_source()

    def run(first: int) -> None:
        with felixlike.Felix(path) as felix:
            felix.push(*_updates(*range(first, first + 50)))

    threads = [threading.Thread(target=run, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(felixlike.DEADLINE)
    assert sorted(_numbers(opened)) == [100 * number + one for number in range(4) for one in range(50)]


MALFORMED = {
    "half of a flow": flowmessages.update()[:70],
    "nothing": b"",
    "noise": random.Random(1).randbytes(200),
    "too large": pb.FlowUpdate(flow=pb.Flow(source_labels=["x" * source.LARGEST])).SerializeToString(),
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
def test_malformed_message_is_counted_and_the_stream_goes_on(
    path: pathlib.Path, open_source: Open, message: bytes
) -> None:
    opened = open_source()
    with felixlike.Felix(path) as felix:
        felix.push(flowmessages.update(1), message, flowmessages.update(2))
        felix.break_off()
        felix.push(flowmessages.update(3))
    assert sorted(_numbers(opened)) == [1, 2, 3]
    assert _counts(opened) == {"malformed": 1, "resent": 3}
    assert "is no flow" in opened.error or "FlowKey" in opened.error


@pytest.mark.parametrize("size", [0, 3, 5, 50], ids=lambda size: f"{size} bytes")
def test_message_that_ends_in_the_middle_is_taken_when_it_comes_again(
    path: pathlib.Path, open_source: Open, size: int
) -> None:
    """The connection breaks before gRPC has all of it, so nobody has given a receipt."""
    opened = open_source()
    with felixlike.Raw(path) as raw:
        raw.send(felixlike.grpc_message(flowmessages.update(1)))
        felixlike.wait_for(lambda: raw.receive() or raw.receipts)
        raw.send(felixlike.grpc_message(flowmessages.update(2))[:size])
    felixlike.wait_for(lambda: not opened.connected)
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(1, 2, 3))
    assert _numbers(opened) == [1, 2, 3]
    assert _counts(opened) == {"resent": 1}


def test_noise_on_the_socket_hurts_nobody(path: pathlib.Path, open_source: Open) -> None:
    opened = open_source()
    for size in (0, 1, 24, 1000):
        with felixlike.Raw(path) as raw:
            raw._socket.sendall(random.Random(size).randbytes(size))
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(1))
    assert _numbers(opened) == [1]


def test_what_has_no_room_is_counted_once(path: pathlib.Path, open_source: Open) -> None:
    called = threading.Event()
    opened = open_source(capacity=10, hurry=called.set)
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(*range(5)))
        assert not called.is_set()
        felix.push(*_updates(*range(5, 13)))
        assert called.is_set()
        felix.break_off()
        felix.push(*_updates(13))
        assert _numbers(opened) == list(range(10))
        felix.push(*_updates(14))
    assert _numbers(opened) == [14]
    assert _counts(opened) == {"discarded": 4, "resent": 13}


def test_flood_is_held_back_and_nothing_is_lost(path: pathlib.Path, open_source: Open) -> None:
    """It comes several times as fast as it is taken, with read and read again in between."""
    count, found = 200_000, []
    opened = open_source()
    key = pb.FlowUpdate.FromString(flowmessages.update()).flow.Key

    def messages() -> Iterator[bytes]:
        for number in range(count):
            flow = pb.Flow(Key=key, start_time=1, bytes_out=number)
            yield pb.FlowUpdate(flow=flow).SerializeToString()

    def run() -> None:
        with felixlike.Raw(path) as raw:
            raw.flood(messages(), count)

    flooding = threading.Thread(target=run)
    flooding.start()
    while flooding.is_alive():
        flooding.join(0.2)
        found += _numbers(opened)
    assert found + _numbers(opened) == list(range(count))
    assert _counts(opened) == {}


def test_orderly_restart_counts_nothing_twice(path: pathlib.Path, open_source: Open) -> None:
    first = open_source()
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(1, 2))
        assert _numbers(first) == [1, 2]
        felix.push(*_updates(3))
        first.stop()
        assert _numbers(first) == [3]
        second = open_source()
        felix.push(*_updates(4))
        assert _numbers(second) == [4]
        assert _counts(second) == {"resent": 3}


def test_what_was_held_and_never_read_comes_to_the_next(path: pathlib.Path, open_source: Open) -> None:
    first = open_source()
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(1, 2))
        first.stop()
        second = open_source()
        felix.push(*_updates(3))
        assert sorted(_numbers(second)) == [1, 2, 3]


READER = """
import pathlib, sys
from collector.felix import source

one = source.Source(pathlib.Path(sys.argv[1]), capacity=100_000)
one.start()
print("ready", flush=True)
for line in sys.stdin:
    print(*one.read()["forward_bytes"].tolist(), flush=True)
    if line == "settle\\n":
        one.settle()
        print("settled", flush=True)
"""


class Reader:
    """A source in a process of its own, which is killed at the end; use as a context."""

    def __init__(self, path: pathlib.Path) -> None:
        command = [sys.executable, "-c", READER, str(path)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._line() == "ready"

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(felixlike.DEADLINE)
        self.process.stdin.close()
        self.process.stdout.close()

    def read(self, *, settle: bool = True) -> list[int]:
        """What it reads now."""
        self.process.stdin.write("settle\n" if settle else "read\n")
        found = [int(number) for number in self._line().split()]
        if settle:
            assert self._line() == "settled"
        return found

    def _line(self) -> str:
        return self.process.stdout.readline().strip()


def test_killed_reader_counts_nothing_twice_and_loses_nothing(path: pathlib.Path) -> None:
    found = []
    with felixlike.Felix(path) as felix:
        for start in range(0, 60, 20):
            with Reader(path) as reader:
                felix.push(*_updates(*range(start, start + 10)))
                found += reader.read()
                felix.push(*_updates(*range(start + 10, start + 20)))
        with Reader(path) as reader:
            felix.push(*_updates(60))
            found += reader.read()
    assert sorted(found) == list(range(61))


def test_reader_killed_before_it_has_settled_gives_that_again(path: pathlib.Path) -> None:
    """Nobody can know whether it was delivered: better twice than never."""
    with felixlike.Felix(path) as felix:
        with Reader(path) as reader:
            felix.push(*_updates(1))
            assert reader.read(settle=False) == [1]
            felix.push(*_updates(2))
            assert reader.read(settle=False) == [2]  # what was read before that counts as delivered
        with Reader(path) as reader:
            felix.push(*_updates(3))
            assert sorted(reader.read()) == [2, 3]


def test_killed_felix_costs_nothing_that_it_had_sent(path: pathlib.Path, open_source: Open) -> None:
    opened = open_source()
    command = [sys.executable, str(pathlib.Path(felixlike.__file__)), str(path), "1000000"]
    for _ in range(3):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            told = [process.stdout.readline() for _ in range(50)]
            process.kill()
            process.wait(felixlike.DEADLINE)
            told += process.stdout.readlines()
        felixlike.wait_for(lambda: not opened.connected)
        found = _numbers(opened)
        assert len(found) >= sum(line.endswith("\n") for line in told)
        assert found == list(range(len(found)))
        assert _counts(opened) == {}
        opened._resends = resends.Resends()  # the next one sends the same and means others


def _run(script: str) -> str:
    """What a process of its own says, with the source imported."""
    done = subprocess.run(
        [sys.executable, "-c", f"import pathlib, sys\nfrom collector.felix import source\n{script}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("module", ["grpc", "google.protobuf"])
def test_without_the_extra_it_says_what_to_install(module: str) -> None:
    said = _run(f"sys.modules[{module!r}] = None\nsource.Source(pathlib.Path('flows.sock'), capacity=1)")
    assert "SetupError" in said
    assert "pip install 'flowledger[goldmane]'" in said


def test_import_needs_neither_grpc_nor_protobuf() -> None:
    assert _run("print({'grpc', 'google.protobuf'} & set(sys.modules))") == "set()\n"


def test_socket_in_use_is_an_error_until_it_is_free(path: pathlib.Path, open_source: Open) -> None:
    first = open_source()
    second = open_source()
    assert "another process listens" in second.error
    first.stop()
    felixlike.wait_for(lambda: not second.error)
    with felixlike.Felix(path) as felix:
        felix.push(*_updates(1))
    assert _numbers(second) == [1]


def test_source_that_was_never_started_is_closed(path: pathlib.Path) -> None:
    opened = source.Source(path, capacity=1)
    opened.close()
    assert not path.parent.exists()
    with pytest.raises(grpc.RpcError), grpc.insecure_channel(f"unix:{path}") as channel:
        felixlike.Stream(channel).send(b"")
