"""Names that objects give to networks."""

from __future__ import annotations

from typing import Any

import pytest

from enrich import identity, networknames
from model import errors, manifest

SETS = {"nets": ["192.0.2.0/24", "2001:db8::/32"]}


def _document(
    kind: str, group: str = "projectcalico.org/v3", labels: object = (), **body: object
) -> manifest.Document:
    metadata = {"name": "one", "namespace": "shop", "labels": dict(labels)}
    return manifest.Document("f", 1, {"apiVersion": group, "kind": kind, "metadata": metadata, **body})


def _slice(**body: Any) -> manifest.Document:
    labels = {"kubernetes.io/service-name": "legacy-db", **body.pop("labels", {})}
    given = {"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.7"]}, {"addresses": ["192.0.2.8"]}]}
    return _document("EndpointSlice", "discovery.k8s.io/v1", labels, **(given | body))


@pytest.mark.parametrize(
    ("document", "named"),
    [
        pytest.param(
            _document("NetworkSet", spec=SETS),
            [("network_set", "shop", "one", "192.0.2.0/24"), ("network_set", "shop", "one", "2001:db8::/32")],
            id="network set",
        ),
        pytest.param(
            _document("GlobalNetworkSet", spec={"nets": ["192.0.2.0/24"]}),
            [("network_set", "", "one", "192.0.2.0/24")],
            id="global network set",
        ),
        pytest.param(
            _document("HostEndpoint", spec={"node": "db-1", "expectedIPs": ["192.0.2.9"]}),
            [("host_endpoint", "", "one", "192.0.2.9")],
            id="host endpoint",
        ),
        pytest.param(
            _document("HostEndpoint", spec={"node": "db-1", "interfaceName": "*"}),
            [],
            id="host endpoint without address",
        ),
        pytest.param(
            _slice(),
            [
                ("network_set", "shop", "legacy-db", "192.0.2.7"),
                ("network_set", "shop", "legacy-db", "192.0.2.8"),
            ],
            id="slice made by hand",
        ),
        pytest.param(
            _slice(labels={"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}),
            [],
            id="slice that follows from a selector",
        ),
        pytest.param(
            _slice(addressType="FQDN", endpoints=[{"addresses": ["db.example"]}]), [], id="slice of names"
        ),
        pytest.param(_document("Tier", spec={}), [], id="another kind"),
    ],
)
def test_object_names_its_networks(document: manifest.Document, named: list[tuple[str, ...]]) -> None:
    found = list(networknames.names(document, 3, 7))
    assert [(n.identity.kind, n.identity.namespace, n.identity.workload, n.network) for n in found] == named
    assert {(n.valid_from, n.valid_to) for n in found} <= {(3, 7)}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(_document("NetworkSet", spec={"nets": ["192.0.2.0/33"]}), id="network"),
        pytest.param(
            _document("HostEndpoint", spec={"node": "db-1", "expectedIPs": ["here"]}), id="address of a host"
        ),
        pytest.param(_document("HostEndpoint", spec={"expectedIPs": ["192.0.2.9"]}), id="host of no node"),
        pytest.param(_document("HostEndpoint", spec={"node": "db-1"}), id="neither interface nor address"),
        pytest.param(_slice(endpoints=[{"addresses": ["192.0.2"]}]), id="address of a slice"),
    ],
)
def test_what_is_wrong_is_refused(document: manifest.Document) -> None:
    with pytest.raises(errors.ManifestError, match=r"must be|is missing|needs interfaceName"):
        list(networknames.names(document, 0, identity.FOREVER))
