"""A cluster at one moment, by each way to it: they say the same."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "enrich" / "kubernetes"))
from apiserver import ApiServer

from cli import known, naming, registrar
from enrich import manifests
from model import errors
from policy import queries
from runtime import metrics, settings
from store import transport

SECOND = 1_000_000_000
ISOLATED = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "isolated", "namespace": "shop"},
    "spec": {"podSelector": {"matchLabels": {"app": "cart"}},
             "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}}],
                          "ports": [{"port": "http"}]}]},
}  # fmt: skip


def _pod(name: str, address: str, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 8080}, {"containerPort": 9000, "protocol": "UDP"}]
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": name}},
        "spec": {"nodeName": "node-1", "serviceAccountName": "sa",
                 "containers": [{"name": "c", "ports": ports}], **spec},
        "status": {"startTime": "2026-01-01T00:00:00Z",
                   "podIPs": [{"ip": address}, {"ip": f"fd00::{address[-1]}"}]},
    }  # fmt: skip


TO_SERVICE = {
    "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
    "metadata": {"name": "to-service", "namespace": "shop"},
    "spec": {"selector": "app == 'till'", "types": ["Egress"], "egress": [
        {"action": "Allow", "destination": {"services": {"name": "cart", "namespace": "shop"}}}]},
}  # fmt: skip
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
    "spec": {"clusterIP": "10.96.0.1", "selector": {"app": "cart"},
             "ports": [{"port": 80, "targetPort": "http"}]},
}  # fmt: skip
HOST = {
    "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": {"name": "node-1-eth0"},
    "spec": {"node": "node-1", "interfaceName": "eth0", "expectedIPs": ["172.20.0.1"]},
}  # fmt: skip


OBJECTS = [
    ISOLATED, TO_SERVICE, SERVICE, HOST,
    _pod("till", "10.0.0.3"), _pod("cart", "10.0.0.2"), _pod("web", "10.0.0.1"),
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "red"}}},
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
     "status": {"addresses": [{"type": "InternalIP", "address": "172.20.0.1"}]}},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    made = tmp_path / "cluster"
    made.mkdir()
    for one in OBJECTS:
        (made / f"{one['kind']}-{one['metadata']['name']}.json").write_text(json.dumps(one))
    return made


class Written:
    """A ledger into which a folder is written."""

    def __init__(self, folder: pathlib.Path, ledger: transport.Transport) -> None:
        measured = metrics.Metrics(prometheus_client.CollectorRegistry())
        named = naming.Naming(measured)
        named.follow(manifests.Folder(folder))
        self.step = registrar.Registrar(named, ledger, measured).step
        self.step()


@pytest.fixture
def written(folder: pathlib.Path, ledger: transport.Transport) -> Written:
    return Written(folder, ledger)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    served = ApiServer()
    served.start()
    yield served
    served.stop()


def _denied(of: known.Known, src: str, dst: str, port: int) -> bool:
    (answer,) = queries.Asker(of.engine()).ask([queries.Query(src=src, dst=dst, port=port)])
    return answer.denied


def _check(of: known.Known) -> None:
    asked = [("shop/web", "shop/cart", 8080), ("shop/web", "shop/cart", 80), ("192.0.2.1", "shop/cart", 8080),
             ("192.0.2.1", "shop/web", 80), ("172.20.0.1", "shop/cart", 80),
             ("shop/till", "shop/cart", 8080), ("shop/till", "shop/web", 8080),
             ("192.0.2.1", "172.20.0.1", 80), ("192.0.2.1", "172.20.0.1", 22)]  # fmt: skip
    assert [_denied(of, *one) for one in asked] == [
        False, True, True, False, False, False, True, True, False
    ]  # fmt: skip


def test_folder(folder: pathlib.Path) -> None:
    _check(known.manifests(folder))


def test_ledger(written: Written, url: str) -> None:
    of = known.ledger(url)
    _check(of)
    (cart,) = (pod for pod in of.cluster.pods if pod.name == "cart")
    assert (cart.addresses, cart.labels, cart.service_account) == (
        ("10.0.0.2", "fd00::2"),
        {"app": "cart"},
        "sa",
    )


def test_api_server(server: ApiServer, tmp_path: pathlib.Path) -> None:
    places = {"Pod": "/api/v1/pods", "Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes",
              "Service": "/api/v1/services"}  # fmt: skip
    server.served["/apis/projectcalico.org/v3"] = {
        "networkpolicies": "NetworkPolicy", "hostendpoints": "HostEndpoint"
    }  # fmt: skip
    for one in OBJECTS:
        of_calico = f"/apis/{one['apiVersion']}/{one['kind'].lower().replace('policy', 'policie')}s"
        server.apply(places.get(one["kind"], of_calico), one)
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server.url}}],
        "users": [{"name": "here", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
    }  # fmt: skip
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    _check(known.api_server(settings.Enrich(kubeconfig=str(tmp_path / "kubeconfig"))))


def test_ledger_as_it_was(written: Written, folder: pathlib.Path, url: str) -> None:
    before = time.time_ns()
    time.sleep(0.01)
    (folder / "NetworkPolicy-isolated.json").unlink()
    written.step()
    assert not _denied(known.ledger(url), "192.0.2.1", "shop/cart", 8080)
    assert _denied(known.ledger(url, before), "192.0.2.1", "shop/cart", 8080)


def test_ledger_knows_cron_jobs_and_that_no_verdict_follows_from_them(
    written: Written, folder: pathlib.Path, url: str
) -> None:
    before = known.ledger(url)
    spec = {"jobTemplate": {"spec": {"template": {"spec": {"serviceAccountName": "sa", "containers": []}}}}}
    for schedule in ("0 3 * * *", "0 4 * * *"):
        job = {
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "backup", "namespace": "shop"},
            "spec": {**spec, "schedule": schedule},
        }  # fmt: skip
        (folder / "CronJob-backup.json").write_text(json.dumps(job))
        written.step()
    of = known.ledger(url)
    _check(of)
    (backup,) = of.cluster.workloads
    assert (backup.kind, backup.namespace, backup.name) == ("CronJob", "shop", "backup")
    assert backup.template.service_account == "sa"
    assert backup.source.body["spec"] == {**spec, "schedule": "0 4 * * *"}
    assert (of.changed, of.since) == (before.changed, before.since)


def test_ledger_without_names_says_so(ledger: transport.Transport, url: str) -> None:
    with pytest.raises(errors.SetupError, match="knows no policies: run flowledger watch"):
        known.ledger(url)


def test_ledger_before_its_names_says_so(written: Written, url: str) -> None:
    with pytest.raises(errors.SetupError, match="no pod that was there then: its names begin later"):
        known.ledger(url, SECOND)


def test_workload_without_pods_stands_for_itself(tmp_path: pathlib.Path) -> None:
    template = {"metadata": {"labels": {"app": "till"}}, "spec": {"containers": []}}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "till", "namespace": "shop"},
        "spec": {"replicas": 3, "template": template},
    }  # fmt: skip
    owned = _pod("web-5d9c-x", "10.0.0.1")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9c", "uid": "r", "controller": True}
    ]
    running = {**deployment, "metadata": {"name": "web", "namespace": "shop"}}
    (tmp_path / "a.json").write_text(json.dumps({"kind": "List", "items": [deployment, running, owned]}))
    assert [(pod.name, pod.labels, pod.addresses) for pod in known.manifests(tmp_path).cluster.pods] == [
        ("web-5d9c-x", {"app": "web-5d9c-x"}, ("10.0.0.1", "fd00::1")),
        ("till", {"app": "till"}, ("240.0.0.1", "100::1")),
    ]


@pytest.mark.parametrize(
    ("ended", "stands"),
    [
        pytest.param({"phase": "Succeeded"}, True, id="succeeded"),
        pytest.param({"phase": "Failed"}, True, id="failed"),
        pytest.param({"deletionTimestamp": "2026-01-02T00:00:00Z"}, True, id="deleted"),
        pytest.param({"phase": "Pending", "podIPs": []}, True, id="without an address"),
        pytest.param({}, False, id="running"),
    ],
)
def test_workload_whose_pods_have_ended_stands_for_itself(
    tmp_path: pathlib.Path, ended: dict[str, Any], stands: bool
) -> None:
    """Or a policy for the pods of a CronJob would seem to select nothing between two runs."""
    template = {"metadata": {"labels": {"app": "backup"}}, "spec": {"containers": []}}
    job = {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "backup", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": template}}},
    }  # fmt: skip
    pod = _pod("backup-29-x", "10.0.0.1")
    pod["metadata"]["ownerReferences"] = [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "backup-29", "uid": "j", "controller": True}
    ]
    pod["metadata"] |= {name: value for name, value in ended.items() if name == "deletionTimestamp"}
    pod["status"] |= {name: value for name, value in ended.items() if name != "deletionTimestamp"}
    (tmp_path / "a.json").write_text(json.dumps({"kind": "List", "items": [job, pod]}))
    judged = [one.name for one in known.manifests(tmp_path).engine().world.pods]
    assert judged == (["backup"] if stands else ["backup-29-x"])


def test_address_that_is_a_node_s_too_is_no_service_s(tmp_path: pathlib.Path) -> None:
    """As a load balancer without one of its own has it."""
    balanced = {**SERVICE, "status": {"loadBalancer": {"ingress": [{"ip": "172.20.0.1"}]}}}
    for one in (balanced, OBJECTS[-1]):
        (tmp_path / f"{one['kind']}.json").write_text(json.dumps(one))
    of = known.manifests(tmp_path)
    assert set(of.services.values()) == {"shop/cart"}
    known.require_judged(of.services, "172.20.0.1")
    with pytest.raises(errors.SetupError, match="address of service shop/cart"):
        known.require_judged(of.services, "10.96.0.1")
