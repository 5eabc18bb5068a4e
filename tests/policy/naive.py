"""Verdicts as the specification has them, one connection and one rule at a time: slow, and obvious."""

from __future__ import annotations

import dataclasses
import ipaddress

from model import cluster, enums
from policy import objects, selector, subjects

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
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
        self.hosts = [one for one in every if one.kind is enums.EndpointKind.HOST_ENDPOINT]

    def denied(self, flow: Flow) -> tuple[bool, list[str], list[str]]:
        """Whether it is denied, and what it met on its way out and in."""
        egress, ingress = self._egress(flow), self._ingress(flow)
        return _is_denied(egress) or _is_denied(ingress), egress, ingress

    def _egress(self, flow: Flow) -> list[str]:
        """As a packet goes: in by the pod's interface, its policies, out by an interface of the host."""
        pod, trace = flow.src.pod, []
        same, itself = self._is_one_node(flow), flow.src.pod == flow.dst.pod
        whole = self._of_all(flow.src) if pod is not None and not itself else None
        if whole is not None:
            early = self._early(whole, ("preDNAT",), flow, INGRESS, trace)
            if not early and (flow.dst.pod is not None or not same):
                self._forward(whole, flow, INGRESS, trace)
        if _is_denied(trace):
            return trace
        if pod is not None and not itself:
            trace += self._judge(self.pods[pod], EGRESS, flow)
        host = self._outer(flow.src, flow)
        if _is_denied(trace) or host is None:
            return trace
        if pod is not None:
            self._forward(host, flow, EGRESS, trace)
        elif not self._early(host, ("doNotTrack",), flow, EGRESS, trace):
            self._normal(host, flow, EGRESS, trace)
        return trace

    def _ingress(self, flow: Flow) -> list[str]:
        pod, trace = flow.dst.pod, []
        same, itself = self._is_one_node(flow), flow.src.pod == flow.dst.pod
        host = self._outer(flow.dst, flow)
        if host is not None and not self._early(host, ("doNotTrack", "preDNAT"), flow, INGRESS, trace):
            if pod is None:
                self._normal(host, flow, INGRESS, trace)
            else:
                self._forward(host, flow, INGRESS, trace)
        if pod is None or itself or _is_denied(trace):
            return trace
        if flow.src.pod is not None or not same:
            trace += self._judge(self.pods[pod], INGRESS, flow)
            whole = self._of_all(flow.dst)
            if whole is not None and not _is_denied(trace):
                self._forward(whole, flow, EGRESS, trace)
        return trace

    def _early(
        self, place: int, words: tuple[str, ...], flow: Flow, direction: enums.Direction, trace: list[str]
    ) -> bool:
        """Whether policies have decided that act before others; none is about a failsafe port."""
        if _is_failsafe(flow, direction):
            return False
        for word in words:
            if word == "doNotTrack" and self.cluster.host_endpoints[place].interface == "*":
                continue
            applying = self._applying(self.hosts[place], direction, early=True)
            mine = [one for one in applying if one.early == word]
            if self._through(mine, direction, flow, trace, ends=False):
                return True
        return False

    def _forward(self, place: int, flow: Flow, direction: enums.Direction, trace: list[str]) -> None:
        mine = [one for one in self._applying(self.hosts[place], direction) if one.forward]
        self._through(mine, direction, flow, trace, ends=True)

    def _normal(self, place: int, flow: Flow, direction: enums.Direction, trace: list[str]) -> None:
        mine = self._applying(self.hosts[place], direction)
        if not _is_failsafe(flow, direction) and not self._through(mine, direction, flow, trace, ends=True):
            self._profiles(self.hosts[place], direction, flow, trace)

    def _node_of(self, end: End) -> str:
        return self.pods[end.pod].node if end.pod is not None else self._node(end.address)

    def _is_one_node(self, flow: Flow) -> bool:
        return bool(self._node_of(flow.src)) and self._node_of(flow.src) == self._node_of(flow.dst)

    def _of_all(self, end: End) -> int | None:
        """The host endpoint of all interfaces of a pod's node."""
        node = self._node_of(end)
        return next((
            i for i, one in enumerate(self.cluster.host_endpoints)
            if node and one.node == node and one.interface == "*"
        ), None)  # fmt: skip

    def _outer(self, end: End, flow: Flow) -> int | None:
        """The host endpoint of the interface to other hosts, where it sees the connection."""
        place = self._host_endpoint(end)
        if self._is_one_node(flow) or place is None:
            return None
        return self._of_all(end) if self._is_hidden(place, flow) else place

    def _profiles(
        self, host: subjects.Endpoint, direction: enums.Direction, flow: Flow, trace: list[str]
    ) -> None:
        head = f"{direction}|__PROFILE__"
        for name in host.profiles:
            if name == "projectcalico-default-allow":
                trace.append(f"{head}|pro:{name}|allow|0")
                return
            mine = [one for one in self.policies.profiles if one.name == name]
            if not mine:
                trace.append(f"{head}|pro:{name}|deny|0")
                return
            rules = mine[0].ingress if direction is INGRESS else mine[0].egress
            for index, rule in enumerate(rules):
                if rule.action is objects.RuleAction.LOG or not self.matches(rule, flow):
                    continue
                trace.append(f"{head}|pro:{name}|{rule.action}|{index}")
                if rule.action is objects.RuleAction.PASS:
                    break
                return
        trace.append(f"{head}|no-profile|deny|-1")

    def _host_endpoint(self, end: End) -> int | None:
        """By its address; or its node's: that which has its address, that of all interfaces, the only one."""
        bodies = self.cluster.host_endpoints
        if end.pod is None:
            having = [i for i, one in enumerate(bodies) if str(end.address) in one.addresses]
            if having:
                return min(having, key=lambda i: bodies[i].interface == "*")
        node = self._node_of(end)
        own = {text for one in self.cluster.nodes if one.name == node for text in one.addresses}
        here = [i for i, one in enumerate(bodies) if node and one.node == node]
        named = [i for i in here if bodies[i].interface != "*"]
        for some in (
            [i for i in named if own & set(bodies[i].addresses)],
            [i for i in here if i not in named],
        ):
            if some:
                return some[0]
        return named[0] if len(named) == 1 else None

    def _is_hidden(self, place: int, flow: Flow) -> bool:
        """Whether both ends are of one host, or whether it travels in a packet of another."""
        if self._is_one_node(flow):
            return True
        inside = any(
            pool.encapsulated and flow.dst.address in ipaddress.ip_network(pool.network)
            for pool in self.cluster.pools
        )
        named = self.cluster.host_endpoints[place].interface != "*"
        return named and bool(self._node_of(flow.src)) and flow.dst.pod is not None and inside

    def _applying(
        self, end: subjects.Endpoint, direction: enums.Direction, *, early: bool = False
    ) -> list[objects.Policy]:
        return [
            one for one in self.policies.policies
            if direction in one.types and bool(one.early) is early and one.subjects.matches(end.labels)
        ]  # fmt: skip

    def _node(self, address: Address) -> str:
        for one in (*self.cluster.host_endpoints, *(pod for pod in self.cluster.pods if pod.host_network)):
            if str(address) in one.addresses:
                return one.node
        return next((n.name for n in self.cluster.nodes if str(address) in n.addresses), "")

    def _judge(self, pod: subjects.Endpoint, direction: enums.Direction, flow: Flow) -> list[str]:
        trace: list[str] = []
        if not self._through(self._applying(pod, direction), direction, flow, trace, ends=True):
            trace.append(f"{direction}|__PROFILE__|pro:kns.{pod.namespace}|allow|0")
        return trace

    def _through(
        self, mine: list[objects.Policy], direction: enums.Direction, flow: Flow, trace: list[str], *,
        ends: bool,
    ) -> bool:  # fmt: skip
        """Tier by tier; whether one has decided."""
        for tier in self.policies.tiers:
            applying = [one for one in mine if one.tier == tier.name]
            if not applying:
                continue
            word = self._tier(applying, direction, flow, trace)
            if word in ("allow", "deny"):
                return True
            if word == "" and ends:
                trace.append(f"{direction}|{tier.name}|end-of-tier|{tier.default_action}|-1")
                if tier.default_action is enums.Action.DENY:
                    return True
        return False

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
        itself = self._itself(end)
        named = bool(self._names(end, protocol, port) & set(peer.port_names)) and (
            peer.members is None or (itself is not None and peer.members.matches(itself.labels))
        )
        return named or (is_member and _within(peer.ports, port))

    def _is_member(self, members: selector.Selector, end: End) -> bool:
        """Whether the address belongs to a pod or a network set that a selector matches."""
        if end.pod is not None and members.matches(self.pods[end.pod].labels):
            return True
        return any(
            end.address in net and members.matches(one.labels) for one in self.sets for net in one.nets
        )

    def _itself(self, end: End) -> subjects.Endpoint | None:
        """The pod, or the host endpoint that is expected to have the address."""
        if end.pod is not None:
            return self.pods[end.pod]
        having = [i for i, one in enumerate(self.hosts) if any(end.address in net for net in one.nets)]
        if not having:
            return None
        return self.hosts[min(having, key=lambda i: self.cluster.host_endpoints[i].interface == "*")]

    def _names(self, end: End, protocol: int, port: int) -> set[str]:
        itself = self._itself(end)
        ports = itself.ports if itself else ()
        return {one.name for one in ports if (one.protocol, one.number) == (protocol, port)}


def _is_denied(trace: list[str]) -> bool:
    return bool(trace) and trace[-1].split("|")[3] == "deny"


def _is_failsafe(flow: Flow, direction: enums.Direction) -> bool:
    inbound = {(6, 22), (17, 68)}
    outbound = {(17, 53), (17, 67)}
    both = {(6, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)}
    return (flow.protocol, flow.dst_port) in both | (
        inbound if direction is enums.Direction.INGRESS else outbound
    )


def _icmp(message: objects.Icmp, flow: Flow) -> bool:
    return message.type == flow.icmp_type and message.code in (None, flow.icmp_code)


def _within(ranges: tuple[objects.PortRange, ...], port: int) -> bool:
    return any(span.first <= port <= span.last for span in ranges)
