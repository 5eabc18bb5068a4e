"""Whose pod it is, as Kubernetes' controllers name what they make."""

from __future__ import annotations

from typing import Any

import pytest

from enrich import workload
from model import cluster

HASH = "6b7f9c4d5"


@pytest.mark.parametrize(
    ("kind", "name", "template", "owner"),
    [
        pytest.param("", "", HASH, ("Pod", "p"), id="bare pod"),
        pytest.param("ReplicaSet", f"web-{HASH}", HASH, ("Deployment", "web"), id="Deployment"),
        pytest.param("ReplicaSet", f"a-{HASH}-{HASH}", HASH, ("Deployment", f"a-{HASH}"), id="hash twice"),
        pytest.param("ReplicaSet", "web-7", HASH, ("ReplicaSet", "web-7"), id="another hash"),
        pytest.param("ReplicaSet", f"web{HASH}", HASH, ("ReplicaSet", f"web{HASH}"), id="hash without dash"),
        pytest.param("ReplicaSet", "web-", "", ("ReplicaSet", "web-"), id="no hash"),
        pytest.param("Rollout", f"web-{HASH}", HASH, ("Rollout", f"web-{HASH}"), id="another controller"),
        pytest.param("Job", "backup-29456700", "", ("CronJob", "backup"), id="CronJob"),
        pytest.param("Job", "backup-2945670000", "", ("CronJob", "backup"), id="CronJob's ten digits"),
        pytest.param("Job", "backup", "", ("Job", "backup"), id="Job"),
        pytest.param("Job", "backup-1234567", "", ("Job", "backup-1234567"), id="too few digits"),
        pytest.param("Job", "backup-29456700-x", "", ("Job", "backup-29456700-x"), id="digits in the middle"),
        pytest.param("StatefulSet", "db-29456700", "", ("StatefulSet", "db-29456700"), id="StatefulSet"),
        pytest.param("DaemonSet", "agent", "", ("DaemonSet", "agent"), id="DaemonSet"),
    ],
)
def test_owner(kind: str, name: str, template: str, owner: tuple[str, str]) -> None:
    labels = {"pod-template-hash": template} if template else {}
    pod = cluster.Pod(namespace="shop", name="p", labels=labels, owner_kind=kind, owner_name=name)
    assert workload.owner(pod) == owner


def _owned(kind: str, name: str, *owner: str) -> cluster.Owned:
    top = owner or ("", "")
    return cluster.Owned(kind=kind, namespace="shop", name=name, owner_kind=top[0], owner_name=top[1])


@pytest.mark.parametrize(
    ("kind", "name", "between", "owner"),
    [
        pytest.param(
            "ReplicaSet",
            "web-1",
            _owned("ReplicaSet", "web-1", "Deployment", "web"),
            ("Deployment", "web"),
            id="Deployment",
        ),
        pytest.param(
            "ReplicaSet",
            "web-1",
            _owned("ReplicaSet", "web-1", "Rollout", "web"),
            ("Rollout", "web"),
            id="custom kind on top",
        ),
        pytest.param(
            "ReplicaSet",
            f"web-{HASH}",
            _owned("ReplicaSet", f"web-{HASH}"),
            ("ReplicaSet", f"web-{HASH}"),
            id="nobody on top, whatever its name",
        ),
        pytest.param(
            "Job", "a-29456700", _owned("Job", "a-29456700", "CronJob", "a"), ("CronJob", "a"), id="CronJob"
        ),
        pytest.param(
            "Job",
            "a-29456700",
            _owned("Job", "a-29456700", "Workflow", "flow"),
            ("Workflow", "flow"),
            id="custom kind of a Job",
        ),
        pytest.param(
            "Job", "a-29456700", _owned("Job", "a-29456700"), ("Job", "a-29456700"), id="Job with a number"
        ),
        pytest.param(
            "Job",
            "a",
            _owned("ReplicaSet", "a", "Deployment", "b"),
            ("Job", "a"),
            id="another kind of that name",
        ),
        pytest.param(
            "StatefulSet", "db", _owned("StatefulSet", "other"), ("StatefulSet", "db"), id="StatefulSet"
        ),
    ],
)
def test_known_owner_names_the_workload(
    kind: str, name: str, between: cluster.Owned, owner: tuple[str, str]
) -> None:
    pod = cluster.Pod(
        namespace="shop", name="p", labels={"pod-template-hash": HASH}, owner_kind=kind, owner_name=name
    )
    known = {(between.kind, between.namespace, between.name): between}
    assert workload.owner(pod, known) == owner


@pytest.mark.parametrize(
    ("name", "more", "owner"),
    [
        pytest.param(
            "kube-proxy-node-1",
            {"static": True, "node": "node-1", "owner_kind": "Node", "owner_name": "node-1"},
            ("Pod", "kube-proxy"),
            id="static pod",
        ),
        pytest.param("runner-x7k2p", {"generate_name": "runner-"}, ("Pod", "runner"), id="generated name"),
        pytest.param(
            "runner-x7k2pq",
            {"generate_name": "runner-"},
            ("Pod", "runner-x7k2pq"),
            id="not by the API server",
        ),
        pytest.param("other-x7k2p", {"generate_name": "runner-"}, ("Pod", "other-x7k2p"), id="another name"),
        pytest.param("x7k2p", {"generate_name": "-"}, ("Pod", "x7k2p"), id="nothing in common"),
    ],
)
def test_pod_that_nobody_owns(name: str, more: dict[str, Any], owner: tuple[str, str]) -> None:
    assert workload.owner(cluster.Pod(namespace="shop", name=name, **more)) == owner
