"""What happens in a sandbox, and that it ends there. Each runs in a process of its own: it forks."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

CONTAINER = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all"]
"""Root as in a container: it may map itself into a user namespace and nothing else."""
FORBIDDEN = [
    "unshare", "--user", "--map-root-user", "sh", "-c",
    'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh", *CONTAINER,
]  # fmt: skip
SCRIPT = """
import ctypes, os, pathlib, signal, subprocess, sys
from lab import namespaces, sandbox
from model import errors

def say(word):
    print(word, flush=True)

def inside():
    {body}

sys.exit(sandbox.run(inside))
"""
pytestmark = pytest.mark.net
RIGHTS = pytest.mark.parametrize(
    "wrapper", [pytest.param([], id="root"), pytest.param(CONTAINER, id="root in a container")]
)


def _command(body: str, wrapper: list[str] | tuple[str, ...] = ()) -> list[str]:
    return [*wrapper, sys.executable, "-c", SCRIPT.format(body=body)]


def _run(body: str, wrapper: list[str] | tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(body, wrapper), capture_output=True, text=True, timeout=20, check=False)


@contextlib.contextmanager
def _running(body: str, wrapper: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A sandbox that has said its first word."""
    with subprocess.Popen(_command(body, wrapper), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param("return 0", 0, id="returned"),
        pytest.param("return 7", 7, id="returned a number"),
        pytest.param("sys.exit(3)", 3, id="exit"),
        pytest.param("sys.exit()", 1, id="exit without a number"),
        pytest.param("sys.exit('words')", 1, id="exit with words"),
        pytest.param("raise errors.SetupError('no nft')", 2, id="failure that a person can mend"),
        pytest.param("raise KeyError(1)", 70, id="programming error"),
        pytest.param("raise KeyboardInterrupt", 70, id="interrupt"),
        pytest.param("ctypes.string_at(0)", 128 + signal.SIGSEGV, id="signal"),
    ],
)
def test_exit_code_says_how_it_ended(body: str, code: int) -> None:
    assert _run(body).returncode == code


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("raise errors.SetupError('no nft')", "error: no nft\n", id="one line for a person"),
        pytest.param("raise KeyError('x')", "KeyError: 'x'\n", id="traceback for a programmer"),
    ],
)
def test_failure_is_told_on_standard_error(body: str, said: str) -> None:
    done = _run(body)
    assert done.stderr.endswith(said)
    assert ("Traceback" in done.stderr) == (said[:5] != "error")
    assert done.stdout == ""


def test_what_was_printed_is_not_lost() -> None:
    assert _run("sys.stdout.write('last words'); return 0").stdout == "last words"


@RIGHTS
def test_function_sees_its_own_processes_alone(wrapper: list[str]) -> None:
    body = "say(sorted(p.name for p in pathlib.Path('/proc').glob('[0-9]*'))); return os.getpid() - 1"
    done = _run(body, wrapper)
    assert (done.returncode, done.stdout) == (0, "['1']\n"), done.stderr


@RIGHTS
def test_function_may_make_network_namespaces(wrapper: list[str], tmp_path: pathlib.Path) -> None:
    """Their mounts are not seen outside, and go with it."""
    make = f"namespaces.create(pathlib.Path({str(tmp_path / 'made')!r}))"
    with _running(f"{make}; say('ready'); return signal.sigwait({{15}})", wrapper) as process:
        mounts = pathlib.Path("/proc/self/mounts").read_text()
        process.terminate()
        assert process.wait(10) == signal.SIGTERM
    assert (tmp_path / "made").is_file()
    assert str(tmp_path) not in mounts


@RIGHTS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_signal_arrives_inside_as_sigterm(wrapper: list[str], number: signal.Signals) -> None:
    """Even before anybody listens: it is blocked there, and waits."""
    with _running("say('ready'); return signal.sigwait({2, 15})", wrapper) as process:
        process.send_signal(number)
        assert process.wait(10) == signal.SIGTERM


@RIGHTS
@pytest.mark.parametrize("victim", [0, 1, 2], ids=["caller", "keeper of the mounts", "process 1"])
def test_kill_ends_everything_inside(wrapper: list[str], victim: int) -> None:
    """Whoever is killed: the pipe is closed when the last process inside has ended."""
    body = "subprocess.Popen(['sleep', '1000']); say('ready'); return signal.sigwait({15})"
    with _running(body, wrapper) as process:
        subprocess.run(["kill", "-KILL", str(_descendant(process.pid, victim))], check=True)
        assert process.communicate(timeout=10) == ("", None)
        assert process.wait(10) == (128 + signal.SIGKILL if victim else -signal.SIGKILL)


def _descendant(process: int, generation: int) -> int:
    """A process, its only child, the child of that, …."""
    for _ in range(generation):
        process = int(pathlib.Path(f"/proc/{process}/task/{process}/children").read_text())
    return process


def test_missing_right_says_how_to_allow_it() -> None:
    done = _run("return 0", FORBIDDEN)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot make namespaces (")
    assert "run as root, or allow unprivileged user namespaces: sysctl " in done.stderr
    assert done.stderr.count("\n") == 1
