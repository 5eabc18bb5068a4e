"""Flow logs of Calico Enterprise and Calico Cloud, as they keep them in Elasticsearch.

Fields as Tigera documents them (docs.tigera.io, "Flow log data types"): ``-`` or null stands for what
aggregation has left out; ``in`` and ``out`` are seen from the reporting end; labels and policies are lists
inside an object.
"""

from __future__ import annotations

from typing import Any

from collector.exports import calico, fields, rows
from collector.goldmane import flows
from model import enums, policyhit

_KINDS = {"wep": calico.POD, "hep": calico.HOST, "ns": calico.SET, "net": calico.NETWORK}


def read(flow: fields.Object, into: rows.Rows) -> None:
    """Take one flow log.

    Raises:
        ValueError: If it is none; it says what is wrong.
    """
    reporter = _word(flow, "reporter", enums.Reporter, ("src", "dst"))
    action = _word(flow, "action", enums.Action, ("allow", "deny"))
    protocol = fields.protocol(flow, "proto")
    counted = calico.volume(
        reporter,
        (fields.number(flow, "packets_in"), fields.number(flow, "bytes_in")),
        (fields.number(flow, "packets_out"), fields.number(flow, "bytes_out")),
    )
    host = fields.text(flow, "host")
    src = _end(flow, "source", protocol, host if reporter is enums.Reporter.SRC else "")
    dst = _end(flow, "dest", protocol, host if reporter is enums.Reporter.DST else "")
    into.add(
        src, dst, time=fields.moment(flow, "end_time"), started=fields.moment(flow, "start_time"), node=host,
        protocol=protocol, reporter=reporter, verdict=calico.verdict(reporter, action, counted),
        connections_started=fields.number(flow, "num_flows_started"),
        connections_ended=fields.number(flow, "num_flows_completed"),
        service_namespace=fields.text(flow, "dest_service_namespace"),
        service=fields.text(flow, "dest_service_name"), **_service_port(flow), **counted,
        **calico.policies(*_hits(flow, reporter)),
    )  # fmt: skip


def _word(flow: fields.Object, name: str, kind: Any, words: tuple[str, ...]) -> Any:
    said = fields.text(flow, name)
    if said not in words:
        raise ValueError(f"{name} is {said!r}, not one of {', '.join(words)}")
    return kind(said)


def _end(flow: fields.Object, side: str, protocol: int, node: str) -> rows.End:
    told = fields.text(flow, f"{side}_type")
    if told not in _KINDS:
        raise ValueError(f"{side}_type is {told!r}, not one of {', '.join(_KINDS)}")
    full = fields.text(flow, f"{side}_name")
    name = fields.text(flow, f"{side}_name_aggr") or full
    named = flows.End(kind=_KINDS[told], namespace=fields.text(flow, f"{side}_namespace"), name=name)
    labels = flow.get(f"{side}_labels")
    if isinstance(labels, dict):
        labels = labels.get("labels")
    return calico.end(
        named, fields.labels(labels or []), pod=full, address=fields.packed(flow, f"{side}_ip"), node=node,
        port=calico.port(protocol, fields.number(flow, f"{side}_port", bits=16)),
    )  # fmt: skip


def _service_port(flow: fields.Object) -> dict[str, Any]:
    """The service's port by number and name: older logs have either of them in one field."""
    told = fields.text(flow, "dest_service_port")
    name = fields.text(flow, "dest_service_port_name") or ("" if told.isdecimal() else told)
    numbered = "dest_service_port" if told.isdecimal() else "dest_service_port_num"
    return {"service_port": fields.number(flow, numbered, bits=16), "service_port_name": name}


def _hits(
    flow: fields.Object, reporter: enums.Reporter
) -> tuple[tuple[policyhit.PolicyHit, ...], tuple[policyhit.PolicyHit, ...]]:
    """Enforced and pending hits; before they were told apart, staged policies stood among the others."""
    told = flow.get("policies") or {}
    if isinstance(told, list):
        told = {name: texts for one in told if isinstance(one, dict) for name, texts in one.items()}
    if not isinstance(told, dict):
        raise ValueError("policies is no object")
    towards = calico.direction(reporter)
    everything = _parsed(fields.listed(told, "all_policies"), towards)
    enforced = _parsed(fields.listed(told, "enforced_policies"), towards)
    pending = _parsed(fields.listed(told, "pending_policies"), towards)
    done = tuple(hit for hit in everything if not hit.kind.startswith("s"))
    return enforced or done, pending or (everything if done != everything else ())


def _parsed(texts: list[Any], towards: enums.Direction) -> tuple[policyhit.PolicyHit, ...]:
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a policy is no text")
    placed = sorted(
        texts, key=lambda text: int(place) if (place := text.partition("|")[0]).isdecimal() else 0
    )
    return tuple(calico.parse_hit(text, towards) for text in placed)
