"""The demo as an operator meets it: what it says when it cannot run, and what it leaves behind."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator

import pytest

from collector.netlink import sockets
from collector.nflog import source as nflog
from lab import namespaces

FLOWLEDGER = [sys.executable, "-m", "cli.main"]
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
pytestmark = [pytest.mark.net, pytest.mark.e2e]


@pytest.fixture
def own_place(tmp_path: pathlib.Path) -> dict[str, str]:
    """An environment in which the demo's own folder is ours alone."""
    return {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}


def _traces(place: dict[str, str]) -> dict[str, object]:
    """What a demo could leave: files, mounts, processes, network namespaces, interfaces."""
    commands = [
        c for pid in pathlib.Path("/proc").glob("[0-9]*") if (c := _command(pid)) and "flowledger-demo" in c
    ]
    return {
        "files": sorted(p.name for p in pathlib.Path(place["XDG_RUNTIME_DIR"]).iterdir()),
        "mounts": [
            m for m in pathlib.Path("/proc/self/mounts").read_text().splitlines() if "flowledger-demo" in m
        ],
        "processes": commands,
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
    }


def _command(process: pathlib.Path) -> str:
    try:
        return process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # it has just ended
        return ""


@contextlib.contextmanager
def _running(place: dict[str, str], ports: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A demo whose traffic flows; ended at the end, if it has not by then."""
    command = [*FLOWLEDGER, "demo", "--no-app", *ports]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=place, **pipes) as process:
        try:
            said = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stderr))
            assert process.poll() is None, said
            yield process
        finally:
            process.terminate()


def _gone(place: dict[str, str]) -> dict[str, object]:
    """What is left, once all processes had a moment to end."""
    deadline = time.monotonic() + 10
    while (left := _traces(place))["processes"] and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_end_removes_everything(own_place, free_ports, number):
    before = _traces(own_place)
    with _running(own_place, free_ports) as process:
        assert _traces(own_place) != before
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""
    assert _gone(own_place) == before


def test_the_start_after_a_kill_cleans_up(own_place, free_ports):
    """SIGKILL ends all processes and all that was in the kernel; the next start removes the folder."""
    before = _traces(own_place)
    with _running(own_place, free_ports) as process:
        process.kill()
        process.wait()
    left = _gone(own_place)
    assert left["files"] != []
    assert {**left, "files": []} == {**before, "files": []}

    again = subprocess.run(
        [*FLOWLEDGER, "demo", "--seconds", "4", "--no-app", "-o", "json", *free_ports],
        env=own_place, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["flows"] > 0
    assert _gone(own_place) == before


def test_metrics_and_health_are_served(own_place, free_ports):
    base = f"http://127.0.0.1:{free_ports[free_ports.index('--metrics-port') + 1]}"
    with _running(own_place, free_ports):
        deadline = time.monotonic() + 20
        wanted = 'flowledger_denied_connections_total{direction="ingress",namespace="shop"}'
        while wanted not in (metrics := _read(f"{base}/metrics")) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert wanted in metrics
        assert 'flowledger_collector_lost_events_total{node="node-1",source="nflog"} 0.0' in metrics
        assert _read(f"{base}/healthz") == "ok\n"
        assert _read(f"{base}/readyz") == "ok\n"


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def test_a_second_demo_is_refused(own_place, free_ports):
    with _running(own_place, free_ports):
        other = ["--gateway-port", "0", "--metrics-port", "0"]
        _assert_refused(own_place, ["demo", "--no-app", *other], r"another demo of yours is running")


# Where Python itself lies in a folder that only root may enter (/root/.pyenv), an ordinary user gets a view
# of the file system in which he may.
AS_NOBODY = """
set -e
if [ -n "$CLOSED" ]; then
  mkdir "$PLACE/python" && mount --bind "$PYTHON" "$PLACE/python"
  mount -t tmpfs -o mode=755 none "$CLOSED"
  mkdir -p "$PYTHON" && mount --bind "$PLACE/python" "$PYTHON"
fi
exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all "$@"
"""


@pytest.fixture
def place_of_nobody() -> dict[str, str]:
    """A folder of an ordinary user's, and what it takes to let him run this Python."""
    python = pathlib.Path(sys.base_prefix)
    closed = [p for p in [*python.parents][::-1] if not p.stat().st_mode & 0o001]
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        home = pathlib.Path(name, "home")
        home.mkdir()
        os.chown(home, 65534, 65534)
        pathlib.Path(name).chmod(0o711)
        yield {**os.environ, "XDG_RUNTIME_DIR": str(home), "HOME": str(home), "PLACE": name,
               "PYTHON": str(python), "CLOSED": str(closed[0]) if closed else ""}  # fmt: skip


def test_an_ordinary_user_runs_it_in_a_user_namespace(place_of_nobody, free_ports):
    wrapper = ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh"]
    command = [*wrapper, *FLOWLEDGER, "demo", "--seconds", "4", "--no-app", "-o", "json", *free_ports]
    done = subprocess.run(
        command, env=place_of_nobody, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["denied"] > 0
    assert _gone(place_of_nobody)["files"] == []


def test_a_forbidden_user_namespace_is_named(own_place, free_ports, tmp_path):
    """It says how to allow it."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    limited = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *WITHOUT_RIGHTS]
    arguments = ["demo", "--no-app", *free_ports]
    _assert_refused(own_place, arguments, r"allow unprivileged user namespaces: sysctl", wrapper=limited)
    assert _traces(own_place)["files"] == []


BROKEN = {
    "not YAML": ("kind: [", r"broken\.yaml, document 1: line 2, column \d+: "),
    "an unknown field": (
        (
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: shop}\n"
            "spec: {podSelector: {}, ingres: []}"
        ),
        r"broken\.yaml, document 1: spec\.ingres: unknown field",
    ),
    "a port of text in the second object": (
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n---\napiVersion: v1\nkind: Service\n"
            "metadata: {name: a}\nspec: {clusterIP: 10.96.0.99, ports: [{port: eighty}]}"
        ),
        r"broken\.yaml, document 2: spec\.ports\[0\]\.port: must be a whole number, is text",
    ),
    "a bad selector": (
        (
            "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: a, namespace: shop}\n"
            "spec: {selector: app = 'x'}"
        ),
        r"broken\.yaml, document 1: spec\.selector: ",
    ),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_manifest_is_named(own_place, tmp_path, text, said):
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "broken.yaml").write_text(text)
    before = _traces(own_place)
    _assert_refused(own_place, ["demo", "--no-app", "--manifests", str(folder)], said)
    assert _traces(own_place) == before


@pytest.mark.parametrize("flag", ["--gateway-port", "--metrics-port", "--app-port"])
def test_a_taken_port_is_named(own_place, free_ports, flag):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = [*free_ports, flag, port]
        _assert_refused(own_place, ["demo", *ports], rf"port {port} .*choose another with {flag}")
    assert _traces(own_place)["files"] == []


def test_a_missing_tool_is_named(own_place, free_ports):
    hidden = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind /dev/null {shutil.which("nft")}; exec "$@"',
        "sh",
    ]
    said = r"nft is missing: install the package nftables"
    _assert_refused(own_place, ["demo", "--no-app", *free_ports], said, wrapper=hidden)
    assert _traces(own_place)["files"] == []


def test_a_missing_right_is_named(own_place, tmp_path):
    """A process without any capability cannot read events."""
    url = f"chdb://{tmp_path}/ledger"
    _assert_refused(
        own_place, ["collect", "--store", url, "--metrics-port", "0"],
        r"needs CAP_NET_ADMIN: run as root", wrapper=WITHOUT_RIGHTS,
    )  # fmt: skip
    assert not (tmp_path / "ledger").exists()


@pytest.fixture
def node(tmp_path) -> pathlib.Path:
    """A network namespace of its own."""
    path = tmp_path / "node"
    namespaces.create(path)
    yield path
    namespaces.remove(path)


def test_a_group_that_is_held_is_named(own_place, tmp_path, node):
    """As on a Calico node whose Felix has flow logs on."""
    holder = nflog.Source(node, (2,), receive_buffer=1 << 16, capacity=1 << 16)
    try:
        url = f"chdb://{tmp_path}/ledger"
        _assert_refused(
            own_place, ["collect", "--netns", str(node), "--store", url, "--metrics-port", "0"],
            r"NFLOG group 2 is held by another process .*--nflog-groups",
        )  # fmt: skip
        assert not (tmp_path / "ledger").exists()
        owners = pathlib.Path("/proc/thread-self/net/netfilter/nfnetlink_log")
        held = sockets.within(node, owners.read_text)
        assert [line.split()[0] for line in held.splitlines()] == ["2"]
    finally:
        holder.close()


def test_a_folder_of_another_version_is_named(own_place, tmp_path, node):
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    (ledger / "flowledger.json").write_text('{"schema": 999}')
    _assert_refused(
        own_place, ["collect", "--netns", str(node), "--store", f"chdb://{ledger}", "--metrics-port", "0"],
        r"999",
    )  # fmt: skip
    assert [p.name for p in ledger.iterdir()] == ["flowledger.json"]


def _assert_refused(
    place: dict[str, str], arguments: list[str], said: str, wrapper: tuple | list = ()
) -> None:
    """Exit code 2, one line on standard error, nothing on standard output."""
    done = subprocess.run(
        [*wrapper, *FLOWLEDGER, *arguments],
        env=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert re.search(said, errors[0]), errors[0]
    assert "Traceback" not in done.stderr
