"""What feeds say, made up by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from enrich import changes, identity
from model import address, enums, manifest

TEXTS = st.sampled_from(["", "a", "größe", "x" * 63])
TIMES = st.integers(1, 40)
ENDS = st.integers(41, 60) | st.just(identity.FOREVER)
IDENTITIES = st.builds(
    identity.Identity,
    kind=st.sampled_from([enums.EndpointKind.POD, enums.EndpointKind.NODE]),
    namespace=TEXTS,
    workload_kind=TEXTS,
    workload=TEXTS,
    pod=TEXTS,
    node=TEXTS,
    zone=TEXTS,
    labels_id=st.integers(0, 2**64 - 1),
    service_account=TEXTS,
    ports=TEXTS,
    probe_ports=TEXTS,
)
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1"]).map(address.pack)
CLAIMS = st.builds(
    identity.Claim,
    address=ADDRESSES,
    uid=st.sampled_from("uvw"),
    identity=IDENTITIES,
    valid_from=TIMES,
    sure_from=TIMES,
    sure_to=ENDS,
    valid_to=ENDS,
)
PORTS = st.builds(
    identity.ServicePort,
    address=ADDRESSES,
    port=st.sampled_from([80, 443]),
    protocol=st.just(6),
    namespace=TEXTS,
    service=st.sampled_from("st"),
    port_name=TEXTS,
    valid_from=TIMES,
    valid_to=ENDS,
)
REVISIONS = st.builds(
    changes.Revision,
    kind=st.just("NetworkPolicy"),
    api_group=TEXTS,
    namespace=TEXTS,
    name=st.sampled_from("pq"),
    tier=TEXTS,
    digest=st.sampled_from(["1", "2"]),
    valid_from=TIMES,
    valid_to=ENDS,
    document=st.builds(
        lambda text: manifest.Document("f", 1, {"apiVersion": "v1", "kind": "NetworkPolicy", "said": text}),
        TEXTS,
    ),
)


def claim_key(one: identity.Claim) -> object:
    return one.address, one.uid, one.valid_from


def port_key(one: identity.ServicePort) -> object:
    return one.address, one.port, one.protocol, one.namespace, one.service, one.port_name, one.valid_from


def revision_key(one: changes.Revision) -> object:
    return one.kind, one.api_group, one.namespace, one.name, one.valid_from


CHANGES = st.builds(
    lambda claims, ports, revisions: changes.Changes(
        claims=tuple(claims), ports=tuple(ports), revisions=tuple(revisions)
    ),
    st.lists(CLAIMS, unique_by=claim_key, max_size=8),
    st.lists(PORTS, unique_by=port_key, max_size=5),
    st.lists(REVISIONS, unique_by=revision_key, max_size=5),
)
