"""Which feed the settings mean."""

from __future__ import annotations

import pathlib

import pytest

from cli import feeds
from enrich import manifests, stored
from model import errors
from runtime import settings
from store import transport

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


@pytest.mark.parametrize(
    ("given", "environment", "which"),
    [
        pytest.param({}, {}, "none", id="nothing said"),
        pytest.param({}, POD, "store", id="nothing said, in a pod"),
        pytest.param({"manifests": "/m"}, POD, "manifests", id="a folder"),
        pytest.param({"feed": "kubernetes", "manifests": "/m"}, {}, "kubernetes", id="said"),
        pytest.param({"feed": "none"}, POD, "none", id="nobody, in a pod"),
    ],
)
def test_feed_that_the_settings_mean(given: dict[str, str], environment: dict[str, str], which: str) -> None:
    assert feeds.kind(settings.Enrich(**given), "store", environment) == which


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            {"feed": "oracle"}, "must be one of kubernetes, store, manifests, none, is 'oracle'", id="word"
        ),
        pytest.param({"feed": "manifests"}, "name their folder with --manifests", id="no folder"),
    ],
)
def test_feed_that_there_is_not(given: dict[str, str], said: str) -> None:
    with pytest.raises(errors.SetupError, match=said):
        feeds.kind(settings.Enrich(**given), "store", {})


def test_local_feeds(tmp_path: pathlib.Path) -> None:
    ledger = feeds.Ledger()
    configured = settings.Enrich(manifests=str(tmp_path))
    assert isinstance(feeds.local("manifests", configured, ledger), manifests.Folder)
    assert isinstance(feeds.local("store", configured, ledger), stored.Stored)
    assert feeds.local("none", configured, ledger) is None


def test_ledger_is_asked_once_it_is_open(ledger: transport.Transport) -> None:
    reader = feeds.Ledger()
    with pytest.raises(errors.StoreError, match="no ledger to ask yet"):
        reader.watched()
    reader.open(ledger)
    tables = [reader.endpoints(None, 0), reader.services(None, 0), reader.policies(5, 0), reader.watched()]
    assert [table.num_rows for table in tables] == [0, 0, 0, 0]
    known, alive = feeds.written(ledger)
    assert (bool(known), alive) == (False, 0)


def test_api_server_that_nothing_names(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    configured = settings.Enrich(kubeconfig=str(tmp_path / "nowhere"))
    with pytest.raises(errors.SetupError, match=r"no Kubernetes API: there is no file .*nowhere"):
        feeds.cluster(configured, None, None)
