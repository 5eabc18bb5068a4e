"""The metrics of a process: names by Prometheus' rules, and never too many series."""

from __future__ import annotations

import re

import prometheus_client
import pytest
from prometheus_client import metrics_core

from runtime import metrics


@pytest.fixture
def measured() -> metrics.Metrics:
    return metrics.Metrics(prometheus_client.CollectorRegistry())


FAMILIES = list(metrics.Metrics(prometheus_client.CollectorRegistry()).registry.collect())

OTHER_UNITS = re.compile(r"(milli|micro|nano)|_(ms|us|ns|minutes|hours|kb|kib|mb|mib|bits|percent)(_|$)")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_name_is_by_the_rules(family: metrics_core.Metric) -> None:
    """https://prometheus.io/docs/practices/naming: our prefix, base units, no unit that is not one."""
    assert re.fullmatch(r"flowledger_[a-z]+(_[a-z]+)*", family.name)
    assert not OTHER_UNITS.search(family.name)
    assert family.documentation.endswith(".")
    if family.type == "histogram":
        assert family.name.endswith(("_seconds", "_bytes"))
    if family.type == "gauge":
        assert not family.name.endswith("_total")


def test_counters_are_exposed_as_totals(measured: metrics.Metrics) -> None:
    measured.flows.labels("n", "denied").inc(3)
    assert measured.registry.get_sample_value(
        "flowledger_collector_flows_total", {"node": "n", "verdict": "denied"}
    ) == 3  # fmt: skip
    text = prometheus_client.generate_latest(measured.registry).decode()
    counters = re.findall(r"(?m)^# TYPE (\S+) counter$", text)
    assert counters
    assert all(name.endswith("_total") for name in counters)


def test_no_label_names_a_pod_an_address_or_a_port(measured: metrics.Metrics) -> None:
    known = {
        "node",
        "verdict",
        "namespace",
        "direction",
        "source",
        "result",
        "table",
        "reason",
        "kind",
        "event",
    }
    own = [value for value in vars(measured).values() if hasattr(value, "_labelnames")]
    assert len(own) == len(FAMILIES)
    assert {label for metric in own for label in metric._labelnames} <= known


def test_namespaces_are_capped(measured: metrics.Metrics) -> None:
    names = [f"ns-{n}" for n in range(10_000)]
    for name in [*names, *names]:
        measured.denied.labels(measured.namespace(name), "ingress").inc()
    samples = [
        sample for family in measured.registry.collect() for sample in family.samples
        if sample.name == "flowledger_denied_connections_total"
    ]  # fmt: skip
    values = {sample.labels["namespace"]: sample.value for sample in samples}
    assert len(values) == 201
    assert values["ns-0"] == 2
    assert values["other"] == 2 * (10_000 - 200)
    assert sum(values.values()) == 20_000


def test_two_processes_metrics_are_apart(measured: metrics.Metrics) -> None:
    other = metrics.Metrics(prometheus_client.CollectorRegistry())
    other.unmatched.labels("n").inc()
    assert measured.registry.get_sample_value(
        "flowledger_collector_unmatched_attempts_total", {"node": "n"}
    ) is None  # fmt: skip
