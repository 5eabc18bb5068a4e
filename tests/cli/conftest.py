"""A ledger for each test, rows for it, and the command line in this process."""

from __future__ import annotations

import logging
import multiprocessing
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import managers

import pyarrow as pa
import pytest

from cli import main
from model import address, columns
from store import gateway, http, transport

SECOND = 1_000_000_000


@pytest.fixture(scope="session")
def _engine() -> Iterator[managers.BaseManager]:
    """A process for the ledgers: chDB allows one folder a process, and other tests have theirs here."""
    managers.BaseManager.register("ledger", transport.open)
    with managers.BaseManager(ctx=multiprocessing.get_context("spawn")) as started:
        yield started


@pytest.fixture
def ledger(_engine: managers.BaseManager, tmp_path: pathlib.Path) -> Iterator[transport.Transport]:
    """A new ledger."""
    opened = _engine.ledger(f"chdb://{tmp_path}/ledger", 0)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def _gateway() -> Iterator[gateway.Gateway]:
    """One for all tests, as each takes half a second to stop; it serves whichever ledger is the new one."""
    served = gateway.Gateway(http.Remote("http://127.0.0.1:1"), port=0)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def url(_gateway: gateway.Gateway, ledger: transport.Transport) -> str:
    """Where the new ledger is served."""
    _gateway._server.ledger = ledger
    return _gateway.url


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[object, str, str]]]:
    """Runs ``flowledger``, and gives exit code, standard output and standard error."""
    root, level = logging.getLogger(), logging.getLogger().level
    monkeypatch.setattr(root, "handlers", [])  # the command sets up logs of its own
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["flowledger", *words])
        code: object = 0
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
        return (code, *capsys.readouterr())

    yield run
    root.setLevel(level)


@pytest.fixture
def flows() -> Callable[..., pa.RecordBatch]:
    """Builds a batch from rows that name only what matters; the rest is an allowed connection just now."""
    return _flows


def _flows(*rows: dict[str, object], stage: columns.Stage = columns.Stage.IDENTITY) -> pa.RecordBatch:
    now = time.time_ns()
    plain = {
        "time": now - SECOND, "started": now - 2 * SECOND, "node": "node-1", "src_address": "10.0.0.1",
        "src_port": 40000, "dst_address": "10.0.0.2", "dst_port": 8080, "protocol": 6,
        "forward_packets": 3, "forward_bytes": 1000, "reverse_packets": 2, "reverse_bytes": 234,
        "connections_started": 1, "verdict": "allowed", "reporter": "both",
    }  # fmt: skip
    schema = columns.schema(stage)
    full = [plain | row for row in rows]
    arrays = [_array(field.type, [row.get(field.name) for row in full]) for field in schema]
    return pa.record_batch(arrays, schema=schema)


def _array(kind: pa.DataType, values: list[object]) -> pa.Array:
    if kind == columns.ADDRESS:
        return pa.array([address.pack(str(value or "::")) for value in values], kind)
    empty: object = "" if kind == columns.TEXT else 0
    return pa.array([value or empty for value in values], kind)
