"""Goldmane's flows: its protocol in JSON, what its emitter pushes, and Whisker's answers.

The protocol (goldmane/proto/api.proto) has two forms in JSON: that of protobuf, with ``camelCase`` names,
enums by name and long numbers as text, and that of Go's own encoder, which the emitter uses, with
``snake_case`` names and enums by number; both leave out what is zero. Whisker (whisker-backend/pkg/apis/v1)
has no types of ends and other words for some fields.

A flow has no address, no source port, no pod and no node: the node is whatever the import is told.
"""

from __future__ import annotations

from typing import Any

from collector.exports import calico, fields, rows
from collector.goldmane import flows
from model import enums, policyhit

_ENDPOINTS = ("", calico.POD, calico.HOST, calico.SET, calico.NETWORK)
_REPORTERS = ("", "Src", "Dst")
_ACTIONS = ("", "Allow", "Deny", "Pass")
_POLICIES = (
    "", "CalicoNetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy",
    "StagedKubernetesNetworkPolicy", "NetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy",
    "Profile", "EndOfTier", "ClusterNetworkPolicy",
)  # fmt: skip
"""The names of each enum's numbers."""

_SHORT = {
    "CalicoNetworkPolicy": "np", "GlobalNetworkPolicy": "gnp", "StagedNetworkPolicy": "snp",
    "StagedGlobalNetworkPolicy": "sgnp", "StagedKubernetesNetworkPolicy": "sknp", "NetworkPolicy": "knp",
    "AdminNetworkPolicy": "kanp", "BaselineAdminNetworkPolicy": "kbanp", "ClusterNetworkPolicy": "kcnp",
    "Profile": policyhit.PROFILE, "EndOfTier": policyhit.END_OF_TIER,
}  # fmt: skip
_NETWORKS = {"PUBLIC NETWORK": calico.PUBLIC, "PRIVATE NETWORK": calico.PRIVATE}
"""Whisker's words for them."""
_LABELS_BETWEEN = " | "


def read(flow: fields.Object, into: rows.Rows) -> None:
    """Take one flow.

    Raises:
        ValueError: If it is none; it says what is wrong.
    """
    of = key(flow)
    started = fields.moment(flow, "start_time", "startTime")
    until = (
        fields.moment(flow, "end_time", "endTime") if flow.get("end_time", flow.get("endTime")) else started
    )
    counted = calico.volume(
        of.reporter,
        (fields.number(flow, "packets_in", "packetsIn"), fields.number(flow, "bytes_in", "bytesIn")),
        (fields.number(flow, "packets_out", "packetsOut"), fields.number(flow, "bytes_out", "bytesOut")),
    )
    src = calico.end(of.src, _labels(flow, "source_labels", "sourceLabels"))
    dst = calico.end(of.dst, _labels(flow, "dest_labels", "destLabels"), port=of.dst_port)
    into.add(
        src, dst, time=until, started=started, protocol=of.protocol, service_port=of.service_port,
        service_namespace=of.service_namespace, service=of.service, service_port_name=of.service_port_name,
        connections_started=fields.number(flow, "num_connections_started", "numConnectionsStarted"),
        connections_ended=fields.number(flow, "num_connections_completed", "numConnectionsCompleted"),
        reporter=of.reporter, verdict=calico.verdict(of.reporter, of.action, counted), **counted,
        **calico.policies(of.enforced, of.pending),
    )  # fmt: skip


def key(flow: fields.Object) -> flows.Key:
    """The key of a flow.

    Raises:
        ValueError: If a part of it is missing or not what it should be.
    """
    of = fields.part(flow, "Key", "key") or flow
    reporter = enums.Reporter(_enum(of, _REPORTERS, "reporter").lower())
    protocol = fields.protocol(of, "proto", "protocol")
    told = fields.part(of, "policies")
    towards = calico.direction(reporter)
    return flows.Key(
        src=_end(of, "source"), dst=_end(of, "dest"),
        dst_port=calico.port(protocol, fields.number(of, "dest_port", "destPort", bits=16)),
        protocol=protocol,
        service_namespace=fields.text(of, "dest_service_namespace", "destServiceNamespace"),
        service=fields.text(of, "dest_service_name", "destServiceName"),
        service_port_name=fields.text(of, "dest_service_port_name", "destServicePortName"),
        service_port=fields.number(of, "dest_service_port", "destServicePort", bits=16),
        reporter=reporter, action=enums.Action(_enum(of, _ACTIONS, "action").lower()),
        enforced=_hits(fields.listed(told, "enforced_policies", "enforcedPolicies", "enforced"), towards),
        pending=_hits(fields.listed(told, "pending_policies", "pendingPolicies", "pending"), towards),
    )  # fmt: skip


def _end(of: fields.Object, side: str) -> flows.End:
    namespace = fields.text(of, f"{side}_namespace", f"{side}Namespace")
    name = fields.text(of, f"{side}_name", f"{side}Name")
    kind = _enum(of, _ENDPOINTS, f"{side}_type", f"{side}Type", wanted=False)
    if not kind:
        kind = _kind(namespace, name)
    name = _NETWORKS.get(name, name) if kind == calico.NETWORK else name
    if not name:
        raise ValueError(f"{side}_name is not there")
    return flows.End(kind=kind, namespace=namespace, name=name)


def _kind(namespace: str, name: str) -> str:
    """What Whisker has left out. A network set in a namespace looks like a bare pod, a host like a set."""
    if name in _NETWORKS or name in (calico.PUBLIC, calico.PRIVATE):
        return calico.NETWORK
    return calico.POD if namespace else calico.SET


def _enum(of: fields.Object, words: tuple[str, ...], *names: str, wanted: bool = True) -> str:
    """The name of an enum's value, from that or its number; empty for nothing, if it is not wanted."""
    value: Any = fields.first(of, *names)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, int) and 0 < value < len(words):
        return words[value]
    if isinstance(value, str) and value in words:
        return value
    if not wanted and (value is None or value == 0 or str(value).endswith("Unspecified")):
        return ""
    said = "is not there" if value in (None, 0) else f"is {value!r}, not one of {', '.join(words[1:])}"
    raise ValueError(f"{names[0]} {said}")


def _hits(told: list[Any], towards: enums.Direction) -> tuple[policyhit.PolicyHit, ...]:
    """Hits in the order of the path."""
    if not all(isinstance(one, dict) for one in told):
        raise ValueError("a policy is no object")
    placed = sorted(told, key=lambda one: fields.number(one, "policy_index", "policyIndex"))
    return tuple(_hit(one, towards) for one in placed)


def _hit(of: fields.Object, towards: enums.Direction) -> policyhit.PolicyHit:
    kind = _SHORT[_enum(of, _POLICIES, "kind")]
    action = enums.Action(_enum(of, _ACTIONS, "action").lower())
    tier = fields.text(of, "tier")
    if kind == policyhit.END_OF_TIER:
        return policyhit.PolicyHit(direction=towards, tier=tier, kind=kind, action=action)
    if kind == policyhit.PROFILE:
        tier = policyhit.PROFILE_TIER
    return policyhit.PolicyHit(
        direction=towards, tier=tier, kind=kind, namespace=fields.text(of, "namespace"),
        name=fields.text(of, "name"), action=action, rule=_rule(of),
    )  # fmt: skip


def _rule(of: fields.Object) -> int:
    value = fields.first(of, "rule_index", "ruleIndex")
    is_none = str(value) == str(policyhit.NO_RULE)
    return policyhit.NO_RULE if is_none else fields.number(of, "rule_index", "ruleIndex", bits=31)


def _labels(flow: fields.Object, *names: str) -> dict[str, str]:
    value = fields.first(flow, *names)
    if isinstance(value, str):
        return fields.labels(value.split(_LABELS_BETWEEN))
    return fields.labels(fields.listed(flow, *names))
