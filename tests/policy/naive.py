"""Verdicts as the specification has them, one connection and one rule at a time: slow, and obvious."""

from __future__ import annotations

import dataclasses
import ipaddress

from model import cluster, enums
from policy import objects, selector, subjects

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(frozen=True)
class End:
    """A pod by its number, or None, and an address."""

    pod: int | None
    address: Address


@dataclasses.dataclass(frozen=True)
class Flow:
    src: End
    dst: End
    protocol: int
    src_port: int
    dst_port: int
    icmp_type: int = 8
    icmp_code: int = 0


class Naive:
    """All that there is."""

    def __init__(self, policies: objects.PolicySet, found: cluster.Cluster) -> None:
        self.policies, self.cluster = policies, found
        every = subjects.endpoints(found)
        self.pods = [one for one in every if one.kind is enums.EndpointKind.POD]
        self.sets = [one for one in every if one.kind is not enums.EndpointKind.POD]

    def denied(self, flow: Flow) -> tuple[bool, list[str], list[str]]:
        """Whether it is denied, and what it met on its way out and in."""
        egress, ingress = self._egress(flow), self._ingress(flow)
        denied = any(trace and trace[-1].split("|")[3] == "deny" for trace in (egress, ingress))
        return denied, egress, ingress

    def _egress(self, flow: Flow) -> list[str]:
        if flow.src.pod is None or flow.src.pod == flow.dst.pod:
            return []
        return self._judge(self.pods[flow.src.pod], enums.Direction.EGRESS, flow)

    def _ingress(self, flow: Flow) -> list[str]:
        if flow.dst.pod is None or flow.src.pod == flow.dst.pod:
            return []
        pod = self.pods[flow.dst.pod]
        if flow.src.pod is None and pod.node and self._node(flow.src.address) == pod.node:
            return []
        return self._judge(pod, enums.Direction.INGRESS, flow)

    def _node(self, address: Address) -> str:
        for pod in self.cluster.pods:
            if pod.host_network and str(address) in pod.addresses:
                return pod.node
        return next((n.name for n in self.cluster.nodes if str(address) in n.addresses), "")

    def _judge(self, pod: subjects.Endpoint, direction: enums.Direction, flow: Flow) -> list[str]:
        trace: list[str] = []
        for tier in self.policies.tiers:
            applying = [
                one for one in self.policies.policies
                if one.tier == tier.name and direction in one.types and not one.early
                and one.subjects.matches(pod.labels)
            ]  # fmt: skip
            if not applying:
                continue
            word = self._tier(applying, direction, flow, trace)
            if word in ("allow", "deny"):
                return trace
            if word == "":
                trace.append(f"{direction}|{tier.name}|end-of-tier|{tier.default_action}|-1")
                if tier.default_action is enums.Action.DENY:
                    return trace
        trace.append(f"{direction}|__PROFILE__|pro:kns.{pod.namespace}|allow|0")
        return trace

    def _tier(
        self, policies: list[objects.Policy], direction: enums.Direction, flow: Flow, trace: list[str]
    ) -> str:
        for policy in policies:
            for index, rule in enumerate(policy.rules(direction)):
                if rule.action is objects.RuleAction.LOG or not self.matches(rule, flow):
                    continue
                owner = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
                trace.append(f"{direction}|{policy.tier}|{policy.kind}:{owner}|{rule.action}|{index}")
                return str(rule.action)
        return ""

    def matches(self, rule: objects.Rule, flow: Flow) -> bool:
        """Whether a rule matches: everything that is given has to hold."""
        return (
            rule.protocol in (None, flow.protocol)
            and rule.not_protocol != flow.protocol
            and rule.ip_version in (None, flow.dst.address.version)
            and (rule.icmp is None or _icmp(rule.icmp, flow))
            and (rule.not_icmp is None or not _icmp(rule.not_icmp, flow))
            and self._side(rule.source, flow.src, flow.protocol, flow.src_port)
            and self._side(rule.destination, flow.dst, flow.protocol, flow.dst_port)
        )

    def _side(self, peer: objects.Peer, end: End, protocol: int, port: int) -> bool:
        if peer.nets and not any(end.address in net for net in peer.nets):
            return False
        if peer.not_nets:
            if all(net.version != end.address.version for net in peer.not_nets):
                return False
            if any(end.address in net for net in peer.not_nets):
                return False
        if peer.not_members and self._is_member(peer.not_members, end):
            return False
        if _within(peer.not_ports, port) or self._names(end, protocol, port) & set(peer.not_port_names):
            return False
        is_member = peer.members is None or self._is_member(peer.members, end)
        if not peer.ports and not peer.port_names:
            return is_member
        named = bool(self._names(end, protocol, port) & set(peer.port_names)) and (
            peer.members is None or (end.pod is not None and peer.members.matches(self.pods[end.pod].labels))
        )
        return named or (is_member and _within(peer.ports, port))

    def _is_member(self, members: selector.Selector, end: End) -> bool:
        """Whether the address belongs to a pod or a network set that a selector matches."""
        if end.pod is not None and members.matches(self.pods[end.pod].labels):
            return True
        return any(
            end.address in net and members.matches(one.labels) for one in self.sets for net in one.nets
        )

    def _names(self, end: End, protocol: int, port: int) -> set[str]:
        if end.pod is None:
            return set()
        ports = self.pods[end.pod].ports
        return {one.name for one in ports if (one.protocol, one.number) == (protocol, port)}


def _icmp(message: objects.Icmp, flow: Flow) -> bool:
    return message.type == flow.icmp_type and message.code in (None, flow.icmp_code)


def _within(ranges: tuple[objects.PortRange, ...], port: int) -> bool:
    return any(span.first <= port <= span.last for span in ranges)
