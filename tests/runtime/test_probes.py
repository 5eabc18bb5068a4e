"""/metrics, /healthz and /readyz, asked over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import prometheus_client
import pytest

from model import errors
from runtime import metrics, probes


class Served:
    """Probes whose checks say what the test wants."""

    def __init__(self) -> None:
        registry = prometheus_client.CollectorRegistry()
        self.measured = metrics.Metrics(registry)
        self.alive = {"ledger": "", "disk": ""}
        self.ready = {"node-1": ""}
        self.probes = probes.Probes(
            "127.0.0.1", 0, registry,
            alive={name: (lambda name=name: self.alive[name]) for name in self.alive},
            ready={name: (lambda name=name: self.ready[name]) for name in self.ready},
        )  # fmt: skip
        self.probes.start()

    def ask(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.probes.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.probes.stop()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthz?verbose"])
def test_well(served: Served, path: str) -> None:
    assert served.ask(path) == (200, "ok\n")


def test_not_alive_says_why(served: Served) -> None:
    served.alive["disk"] = "full"
    assert served.ask("/healthz") == (503, "disk: full\n")
    assert served.ask("/readyz") == (503, "disk: full\n")
    served.alive["ledger"] = "gone"
    assert served.ask("/healthz") == (503, "ledger: gone\ndisk: full\n")


def test_not_ready_is_still_alive_and_may_recover(served: Served) -> None:
    served.ready["node-1"] = "StoreError: no"
    assert served.ask("/healthz") == (200, "ok\n")
    assert served.ask("/readyz") == (503, "node-1: StoreError: no\n")
    served.ready["node-1"] = ""
    assert served.ask("/readyz") == (200, "ok\n")


def test_metrics_are_as_they_are_now(served: Served) -> None:
    served.measured.unmatched.labels("n").inc(7)
    status, text = served.ask("/metrics")
    assert status == 200
    assert 'flowledger_collector_unmatched_attempts_total{node="n"} 7.0\n' in text


@pytest.mark.parametrize("path", ["/", "/metrics/", "/health"])
def test_other_paths_are_not_there(served: Served, path: str) -> None:
    assert served.ask(path) == (404, "there are /metrics, /healthz and /readyz\n")


def test_taken_port_names_the_flag(served: Served) -> None:
    said = rf"127\.0\.0\.1:{served.probes.port}: .*; choose another with --metrics-port"
    with pytest.raises(errors.SetupError, match=said):
        probes.Probes(
            "127.0.0.1", served.probes.port, prometheus_client.CollectorRegistry(), alive={}, ready={}
        )


@pytest.mark.parametrize("started", [True, False], ids=["started", "never started"])
def test_port_is_given_back(started: bool) -> None:
    registry = prometheus_client.CollectorRegistry()
    first = probes.Probes("127.0.0.1", 0, registry, alive={}, ready={})
    if started:
        first.start()
    first.stop()
    probes.Probes("127.0.0.1", first.port, registry, alive={}, ready={}).stop()
