"""What a folder of manifests says about addresses, and how it is read again."""

from __future__ import annotations

import json
import logging
import os
import pathlib

import pytest

from enrich import changes, identity, manifests, networknames, services
from model import address, enums, errors
from runtime import logs

SECOND = 1_000_000_000
STARTED = 1_767_225_600 * SECOND  # 2026-01-01
TCP, UDP = enums.Protocol.TCP.value, enums.Protocol.UDP.value


def _pod(
    name: str = "web-0", *, metadata: object = (), spec: object = (), **status: object
) -> dict[str, object]:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": name, **dict(metadata)},
        "spec": {"nodeName": "node-1", **dict(spec)},
        "status": {"podIP": "10.0.0.1", "startTime": "2026-01-01T00:00:00Z", **status},
    }  # fmt: skip


def _write(file: pathlib.Path, *bodies: dict[str, object]) -> None:
    """As careful writers do: whoever reads sees the old file or the new one."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"kind": "List", "items": list(bodies)}))
    fresh.rename(file)


def _known(folder: pathlib.Path, *bodies: dict[str, object]) -> changes.Changes:
    _write(folder / "all.json", *bodies)
    return manifests.Folder(folder).refresh()


class Watched:
    """The pods that a folder names now."""

    def __init__(self, path: pathlib.Path) -> None:
        self.folder = manifests.Folder(path)
        self._claims: dict[object, identity.Claim] = {}
        assert self.refresh()

    def refresh(self) -> bool:
        news = self.folder.refresh()
        self._claims |= {(claim.address, claim.uid, claim.valid_from): claim for claim in news.claims}
        return bool(news)

    def names(self) -> list[str]:
        there = [claim for claim in self._claims.values() if claim.valid_to == identity.FOREVER]
        return sorted(claim.identity.pod for claim in there)


ENDED = [{"state": {"terminated": {"finishedAt": f"2026-01-01T00:00:0{second}Z"}}} for second in (9, 4)]
READ = STARTED + 3600 * SECOND
GONE = {"deletionTimestamp": "2026-01-01T00:00:05Z"}


@pytest.mark.parametrize(
    ("pod", "spans"),
    [
        pytest.param(_pod(), [("10.0.0.1", STARTED, identity.FOREVER)], id="running"),
        pytest.param(
            _pod(podIPs=[{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]),
            [("10.0.0.1", STARTED, identity.FOREVER), ("fd00::1", STARTED, identity.FOREVER)],
            id="both families",
        ),
        pytest.param(_pod(startTime=None), [("10.0.0.1", 0, identity.FOREVER)], id="unknown start"),
        pytest.param(_pod(metadata=GONE), [("10.0.0.1", STARTED, STARTED + 5 * SECOND)], id="deleted"),
        pytest.param(
            _pod(metadata=GONE, phase="Succeeded"),
            [("10.0.0.1", STARTED, STARTED + 5 * SECOND)],
            id="finished, and deleted since",
        ),
        pytest.param(
            _pod(phase="Succeeded"), [("10.0.0.1", STARTED, READ)], id="finished at an unknown time"
        ),
        pytest.param(
            _pod(phase="Succeeded", containerStatuses=ENDED),
            [("10.0.0.1", STARTED, STARTED + 9 * SECOND)],
            id="finished when its last container did",
        ),
        pytest.param(_pod(phase="Failed", startTime=None), [("10.0.0.1", 0, READ)], id="failed"),
        pytest.param(_pod(podIP=None), [], id="no address yet"),
        pytest.param(_pod(spec={"hostNetwork": True}), [], id="on its node's network"),
    ],
)
def test_pod_claims_its_addresses(
    tmp_path: pathlib.Path, pod: dict[str, object], spans: list[tuple[str, int, int]]
) -> None:
    _write(tmp_path / "all.json", pod)
    claims = manifests.Folder(tmp_path, now=lambda: READ).refresh().claims
    found = [(address.render(c.address), c.valid_from, c.valid_to) for c in claims]
    assert sorted(found) == sorted(spans)


def test_pod_claims_as_its_workload(tmp_path: pathlib.Path) -> None:
    labels = {"app": "web", "pod-template-hash": "abc"}
    owners = [{"kind": "ReplicaSet", "name": "web-abc", "controller": True}]
    known = _known(tmp_path, _pod(metadata={"labels": labels, "ownerReferences": owners}))
    number = identity.labels_id(labels)
    assert known.labels == {number: labels}
    assert known.claims[0].identity == identity.Identity(
        kind=enums.EndpointKind.POD, namespace="shop", workload_kind="Deployment", workload="web",
        pod="web-0", node="node-1", labels_id=number, service_account="default",
    )  # fmt: skip


def test_node_claims_its_addresses_for_ever(tmp_path: pathlib.Path) -> None:
    texts = [("InternalIP", "172.20.0.11"), ("ExternalIP", "2001:db8::11"), ("Hostname", "node-1")]
    addresses = [{"type": kind, "address": text} for kind, text in texts]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
            "status": {"addresses": addresses}}  # fmt: skip
    who = identity.Identity(
        kind=enums.EndpointKind.NODE, workload_kind="Node", workload="node-1", node="node-1"
    )
    assert set(_known(tmp_path, node).claims) == {
        identity.Claim(
            address=address.pack(text),
            uid="Node//node-1",
            identity=who,
            valid_from=0,
            sure_from=0,
            sure_to=identity.FOREVER,
            valid_to=identity.FOREVER,
        )
        for _, text in texts[:2]
    }


@pytest.mark.parametrize(
    ("kind", "namespace"),
    [
        pytest.param("NetworkSet", "shop", id="of a namespace"),
        pytest.param("GlobalNetworkSet", "", id="global"),
    ],
)
def test_network_set_names_its_networks(tmp_path: pathlib.Path, kind: str, namespace: str) -> None:
    group = {"apiVersion": "projectcalico.org/v3", "kind": kind,
             "metadata": {"name": "office", "namespace": "shop"},
             "spec": {"nets": ["192.0.2.0/24", "2001:db8::/32"]}}  # fmt: skip
    who = identity.Identity(
        kind=enums.EndpointKind.NETWORK_SET,
        namespace=namespace,
        workload_kind="NetworkSet",
        workload="office",
    )
    (found,) = _known(tmp_path, group).revisions
    given = networknames.names(found.document, found.valid_from, found.valid_to)
    assert [(one.network, one.identity, one.valid_from, one.valid_to) for one in given] == [
        (network, who, 0, identity.FOREVER) for network in ("192.0.2.0/24", "2001:db8::/32")
    ]


def test_service_has_each_port_at_each_address(tmp_path: pathlib.Path) -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"port": 80, "targetPort": "http"}]
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIPs": ["10.96.0.1", "fd00::96"], "ports": ports},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.80"}]}},
    }  # fmt: skip
    found = _known(tmp_path, service).ports
    assert {(s.namespace, s.service) for s in found} == {("shop", "web")}
    assert [(address.render(s.address), s.port, s.protocol, s.port_name) for s in found] == [
        (text, *port)
        for text in ("10.96.0.1", "fd00::96", "192.0.2.80")
        for port in ((53, UDP, "dns"), (80, TCP, ""))
    ]


def test_service_has_its_node_port_at_every_node(tmp_path: pathlib.Path) -> None:
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]},
    }  # fmt: skip
    found = _known(tmp_path, service).ports
    assert [(s.address, s.port, s.port_name) for s in found] == [
        (address.pack("10.96.0.1"), 80, "http"), (services.EVERY_NODE, 30080, "http"),
    ]  # fmt: skip


def test_documents_of_policies_are_kept(tmp_path: pathlib.Path) -> None:
    """Policies are read from them elsewhere."""
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"}}
    known = _known(tmp_path, policy)
    assert known == changes.Changes(revisions=known.revisions)
    assert [one.document.body for one in known.revisions] == [policy]


def test_unchanged_folder_is_not_read_again(tmp_path: pathlib.Path) -> None:
    _write(tmp_path / "a.json", _pod())
    folder = manifests.Folder(tmp_path)
    assert folder.refresh()
    assert not folder.refresh()


def test_new_changed_and_gone_files_are_seen(tmp_path: pathlib.Path) -> None:
    (tmp_path / "below").mkdir()
    for name in "abc":
        _write(tmp_path / f"{name}.json", _pod(name))
    folder = Watched(tmp_path)
    (tmp_path / "a.json").unlink()
    _write(tmp_path / "b.json", _pod("b"), _pod("b2"))
    _write(tmp_path / "below" / "d.json", _pod("d"))
    assert folder.refresh()
    assert folder.names() == ["b", "b2", "c", "d"]
    assert not folder.refresh()


def test_replaced_file_of_same_size_and_time_is_seen(tmp_path: pathlib.Path) -> None:
    """A clock can be too coarse to tell two writes apart."""
    file = tmp_path / "a.json"
    _write(file, _pod("a"))
    folder, was = Watched(tmp_path), file.stat()
    _write(file, _pod("b"))
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert file.stat().st_size == was.st_size
    assert folder.refresh()
    assert folder.names() == ["b"]


BROKEN = [
    pytest.param("{", id="no YAML"),
    pytest.param(json.dumps(_pod("b", podIP="10.0.0.300")), id="no address"),
]


@pytest.mark.parametrize("text", BROKEN)
def test_file_broken_at_start_is_an_error(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(errors.ManifestError, match=r"b\.json, document 1: "):
        manifests.Folder(tmp_path)


@pytest.mark.parametrize("text", BROKEN)
def test_file_broken_later_keeps_its_last_content(
    tmp_path: pathlib.Path, text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_limited", logs.Limited("enrich.manifests"))
    for name in "ab":
        _write(tmp_path / f"{name}.json", _pod(name))
    folder = Watched(tmp_path)
    (tmp_path / "b.json").write_text(text)
    (tmp_path / "new.json").write_text(text)
    _write(tmp_path / "a.json", _pod("a2"))
    with caplog.at_level(logging.WARNING):
        folder.refresh()
    assert folder.names() == ["a2", "b"]
    assert caplog.messages == ["manifest not taken over"]
    assert "b.json, document 1: " in caplog.records[0].fields["error"]
    _write(tmp_path / "b.json", _pod("b2"))
    assert folder.refresh()
    assert folder.names() == ["a2", "b2"]


def test_folder_that_is_away_keeps_what_is_known(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "cluster"
    place.mkdir()
    _write(place / "a.json", _pod("a"))
    folder = Watched(place)
    place.rename(tmp_path / "elsewhere")
    assert not folder.refresh()
    assert folder.names() == ["a"]


def test_missing_folder_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match=r"no manifests at .*nowhere"):
        manifests.Folder(tmp_path / "nowhere")


def test_one_file_is_a_folder_as_well(tmp_path: pathlib.Path) -> None:
    _write(tmp_path / "a.json", _pod("a"))
    _write(tmp_path / "b.json", _pod("b"))
    assert Watched(tmp_path / "a.json").names() == ["a"]
