"""Goldmane's flows as rows: what is said of an end, what became of the flow, and by which rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cli import goldmane
from collector.goldmane import flows, windows
from enrich import identity
from model import columns, enums, policyhit

SECOND = 1_000_000_000
START = 1_700_000_010 // 15 * 15 * SECOND
ALLOW, DENY, PASS = enums.Action.ALLOW, enums.Action.DENY, enums.Action.PASS
SRC, DST = enums.Reporter.SRC, enums.Reporter.DST


class Keys:
    """Keys as they are given."""

    def __init__(self, *known: flows.Key) -> None:
        self._known = known

    def __getitem__(self, number: int) -> flows.Key:
        return self._known[number]


def end(kind: str = "WorkloadEndpoint", namespace: str = "shop", name: str = "web-6d9f5c-*") -> flows.End:
    return flows.End(kind=kind, namespace=namespace, name=name)


def key(**more: Any) -> flows.Key:
    given = {"src": end(name="cart-*"), "dst": end(), "dst_port": 8080, "protocol": 6, "reporter": DST,
             "action": ALLOW}  # fmt: skip
    return flows.Key(**{**given, **more})


def window(count: int = 1, src: tuple[str, ...] = (), dst: tuple[str, ...] = ()) -> windows.Window:
    told = np.zeros(count, flows.FLOW)
    told["key"] = np.arange(count)
    for place, name in enumerate(flows.FLOW.names[4:]):
        told[name] = np.arange(count) * 10 + place
    return windows.Window(
        start=START, end=START + 15 * SECOND, flows=told, src_labels=(src,) * count, dst_labels=(dst,) * count
    )


def row(one: flows.Key, src: tuple[str, ...] = (), dst: tuple[str, ...] = ()) -> dict[str, Any]:
    (found,) = goldmane.Rows().batch(window(1, src, dst), Keys(one)).to_pylist()  # type: ignore[arg-type]
    return found


def hit(action: enums.Action, name: str = "web", *, direction: str = "ingress", kind: str = "np") -> Any:
    return policyhit.PolicyHit(
        direction=enums.Direction(direction), tier="default", kind=kind, namespace="shop", name=name,
        action=action, rule=0,
    )  # fmt: skip


def test_batch_is_complete_whatever_there_is() -> None:
    for count in (0, 1, 3):
        made = goldmane.Rows().batch(window(count), Keys(*[key()] * count))  # type: ignore[arg-type]
        assert (made.schema, len(made)) == (columns.schema(columns.Stage.IDENTITY), count)
        made.validate(full=True)


def test_row_has_the_window_the_key_and_the_volume() -> None:
    one = key(service_namespace="shop", service="web", service_port_name="http", service_port=80)
    found = row(one)
    said = {name: value for name, value in found.items() if value not in ("", 0, columns.NO_ADDRESS)}
    moments = {name: said.pop(name).value for name in ("time", "started")}
    assert moments == {"time": START + 15 * SECOND, "started": START}
    assert found["ended"].value == said.pop("ended").value == 0
    assert said == {
        "node": "goldmane", "origin": "goldmane", "dst_port": 8080, "protocol": 6, "service_port": 80,
        "forward_bytes": 1, "reverse_packets": 2, "reverse_bytes": 3, "connections_started": 4,
        "connections_ended": 5, "verdict": "allowed", "attribution": "felix", "reporter": "dst",
        "src_node": "goldmane", "dst_node": "goldmane", "src_kind": "pod", "src_namespace": "shop",
        "src_workload": "cart", "dst_kind": "pod", "dst_namespace": "shop", "dst_workload": "web-6d9f5c",
        "service_namespace": "shop", "service": "web", "service_port_name": "http",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "labels", "named"),
    [
        pytest.param(end(), (), ("pod", "shop", "", "web-6d9f5c", "", "goldmane"), id="template"),
        pytest.param(
            end(), ("app=web", "pod-template-hash=6d9f5c"),
            ("pod", "shop", "Deployment", "web", "", "goldmane"), id="hash",
        ),
        pytest.param(
            end(), ("pod-template-hash=abc",), ("pod", "shop", "", "web-6d9f5c", "", "goldmane"), id="else's"
        ),
        pytest.param(
            end(name="6d9f5c-*"), ("pod-template-hash=6d9f5c",),
            ("pod", "shop", "", "6d9f5c", "", "goldmane"), id="nothing but a hash",
        ),
        pytest.param(end(name="db-*"), (), ("pod", "shop", "", "db", "", "goldmane"), id="StatefulSet"),
        pytest.param(
            end(name="kube-proxy"), (), ("pod", "shop", "", "kube-proxy", "kube-proxy", "goldmane"), id="bare"
        ),
        pytest.param(
            end("HostEndpoint", "", "node-1"), (), ("node", "", "", "node-1", "", ""), id="host endpoint"
        ),
        pytest.param(
            end("NetworkSet", "shop", "partners"), (), ("network_set", "shop", "", "partners", "", ""),
            id="network set",
        ),
        pytest.param(end("Network", "", "pvt"), (), ("private", "", "", "", "", ""), id="private"),
        pytest.param(end("Network", "", "pub"), (), ("public", "", "", "", "", ""), id="public"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", ["src", "dst"])
def test_end_is_named_by_what_is_told_of_it(
    side: str, told: flows.End, labels: tuple[str, ...], named: tuple[str, ...]
) -> None:
    found = row(key(**{side: told}), **{side: labels})
    columns_of = ("kind", "namespace", "workload_kind", "workload", "pod", "node")
    assert tuple(found[f"{side}_{name}"] for name in columns_of) == named
    assert (found[f"{side}_address"], found[f"{side}_zone"]) == (columns.NO_ADDRESS, "")


def test_labels_are_the_pod_s_own() -> None:
    rows = goldmane.Rows()
    told = ("app=web", "empty=", "pcns.team=a", "pcsa.x=y", "projectcalico.org/namespace=shop", "=odd")
    made = rows.batch(window(1, dst=told), Keys(key()))  # type: ignore[arg-type]
    own = {"app": "web", "empty": ""}
    assert rows.labels == {identity.labels_id(own): own}
    assert columns.numbers(made.column("dst_labels_id")).tolist() == [identity.labels_id(own)]
    assert columns.numbers(made.column("src_labels_id")).tolist() == [0]


@pytest.mark.parametrize(
    ("reporter", "action", "dst", "verdict"),
    [
        (DST, ALLOW, end(), "allowed"),
        (DST, DENY, end(), "denied"),
        (SRC, DENY, end(), "denied"),
        (SRC, ALLOW, end(), "unknown"),
        (SRC, ALLOW, end("Network", "", "pub"), "allowed"),
        (SRC, ALLOW, end("NetworkSet", "", "partners"), "allowed"),
        (SRC, ALLOW, end("HostEndpoint", "", "node-1"), "allowed"),
    ],
)
def test_verdict_is_what_the_reporting_end_knows(
    reporter: enums.Reporter, action: enums.Action, dst: flows.End, verdict: str
) -> None:
    found = row(key(reporter=reporter, action=action, dst=dst))
    assert (found["verdict"], found["reporter"]) == (verdict, reporter)


def test_rules_are_told_in_order() -> None:
    enforced = (hit(PASS, "first"), hit(ALLOW))
    pending = (hit(PASS, "first"), hit(DENY, "staged", kind="snp"), hit(PASS, "last"))
    found = row(key(enforced=enforced, pending=pending))
    assert found["policy_trace"] == " ".join(one.render() for one in enforced)
    assert found["pending_trace"] == " ".join(one.render() for one in pending)
    assert found["deciding_rule"] == hit(ALLOW).render()
    assert (found["egress_action"], found["ingress_action"]) == ("", "allow")
    assert (found["pending_verdict"], found["attribution"]) == ("denied", "felix")


@pytest.mark.parametrize(
    ("pending", "verdict"),
    [((), ""), ((hit(PASS),), ""), ((hit(DENY), hit(ALLOW)), "allowed"), ((hit(ALLOW), hit(DENY)), "denied")],
)
def test_pending_verdict_is_the_last_decision(pending: tuple[Any, ...], verdict: str) -> None:
    assert row(key(pending=pending))["pending_verdict"] == verdict


def test_denied_egress_is_the_source_s() -> None:
    found = row(key(reporter=SRC, action=DENY, enforced=(hit(DENY, direction="egress"),)))
    assert (found["egress_action"], found["ingress_action"]) == ("deny", "")


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_port_that_is_none_is_zero(port: int) -> None:
    assert row(key(dst_port=port))["dst_port"] == 0


def test_numbers_of_other_keys_are_not_taken_for_the_same() -> None:
    rows = goldmane.Rows()
    ports = []
    for number in (1, 2):
        made = rows.batch(window(), Keys(key(dst_port=number)))  # type: ignore[arg-type]
        ports += columns.numbers(made.column("dst_port")).tolist()
    assert ports == [1, 2]
