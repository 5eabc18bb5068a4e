"""``demo``: the lab, two collectors, the ledger and the explorer, in a sandbox that leaves nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

from cli import assembly, moments, output, up
from cli import ledger as ledgers
from lab import controlplane, sandbox
from model import errors, manifest
from policy import parse
from runtime import settings
from store import queries, transport

_INTERVAL_SECONDS = 2.0
_END_SECONDS = 40
_TOOLS = {"nft": "nftables"}


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    seconds: float | None
    with_app: bool
    form: str
    folder: pathlib.Path | None
    manifests: pathlib.Path | None
    churn: float | None = None


def run(configured: settings.Settings, wanted: Wanted) -> int:
    """Run the demo; its exit code.

    Raises:
        FlowledgerError: If something that it needs is not there; then nothing was made.
    """
    manifests = wanted.manifests or controlplane.built_in()
    parse.parse(manifest.load(manifests))
    # Debian keeps nft where the shells of ordinary users do not look
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for tool, package in _TOOLS.items():
        if not shutil.which(tool):
            raise errors.SetupError(f"{tool} is missing: install the package {package}")
    assembly.require_ports(configured, with_app=wanted.with_app)
    with _folder(wanted.folder) as folder:
        return sandbox.run(lambda: _inside(configured, wanted, folder, manifests))


@contextlib.contextmanager
def _folder(wanted: pathlib.Path | None) -> Iterator[pathlib.Path]:
    """A new folder to work in. Our own is removed at the end, and after a kill by the next start."""
    if wanted is not None:
        try:
            wanted.mkdir(parents=True, exist_ok=True)
            empty = not any(wanted.iterdir())
        except OSError as error:
            raise errors.SetupError(
                f"{wanted}: {error.strerror}; choose another folder for --folder"
            ) from error
        if not empty:
            raise errors.SetupError(f"{wanted} is not empty: choose a new folder for --folder")
        yield wanted.resolve()
        return
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = pathlib.Path(runtime if os.access(runtime, os.W_OK) else tempfile.gettempdir())
    folder = base / f"flowledger-demo-{os.getuid()}"
    with _locked(folder.with_suffix(".lock")):
        _clear(folder)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            _clear(folder)


@contextlib.contextmanager
def _locked(file: pathlib.Path) -> Iterator[None]:
    """One demo at a time: the lock ends with the process, however that ends."""
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:  # somebody else's, or a symlink
        raise errors.SetupError(f"{file} is not ours ({error.strerror}): remove it first") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise errors.SetupError(f"another demo of yours is running (it holds {file}): end it first") from None
    try:
        yield
        file.unlink()
    finally:
        os.close(descriptor)


def _clear(folder: pathlib.Path) -> None:
    """Remove what a demo left that was killed."""
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise errors.SetupError(f"{folder} is not ours: remove it first")
    shutil.rmtree(folder)


def _inside(
    configured: settings.Settings, wanted: Wanted, folder: pathlib.Path, manifests: pathlib.Path
) -> int:
    """Process 1 of the sandbox: everything runs below it."""
    ended = up.Ending()
    screen = output.console(stderr=True)
    with _lab(folder, manifests, wanted.churn) as lab:
        configured = dataclasses.replace(
            configured,
            enrich=settings.Enrich(manifests=str(folder / "cluster")),
            store=dataclasses.replace(configured.store, url=f"chdb://{folder}/ledger"),
        )
        nodes = [
            dataclasses.replace(
                configured.collector, node=node.name, netns=str(folder / "netns" / node.name),
                interval_seconds=_INTERVAL_SECONDS, bpf_folder="",  # those of this machine are not the demo's
            )
            for node in controlplane.NODES
        ]  # fmt: skip
        with assembly.running(configured, nodes, with_gateway=True, with_app=wanted.with_app) as ledger:
            _tell(lab, "go")
            if wanted.with_app:
                screen.print(f"\n  Flowledger is at http://{configured.app.host}:{configured.app.port}\n")
            screen.print(f"ledger at {ledgers.url(configured.gateway)}; try: "
                         "flowledger flows 'verdict = denied' --follow")  # fmt: skip
            screen.print("Ctrl-C ends it and removes everything." if not wanted.seconds
                         else f"{wanted.seconds:g} s of traffic …")  # fmt: skip
            _wait(lab, ended, wanted.seconds)
            if wanted.seconds and not ended.is_set():
                _finish(lab)
        if wanted.seconds:
            with contextlib.closing(transport.open(configured.store.url)) as ledger:
                _summarise(ledger, wanted.form, sys.stdout)
    screen.print("ended; everything that was made is removed")
    return 0


@contextlib.contextmanager
def _lab(
    folder: pathlib.Path, manifests: pathlib.Path, churn: float | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The lab's process, once all is built.

    Raises:
        SetupError: If it cannot be built; the lab's own words.
    """
    command = [sys.executable, "-m", "lab.main", "--folder", str(folder), "--manifests", str(manifests)]
    command += ["--churn", str(churn)] if churn else []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            word = _heard(process)
            if word != "ready":
                raise errors.SetupError(word.removeprefix("error: ") or "the lab ended before it was built")
            yield process
        finally:
            process.kill()


def _tell(process: subprocess.Popen[str], word: str) -> None:
    if process.stdin:
        process.stdin.write(f"{word}\n")
        process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip() if process.stdout else ""


def _wait(lab: subprocess.Popen[str], ended: up.Ending, seconds: float | None) -> None:
    """Until the time is over, somebody ends it, or the lab dies."""
    step, passed = 0.5, 0.0
    while not ended.wait(step) and (seconds is None or passed + step < seconds):
        passed += step
        if lab.poll() is not None:
            raise errors.SetupError(f"the lab has ended by itself, with exit code {lab.returncode}")


def _finish(lab: subprocess.Popen[str]) -> None:
    """Let all conversations come to their end, and the lab write its truth down."""
    if lab.stdin:
        lab.stdin.close()
    watchdog = threading.Timer(_END_SECONDS, lab.kill)
    watchdog.start()
    try:
        word = _heard(lab)
    finally:
        watchdog.cancel()
    if word != "ended":
        raise errors.SetupError(f"the lab did not come to its end: {word}")


def _summarise(ledger: transport.Transport, form: str, stream: IO[str]) -> None:
    span = moments.since("1d")
    total, edges = queries.summary(ledger, span), queries.edges(ledger, span)
    if form == "table":
        output.write(edges, form, stream, ("src", "dst", "dst_port", "protocol", "verdict", "connections",
                                           "bytes", "deciding_rule"))  # fmt: skip
        stream.write(f"{total.flows} connections: {total.allowed} allowed, {total.denied} denied, "
                     f"{total.unknown} unanswered; {total.completeness:.2%} complete\n")  # fmt: skip
        return
    names = ("src", "dst", "dst_port", "protocol", "verdict", "direction", "deciding_rule", "attribution",
             "connections", "bytes")  # fmt: skip
    stream.write(json.dumps({
        "flows": total.flows, "allowed": total.allowed, "denied": total.denied,
        "completeness": total.completeness,
        "edges": [{name: row[name] for name in names} for row in output.plain(edges)],
    }, indent=2) + "\n")  # fmt: skip
