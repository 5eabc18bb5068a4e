"""Pods, services and the rest, read from manifests."""

from __future__ import annotations

import pytest
import yaml

from model import cluster, enums, errors, manifest

TCP, UDP, SCTP = enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP


def _documents(text: str) -> list[manifest.Document]:
    return [manifest.Document("m.yaml", i, body) for i, body in enumerate(yaml.safe_load_all(text), 1)]


def _read(text: str) -> cluster.Cluster:
    return cluster.read(_documents(text))


POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web-7d4b9-x2x4q
  namespace: shop
  uid: 1-2-3
  labels: {app: web}
  creationTimestamp: 2026-01-31T11:59:00Z
  deletionTimestamp: "2026-01-31T13:00:00.5Z"
  ownerReferences:
  - {apiVersion: v1, kind: ConfigMap, name: not-it}
  - {apiVersion: v1, kind: Machine, name: nor-this, controller: false}
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web-7d4b9, controller: true, uid: 4-5-6}
spec:
  nodeName: node-1
  serviceAccountName: web
  hostNetwork: false
  initContainers:
  - {name: proxy, ports: [{name: admin, containerPort: 15000}]}
  containers:
  - name: web
    image: web:1
    ports:
    - {name: http, containerPort: 8080}
    - {name: dns, containerPort: 53, protocol: UDP}
    - {containerPort: 9, protocol: SCTP}
  - {name: sidecar}
status:
  phase: Running
  startTime: "2026-01-31T12:00:00Z"
  podIP: 10.65.1.7
  podIPs: [{ip: 10.65.1.7}, {ip: "FD00:10:65:1::0007"}]
"""

NOON = 1_769_860_800_000_000_000
CREATED = NOON - 60_000_000_000


def test_pod_with_status() -> None:
    (pod,) = _read(POD).pods
    assert pod == cluster.Pod(
        namespace="shop",
        name="web-7d4b9-x2x4q",
        uid="1-2-3",
        labels={"app": "web"},
        node="node-1",
        addresses=("10.65.1.7", "fd00:10:65:1::7"),
        phase="Running",
        service_account="web",
        owner_kind="ReplicaSet",
        owner_name="web-7d4b9",
        created=CREATED,
        started=NOON,
        deleted=NOON + 3600_500_000_000,
        ports=(
            cluster.ContainerPort(name="http", number=8080, protocol=TCP),
            cluster.ContainerPort(name="dns", number=53, protocol=UDP),
            cluster.ContainerPort(name="", number=9, protocol=SCTP),
            cluster.ContainerPort(name="admin", number=15000, protocol=TCP),
        ),
    )


PENDING = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param(f"{PENDING}}}", {}, id="no status"),
        pytest.param(f"{PENDING}, status: {{phase: Pending}}}}", {"phase": "Pending"}, id="pending"),
        pytest.param(
            f"{PENDING}, status: {{podIP: 10.65.1.8}}}}", {"addresses": ("10.65.1.8",)}, id="a single address"
        ),
        pytest.param(f"{PENDING}, status: {{podIPs: null, podIP: null}}}}", {}, id="nulls"),
    ],
)
def test_pod_without_much(text: str, wanted: dict[str, object]) -> None:
    (pod,) = _read(text).pods
    assert pod == cluster.Pod(**{"namespace": "default", "name": "a", **wanted})


def test_host_network() -> None:
    (pod,) = _read("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true}}").pods
    assert pod.host_network


def test_pod_of_an_owner_that_does_not_control_it_is_bare() -> None:
    owner = "[{kind: Machine, name: m, controller: false}]"
    (pod,) = _read(
        f"{{apiVersion: v1, kind: Pod, metadata: {{name: a, ownerReferences: {owner}}}, spec: {{}}}}"
    ).pods
    assert (pod.owner_kind, pod.owner_name) == ("", "")


def test_namespace_always_has_its_name_as_a_label() -> None:
    (shop,) = _read("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}").namespaces
    assert shop.labels == {"team": "a", "kubernetes.io/metadata.name": "shop"}


def test_node_has_its_internal_and_external_addresses() -> None:
    (node,) = _read("""
apiVersion: v1
kind: Node
metadata: {name: node-1}
status:
  addresses:
  - {type: InternalIP, address: 172.20.0.11}
  - {type: Hostname, address: node-1}
  - {type: ExternalIP, address: "2001:db8::11"}
""").nodes
    assert node == cluster.Node(name="node-1", labels={}, addresses=("172.20.0.11", "2001:db8::11"))


def _service(spec: str, status: str = "{}") -> cluster.Service:
    metadata = "{name: web, namespace: shop}"
    (service,) = _read(
        f"{{apiVersion: v1, kind: Service, metadata: {metadata}, spec: {spec}, status: {status}}}"
    ).services
    return service


@pytest.mark.parametrize(
    ("spec", "status", "addresses"),
    [
        pytest.param("{clusterIP: 10.96.0.1}", "{}", ("10.96.0.1",), id="one address"),
        pytest.param(
            '{clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, "fd00::1"]}',
            "{}",
            ("10.96.0.1", "fd00::1"),
            id="both families",
        ),
        pytest.param("{clusterIP: None, clusterIPs: [None]}", "{}", (), id="headless"),
        pytest.param('{clusterIP: ""}', "{}", (), id="empty"),
        pytest.param("{type: ExternalName, externalName: example.org}", "{}", (), id="external name"),
        pytest.param(
            "{clusterIP: 10.96.0.1}",
            '{loadBalancer: {ingress: [{ip: 192.0.2.80}, {hostname: lb.example.org}, {ip: "2001:db8::80"}]}}',
            ("10.96.0.1", "192.0.2.80", "2001:db8::80"),
            id="load balancer",
        ),
        pytest.param(
            "{clusterIP: 10.96.0.1}", "{loadBalancer: {}}", ("10.96.0.1",), id="no load balancer yet"
        ),
    ],
)
def test_addresses_that_are_dialled_for_a_service(spec: str, status: str, addresses: tuple[str, ...]) -> None:
    assert _service(spec, status).addresses == addresses


@pytest.mark.parametrize(
    ("port", "wanted"),
    [
        pytest.param("{port: 80}", ("", 80, 80, TCP), id="its own target"),
        pytest.param("{name: http, port: 80, targetPort: 8080}", ("http", 80, 8080, TCP), id="a number"),
        pytest.param("{port: 53, targetPort: dns, protocol: UDP}", ("", 53, "dns", UDP), id="a named port"),
    ],
)
def test_service_port(port: str, wanted: tuple[object, ...]) -> None:
    (found,) = _service(f"{{ports: [{port}], selector: {{app: web}}}}").ports
    assert (found.name, found.number, found.target, found.protocol) == wanted


def test_service_without_selector_selects_nothing_itself() -> None:
    assert _service("{clusterIP: None}").selector == {}


@pytest.mark.parametrize("group", ["projectcalico.org/v3", "crd.projectcalico.org/v1"])
def test_network_sets(group: str) -> None:
    found = _read(f"""
apiVersion: {group}
kind: NetworkSet
metadata: {{name: office, namespace: shop, labels: {{peer: office}}}}
spec: {{nets: [192.0.2.7/24, 203.0.113.9]}}
---
apiVersion: {group}
kind: GlobalNetworkSet
metadata: {{name: none}}
""").network_sets
    assert found == (
        cluster.NetworkSet(
            namespace="shop",
            name="office",
            labels={"peer": "office"},
            networks=("192.0.2.0/24", "203.0.113.9/32"),
        ),
        cluster.NetworkSet(namespace="", name="none", labels={}, networks=()),
    )


@pytest.mark.parametrize(
    ("group", "kind"),
    [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("batch/v1", "Job")],
)
def test_workloads(group: str, kind: str) -> None:
    text = f"""
apiVersion: {group}
kind: {kind}
metadata: {{name: web, namespace: shop, labels: {{not: these}}}}
spec:
  replicas: 3
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, ports: [{{name: http, containerPort: 80}}]}}]}}
"""
    (workload,) = _read(text).workloads
    assert (workload.kind, workload.namespace, workload.name, workload.replicas) == (kind, "shop", "web", 3)
    assert workload.template == cluster.Pod(
        namespace="shop",
        name="",
        labels={"app": "web"},
        ports=(cluster.ContainerPort(name="http", number=80, protocol=TCP),),
    )
    assert workload.source.body["kind"] == kind


def test_cron_job_has_the_template_of_its_jobs() -> None:
    (workload,) = _read("""
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup, namespace: shop}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: backup}}, spec: {}}}}}
""").workloads
    assert (workload.kind, workload.name, workload.template.labels) == (
        "CronJob",
        "backup",
        {"app": "backup"},
    )


def test_one_replica_unless_told() -> None:
    (workload,) = _read(
        "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {}}}}"
    ).workloads
    assert (workload.replicas, workload.namespace, workload.template.labels) == (1, "default", {})


def test_other_kinds_are_left_to_others() -> None:
    assert (
        _read("{apiVersion: v1, kind: ConfigMap}\n---\n{apiVersion: x.org/v1, kind: Pod}")
        == cluster.Cluster()
    )


POD_A = "apiVersion: v1, kind: Pod, metadata: {name: a}"
SERVICE_A = "apiVersion: v1, kind: Service, metadata: {name: a}"
DEPLOYMENT_A = "apiVersion: apps/v1, kind: Deployment, metadata: {name: a}"
SET_A = "apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: a}"


def _with_port(port: str) -> str:
    return f"{{{POD_A}, spec: {{containers: [{{ports: [{{{port}}}]}}]}}}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{apiVersion: v1, kind: Pod, spec: {}}", "metadata: is missing", id="no metadata"),
        pytest.param("{apiVersion: v1, kind: Pod, metadata: {}}", "metadata.name: is missing", id="no name"),
        pytest.param(f"{{{POD_A}}}", "spec: is missing", id="no spec"),
        pytest.param(
            "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {x: 1}}, spec: {}}",
            "metadata.labels.x: must be text, is a number",
            id="label",
        ),
        pytest.param(
            f"{{{POD_A}, spec: {{}}, status: {{podIPs: [{{ip: 10.0.0.256}}]}}}}",
            "status.podIPs[0].ip: must be an IP address, is '10.0.0.256'",
            id="pod address",
        ),
        pytest.param(
            f"{{{POD_A}, spec: {{hostNetwork: 'no'}}}}",
            "spec.hostNetwork: must be true or false, is text",
            id="host network",
        ),
        pytest.param(
            _with_port("containerPort: 0"),
            "spec.containers[0].ports[0].containerPort: must lie between 1 and 65535, is 0",
            id="port 0",
        ),
        pytest.param(
            _with_port("containerPort: 1, protocol: tcp"),
            "spec.containers[0].ports[0].protocol: must be one of TCP, UDP, SCTP, is 'tcp'",
            id="protocol",
        ),
        pytest.param(
            f"{{{SERVICE_A}, spec: {{ports: [{{port: eighty}}]}}}}",
            "spec.ports[0].port: must be a whole number, is text",
            id="service port",
        ),
        pytest.param(
            f"{{{SERVICE_A}, spec: {{ports: [{{port: 1, targetPort: 70000}}]}}}}",
            "spec.ports[0].targetPort: must lie between 1 and 65535, is 70000",
            id="target port",
        ),
        pytest.param(
            f"{{{SERVICE_A}, spec: {{clusterIP: x}}}}",
            "spec.clusterIP: must be an IP address, is 'x'",
            id="service address",
        ),
        pytest.param(
            f"{{{SET_A}, spec: {{nets: [10.0.0.0/33]}}}}",
            "spec.nets[0]: must be a CIDR such as 10.0.0.0/8, is '10.0.0.0/33'",
            id="network",
        ),
        pytest.param(f"{{{DEPLOYMENT_A}, spec: {{}}}}", "spec.template: is missing", id="no template"),
        pytest.param(
            f"{{{DEPLOYMENT_A}, spec: {{replicas: -1, template: {{spec: {{}}}}}}}}",
            "spec.replicas: must lie between 0 and 10000, is -1",
            id="replicas",
        ),
    ],
)
def test_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(errors.ManifestError) as caught:
        _read(text)
    assert str(caught.value) == f"m.yaml, document 1: {said}"


PROBED = """
apiVersion: v1
kind: Pod
metadata:
  name: probed-1
  namespace: shop
  generateName: probed-
  annotations: {kubernetes.io/config.mirror: abc}
  deletionTimestamp: 2026-01-31T12:00:30Z
  deletionGracePeriodSeconds: 30
spec:
  containers:
  - name: a
    ports: [{name: http, containerPort: 8080}]
    livenessProbe: {httpGet: {port: http}}
    readinessProbe: {tcpSocket: {port: 9090}}
    startupProbe: {grpc: {port: 9091}}
  - name: b
    livenessProbe: {httpGet: {port: elsewhere}}
  - name: c
    livenessProbe: {exec: {command: [true]}}
status:
  phase: Failed
  conditions:
  - {type: Ready, status: "True", lastTransitionTime: 2026-01-31T11:59:00Z}
  - {type: PodReadyToStartContainers, status: "True", lastTransitionTime: 2026-01-31T12:00:01Z}
  containerStatuses:
  - {state: {terminated: {finishedAt: 2026-01-31T12:00:07Z}}}
  - {state: {terminated: {finishedAt: 2026-01-31T12:00:09Z}}}
"""
SECOND = 1_000_000_000


def test_pod_says_when_it_had_its_address_and_what_asks_how_it_is() -> None:
    (pod,) = _read(PROBED).pods
    assert pod.probe_ports == (8080, 9090, 9091)
    assert (pod.ready, pod.finished) == (NOON + SECOND, NOON + 9 * SECOND)
    assert (pod.deleted, pod.grace) == (NOON + 30 * SECOND, 30 * SECOND)
    assert (pod.generate_name, pod.static) == ("probed-", True)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("{running: {startedAt: 2026-01-31T12:00:03Z}}", id="one still runs"),
        pytest.param("{terminated: {}}", id="one says no time"),
        pytest.param("{waiting: {}}", id="one waits"),
    ],
)
def test_pod_has_not_finished_unless_all_containers_say_when(state: str) -> None:
    (pod,) = _read(PROBED.replace("{terminated: {finishedAt: 2026-01-31T12:00:09Z}}", state)).pods
    assert pod.finished == 0


NODE = """
apiVersion: v1
kind: Node
metadata:
  name: node-1
  uid: 4-5-6
  creationTimestamp: 2026-01-31T12:00:00Z
  labels: {topology.kubernetes.io/zone: zone-a}
  annotations:
    projectcalico.org/IPv4Address: 172.20.0.11/24
    projectcalico.org/IPv4VXLANTunnelAddr: 10.65.1.1
    k3s.io/internal-ip: 172.20.0.11,fd00:172:20::11
    flannel.alpha.coreos.com/backend-type: vxlan
    node.alpha.kubernetes.io/ttl: "0"
spec:
  podCIDRs: [10.42.1.0/24, "fd00:42:1::/64"]
status:
  addresses:
  - {type: InternalIP, address: 172.20.0.11}
  - {type: Hostname, address: node-1}
"""


def test_node_has_the_addresses_of_its_tunnels() -> None:
    (node,) = _read(NODE).nodes
    assert node.addresses == (
        "172.20.0.11", "10.65.1.1", "fd00:172:20::11", "10.42.1.0", "10.42.1.1", "fd00:42:1::",
        "fd00:42:1::1",
    )  # fmt: skip
    assert (node.uid, node.zone, node.created) == ("4-5-6", "zone-a", NOON)


def test_service_has_external_addresses_and_node_ports() -> None:
    text = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, uid: 7-8-9}
spec:
  clusterIPs: [10.96.0.1]
  externalIPs: [192.0.2.1, 10.96.0.1]
  ports: [{port: 80, nodePort: 30080}]
"""
    (service,) = _read(text).services
    assert service.addresses == ("10.96.0.1", "192.0.2.1")
    assert [port.node_port for port in service.ports] == [30080]
    assert service.uid == "7-8-9"


def test_metadata_alone_says_who_owns_it() -> None:
    text = """
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-abc
  namespace: shop
  ownerReferences:
  - {kind: Other, name: no-controller}
  - {kind: Deployment, name: web, controller: true}
"""
    (document,) = _documents(text)
    assert cluster.owned(document) == cluster.Owned(
        kind="ReplicaSet", namespace="shop", name="web-abc", owner_kind="Deployment", owner_name="web"
    )
