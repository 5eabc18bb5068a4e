"""The parts of a process, put together: what is had, what is refused, and that nothing is left half-made."""

from __future__ import annotations

import dataclasses
import fcntl
import pathlib
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from cli import assembly, collect, ledger
from collector.nflog import source as nflog
from lab import namespaces
from model import errors
from runtime import settings
from store import spool, spoolfile, transport

HOST = "127.0.0.1"


@pytest.fixture
def on_free_ports(free_ports: list[str]) -> settings.Settings:
    """Settings of a process whose ports nobody has."""
    ports = dict(zip(free_ports[::2], map(int, free_ports[1::2]), strict=True))
    return settings.Settings(
        gateway=settings.Gateway(port=ports["--gateway-port"]),
        app=settings.App(port=ports["--app-port"]),
        metrics=settings.Metrics(port=ports["--metrics-port"]),
    )


@pytest.fixture
def configured(url: str, on_free_ports: settings.Settings) -> settings.Settings:
    """The same, on a ledger that another process has."""
    return dataclasses.replace(on_free_ports, store=settings.Store(url=url))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.create_server((HOST, 0)) as listening:
        yield listening.getsockname()[1]


def _ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.mark.parametrize("host", [HOST, "::1"], ids=["IPv4", "IPv6"])
def test_taken_port_is_named_with_its_flag(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(errors.SetupError) as caught:
            assembly.require_free(host, port, "--app-port")
    assert (
        str(caught.value) == f"port {port} at {host}: Address already in use; choose another with --app-port"
    )
    assembly.require_free(host, port, "--app-port")


@pytest.mark.parametrize(
    ("host", "port"),
    [
        pytest.param("192.0.2.1", 80, id="address of another machine"),
        pytest.param("no.such.invalid", 80, id="unknown name"),
        pytest.param(HOST, 65536, id="port too high"),
        pytest.param(HOST, -1, id="port below zero"),
    ],
)
def test_impossible_port_is_named(host: str, port: int) -> None:
    with pytest.raises(errors.SetupError, match=rf"^port {port} at {host}: .*; choose another with --x$"):
        assembly.require_free(host, port, "--x")


@pytest.mark.parametrize(
    ("part", "flag"), [("gateway", "--gateway-port"), ("metrics", "--metrics-port"), ("app", "--app-port")]
)
def test_every_port_is_required(on_free_ports: settings.Settings, taken: int, part: str, flag: str) -> None:
    assembly.require_ports(on_free_ports, with_app=True)
    wanted = dataclasses.replace(getattr(on_free_ports, part), port=taken)
    with pytest.raises(errors.SetupError, match=flag):
        assembly.require_ports(dataclasses.replace(on_free_ports, **{part: wanted}), with_app=True)


def test_port_that_nobody_uses_may_be_taken(on_free_ports: settings.Settings, taken: int) -> None:
    assembly.require_ports(
        dataclasses.replace(on_free_ports, app=settings.App(port=taken), metrics=settings.Metrics(port=0)),
        with_app=False,
    )


def test_process_serves_ledger_and_health(configured: settings.Settings) -> None:
    gateway, metrics = configured.gateway.port, configured.metrics.port
    with assembly.running(configured, [], with_gateway=True, with_app=False) as opened:
        assert opened.query("SELECT 1 AS a", {}).to_pylist() == [{"a": 1}]
        assert _ask(gateway, "/?query=SELECT%20count()%20FROM%20flows") == (200, "0\n")
        assert _ask(metrics, "/healthz") == (200, "ok\n")
        assert _ask(metrics, "/readyz") == (200, "ok\n")
        assert "# TYPE flowledger_collector_flows_total counter" in _ask(metrics, "/metrics")[1]
    assert (_listens(gateway), _listens(metrics)) == (False, False)


def test_part_that_is_not_wanted_is_not_there(configured: settings.Settings) -> None:
    quiet = dataclasses.replace(configured, metrics=settings.Metrics(port=0))
    with assembly.running(quiet, [], with_gateway=False, with_app=False):
        assert not _listens(configured.gateway.port)
        assert not _listens(configured.metrics.port)


def test_late_refusal_takes_all_back(configured: settings.Settings, taken: int) -> None:
    busy = dataclasses.replace(configured, metrics=settings.Metrics(port=taken))
    with (
        pytest.raises(errors.SetupError, match="--metrics-port"),
        assembly.running(busy, [], with_gateway=True, with_app=False),
    ):
        pass
    assert not _listens(configured.gateway.port)


def test_bad_manifest_is_refused_before_the_ledger(
    on_free_ports: settings.Settings, tmp_path: pathlib.Path
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: [")
    wanted = dataclasses.replace(
        on_free_ports,
        enrich=settings.Enrich(manifests=str(broken)),
        store=settings.Store(url=f"chdb://{tmp_path}/new"),
    )
    with (
        pytest.raises(errors.ManifestError, match=r"broken\.yaml"),
        assembly.running(wanted, [], with_gateway=True, with_app=False),
    ):
        pass
    assert not (tmp_path / "new").exists()


def test_app_listens_until_it_is_stopped(url: str, configured: settings.Settings) -> None:
    app = assembly.App(url, configured.app)
    app.start()
    try:
        assert _ask(configured.app.port, "/_stcore/health") == (200, "ok")
    finally:
        app.stop()
    assert not _listens(configured.app.port)
    app.stop()


def test_app_that_cannot_listen_is_refused(on_free_ports: settings.Settings) -> None:
    app = assembly.App("http://127.0.0.1:1", settings.App(host="192.0.2.1", port=on_free_ports.app.port))
    with pytest.raises(errors.SetupError, match="the app did not come up"):
        app.start()
    assert app._process.poll() is not None


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Iterator[settings.Collector]:
    """A collector in a network namespace of its own."""
    path = tmp_path / "node"
    namespaces.create(path)
    yield settings.Collector(node="node-1", netns=str(path), interval_seconds=3600)
    namespaces.remove(path)


@pytest.mark.net
def test_second_collector_refused_frees_the_first(
    configured: settings.Settings, node: settings.Collector
) -> None:
    with (
        pytest.raises(errors.SetupError, match="NFLOG group 1 is held"),
        assembly.running(configured, [node, node], with_gateway=False, with_app=False),
    ):
        pass
    nflog.Source(
        pathlib.Path(node.netns), node.nflog_groups, receive_buffer=1 << 16, capacity=1 << 16
    ).close()


@pytest.mark.net
def test_ledger_that_takes_no_rows_is_refused(
    configured: settings.Settings, node: settings.Collector
) -> None:
    with (
        pytest.raises(errors.SetupError, match="is read-only: record into a folder"),
        assembly.running(configured, [node], with_gateway=False, with_app=False),
    ):
        pass


@pytest.fixture
def away(
    on_free_ports: settings.Settings, node: settings.Collector, tmp_path: pathlib.Path
) -> settings.Settings:
    """A node whose ledger nobody answers for."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        url = f"http://{HOST}:{free.getsockname()[1]}"
    store = settings.Store(url=url, spool=str(tmp_path / "spool"), batch_seconds=0.1)
    return dataclasses.replace(on_free_ports, store=store, collector=node)


@pytest.mark.net
def test_rows_wait_on_the_disk_while_the_ledger_is_away(
    away: settings.Settings, node: settings.Collector, tmp_path: pathlib.Path
) -> None:
    """The first interval ends before the parts are handed out, the last one when they are ended."""
    with assembly.running(away, [node], with_gateway=False, with_app=False):
        measured = _ask(away.metrics.port, "/metrics")[1]
        assert 'failed_intervals_total{node="node-1"}' not in measured
        assert "flowledger_store_spool_files 0.0" not in measured
        deadline = time.monotonic() + 20
        while _ask(away.metrics.port, "/readyz")[0] == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _ask(away.metrics.port, "/readyz")[1].startswith("store: ")
    left = [spoolfile.read(path) for path in sorted((tmp_path / "spool").glob("*.arrow"))]
    sources = [word for content in left for word in content.rows.column("source").to_pylist()]
    assert sources.count("store") == sources.count("conntrack") == 2


@pytest.mark.net
@pytest.mark.parametrize(("most_bytes", "keepers"), [(0, 0), (1, 1)], ids=["no bound", "a bound"])
def test_ledger_has_one_keeper_where_it_is_bounded(
    away: settings.Settings, node: settings.Collector, most_bytes: int, keepers: int
) -> None:
    other = dataclasses.replace(node, node="node-2", nflog_groups=(), sources=("conntrack",))
    bounded = dataclasses.replace(away, store=dataclasses.replace(away.store, retention_bytes=most_bytes))
    with assembly.running(bounded, [node, other], with_gateway=False, with_app=False):
        assert _threads("retention") == keepers
    assert _threads("retention") == 0


def _threads(name: str) -> int:
    return [thread.name for thread in threading.enumerate()].count(name)


def test_ledger_that_only_answers_has_no_keeper(configured: settings.Settings) -> None:
    bounded = dataclasses.replace(configured, store=dataclasses.replace(configured.store, retention_bytes=1))
    with assembly.running(bounded, [], with_gateway=False, with_app=False):
        assert _threads("retention") == 0


def test_token_is_asked_for_and_shown(configured: settings.Settings, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    guarded = dataclasses.replace(
        configured,
        gateway=dataclasses.replace(configured.gateway, host="0.0.0.0", token_file=str(file)),
    )
    with assembly.running(guarded, [], with_gateway=True, with_app=False):
        assert _ask(guarded.gateway.port, "/?query=SELECT%201")[0] == 401
        asked = transport.open(ledger.url(guarded.gateway))
        assert asked.query("SELECT 1 AS a", {}).to_pylist() == [{"a": 1}]


def test_ledger_is_shown_to_nobody_without_a_token(
    on_free_ports: settings.Settings, tmp_path: pathlib.Path
) -> None:
    open_to_all = dataclasses.replace(
        on_free_ports,
        gateway=dataclasses.replace(on_free_ports.gateway, host="0.0.0.0"),
        store=settings.Store(url=f"chdb://{tmp_path}/new"),
    )
    with (
        pytest.raises(errors.SetupError, match="others could read the whole ledger"),
        assembly.running(open_to_all, [], with_gateway=True, with_app=False),
    ):
        pass
    assert not (tmp_path / "new").exists()


@pytest.mark.net
def test_spool_of_another_process_ends_the_start(
    away: settings.Settings, node: settings.Collector, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    with (folder / spool.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(errors.SetupError, match="in use by another process"),
            assembly.running(away, [node], with_gateway=True, with_app=False),
        ):
            pass
    assert not _listens(away.gateway.port)


@pytest.mark.net
def test_failed_interval_shows_in_readiness(configured: settings.Settings, node: settings.Collector) -> None:
    """A ledger behind HTTP takes no rows."""
    into = transport.open(configured.store.url, 0)
    with assembly.running(configured, [node], with_gateway=False, with_app=False, into=into):
        code, said = _ask(configured.metrics.port, "/readyz")
        measured = _ask(configured.metrics.port, "/metrics")[1]
    assert code == 503
    assert said.startswith("node-1: StoreError: ")
    assert 'flowledger_collector_failed_intervals_total{node="node-1"} 1.0' in measured


def test_printed_flows_cannot_be_named_by_a_ledger(configured: settings.Settings) -> None:
    asked = dataclasses.replace(configured, enrich=settings.Enrich(feed="store"))
    with (
        pytest.raises(errors.SetupError, match="leave -o out"),
        assembly.running(asked, [], with_gateway=False, with_app=False, into=collect.stream("jsonl")),
    ):
        pass
