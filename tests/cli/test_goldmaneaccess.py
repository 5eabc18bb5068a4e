"""How Goldmane is got at: files, secrets, and the whole way from its server to the ledger."""

from __future__ import annotations

import base64
import dataclasses
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "collector" / "goldmane"))
import goldmanelike

from cli import goldmaneaccess
from collector.goldmane import client
from model import errors
from runtime import component, metrics, settings
from store import transport

SECRET = "/api/v1/namespaces/flowledger/secrets/goldmane"
BUNDLE = "/api/v1/namespaces/calico-system/configmaps/goldmane-ca-bundle"
PATIENCE_SECONDS = 60.0


class Api:
    """An API server with a few objects."""

    def __init__(self, **objects: dict[str, Any]) -> None:
        self.objects: dict[str, dict[str, Any]] = objects

    def get(self, path: str, *, seconds: float) -> dict[str, Any]:
        if path not in self.objects:
            raise errors.ApiError(f"GET {path}: 404 not found", refusal=errors.Refusal.ABSENT)
        return {"data": self.objects[path]}


@pytest.fixture(scope="module")
def authority() -> goldmanelike.Authority:
    return goldmanelike.Authority()


@pytest.fixture
def api(authority: goldmanelike.Authority) -> Any:
    shown = authority.client()
    made = Api()
    made.objects[SECRET] = {"tls.crt": encoded(shown.certificate), "tls.key": encoded(shown.key)}
    made.objects[BUNDLE] = {"tigera-ca-bundle.crt": authority.pem.decode(), "ca-bundle.crt": "all the world"}
    return made


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


OF_SECRET = settings.Goldmane(secret="flowledger/goldmane")


def test_files_are_read_each_time(
    authority: goldmanelike.Authority, tmp_path: pathlib.Path, api: Any
) -> None:
    certificate, key, ca = goldmanelike.write(tmp_path, authority.client())
    read = goldmaneaccess.credentials(settings.Goldmane(certificate=certificate, key=key, ca=ca), api)
    renewed = authority.client()
    goldmanelike.write(tmp_path, renewed)
    assert read() == renewed


def test_secret_is_read_each_time(authority: goldmanelike.Authority, api: Any) -> None:
    read = goldmaneaccess.credentials(OF_SECRET, api)
    assert read().authorities == authority.pem
    renewed = authority.client()
    api.objects[SECRET] = {
        "tls.crt": encoded(renewed.certificate), "tls.key": encoded(renewed.key),
        "ca.crt": encoded(b"# ours\n" + authority.pem),
    }  # fmt: skip
    assert read() == dataclasses.replace(renewed, authorities=b"# ours\n" + authority.pem)


def test_file_of_authorities_wins(
    authority: goldmanelike.Authority, tmp_path: pathlib.Path, api: Any
) -> None:
    other = tmp_path / "ca.crt"
    other.write_bytes(authority.pem + authority.pem)
    read = goldmaneaccess.credentials(dataclasses.replace(OF_SECRET, ca=str(other)), api)
    assert read().authorities == authority.pem + authority.pem


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        (settings.Goldmane(), "name its secret with --goldmane-secret NAMESPACE/NAME, or files with"),
        (settings.Goldmane(certificate="/c", key="/k"), "--goldmane-ca"),
        (settings.Goldmane(certificate="/no/c", key="/no/k", ca="/no/a"), "cannot read /no/c: No such file"),
        (settings.Goldmane(secret="goldmane"), "--goldmane-secret is NAMESPACE/NAME, not 'goldmane'"),
        (
            settings.Goldmane(secret="a/b", ca_config_map="a/b/c"),
            "--goldmane-ca-config-map is NAMESPACE/NAME",
        ),
    ],
)
def test_settings_that_name_no_certificate_are_refused(
    configured: settings.Goldmane, said: str, api: Any
) -> None:
    with pytest.raises(errors.SetupError) as caught:
        goldmaneaccess.credentials(configured, api)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "no certificate in PEM in flowledger/goldmane tls.crt"),
        ({"tls.crt": "###"}, "tls.crt of the secret flowledger/goldmane is not base64"),
    ],
)
def test_secret_without_a_certificate_is_named(data: dict[str, Any], said: str, api: Any) -> None:
    api.objects[SECRET] = data
    with pytest.raises(errors.SetupError) as caught:
        goldmaneaccess.credentials(OF_SECRET, api)()
    assert said in str(caught.value)


def test_secret_that_is_not_there_is_the_api_server_s_word(api: Any) -> None:
    api.objects.clear()
    with pytest.raises(errors.ApiError, match="secrets/goldmane: 404"):
        goldmaneaccess.credentials(OF_SECRET, api)()


@pytest.fixture
def group() -> Iterator[component.Group]:
    made = component.Group()
    yield made
    made.stop()


def test_flows_come_from_goldmane_into_the_ledger(
    authority: goldmanelike.Authority, api: Any, ledger: transport.Transport, group: component.Group
) -> None:
    """With the certificate of a secret, by the clock of this machine."""
    goldmane = goldmanelike.Goldmane(authority).start()
    start = int(time.time()) // 15 * 15 - 300
    for place in range(0, 150, 15):
        goldmane.add(start + place, goldmanelike.key("cart-*"), 2, source_labels=["app=cart"])
        goldmane.add(start + place, goldmanelike.key("cart-*", reporter=1), 2)
    measured = metrics.Metrics(prometheus_client.CollectorRegistry())
    configured = dataclasses.replace(OF_SECRET, address=goldmane.address, server_name=client.SERVER_NAME)
    made = goldmaneaccess.start(group, configured, api, ledger, measured, leads=lambda: True)
    counted: Any = None
    limit = time.monotonic() + PATIENCE_SECONDS
    while counted != [{"packets": 20, "rows": 20}] and time.monotonic() < limit:
        sql = (
            "SELECT (SELECT sum(forward_packets) FROM flows_counted) AS packets, "
            "(SELECT count() FROM flows WHERE origin = 'goldmane') AS rows"
        )
        counted = ledger.query(sql, {}).to_pylist()
        time.sleep(0.05)
    assert counted == [{"packets": 20, "rows": 20}]
    assert made.check() == ""
    goldmane.stop()
