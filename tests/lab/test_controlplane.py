"""The lab's control plane: what it gives to pods, and that it publishes what it knows."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from lab import controlplane
from model import cluster, errors, manifest


def _workload(kind: str, name: str, replicas: int = 1) -> dict[str, object]:
    container = {"name": name, "ports": [{"name": "http", "containerPort": 80}]}
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": replicas, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [container]},
        }},
    }  # fmt: skip


@pytest.fixture
def control(tmp_path: pathlib.Path) -> controlplane.ControlPlane:
    given = tmp_path / "given" / "below"
    given.mkdir(parents=True)
    workloads = [
        _workload("Deployment", "web", 3),
        _workload("StatefulSet", "db", 2),
        _workload("Job", "report"),
    ]
    (given / "workloads.yaml").write_text(yaml.dump_all(workloads))
    return controlplane.ControlPlane(given.parent, tmp_path / "state" / "cluster")


def _published(control: controlplane.ControlPlane) -> cluster.Cluster:
    """What a reader of the published folder knows."""
    return cluster.read(manifest.load(control._published))


def test_initial_pods_are_named_as_controllers_do(control: controlplane.ControlPlane) -> None:
    letters = "[bcdfghjklmnpqrstvwxz2456789]"
    expected = [*[rf"web-{letters}{{10}}-{letters}{{5}}"] * 3, "db-0", "db-1", rf"report-{letters}{{5}}"]
    pods = control.initial()
    for pod, pattern in zip(pods, expected, strict=True):
        assert re.fullmatch(pattern, pod.name)
    assert len({pod.name for pod in pods}) == len({pod.uid for pod in pods}) == 6


def test_pods_of_a_deployment_share_its_replica_set(control: controlplane.ControlPlane) -> None:
    pods = control.initial()
    owners = [(pod.owner_kind, pod.owner_name) for pod in pods]
    (template,) = {pod.labels["pod-template-hash"] for pod in pods[:3]}
    assert owners == [("ReplicaSet", f"web-{template}")] * 3 + [("StatefulSet", "db")] * 2 + [
        ("Job", "report")
    ]
    assert pods[0].labels == {"app": "web", "pod-template-hash": template}
    assert pods[3].labels == {"app": "db"}


def test_pods_are_spread_over_nodes(control: controlplane.ControlPlane) -> None:
    assert [pod.node for pod in control.initial()] == ["node-1", "node-2"] * 3


def test_no_two_pods_share_an_address(control: controlplane.ControlPlane) -> None:
    """Beyond nine, where IPv6 goes on in hexadecimal."""
    pods = [*control.initial(), *(control.new_pod(control.workload("shop/web")) for _ in range(20))]
    here = [pod.addresses for pod in pods if pod.node == "node-1"]
    assert here == [(f"10.65.1.{n}", f"fd00:10:65:1::{n:x}") for n in range(2, 15)]
    taken = {address for node in controlplane.NODES for address in (*node.addresses, *node.tunnel)}
    assert len(taken | {address for pod in pods for address in pod.addresses}) == len(taken) + 2 * len(pods)


def test_pod_in_place_of_another_has_its_address(control: controlplane.ControlPlane) -> None:
    web = control.initial()[0]
    report = control.new_pod(control.workload("shop/report"), like=web)
    assert (report.node, report.addresses) == (web.node, web.addresses)
    assert (report.owner_name, report.name == web.name) == ("report", False)


def test_published_state_is_the_state(control: controlplane.ControlPlane) -> None:
    for pod in control.initial():
        control.run(pod)
    state, published = control.state, _published(control)
    assert sorted(published.pods, key=lambda p: p.uid) == sorted(state.pods, key=lambda p: p.uid)
    assert [(node.name, node.addresses) for node in published.nodes] == [
        (node.name, (*node.addresses, *node.tunnel)) for node in controlplane.NODES
    ]
    assert (
        [w.name for w in published.workloads] == [w.name for w in state.workloads] == ["web", "db", "report"]
    )


def test_life_of_a_pod_is_published(control: controlplane.ControlPlane) -> None:
    new = control.initial()[0]
    assert _published(control).pods == control.state.pods == ()
    running = control.run(new)
    assert _published(control).pods == control.state.pods == (running,)
    gone = control.finish(running)
    assert control.state.pods == ()
    assert _published(control).pods == (gone,)
    assert 0 == new.started < gone.started < gone.deleted
    assert (gone.name, gone.phase) == (new.name, "Succeeded")


def test_only_whole_files_are_published(control: controlplane.ControlPlane) -> None:
    """A file is written under a name that no reader takes, and then renamed."""
    pod = control.run(control.initial()[0])
    assert sorted(file.name for file in control._published.iterdir()) == [
        "nodes.json", f"pod-shop-{pod.name}.json", "workloads.yaml",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        pytest.param(0, "1970-01-01T00:00:00.000000000Z", id="beginning"),
        pytest.param(1, "1970-01-01T00:00:00.000000001Z", id="a nanosecond"),
        pytest.param(1_767_225_599_999_999_999, "2025-12-31T23:59:59.999999999Z", id="last of a year"),
    ],
)
def test_time_is_published_to_the_nanosecond(nanoseconds: int, text: str) -> None:
    assert controlplane._rfc3339(nanoseconds) == text


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        pytest.param("", errors.SetupError, "there is no workload in", id="nothing to run"),
        pytest.param("kind: [", errors.ManifestError, r"m\.yaml, document 1", id="no YAML"),
    ],
)
def test_wrong_manifests_publish_nothing(
    tmp_path: pathlib.Path, text: str, error: type[Exception], said: str
) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(error, match=said):
        controlplane.ControlPlane(tmp_path, tmp_path / "cluster")
    assert not (tmp_path / "cluster").exists()
