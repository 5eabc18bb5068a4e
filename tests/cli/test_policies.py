"""Policies as the collector needs them, followed by their revisions."""

from __future__ import annotations

from typing import Any

import prometheus_client
import pytest

from cli import policies
from enrich import changes, history, lives
from model import errors, manifest
from runtime import metrics


class Cluster:
    """Objects, and what is understood of them."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self.policies = policies.Policies(metrics.Metrics(self.registry))
        self._history = history.History(lives.Clock())
        self._at = 0

    def news(self, *bodies: dict[str, Any], gone: bool = False) -> changes.Changes:
        self._at += 1_000_000_000
        for body in bodies:
            document = manifest.Document("f", 1, body)
            (self._history.gone if gone else self._history.changed)(document, self._at)
        return self._history.news()

    def take(self, *bodies: dict[str, Any], gone: bool = False) -> None:
        self.policies.take(self.news(*bodies, gone=gone).revisions)

    def refused(self, kind: str) -> float | None:
        return self.registry.get_sample_value("flowledger_enrich_refused_objects_total", {"kind": kind})


def _policy(name: str = "deny", action: str = "Deny") -> dict[str, Any]:
    spec = {"types": ["Ingress"], "ingress": [{"action": action}]}
    return {"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec}  # fmt: skip


PREFIX = "DPI0|np/shop/deny"


def test_policies_come_change_and_go() -> None:
    cluster = Cluster()
    cluster.take(_policy())
    assert PREFIX in cluster.policies.known().prefixes
    cluster.take(_policy(action="Allow"))
    assert PREFIX not in cluster.policies.known().prefixes
    assert "API0|np/shop/deny" in cluster.policies.known().prefixes
    cluster.take(_policy(action="Allow"), gone=True)
    assert "API0|np/shop/deny" not in cluster.policies.known().prefixes


def test_policy_that_breaks_keeps_its_last_good_content() -> None:
    cluster = Cluster()
    cluster.take(_policy())
    cluster.take(_policy(action="Perhaps"), _policy("other"))
    assert {PREFIX, "DPI0|np/shop/other"} <= cluster.policies.known().prefixes.keys()
    assert cluster.refused("NetworkPolicy") == 1


def test_policy_that_came_and_went_at_once_is_not_in_force() -> None:
    """Both words about it come together; and so they do after a restart, what was written before what is."""
    cluster = Cluster()
    came = cluster.news(_policy())
    gone = cluster.news(_policy(), gone=True)
    cluster.policies.take(changes.joined(came, gone).revisions)
    assert PREFIX not in cluster.policies.known().prefixes


def test_kind_that_is_not_understood_keeps_no_other_away() -> None:
    cluster = Cluster()
    odd = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Tier",
        "metadata": {"name": "odd"},
        "spec": {"x": 1},
    }
    cluster.take(odd, _policy())
    assert PREFIX in cluster.policies.known().prefixes
    assert cluster.refused("Tier") == 1


def test_what_is_required_has_to_be_understood() -> None:
    cluster = Cluster()
    cluster.policies.require(cluster.news(_policy()).revisions)
    with pytest.raises(errors.ManifestError, match="Perhaps"):
        cluster.policies.require(cluster.news(_policy("b", "Perhaps")).revisions)


def test_nothing_is_given_while_one_is_not_understood() -> None:
    """A kind that takes part in verdicts and that is not ours, or a policy that never was right."""
    cluster = Cluster()
    cluster.take(_policy())
    before = cluster.policies.given()
    broken = _policy("other")
    cluster.take({**broken, "spec": {"typos": []}})
    assert cluster.policies.given().serial == -1
    cluster.take(broken)
    after = cluster.policies.given()
    assert after.serial > before.serial > 0
    assert (len(list(after.policies("shop"))), after.changed > before.changed) == (2, True)


def test_accounts_without_labels_say_nothing() -> None:
    cluster = Cluster()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "shop"}}
    cluster.take(account)
    assert not list(cluster.policies.given().around())
    cluster.take({**account, "metadata": {**account["metadata"], "labels": {"team": "red"}}})
    assert len(list(cluster.policies.given().around())) == 1


def test_what_is_said_again_changes_nothing() -> None:
    """A feed says the last minute twice, so that nothing is missed."""
    cluster = Cluster()
    news = cluster.news(_policy())
    cluster.policies.take(news.revisions)
    before = cluster.policies.given()
    cluster.policies.take(news.revisions)
    assert (cluster.policies.given().serial, before.serial) == (1, 1)


def test_content_that_breaks_is_not_what_is_in_force() -> None:
    """Nobody knows what its cluster makes of it."""
    cluster = Cluster()
    cluster.take(_policy())
    cluster.take(_policy(action="Perhaps"))
    assert cluster.policies.given().serial == -1
    cluster.take(_policy(action="Perhaps"), gone=True)
    assert cluster.policies.given().serial > 0
    assert not list(cluster.policies.given().policies("shop"))


MADE_BY_HAND = {
    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
    "metadata": {"name": "web-1", "namespace": "shop"}, "endpoints": [{"addresses": ["203.0.113.9"]}],
}  # fmt: skip
CRON_JOB = {
    "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "backup", "namespace": "shop"},
    "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}},
}  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(MADE_BY_HAND, id="what is behind services"),
        pytest.param(CRON_JOB, id="when pods come"),
    ],
)
def test_what_says_nothing_about_rules_is_left_alone(body: dict[str, Any]) -> None:
    cluster = Cluster()
    news = cluster.news(body)
    assert len(news.revisions) == 1
    cluster.policies.take(news.revisions)
    assert cluster.policies.given().serial == 0


def test_what_ended_unheard_of_has_changed_something(cluster_with_history: Cluster) -> None:
    """After a restart: what began before its end was judged by it."""
    assert cluster_with_history.policies.given().changed == 2_000_000_000


@pytest.fixture
def cluster_with_history() -> Cluster:
    """One that hears at once that a policy came and went."""
    cluster = Cluster()
    came = cluster.news(_policy())
    gone = cluster.news(_policy(), gone=True)
    cluster.policies.take(changes.joined(came, gone).revisions)
    return cluster


def test_host_endpoint_that_cannot_be_read_is_refused() -> None:
    cluster = Cluster()
    cluster.take({
        "apiVersion": "crd.projectcalico.org/v1", "kind": "HostEndpoint", "metadata": {"name": "bad"},
        "spec": {"interfaceName": "eth0"},
    })  # fmt: skip
    assert cluster.policies.given().serial <= 0
    assert not list(cluster.policies.given().around())
