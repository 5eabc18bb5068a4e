"""Hubble's flows, as ``hubble observe -o jsonpb`` and its exporter write them: events, made connections.

Hubble (cilium/api/v1/flow/flow.proto) tells of packets at points of their way, not of connections, and of no
bytes. So events of one five-tuple on one node are taken together, for as long as no minute passes without
one: a row has the packets of the point that saw most, zero bytes, and one connection begun where a TCP packet
had SYN and no ACK, where a policy was asked (which Cilium does for new connections alone), or where the
protocol has no handshake. Replies make no rows: they tell that somebody answered.

An endpoint has an ``ID`` on its own node alone, which is how a node is known to host it. ``allowed`` is what
was answered or got to an endpoint of this node; what was forwarded out of the node without an answer in the
same piece of the file is ``unknown``, since it may have been dropped further on, or the answers were left
out of the export. ``AUDIT`` passed, and would be denied if its policy were enforced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.exports import decisions, fields, owners, rows
from model import enums, policyhit

SILENCE = 70 * 10**9
"""Nanoseconds without an event after which the same five-tuple is another connection: TCP sends a SYN again
after up to 64 seconds (Linux, tcp_syn_retries), and a port rests for 60 before it is taken again."""

_FORWARDED = ("FORWARDED", "REDIRECTED", "AUDIT")
_DROPPED = "DROPPED"
_NO_WORD = ("TRACED", "TRANSLATED")
"""Of these another event tells what became of the packet."""
_POLICY_DROPS = ("POLICY_DENIED", "POLICY_DENY", "AUTH_REQUIRED")
_NUMBERED_DROPS = {133: "POLICY_DENIED", 181: "POLICY_DENY", 189: "AUTH_REQUIRED"}
"""What Hubble wrote before it wrote words."""
_ROUTING_DROPS = ("FIB_LOOKUP_FAILED", "TTL_EXCEEDED", "NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT", "NO_NODE_ID",
                  "UNKNOWN_L3_TARGET_ADDRESS", "NO_EGRESS_GATEWAY")  # fmt: skip
_POLICY_VERDICT = 5
"""Cilium's number for the event that a policy was asked (pkg/monitor/api)."""

_PROTOCOLS = {"TCP": 6, "UDP": 17, "ICMPv4": 1, "ICMPv6": 58, "SCTP": 132, "VRRP": 112, "IGMP": 2}
_REQUESTS = {(1, 0): 8, (58, 129): 128}
"""The request that a reply of ICMP answers."""
_KINDS = {"NetworkPolicy": "knp"}
_DERIVED = "k8s:io.cilium.k8s.policy.derived-from="
_OWN_LABELS = ("io.kubernetes.pod.", "io.cilium.")
"""What Cilium adds to the labels of a pod."""
_NODES = ("reserved:host", "reserved:remote-node")

_COLUMNS = ("key", "time", "reply", "place", "dropped", "by_policy", "forwarded", "begins", "answers", "ends",
            "src_here", "dst_here")  # fmt: skip
"""What is kept of an event, as numbers."""


@dataclasses.dataclass(slots=True)
class _Events:
    """Events as columns: of each which connection it is of, and what it says of it."""

    flows: list[fields.Object] = dataclasses.field(default_factory=list)
    lines: list[int] = dataclasses.field(default_factory=list)
    keys: dict[tuple[Any, ...], int] = dataclasses.field(default_factory=dict)
    columns: dict[str, list[int]] = dataclasses.field(default_factory=lambda: {name: [] for name in _COLUMNS})

    def add(self, line: int, flow: fields.Object, key: tuple[Any, ...], **values: int) -> None:
        self.flows.append(flow)
        self.lines.append(line)
        self.columns["key"].append(self.keys.setdefault(key, len(self.keys)))
        for name, value in values.items():
            self.columns[name].append(value)


def read(records: Sequence[tuple[int, Any]], into: rows.Rows) -> None:
    """Take the events of a piece; those that are wrong are said to be bad."""
    found = _Events()
    for line, flow in records:
        try:
            if not _is_besides(flow, into) and not _take(line, flow, found, into.node):
                into.skipped += 1
        except ValueError as error:
            into.bad.append((line, str(error)))
    told = {name: np.array(values, np.int64) for name, values in found.columns.items()}
    for group in _groups(told):
        try:
            _add(found, {name: values[group] for name, values in told.items()}, group, into)
        except ValueError as error:
            into.bad.append((found.lines[int(group[0])], str(error)))


def _is_besides(flow: fields.Object, into: rows.Rows) -> bool:
    """Whether it is what Hubble says besides flows; what it has lost is counted."""
    lost = fields.part(flow, "lost_events")
    if lost:
        at = _node(flow, into.node), fields.moment(flow, "time")
        into.lost[at] += fields.number(lost, "num_events_lost")
    return bool(lost) or "node_status" in flow


def _node(flow: fields.Object, otherwise: str) -> str:
    """The node's name, without that of its cluster before it."""
    return fields.text(flow, "node_name").rpartition("/")[2] or otherwise


def _take(line: int, flow: fields.Object, into: _Events, otherwise: str) -> bool:
    """Take an event; False if it is none of a packet that we follow."""
    verdict = fields.text(flow, "verdict")
    if not verdict:
        raise ValueError("verdict is not there")
    layer, ip = fields.part(flow, "l4"), fields.part(flow, "IP")
    if verdict in _NO_WORD or fields.text(flow, "Type") in ("L7", "SOCK") or not layer or not ip:
        return False
    name = next((one for one in _PROTOCOLS if one in layer), "")
    if not name:
        raise ValueError(f"l4 has no protocol that we know: {', '.join(layer)}")
    told, protocol = fields.part(layer, name), _PROTOCOLS[name]
    flags = fields.part(told, "flags")
    reply = _is_reply(flow, protocol, told, flags)
    ends = _end_key(ip, told, "source"), _end_key(ip, told, "destination")
    here = _here(flow, "source"), _here(flow, "destination")
    if not any(here) and not reply:
        towards = fields.text(flow, "traffic_direction")
        here = towards == "EGRESS", towards == "INGRESS"
    if reply:
        ends, here = ends[::-1], here[::-1]
    icmp = _icmp(protocol, told)
    reason = _reason(flow)
    event = fields.part(flow, "event_type")
    asked = fields.number(event, "type") == _POLICY_VERDICT
    into.add(
        line, flow, (_node(flow, otherwise), protocol, icmp, *ends), time=fields.moment(flow, "time"),
        reply=reply, place=_place(flow, asked), dropped=verdict == _DROPPED,
        by_policy=verdict == _DROPPED and reason in _POLICY_DROPS, forwarded=verdict in _FORWARDED,
        begins=_begins(flow, protocol, flags, asked), answers=bool(flags.get("ACK")) and not flags.get("SYN"),
        ends=bool(flags.get("FIN") or flags.get("RST")), src_here=here[0], dst_here=here[1],
    )  # fmt: skip
    return True


def _end_key(ip: fields.Object, told: fields.Object, side: str) -> tuple[bytes, int]:
    return fields.packed(ip, side), fields.number(told, f"{side}_port", bits=16)


def _here(flow: fields.Object, side: str) -> bool:
    return fields.number(fields.part(flow, side), "ID") > 0


def _is_reply(flow: fields.Object, protocol: int, told: fields.Object, flags: fields.Object) -> bool:
    """Whether it is said to be one; where nothing is said, whether it can only be one."""
    said = flow.get("is_reply")
    if isinstance(said, bool):
        return said
    pong = (protocol, fields.number(told, "type", bits=8)) in _REQUESTS if protocol in enums.PINGS else False
    return bool(flow.get("reply")) or bool(flags.get("SYN") and flags.get("ACK")) or pong


def _icmp(protocol: int, told: fields.Object) -> tuple[int, int]:
    """Type and code of a request."""
    if protocol not in enums.PINGS:
        return 0, 0
    kind = fields.number(told, "type", bits=8)
    return _REQUESTS.get((protocol, kind), kind), fields.number(told, "code", bits=8)


def _begins(flow: fields.Object, protocol: int, flags: fields.Object, asked: bool) -> bool:
    reason = fields.text(flow, "trace_reason")
    if protocol == enums.Protocol.TCP:
        return bool(flags.get("SYN") and not flags.get("ACK")) or asked or reason == "NEW"
    return reason != "ESTABLISHED"


_PLACES: tuple[str, ...] = (
    "", "DROP", "POLICY", "TO_PROXY", "TO_HOST", "TO_STACK", "TO_OVERLAY", "TO_ENDPOINT", "FROM_ENDPOINT",
    "FROM_PROXY", "FROM_HOST", "FROM_STACK", "FROM_OVERLAY", "FROM_NETWORK", "TO_NETWORK", "FROM_CRYPTO",
    "TO_CRYPTO",
)  # fmt: skip
"""Where a packet can be seen; a packet is seen at several."""


def _place(flow: fields.Object, asked: bool) -> int:
    if asked:
        return _PLACES.index("POLICY")
    point = fields.text(flow, "trace_observation_point")
    if fields.text(flow, "verdict") == _DROPPED:
        point = "DROP"
    return _PLACES.index(point) if point in _PLACES else 0


def _reason(flow: fields.Object) -> str:
    said = fields.text(flow, "drop_reason_desc")
    return said or _NUMBERED_DROPS.get(fields.number(flow, "drop_reason"), "")


def _groups(told: dict[str, npt.NDArray[np.int64]]) -> list[npt.NDArray[np.intp]]:
    """The events of each connection, in the order of time."""
    keys, times = told["key"], told["time"]
    if not len(keys):
        return []
    order = np.lexsort((times, keys))
    keys, times = keys[order], times[order]
    begins = np.flatnonzero((np.diff(keys) != 0) | (np.diff(times) > SILENCE)) + 1
    groups = np.split(order, begins)
    return sorted(groups, key=lambda group: int(group.min()))


def _add(
    found: _Events, of: dict[str, npt.NDArray[np.int64]], group: npt.NDArray[np.intp], into: rows.Rows
) -> None:
    """The row of one connection; none of replies alone."""
    sent = of["reply"] == 0
    if not sent.any():
        into.skipped += len(group)
        return
    flows = [found.flows[i] for i in group[sent]]
    src_here, dst_here = bool(of["src_here"].any()), bool(of["dst_here"].any())
    node = _node(flows[0], into.node)
    ends = [
        _end(flows[0], side, node, here) for side, here in (("source", src_here), ("destination", dst_here))
    ]
    protocol = int(_protocol(flows[0]))
    verdict = _verdict(of, sent, dst_here)
    ended = bool(of["ends"].any()) and protocol == enums.Protocol.TCP
    service = fields.part(flows[0], "destination_service")
    icmp = _icmp(protocol, fields.part(fields.part(flows[0], "l4"), _name(flows[0])))
    into.add(
        *ends, node=node, time=int(of["time"][-1]), started=int(of["time"][sent][0]),
        ended=int(of["time"][-1]) if ended else 0, protocol=protocol, icmp_type=icmp[0], icmp_code=icmp[1],
        forward_packets=_packets(of["place"][sent]), reverse_packets=_packets(of["place"][~sent]),
        connections_started=int(of["begins"][sent].any()), connections_ended=int(ended),
        reporter=_reporter(src_here, dst_here), verdict=verdict,
        service=fields.text(service, "name"), service_namespace=fields.text(service, "namespace"),
        pending_verdict=_audited(flows), **_told(flows, verdict),
    )  # fmt: skip


def _name(flow: fields.Object) -> str:
    return next(one for one in _PROTOCOLS if one in flow["l4"])


def _protocol(flow: fields.Object) -> int:
    return _PROTOCOLS[_name(flow)]


def _packets(places: npt.NDArray[np.int64]) -> int:
    """How many packets were seen, at the place that saw most."""
    return int(np.bincount(places).max()) if len(places) else 0


def _verdict(
    of: dict[str, npt.NDArray[np.int64]], sent: npt.NDArray[np.bool_], dst_here: bool
) -> enums.Verdict:
    forwarded = bool(of["forwarded"][sent].any())
    if of["by_policy"][sent].any() or (of["dropped"][sent].any() and not forwarded):
        return enums.Verdict.DENIED
    answered = bool((~sent).any() or of["answers"][sent].any())
    return enums.Verdict.ALLOWED if forwarded and (answered or dst_here) else enums.Verdict.UNKNOWN


def _audited(flows: list[fields.Object]) -> str:
    audited = any(fields.text(flow, "verdict") == "AUDIT" for flow in flows)
    return enums.Verdict.DENIED.value if audited else ""


def _reporter(src_here: bool, dst_here: bool) -> enums.Reporter:
    if src_here and dst_here:
        return enums.Reporter.BOTH
    return enums.Reporter.SRC if src_here else enums.Reporter.DST if dst_here else enums.Reporter.NONE


def _end(flow: fields.Object, side: str, node: str, here: bool) -> rows.End:
    """An end, as the first event tells of it."""
    told, ip = fields.part(flow, side), fields.part(flow, "IP")
    packed, port = _end_key(ip, fields.part(flow["l4"], _name(flow)), side)
    named = fields.listed(told, "labels")
    pod, namespace = fields.text(told, "pod_name"), fields.text(told, "namespace")
    at: dict[str, Any] = {"address": packed, "port": port, "node": node if here else ""}
    if pod or namespace:
        labels = _labels(named)
        kind, workload = _workload(told, pod, labels)
        return rows.End(kind=enums.EndpointKind.POD, namespace=namespace, workload_kind=kind,
                        workload=workload, pod=pod, labels=labels, **at)  # fmt: skip
    if any(one in named for one in _NODES):
        is_here = _NODES[0] in named
        own = {"node": node} if is_here else {}
        return rows.End(kind=enums.EndpointKind.NODE, workload=node if is_here else "", **(at | own))
    return rows.End(kind=fields.kind_of_address(packed), **at)


def _workload(told: fields.Object, pod: str, labels: dict[str, str]) -> tuple[str, str]:
    for one in fields.listed(told, "workloads"):
        if isinstance(one, dict) and one.get("name"):
            return fields.text(one, "kind"), fields.text(one, "name")
    return owners.owner(pod, labels)[:2]


def _labels(named: list[Any]) -> dict[str, str]:
    """The labels that Kubernetes has; Cilium keeps those alone that it tells pods apart by."""
    own = [one.removeprefix("k8s:") for one in named if isinstance(one, str) and one.startswith("k8s:")]
    return fields.labels([one for one in own if not one.startswith(_OWN_LABELS)])


def _told(flows: list[fields.Object], verdict: enums.Verdict) -> dict[str, str]:
    """What policies said: the rules that Hubble names, and the default where it names none."""
    hits = tuple(dict.fromkeys(hit for flow in flows for hit in _hits(flow)))
    placed = tuple(sorted(hits, key=lambda hit: hit.direction is enums.Direction.INGRESS))
    is_unnamed = verdict is enums.Verdict.DENIED and not hits
    reasons = [reason for flow in flows if (reason := _reason(flow))]
    drop_reason = _why(reasons) if is_unnamed else ""
    return {**decisions.columns(placed, enums.Attribution.IMPORTED), "drop_reason": drop_reason}


def _why(reasons: list[str]) -> str:
    if any(reason in _POLICY_DROPS for reason in reasons):
        return enums.DropReason.POLICY.value
    routed = any(reason in _ROUTING_DROPS for reason in reasons)
    return (enums.DropReason.ROUTING if routed else enums.DropReason.UNKNOWN).value


def _hits(flow: fields.Object) -> list[policyhit.PolicyHit]:
    found = [
        _hit(policy, direction, action)
        for direction in enums.Direction
        for word, action in (("allowed", enums.Action.ALLOW), ("denied", enums.Action.DENY))
        for policy in fields.listed(flow, f"{direction}_{word}_by")
    ]
    towards = fields.text(flow, "traffic_direction").lower()
    by_default = fields.text(flow, "verdict") == _DROPPED and _reason(flow) == "POLICY_DENIED"
    if not found and by_default and towards in list(enums.Direction):
        found = [policyhit.PolicyHit(direction=enums.Direction(towards), kind=policyhit.DEFAULT_DENY,
                                     action=enums.Action.DENY)]  # fmt: skip
    return found


def _hit(policy: Any, direction: enums.Direction, action: enums.Action) -> policyhit.PolicyHit:
    if not isinstance(policy, dict):
        raise ValueError("a policy is no object")
    namespace = fields.text(policy, "namespace")
    derived = next((one.removeprefix(_DERIVED) for one in fields.listed(policy, "labels")
                    if isinstance(one, str) and one.startswith(_DERIVED)), "")  # fmt: skip
    default = "CiliumNetworkPolicy" if namespace else "CiliumClusterwideNetworkPolicy"
    kind = fields.text(policy, "kind") or derived or default
    return policyhit.PolicyHit(direction=direction, kind=_KINDS.get(kind, kind), namespace=namespace,
                               name=fields.text(policy, "name"), action=action)  # fmt: skip
