"""Real ClickHouse servers as fixtures; see `lab.clickhouse` for what they can and cannot do."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import pytest

from lab.clickhouse import PASSWORD, READER, USER, Server, free_port, install
from model import errors

__all__ = ["PASSWORD", "READER", "USER", "Server", "free_port"]


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> None:
    """The engine's library is there; whoever waits for it sees why."""
    captured = request.config.pluginmanager.getplugin("capturemanager")
    with captured.global_and_fixture_disabled() if captured else contextlib.nullcontext():
        try:
            install()
        except errors.SetupError as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def clickhouse(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the whole session. It is not to be killed, and no log-in of it to be refused."""
    server = Server(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mortal(installed: None, tmp_path: pathlib.Path) -> Iterator[Server]:
    """A running server for one test, which may do with it what it likes."""
    server = Server(tmp_path / "mortal")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def cluster(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two servers that know each other as the two shards of the cluster ``flowledger``."""
    with _two(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def mortals(installed: None, tmp_path: pathlib.Path) -> Iterator[list[Server]]:
    """Such a cluster for one test, which may do with it what it likes."""
    with _two(tmp_path / "mortals") as servers:
        yield servers


@contextlib.contextmanager
def _two(folder: pathlib.Path) -> Iterator[list[Server]]:
    ports = [free_port(), free_port()]
    servers = [Server(folder / f"shard{i}", port, ports) for i, port in enumerate(ports)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()
