"""Whose pod it is, as Kubernetes' controllers name what they make."""

from __future__ import annotations

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
