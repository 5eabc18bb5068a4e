"""Names in a batch of flows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from enrich import enricher, identity, services, timeline
from model import address, columns, enums

TCP, UDP = enums.Protocol.TCP, enums.Protocol.UDP
OTHERS = {"src_address": "10.0.0.1", "dst_address": "10.0.0.2", "node": "node-1", "protocol": int(TCP)}


def _flows(*rows: dict[str, object]) -> pa.RecordBatch:
    """A batch of stage ``JOIN``; what a row does not name is empty."""
    given = [OTHERS | row for row in rows]
    arrays = []
    for field in columns.schema(columns.Stage.JOIN):
        values = [
            row.get(field.name, "" if field.type in (columns.TEXT, columns.ADDRESS) else 0) for row in given
        ]
        if field.type == columns.ADDRESS:
            values = [address.pack(text) if text else columns.NO_ADDRESS for text in values]
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=columns.schema(columns.Stage.JOIN))


def _pod(name: str, node: str, labels_id: int = 0) -> identity.Identity:
    return identity.Identity(
        kind=enums.EndpointKind.POD, namespace="shop", workload_kind="Deployment", workload="web", pod=name,
        node=node, labels_id=labels_id,
    )  # fmt: skip


def _claim(text: str, who: identity.Identity, start: int = 0, end: int = identity.FOREVER) -> identity.Claim:
    return identity.Claim(
        address=address.pack(text), uid=who.pod, identity=who, valid_from=start, sure_from=start,
        sure_to=end, valid_to=end,
    )  # fmt: skip


CLAIMS = [
    _claim("10.0.0.1", _pod("early", "node-1", 2**64 - 1), end=1000),
    _claim("10.0.0.1", _pod("late", "node-1"), start=1000),
    _claim("10.0.0.2", _pod("peer", "node-2")),
    _claim("10.0.0.3", _pod("one", "node-1")),
    _claim("10.0.0.3", _pod("other", "node-1")),
    _claim("fd00::2", _pod("peer", "node-2")),
    _claim("172.20.0.11", identity.Identity(kind=enums.EndpointKind.NODE, workload="node-1", node="node-1")),
]


def _service(text: str, port: int, protocol: enums.Protocol, name: str) -> identity.ServicePort:
    return identity.ServicePort(
        address=address.pack(text), port=port, protocol=protocol.value, namespace="shop", service=name,
        port_name=f"{name}-port", valid_from=0, valid_to=identity.FOREVER,
    )  # fmt: skip


SERVICES = [
    _service("10.96.0.1", 53, UDP, "dns"), _service("10.96.0.1", 53, TCP, "dns-tcp"),
    _service("10.96.0.1", 80, TCP, "web"), _service("fd00::96", 80, TCP, "web6"),
    _service("::", 30080, TCP, "outside"),
]  # fmt: skip


@pytest.fixture(scope="module")
def names() -> enricher.Enricher:
    return enricher.Enricher(timeline.Timeline(CLAIMS), services.Services(SERVICES))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        pytest.param({}, ("pod", "shop", "Deployment", "web", "early", 2**64 - 1), id="pod"),
        pytest.param({"started": 1000}, ("pod", "shop", "Deployment", "web", "late", 0), id="later pod"),
        pytest.param({"src_address": "fd00::2"}, ("pod", "shop", "Deployment", "web", "peer", 0), id="IPv6"),
        pytest.param({"src_address": "10.0.0.3"}, ("ambiguous", "", "", "", "", 0), id="two at once"),
        pytest.param({"src_address": "10.9.9.9"}, ("private", "", "", "", "", 0), id="private"),
        pytest.param({"src_address": "192.0.2.1"}, ("public", "", "", "", "", 0), id="public"),
    ],
)  # fmt: skip
def test_both_ends_are_named(names: enricher.Enricher, row: dict[str, object], found: tuple[object]) -> None:
    """The row turned around has the same name at the other end."""
    turned = {"dst_address": row.get("src_address", "10.0.0.1"), "started": row.get("started", 0)}
    one, other = names.enrich(_flows(row, turned)).to_pylist()
    parts = ("kind", "namespace", "workload_kind", "workload", "pod", "labels_id")
    assert tuple(one[f"src_{part}"] for part in parts) == found
    assert tuple(other[f"dst_{part}"] for part in parts) == found


@pytest.mark.parametrize(
    ("row", "found"),
    [
        pytest.param({"service_address": "10.96.0.1", "service_port": 53}, "dns-tcp", id="TCP"),
        pytest.param({"service_address": "10.96.0.1", "service_port": 53, "protocol": 17}, "dns", id="UDP"),
        pytest.param({"service_address": "10.96.0.1", "service_port": 80}, "web", id="another port"),
        pytest.param({"service_address": "fd00::96", "service_port": 80}, "web6", id="IPv6"),
        pytest.param({"service_address": "10.96.0.1", "service_port": 81}, "", id="unknown port"),
        pytest.param({"service_address": "10.96.0.2", "service_port": 80}, "", id="unknown address"),
        pytest.param({"service_address": "172.20.0.11", "service_port": 30080}, "outside", id="node port"),
        pytest.param({"service_address": "10.0.0.1", "service_port": 30080}, "", id="not of a pod"),
        pytest.param({}, "", id="not translated"),
    ],
)
def test_service_that_was_dialled_is_named(
    names: enricher.Enricher, row: dict[str, object], found: str
) -> None:
    (flow,) = names.enrich(_flows(row)).to_pylist()
    wanted = ("shop", found, f"{found}-port") if found else ("", "", "")
    assert (flow["service_namespace"], flow["service"], flow["service_port_name"]) == wanted


@pytest.mark.parametrize(
    ("ends", "node", "found"),
    [
        pytest.param(("10.0.0.1", "10.0.0.2"), "node-1", ("src", "node-1", "node-2"), id="source"),
        pytest.param(("10.0.0.1", "10.0.0.2"), "node-2", ("dst", "node-1", "node-2"), id="destination"),
        pytest.param(("10.0.0.1", "10.0.0.1"), "node-1", ("both", "node-1", "node-1"), id="both"),
        pytest.param(("10.0.0.1", "10.0.0.2"), "node-3", ("none", "node-1", "node-2"), id="passes through"),
        pytest.param(("10.0.0.1", "192.0.2.1"), "node-1", ("src", "node-1", ""), id="to the world"),
        pytest.param(("10.0.0.3", "10.0.0.2"), "node-1", ("none", "", "node-2"), id="ambiguous end"),
    ],
)
def test_reporter_is_whose_end_is_here(
    names: enricher.Enricher, ends: tuple[str, str], node: str, found: tuple[str, str, str]
) -> None:
    flows = _flows({"src_address": ends[0], "dst_address": ends[1], "node": node})
    (flow,) = names.enrich(flows).to_pylist()
    assert (flow["reporter"], flow["src_node"], flow["dst_node"]) == found


def _node(name: str, zone: str = "") -> identity.Identity:
    return identity.Identity(kind=enums.EndpointKind.NODE, workload=name, node=name, zone=zone)


@pytest.mark.parametrize(
    ("src", "port", "found"),
    [
        pytest.param("172.20.0.11", 8080, "probe", id="kubelet asks"),
        pytest.param("172.20.0.11", 80, "own", id="its node at another port"),
        pytest.param("172.20.0.12", 8080, "", id="another node"),
        pytest.param("10.0.0.2", 8080, "", id="a pod"),
        pytest.param("192.0.2.1", 8080, "", id="the world"),
    ],
)
def test_traffic_of_a_node_to_its_own_pod_is_marked(src: str, port: int, found: str) -> None:
    probed = identity.Identity(
        kind=enums.EndpointKind.POD, pod="web", node="node-1", zone="a", probe_ports="8080 9090"
    )
    claims = [
        _claim("10.0.0.1", probed), _claim("10.0.0.2", _pod("peer", "node-1")),
        _claim("172.20.0.11", _node("node-1", "a")), _claim("172.20.0.12", _node("node-2", "b")),
    ]  # fmt: skip
    named = enricher.Enricher(timeline.Timeline(claims), services.Services(()))
    flows = _flows({"src_address": src, "dst_address": "10.0.0.1", "dst_port": port})
    (flow,) = named.enrich(flows).to_pylist()
    assert (flow["node_traffic"], flow["dst_zone"]) == (found, "a")


def test_names_are_made_anew(names: enricher.Enricher) -> None:
    """What had names before is named by what is known now, whichever node it was."""
    flows = _flows({}, {"src_address": "10.0.0.2", "node": "node-2"})
    nobody = enricher.Enricher(timeline.Timeline(), services.Services(()))
    assert names.enrich(nobody.enrich(flows)) == names.enrich(flows)


def test_earlier_columns_stay_as_they_are(names: enricher.Enricher) -> None:
    flows = _flows({"src_port": 1, "verdict": "allowed"}, {"src_port": 2, "policy_trace": "a b"})
    named = names.enrich(flows)
    named.validate(full=True)
    assert named.schema == columns.schema(columns.Stage.IDENTITY)
    assert named.select(flows.schema.names) == flows


def test_slice_of_a_batch_is_its_own_rows(names: enricher.Enricher) -> None:
    """A slice shares its buffers with the whole batch, and begins somewhere inside them."""
    flows = _flows(*({"src_address": f"10.0.0.{n}", "started": 1000 * n} for n in (9, 2, 1)))
    assert names.enrich(flows)["src_pod"].to_pylist() == ["", "peer", "late"]
    assert names.enrich(flows.slice(1, 1))["src_pod"].to_pylist() == ["peer"]


@pytest.mark.parametrize("ports", [pytest.param(SERVICES, id="services"), pytest.param([], id="none")])
@pytest.mark.parametrize("claims", [pytest.param(CLAIMS, id="claims"), pytest.param([], id="no claims")])
@pytest.mark.parametrize("rows", [0, 2])
def test_nothing_known_or_nothing_asked(
    rows: int, claims: list[identity.Claim], ports: list[identity.ServicePort]
) -> None:
    flows = _flows(*[{"service_address": "10.96.0.1", "service_port": 80}] * rows)
    named = enricher.Enricher(timeline.Timeline(claims), services.Services(ports)).enrich(flows)
    assert named["src_kind"].to_pylist() == ["pod" if claims else "private"] * rows
    assert named["service"].to_pylist() == ["web" if ports else ""] * rows


def test_rows_of_a_batch_do_not_meet(names: enricher.Enricher) -> None:
    """Each row of a batch is named as if it were alone."""
    random = np.random.default_rng(1)
    rows = [
        {
            "src_address": f"10.0.0.{random.integers(1, 5)}", "started": int(random.integers(900, 1100)),
            "service_address": "10.96.0.1", "service_port": int(random.choice([53, 80, 81])),
            "protocol": int(random.choice([6, 17])),
        }
        for _ in range(30)
    ]  # fmt: skip
    together = names.enrich(_flows(*rows)).to_pylist()
    assert together == [names.enrich(_flows(row)).to_pylist()[0] for row in rows]
