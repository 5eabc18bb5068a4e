"""Calico's messages, written the other way round than they are read: what Felix would send for a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collector.goldmane import flows
from collector.goldmane import goldmane_pb2 as pb
from model import enums, policyhit

KINDS = {
    "np": pb.CalicoNetworkPolicy, "gnp": pb.GlobalNetworkPolicy, "snp": pb.StagedNetworkPolicy,
    "sgnp": pb.StagedGlobalNetworkPolicy, "sknp": pb.StagedKubernetesNetworkPolicy, "knp": pb.NetworkPolicy,
    "kanp": pb.AdminNetworkPolicy, "kbanp": pb.BaselineAdminNetworkPolicy, "kcnp": pb.ClusterNetworkPolicy,
    "pro": pb.Profile,
}  # fmt: skip
ACTIONS = {"allow": pb.Allow, "deny": pb.Deny, "pass": pb.Pass}
PROTOCOLS = {1: "icmp", 4: "ipip", 6: "tcp", 17: "udp", 50: "esp", 58: "icmp6", 132: "sctp"}


def hit(one: policyhit.PolicyHit, index: int) -> pb.PolicyHit:
    """A hit as Felix writes it, at its place in the trace."""
    action = ACTIONS[one.action.value]
    if one.kind in (policyhit.END_OF_TIER, policyhit.NO_PROFILE):
        tier = one.tier if one.kind == policyhit.END_OF_TIER else ""
        trigger = pb.PolicyHit(kind=pb.NetworkPolicy, namespace="shop", name="some", tier=tier)
        return pb.PolicyHit(
            kind=pb.EndOfTier, tier=tier, action=action, policy_index=index, rule_index=-1, trigger=trigger
        )
    tier = "" if one.kind == policyhit.PROFILE else one.tier
    return pb.PolicyHit(
        kind=KINDS[one.kind], namespace=one.namespace, name=one.name, tier=tier, action=action,
        policy_index=index, rule_index=one.rule,
    )  # fmt: skip


def trace(hits: Sequence[policyhit.PolicyHit]) -> list[pb.PolicyHit]:
    """The hits of a trace in order."""
    return [hit(one, index) for index, one in enumerate(hits)]


def key(one: flows.Key) -> pb.FlowKey:
    """A key as Felix writes it: ``-`` for what is empty."""
    return pb.FlowKey(
        source_name=one.src.name or "-", source_namespace=one.src.namespace or "-",
        source_type=pb.EndpointType.Value(one.src.kind),
        dest_name=one.dst.name or "-", dest_namespace=one.dst.namespace or "-",
        dest_type=pb.EndpointType.Value(one.dst.kind), dest_port=one.dst_port,
        dest_service_name=one.service or "-", dest_service_namespace=one.service_namespace or "-",
        dest_service_port_name=one.service_port_name or "-", dest_service_port=one.service_port,
        proto=PROTOCOLS.get(one.protocol, str(one.protocol)),
        reporter=pb.Src if one.reporter == enums.Reporter.SRC else pb.Dst, action=ACTIONS[one.action.value],
        policies=pb.PolicyTrace(enforced_policies=trace(one.enforced), pending_policies=trace(one.pending)),
    )  # fmt: skip


WEB = flows.End(kind="WorkloadEndpoint", namespace="shop", name="web-6d9f5c-*")
DB = flows.End(kind="WorkloadEndpoint", namespace="shop", name="db-*")


def some_key(**changes: Any) -> flows.Key:
    """A pod that asks another, as its own policies saw it."""
    direction = enums.Direction.EGRESS
    if changes.get("reporter") == enums.Reporter.DST:
        direction = enums.Direction.INGRESS
    allowed = policyhit.PolicyHit(
        direction=direction, tier="default", kind="knp", namespace="shop", name="web",
        action=enums.Action.ALLOW, rule=0,
    )  # fmt: skip
    usual: dict[str, Any] = {
        "src": WEB, "dst": DB, "dst_port": 5432, "protocol": 6, "service_namespace": "shop", "service": "db",
        "service_port_name": "pg", "service_port": 5432, "reporter": enums.Reporter.SRC,
        "action": enums.Action.ALLOW, "enforced": (allowed,), "pending": (allowed,),
    }  # fmt: skip
    return flows.Key(**usual | changes)


def flow(one: flows.Key | None = None, **changes: Any) -> pb.Flow:
    """A flow of a key, with numbers that are all different."""
    usual: dict[str, Any] = {
        "start_time": 1_700_000_000, "end_time": 1_700_000_000, "packets_in": 1, "packets_out": 2,
        "bytes_in": 30, "bytes_out": 40, "num_connections_started": 5, "num_connections_completed": 6,
        "num_connections_live": 7, "source_labels": ["app=web"], "dest_labels": ["app=db", "tier=data"],
    }  # fmt: skip
    return pb.Flow(Key=key(one or some_key()), **usual | changes)


def update(number: int = 0, one: flows.Key | None = None, **changes: Any) -> bytes:
    """A FlowUpdate as it is sent; updates of different numbers are different."""
    changes = {"bytes_out": number} | changes
    return pb.FlowUpdate(flow=flow(one, **changes)).SerializeToString()
