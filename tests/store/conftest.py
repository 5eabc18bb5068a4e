"""One ledger for all tests of the store: chDB allows one folder a process, so tests empty it instead."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import wires
from clickhouse_server import Server, clickhouse, cluster, installed, mortal, mortals  # noqa: F401 (fixtures)

from model import address, columns
from store import chdb, ddl, gateway, http, migrations, native, transport

HOUR = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


@pytest.fixture(scope="session")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chdb.Embedded]:
    ledger = chdb.Embedded(tmp_path_factory.mktemp("ledger"), retention_days=0)
    yield ledger
    ledger.close()


@pytest.fixture(scope="session")
def _gateway(_engine: chdb.Embedded) -> Iterator[gateway.Gateway]:
    served = gateway.Gateway(_engine, "127.0.0.1", 0)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def ledger(_engine: chdb.Embedded) -> chdb.Embedded:
    """The ledger, empty."""
    for table in ddl.STORED:
        _engine.command(f"TRUNCATE TABLE {table}", {})
    return _engine


@pytest.fixture
def url(_gateway: gateway.Gateway, ledger: chdb.Embedded) -> str:
    """Where the empty ledger is served."""
    return _gateway.url


@pytest.fixture(params=["embedded", "remote"])
def reader(request: pytest.FixtureRequest, ledger: chdb.Embedded, url: str) -> transport.Transport:
    """Each way to ask the empty ledger."""
    return ledger if request.param == "embedded" else http.Remote(url)


@pytest.fixture(scope="session")
def made(clickhouse: Server) -> Iterator[native.Server]:  # noqa: F811
    """The session's server, with the schema in it."""
    opened = native.Server(clickhouse.native_url)
    migrations.bring_up_to_date(opened, ddl.ages(0))
    yield opened
    opened.close()


def _emptied(server: native.Server) -> native.Server:
    for table in ddl.STORED:
        server.command(f"TRUNCATE TABLE {table}", {})
    return server


def _way(name: str, request: pytest.FixtureRequest) -> transport.Transport:
    """An empty ledger by one of the ways to it; only what that way needs is started."""
    if name == "chdb":
        return request.getfixturevalue("ledger")
    if name == "gateway":
        return http.Remote(request.getfixturevalue("url"))
    server = _emptied(request.getfixturevalue("made"))
    return server if name == "native" else http.Remote(request.getfixturevalue("clickhouse").http_url)


@pytest.fixture(params=["chdb", "native", "http"])
def owner(request: pytest.FixtureRequest) -> transport.Transport:
    """Each way to write an empty ledger."""
    return _way(request.param, request)


@pytest.fixture(params=["chdb", "native", "http", "gateway"])
def asker(request: pytest.FixtureRequest) -> transport.Transport:
    """Each way to ask an empty ledger."""
    return _way(request.param, request)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> wires.Authority:
    """Signs certificates for servers and clients."""
    return wires.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def hour() -> int:
    """The full hour in which the samples lie, in nanoseconds since 1970."""
    return HOUR


@pytest.fixture
def flows() -> Callable[..., pa.RecordBatch]:
    """Builds a batch from rows that name only what matters; the rest is a plain allowed connection."""
    return _flows


@pytest.fixture
def completeness() -> Callable[..., pa.Table]:
    """Builds statements of completeness from rows that name only what matters."""

    def build(*rows: dict[str, object]) -> pa.Table:
        plain = {
            "time": HOUR,
            "node": "n",
            "source": "nflog",
            "observed": 1,
            "lost": 0,
            "discarded": 0,
            "incomplete": 0,
            "note": "",
        }
        return pa.Table.from_pylist([plain | row for row in rows], schema=ddl.COMPLETENESS)

    return build


@pytest.fixture
def run() -> Callable[[str], str]:
    """Runs a script in a process of its own, and gives what it printed."""

    def run(script: str) -> str:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


_PLAIN: dict[str, object] = {
    "time": HOUR + 1, "started": HOUR, "node": "node-1", "src_address": "10.0.0.1", "src_port": 40000,
    "dst_address": "10.0.0.2", "dst_port": 80, "protocol": 6, "forward_packets": 3, "forward_bytes": 100,
    "reverse_packets": 2, "reverse_bytes": 50, "connections_started": 1, "verdict": "allowed",
    "ingress_action": "allow", "reporter": "both", "attribution": "nflog",
    "src_kind": "pod", "src_namespace": "shop", "src_workload": "web", "src_pod": "web-1",
    "dst_kind": "pod", "dst_namespace": "shop", "dst_workload": "cart", "dst_pod": "cart-1",
}  # fmt: skip


def _flows(*rows: dict[str, object]) -> pa.RecordBatch:
    full = [_PLAIN | row for row in rows]
    arrays = [_array(column, [row.get(column.name) for row in full]) for column in columns.COLUMNS]
    return pa.record_batch(arrays, schema=columns.schema(columns.Stage.IDENTITY))


def _array(column: columns.Column, values: list[object]) -> pa.Array:
    if column.arrow == columns.TEXT:
        return pa.array([value or "" for value in values], pa.string()).dictionary_encode()
    if column.arrow == columns.ADDRESS:
        return pa.array([address.pack(str(value or "::")) for value in values], columns.ADDRESS)
    return pa.array([value or 0 for value in values]).cast(column.arrow)
