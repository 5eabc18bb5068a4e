"""The pieces of the demo; ``tests/e2e/test_demo.py`` has the whole of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from cli import demo
from model import errors
from store import transport

Build = Callable[..., pa.RecordBatch]
OURS = f"flowledger-demo-{os.getuid()}"


@pytest.fixture
def base(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where the demo makes its folder."""
    place = tmp_path / "runtime"
    place.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    return place


@contextlib.contextmanager
def _process(script: str) -> Iterator[subprocess.Popen[str]]:
    """A shell in the lab's place."""
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_own_folder_is_private_and_removed(base: pathlib.Path) -> None:
    with demo._folder(None) as folder:
        (folder / "ledger").mkdir()
        assert folder == base / OURS
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(base.iterdir()) == []


def test_own_folder_is_removed_after_failure(base: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="lab"), demo._folder(None):
        raise errors.SetupError("the lab did not come to its end")
    assert not (base / OURS).exists()
    with demo._folder(None) as again:
        assert again.exists()


@pytest.mark.parametrize("variable", ["", "/nowhere"], ids=["unset", "gone"])
def test_folder_falls_back_to_temporary_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", variable)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with demo._folder(None) as folder:
        assert folder == tmp_path / OURS


def test_second_demo_names_the_lock(base: pathlib.Path) -> None:
    with demo._folder(None) as first:
        with pytest.raises(errors.SetupError, match=rf"another demo .*{OURS}\.lock"), demo._folder(None):
            pass
        assert first.exists()


def test_what_a_killed_demo_left_is_cleared(base: pathlib.Path) -> None:
    (base / OURS / "ledger").mkdir(parents=True)
    (base / f"{OURS}.lock").touch()
    with demo._folder(None) as folder:
        assert list(folder.iterdir()) == []
    assert list(base.iterdir()) == []


def _link(place: pathlib.Path, target: pathlib.Path) -> None:
    place.symlink_to(target)


def _dangle(place: pathlib.Path, target: pathlib.Path) -> None:
    place.symlink_to(target / "nothing")


def _file(place: pathlib.Path, _: pathlib.Path) -> None:
    place.write_text("mine")


def _foreign(place: pathlib.Path, _: pathlib.Path) -> None:
    place.mkdir()
    os.chown(place, 65534, 65534)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_link, id="symlink"),
        pytest.param(_dangle, id="symlink to nothing"),
        pytest.param(_file, id="file"),
        pytest.param(_foreign, id="somebody else's", marks=pytest.mark.net),
    ],
)
def test_folder_that_is_not_ours_stays(
    base: pathlib.Path, tmp_path: pathlib.Path, make: Callable[[pathlib.Path, pathlib.Path], None]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "thesis.txt").touch()
    make(base / OURS, target)
    with pytest.raises(errors.SetupError, match=f"{OURS} is not ours: remove it first"), demo._folder(None):
        pass
    assert os.path.lexists(base / OURS)
    assert (target / "thesis.txt").exists()


@pytest.mark.parametrize("make", [_link, _dangle], ids=["symlink", "symlink to nothing"])
def test_lock_that_is_a_symlink_is_refused(
    base: pathlib.Path, tmp_path: pathlib.Path, make: Callable[[pathlib.Path, pathlib.Path], None]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    make(base / f"{OURS}.lock", target)
    with pytest.raises(errors.SetupError, match=rf"{OURS}\.lock"), demo._folder(None):
        pass
    assert list(target.iterdir()) == []
    assert not (base / OURS).exists()


@pytest.mark.parametrize("there", [True, False], ids=["empty", "not there"])
def test_wanted_folder_is_left(tmp_path: pathlib.Path, there: bool) -> None:
    wanted = tmp_path / "a" / "b"
    if there:
        wanted.mkdir(parents=True)
    with demo._folder(wanted) as folder:
        (folder / "truth.jsonl").touch()
        assert folder == wanted
    assert [file.name for file in wanted.iterdir()] == ["truth.jsonl"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("", "is not empty: choose a new folder for --folder", id="not empty"),
        pytest.param("file", "File exists; choose another folder for --folder", id="file"),
        pytest.param("file/below", "Not a directory; choose another", id="below a file"),
    ],
)
def test_wanted_folder_must_be_new(tmp_path: pathlib.Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(errors.SetupError, match=said) as caught, demo._folder(tmp_path / name):
        pass
    assert str(tmp_path / name) in str(caught.value)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "mine")]


def test_wait_ends_when_somebody_says_so() -> None:
    ended = threading.Event()
    ended.set()
    with _process("exit 3") as lab:
        demo._wait(lab, ended, None)


def test_wait_ends_when_time_is_over() -> None:
    with _process("read word") as lab:
        demo._wait(lab, threading.Event(), 0.5)
        assert lab.poll() is None


def test_wait_ends_when_the_lab_died() -> None:
    with _process("exit 3") as lab, pytest.raises(errors.SetupError, match="by itself, with exit code 3"):
        demo._wait(lab, threading.Event(), None)


def test_lab_is_heard_to_its_end() -> None:
    with _process("read word; test $word = go; cat; echo ended") as lab:
        demo._tell(lab, "go")
        demo._finish(lab)
        assert lab.wait() == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("echo error: no room", "the lab did not come to its end: error: no room", id="word"),
        pytest.param("exit 3", "the lab did not come to its end: ", id="nothing"),
    ],
)
def test_lab_that_fails_at_its_end_is_named(script: str, said: str) -> None:
    with _process(script) as lab, pytest.raises(errors.SetupError) as caught:
        demo._finish(lab)
    assert str(caught.value) == said


@pytest.mark.net
def test_lab_that_cannot_be_built_says_why(tmp_path: pathlib.Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(errors.SetupError) as caught, demo._lab(tmp_path / "lab", nowhere):
        pass
    assert str(caught.value) == f"no manifests at {nowhere}: there is no such file or folder"


@pytest.fixture
def small(ledger: transport.Transport, flows: Build) -> transport.Transport:
    """A ledger of three connections on two edges."""
    rule = "ingress|default|end-of-tier|deny|-1"
    denied = {"verdict": "denied", "ingress_action": "deny", "deciding_rule": rule, "attribution": "nflog",
              "protocol": 17, "dst_port": 53, "reverse_bytes": 0}  # fmt: skip
    ledger.insert("flows", flows({}, {}, denied))
    return ledger


def test_summary_for_a_program_is_json(small: transport.Transport) -> None:
    stream = io.StringIO()
    demo._summarise(small, "json", stream)
    ends = {"src": "10.0.0.1", "dst": "10.0.0.2"}
    assert json.loads(stream.getvalue()) == {
        "flows": 3, "allowed": 2, "denied": 1, "completeness": 1.0, "edges": [
            {**ends, "dst_port": 8080, "protocol": "TCP", "verdict": "allowed", "direction": "",
             "deciding_rule": "", "attribution": "", "connections": 2, "bytes": 2468},
            {**ends, "dst_port": 53, "protocol": "UDP", "verdict": "denied", "direction": "ingress",
             "deciding_rule": "ingress|default|end-of-tier|deny|-1", "attribution": "nflog",
             "connections": 1, "bytes": 1000},
        ],
    }  # fmt: skip


def test_summary_for_people_ends_with_totals(
    small: transport.Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    demo._summarise(small, "table", sys.stdout)
    *edges, total = capsys.readouterr().out.strip().splitlines()
    assert total == "3 connections: 2 allowed, 1 denied, 0 unanswered; 100.00% complete"
    assert sum("10.0.0.1" in line for line in edges) == 2
