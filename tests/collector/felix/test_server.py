"""The socket is ours where it can be, is taken back when it is free, and nobody's else is touched."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator

import felixlike
import grpc
import pytest

from collector.felix import server
from model import errors

Open = Callable[[], server.Server]


@pytest.fixture
def taken() -> list[tuple[bytes, int]]:
    return []


@pytest.fixture
def open_server(path: pathlib.Path, taken: list[tuple[bytes, int]]) -> Iterator[Open]:
    with contextlib.ExitStack() as made:

        def build() -> server.Server:
            one = server.Server(path, lambda message, stream: taken.append((message, stream)))
            made.callback(one.stop)
            one.start()
            return one

        yield build


def _rival(path: pathlib.Path) -> socket.socket:
    """Somebody who removes what is there and listens, as ``calico-node flows`` does."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


def test_messages_are_taken_with_their_stream(
    path: pathlib.Path, open_server: Open, taken: list[tuple[bytes, int]]
) -> None:
    opened = open_server()
    with felixlike.Felix(path) as felix:
        felix.push(b"one", b"two")
        assert opened.connected == 1
        felix.break_off()
        felix.push(b"three")
    assert taken[:2] == [(b"one", 1), (b"two", 1)]
    assert sorted(taken[2:]) == [(b"one", 2), (b"three", 2), (b"two", 2)]
    felixlike.wait_for(lambda: opened.connected == 0)
    assert opened.error == ""


def test_socket_is_for_its_owner_alone(path: pathlib.Path, open_server: Open) -> None:
    open_server()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & ~0o750 == 0


def test_nothing_is_left_behind(path: pathlib.Path, open_server: Open) -> None:
    opened = open_server()
    opened.stop()
    opened.stop()
    assert list(path.parent.iterdir()) == []


def test_other_methods_are_not_there(path: pathlib.Path, open_server: Open) -> None:
    open_server()
    with grpc.insecure_channel(f"unix:{path}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/goldmane.Flows/List")(b"", timeout=felixlike.DEADLINE)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_stale_socket_is_replaced(path: pathlib.Path, open_server: Open) -> None:
    _rival(path).close()
    assert open_server().error == ""
    with felixlike.Felix(path) as felix:
        felix.push(b"one")


def test_what_was_left_by_those_who_were_killed_is_removed(path: pathlib.Path, open_server: Open) -> None:
    left = path.with_name(".flows.sock.0a1b2c3d")
    _rival(left).close()
    open_server()
    assert not left.exists()


def test_rival_is_left_alone_until_it_is_gone(
    path: pathlib.Path, open_server: Open, taken: list[tuple[bytes, int]]
) -> None:
    rival = _rival(path)
    inode = path.stat().st_ino
    opened = open_server()
    assert "another process listens" in opened.error
    assert path.stat().st_ino == inode
    rival.close()
    felixlike.wait_for(lambda: not opened.error)
    with felixlike.Felix(path) as felix:
        felix.push(b"one")
    assert taken == [(b"one", 1)]


@pytest.mark.parametrize("ends", ["removing its socket", "leaving it"])
def test_displaced_socket_is_taken_back_and_streams_go_on(
    path: pathlib.Path, open_server: Open, taken: list[tuple[bytes, int]], ends: str
) -> None:
    opened = open_server()
    with felixlike.Felix(path) as felix:
        felix.push(b"one")
        rival = _rival(path)
        felixlike.wait_for(lambda: opened.error)
        felix.push(b"two")
        if ends == "removing its socket":
            path.unlink()
        rival.close()
        felixlike.wait_for(lambda: not opened.error)
        felix.push(b"three")
        assert felix.streams == 1
    with felixlike.Felix(path) as other:
        other.push(b"four")
    assert [message for message, _ in taken] == [b"one", b"two", b"three", b"four"]


def test_rival_keeps_its_socket_when_we_end(path: pathlib.Path, open_server: Open) -> None:
    opened = open_server()
    rival = _rival(path)
    opened.stop()
    assert path.exists()
    rival.close()


def test_directory_that_was_removed_is_made_again(
    path: pathlib.Path, open_server: Open, taken: list[tuple[bytes, int]]
) -> None:
    opened = open_server()
    path.unlink()
    for left in path.parent.iterdir():
        left.unlink()
    path.parent.rmdir()
    felixlike.wait_for(lambda: path.exists() and not opened.error)
    with felixlike.Felix(path) as felix:
        felix.push(b"one")
    assert taken == [(b"one", 1)]


def test_file_that_is_no_socket_is_kept(path: pathlib.Path, open_server: Open) -> None:
    path.parent.mkdir()
    path.write_text("somebody's")
    opened = open_server()
    assert "is no socket" in opened.error
    assert path.read_text() == "somebody's"
    path.unlink()
    felixlike.wait_for(lambda: not opened.error)


def test_place_that_cannot_be_is_an_error(path: pathlib.Path) -> None:
    path.parent.write_text("a file where the directory should be")
    opened = server.Server(path, lambda message, stream: None)
    opened.start()
    assert "cannot be made" in opened.error
    opened.stop()


def test_message_beyond_all_measure_is_refused_and_the_next_stream_is_taken(
    path: pathlib.Path, open_server: Open, taken: list[tuple[bytes, int]]
) -> None:
    opened = open_server()
    with grpc.insecure_channel(f"unix:{path}") as channel:
        stream = felixlike.Stream(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stream.send(bytes(server.LARGEST + 1))
        stream.cancel()
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        felixlike.wait_for(lambda: opened.broken == 1)
        felixlike.Stream(channel).send(b"one")
    assert [message for message, _ in taken] == [b"one"]


def test_one_stream_too_many_is_refused(
    path: pathlib.Path, open_server: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_STREAMS", 2)
    opened = open_server()
    with grpc.insecure_channel(f"unix:{path}") as channel:
        streams = [felixlike.Stream(channel) for _ in range(2)]
        for stream in streams:
            stream.send(b"one")
        with pytest.raises(grpc.RpcError) as refused:
            felixlike.Stream(channel).send(b"two")
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for stream in streams:
            stream.end()
    felixlike.wait_for(lambda: opened.connected == 0)


def test_without_grpc_it_says_what_to_install(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(errors.SetupError, match="flowledger\\[goldmane\\]"):
        server.Server(path, lambda message, stream: None)


def test_process_ends_though_a_stream_is_open(path: pathlib.Path) -> None:
    """Nothing waits for threads that nobody has stopped."""
    script = (
        "import pathlib, sys, time\nfrom collector.felix import server\n"
        "one = server.Server(pathlib.Path(sys.argv[1]), lambda message, stream: None)\none.start()\n"
        "print(flush=True)\nsys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=pathlib.Path(__file__).parents[3], **pipes) as process:
        process.stdout.readline()
        with felixlike.Felix(path) as felix:
            felix.push(b"one")
            process.stdin.write("end\n")
            process.stdin.flush()
            assert process.wait(timeout=felixlike.DEADLINE) == 0


def test_streams_that_were_cut_off_are_counted(path: pathlib.Path, open_server: Open) -> None:
    opened = open_server()
    with grpc.insecure_channel(f"unix:{path}") as channel:
        stream = felixlike.Stream(channel)
        stream.send(b"one")
        stream.end()
        felixlike.wait_for(lambda: not opened.connected)
        assert opened.broken == 0
        stream = felixlike.Stream(channel)
        stream.send(b"two")
        stream.cancel()
        felixlike.wait_for(lambda: opened.broken == 1)
    with felixlike.Raw(path) as raw:
        raw.send(felixlike.grpc_message(b"three"))
        felixlike.wait_for(lambda: raw.receive() or raw.receipts)
    felixlike.wait_for(lambda: opened.broken == 2)
