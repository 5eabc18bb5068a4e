"""Real ClickHouse servers: the native protocol and HTTP, on loopback, as processes of their own.

No package that is small and for every distribution has the server, but the npm package of chDB has the engine
as a library whose entry point is that of the ``clickhouse`` program; there, ``SYSTEM START LISTEN`` opens the
engine's own listeners. What answers is ClickHouse itself. The library is installed once into a folder of the
user's cache (half a gigabyte, a minute).

What this one cannot do: listen with TLS (its statement knows the listeners TCP and HTTP alone, whatever the
configuration says), run Keeper (it is built without NuRaft), replicate or run ``ON CLUSTER`` (nothing starts
the threads of either), and live long after it has refused a log-in, or always when another server of its
cluster is gone amid an insert: it says so correctly and then aborts.
Tests of that take a server for themselves.

Run as a program, this module is one such server.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from model import errors

_VERSION = "26.7.3-stable.1"
_PACKAGES = {"x86_64": "@chdb/lib-linux-x64-gnu", "aarch64": "@chdb/lib-linux-arm64-gnu"}
_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "flowledger-clickhouse"
_START_SECONDS = 60.0

USER, PASSWORD = "ledger", "p/a:s@s wörd?"
"""A user who has to give a password."""

READER = "reader"
"""A user who may not write."""

_USERS = f"""\
<clickhouse>
  <profiles><default/><reader><readonly>1</readonly></reader></profiles>
  <quotas><default/></quotas>
  <users>
    <default><password/><profile>default</profile><quota>default</quota>
      <networks><ip>::/0</ip></networks><access_management>1</access_management></default>
    <{READER}><password/><profile>reader</profile><quota>default</quota>
      <networks><ip>::/0</ip></networks></{READER}>
    <{USER}><password>{PASSWORD}</password><profile>default</profile><quota>default</quota>
      <networks><ip>::/0</ip></networks></{USER}>
  </users>
</clickhouse>
"""


class Server:
    """One server on a folder; it can be killed, and started again on what it had written.

    Args:
        folder: Where it keeps its data.
        shards: Native ports of all servers of the cluster ``flowledger``, each a shard, and of ``replicas``,
            one shard of them all; this one alone, if there are none.
        more: What else its configuration says.
    """

    def __init__(
        self, folder: pathlib.Path, tcp: int = 0, shards: list[int] | None = None, more: str = ""
    ) -> None:
        self.tcp, self.http = tcp or free_port(), free_port()
        self.log, self.data = folder / "log", folder / "data"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "users.xml").write_text(_USERS)
        (folder / "config.xml").write_text(
            f"<clickhouse><users_config>{folder / 'users.xml'}</users_config>"
            f"{_remote_servers(shards or [self.tcp])}{more}</clickhouse>"
        )

    @property
    def native_url(self) -> str:
        """Where it speaks the native protocol."""
        return f"clickhouse://127.0.0.1:{self.tcp}"

    @property
    def http_url(self) -> str:
        """Where it speaks HTTP."""
        return f"http://127.0.0.1:{self.http}"

    @property
    def pid(self) -> int:
        """The running process; 0 if there is none."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Run, on the same ports as before; returns when it answers."""
        library = install()
        with self.log.open("ab") as log:
            words = map(str, (self._folder, self.tcp, self.http, library))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lab.clickhouse", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"no ClickHouse server came up: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as when the machine loses it; a second time does nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def revive(self) -> None:
        """Start it again if it has ended by itself, as its unit would."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def freeze(self) -> None:
        """Let it neither run nor end, so that connections stay and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        os.kill(self.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with (
                opener.open(f"{self.http_url}/ping", timeout=2) as response,
                socket.create_connection(("127.0.0.1", self.tcp), timeout=2),
            ):
                return bool(response.status == 200)
        except OSError:
            return False


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def install() -> pathlib.Path:
    """The engine's library; installed at the first use.

    Raises:
        SetupError: If it cannot be had here.
    """
    package = _PACKAGES.get(platform.machine())
    if package is None or sys.platform != "linux":
        raise errors.SetupError(f"no ClickHouse server for {sys.platform} on {platform.machine()}")
    library = _CACHE / "node_modules" / package / "libchdb.so"
    done = _CACHE / f"{_VERSION}.done"
    if done.exists() and library.exists():
        return library
    if shutil.which("npm") is None:
        raise errors.SetupError("a ClickHouse server of our own needs npm: apt-get install npm")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done.exists() and library.exists()):
            sys.stderr.write(f"installing {package}@{_VERSION} into {_CACHE}: a minute, once ...\n")
            quiet = ["--no-audit", "--no-fund", "--no-save", "--no-package-lock"]
            command = ["npm", "install", *quiet, "--prefix", str(_CACHE), f"{package}@{_VERSION}"]
            if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
                raise errors.SetupError(f"npm could not install {package}: its words are above")
            done.touch()
    return library


def _remote_servers(ports: list[int]) -> str:
    replicas = [f"<replica><host>127.0.0.1</host><port>{port}</port></replica>" for port in ports]
    shards = "".join(f"<shard>{replica}</shard>" for replica in replicas)
    shared = f"<shard><internal_replication>true</internal_replication>{''.join(replicas)}</shard>"
    return f"<remote_servers><flowledger>{shards}</flowledger><replicas>{shared}</replicas></remote_servers>"


_DIE_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of prctl(2)."""


def _serve(folder: pathlib.Path, tcp: int, http: int, library: str) -> None:
    """Become one server; never returns but by an error."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever runs the tests, who then ends us
    statements = (
        "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; "
        "SELECT sleepEachRow(1) FROM system.numbers FORMAT Null SETTINGS max_block_size = 1"
    )
    arguments = [
        "clickhouse", f"--config-file={folder / 'config.xml'}", f"--path={folder / 'data'}",
        f"--tcp_port={tcp}", f"--http_port={http}", "--listen_host=127.0.0.1", f"--query={statements}",
    ]  # fmt: skip
    engine = ctypes.CDLL(library)
    engine.chdb_query_cmdline.restype = ctypes.c_void_p
    engine.chdb_result_error.restype = ctypes.c_char_p
    engine.chdb_result_error.argtypes = [ctypes.c_void_p]
    words = (ctypes.c_char_p * len(arguments))(*[argument.encode() for argument in arguments])
    error = engine.chdb_result_error(engine.chdb_query_cmdline(len(arguments), words))
    sys.exit(error.decode() if error else 0)


if __name__ == "__main__":
    _serve(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
