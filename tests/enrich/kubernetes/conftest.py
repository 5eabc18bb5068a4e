"""An API server, and a client that found it by a kubeconfig."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from apiserver import ApiServer

from enrich.kubernetes import client


@pytest.fixture
def server() -> Iterator[ApiServer]:
    running = ApiServer()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    return path


@pytest.fixture
def api(server: ApiServer, kubeconfig: pathlib.Path) -> Iterator[client.Api]:
    made = client.connect(str(kubeconfig), connect_seconds=2.0, read_seconds=1.0)
    yield made
    made.close()
