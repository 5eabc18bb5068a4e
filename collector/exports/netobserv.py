"""NetObserv's flows, as its pipeline writes them to Kafka, to Loki and to files.

Fields as NetObserv documents them (network-observability-operator, docs/flows-format.adoc). A record has one
direction of a connection, seen on one node over a few seconds. Which of both it is follows from the TCP flags
that its agent sets for packets with two flags (SYN+ACK is the answer), else from ICMP's types, a service as
its source, or a port below 32768 (Linux gives clients those from there on) against one that is not lower.
Answers are turned round: their volume is the reverse one.

``Flags`` say whether a connection began. Without a handshake the first record of a five-tuple in a piece of
the file counts as a beginning. An agent that samples tells of its samples, and so do these rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from collector.exports import decisions, fields, owners, rows
from model import enums, policyhit

_SYN, _ACK = 0x02, 0x10
_SYN_ACK = 0x100
_CUSTOM = 0x700
"""Flags that the agent has made up: SYN+ACK, FIN+ACK, RST+ACK in one packet."""
_ENDING = 0x01 | 0x04 | 0x200 | 0x400
_CLIENT_PORTS = 32_768
_PONGS = {(1, 0): 8, (58, 129): 128}
"""Answers of ICMP, and what they answer."""
_INGRESS, _EGRESS, _INNER = range(3)

_KINDS = {"NetworkPolicy": "knp", "AdminNetworkPolicy": "kanp", "BaselineAdminNetworkPolicy": "kbanp"}
_POLICY_CAUSES = ("NETFILTER", "OVS_DROP_EXPLICIT", "OVS_DROP_ACTION", "BPF_CGROUP")
_ROUTING_CAUSES = ("ROUTE", "RPFILTER", "IP_RPFILTER", "OTHERHOST", "NEIGH", "IP_INHDR", "TTL")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A record, and what it needs the others of its piece for."""

    line: int
    flow: fields.Object
    key: tuple[Any, ...]
    is_answer: bool


def read(records: Sequence[tuple[int, Any]], into: rows.Rows) -> None:
    """Take the records of a piece; those that are wrong are said to be bad."""
    found: list[_Record] = []
    for line, flow in records:
        try:
            if _is_flow(flow):
                found.append(_record(line, flow))
            else:
                into.skipped += 1
        except ValueError as error:
            into.bad.append((line, str(error)))
    answered = {one.key for one in found if one.is_answer}
    begun: set[tuple[Any, ...]] = set()
    for one in found:
        try:
            _add(one, one.key in answered, one.key not in begun, into)
        except ValueError as error:
            into.bad.append((one.line, str(error)))
        else:
            begun |= {one.key} if not one.is_answer else set()


def _is_flow(flow: fields.Object) -> bool:
    """Whether a record is one of packets, and no other tells of the same ones."""
    kind = fields.text(flow, "_RecordType")
    if fields.text(flow, "Duplicate").lower() == "true" or kind not in ("", "flowLog"):
        return False
    return not ("Etype" in flow and "SrcAddr" not in flow)  # such as ARP


def _record(line: int, flow: fields.Object) -> _Record:
    protocol = fields.protocol(flow, "Proto")
    ends = [(fields.packed(flow, f"{side}Addr"), fields.number(flow, f"{side}Port", bits=16))
            for side in ("Src", "Dst")]  # fmt: skip
    if not any(any(packed) for packed, _ in ends):
        raise ValueError("SrcAddr and DstAddr are not there")
    is_answer = _is_answer(flow, protocol, ends[0][1], ends[1][1])
    key = (_node(flow), protocol, _icmp(flow, protocol), *(ends[::-1] if is_answer else ends))
    return _Record(line=line, flow=flow, key=key, is_answer=is_answer)


def _is_answer(flow: fields.Object, protocol: int, src_port: int, dst_port: int) -> bool:
    if protocol in enums.PINGS:
        return "IcmpType" in flow and (protocol, fields.number(flow, "IcmpType", bits=8)) in _PONGS
    flags = fields.number(flow, "Flags") if protocol == enums.Protocol.TCP else 0
    if flags & _SYN_ACK:
        return True
    if flags & _SYN and (flags & _CUSTOM or not flags & _ACK):
        return False
    if "Service" in (of := [fields.text(flow, f"{side}K8S_Type") for side in ("Src", "Dst")]):
        return of[0] == "Service"
    return src_port < _CLIENT_PORTS <= dst_port


def _icmp(flow: fields.Object, protocol: int) -> tuple[int, int]:
    if protocol not in enums.PINGS:
        return 0, 0
    kind = fields.number(flow, "IcmpType", bits=8)
    return _PONGS.get((protocol, kind), kind) if "IcmpType" in flow else 0, fields.number(
        flow, "IcmpCode", bits=8
    )


def _direction(flow: fields.Object) -> int:
    """What the record's packets were to its node; where that is not said, by the agent's address."""
    if fields.first(flow, "FlowDirection") is not None:
        return fields.number(flow, "FlowDirection")
    agent = fields.text(flow, "AgentIP")
    ends = [bool(agent) and fields.text(flow, f"{side}K8S_HostIP") == agent for side in ("Src", "Dst")]
    return _INNER if all(ends) else _EGRESS if ends[0] else _INGRESS if ends[1] else -1


def _node(flow: fields.Object) -> str:
    """The node's name, by the end that it hosts; else its agent's address; empty where neither is known."""
    sides = {_INGRESS: ("Dst",), _EGRESS: ("Src",), _INNER: ("Src", "Dst")}.get(_direction(flow), ())
    return fields.text(flow, *(f"{side}K8S_HostName" for side in sides), "AgentIP")


def _add(one: _Record, answered: bool, is_first: bool, into: rows.Rows) -> None:
    flow, protocol = one.flow, one.key[1]
    sides = ("Dst", "Src") if one.is_answer else ("Src", "Dst")
    ends = [_end(flow, side) for side in sides]
    flags = fields.number(flow, "Flags") if protocol == enums.Protocol.TCP else 0
    ended = bool(flags & _ENDING)
    begins = flags & _SYN > 0 if protocol == enums.Protocol.TCP else is_first
    until = fields.moment(flow, "TimeFlowEndMs", "TimeReceived")
    started = fields.moment(flow, "TimeFlowStartMs", "TimeFlowEndMs", "TimeReceived")
    way = "reverse" if one.is_answer else "forward"
    hits = _hits(flow)
    lost = _drop_reason(flow)
    icmp = _icmp(flow, protocol)
    values: dict[str, Any] = {
        f"{way}_packets": fields.number(flow, "Packets"), f"{way}_bytes": fields.number(flow, "Bytes"),
    }  # fmt: skip
    into.add(
        *ends, node=_node(flow), time=until, started=started, ended=until if ended else 0, protocol=protocol,
        icmp_type=icmp[0], icmp_code=icmp[1], connections_started=int(begins and not one.is_answer),
        connections_ended=int(ended and not one.is_answer), reporter=_reporter(flow, one.is_answer),
        verdict=_verdict(hits, lost, bool(answered or flags & _ACK or flags & _CUSTOM)),
        drop_reason="" if hits else lost, **decisions.columns(hits, enums.Attribution.IMPORTED),
        **_service(flow, sides[1]), **values,
    )  # fmt: skip


def _end(flow: fields.Object, side: str) -> rows.End:
    packed, kind = fields.packed(flow, f"{side}Addr"), fields.text(flow, f"{side}K8S_Type")
    name, node = (fields.text(flow, f"{side}K8S_{part}") for part in ("Name", "HostName"))
    at: dict[str, Any] = {
        "address": packed, "port": fields.number(flow, f"{side}Port", bits=16),
        "zone": fields.text(flow, f"{side}K8S_Zone"),
    }  # fmt: skip
    if kind == "Pod":
        owner, owner_kind = (fields.text(flow, f"{side}K8S_Owner{part}") for part in ("Name", "Type"))
        owner_kind, owner = (owner_kind, owner) if owner else owners.owner(name, {})[:2]
        return rows.End(kind=enums.EndpointKind.POD, namespace=fields.text(flow, f"{side}K8S_Namespace"),
                        workload_kind=owner_kind, workload=owner, pod=name, node=node, **at)  # fmt: skip
    if kind == "Node":
        return rows.End(kind=enums.EndpointKind.NODE, workload=name, node=node or name, **at)
    return rows.End(kind=fields.kind_of_address(packed), node=node, **at)


def _service(flow: fields.Object, side: str) -> dict[str, Any]:
    """The service, where the record was taken before its address was translated."""
    if fields.text(flow, f"{side}K8S_Type") != "Service":
        return {}
    return {
        "service": fields.text(flow, f"{side}K8S_Name"),
        "service_address": fields.packed(flow, f"{side}Addr"),
        "service_namespace": fields.text(flow, f"{side}K8S_Namespace"),
        "service_port": fields.number(flow, f"{side}Port", bits=16),
    }  # fmt: skip


def _reporter(flow: fields.Object, is_answer: bool) -> enums.Reporter:
    """Which end of the connection the node hosts: of an answer, the other one than of its packets."""
    found = {
        _INGRESS: enums.Reporter.DST, _EGRESS: enums.Reporter.SRC, _INNER: enums.Reporter.BOTH,
    }.get(_direction(flow), enums.Reporter.NONE)  # fmt: skip
    turned = {enums.Reporter.SRC: enums.Reporter.DST, enums.Reporter.DST: enums.Reporter.SRC}
    return turned.get(found, found) if is_answer else found


def _hits(flow: fields.Object) -> tuple[policyhit.PolicyHit, ...]:
    """The rules that OVN-Kubernetes has named; a text without fields names none."""
    events = [one for one in fields.listed(flow, "NetworkEvents") if isinstance(one, dict)]
    told = (_hit(one) for one in events if fields.text(one, "Feature") == "acl")
    hits = [hit for hit in told if hit]
    return tuple(sorted(hits, key=lambda hit: hit.direction is enums.Direction.INGRESS))


def _hit(event: fields.Object) -> policyhit.PolicyHit | None:
    said, towards = (fields.text(event, name).lower() for name in ("Action", "Direction"))
    action = (
        enums.Action.ALLOW if said.startswith("allow") else enums.Action.PASS if said == "pass"
        else enums.Action.DENY if said in ("drop", "reject", "deny") else None
    )  # fmt: skip
    if action is None or towards not in list(enums.Direction):
        return None
    kind = fields.text(event, "Type")
    return policyhit.PolicyHit(
        direction=enums.Direction(towards), kind=_KINDS.get(kind, kind or policyhit.CUSTOM),
        namespace=fields.text(event, "Namespace"), name=fields.text(event, "Name"), action=action,
    )  # fmt: skip


def _drop_reason(flow: fields.Object) -> str:
    """What dropped all of its packets on their way; empty if they went on, or ended where they should."""
    dropped = fields.number(flow, "PktDropPackets")
    if not dropped or dropped < fields.number(flow, "Packets"):
        return ""
    cause = fields.text(flow, "PktDropLatestDropCause")
    if any(word in cause for word in _POLICY_CAUSES):
        return enums.DropReason.POLICY.value
    return enums.DropReason.ROUTING.value if any(word in cause for word in _ROUTING_CAUSES) else ""


def _verdict(hits: tuple[policyhit.PolicyHit, ...], lost: str, answered: bool) -> enums.Verdict:
    decided = [hit.action for hit in hits if hit.action is not enums.Action.PASS]
    if enums.Action.DENY in decided or (lost and not answered):
        return enums.Verdict.DENIED
    admitted = any(
        hit.action is enums.Action.ALLOW and hit.direction is enums.Direction.INGRESS for hit in hits
    )
    return enums.Verdict.ALLOWED if answered or admitted else enums.Verdict.UNKNOWN
